/** The one interface behind which every provider stands. What it says decides; an adapter never throws and never guesses. */
import type { Show } from '../payment.ts'

/** All ms, monotonic. */
export interface Timing {
  /** From the charge, and from one question, to the next question. */
  queryMs: number
  /** How long the shopper may take to confirm a shown code; then it is undone. */
  giveUpMs: number
  /** An undo is not sent sooner after the charge. */
  undoAfterMs: number
  /** A charge that the provider has not seen within this time of being sent will not be seen any more. */
  settleMs: number
}

/** Money has moved, by the provider's signed word, under this number, for this amount. */
export interface Paid {
  kind: 'paid'
  transaction: string
  /** RFC 3339, the provider's. */
  paidAt?: string
  /** The payer's id, scoped by provider and app: it leaves the adapter for one place only, where it becomes a pseudonym. */
  payer?: string
}

export type ChargeAnswer =
  | Paid
  /** The shopper has to confirm, or to scan `qr`. */
  | { kind: 'waiting'; qr?: string }
  /** Refused, nothing charged. `sure: false`: to be confirmed by a query. */
  | { kind: 'failed'; reason: string; sure: boolean }
  /** Certain that nothing left the box. */
  | { kind: 'unsent'; reason: string }
  | { kind: 'unknown'; reason: string }

export type QueryAnswer =
  | Paid
  | { kind: 'waiting' }
  /** Closed, revoked or refused there: under this number no money will move, or all of it has been given back. */
  | { kind: 'failed'; reason: string }
  | { kind: 'not-found' }
  | { kind: 'unknown'; reason: string }

export type UndoAnswer =
  /** Confirmed: not charged and never will be, or given back. */
  | { kind: 'undone' }
  | { kind: 'not-found' }
  /** It has been paid, and neither this undo nor an earlier one takes the money back (WeChat's close of an order QR). */
  | Paid
  /** Not yet, or not known. */
  | { kind: 'again'; reason: string }
  /** Will not be undone this way. */
  | { kind: 'refused'; reason: string }

export type RefundAnswer = { kind: 'refunded' } | { kind: 'refused'; reason: string } | { kind: 'unknown'; reason: string }

/** What is repeated with every call for one merchant order number, unchanged. */
export interface Order {
  number: string
  show: Show
  channel: string
  amount: number
  currency: string
  till: string
  order: string
  /** RFC 3339: past it an order QR is of no use. */
  expiresAt: string
}

export interface Charge extends Order {
  /** Bearer secret. Never logged, never stored. Absent with `show: qr`. */
  code?: string
}

export interface RefundOrder extends Order {
  refund: string
  /** Minor units of this refund. */
  back: number
  reason?: string
}

export interface Provider {
  readonly timing: Timing
  /** Prefix of the payer's ids: the same person has another id in another app. */
  readonly scope: string
  /** Loads what a first charge would otherwise wait for. */
  warm(): Promise<void>
  charge(charge: Charge): Promise<ChargeAnswer>
  query(order: Order): Promise<QueryAnswer>
  /** Cancels or reverses. May be repeated. */
  undo(order: Order): Promise<UndoAnswer>
  /** May be repeated with the same number: it is carried out once. */
  refund(refund: RefundOrder): Promise<RefundAnswer>
}

export const PROVIDERS = ['alipay', 'wechat', 'hq', 'cash'] as const
export type ProviderName = (typeof PROVIDERS)[number]
