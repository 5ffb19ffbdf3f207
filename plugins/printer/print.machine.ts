/**
 * Decides what happens to print jobs: when the printer is asked, when a job starts, when it counts as printed, and when nobody can
 * know. The promise: **at most one unmarked print of a job**. Bytes leave only after the record that says so is durable; once they
 * may have left, the job is never sent again.
 */
import type { ErrorBody } from '../../daemon/contract/errors.ts'
import type { Machine } from '../../daemon/contract/machine.ts'
import type { DeviceState, MonoMs } from '../../daemon/contract/plugin.ts'
import { isFinal, isMomentary, type Job, type Progress, type StoredJob } from './job.ts'
import { type Paper, type StatusReport, verdict } from './status.ts'

export interface Settings {
  statusMode: 'auto' | 'required' | 'none'
  keepOpen: boolean
  pollMs: number
  holdMs: number
  recoverMs: number
  history: number
}

/** What this printer has been seen to do; kept over restarts. `marks`: answers `GS r`. */
export interface Abilities {
  status: 'untried' | 'yes'
  marks: 'untried' | 'yes' | 'no'
}

export type LineFault = 'unreachable' | 'busy' | 'unplugged'

/**
 * `recording`: what is about to be sent is made durable. `sending`, `confirming`: bytes are out, the mark is awaited.
 * `checking`: the copy is confirmed; the status after it decides about the next one.
 */
type Step = 'recording' | 'sending' | 'confirming' | 'checking'

interface Active {
  id: string
  step: Step
  /** The connection it began on. */
  line: number
  copy: number
  /** The printer answers nothing: hand over and say so. */
  blind: boolean
  /** A mark follows this copy; its answer is the proof. */
  marked: boolean
  /** Give up at this time. */
  deadline: number
  /** While sending: the printer should have taken something by then. */
  stallAt: number
  confirmMs: number
  /** In the middle of the job the printer ran out of paper or the like. */
  interrupted: boolean
  /** A status asked after the last byte was written was good. */
  wellSince: boolean
}

interface Entry extends StoredJob {
  since: number
}

export interface PrintState {
  readonly settings: Settings
  readonly jobs: Map<string, Entry>
  queue: string[]
  active: Active | undefined
  abilities: Abilities
  /** Counts connections: what an old one still says is not heard. */
  line: number
  lineIs: 'closed' | 'opening' | 'open'
  asking: 'no' | 'status' | 'fence'
  /** The printer may hold the rest of a job that was cut off. */
  dirty: boolean
  report: StatusReport | undefined
  shown: DeviceState | undefined
  probe: boolean
  /** The printer could not go on since then. */
  blockedSince: number | undefined
  blockedBy: string
  openAt: number
  askAt: number
  pollAt: number
  /** Failures to open, and unanswered questions, in a row. */
  refused: number
  silent: number
  /** Failed jobs that the disk would not take as such; until it does, a restart would print them, so nobody is told. */
  unrecorded: string[]
  recordAt: number
  stopping: boolean
}

export type PrintEvent = { now: MonoMs } & (
  | { type: 'submitted'; job: Job }
  | { type: 'recorded'; id: string; phase: Progress['phase'] }
  | { type: 'record-failed'; id: string; phase: Progress['phase'] }
  /** Only a job of which nothing was sent can be taken back. */
  | { type: 'cancel'; id: string; error: ErrorBody }
  | { type: 'probe' }
  | { type: 'tick' }
  | { type: 'opened'; line: number }
  | { type: 'open-failed'; line: number; fault: LineFault; jitter: number }
  | { type: 'closed'; line: number; fault: LineFault }
  | { type: 'status'; line: number; report: StatusReport; asked: boolean }
  /** `garbage`: bytes came that no status is made of (a wrong baud rate, or no printer). */
  | { type: 'no-status'; line: number; garbage: boolean }
  | { type: 'fenced'; line: number; ok: boolean }
  | { type: 'wrote'; line: number; id: string }
  | { type: 'handed-over'; line: number; id: string; confirmMs: number }
  | { type: 'marked'; line: number; paper: Paper }
  | { type: 'announced'; id: string }
  | { type: 'stop' }
)

export type PrintEffect =
  | { do: 'open'; line: number }
  | { do: 'close'; line: number }
  | { do: 'ask'; line: number }
  | { do: 'fence'; line: number }
  /** Makes the progress durable, then `recorded`. `momentary` jobs are only kept in memory. */
  | { do: 'record'; id: string; progress: Progress; keep: boolean }
  /** Writes one copy, then `wrote` for each piece taken and `handed-over`. */
  | { do: 'send'; line: number; job: Job; copy: number; mark: boolean; ready: boolean }
  | { do: 'finish'; job: Job; progress: Progress }
  | { do: 'forget'; ids: string[] }
  | { do: 'remember'; abilities: Abilities }
  | { do: 'state'; state: DeviceState }
  /** Something was learnt for those who asked for the status. */
  | { do: 'answer-probes' }
  | { do: 'wake'; at: MonoMs }

const MOMENTARY_HOLD_MS = 8_000
const RETRY_FIRST_MS = 250
const RETRY_MOST_MS = 5_000
const REFUSALS_BEFORE_OFFLINE = 3
const SILENCES_BEFORE_OFFLINE = 2
const BLOCKED_ASK_MS = 1_000
const CONFIRMING_ASK_MS = 1_500
const STALL_MS = 3_000
const RECORD_AGAIN_MS = 2_000
/** A printer that never answers `GS r` but says that all is well gets this long after the last byte. */
const UNMARKED_MS = 3_000

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
    state.jobs.set(one.job.id, { ...one, since: now })
    if (one.progress.phase === 'queued') state.queue.push(one.job.id)
    else if (one.progress.phase === 'sending') {
      state.dirty = true
      effects.push(...conclude(state, one.job.id, { ...one.progress, phase: 'unknown', error: uncertain('the gateway stopped') }))
    } else if (!one.progress.announced) effects.push({ do: 'finish', job: one.job, progress: one.progress })
  }
  effects.push(...pump(state, now))
  return { state, effects }
}

export const printMachine: Machine<PrintState, PrintEvent, PrintEffect> = { step }

function step(state: PrintState, event: PrintEvent): readonly PrintEffect[] {
  if ('line' in event && event.line !== state.line) return []
  return [...react(state, event), ...pump(state, event.now)]
}

function react(state: PrintState, event: PrintEvent): PrintEffect[] {
  const { now } = event
  switch (event.type) {
    case 'submitted':
      if (state.jobs.has(event.job.id)) return []
      state.jobs.set(event.job.id, { job: event.job, progress: { phase: 'queued', copiesDone: 0 }, since: now })
      state.queue.push(event.job.id)
      state.openAt = Math.min(state.openAt, now)
      state.askAt = Math.min(state.askAt, now)
      return []
    case 'cancel':
      return state.queue.includes(event.id) && state.active?.id !== event.id
        ? fail(state, event.id, event.error)
        : []
    case 'probe':
      state.probe = true
      state.openAt = Math.min(state.openAt, now)
      state.askAt = Math.min(state.askAt, now)
      return []
    case 'tick':
      return onTick(state, now)
    case 'recorded':
      return onRecorded(state, event.id, event.phase, now)
    case 'record-failed':
      return onRecordFailed(state, event.id, event.phase, now)
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
    case 'announced':
      return onAnnounced(state, event.id)
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
  effects.push({ do: 'wake', at: nextWake(state, now) })
  return effects
}

/** Never while bytes of the job are going out: in the middle of an image a question would be taken for a part of it. */
const asksNow = (active: Active | undefined): boolean => active?.step === 'confirming' || active?.step === 'checking'

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
  if (state.blockedSince !== undefined)
    for (const id of state.queue) {
      const entry = state.jobs.get(id)
      if (entry && id !== state.active?.id) times.push(holdEnd(state, entry))
    }
  return Math.max(now, Math.min(now + state.settings.pollMs, ...times)) as MonoMs
}

function holdEnd(state: PrintState, entry: Entry): number {
  const hold = isMomentary(entry.job) ? Math.min(MOMENTARY_HOLD_MS, state.settings.holdMs) : state.settings.holdMs
  return Math.max(entry.since, state.blockedSince ?? entry.since) + hold
}

/** Jobs that could not start in time fail, so that nothing comes out when nobody expects it any more. */
function expire(state: PrintState, now: number): PrintEffect[] {
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

function recordAgain(state: PrintState, now: number): PrintEffect[] {
  if (state.unrecorded.length === 0 || now < state.recordAt) return []
  const ids = state.unrecorded
  state.unrecorded = []
  return ids.flatMap((id) => {
    const entry = state.jobs.get(id)
    return entry ? [{ do: 'record', id, progress: entry.progress, keep: !isMomentary(entry.job) } as const] : []
  })
}

function ask(state: PrintState): PrintEffect[] {
  if (state.dirty && !state.active && state.report && state.queue.length > 0 && verdict(state.report).ready) {
    state.asking = 'fence'
    return [{ do: 'fence', line: state.line }]
  }
  state.asking = 'status'
  return [{ do: 'ask', line: state.line }]
}

/** The status round is over: the next one is due after a full interval. */
function polled(state: PrintState, now: number): PrintEffect[] {
  state.pollAt = now + state.settings.pollMs
  const answered: PrintEffect[] = state.probe ? [{ do: 'answer-probes' }] : []
  state.probe = false
  return [...answered, ...idle(state)]
}

function idle(state: PrintState): PrintEffect[] {
  if (state.settings.keepOpen || state.lineIs !== 'open' || state.active || state.queue.length > 0) return []
  return hangUp(state)
}

function hangUp(state: PrintState): PrintEffect[] {
  if (state.lineIs === 'closed') return []
  const line = state.line
  // What still comes from this connection belongs to nobody.
  state.line += 1
  state.lineIs = 'closed'
  state.asking = 'no'
  return [{ do: 'close', line }]
}

function begin(state: PrintState, id: string, blind: boolean): PrintEffect[] {
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
  return [{ do: 'record', id, progress: { phase: 'sending', copiesDone: 0 }, keep: !isMomentary(entry.job) }]
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

function onRecorded(state: PrintState, id: string, phase: Progress['phase'], now: number): PrintEffect[] {
  const entry = state.jobs.get(id)
  if (!entry) return []
  if (isFinal(phase)) return entry.progress.announced ? [] : [{ do: 'finish', job: entry.job, progress: entry.progress }]
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
  return [{ do: 'record', id: entry.job.id, progress: entry.progress, keep: !isMomentary(entry.job) }]
}

function onRecordFailed(state: PrintState, id: string, phase: Progress['phase'], now: number): PrintEffect[] {
  const entry = state.jobs.get(id)
  if (!entry) return []
  if (phase === 'failed' && !entry.progress.announced) {
    state.unrecorded.push(id)
    state.recordAt = now + RECORD_AGAIN_MS
    return []
  }
  // The others are true even if they could not be kept: after a restart the job reads as unknown, which is the safe side.
  if (isFinal(phase)) return entry.progress.announced ? [] : [{ do: 'finish', job: entry.job, progress: entry.progress }]
  if (phase !== 'sending' || state.active?.id !== id) return []
  state.active = undefined
  state.askAt = now + BLOCKED_ASK_MS
  block(state, 'storage', now)
  return []
}

function onAnnounced(state: PrintState, id: string): PrintEffect[] {
  const entry = state.jobs.get(id)
  if (!entry || entry.progress.announced) return []
  entry.progress = { ...entry.progress, announced: true }
  return [{ do: 'record', id, progress: entry.progress, keep: !isMomentary(entry.job) }]
}

function onHandedOver(state: PrintState, confirmMs: number, now: number): PrintEffect[] {
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

function onMarked(state: PrintState, paper: Paper, now: number): PrintEffect[] {
  const { active } = state
  const entry = active && state.jobs.get(active.id)
  if (!active || !entry || active.step !== 'confirming') return []
  const learnt = learn(state, { ...state.abilities, marks: 'yes' })
  entry.progress = { ...entry.progress, copiesDone: active.copy + 1, paper }
  active.step = 'checking'
  active.deadline = now + state.settings.recoverMs
  state.askAt = now
  state.blockedSince = undefined
  // A question may be on its way; its answer will do.
  return state.asking === 'no' ? [...learnt, ...ask(state)] : learnt
}

/** The status after a confirmed copy: on with the next copy, or done. */
function afterCopy(state: PrintState, active: Active, entry: Entry, now: number): PrintEffect[] {
  if (entry.progress.copiesDone >= entry.job.copies)
    return conclude(state, active.id, { ...entry.progress, phase: 'printed', paper: paperOf(state, entry.progress.paper) })
  if (state.report && verdict(state.report).ready) {
    active.copy = entry.progress.copiesDone
    return sendCopy(state, active, entry.job, now)
  }
  // Between copies nothing is in the printer: it may take its time.
  state.askAt = now + BLOCKED_ASK_MS
  return []
}

/** Some copies are out, the others will never be: both are certain. */
function partly(state: PrintState, active: Active, entry: Entry): PrintEffect[] {
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

function onStatus(state: PrintState, report: StatusReport, asked: boolean, now: MonoMs): PrintEffect[] {
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

/** The drawer opens without paper. */
function worksOffline(state: PrintState, id: string): boolean {
  return state.jobs.get(id)?.job.content.kind === 'drawer' && state.report?.error === undefined
}

function onSilence(state: PrintState, garbage: boolean, now: number): PrintEffect[] {
  state.asking = 'no'
  state.silent += 1
  const { active } = state
  const entry = active && state.jobs.get(active.id)
  if (active && entry) {
    // The copy is confirmed; only the status after it is lost.
    if (active.step === 'checking' && entry.progress.copiesDone >= entry.job.copies)
      return [...afterCopy(state, active, entry, now), ...hangUp(state)]
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

function onFenced(state: PrintState, ok: boolean, now: number): PrintEffect[] {
  state.asking = 'no'
  if (!ok && state.abilities.marks === 'yes') {
    block(state, 'not-ready', now)
    state.openAt = now + BLOCKED_ASK_MS
    return hangUp(state)
  }
  state.dirty = false
  state.askAt = now
  return ok ? learn(state, { ...state.abilities, marks: 'yes' }) : []
}

function onOpenFailed(state: PrintState, fault: LineFault, jitter: number, now: number): PrintEffect[] {
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

function onClosed(state: PrintState, fault: LineFault, now: number): PrintEffect[] {
  state.lineIs = 'closed'
  state.line += 1
  const wasAsking = state.asking
  state.asking = 'no'
  const { active } = state
  const entry = active && state.jobs.get(active.id)
  if (active && entry) {
    state.openAt = now + RETRY_FIRST_MS
    if (active.step === 'recording') return []
    if (active.step === 'checking')
      return entry.progress.copiesDone >= entry.job.copies ? afterCopy(state, active, entry, now) : partly(state, active, entry)
    state.dirty = true
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

function onTick(state: PrintState, now: number): PrintEffect[] {
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
  state.dirty = true
  const why = state.blockedSince === undefined ? 'the printer did not confirm in time' : state.blockedBy
  return [...conclude(state, active.id, { ...entry.progress, phase: 'unknown', error: uncertain(why) }), ...hangUp(state)]
}

function fail(state: PrintState, id: string, error: ErrorBody): PrintEffect[] {
  const entry = state.jobs.get(id)
  return entry ? conclude(state, id, { ...entry.progress, phase: 'failed', error }) : []
}

/** The job has come to its end; recorded first, told after. */
function conclude(state: PrintState, id: string, progress: Progress): PrintEffect[] {
  const entry = state.jobs.get(id)
  if (!entry) return []
  entry.progress = progress
  state.queue = state.queue.filter((one) => one !== id)
  if (state.active?.id === id) state.active = undefined
  return [{ do: 'record', id, progress, keep: !isMomentary(entry.job) }, ...trim(state)]
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

function block(state: PrintState, by: string, now: number): void {
  state.blockedSince ??= now
  state.blockedBy = by
}

function learn(state: PrintState, abilities: Abilities): PrintEffect[] {
  if (abilities.status === state.abilities.status && abilities.marks === state.abilities.marks) return []
  state.abilities = abilities
  return [{ do: 'remember', abilities }]
}

function say(state: PrintState, shown: DeviceState): PrintEffect[] {
  if (shown.state === state.shown?.state && shown.detail === state.shown.detail) return []
  state.shown = shown
  return [{ do: 'state', state: shown }]
}

const paperOf = (state: PrintState, fallback: Paper = 'unknown'): Paper => state.report?.paper ?? fallback

const uncertain = (why: string): ErrorBody => ({
  code: 'job-uncertain',
  message: `${why} while the job was being printed; look at the paper, then ask for a reprint`,
})

function backoff(attempt: number, jitter: number): number {
  return Math.min(RETRY_MOST_MS, RETRY_FIRST_MS * 2 ** Math.min(attempt - 1, 8)) * (1 + jitter / 2)
}
