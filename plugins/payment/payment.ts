/** One payment as it is kept: everything that must survive a power cut, and nothing that must not be kept (no pay code is in it). */
import type { JsonObject } from '../../daemon/contract/json.ts'

/** Who shows the code: the shopper's phone (`code`), or the shop an order QR (`qr`). `cash` has none. */
export type Show = 'code' | 'qr' | 'cash'

/**
 * Of one merchant order number. `sent`: the intent is durable, it may have been sent. `waiting`: the provider waits for the shopper.
 * `unknown`: nobody can say. `undoing`: being cancelled or reversed until confirmed. The others are final.
 */
export type AttemptPhase = 'sent' | 'waiting' | 'unknown' | 'undoing' | 'paid' | 'failed' | 'undone'

export interface Attempt {
  /** The merchant order number: made once, durable before anything is sent, never used for another code. */
  number: string
  provider: string
  channel: string
  show: Show
  phase: AttemptPhase
  /** RFC 3339. */
  at: string
  /** Why it failed, or what is not known. */
  reason?: string
  /** The provider has refused, which is believed once a query has confirmed it. */
  refusal?: string
  transaction?: string
  paidAt?: string
  /** Pseudonym. */
  payer?: string
  firstPayment?: boolean
  /** What the shop shows: `show: qr` only. */
  qr?: string
  /** The till has heard of the doubt. */
  doubtTold?: boolean
  /** Money arrived after the attempt had ended without any: it is being given back. */
  late?: boolean
  /** The provider will not undo it any more: it is refunded instead. */
  payBack?: boolean
  /** Of one that ended unpaid: whether a later look has shown that no money came after all. */
  watch?: 'due' | 'clear'
}

export type RefundPhase = 'sent' | 'unknown' | 'done' | 'refused'

export interface Refund {
  /** The merchant refund number: the same for every repeat. */
  number: string
  amount: number
  reason?: string
  phase: RefundPhase
  at: string
  /** Why the provider refused, or what is not known. */
  detail?: string
}

/** How a payment ended. `paid` may still be refunded. */
export type End = 'paid' | 'failed' | 'cancelled' | 'reversed'

/** What the till is shown. */
export type Status =
  | 'open'
  | 'charging'
  | 'awaiting-shopper'
  | 'paid'
  | 'failed'
  | 'cancelled'
  | 'reversed'
  | 'unknown'
  | 'partly-refunded'
  | 'refunded'

/**
 * Something that is told. Its event becomes durable with the record of the same step; the record keeps those that redemption is to hear of,
 * too, until it has, so that a crash in between costs no word.
 */
export interface Telling {
  n: number
  event: 'opened' | 'waiting' | 'paid' | 'failed' | 'unknown' | 'reversed' | 'cancelled' | 'refunded'
  at: string
  data: JsonObject
  /** What redemption is to hear with it. */
  settle?: 'paid' | 'failed' | 'cancelled' | 'reversed' | 'refunded'
  /** Its event is in the journal. Absent: of a version that told after it had stored. */
  told?: true
}

export interface Payment {
  id: string
  order: string
  till: string
  /** Minor units. */
  amount: number
  /** ISO 4217. */
  currency: string
  show: Show
  openedAt: string
  expiresAt: string
  lines?: JsonObject[]
  /** The portal session in which the order was made. */
  session?: string
  /** Device of the plugin printer on which the order QR is printed. */
  printer?: string
  /** Pseudonym of the member whose code was scanned on this basket. */
  member?: string
  attempts: Attempt[]
  refunds: Refund[]
  /** The till wants no money for it any more. */
  cancelAsked?: boolean
  end?: End
  /** What redemption has not heard of yet. */
  tellings: Telling[]
  /** How much has been told so far: numbers the tellings. */
  told: number
}

export const isSettled = (attempt: Attempt): boolean => attempt.phase === 'paid' || attempt.phase === 'failed' || attempt.phase === 'undone'

/** The one that counts now: one that is not final, else the last. */
export const currentOf = (payment: Payment): Attempt | undefined =>
  payment.attempts.findLast((one) => !isSettled(one)) ?? payment.attempts.at(-1)

/** What has left the payment for the shopper, or may have. */
export const refundedOf = (payment: Payment, also: readonly RefundPhase[] = []): number =>
  payment.refunds.reduce((sum, one) => (one.phase === 'done' || also.includes(one.phase) ? sum + one.amount : sum), 0)

export function statusOf(payment: Payment): Status {
  if (payment.end === 'paid') {
    const back = refundedOf(payment)
    if (back === 0) return 'paid'
    return back < payment.amount ? 'partly-refunded' : 'refunded'
  }
  if (payment.end) return payment.end
  const attempt = currentOf(payment)
  switch (attempt?.phase) {
    case undefined:
      return 'open'
    case 'sent':
      return 'charging'
    case 'waiting':
      return 'awaiting-shopper'
    case 'unknown':
    case 'undoing':
      return 'unknown'
    case 'paid':
      return 'paid'
    case 'failed':
    case 'undone':
      return 'failed'
  }
}

/** Whether it holds its till: no other can be opened there. */
export const isOpen = (payment: Payment): boolean => payment.end === undefined

/** Nothing is left to be done for it. */
export const isAtRest = (payment: Payment): boolean =>
  payment.end !== undefined &&
  payment.tellings.length === 0 &&
  payment.attempts.every((one) => isSettled(one) && one.watch !== 'due') &&
  payment.refunds.every((one) => one.phase === 'done' || one.phase === 'refused')
