/** One redemption of one code: what is kept of it on disk. Types and small pure questions only. */
import type { ErrorCode } from '../../../daemon/contract/errors.ts'
import type { JsonObject } from '../../../daemon/contract/json.ts'
import type { PaymentOutcome } from './api.ts'

export const KINDS = ['coupon', 'pickup', 'claim'] as const
export type CodeKind = (typeof KINDS)[number]

/**
 * - `reserving`: the intent is durable; HQ is being asked, or the offline list.
 * - `reserved`: the till has heard yes, and no one else may use the code here.
 * - `committing`: the payment is paid; HQ is told until it confirms.
 * - `committed`: final; confirmed, or in conflict with what HQ knows (shown as such).
 * - `releasing`: there will be no payment; HQ is told until it confirms. `released`: final, the code is free again.
 * - `refused`: final; the till has heard why.
 * - `returning`: the payment was refunded; HQ is asked what becomes of the code. `returned`: final, the code is free again.
 */
export type Phase = 'reserving' | 'reserved' | 'committing' | 'committed' | 'releasing' | 'released' | 'refused' | 'returning' | 'returned'

/** Why a code was not taken, as a till can show it in its own words. */
export type Reason =
  /** The same code is on this sale already. */
  | 'already-here'
  /** On another sale of this shop now. */
  | 'in-use'
  | 'used'
  | 'invalid'
  | 'expired'
  | 'not-yet'
  | 'wrong-shop'
  /** Too many wrong codes. */
  | 'locked'
  /** Over what may be redeemed while HQ is away. */
  | 'offline-limit'
  /** HQ is away, and the code is not on its list or there is no list that counts. */
  | 'hq-away'
  | 'hq-no-answer'
  /** HQ’s answer could not be read. */
  | 'hq-malformed'
  | 'hq-refused'
  /** Scanned too long ago when it was reached. */
  | 'late'
  /** The payment was final before HQ had answered. */
  | 'payment-final'

/** Why a code is free again. */
export type ReleaseReason = Exclude<PaymentOutcome, 'paid'> | 'expired' | 'till'

export const REASON_CODES: Record<Reason, ErrorCode> = {
  'already-here': 'code-used',
  'in-use': 'code-used',
  used: 'code-used',
  invalid: 'code-invalid',
  expired: 'code-invalid',
  'not-yet': 'code-invalid',
  'wrong-shop': 'code-invalid',
  locked: 'code-locked',
  'offline-limit': 'hq-unreachable',
  'hq-away': 'hq-unreachable',
  'hq-no-answer': 'hq-no-answer',
  'hq-malformed': 'hq-refused',
  'hq-refused': 'hq-refused',
  late: 'command-expired',
  'payment-final': 'payment-state',
}

export interface Worth {
  /** Minor units; 0 where the code is for goods. */
  value: number
  currency?: string
  /** What the till may show: "5.00 off". */
  label?: string
  /** For the till; not looked at here. */
  terms?: JsonObject
}

/** An event that is to be journaled, in the order of the list; it leaves the list when it is durable. */
export type News =
  | { event: 'redemption-reserved' }
  | { event: 'redemption-refused'; reason: Reason; message: string }
  | { event: 'redeemed' }
  | { event: 'released'; reason: ReleaseReason }
  | { event: 'redemption-conflict'; other: JsonObject }

export interface Redemption {
  id: string
  till: string
  kind: CodeKind
  /** Whole: HQ is told it again when a payment commits. It leaves this record only to HQ. */
  code: string
  /** Wall, ms. */
  at: number
  phase: Phase
  payment?: string
  order?: string
  worth?: Worth
  /** Taken on the word of the list HQ pushed, not of HQ. `day` is the shop’s calendar day, for the limit. */
  offline?: { list: number; day: string }
  /** Wall, ms: how long it is held for a payment that is not open yet. */
  heldUntil?: number
  /** An earlier redemption of the same code that HQ must know to be released first. */
  after?: string
  /** Counts as a guess. */
  wrong?: true
  /** Wall, ms: when HQ confirmed the end. */
  confirmedAt?: number
  conflict?: JsonObject
  /** The payment was refunded or reversed after it had been paid. */
  refund?: 'refunded' | 'reversed'
  /** Why it is not on any more. */
  ended?: { reason: Reason | ReleaseReason; message: string }
  news: News[]
}

/** HQ is still to be told, or the till to pay. */
export const isOpen = ({ phase }: Redemption): boolean =>
  phase === 'reserving' || phase === 'reserved' || phase === 'committing' || phase === 'releasing' || phase === 'returning'

/** Keeps others from using the code. */
export const occupies = ({ phase }: Redemption): boolean =>
  phase === 'reserving' || phase === 'reserved' || phase === 'committing' || phase === 'committed' || phase === 'returning'

export const codeKey = (kind: CodeKind, code: string): string => `${kind}:${code}`
