/** What the payment machine holds, hears and asks for. */
import type { JsonObject } from '../../daemon/contract/json.ts'
import type { MonoMs } from '../../daemon/contract/plugin.ts'
import { type Attempt, currentOf, isSettled, type Payment, type Show, type Telling } from './payment.ts'
import type { ChargeAnswer, QueryAnswer, RefundAnswer, Timing, UndoAnswer } from './providers/api.ts'

/** Of one attempt, in this process: a restart begins it anew. */
export interface Live {
  timing: Timing
  /** The call whose answer is awaited: one at a time. */
  pending?: Call
  /** When the attempt began, and when its charge was last let go. */
  since: number
  sentAt: number
  /** The next thing is due then; Infinity: when the answer comes. */
  dueAt: number
  /** The pay code is in hand, so the same charge may be sent again. */
  held: boolean
  sends: number
  /** A charge may have reached the provider. */
  maybeSent: boolean
  /** Answers in a row that brought nothing. */
  fruitless: number
  /** A query comes before the next undo. */
  askFirst: boolean
  undoRefused: boolean
  /** Of one that ended unpaid: not before then is it clear that no money will come. */
  watchAt: number
}

export interface LiveRefund {
  pending: boolean
  dueAt: number
  fruitless: number
}

export interface PaymentState {
  /** The durable part. */
  payment: Payment
  live: Record<string, Live>
  liveRefunds: Record<string, LiveRefund>
  expiresAt: number
}

export type Call = 'charge' | 'query' | 'undo' | 'pay-back'

export interface Stamp {
  now: MonoMs
  /** RFC 3339. */
  at: string
}

/** Paid, with the payer's id replaced by a pseudonym. */
export interface PaidWord {
  kind: 'paid'
  transaction: string
  paidAt?: string
  payer?: string
  firstPayment?: boolean
}

type Hashed<Answer> = Answer extends { kind: 'paid' } ? PaidWord : Answer

export type Answer =
  | { to: 'charge'; answer: Hashed<ChargeAnswer> }
  | { to: 'query'; answer: Hashed<QueryAnswer> }
  | { to: 'undo'; answer: Hashed<UndoAnswer> }
  | { to: 'pay-back'; answer: RefundAnswer }

export type PaymentEvent = Stamp &
  (
    | { kind: 'opened'; expiresInMs: number }
    /** After a restart: the state is what was durable. `expiresInMs`: until `expiresAt`, by the wall clock. */
    | { kind: 'boot'; timings: Record<string, Timing>; expiresInMs: number }
    /** A pay code is in hand, or the shop is to show one, or cash was taken. */
    | { kind: 'charge'; provider: string; channel: string; show: Show; timing: Timing }
    | ({ kind: 'answered'; number: string } & Answer)
    | { kind: 'due' }
    | { kind: 'cancel' }
    /** The till asks: now, whatever the timers say. */
    | { kind: 'look' }
    | { kind: 'refund'; amount?: number; reason?: string }
    | { kind: 'refund-answered'; refund: string; answer: RefundAnswer }
    | { kind: 'member'; visitor: string }
    /** Redemption has heard of it. */
    | { kind: 'settled'; n: number }
  )

export type RefusalCode = 'payment-state' | 'amount-invalid'

export type PaymentEffect =
  /**
   * The payment as it is after this step and the events of `tell` become durable together, before anything that follows; where that
   * fails, the step has not happened. `mayWait`: nobody waits for it.
   */
  | { do: 'save'; tell: readonly Telling[]; mayWait?: true }
  /** Preceded by the `save` that holds its number. */
  | { do: 'call'; call: Call; number: string }
  | { do: 'refund'; refund: string }
  /** Redemption is to hear of what was told: again after a crash. */
  | { do: 'settle'; n: number }
  /** The pay code is of no more use. */
  | { do: 'drop-code' }
  /** What was asked cannot be done; nothing has changed. */
  | { do: 'refuse'; code: RefusalCode; message: string }
  /** For a person's eyes. */
  | { do: 'alarm'; number: string; message: string }

/** Collects the effects of one step: the save first, whatever asked for it. */
export class Step {
  readonly state: PaymentState
  readonly stamp: Stamp
  readonly #effects: PaymentEffect[] = []
  readonly #tell: Telling[] = []
  #save: 'no' | 'may-wait' | 'now' = 'no'

  constructor(state: PaymentState, stamp: Stamp) {
    this.state = state
    this.stamp = stamp
  }

  get payment(): Payment {
    return this.state.payment
  }

  get now(): number {
    return this.stamp.now
  }

  save(): void {
    this.#save = 'now'
  }

  /** Nothing depends on it but how much a restart looks at. */
  saveSometime(): void {
    if (this.#save === 'no') this.#save = 'may-wait'
  }

  add(effect: Exclude<PaymentEffect, { do: 'save' | 'settle' }>): void {
    this.#effects.push(effect)
  }

  /** Durable with the step. */
  tell(event: Telling['event'], data: JsonObject, settle?: NonNullable<Telling['settle']>): void {
    const { payment } = this
    payment.told += 1
    const telling: Telling = { n: payment.told, event, at: this.stamp.at, data, ...(settle === undefined ? {} : { settle }) }
    this.#tell.push(telling)
    if (event === 'opened' || settle !== undefined) {
      payment.tellings.push({ ...telling, told: true })
      this.#effects.push({ do: 'settle', n: telling.n })
    }
    this.save()
  }

  /** What was left when the last process ended. */
  retell(telling: Telling): void {
    if (!telling.told) {
      this.#tell.push({ ...telling })
      telling.told = true
      this.save()
    }
    this.#effects.push({ do: 'settle', n: telling.n })
  }

  /** Absent: its provider is not configured any more, and nobody can be asked. */
  liveOf(attempt: Attempt): Live | undefined {
    return this.state.live[attempt.number]
  }

  live(attempt: Attempt): Live {
    const live = this.state.live[attempt.number]
    if (!live) throw new Error(`attempt ${attempt.number} has no live part`)
    return live
  }

  call(attempt: Attempt, call: Call): void {
    const live = this.live(attempt)
    live.pending = call
    live.dueAt = Number.POSITIVE_INFINITY
    this.add({ do: 'call', call, number: attempt.number })
  }

  effects(): readonly PaymentEffect[] {
    if (this.#save === 'no') return this.#effects
    const save: PaymentEffect = { do: 'save', tell: this.#tell, ...(this.#save === 'may-wait' ? { mayWait: true } : {}) }
    return [save, ...this.#effects]
  }
}

export const newLive = (timing: Timing, now: number): Live => ({
  timing,
  since: now,
  sentAt: now,
  dueAt: Number.POSITIVE_INFINITY,
  held: false,
  sends: 0,
  maybeSent: false,
  fruitless: 0,
  askFirst: false,
  undoRefused: false,
  watchAt: Number.POSITIVE_INFINITY,
})

/** When the machine wants to be stepped with `due`; Infinity: not by itself. */
export function nextDue(state: PaymentState): number {
  let due = expiryDue(state)
  for (const live of Object.values(state.live)) if (live.pending === undefined) due = Math.min(due, live.dueAt)
  for (const live of Object.values(state.liveRefunds)) if (!live.pending) due = Math.min(due, live.dueAt)
  return due
}

/** An attempt under way ends by its own rules; an order QR that is waiting ends with the payment's time. */
function expiryDue({ payment, live, expiresAt }: PaymentState): number {
  if (payment.end !== undefined) return Number.POSITIVE_INFINITY
  const last = currentOf(payment)
  if (!last || isSettled(last)) return expiresAt
  const running = live[last.number]
  return last.show === 'qr' && last.phase === 'waiting' && running?.pending === undefined ? expiresAt : Number.POSITIVE_INFINITY
}

const BACK_OFF_MOST_MS = 60_000

/** 1 s, 2 s, 4 s … 60 s. */
export const backOff = (fruitless: number, firstMs = 1_000): number => Math.min(BACK_OFF_MOST_MS, firstMs * 2 ** Math.min(fruitless, 10))
