/** What the line and the printer on it say. Part of the print machine. */

import type { MonoMs } from '../../../daemon/contract/plugin.ts'
import { type StatusReport, verdict } from '../protocol/status.ts'
import { afterCopy, begin, conclude, partly } from './jobs.machine.ts'
import {
  type Active,
  BLOCKED_ASK_MS,
  CONFIRMING_ASK_MS,
  type LineFault,
  type PrintEffect,
  type PrintState,
  RETRY_FIRST_MS,
} from './print-state.ts'
import { backoff, block, hangUp, learn, polled, say, soil, uncertain, worksOffline } from './steps.machine.ts'

const UNMARKED_MS = 3_000

const SILENCES_BEFORE_OFFLINE = 2

const REFUSALS_BEFORE_OFFLINE = 3

export function onStatus(state: PrintState, report: StatusReport, asked: boolean, now: MonoMs): PrintEffect[] {
  const { ready, state: shown } = verdict(report)
  state.report = report
  state.silent = 0
  const effects = [...learn(state, { ...state.abilities, status: 'yes' }), ...say(state, shown)]
  if (asked && state.asking === 'status') state.asking = 'no'
  if (ready) state.blockedSince = undefined
  else block(state, shown.detail ?? 'fault', now)

  const { active } = state
  const entry = active && state.jobs.get(active.id)
  if (active && entry) {
    if (active.step === 'checking' && asked) return [...effects, ...afterCopy(state, active, entry, now)]
    if (active.step === 'confirming') onStatusWhileConfirming(state, active, ready, asked, now)
    return effects
  }
  if (!asked) {
    state.askAt = Math.min(state.askAt, now)
    return effects
  }
  const head = state.queue[0]
  const startable = head !== undefined && !state.stopping && (ready || worksOffline(state, head))
  if (startable && !(state.dirty && ready)) return [...effects, ...begin(state, head, false)]
  state.askAt = ready ? now : now + BLOCKED_ASK_MS
  return [...effects, ...polled(state, now)]
}

/** The printer keeps what it has not printed yet and goes on with it when it can: time does not run meanwhile. */
function onStatusWhileConfirming(state: PrintState, active: Active, ready: boolean, asked: boolean, now: number): void {
  if (asked) state.askAt = now + CONFIRMING_ASK_MS
  if (!ready) {
    active.interrupted = true
    active.deadline = (state.blockedSince ?? now) + state.settings.recoverMs
    return
  }
  if (active.interrupted) {
    active.interrupted = false
    active.deadline = now + active.confirmMs
  }
  // Only an answer to a question asked after the last byte tells that it is well with all of the job in it.
  if (!asked || active.wellSince) return
  active.wellSince = true
  if (state.abilities.marks === 'no') active.deadline = Math.min(active.deadline, now + UNMARKED_MS)
}

export function onSilence(state: PrintState, garbage: boolean, now: number): PrintEffect[] {
  state.asking = 'no'
  state.silent += 1
  const { active } = state
  const entry = active && state.jobs.get(active.id)
  if (active && entry) {
    state.askAt = now + CONFIRMING_ASK_MS
    return []
  }
  const head = state.queue[0]
  const mayBeMute = state.settings.statusMode === 'auto' && state.abilities.status === 'untried' && !garbage
  if (mayBeMute) {
    const shown = say(state, { state: 'online', detail: 'no-status' })
    if (head !== undefined && !state.stopping) return [...shown, ...begin(state, head, true)]
    return [...shown, ...polled(state, now)]
  }
  block(state, garbage ? 'bad-status' : 'no-answer', now)
  const shown: PrintEffect[] =
    garbage && state.silent >= SILENCES_BEFORE_OFFLINE
      ? say(state, { state: 'fault', detail: 'bad-status' })
      : state.silent >= SILENCES_BEFORE_OFFLINE
        ? say(state, { state: 'offline', detail: 'no-answer' })
        : []
  // A late answer would be taken for that to the next question: only a new connection is in step again.
  state.openAt = now + backoff(state.silent, 0)
  state.askAt = state.openAt
  if (state.silent < SILENCES_BEFORE_OFFLINE) {
    state.pollAt = state.openAt
    return [...shown, ...hangUp(state)]
  }
  return [...shown, ...polled(state, now), ...hangUp(state)]
}

export function onFenced(state: PrintState, ok: boolean, now: number): PrintEffect[] {
  state.asking = 'no'
  if (!ok && state.abilities.marks === 'yes') {
    block(state, 'not-ready', now)
    state.openAt = now + BLOCKED_ASK_MS
    return hangUp(state)
  }
  state.dirty = false
  state.dirtyBytes = 0
  state.askAt = now
  return ok ? learn(state, { ...state.abilities, marks: 'yes' }) : []
}

export function onOpenFailed(state: PrintState, fault: LineFault, jitter: number, now: number): PrintEffect[] {
  state.lineIs = 'closed'
  state.refused += 1
  block(state, fault, now)
  state.openAt = now + backoff(state.refused, jitter)
  // Refused means that it is alive and another client has it: normal for a moment, news when it lasts.
  const patient = fault === 'busy' && state.refused < REFUSALS_BEFORE_OFFLINE
  if (patient) {
    state.pollAt = state.openAt
    return []
  }
  return [...say(state, { state: 'offline', detail: fault }), ...polled(state, now)]
}

export function onClosed(state: PrintState, fault: LineFault, now: number): PrintEffect[] {
  state.lineIs = 'closed'
  state.line += 1
  const wasAsking = state.asking
  state.asking = 'no'
  const { active } = state
  const entry = active && state.jobs.get(active.id)
  if (active && entry) {
    state.openAt = now + RETRY_FIRST_MS
    if (active.step === 'recording') return []
    if (active.step === 'checking') return partly(state, active, entry)
    soil(state, entry.job)
    return conclude(state, active.id, { ...entry.progress, phase: 'unknown', error: uncertain('the line was cut') })
  }
  state.refused += 1
  state.openAt = now + backoff(state.refused, 0)
  const interrupted = wasAsking !== 'no' || state.queue.length > 0
  if (interrupted) block(state, fault, now)
  // A printer that is busy with another client takes the connection and drops it.
  if (state.refused < REFUSALS_BEFORE_OFFLINE && fault !== 'unplugged') {
    state.pollAt = Math.min(state.pollAt, state.openAt)
    return []
  }
  return [...say(state, { state: 'offline', detail: fault }), ...polled(state, now)]
}
