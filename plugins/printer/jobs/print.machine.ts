/**
 * Decides what happens to print jobs: when the printer is asked, when a job starts, when it counts as printed, and when nobody can
 * know. The promise: **at most one unmarked print of a job**. Bytes leave only after the record that says so is durable; once they
 * may have left, the job is never sent again.
 */

import type { Machine } from '../../../daemon/contract/machine.ts'
import type { MonoMs } from '../../../daemon/contract/plugin.ts'
import { isMomentary, type StoredJob } from './job.ts'
import {
  begin,
  conclude,
  enter,
  enterAt,
  expire,
  fail,
  holdEnd,
  onEntered,
  onEnterFailed,
  onHandedOver,
  onMarked,
  onRecorded,
  onRecordFailed,
  onTick,
  record,
  recordAgain,
} from './jobs.machine.ts'
import { onClosed, onFenced, onOpenFailed, onSilence, onStatus } from './line.machine.ts'
import { type Abilities, type Entry, type PrintEffect, type PrintEvent, type PrintState, type Settings, STALL_MS } from './print-state.ts'
import { ask, asksNow, idle, polled, say, soil, uncertain } from './steps.machine.ts'

export interface Booted {
  state: PrintState
  effects: PrintEffect[]
}

/** What a restart finds: queued jobs are queued again, one that was being sent is `unknown`, what was not announced is. */
export function boot(settings: Settings, abilities: Abilities, stored: StoredJob[], now: MonoMs): Booted {
  const state: PrintState = {
    settings,
    jobs: new Map(),
    queue: [],
    active: undefined,
    abilities,
    line: 0,
    lineIs: 'closed',
    asking: 'no',
    dirty: false,
    dirtyBytes: 0,
    report: undefined,
    shown: undefined,
    probe: false,
    blockedSince: undefined,
    blockedBy: '',
    openAt: now,
    askAt: now,
    pollAt: now,
    refused: 0,
    silent: 0,
    unrecorded: [],
    recordAt: 0,
    stopping: false,
  }
  const effects: PrintEffect[] = []
  for (const one of [...stored].sort((a, b) => a.job.n - b.job.n)) {
    const entry: Entry = { ...one, since: now, kept: 'yes' }
    state.jobs.set(one.job.id, entry)
    if (one.progress.phase === 'queued') state.queue.push(one.job.id)
    else if (one.progress.phase === 'sending') {
      soil(state, one.job)
      effects.push(...conclude(state, one.job.id, { ...one.progress, phase: 'unknown', error: uncertain('the gateway stopped') }))
    } else if (!one.progress.announced) effects.push(record(entry, one.progress))
  }
  effects.push(...pump(state, now))
  return { state, effects }
}

export const printMachine: Machine<PrintState, PrintEvent, PrintEffect> = { step }

export function step(state: PrintState, event: PrintEvent): readonly PrintEffect[] {
  if ('line' in event && event.line !== state.line) return []
  return [...react(state, event), ...pump(state, event.now)]
}

function react(state: PrintState, event: PrintEvent): PrintEffect[] {
  const { now } = event
  switch (event.type) {
    case 'submitted':
      if (state.jobs.has(event.job.id)) return []
      state.jobs.set(event.job.id, {
        job: event.job,
        progress: { phase: 'queued', copiesDone: 0 },
        since: now,
        kept: isMomentary(event.job) ? 'yes' : 'no',
      })
      state.queue.push(event.job.id)
      state.openAt = Math.min(state.openAt, now)
      state.askAt = Math.min(state.askAt, now)
      return []
    case 'cancel':
      return state.queue.includes(event.id) && state.active?.id !== event.id ? fail(state, event.id, event.error) : []
    case 'probe':
      state.probe = true
      state.openAt = Math.min(state.openAt, now)
      state.askAt = Math.min(state.askAt, now)
      return []
    case 'tick':
      return onTick(state, now)
    case 'entered':
      return onEntered(state, event.id)
    case 'enter-failed':
      return onEnterFailed(state, event.id, event.error)
    case 'recorded':
      return onRecorded(state, event.id, event.phase, now)
    case 'record-failed':
      return onRecordFailed(state, event)
    case 'opened':
      state.lineIs = 'open'
      state.asking = 'no'
      state.askAt = now
      state.refused = 0
      return state.settings.statusMode === 'none' ? say(state, { state: 'online', detail: 'no-status' }) : []
    case 'open-failed':
      return onOpenFailed(state, event.fault, event.jitter, now)
    case 'closed':
      return onClosed(state, event.fault, now)
    case 'status':
      return onStatus(state, event.report, event.asked, now)
    case 'no-status':
      return onSilence(state, event.garbage, now)
    case 'fenced':
      return onFenced(state, event.ok, now)
    case 'wrote':
      if (state.active?.step !== 'sending') return []
      state.active.deadline = now + state.settings.recoverMs
      state.active.stallAt = now + STALL_MS
      state.blockedSince = undefined
      return []
    case 'handed-over':
      return onHandedOver(state, event.confirmMs, now)
    case 'marked':
      return onMarked(state, event.paper, now)
    case 'stop':
      state.stopping = true
      return []
  }
}

/** What can be done next, given all that is known. Runs after every event; a second run in a row does nothing. */
function pump(state: PrintState, now: MonoMs): PrintEffect[] {
  const effects = [...expire(state, now), ...recordAgain(state, now)]
  const head = state.active ? undefined : state.queue[0]
  const wanted = head !== undefined && !state.stopping
  const poll = state.probe || now >= state.pollAt
  if (state.lineIs === 'closed') {
    if (!state.stopping && (wanted || poll || state.settings.keepOpen) && now >= state.openAt) {
      state.line += 1
      state.lineIs = 'opening'
      effects.push({ do: 'open', line: state.line })
    }
  } else if (state.lineIs === 'open' && state.asking === 'no' && !state.active) {
    if (state.settings.statusMode === 'none') {
      if (wanted) effects.push(...begin(state, head, true))
      else effects.push(...polled(state, now))
    } else if ((wanted || poll) && now >= state.askAt) effects.push(...ask(state))
    else if (!wanted && !poll) effects.push(...idle(state))
  } else if (state.lineIs === 'open' && state.asking === 'no' && asksNow(state.active) && now >= state.askAt) effects.push(...ask(state))
  effects.push(...enter(state, now), { do: 'wake', at: nextWake(state, now) })
  return effects
}

function nextWake(state: PrintState, now: MonoMs): MonoMs {
  const times: number[] = []
  if (state.lineIs === 'closed' && !state.active) {
    const work = state.queue.length > 0 || state.probe || state.settings.keepOpen
    times.push(work ? state.openAt : Math.max(state.pollAt, state.openAt))
  }
  if (state.lineIs === 'open' && state.asking === 'no') {
    if (asksNow(state.active) || (!state.active && state.queue.length > 0)) times.push(state.askAt)
    else if (!state.active) times.push(Math.max(state.pollAt, state.askAt))
  }
  if (state.active) times.push(state.active.deadline, state.active.step === 'sending' ? state.active.stallAt : Number.POSITIVE_INFINITY)
  if (state.unrecorded.length > 0) times.push(state.recordAt)
  const head = state.active ? undefined : state.jobs.get(state.queue[0] ?? '')
  if (head?.kept === 'no') times.push(enterAt(state, head))
  if (state.blockedSince !== undefined)
    for (const id of state.queue) {
      const entry = state.jobs.get(id)
      if (entry && id !== state.active?.id) times.push(holdEnd(state, entry))
    }
  return Math.max(now, Math.min(now + state.settings.pollMs, ...times)) as MonoMs
}
