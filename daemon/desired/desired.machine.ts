/**
 * What becomes of a config that HQ wants: checked whole -> marked as being tried -> applied -> kept, or taken back. One at a
 * time; of those that arrive meanwhile only the newest is looked at.
 */
import type { Problem } from '../contract/errors.ts'
import type { JsonObject } from '../contract/json.ts'
import type { Machine } from '../contract/machine.ts'
import type { UpReported } from '../contract/uplink.ts'

/** A version and its merge patch. */
export interface Wanted {
  version: number
  patch: JsonObject
}

/** Durable: what a start finds. */
export interface DesiredRecord {
  /** The last config that was applied and held. */
  good?: Wanted
  /** Written before it is applied; still there at a start when the daemon died of it. */
  trying?: Wanted & { attempts: number }
  /** The last version that got its verdict, and the verdict. */
  verdict?: Verdict
}

export interface Verdict {
  version: number
  status: UpReported['status']
  errors: Problem[]
}

export interface DesiredState {
  record: DesiredRecord
  phase: 'idle' | 'checking' | 'marking' | 'applying' | 'keeping' | 'rolling-back' | 'noting'
  current?: Wanted & { attempts: number }
  /** What `noting` writes down, and why a roll-back is done. */
  verdict?: Verdict
  /** Arrived while another was being worked on. */
  next?: Wanted & { digest?: string }
}

export type DesiredEvent =
  | { kind: 'received'; wanted: Wanted & { digest?: string } }
  /** After a start: a version that was being applied when the daemon died is tried once more. */
  | { kind: 'resume' }
  | { kind: 'checked'; problems: Problem[] }
  | { kind: 'stored' }
  | { kind: 'store-failed'; message: string }
  | { kind: 'applied'; problems: Problem[] }
  | { kind: 'rolled-back'; problems: Problem[] }

export type DesiredEffect =
  | { kind: 'check'; wanted: Wanted & { digest?: string } }
  | { kind: 'store'; record: DesiredRecord }
  | { kind: 'apply'; patch: JsonObject }
  /** Apply the last-good config again; without one, the file's own. */
  | { kind: 'roll-back'; patch: JsonObject | undefined }
  | { kind: 'report'; verdict: Verdict }
  | { kind: 'log'; verdict: Verdict }

/** A config that the daemon died of is tried this often in all. */
export const MOST_ATTEMPTS = 2

export function initialDesired(record: DesiredRecord): DesiredState {
  return { record, phase: 'idle' }
}

/** The highest version that got a verdict or is being worked on: HQ need not send it again. */
export function versionOf(state: DesiredState): number {
  return Math.max(
    0,
    state.record.good?.version ?? 0,
    state.record.trying?.version ?? 0,
    state.record.verdict?.version ?? 0,
    state.current?.version ?? 0,
  )
}

type Effects = readonly DesiredEffect[]
const NONE: Effects = []

export const desiredMachine: Machine<DesiredState, DesiredEvent, DesiredEffect> = {
  step(state, event) {
    switch (event.kind) {
      case 'received':
        return receive(state, event.wanted)
      case 'resume':
        return resume(state)
      case 'checked':
        return state.phase === 'checking' ? checked(state, event.problems) : NONE
      case 'stored':
        return stored(state)
      case 'store-failed':
        return storeFailed(state, event.message)
      case 'applied':
        return state.phase === 'applying' ? applied(state, event.problems) : NONE
      case 'rolled-back':
        return state.phase === 'rolling-back' ? rolledBack(state, event.problems) : NONE
    }
  },
}

function receive(state: DesiredState, wanted: Wanted & { digest?: string }): Effects {
  if (state.phase !== 'idle') {
    if (wanted.version > versionOf(state) && wanted.version > (state.next?.version ?? 0)) state.next = wanted
    return NONE
  }
  // The same again (every reconnect brings the retained one) changes nothing and disturbs no device.
  if (wanted.version <= versionOf(state)) return state.record.verdict ? [{ kind: 'report', verdict: state.record.verdict }] : NONE
  state.phase = 'checking'
  state.current = { version: wanted.version, patch: wanted.patch, attempts: 0 }
  return [{ kind: 'check', wanted }]
}

function resume(state: DesiredState): Effects {
  const { trying } = state.record
  if (state.phase !== 'idle' || !trying) return state.record.verdict ? [{ kind: 'report', verdict: state.record.verdict }] : NONE
  state.current = trying
  if (trying.attempts >= MOST_ATTEMPTS) {
    const message = `the gateway went down ${trying.attempts} times while applying it; the last good config is back`
    return note(state, { version: trying.version, status: 'rolled-back', errors: [{ path: '', message }] })
  }
  state.phase = 'checking'
  return [{ kind: 'check', wanted: trying }]
}

function checked(state: DesiredState, problems: Problem[]): Effects {
  const { current } = state
  if (!current) return NONE
  if (problems.length > 0) return note(state, { version: current.version, status: 'rejected', errors: problems })
  state.phase = 'marking'
  state.current = { ...current, attempts: current.attempts + 1 }
  return [{ kind: 'store', record: { ...state.record, trying: state.current } }]
}

function stored(state: DesiredState): Effects {
  const { current, verdict } = state
  if (!current) return NONE
  if (state.phase === 'marking') {
    state.record = { ...state.record, trying: current }
    state.phase = 'applying'
    const applying: Verdict = { version: current.version, status: 'applying', errors: [] }
    return [
      { kind: 'report', verdict: applying },
      { kind: 'apply', patch: current.patch },
    ]
  }
  if (!verdict || (state.phase !== 'keeping' && state.phase !== 'noting')) return NONE
  state.record = recordWith(state, verdict)
  return [{ kind: 'report', verdict }, { kind: 'log', verdict }, ...rest(state)]
}

function applied(state: DesiredState, problems: Problem[]): Effects {
  const { current } = state
  if (!current) return NONE
  if (problems.length > 0) return rollBack(state, { version: current.version, status: 'rolled-back', errors: problems })
  const verdict: Verdict = { version: current.version, status: 'applied', errors: [] }
  state.phase = 'keeping'
  state.verdict = verdict
  return [{ kind: 'store', record: recordWith(state, verdict) }]
}

function rollBack(state: DesiredState, verdict: Verdict): Effects {
  state.phase = 'rolling-back'
  state.verdict = verdict
  return [{ kind: 'roll-back', patch: state.record.good?.patch }]
}

function rolledBack(state: DesiredState, problems: Problem[]): Effects {
  const { verdict } = state
  if (!verdict) return NONE
  const after = problems.map(({ path, message }) => ({ path, message: `after the roll-back: ${message}` }))
  return note(state, { ...verdict, errors: [...verdict.errors, ...after] })
}

function note(state: DesiredState, verdict: Verdict): Effects {
  state.phase = 'noting'
  state.verdict = verdict
  return [{ kind: 'store', record: recordWith(state, verdict) }]
}

/**
 * The journal took nothing. Before the config was applied: as if it had never arrived, so that HQ's next word tries again.
 * After: it would be gone at the next start, so it goes now. A verdict that could not be written down holds until then.
 */
function storeFailed(state: DesiredState, message: string): Effects {
  const { current } = state
  if (!current) return NONE
  const failure: Verdict = {
    version: current.version,
    status: 'rolled-back',
    errors: [{ path: '', message: `the journal could not store it: ${message}` }],
  }
  if (state.phase === 'keeping') return rollBack(state, failure)
  const verdict = state.phase === 'noting' && state.verdict ? state.verdict : failure
  if (state.phase === 'noting') state.record = recordWith(state, verdict)
  else delete state.record.trying
  return [{ kind: 'report', verdict }, { kind: 'log', verdict }, ...rest(state)]
}

/** Done with this one; on to what came meanwhile. */
function rest(state: DesiredState): Effects {
  const { next } = state
  state.phase = 'idle'
  delete state.current
  delete state.verdict
  delete state.next
  return next ? receive(state, next) : NONE
}

function recordWith(state: DesiredState, verdict: Verdict): DesiredRecord {
  const { current, record } = state
  const good = verdict.status === 'applied' && current ? { version: current.version, patch: current.patch } : record.good
  return { ...(good ? { good } : {}), verdict }
}
