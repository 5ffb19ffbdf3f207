/**
 * Orders to be paid, made inside a guest's session: what the payment events say of them, and how long they are shown. `wall` is Unix ms. One
 * order is one payment; its events come in order, the last one again after a crash.
 */
import type { Machine } from '../../../daemon/contract/machine.ts'

/** `open`: its QR is being made. `checking`: nobody can say whether it is paid. The last two are final. */
export type OrderPhase = 'open' | 'waiting' | 'checking' | 'paid' | 'ended'

export interface Order {
  payment: string
  order: string
  session: string
  /** Minor units. */
  amount: number
  currency: string
  phase: OrderPhase
  /** Content of the order QR. */
  qr?: string
  /** Whose app scans it. */
  channel?: string
  /** Past it, Unix ms, the QR is not shown whatever is heard. */
  until: number
  /** When its phase last changed. */
  at: number
}

export interface OrderState {
  readonly orders: Map<string, Order>
}

/** The events of the payment plugin, as far as they matter here. */
export type PaymentNews =
  | { news: 'opened'; payment: string; order: string; session: string; amount: number; currency: string; until: number }
  | { news: 'waiting'; payment: string; qr?: string; channel?: string }
  | { news: 'checking' | 'paid' | 'ended'; payment: string }

export type OrderEvent =
  | ({ kind: 'told'; wall: number } & PaymentNews)
  | { kind: 'session-ended'; session: string }
  /** What an earlier process kept, and the sessions that there are. */
  | { kind: 'restore'; orders: readonly Order[]; sessions: ReadonlySet<string>; wall: number }

export type OrderEffect = { kind: 'keep'; order: Order } | { kind: 'forget'; payment: string }

/** How long a final one is still shown, so that the shopper sees how it ended. */
export const SHOWN_MS = 10 * 60_000
/** A payment plugin that was taken away never says how it ended. */
const STALE_MS = 24 * 3_600_000
/** Of one session. */
const MOST = 5

export const newOrders = (): OrderState => ({ orders: new Map() })

export const isFinal = ({ phase }: Order): boolean => phase === 'paid' || phase === 'ended'

/** The one to show to a session: one that can still be paid, else the last that ended. */
export function orderOf({ orders }: OrderState, session: string, wall: number): Order | undefined {
  const mine = [...orders.values()].filter((one) => one.session === session && !isOld(one, wall))
  return mine.findLast((one) => !isFinal(one)) ?? mine.sort((a, b) => a.at - b.at).at(-1)
}

/** A QR whose time is over is not shown, although the provider's last word is still to come. */
export const phaseAt = ({ phase, until }: Order, wall: number): OrderPhase => (phase === 'waiting' && wall >= until ? 'checking' : phase)

export const ordersMachine: Machine<OrderState, OrderEvent, OrderEffect> = {
  step(state, event) {
    switch (event.kind) {
      case 'told':
        return [...forgetOld(state, event.wall), ...told(state, event)]
      case 'session-ended':
        return forget(state, (one) => one.session === event.session)
      case 'restore':
        for (const order of event.orders) state.orders.set(order.payment, order)
        return forget(state, (one) => !event.sessions.has(one.session) || isOld(one, event.wall))
    }
  },
}

function told(state: OrderState, event: OrderEvent & { kind: 'told' }): OrderEffect[] {
  const { payment, wall } = event
  const known = state.orders.get(payment)
  if (event.news === 'opened') {
    if (known) return [{ kind: 'keep', order: known }]
    const { order, session, amount, currency, until } = event
    const added: Order = { payment, order, session, amount, currency, until, phase: 'open', at: wall }
    state.orders.set(payment, added)
    const mine = [...state.orders.values()].filter((one) => one.session === session)
    const surplus = new Set(mine.slice(0, Math.max(0, mine.length - MOST)).map((one) => one.payment))
    return [{ kind: 'keep', order: added }, ...forget(state, (one) => surplus.has(one.payment))]
  }
  // Final is final; and of an order that is not ours nothing is kept. What is told again may not have been kept the first time.
  if (!known || (isFinal(known) && known.phase !== event.news)) return []
  const next: Order = { ...known, phase: event.news, at: known.phase === event.news ? known.at : wall }
  if (event.news === 'waiting') {
    if (event.qr !== undefined) next.qr = event.qr
    if (event.channel !== undefined) next.channel = event.channel
  }
  if (isFinal(next)) delete next.qr
  state.orders.set(payment, next)
  return [{ kind: 'keep', order: next }]
}

const isOld = (order: Order, wall: number): boolean =>
  isFinal(order) ? wall - order.at > SHOWN_MS : wall - Math.max(order.until, order.at) > STALE_MS

const forgetOld = (state: OrderState, wall: number): OrderEffect[] => forget(state, (one) => isOld(one, wall))

function forget(state: OrderState, which: (order: Order) => boolean): OrderEffect[] {
  const gone = [...state.orders.values()].filter(which)
  for (const { payment } of gone) state.orders.delete(payment)
  return gone.map(({ payment }) => ({ kind: 'forget', payment }))
}
