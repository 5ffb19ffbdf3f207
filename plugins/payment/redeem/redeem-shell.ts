/** The redemption machine at work: one event after the other, each durable before anybody hears of it. */
import { asFailure, Failure } from '../../../daemon/contract/errors.ts'
import type { Json, JsonObject } from '../../../daemon/contract/json.ts'
import type { PluginContext } from '../../../daemon/contract/plugin.ts'
import type { OpenPayment, PaymentDesk, PaymentOutcome } from './api.ts'
import type { RedeemConfig } from './config.ts'
import { deviceOf, newsData, withoutCode } from './event-data.ts'
import type { ListShelf } from './list-shelf.ts'
import { PastShelf } from './past-shelf.ts'
import { boot, nextDue, redeemMachine } from './redeem.machine.ts'
import type { Question, RedeemEffect, RedeemEvent, RedeemState } from './redeem-state.ts'
import type { CodeKind, Redemption } from './redemption.ts'

const RECORDS = 'redeem/code/'
const RETRY_MS = 1_000
/** How often what is over is forgotten, at least. */
const LOOK_ROUND_MS = 60_000
const TICK_LEAST_MS = 5
const ASK_MS = 10_000
const ASK_LEAST_MS = 100
const FIRST_PRUNE_MS = 15 * 60_000
const PRUNE_MS = 86_400_000
/** As plugin.json has it. */
const KEEP_DAYS = 180

/** `keepDays`: how long a payment can be refunded. */
export type RedeemContext = PluginContext<{ redeem: RedeemConfig; keepDays?: number }>
/** An event without its clock readings, which are taken when its turn comes. */
type Turn = RedeemEvent extends infer Event ? (Event extends RedeemEvent ? Omit<Event, 'now' | 'wall'> : never) : never

export class RedeemShell {
  readonly state: RedeemState
  readonly #context: RedeemContext
  readonly #desk: PaymentDesk
  readonly #shelf: ListShelf
  readonly #past: PastShelf
  #turn: Promise<unknown> = Promise.resolve()
  #stopping = false
  #cancelTick = (): void => {}
  #cancelPrune = (): void => {}
  readonly #waiting = new Map<string, Set<() => void>>()

  /** Takes up what a crash or stop left. */
  static async start(context: RedeemContext, desk: PaymentDesk, shelf: ListShelf): Promise<RedeemShell> {
    const { clock, config, gateway, store } = context
    const { holdSeconds, reserveSeconds, withoutPayment, offline, lock } = config.redeem
    const { state, effects } = boot(
      { store: gateway.store, holdMs: holdSeconds * 1_000, reserveMs: reserveSeconds * 1_000, withoutPayment, offline },
      { wrong: lock.wrong, windowMs: lock.windowSeconds * 1_000, lockMs: lock.lockSeconds * 1_000 },
      (await store.list(RECORDS)).map(({ value }) => value as unknown as Redemption),
      clock.mono(),
      clock.wall(),
    )
    const shell = new RedeemShell(context, desk, shelf, state)
    await shell.#inTurn(() => effects)
    shell.#pruneLater(FIRST_PRUNE_MS)
    return shell
  }

  private constructor(context: RedeemContext, desk: PaymentDesk, shelf: ListShelf, state: RedeemState) {
    this.#context = context
    this.#desk = desk
    this.#shelf = shelf
    this.#past = new PastShelf(context.store)
    this.state = state
  }

  get stopping(): boolean {
    return this.#stopping
  }

  async stop(): Promise<void> {
    this.#stopping = true
    this.#cancelTick()
    this.#cancelPrune()
    for (const id of [...this.#waiting.keys()]) this.#wake(id)
    await this.#turn.catch(() => {})
  }

  /** A code that was scanned, or that a till asks for; it is for the payment that is open when its turn comes. */
  scan(id: string, till: string, kind: CodeKind, code: string, at: number = this.#context.clock.wall()): Promise<void> {
    return this.take(() => ({ type: 'scanned', id, till, kind, code, at, open: this.#desk.openAt(till) }))
  }

  /** Resolves when what the event changed is durable. */
  take(make: () => Turn): Promise<void> {
    return this.#inTurn(() => redeemMachine.step(this.state, this.#timed(make())))
  }

  /** The payment is final, or its money went back. Resolves when that is durably noted. */
  async settled(payment: string, outcome: PaymentOutcome): Promise<void> {
    // A refund may come months after the sale.
    const past = outcome === 'refunded' || outcome === 'reversed' ? await this.#past.of(payment) : []
    const recalled = past.length > 0 ? this.take(() => ({ type: 'recalled', records: past })) : undefined
    // The very next turn: nothing may forget them again in between.
    const noted = this.take(() => ({ type: 'settled', payment, outcome }))
    await Promise.all([recalled, noted])
    for (const record of past) await this.#past.drop(record)
  }

  /** What memory says now may be on its way to the disk still; the till hears of it when it is there. */
  durable(): Promise<void> {
    return this.#inTurn(() => [])
  }

  /** Resolves when this redemption has changed, or the shell stops. */
  changed(id: string): Promise<void> {
    return new Promise((resolve) => {
      const waiting = this.#waiting.get(id) ?? new Set()
      waiting.add(resolve)
      this.#waiting.set(id, waiting)
    })
  }

  #timed(turn: Turn): RedeemEvent {
    const { clock } = this.#context
    return { ...turn, now: clock.mono(), wall: clock.wall() } as RedeemEvent
  }

  #inTurn(decide: () => readonly RedeemEffect[]): Promise<void> {
    const done = this.#turn.then(async () => {
      if (this.#stopping) throw new Failure('stopping', 'the plugin stops')
      for (const effect of decide()) await this.#perform(effect)
      this.#schedule()
    })
    this.#turn = done.catch(() => {})
    return done
  }

  async #perform(effect: RedeemEffect): Promise<void> {
    switch (effect.do) {
      case 'keep':
        await this.#untilStored(() => this.#context.store.put(RECORDS + effect.redemption.id, effect.redemption as unknown as Json))
        this.#wake(effect.redemption.id)
        return
      case 'forget':
        await this.#untilStored(() => this.#context.store.delete(RECORDS + effect.id))
        return
      case 'shelve':
        await this.#untilStored(() => this.#past.put(effect.redemption, this.#context.clock.wall()))
        await this.#untilStored(() => this.#context.store.delete(RECORDS + effect.redemption.id))
        return
      case 'ask':
        this.background(this.#ask(effect.id, effect.question, effect.args))
        return
      case 'look-up':
        this.background(this.#lookUp(effect.id, effect.kind, effect.code))
        return
      case 'tell':
        this.background(this.#tell(effect.id))
    }
  }

  /** While the disk is full nothing goes on, and nobody is told yes. */
  async #untilStored(write: () => Promise<void>): Promise<void> {
    for (let told = false; ; told = true) {
      try {
        return await write()
      } catch (error) {
        if (this.#stopping || this.#context.signal.aborted) throw error
        if (!told) this.#context.log.warn({ code: asFailure(error).code }, 'a redemption cannot be stored; tried until it is')
        await this.#context.clock.sleep(RETRY_MS, this.#context.signal).catch(() => {})
      }
    }
  }

  async #ask(id: string, question: Question, args: JsonObject): Promise<void> {
    const timeoutMs = question === 'reserve' ? this.#patience(id) : ASK_MS
    const timed: JsonObject = typeof args.at === 'number' ? { ...args, at: new Date(args.at).toISOString() } : args
    const { store } = this.state.settings
    let turn: () => Turn
    try {
      const answer = await this.#context.ask(question, { ...timed, store }, { id: `${id}:${question}`, timeoutMs })
      turn = () => ({ type: 'answered', id, question, answer })
    } catch (error) {
      const { code, message } = asFailure(error, 'hq-no-answer')
      turn = () => ({ type: 'failed', id, question, code, message: withoutCode(message, String(args.code)), random: Math.random() })
    }
    await this.take(turn)
  }

  /** Time for a second attempt, and never past the moment at which the till is answered. */
  #patience(id: string): number {
    const { settings, redemptions } = this.state
    const left = (redemptions.get(id)?.deadline ?? 0) - this.#context.clock.mono()
    return Math.max(ASK_LEAST_MS, Math.min(settings.reserveMs / 2, left))
  }

  async #lookUp(id: string, kind: CodeKind, code: string): Promise<void> {
    const word = await this.#shelf.word(kind, code)
    await this.take(() => ({ type: 'looked-up', id, word, day: localDay(this.#context.clock.wall()) }))
  }

  async #tell(id: string): Promise<void> {
    const { record } = this.state.redemptions.get(id) ?? {}
    const news = record?.news[0]
    if (!record || !news) return
    const data = newsData(record, news, this.#context.pseudonym)
    await this.#untilStored(async () => {
      try {
        await this.#context.emit({ device: deviceOf(record.till), event: news.event, data })
      } catch (error) {
        // It would be refused for ever; the record itself can still be asked for.
        if (asFailure(error).code !== 'event-invalid') throw error
        this.#context.log.error({ code: 'event-invalid', redemption: id }, asFailure(error).message)
      }
    })
    await this.take(() => ({ type: 'told', id }))
  }

  background(work: Promise<void>): void {
    work.catch((error: unknown) => {
      if (!this.#stopping) this.#context.log.error({ code: asFailure(error).code }, `redemption: ${asFailure(error).message}`)
    })
  }

  #pruneLater(ms: number): void {
    const { clock, config } = this.#context
    this.#cancelPrune = clock.timer(ms, () => {
      this.background(this.#past.prune(clock.wall(), config.keepDays ?? KEEP_DAYS))
      if (!this.#stopping) this.#pruneLater(PRUNE_MS)
    })
  }

  #schedule(): void {
    this.#cancelTick()
    if (this.#stopping) return
    const { clock } = this.#context
    const due = nextDue(this.state)
    const wait = due === undefined ? LOOK_ROUND_MS : Math.min(Math.max(due - clock.mono(), TICK_LEAST_MS), LOOK_ROUND_MS)
    this.#cancelTick = clock.timer(wait, () =>
      this.background(this.take(() => ({ type: 'tick', payments: this.#openWhereHeld(), listIssuedAt: this.#shelf.issuedAt }))),
    )
  }

  #openWhereHeld(): OpenPayment[] {
    const { open, redemptions } = this.state
    const tills = new Set([...open].map((id) => redemptions.get(id)?.record.till ?? ''))
    return [...tills].flatMap((till) => this.#desk.openAt(till) ?? [])
  }

  #wake(id: string): void {
    const waiting = this.#waiting.get(id)
    this.#waiting.delete(id)
    for (const resolve of waiting ?? []) resolve()
  }
}

/** The shop's calendar day. */
function localDay(wall: number): string {
  const date = new Date(wall)
  return `${date.getFullYear()}-${String(date.getMonth() + 1).padStart(2, '0')}-${String(date.getDate()).padStart(2, '0')}`
}
