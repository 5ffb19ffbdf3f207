/** When to open the adapter, what to do when it falls silent, and what to say about it. */
import type { Machine } from '../../../daemon/contract/machine.ts'
import type { DeviceState } from '../../../daemon/contract/plugin.ts'

/** Waits before the attempts after a failure, ms; the last one repeats. Looking costs next to nothing, and an adapter must be back within 30 s. */
const WAITS_MS = [1_000, 2_000, 5_000, 10_000, 15_000] as const
/** Share of a wait that is random. */
const JITTER = 0.2
/** Time each remedy gets to bring a report, ms. */
const REMEDY_MS = 5_000
/** After the report, the remedies go on at this pace, doubling up to the second, ms. */
const AGAIN_MS = 30_000
const AGAIN_MOST_MS = 600_000
/** An adapter that was open so long is a good one: the next failure starts with the first wait again. */
const STABLE_MS = 60_000

/** What is wrong with the adapter itself, not with it being away. */
const FAULTS: ReadonlySet<string> = new Set(['adapter-silent', 'scan-refused', 'permission-denied', 'unsupported'])

export interface AdapterState {
  /** No report for so long is suspect, ms. */
  silentMs: number
  phase: 'closed' | 'opening' | 'scanning' | 'waiting' | 'stopped'
  failures: number
  openedAt: number
  /** Monotonic ms of the last report. */
  heardAt: number
  /** Remedies tried since the last report: scan restarted, controller reset, then reported. */
  remedies: 0 | 1 | 2 | 3
  remedyAt: number
  againMs: number
  /** That it is deaf is more than a suspicion: something was expected, or it did not answer. */
  evident: boolean
  /** The last detail said; '' when all is well. */
  detail: string
}

export type AdapterEvent =
  | { kind: 'start' }
  | { kind: 'due' }
  /** The scan runs: the controller has said so. */
  | { kind: 'opened'; now: number }
  /** `random` is in [0, 1). */
  | { kind: 'failed'; detail: string; random: number }
  | { kind: 'lost'; detail: string; now: number; random: number }
  | { kind: 'heard'; now: number }
  /** Every second. `expected`: something that is not known to have gone ought to be heard. */
  | { kind: 'tick'; now: number; expected: boolean }
  /** A remedy was not answered. */
  | { kind: 'unanswered'; now: number; random: number }
  | { kind: 'stop' }

export type AdapterEffect =
  | { kind: 'open' }
  | { kind: 'close' }
  | { kind: 'wait'; ms: number }
  /** LE Set Scan Enable off and on. */
  | { kind: 'rescan' }
  /** HCI Reset, then scan again. */
  | { kind: 'reset' }
  /** Nothing has been heard since `since`: silence is the adapter's, not the beacons'. */
  | { kind: 'deaf'; since: number }
  /** `sure`: it was deaf indeed; else it may just as well have been quiet. */
  | { kind: 'hearing'; sure: boolean }
  /** Nothing is on the air, as at night: the adapter is well, and silence is a beacon's own, from its last sighting on. */
  | { kind: 'quiet' }
  /** Only what is news. */
  | { kind: 'state'; state: DeviceState }

export function newAdapter(silentMs: number): AdapterState {
  return {
    silentMs,
    phase: 'closed',
    failures: 0,
    openedAt: 0,
    heardAt: 0,
    remedies: 0,
    remedyAt: 0,
    againMs: AGAIN_MS,
    evident: true,
    detail: 'closed',
  }
}

const NOTHING: readonly AdapterEffect[] = []

export const adapterMachine: Machine<AdapterState, AdapterEvent, AdapterEffect> = {
  step(state, event) {
    if (state.phase === 'stopped') return NOTHING
    switch (event.kind) {
      case 'start':
      case 'due':
        if (state.phase !== 'closed' && state.phase !== 'waiting') return NOTHING
        state.phase = 'opening'
        return [{ kind: 'open' }]
      case 'opened':
        return opened(state, event.now)
      case 'failed':
        return state.phase === 'opening' ? away(state, event.detail, event.random) : NOTHING
      case 'lost':
        if (state.phase !== 'scanning' && state.phase !== 'opening') return NOTHING
        return lost(state, event.detail, event.now, event.random)
      case 'heard':
        return heard(state, event.now)
      case 'tick':
        return state.phase === 'scanning' ? watch(state, event.now, event.expected) : NOTHING
      case 'unanswered':
        if (state.phase !== 'scanning') return NOTHING
        // It does not even answer: a new start of the whole stack is all that is left.
        return lost(state, 'adapter-silent', event.now, event.random)
      case 'stop': {
        const open = state.phase === 'scanning' || state.phase === 'opening'
        state.phase = 'stopped'
        return open ? [{ kind: 'close' }] : NOTHING
      }
    }
  },
}

function opened(state: AdapterState, now: number): readonly AdapterEffect[] {
  if (state.phase !== 'opening') return NOTHING
  state.phase = 'scanning'
  state.openedAt = now
  state.heardAt = now
  state.againMs = AGAIN_MS
  // One that fell silent has to be heard before it is called well, where something ought to be heard.
  if (state.detail === 'adapter-silent') {
    state.remedies = 2
    state.remedyAt = now
    return NOTHING
  }
  state.remedies = 0
  return [...said(state, ''), { kind: 'hearing', sure: true }]
}

function heard(state: AdapterState, now: number): readonly AdapterEffect[] {
  if (state.phase !== 'scanning') return NOTHING
  state.heardAt = now
  if (state.remedies === 0) return NOTHING
  state.remedies = 0
  state.againMs = AGAIN_MS
  return [...said(state, ''), { kind: 'hearing', sure: state.evident }]
}

function watch(state: AdapterState, now: number, expected: boolean): readonly AdapterEffect[] {
  if (state.failures > 0 && now - state.openedAt >= STABLE_MS) state.failures = 0
  switch (state.remedies) {
    case 0:
      if (now - state.heardAt < state.silentMs) return NOTHING
      state.remedies = 1
      state.remedyAt = now
      state.evident = expected
      return [{ kind: 'deaf', since: state.heardAt }, { kind: 'rescan' }]
    case 1:
      if (now - state.remedyAt < REMEDY_MS) return NOTHING
      state.remedies = 2
      state.remedyAt = now
      return [{ kind: 'reset' }]
    case 2:
      if (now - state.remedyAt < REMEDY_MS) return NOTHING
      state.remedies = 3
      state.remedyAt = now
      // It has answered to both remedies. An empty shop sounds the same as a deaf adapter, but an empty shop is the usual case.
      return expected ? silent(state) : quiet(state)
    case 3:
      // What was missed is no longer expected: the shop has closed, the beacon has gone from the config.
      if (!expected && state.detail !== '') return quiet(state)
      if (now - state.remedyAt < state.againMs) return NOTHING
      state.remedyAt = now
      state.againMs = Math.min(state.againMs * 2, AGAIN_MOST_MS)
      return [{ kind: 'reset' }]
  }
}

function silent(state: AdapterState): readonly AdapterEffect[] {
  state.evident = true
  return said(state, 'adapter-silent')
}

/** After a fault for certain it hears again, for all that is known: everybody has the whole silence. */
function quiet(state: AdapterState): readonly AdapterEffect[] {
  const silence: AdapterEffect = state.evident ? { kind: 'hearing', sure: true } : { kind: 'quiet' }
  state.evident = false
  return [silence, ...said(state, '')]
}

function lost(state: AdapterState, detail: string, now: number, random: number): readonly AdapterEffect[] {
  const since = state.phase === 'scanning' && state.remedies === 0 ? state.heardAt : now
  if (state.phase === 'scanning' && now - state.openedAt >= STABLE_MS) state.failures = 0
  state.evident = true
  return [{ kind: 'close' }, { kind: 'deaf', since }, ...away(state, detail, random)]
}

function away(state: AdapterState, detail: string, random: number): readonly AdapterEffect[] {
  const base = WAITS_MS[Math.min(state.failures, WAITS_MS.length - 1)] ?? WAITS_MS[0]
  state.failures += 1
  state.phase = 'waiting'
  return [...said(state, detail), { kind: 'wait', ms: Math.round(base * (1 + JITTER * (2 * random - 1))) }]
}

function said(state: AdapterState, detail: string): readonly AdapterEffect[] {
  if (state.detail === detail) return NOTHING
  state.detail = detail
  if (detail === '') return [{ kind: 'state', state: { state: 'online' } }]
  return [{ kind: 'state', state: { state: FAULTS.has(detail) ? 'fault' : 'offline', detail } }]
}
