import type { Json, JsonObject } from '../../../daemon/contract/json.ts'
import type { Findings } from '../findings.ts'
/** What the payment side tells the redemption side about the till's open payment. */
export interface OpenPayment {
  payment: string
  order: string
  till: string
  amount: number
  currency: string
}
export type PaymentOutcome = 'paid' | 'failed' | 'cancelled' | 'reversed' | 'refunded'
/** What redemption needs of the payment side. */
export interface PaymentDesk {
  /** The payment that is open at a till now. */
  openAt(till: string): OpenPayment | undefined
  /** The member whose code was scanned on this basket: recorded durably with the payment. */
  member(payment: string, visitor: string): Promise<void>
}
/** Codes other than pay codes: reserved, committed with the payment, released when there is none. */
export interface Redemptions {
  /** A scan of kind member, coupon, pickup or claim, from the journal: may be delivered again after a crash. `scan` identifies it. */
  scanned(scan: { scan: string; till: string; kind: 'member' | 'coupon' | 'pickup' | 'claim'; code: string; at: string }): Promise<void>
  opened(payment: OpenPayment): Promise<void>
  /** The payment is final. Called at least once, again after a crash; resolves when the outcome is durably noted (telling HQ may come later). */
  settled(payment: string, outcome: PaymentOutcome): Promise<void>
  /** Commands `redeem`, `release`, `redemptions`, `member`, `display`; undefined: not one of mine. */
  handle(command: string, args: JsonObject, id: string): Promise<Json> | undefined
  /** Redemption's part of the command `self-check`. */
  findings(): Findings
  stop(): Promise<void>
}
