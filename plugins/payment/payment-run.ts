/** One payment at work: steps one after the other, each durable before its effects; effects performed, what comes of them fed back. */
import { asFailure, Failure } from '../../daemon/contract/errors.ts'
import type { Clock, Logger } from '../../daemon/contract/plugin.ts'
import { initialPayment, paymentMachine } from './payment.machine.ts'
import { type Attempt, isAtRest, type Payment, statusOf, type Telling } from './payment.ts'
import {
  type Answer,
  type Call,
  nextDue,
  type PaidWord,
  type PaymentEffect,
  type PaymentEvent,
  type PaymentState,
} from './payment-state.ts'
import type { Order, Paid, Provider, RefundAnswer } from './providers/api.ts'

export interface PaymentRunParts {
  clock: Clock
  log: Logger
  signal: AbortSignal
  provider: (name: string) => Promise<Provider>
  /** The payment and these events in one transaction. */
  save: (payment: Payment, tell: readonly Telling[], mayWait: boolean) => Promise<void>
  /** Lets redemption hear of what was told. Rejects: again later. */
  settle: (payment: Payment, telling: Telling) => Promise<void>
  hash: (payment: string, provider: Provider, payer: string) => Promise<{ payer: string; firstPayment: boolean }>
  /** After every step that changed what is shown. */
  changed: (run: PaymentRun) => void
  /** How a provider does: undefined after an answer, a reason after none. */
  health: (provider: string, trouble: string | undefined) => void
}

type Loose<Event> = Event extends unknown ? Omit<Event, 'now' | 'at'> : never
export type PaymentInput = Loose<PaymentEvent>

const RETRY_FIRST_MS = 1_000
const RETRY_MOST_MS = 30_000
/** Adapters keep their own time limits; this one is for what they forget. */
const CALL_MOST_MS = 60_000
/** A timer further away is set again on the way: setTimeout takes 2^31 ms at most. */
const TIMER_MOST_MS = 3_600_000

export class PaymentRun {
  #state: PaymentState
  readonly #parts: PaymentRunParts
  #steps: Promise<unknown> = Promise.resolve()
  #settling: Promise<void> = Promise.resolve()
  #cancelTimer = (): void => {}
  /** The shopper's pay code, for as long as the same charge may have to be sent again. Nowhere else. */
  #code: string | undefined

  constructor(payment: Payment, parts: PaymentRunParts) {
    this.#state = initialPayment(payment)
    this.#parts = parts
  }

  get payment(): Payment {
    return this.#state.payment
  }

  get atRest(): boolean {
    return isAtRest(this.payment)
  }

  /** Resolves when what the event decided is durable; rejects when it cannot be, or when the machine refuses. */
  feed(event: PaymentInput): Promise<void> {
    const done = this.#steps.then(() => this.#step(event))
    this.#steps = done.catch(() => {})
    return done
  }

  charge(event: PaymentInput & { kind: 'charge' }, code?: string): Promise<void> {
    const done = this.#steps.then(async () => {
      const kept = this.#code
      this.#code = code
      try {
        await this.#step(event)
      } catch (error) {
        this.#code = kept
        throw error
      }
    })
    this.#steps = done.catch(() => {})
    return done
  }

  async stop(): Promise<void> {
    this.#cancelTimer()
    await this.#steps
  }

  /** What a provider or a timer brought is never lost: where it cannot be stored, it waits and is told again. */
  async #insist(event: PaymentInput): Promise<void> {
    let warned = false
    for (let wait = RETRY_FIRST_MS; !this.#parts.signal.aborted; wait = Math.min(wait * 2, RETRY_MOST_MS)) {
      try {
        return await this.feed(event)
      } catch (error) {
        if (!warned)
          this.#parts.log.error({ payment: this.payment.id, code: asFailure(error).code }, 'a payment could not be stored; it waits')
        warned = true
        await this.#parts.clock.sleep(wait, this.#parts.signal).catch(() => {})
      }
    }
  }

  async #step(input: PaymentInput): Promise<void> {
    const { clock } = this.#parts
    const next = structuredClone(this.#state)
    const effects = paymentMachine.step(next, { ...input, now: clock.mono(), at: new Date(clock.wall()).toISOString() } as PaymentEvent)
    const before = statusOf(this.payment)
    const [save] = effects
    if (save?.do === 'save') await this.#parts.save(next.payment, save.tell, save.mayWait === true)
    this.#state = next
    let refused: Failure | undefined
    for (const effect of effects) refused = this.#perform(effect) ?? refused
    this.#arm()
    if (statusOf(next.payment) !== before || this.atRest) this.#parts.changed(this)
    if (refused) throw refused
  }

  #perform(effect: PaymentEffect): Failure | undefined {
    switch (effect.do) {
      case 'save':
        return undefined
      case 'call':
        void this.#call(effect.call, effect.number)
        return undefined
      case 'refund':
        void this.#refund(effect.refund)
        return undefined
      case 'settle':
        this.#settling = this.#settling.then(() => this.#settle(effect.n))
        return undefined
      case 'drop-code':
        this.#code = undefined
        return undefined
      case 'alarm':
        this.#parts.log.error({ payment: this.payment.id, number: effect.number }, effect.message)
        return undefined
      case 'refuse':
        return new Failure(effect.code, effect.message)
    }
  }

  #arm(): void {
    const { clock } = this.#parts
    this.#cancelTimer()
    this.#cancelTimer = (): void => {}
    const due = nextDue(this.#state)
    if (due === Number.POSITIVE_INFINITY || this.#parts.signal.aborted) return
    const wait = Math.min(Math.max(1, due - clock.mono()), TIMER_MOST_MS)
    this.#cancelTimer = clock.timer(wait, () => void this.#insist({ kind: 'due' }))
  }

  /** Preceded by the durable record that holds the number (`save` of the same step). */
  async #call(call: Call, number: string): Promise<void> {
    const attempt = this.payment.attempts.find((one) => one.number === number)
    if (!attempt) return
    const answer = await this.#ask(call, attempt)
    await this.#insist({ kind: 'answered', number, ...answer })
  }

  async #ask(call: Call, attempt: Attempt): Promise<Answer> {
    const order = this.#order(attempt)
    const limit = <Result>(answer: Promise<Result>): Promise<Result> => within(this.#parts.clock, answer, CALL_MOST_MS)
    let provider: Provider
    try {
      provider = await this.#parts.provider(attempt.provider)
    } catch (error) {
      // Its keys cannot be read, or it is not configured: nothing has been sent.
      const reason = asFailure(error, 'payment-unknown').code
      this.#parts.health(attempt.provider, reason)
      if (call === 'charge') return { to: call, answer: { kind: 'unsent', reason } }
      return call === 'undo' ? { to: call, answer: { kind: 'again', reason } } : { to: call, answer: { kind: 'unknown', reason } }
    }
    try {
      switch (call) {
        case 'charge': {
          const code = this.#code === undefined || attempt.show !== 'code' ? {} : { code: this.#code }
          const answer = await limit(provider.charge({ ...order, ...code }))
          this.#healthy(attempt.provider, answer)
          return { to: call, answer: answer.kind === 'paid' ? await this.#hashed(provider, answer) : answer }
        }
        case 'query': {
          const answer = await limit(provider.query(order))
          this.#healthy(attempt.provider, answer)
          return { to: call, answer: answer.kind === 'paid' ? await this.#hashed(provider, answer) : answer }
        }
        case 'undo': {
          const answer = await limit(provider.undo(order))
          this.#healthy(attempt.provider, answer)
          return { to: call, answer: answer.kind === 'paid' ? await this.#hashed(provider, answer) : answer }
        }
        case 'pay-back': {
          const back = { ...order, refund: `${attempt.number}U`, back: order.amount, reason: 'reversed' }
          return { to: call, answer: await limit(provider.refund(back)) }
        }
      }
    } catch (error) {
      // Whatever went wrong on our side of the adapter says nothing of the provider's.
      const answer = { kind: 'unknown' as const, reason: asFailure(error, 'payment-unknown').code }
      this.#parts.health(attempt.provider, answer.reason)
      return call === 'undo' ? { to: call, answer: { kind: 'again', reason: answer.reason } } : { to: call, answer }
    }
  }

  #healthy(provider: string, answer: { kind: string; reason?: string }): void {
    const trouble = answer.kind === 'unknown' || answer.kind === 'unsent' || answer.kind === 'again'
    this.#parts.health(provider, trouble ? answer.reason : undefined)
  }

  async #hashed(provider: Provider, { payer, ...paid }: Paid): Promise<PaidWord> {
    if (payer === undefined || payer === '') return paid
    try {
      return { ...paid, ...(await this.#parts.hash(this.payment.id, provider, payer)) }
    } catch {
      // The money counts more than who paid.
      return paid
    }
  }

  async #refund(number: string): Promise<void> {
    const refund = this.payment.refunds.find((one) => one.number === number)
    const attempt = this.payment.attempts.find((one) => one.phase === 'paid')
    if (!refund || !attempt) return
    let answer: RefundAnswer
    try {
      const provider = await this.#parts.provider(attempt.provider)
      const asked = {
        ...this.#order(attempt),
        refund: number,
        back: refund.amount,
        ...(refund.reason === undefined ? {} : { reason: refund.reason }),
      }
      answer = await within(this.#parts.clock, provider.refund(asked), CALL_MOST_MS)
    } catch (error) {
      answer = { kind: 'unknown', reason: asFailure(error, 'payment-unknown').code }
    }
    await this.#insist({ kind: 'refund-answered', refund: number, answer })
  }

  #order(attempt: Attempt): Order {
    const { amount, currency, till, order, expiresAt } = this.payment
    return { number: attempt.number, show: attempt.show, channel: attempt.channel, amount, currency, till, order, expiresAt }
  }

  async #settle(n: number): Promise<void> {
    const { signal, clock, log } = this.#parts
    const telling = this.payment.tellings.find((one) => one.n === n)
    if (!telling) return
    let warned = false
    for (let wait = RETRY_FIRST_MS; !signal.aborted; wait = Math.min(wait * 2, RETRY_MOST_MS)) {
      try {
        await this.#parts.settle(this.payment, telling)
        return await this.#insist({ kind: 'settled', n })
      } catch (error) {
        if (!warned)
          log.warn({ payment: this.payment.id, code: asFailure(error).code }, 'redemption could not hear of a payment yet; it waits')
        warned = true
        await clock.sleep(wait, signal).catch(() => {})
      }
    }
  }
}

async function within<Result>(clock: Clock, answer: Promise<Result>, ms: number): Promise<Result> {
  let cancel = (): void => {}
  const limit = new Promise<never>((_resolve, reject) => {
    cancel = clock.timer(ms, () => reject(new Failure('payment-unknown', `no answer within ${ms / 1000} s`)))
  })
  try {
    return await Promise.race([answer, limit])
  } finally {
    cancel()
  }
}
