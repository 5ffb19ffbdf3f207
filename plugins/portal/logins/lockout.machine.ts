/**
 * Wrong one-time codes: a few and a station has to wait, many from everybody and all have to. A station can change its address, so the
 * second limit is what makes guessing hopeless: 100 tries per 10 minutes against 40 bits. `own`: codes that were sent to one station and have
 * limits of their own (SMS): they neither count for everybody, nor wait for them.
 */
import type { Machine } from '../../../daemon/contract/machine.ts'

export interface LockoutLimits {
  /** Wrong ones of one client within `windowMs`. */
  perClient: number
  /** Wrong ones of all clients within `windowMs`. */
  total: number
  windowMs: number
  lockMs: number
}

interface Tally {
  wrong: number
  since: number
  lockedUntil: number
}

export interface LockoutState {
  limits: LockoutLimits
  readonly clients: Map<string, Tally>
  all: Tally
}

export type LockoutEvent =
  | { kind: 'try'; client: string; own?: boolean; now: number }
  | { kind: 'wrong'; client: string; own?: boolean; now: number }
  | { kind: 'right'; client: string }
  | { kind: 'limits'; limits: LockoutLimits }

export type LockoutEffect =
  | { kind: 'locked'; seconds: number }
  /** News for the log: all clients are locked from now on. */
  | { kind: 'all-locked'; seconds: number }

/** Clients remembered at once; the oldest go. */
const MOST = 4_096

export function newLockout(limits: LockoutLimits): LockoutState {
  return { limits, clients: new Map(), all: { wrong: 0, since: 0, lockedUntil: 0 } }
}

export const lockoutMachine: Machine<LockoutState, LockoutEvent, LockoutEffect> = {
  step(state, event) {
    switch (event.kind) {
      case 'try': {
        const until = Math.max(event.own ? 0 : state.all.lockedUntil, state.clients.get(event.client)?.lockedUntil ?? 0)
        return until > event.now ? [{ kind: 'locked', seconds: Math.ceil((until - event.now) / 1000) }] : []
      }
      case 'wrong':
        return wrong(state, event.client, event.own ?? false, event.now)
      case 'right':
        state.clients.delete(event.client)
        return []
      case 'limits':
        state.limits = event.limits
        return []
    }
  },
}

function wrong(state: LockoutState, client: string, own: boolean, now: number): readonly LockoutEffect[] {
  const { limits } = state
  const tally = state.clients.get(client) ?? { wrong: 0, since: now, lockedUntil: 0 }
  state.clients.delete(client)
  state.clients.set(client, tally)
  const oldest = state.clients.keys().next()
  if (state.clients.size > MOST && !oldest.done) state.clients.delete(oldest.value)
  const effects: LockoutEffect[] = []
  if (add(tally, limits.perClient, limits, now)) effects.push({ kind: 'locked', seconds: Math.ceil(limits.lockMs / 1000) })
  if (!own && add(state.all, limits.total, limits, now)) effects.push({ kind: 'all-locked', seconds: Math.ceil(limits.lockMs / 1000) })
  return effects
}

function add(tally: Tally, most: number, limits: LockoutLimits, now: number): boolean {
  if (now - tally.since >= limits.windowMs) {
    tally.wrong = 0
    tally.since = now
  }
  tally.wrong += 1
  if (tally.wrong < most) return false
  tally.wrong = 0
  tally.since = now
  tally.lockedUntil = now + limits.lockMs
  return true
}
