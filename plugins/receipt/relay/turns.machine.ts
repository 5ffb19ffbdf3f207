/**
 * Whose turn it is at the printer. Port 9100 takes one client: a second till waits, and its bytes wait in its own socket. A till
 * that keeps its line open between receipts gives way at a cut when somebody waits, and gets the printer again when it next speaks.
 */

export type ClientId = number

export interface TurnLimits {
  /** Silence after a cut, ms, from when on a till that keeps its line open gives way. */
  shareMs: number
  /** Silence in the middle of a receipt, ms, after which the till is taken for gone when somebody waits. */
  stuckMs: number
  /** Clients that may wait. */
  waiting: number
}

export type TurnEvent =
  | { kind: 'arrived'; client: ClientId }
  /** A client that had given way sends again. */
  | { kind: 'spoke'; client: ClientId }
  /** A client without a turn has gone, with nothing left to print. */
  | { kind: 'left'; client: ClientId }
  /** The printer took the line for the client whose turn it is. */
  | { kind: 'opened' }
  | { kind: 'failed'; all: boolean }
  /** The line to the printer is free again; `keeps`: the client has given way and is still there. */
  | { kind: 'over'; keeps: boolean }
  /** `silent`: ms since the client or the printer said anything; `between`: nothing of a receipt is on its way. */
  | { kind: 'look'; silent: number; between: boolean }

export type TurnEffect =
  /** Its turn: open the line to the printer. */
  | { kind: 'open'; client: ClientId }
  /** The till must see that there is no printer: reset its connection. */
  | { kind: 'refuse'; client: ClientId; why: 'printer' | 'too-many' }
  /** Close the line to the printer; the client stays. */
  | { kind: 'park'; client: ClientId }
  /** Has been silent in the middle of a receipt while others wait: reset it. */
  | { kind: 'drop'; client: ClientId }
  /** Send `look` after `ms`. */
  | { kind: 'watch'; ms: number }

export class TurnState {
  readonly limits: TurnLimits
  active: ClientId | undefined
  phase: 'free' | 'opening' | 'open' | 'ending' = 'free'
  waiting: ClientId[] = []

  constructor(limits: TurnLimits) {
    this.limits = limits
  }
}

export const turnMachine = {
  step(state: TurnState, event: TurnEvent): readonly TurnEffect[] {
    switch (event.kind) {
      case 'arrived':
      case 'spoke':
        return joins(state, event.client)
      case 'left':
        state.waiting = state.waiting.filter((one) => one !== event.client)
        return []
      case 'opened':
        state.phase = 'open'
        return watch(state)
      case 'failed':
        return failed(state, event.all)
      case 'over':
        state.active = undefined
        state.phase = 'free'
        return next(state)
      case 'look':
        return look(state, event)
    }
  },
}

function joins(state: TurnState, client: ClientId): TurnEffect[] {
  if (state.active === client || state.waiting.includes(client)) return []
  if (state.waiting.length >= state.limits.waiting) return [{ kind: 'refuse', client, why: 'too-many' }]
  state.waiting.push(client)
  if (state.phase === 'free') return next(state)
  return state.phase === 'open' && state.waiting.length === 1 ? watch(state) : []
}

function next(state: TurnState): TurnEffect[] {
  const client = state.waiting.shift()
  if (client === undefined) return []
  state.active = client
  state.phase = 'opening'
  return [{ kind: 'open', client }]
}

/** `all`: nobody answers there, and to let each of those who wait find that out would take as long again. */
function failed(state: TurnState, all: boolean): TurnEffect[] {
  const refused = [...(state.active === undefined ? [] : [state.active]), ...(all ? state.waiting.splice(0) : [])]
  state.active = undefined
  state.phase = 'free'
  return [...refused.map((client): TurnEffect => ({ kind: 'refuse', client, why: 'printer' })), ...next(state)]
}

function look(state: TurnState, { silent, between }: Extract<TurnEvent, { kind: 'look' }>): TurnEffect[] {
  const { active, phase, limits } = state
  if (active === undefined || phase !== 'open' || state.waiting.length === 0) return []
  const most = between ? limits.shareMs : limits.stuckMs
  if (silent < most) return [{ kind: 'watch', ms: Math.max(1, Math.min(limits.shareMs, most - silent)) }]
  state.phase = 'ending'
  return [{ kind: between ? 'park' : 'drop', client: active }]
}

const watch = ({ waiting, limits }: TurnState): TurnEffect[] => (waiting.length > 0 ? [{ kind: 'watch', ms: limits.shareMs }] : [])
