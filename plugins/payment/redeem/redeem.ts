/** Codes of the shop's own, from scan to HQ's word: performs what the redemption machine decides. */
import { createHash } from 'node:crypto'
import { asFailure, Failure } from '../../../daemon/contract/errors.ts'
import type { Json, JsonObject } from '../../../daemon/contract/json.ts'
import type { PluginContext } from '../../../daemon/contract/plugin.ts'
import type { OpenPayment, PaymentDesk, PaymentOutcome, Redemptions } from './api.ts'
import { publicKeysOf, type RedeemConfig } from './config.ts'
import { deviceOf, faceOf, newsData, withoutCode } from './event-data.ts'
import { type ListPart, ListShelf } from './list-shelf.ts'
import { MemberDesk } from './member.ts'
import { boot, mayComplete, nextDue, redeemMachine } from './redeem.machine.ts'
import type { Question, RedeemEffect, RedeemEvent, RedeemState } from './redeem-state.ts'
import { type CodeKind, isOpen, REASON_CODES, type Reason, type Redemption } from './redemption.ts'

const RECORDS = 'redeem/code/'
const RETRY_MS = 1_000
/** How often what is over is forgotten, at least. */
const LOOK_ROUND_MS = 3_600_000
const TICK_LEAST_MS = 5
/** After a start the payment side is looked at so often for payments that members wait for. */
const LOOK_MS = 500
const LOOKS = 10

type RedeemContext = PluginContext<{ redeem: RedeemConfig }>
type Scan = Parameters<Redemptions['scanned']>[0]
/** An event without its clock readings, which are taken when its turn comes. */
type Turn = RedeemEvent extends infer Event ? (Event extends RedeemEvent ? Omit<Event, 'now' | 'wall'> : never) : never

/** Loads what a crash or stop left and goes on with it. A key that cannot be read turns the offline list off, and nothing else. */
export async function openRedemptions(context: RedeemContext, desk: PaymentDesk): Promise<Redemptions> {
  let keys: ReturnType<typeof publicKeysOf> = []
  try {
    keys = publicKeysOf(context.config.redeem.offline)
  } catch (error) {
    const { code, message } = asFailure(error)
    context.log.error({ code }, `${message}; no code is taken while HQ is away`)
  }
  const shelf = new ListShelf(context, keys)
  await shelf.open()
  const redeemer = new Redeemer(context, desk, shelf)
  await redeemer.open()
  return redeemer
}

class Redeemer implements Redemptions {
  readonly #context: RedeemContext
  readonly #desk: PaymentDesk
  readonly #shelf: ListShelf
  #members: MemberDesk | undefined
  #state: RedeemState | undefined
  /** One event after the other: what one has made durable is there for the next. */
  #turn: Promise<unknown> = Promise.resolve()
  #stopping = false
  #cancelTick = (): void => {}
  #cancelLook = (): void => {}
  readonly #waiting = new Map<string, Set<() => void>>()

  constructor(context: RedeemContext, desk: PaymentDesk, shelf: ListShelf) {
    this.#context = context
    this.#desk = desk
    this.#shelf = shelf
  }

  async open(): Promise<void> {
    const { clock, config, gateway, store } = this.#context
    const { redeem } = config
    const stored = (await store.list(RECORDS)).map(({ value }) => value as unknown as Redemption)
    const { state, effects } = boot(
      {
        store: gateway.store,
        holdMs: redeem.holdSeconds * 1_000,
        reserveMs: redeem.reserveSeconds * 1_000,
        withoutPayment: redeem.withoutPayment,
        offline: redeem.offline,
      },
      { wrong: redeem.lock.wrong, windowMs: redeem.lock.windowSeconds * 1_000, lockMs: redeem.lock.lockSeconds * 1_000 },
      stored,
      clock.mono(),
      clock.wall(),
    )
    this.#state = state
    this.#members = new MemberDesk(this.#context, this.#desk, state.guesses)
    await this.#inTurn(() => effects)
    await this.#members.open()
    this.#lookForPayments()
  }

  async scanned({ scan, till, kind, code, at }: Scan): Promise<void> {
    const parsed = Date.parse(at)
    const when = Number.isNaN(parsed) ? this.#context.clock.wall() : parsed
    if (kind === 'member') await this.#member.scanned({ id: shortId(scan), till, code, at: when })
    else await this.#scan(shortId(scan), till, kind, code, when)
  }

  async opened(payment: OpenPayment): Promise<void> {
    await this.#take(() => ({ type: 'opened', payment }))
    await this.#member.opened(payment)
  }

  async settled(payment: string, outcome: PaymentOutcome): Promise<void> {
    await this.#take(() => ({ type: 'settled', payment, outcome }))
    await this.#member.settled(payment)
  }

  handle(command: string, args: JsonObject, id: string): Promise<Json> | undefined {
    switch (command) {
      case 'redeem':
        return this.#redeem(args as unknown as RedeemArgs, id)
      case 'release':
        return this.#release(args as { redemption?: string; till?: string })
      case 'redemptions':
        return this.#redemptions(args as unknown as ListArgs)
      case 'code-list':
        return this.#codeList(args)
      case 'member':
        return this.#member.ask({ id: shortId(id), till: String(args.till), code: String(args.code), at: this.#context.clock.wall() })
      case 'display':
        return this.#member.display(String(args.till))
      default:
        return undefined
    }
  }

  async stop(): Promise<void> {
    this.#stopping = true
    this.#cancelTick()
    this.#cancelLook()
    this.#member.stop()
    for (const id of [...this.#waiting.keys()]) this.#wake(id)
    await this.#turn.catch(() => {})
  }

  get #member(): MemberDesk {
    if (!this.#members) throw new Failure('plugin-not-running', 'redemptions are not open yet')
    return this.#members
  }

  get #machine(): RedeemState {
    if (!this.#state) throw new Failure('plugin-not-running', 'redemptions are not open yet')
    return this.#state
  }

  async #redeem(args: RedeemArgs, commandId: string): Promise<Json> {
    if (args.redemption !== undefined) return this.#complete(args.redemption)
    const { till, kind, code } = args
    if (till === undefined || kind === undefined || code === undefined)
      throw new Failure('args-invalid', 'args: till, kind and code are needed to reserve a code, or redemption to complete one')
    const id = shortId(commandId)
    await this.#scan(id, till, kind, code, this.#context.clock.wall())
    while (this.#record(id).phase === 'reserving' && !this.#stopping) await this.#changed(id)
    await this.#durable()
    const record = this.#record(id)
    if (record.phase === 'reserving') throw new Failure('stopping', 'the plugin stops; the code is asked for again after the start')
    const no = record.worth === undefined ? record.ended : undefined
    if (!no) return answerOf(record)
    const same = no.reason === 'already-here' ? this.#find(record.kind, record.code) : undefined
    if (same && same.phase === 'reserved') return answerOf(same)
    throw new Failure(REASON_CODES[no.reason as Reason], `${no.reason}: ${no.message}`)
  }

  async #complete(id: string): Promise<Json> {
    const record = this.#record(id)
    if (record.phase !== 'committing' && record.phase !== 'committed') {
      if (!mayComplete(this.#machine, record))
        throw new Failure(
          'payment-state',
          `redemption ${id} is ${record.phase}${record.payment ? ` for payment ${record.payment}` : ''}; without a payment the till completes only ${this.#machine.settings.withoutPayment.join(' and ') || 'nothing'} while reserved`,
        )
      await this.#take(() => ({ type: 'completed', id }))
    }
    await this.#durable()
    return answerOf(this.#record(id))
  }

  async #release({ redemption, till }: { redemption?: string; till?: string }): Promise<Json> {
    if ((redemption === undefined) === (till === undefined)) throw new Failure('args-invalid', 'args: one of redemption and till is needed')
    const ids = redemption === undefined ? this.#reservedAt(String(till)) : [redemption]
    for (const id of ids) {
      const { phase } = this.#record(id)
      if (phase === 'reserving') throw new Failure('payment-state', `redemption ${id} is being asked for; wait for the answer`)
      if (phase === 'committing' || phase === 'committed')
        throw new Failure('payment-state', `redemption ${id} is ${phase}; refund the payment`)
      if (phase === 'reserved') await this.#take(() => ({ type: 'released', id }))
    }
    return { released: ids.map((id) => answerOf(this.#record(id))) }
  }

  #reservedAt(till: string): string[] {
    return [...this.#machine.redemptions.values()]
      .filter(({ record }) => record.till === till && record.phase === 'reserved')
      .map(({ record }) => record.id)
  }

  async #redemptions({ till, payment, open, limit }: ListArgs): Promise<Json> {
    const lives = [...this.#machine.redemptions.values()].filter(
      ({ record }) =>
        (till === undefined || record.till === till) &&
        (payment === undefined || record.payment === payment) &&
        (open !== true || isOpen(record)),
    )
    return {
      total: lives.length,
      redemptions: lives
        .slice(-limit)
        .reverse()
        .map(({ record, trouble }) => ({ ...answerOf(record), ...(trouble === undefined ? {} : { trouble }) })),
    }
  }

  async #codeList(args: JsonObject): Promise<Json> {
    if (args.payload === undefined) return this.#shelf.status()
    for (const key of ['version', 'part', 'parts', 'signature'])
      if (args[key] === undefined) throw new Failure('args-invalid', `args.${key}: is missing beside payload`)
    return this.#shelf.take(args as unknown as ListPart)
  }

  async #scan(id: string, till: string, kind: CodeKind, code: string, at: number): Promise<void> {
    await this.#take(() => ({ type: 'scanned', id, till, kind, code, at, open: this.#desk.openAt(till) }))
  }

  #find(kind: CodeKind, code: string): Redemption | undefined {
    return this.#machine.redemptions.get(this.#machine.byCode.get(`${kind}:${code}`) ?? '')?.record
  }

  #record(id: string): Redemption {
    const live = this.#machine.redemptions.get(id)
    if (!live) throw new Failure('not-found', `no redemption "${id}" is kept here`)
    return live.record
  }

  /** Resolves when what the event changed is durable. */
  #take(make: () => Turn): Promise<void> {
    return this.#inTurn(() => redeemMachine.step(this.#machine, this.#timed(make())))
  }

  /** What memory says now may be on its way to the disk still; the till hears of it when it is there. */
  #durable(): Promise<void> {
    return this.#inTurn(() => [])
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
      case 'ask':
        this.#background(this.#ask(effect.id, effect.question, effect.args))
        return
      case 'look-up':
        this.#background(this.#lookUp(effect.id, effect.kind, effect.code))
        return
      case 'tell':
        this.#background(this.#tell(effect.id))
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
    const timeoutMs = question === 'reserve' ? Math.max(500, this.#machine.settings.reserveMs / 2) : 10_000
    const timed: JsonObject = typeof args.at === 'number' ? { ...args, at: new Date(args.at).toISOString() } : args
    const { store } = this.#machine.settings
    let turn: () => Turn
    try {
      const answer = await this.#context.ask(question, { ...timed, store }, { id: `${id}:${question}`, timeoutMs })
      turn = () => ({ type: 'answered', id, question, answer })
    } catch (error) {
      const { code, message } = asFailure(error, 'hq-no-answer')
      turn = () => ({ type: 'failed', id, question, code, message: withoutCode(message, String(args.code)), random: Math.random() })
    }
    await this.#take(turn)
  }

  async #lookUp(id: string, kind: CodeKind, code: string): Promise<void> {
    const word = await this.#shelf.word(kind, code)
    await this.#take(() => ({ type: 'looked-up', id, word, day: localDay(this.#context.clock.wall()) }))
  }

  async #tell(id: string): Promise<void> {
    const { record } = this.#machine.redemptions.get(id) ?? {}
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
    await this.#take(() => ({ type: 'told', id }))
  }

  #background(work: Promise<void>): void {
    work.catch((error: unknown) => {
      if (!this.#stopping) this.#context.log.error({ code: asFailure(error).code }, `redemption: ${asFailure(error).message}`)
    })
  }

  #schedule(): void {
    this.#cancelTick()
    if (this.#stopping) return
    const { clock } = this.#context
    const due = nextDue(this.#machine)
    const wait = due === undefined ? LOOK_ROUND_MS : Math.min(Math.max(due - clock.mono(), TICK_LEAST_MS), LOOK_ROUND_MS)
    this.#cancelTick = clock.timer(wait, () =>
      this.#background(this.#take(() => ({ type: 'tick', payments: this.#openWhereHeld(), listIssuedAt: this.#shelf.issuedAt }))),
    )
  }

  /** The payment side may start after us; members wait for its payments no longer than a code would. */
  #lookForPayments(rounds = LOOKS): void {
    this.#cancelLook = this.#context.clock.timer(LOOK_MS, () =>
      this.#background(
        this.#member.look().then((waits) => {
          if (waits && rounds > 1 && !this.#stopping) this.#lookForPayments(rounds - 1)
        }),
      ),
    )
  }

  #openWhereHeld(): OpenPayment[] {
    const { open, redemptions } = this.#machine
    const tills = new Set([...open].map((id) => redemptions.get(id)?.record.till ?? ''))
    return [...tills].flatMap((till) => this.#desk.openAt(till) ?? [])
  }

  #changed(id: string): Promise<void> {
    return new Promise((resolve) => {
      const waiting = this.#waiting.get(id) ?? new Set()
      waiting.add(resolve)
      this.#waiting.set(id, waiting)
    })
  }

  #wake(id: string): void {
    const waiting = this.#waiting.get(id)
    this.#waiting.delete(id)
    for (const resolve of waiting ?? []) resolve()
  }
}

interface RedeemArgs {
  till?: string
  kind?: CodeKind
  code?: string
  redemption?: string
}

interface ListArgs {
  till?: string
  payment?: string
  open?: boolean
  limit: number
}

function answerOf(record: Redemption): JsonObject {
  const { phase, heldUntil, conflict, ended, at } = record
  return {
    ...faceOf(record),
    state: phase,
    at: new Date(at).toISOString(),
    ...(heldUntil === undefined ? {} : { heldUntil: new Date(heldUntil).toISOString() }),
    ...(ended === undefined ? {} : { reason: ended.reason, message: ended.message }),
    ...(conflict === undefined ? {} : { conflict }),
  }
}

/** What HQ tells a repeat by: as long as this gateway keeps the scan or the command, it makes the same id. */
const shortId = (from: string): string => createHash('sha256').update(from).digest('base64url').slice(0, 22)

/** The shop's calendar day. */
function localDay(wall: number): string {
  const date = new Date(wall)
  return `${date.getFullYear()}-${String(date.getMonth() + 1).padStart(2, '0')}-${String(date.getDate()).padStart(2, '0')}`
}
