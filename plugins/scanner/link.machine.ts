/** When to open a scanner's port, when to try again, and what to say about it. */
import type { Machine } from '../../daemon/contract/machine.ts'
import type { DeviceState } from '../../daemon/contract/plugin.ts'

export interface RetryPolicy {
  /** Wait before the first, second, … attempt after a failure, in ms; the last one repeats. */
  waitsMs: readonly number[]
  /** Share of the wait that is random, so that a shop's scanners do not come back in step: 0.2 is ±20 %. */
  jitter: number
}

/** A port that stayed open this long was a good one: the next failure starts with the first wait again. */
const STABLE_MS = 5_000

export interface LinkState {
  readonly policy: RetryPolicy
  phase: 'closed' | 'opening' | 'open' | 'waiting' | 'stopped'
  /** Failures in a row. */
  failures: number
  openedAt: number
  /** Why it is not open. */
  detail: string
  garbage: boolean
}

export type LinkEvent =
  | { kind: 'start' }
  | { kind: 'opened'; now: number }
  /** `random` is in [0, 1). */
  | { kind: 'failed'; detail: string; random: number }
  | { kind: 'lost'; detail: string; now: number; random: number }
  /** The wait is over, or the port has appeared before that. */
  | { kind: 'due' }
  | { kind: 'garbage'; on: boolean }
  | { kind: 'stop' }

export type LinkEffect =
  | { kind: 'open' }
  | { kind: 'wait'; ms: number }
  /** Only what is news. */
  | { kind: 'state'; state: DeviceState }

export function newLink(policy: RetryPolicy): LinkState {
  return { policy, phase: 'closed', failures: 0, openedAt: 0, detail: '', garbage: false }
}

export const linkMachine: Machine<LinkState, LinkEvent, LinkEffect> = {
  step(state, event) {
    if (state.phase === 'stopped') return []
    switch (event.kind) {
      case 'start':
      case 'due':
        if (state.phase !== 'closed' && state.phase !== 'waiting') return []
        state.phase = 'opening'
        return [{ kind: 'open' }]
      case 'opened':
        if (state.phase !== 'opening') return []
        state.phase = 'open'
        state.openedAt = event.now
        state.detail = ''
        state.garbage = false
        return [{ kind: 'state', state: { state: 'online' } }]
      case 'failed':
        return state.phase === 'opening' ? retry(state, event.detail, event.random) : []
      case 'lost':
        if (state.phase !== 'open') return []
        if (event.now - state.openedAt >= STABLE_MS) state.failures = 0
        return retry(state, event.detail, event.random)
      case 'garbage':
        if (state.phase !== 'open' || state.garbage === event.on) return []
        state.garbage = event.on
        return [{ kind: 'state', state: event.on ? { state: 'fault', detail: 'garbage' } : { state: 'online' } }]
      case 'stop':
        state.phase = 'stopped'
        return []
    }
  },
}

function retry(state: LinkState, detail: string, random: number): readonly LinkEffect[] {
  const { waitsMs, jitter } = state.policy
  const base = waitsMs[Math.min(state.failures, waitsMs.length - 1)] ?? 1_000
  state.failures += 1
  state.phase = 'waiting'
  const wait: LinkEffect = { kind: 'wait', ms: Math.round(base * (1 + jitter * (2 * random - 1))) }
  if (state.detail === detail) return [wait]
  state.detail = detail
  return [{ kind: 'state', state: { state: 'offline', detail } }, wait]
}
