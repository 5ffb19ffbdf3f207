/** The life of a job, from the queue to its outcome. Part of the print machine. */

import type { ErrorBody } from '../../../daemon/contract/errors.ts'
import { type Paper, verdict } from '../protocol/status.ts'
import { isFinal, isMomentary, type Job, type Progress } from './job.ts'
import {
  type Active,
  BLOCKED_ASK_MS,
  CONFIRMING_ASK_MS,
  type Entry,
  type PrintEffect,
  type PrintEvent,
  type PrintState,
  STALL_MS,
} from './print-state.ts'
import { ask, block, hangUp, learn, paperOf, say, soil, uncertain } from './steps.machine.ts'

const RECORD_AGAIN_MS = 2_000
/** A job that can start within this time is stored with its first progress. The till's command is journaled already. */
const ENTER_MS = 50

const MOMENTARY_HOLD_MS = 8_000

export function holdEnd(state: PrintState, entry: Entry): number {
  const hold = isMomentary(entry.job) ? Math.min(MOMENTARY_HOLD_MS, state.settings.holdMs) : state.settings.holdMs
  return Math.max(entry.since, state.blockedSince ?? entry.since) + hold
}

/** Jobs that could not start in time fail, so that nothing comes out when nobody expects it any more. */
export function expire(state: PrintState, now: number): PrintEffect[] {
  if (state.blockedSince === undefined) return []
  const late = state.queue.filter((id) => {
    const entry = state.jobs.get(id)
    return entry !== undefined && id !== state.active?.id && now >= holdEnd(state, entry)
  })
  return late.flatMap((id) => {
    const offline = ['unreachable', 'busy', 'unplugged', 'no-answer'].includes(state.blockedBy)
    return fail(state, id, {
      code: offline ? 'device-offline' : 'device-fault',
      message: `${state.blockedBy}: the job could not start in time; nothing was printed and nothing will come out later`,
    })
  })
}

export function recordAgain(state: PrintState, now: number): PrintEffect[] {
  if (state.unrecorded.length === 0 || now < state.recordAt) return []
  const ids = state.unrecorded
  state.unrecorded = []
  return ids.flatMap((id) => {
    const entry = state.jobs.get(id)
    return entry ? [record(entry, entry.progress)] : []
  })
}

export function record({ job, kept }: Entry, progress: Progress): PrintEffect {
  return { do: 'record', job, progress, keep: isMomentary(job) ? 'nothing' : kept === 'yes' ? 'progress' : 'job-and-progress' }
}

/** Stores jobs of their own that do not start at once. */
export function enter(state: PrintState, now: number): PrintEffect[] {
  return state.queue.flatMap((id) => {
    const entry = state.jobs.get(id)
    if (entry?.kept !== 'no' || state.active?.id === id || now < enterAt(state, entry)) return []
    entry.kept = 'entering'
    return [{ do: 'enter', job: entry.job } as const]
  })
}

/** When a job that is in no store yet must go there by itself: not while the printer is just being asked whether it can start. */
export function enterAt(state: PrintState, { job, since }: Entry): number {
  const next = !state.active && state.queue[0] === job.id && !state.stopping
  const well = state.blockedSince === undefined && !state.dirty
  const asked = state.lineIs !== 'closed' || state.openAt <= since
  return next && well && asked ? since + ENTER_MS : since
}

export function onEntered(state: PrintState, id: string): PrintEffect[] {
  const entry = state.jobs.get(id)
  if (entry) entry.kept = 'yes'
  return []
}

export function onEnterFailed(state: PrintState, id: string, error: ErrorBody): PrintEffect[] {
  const entry = state.jobs.get(id)
  if (entry?.kept !== 'entering') return []
  entry.kept = 'no'
  // Its first record is on its way, with the job in it: what becomes of that counts.
  return state.active?.id === id || isFinal(entry.progress.phase) ? [] : drop(state, id, error)
}

function drop(state: PrintState, id: string, error: ErrorBody): PrintEffect[] {
  state.jobs.delete(id)
  state.queue = state.queue.filter((one) => one !== id)
  return [{ do: 'refuse', id, error }]
}

export function begin(state: PrintState, id: string, blind: boolean): PrintEffect[] {
  const entry = state.jobs.get(id)
  if (!entry) return []
  const never = Number.POSITIVE_INFINITY
  state.active = {
    id,
    step: 'recording',
    line: state.line,
    copy: 0,
    blind,
    marked: false,
    deadline: never,
    stallAt: never,
    confirmMs: 0,
    interrupted: false,
    wellSince: false,
  }
  state.blockedSince = undefined
  return [record(entry, { phase: 'sending', copiesDone: 0 })]
}

function sendCopy(state: PrintState, active: Active, job: Job, now: number): PrintEffect[] {
  active.step = 'sending'
  active.deadline = now + state.settings.recoverMs
  active.stallAt = now + STALL_MS
  active.wellSince = false
  active.interrupted = false
  const ready = active.blind || state.report === undefined || verdict(state.report).ready
  active.marked = !active.blind && ready
  return [{ do: 'send', line: state.line, job, copy: active.copy, mark: active.marked, ready }]
}

export function onRecorded(state: PrintState, id: string, phase: Progress['phase'], now: number): PrintEffect[] {
  const entry = state.jobs.get(id)
  if (!entry) return []
  entry.kept = 'yes'
  if (isFinal(phase)) {
    // Its event is durable with it.
    if (isFinal(entry.progress.phase)) entry.progress.announced = true
    return [{ do: 'finish', job: entry.job, progress: entry.progress }]
  }
  const { active } = state
  if (phase !== 'sending' || active?.id !== id || active.step !== 'recording') return []
  entry.progress = { phase: 'sending', copiesDone: 0 }
  // Nothing has left yet, and the line is gone: back to the head of the queue, which the record must say again.
  if (state.lineIs !== 'open' || active.line !== state.line) return unbegin(state, entry)
  return sendCopy(state, active, entry.job, now)
}

function unbegin(state: PrintState, entry: Entry): PrintEffect[] {
  state.active = undefined
  entry.progress = { phase: 'queued', copiesDone: 0 }
  return [record(entry, entry.progress)]
}

export function onRecordFailed(state: PrintState, { id, phase, error, now }: PrintEvent & { type: 'record-failed' }): PrintEffect[] {
  const entry = state.jobs.get(id)
  if (!entry) return []
  // Nothing was sent: begin anew, or not at all.
  if (phase === 'sending' && state.active?.id === id) state.active = undefined
  if (entry.kept === 'no' && !isMomentary(entry.job)) return drop(state, id, error)
  if (isFinal(phase)) {
    state.unrecorded.push(id)
    state.recordAt = now + RECORD_AGAIN_MS
    // But for a failure, which a restart would print, they are true even while they cannot be kept: after a restart the job reads as
    // unknown, which is the safe side.
    return phase === 'failed' ? [] : [{ do: 'finish', job: entry.job, progress: entry.progress }]
  }
  if (phase !== 'sending') return []
  state.askAt = now + BLOCKED_ASK_MS
  block(state, 'storage', now)
  return []
}

export function onHandedOver(state: PrintState, confirmMs: number, now: number): PrintEffect[] {
  const { active } = state
  const entry = active && state.jobs.get(active.id)
  if (!active || !entry || active.step !== 'sending') return []
  if (!active.marked) {
    entry.progress.copiesDone = active.copy + 1
    if (entry.progress.copiesDone < entry.job.copies) {
      active.copy += 1
      return sendCopy(state, active, entry.job, now)
    }
    return conclude(state, active.id, { ...entry.progress, phase: 'sent', paper: paperOf(state) })
  }
  active.step = 'confirming'
  active.confirmMs = confirmMs
  active.deadline = now + confirmMs
  state.askAt = now + CONFIRMING_ASK_MS
  return []
}

export function onMarked(state: PrintState, paper: Paper, now: number): PrintEffect[] {
  const { active } = state
  const entry = active && state.jobs.get(active.id)
  if (!active || !entry || active.step !== 'confirming') return []
  const learnt = learn(state, { ...state.abilities, marks: 'yes' })
  entry.progress = { ...entry.progress, copiesDone: active.copy + 1, paper }
  if (entry.progress.copiesDone >= entry.job.copies) {
    // How the printer is now is asked, too, but not waited for.
    state.pollAt = now
    state.askAt = now
    state.blockedSince = undefined
    return [...learnt, ...conclude(state, active.id, { ...entry.progress, phase: 'printed' })]
  }
  active.step = 'checking'
  active.deadline = now + state.settings.recoverMs
  state.askAt = now
  state.blockedSince = undefined
  // A question may be on its way; its answer will do.
  return state.asking === 'no' ? [...learnt, ...ask(state)] : learnt
}

/** The status after a confirmed copy, not the last one: on with the next. */
export function afterCopy(state: PrintState, active: Active, entry: Entry, now: number): PrintEffect[] {
  if (state.report && verdict(state.report).ready) {
    active.copy = entry.progress.copiesDone
    return sendCopy(state, active, entry.job, now)
  }
  // Between copies nothing is in the printer: it may take its time.
  state.askAt = now + BLOCKED_ASK_MS
  return []
}

/** Some copies are out, the others will never be: both are certain. */
export function partly(state: PrintState, active: Active, entry: Entry): PrintEffect[] {
  const { copiesDone } = entry.progress
  return conclude(state, active.id, {
    ...entry.progress,
    phase: 'failed',
    error: {
      code: 'device-fault',
      message: `${state.blockedBy || 'cut off'}: ${copiesDone} of ${entry.job.copies} copies came out; the others will not come later`,
    },
  })
}

export function onTick(state: PrintState, now: number): PrintEffect[] {
  const { active } = state
  const entry = active && state.jobs.get(active.id)
  if (!active || !entry) return []
  if (active.step === 'sending' && now >= active.stallAt && now < active.deadline) {
    active.stallAt = Number.POSITIVE_INFINITY
    block(state, 'stalled', now)
    return say(state, { state: 'fault', detail: 'stalled' })
  }
  if (now < active.deadline) return []
  if (active.step === 'checking') return partly(state, active, entry)
  // It took everything, answers, has no complaint, and never in its life answered `GS r`: it does not know the command.
  if (active.step === 'confirming' && active.wellSince && !active.interrupted && state.abilities.marks !== 'yes') {
    const learnt = learn(state, { ...state.abilities, marks: 'no' })
    entry.progress.copiesDone = active.copy + 1
    if (entry.progress.copiesDone < entry.job.copies) {
      active.copy += 1
      return [...learnt, ...sendCopy(state, active, entry.job, now)]
    }
    return [...learnt, ...conclude(state, active.id, { ...entry.progress, phase: 'sent', paper: paperOf(state) })]
  }
  soil(state, entry.job)
  const why = state.blockedSince === undefined ? 'the printer did not confirm in time' : state.blockedBy
  return [...conclude(state, active.id, { ...entry.progress, phase: 'unknown', error: uncertain(why) }), ...hangUp(state)]
}

export function fail(state: PrintState, id: string, error: ErrorBody): PrintEffect[] {
  const entry = state.jobs.get(id)
  return entry ? conclude(state, id, { ...entry.progress, phase: 'failed', error }) : []
}

/** The job has come to its end; recorded and told in one, then whoever waits is answered. */
export function conclude(state: PrintState, id: string, progress: Progress): PrintEffect[] {
  const entry = state.jobs.get(id)
  if (!entry) return []
  entry.progress = progress
  state.queue = state.queue.filter((one) => one !== id)
  if (state.active?.id === id) state.active = undefined
  return [record(entry, progress), ...trim(state)]
}

function trim(state: PrintState): PrintEffect[] {
  const final = [...state.jobs.values()].filter((one) => isFinal(one.progress.phase))
  // In strides, so that a busy till does not pay a deletion for each receipt.
  if (final.length <= state.settings.history + 8) return []
  const old = final.sort((a, b) => a.job.n - b.job.n).slice(0, final.length - state.settings.history)
  const ids = old.filter((one) => one.progress.announced || isMomentary(one.job)).map((one) => one.job.id)
  for (const id of ids) state.jobs.delete(id)
  return ids.length > 0 ? [{ do: 'forget', ids }] : []
}
