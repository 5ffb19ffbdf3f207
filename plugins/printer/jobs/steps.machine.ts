/** Small steps on the line: asking, hanging up, remembering what was learnt. Part of the print machine. */

import type { ErrorBody } from '../../../daemon/contract/errors.ts'
import type { DeviceState } from '../../../daemon/contract/plugin.ts'
import { type Paper, verdict } from '../protocol/status.ts'
import type { Job } from './job.ts'
import type { Active, PrintEffect, PrintState } from './print-state.ts'
import { type Abilities, RETRY_FIRST_MS } from './print-state.ts'

const RETRY_MOST_MS = 5_000

/** Never while bytes of the job are going out: in the middle of an image a question would be taken for a part of it. */
export const asksNow = (active: Active | undefined): boolean => active?.step === 'confirming' || active?.step === 'checking'

export function ask(state: PrintState): PrintEffect[] {
  if (state.dirty && !state.active && state.report && state.queue.length > 0 && verdict(state.report).ready) {
    state.asking = 'fence'
    return [{ do: 'fence', line: state.line, bytes: state.dirtyBytes }]
  }
  state.asking = 'status'
  return [{ do: 'ask', line: state.line }]
}

/** The status round is over: the next one is due after a full interval. */
export function polled(state: PrintState, now: number): PrintEffect[] {
  state.pollAt = now + state.settings.pollMs
  const answered: PrintEffect[] = state.probe ? [{ do: 'answer-probes' }] : []
  state.probe = false
  return [...answered, ...idle(state)]
}

export function idle(state: PrintState): PrintEffect[] {
  if (state.settings.keepOpen || state.lineIs !== 'open' || state.active || state.queue.length > 0) return []
  return hangUp(state)
}

export function hangUp(state: PrintState): PrintEffect[] {
  if (state.lineIs === 'closed') return []
  const line = state.line
  // What still comes from this connection belongs to nobody.
  state.line += 1
  state.lineIs = 'closed'
  state.asking = 'no'
  return [{ do: 'close', line }]
}

export function block(state: PrintState, by: string, now: number): void {
  state.blockedSince ??= now
  state.blockedBy = by
}

export function soil(state: PrintState, job: Job): void {
  state.dirty = true
  state.dirtyBytes = Math.max(state.dirtyBytes, job.bytes)
}

export function learn(state: PrintState, abilities: Abilities): PrintEffect[] {
  if (abilities.status === state.abilities.status && abilities.marks === state.abilities.marks) return []
  state.abilities = abilities
  return [{ do: 'remember', abilities }]
}

export function say(state: PrintState, shown: DeviceState): PrintEffect[] {
  if (shown.state === state.shown?.state && shown.detail === state.shown.detail) return []
  state.shown = shown
  return [{ do: 'state', state: shown }]
}

export const paperOf = (state: PrintState, fallback: Paper = 'unknown'): Paper => state.report?.paper ?? fallback

export const uncertain = (why: string): ErrorBody => ({
  code: 'job-uncertain',
  message: `${why} while the job was being printed; look at the paper, then ask for a reprint`,
})

export function backoff(attempt: number, jitter: number): number {
  return Math.min(RETRY_MOST_MS, RETRY_FIRST_MS * 2 ** Math.min(attempt - 1, 8)) * (1 + jitter / 2)
}

/** The drawer opens without paper. */
export function worksOffline(state: PrintState, id: string): boolean {
  return state.jobs.get(id)?.job.content.kind === 'drawer' && state.report?.error === undefined
}
