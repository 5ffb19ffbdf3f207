/** Member codes: who stands at the till, for its display, the payment and the count of visits. */
import { asFailure, type ErrorCode, Failure } from '../../../daemon/contract/errors.ts'
import type { Json, JsonObject } from '../../../daemon/contract/json.ts'
import type { PluginContext } from '../../../daemon/contract/plugin.ts'
import type { Screens } from '../shown/screens.ts'
import type { OpenPayment, PaymentDesk } from './api.ts'
import type { RedeemConfig } from './config.ts'
import { codeHash, deviceOf, maskCode, withoutCode } from './event-data.ts'
import { type Guesses, guessedWrong, isLocked } from './guesses.machine.ts'

const RECORDS = 'redeem/member/'
const SHOWN_CHARACTERS = 16_384

interface MemberScan {
  id: string
  till: string
  code: string
  /** Wall, ms. */
  at: number
}

/** On disk: the code until it has been asked for, then only the pseudonym, until a payment has it. */
interface Kept {
  id: string
  till: string
  at: number
  code?: string
  visitor?: string
}

/** What HQ says of a member: `display` may be journaled and shown to anybody at the till, `private` goes to those who ask here only. */
interface Answer {
  member?: string
  display?: JsonObject
  private?: JsonObject
}

interface Shown {
  data: JsonObject
  private?: JsonObject
  payment?: string
  /** Monotonic, ms. */
  until: number
  /** Of the timer that clears it. */
  cancel: () => void
}

type MemberContext = PluginContext<{ redeem: RedeemConfig }>

export class MemberDesk {
  readonly #context: MemberContext
  readonly #desk: PaymentDesk
  readonly #guesses: Guesses
  readonly #screens: Screens
  /** By till: a member who waits for a payment to be opened. */
  readonly #held = new Map<string, Kept>()
  readonly #shown = new Map<string, Shown>()
  #stopping = false

  constructor(context: MemberContext, desk: PaymentDesk, guesses: Guesses, screens: Screens) {
    this.#context = context
    this.#desk = desk
    this.#guesses = guesses
    this.#screens = screens
  }

  async open(): Promise<void> {
    for (const { key, value } of await this.#context.store.list(RECORDS)) {
      const kept = value as unknown as Kept
      if (this.#isLate(kept.at)) await this.#context.store.delete(key)
      else if (kept.code !== undefined) this.#background({ ...kept, code: kept.code })
      else this.#held.set(kept.till, kept)
    }
  }

  /** Resolves when the scan is durable; HQ is asked after that, so that no other scan waits for it. */
  async scanned(scan: MemberScan): Promise<void> {
    if (await this.#context.store.get(RECORDS + scan.id)) return
    const refusal = this.#refusal(scan)
    if (refusal) return this.#refused(scan, refusal.reason, refusal.message)
    await this.#keep({ ...scan })
    this.#background(scan)
  }

  /** The command `member`. Rejects with `code-invalid`, `code-locked`; without HQ the answer says so. */
  async ask(scan: MemberScan): Promise<Json> {
    const refusal = this.#refusal(scan)
    if (refusal) throw new Failure('code-locked', refusal.message)
    await this.#keep({ ...scan })
    await this.#look(scan, true)
    return this.display(scan.till)
  }

  async display(till: string): Promise<Json> {
    const pay = this.#screens.pay(till)
    const order: JsonObject = pay ? { pay: { ...pay } } : {}
    const shown = this.#shown.get(till)
    if (!shown || shown.until <= this.#context.clock.mono()) return { till, shown: pay !== undefined, ...order }
    return { ...shown.data, shown: true, ...(shown.private === undefined ? {} : { private: shown.private }), ...order }
  }

  async opened(payment: OpenPayment): Promise<void> {
    const shown = this.#shown.get(payment.till)
    if (shown && shown.payment === undefined) shown.payment = payment.payment
    const held = this.#held.get(payment.till)
    if (!held) return
    this.#held.delete(payment.till)
    if (held.visitor !== undefined && !this.#isLate(held.at)) await this.#desk.member(payment.payment, held.visitor)
    await this.#context.store.delete(RECORDS + held.id)
  }

  /** The basket is over: the display forgets the member. */
  async settled(payment: string): Promise<void> {
    for (const [till, shown] of [...this.#shown]) if (shown.payment === payment) await this.#clear(till)
  }

  async #clear(till: string): Promise<void> {
    this.#shown.get(till)?.cancel()
    this.#shown.delete(till)
    await this.#screens.member(till, undefined)
  }

  /** A crash may have come between the opening of a payment and our hearing of it. Says whether somebody still waits. */
  async look(): Promise<boolean> {
    for (const till of [...this.#held.keys()]) {
      const payment = this.#desk.openAt(till)
      if (payment) await this.opened(payment)
    }
    return this.#held.size > 0
  }

  stop(): void {
    this.#stopping = true
    for (const { cancel } of this.#shown.values()) cancel()
  }

  #refusal({ till, at }: MemberScan): { reason: 'late' | 'locked'; message: string } | undefined {
    if (this.#isLate(at)) return { reason: 'late', message: 'the code was scanned too long ago; scan it again' }
    if (isLocked(this.#guesses, till, this.#context.clock.mono()))
      return { reason: 'locked', message: 'too many wrong codes; try again later' }
    return undefined
  }

  #isLate(at: number): boolean {
    return this.#context.clock.wall() - at > this.#context.config.redeem.holdSeconds * 1_000
  }

  #background(scan: MemberScan): void {
    this.#look(scan, false).catch((error: unknown) => {
      if (!this.#stopping)
        this.#context.log.warn({ code: asFailure(error).code }, `a member scan was not taken: ${asFailure(error).message}`)
    })
  }

  /** Asks HQ and tells display, visits and payment. Its steps may be done twice after a crash; each bears that. */
  async #look(scan: MemberScan, strict: boolean): Promise<void> {
    const payment = this.#desk.openAt(scan.till)
    const asked = await this.#askHq(scan, payment)
    if ('refused' in asked) {
      if (asked.refused === 'code-invalid') guessedWrong(this.#guesses, scan.till, this.#context.clock.mono())
      await this.#refused(scan, asked.refused === 'code-invalid' ? 'invalid' : 'hq-refused', asked.message)
      await this.#context.store.delete(RECORDS + scan.id)
      if (strict) throw new Failure(asked.refused, asked.message)
      return
    }
    const { answer } = asked
    const { codeIsId } = this.#context.config.redeem.member
    const id = answer ? (answer.member ?? scan.code) : codeIsId ? scan.code : undefined
    const visitor = id === undefined ? undefined : this.#context.pseudonym('person', id)
    await this.#show(scan, answer, visitor)
    if (visitor === undefined) return this.#context.store.delete(RECORDS + scan.id)
    await this.#context.emit({
      device: deviceOf(scan.till),
      event: 'present',
      data: { visitor, by: 'member', role: 'member', stays: false },
    })
    await this.#hand(scan, visitor)
  }

  async #askHq(
    { id, till, code, at }: MemberScan,
    payment: OpenPayment | undefined,
  ): Promise<{ answer: Answer | undefined } | { refused: ErrorCode; message: string }> {
    const { gateway, config, ask } = this.#context
    const sale: JsonObject = payment ? { payment: payment.payment, order: payment.order } : {}
    try {
      const said = await ask(
        'member',
        { code, till, store: gateway.store, at: new Date(at).toISOString(), ...sale },
        { id: `${id}:member`, timeoutMs: Math.max(500, (config.redeem.reserveSeconds * 1_000) / 2) },
      )
      return { answer: readAnswer(said) }
    } catch (error) {
      const { code: why, message } = asFailure(error, 'hq-no-answer')
      const word = why === 'code-invalid' || why === 'code-used' || why === 'code-locked' || why === 'hq-refused' || why === 'forbidden'
      return word ? { refused: why, message: withoutCode(message, code) } : { answer: undefined }
    }
  }

  async #show(scan: MemberScan, answer: Answer | undefined, visitor: string | undefined): Promise<void> {
    const { config, clock } = this.#context
    const { display, displaySeconds } = config.redeem.member
    const ms = displaySeconds * 1_000
    const until = new Date(clock.wall() + ms).toISOString()
    const who: JsonObject = { till: scan.till, offline: answer === undefined, until, ...(visitor === undefined ? {} : { visitor }) }
    const full = answer?.display === undefined ? who : { ...who, display: answer.display }
    const payment = this.#desk.openAt(scan.till)?.payment
    this.#shown.get(scan.till)?.cancel()
    this.#shown.set(scan.till, {
      data: full,
      until: clock.mono() + ms,
      cancel: clock.timer(ms, () => {
        this.#clear(scan.till).catch((error: unknown) =>
          this.#context.log.warn({ code: asFailure(error).code }, 'a display was not cleared'),
        )
      }),
      ...(answer?.private === undefined ? {} : { private: answer.private }),
      ...(payment === undefined ? {} : { payment }),
    })
    await this.#screens.member(scan.till, display === 'event' ? full : who)
  }

  /** To the payment that is open now, or to the next one of this till. */
  async #hand(scan: MemberScan, visitor: string): Promise<void> {
    const { store } = this.#context
    const payment = this.#desk.openAt(scan.till)
    if (payment) {
      await this.#desk.member(payment.payment, visitor)
      return store.delete(RECORDS + scan.id)
    }
    const before = this.#held.get(scan.till)
    if (before && before.id !== scan.id) await store.delete(RECORDS + before.id)
    const kept: Kept = { id: scan.id, till: scan.till, at: scan.at, visitor }
    this.#held.set(scan.till, kept)
    await this.#keep(kept)
  }

  async #refused(scan: MemberScan, reason: string, message: string): Promise<void> {
    const data = {
      redemption: scan.id,
      kind: 'member',
      code: maskCode(scan.code),
      codeHash: codeHash(this.#context.pseudonym, 'member', scan.code),
      till: scan.till,
      offline: false,
      reason,
      message,
    }
    await this.#context.emit({ device: deviceOf(scan.till), event: 'redemption-refused', data })
  }

  async #keep(kept: Kept): Promise<void> {
    await this.#context.store.put(RECORDS + kept.id, kept as unknown as Json)
  }
}

function readAnswer(said: Json): Answer {
  const { member, display, private: own } = said !== null && typeof said === 'object' && !Array.isArray(said) ? said : ({} as JsonObject)
  return {
    ...(typeof member === 'string' && member !== '' && member.length <= 256 ? { member } : {}),
    ...(isShown(display) ? { display } : {}),
    ...(isShown(own) ? { private: own } : {}),
  }
}

const isShown = (value: Json | undefined): value is JsonObject =>
  value !== null && typeof value === 'object' && !Array.isArray(value) && JSON.stringify(value).length <= SHOWN_CHARACTERS
