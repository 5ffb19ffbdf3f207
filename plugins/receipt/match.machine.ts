/**
 * Which payment a receipt belongs to: the same order number, or else the one payment of that till and amount within minutes. Two
 * that would fit are none. Pure.
 */

export interface PaidPayment {
  payment: string
  order: string
  till: string
  /** Minor units. */
  amount: number
  currency: string
  /** Unix ms. */
  at: number
}

export interface PrintedReceipt {
  receipt: string
  till: string
  order?: string
  total?: number
  currency: string
  at: number
}

export interface Matched {
  receipt: string
  payment: string
  by: 'order' | 'amount'
}

export type MatchEvent =
  | { kind: 'paid'; payment: PaidPayment }
  | { kind: 'printed'; receipt: PrintedReceipt }
  | { kind: 'time'; now: number }
export type MatchEffect = { kind: 'matched'; matched: Matched } | { kind: 'forget'; payment: string }

const MOST = 500

export class MatchState {
  readonly windowMs: number
  payments: PaidPayment[] = []
  receipts: PrintedReceipt[] = []
  /** Payments that were given to a receipt by their amount: an event may be told twice. */
  used: string[] = []

  constructor(windowMs: number) {
    this.windowMs = windowMs
  }
}

export const matchMachine = {
  step(state: MatchState, event: MatchEvent): readonly MatchEffect[] {
    switch (event.kind) {
      case 'paid':
        return paid(state, event.payment)
      case 'printed':
        return printed(state, event.receipt)
      case 'time':
        return forget(state, event.now)
    }
  },
}

/** The till may print before the provider has answered: an order slip, or a receipt that says "pay now". */
function paid(state: MatchState, payment: PaidPayment): MatchEffect[] {
  if (state.used.includes(payment.payment) || state.payments.some((one) => one.payment === payment.payment)) return []
  const old = forget(state, payment.at)
  const byOrder = state.receipts.filter((one) => one.order === payment.order && near(state, one, payment))
  const fits = byOrder.length > 0 ? byOrder : state.receipts.filter((one) => alike(state, one, payment))
  const receipt = fits.length === 1 ? fits[0] : undefined
  // Another payment of the same sum is about: then it is not known whose receipt this is.
  const rivals = byOrder.length > 0 || !receipt ? [] : state.payments.filter((one) => alike(state, receipt, one))
  state.payments.push(payment)
  if (!receipt || rivals.length > 0) return old
  return [...old, ...together(state, receipt, payment, byOrder.length > 0 ? 'order' : 'amount')]
}

function printed(state: MatchState, receipt: PrintedReceipt): MatchEffect[] {
  const old = forget(state, receipt.at)
  const byOrder = state.payments.filter((one) => one.order === receipt.order && near(state, receipt, one))
  const fits = byOrder.length > 0 ? byOrder : state.payments.filter((one) => alike(state, receipt, one))
  const payment = fits.length === 1 ? fits[0] : undefined
  state.receipts.push(receipt)
  if (!payment) return old
  return [...old, ...together(state, receipt, payment, byOrder.length > 0 ? 'order' : 'amount')]
}

/** The same order may be printed twice (a copy for the shop); its payment stays for that, one found by its amount is used up. */
function together(state: MatchState, receipt: PrintedReceipt, payment: PaidPayment, by: Matched['by']): MatchEffect[] {
  state.receipts = state.receipts.filter((one) => one !== receipt)
  const effects: MatchEffect[] = [{ kind: 'matched', matched: { receipt: receipt.receipt, payment: payment.payment, by } }]
  if (by === 'order') return effects
  state.payments = state.payments.filter((one) => one !== payment)
  state.used = [...state.used, payment.payment].slice(-MOST)
  return [...effects, { kind: 'forget', payment: payment.payment }]
}

const near = (state: MatchState, receipt: PrintedReceipt, payment: PaidPayment): boolean =>
  Math.abs(receipt.at - payment.at) <= state.windowMs

function alike(state: MatchState, receipt: PrintedReceipt, payment: PaidPayment): boolean {
  return (
    receipt.till === payment.till &&
    receipt.total === payment.amount &&
    receipt.currency === payment.currency &&
    // Two order numbers that differ are two orders.
    (receipt.order === undefined || receipt.order === payment.order) &&
    near(state, receipt, payment)
  )
}

function forget(state: MatchState, now: number): MatchEffect[] {
  const fresh = (one: { at: number }) => now - one.at <= state.windowMs
  const gone = state.payments.filter((one) => !fresh(one)).concat(state.payments.filter(fresh).slice(0, -MOST))
  state.payments = state.payments.filter((one) => !gone.includes(one))
  state.receipts = state.receipts.filter(fresh).slice(-MOST)
  return gone.map((one) => ({ kind: 'forget', payment: one.payment }))
}
