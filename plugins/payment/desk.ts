/** All payments of the shop: one open at a till, found by till, order and id; the commands act on them. */
import { randomBytes } from 'node:crypto'
import { asFailure, Failure } from '../../daemon/contract/errors.ts'
import type { Json, JsonObject } from '../../daemon/contract/json.ts'
import type { PluginContext, StoreChange } from '../../daemon/contract/plugin.ts'
import type { PaymentConfig } from './config.ts'
import { doubtFindings, type Findings, providerFindings } from './findings.ts'
import { notChargeable } from './payment.machine.ts'
import { isAtRest, isOpen, type Payment, type Show, statusOf, type Telling } from './payment.ts'
import { PaymentRun } from './payment-run.ts'
import type { Providers } from './providers/choose.ts'
import { findable, firstPaymentOf, Records, recordOf } from './records.ts'
import type { OpenPayment, PaymentDesk, Redemptions } from './redeem/api.ts'
import { eventOf, viewOf } from './view.ts'

export interface OpenArgs {
  order: string
  amount: number
  till: string
  currency?: string
  lines?: JsonObject[]
  show?: Show
  channel?: string
  session?: string
  printer?: string
  expiresInSeconds?: number
}

export interface CodeArgs {
  code: string
  channel: string
  scanner?: string
  till?: string
}

const SESSION_MS = 2_000
const PRUNE_MS = 86_400_000
const FIRST_PRUNE_MS = 10 * 60_000
const TILL = /^[a-z0-9][a-z0-9-]{0,47}$/

export class Desk implements PaymentDesk {
  readonly #context: PluginContext<PaymentConfig>
  readonly #providers: Providers
  readonly #records: Records
  readonly #runs = new Map<string, PaymentRun>()
  readonly #byTill = new Map<string, PaymentRun>()
  readonly #timers = new Set<() => void>()
  /** Told of the payment whose turn it is at its till, whenever what is shown of it may have changed. */
  readonly #look: (payment: Payment) => void
  #redemptions: Redemptions | undefined

  constructor(context: PluginContext<PaymentConfig>, providers: Providers, look: (payment: Payment) => void = () => {}) {
    this.#context = context
    this.#providers = providers
    this.#look = look
    this.#records = new Records(context.store)
  }

  /** Takes up what the last process left. */
  async start(redemptions: Redemptions): Promise<void> {
    this.#redemptions = redemptions
    this.#context.state('-', { state: 'online' })
    for (const payment of await this.#records.unfinished()) await this.#resume(payment)
    // After them: an older payment that is still watched must not stand in the place of the till's last one.
    for (const payment of await this.#records.lastOfTills()) this.#show(this.#runs.get(payment.id)?.payment ?? payment)
    this.#later(FIRST_PRUNE_MS, () => this.#prune())
  }

  async stop(): Promise<void> {
    for (const cancel of this.#timers) cancel()
    await Promise.all([...this.#runs.values()].map((run) => run.stop()))
  }

  openAt(till: string): OpenPayment | undefined {
    const run = this.#byTill.get(till)
    if (!run) return undefined
    const { id, order, amount, currency } = run.payment
    return { payment: id, order, till, amount, currency }
  }

  async member(payment: string, visitor: string): Promise<void> {
    await (await this.#find({ payment })).feed({ kind: 'member', visitor })
  }

  async open(args: OpenArgs): Promise<Json> {
    const { config, clock } = this.#context
    const currency = args.currency ?? config.currency
    const known = await this.#byOrder(args.order)
    if (known) return this.#again(known, args, currency)
    const show = args.show ?? 'code'
    const qr = show === 'qr' ? this.#providers.forQr(args.channel) : undefined
    const holder = this.#byTill.get(args.till)
    if (holder)
      throw new Failure(
        'payment-state',
        `till "${args.till}" has payment ${holder.payment.id} (order "${holder.payment.order}") ${statusOf(holder.payment)}: cancel it or let it end first`,
      )
    if (args.printer !== undefined && show !== 'qr')
      throw new Failure('args-invalid', 'args.printer: prints the order QR, so it goes with show "qr"')
    const printer = show === 'qr' ? (args.printer ?? config.qrPrinters[args.till]) : undefined
    const session = await this.#session(args.session)
    const expiresInMs = (args.expiresInSeconds ?? config.expiresInSeconds) * 1_000
    const wall = clock.wall()
    const payment: Payment = {
      id: randomBytes(10).toString('hex'),
      order: args.order,
      till: args.till,
      amount: args.amount,
      currency,
      show,
      openedAt: new Date(wall).toISOString(),
      expiresAt: new Date(wall + expiresInMs).toISOString(),
      ...(args.lines ? { lines: args.lines } : {}),
      ...(session === undefined ? {} : { session }),
      ...(printer === undefined ? {} : { printer }),
      attempts: [],
      refunds: [],
      tellings: [],
      told: 0,
    }
    const run = this.#run(payment, 'new')
    await run.feed({ kind: 'opened', expiresInMs })
    if (qr) await run.charge({ kind: 'charge', ...qr, show: 'qr', timing: await this.#providers.timing(qr.provider) })
    if (show === 'cash') await this.#takeCash(run)
    this.#show(run.payment)
    return viewOf(run.payment)
  }

  /** A pay code from the till's scanner: charges what is open there, and nothing else. */
  async code(args: CodeArgs): Promise<Json> {
    const till = (args.till ?? args.scanner ?? '').toLowerCase()
    const run = this.#byTill.get(till)
    const chosen = this.#providers.forChannel(args.channel)
    const why = run ? (notChargeable(run.payment) ?? (chosen ? undefined : 'no-provider')) : 'no-payment'
    if (!run || !chosen || why !== undefined) return this.#unclaimed(till, args, why ?? 'no-payment', run?.payment)
    const timing = await this.#providers.timing(chosen)
    try {
      await run.charge({ kind: 'charge', provider: chosen, channel: args.channel, show: 'code', timing }, args.code)
    } catch (error) {
      if (asFailure(error).code !== 'payment-state') throw error
      return this.#unclaimed(till, args, notChargeable(run.payment) ?? 'charging', run.payment)
    }
    return { claimed: true, payment: run.payment.id, status: statusOf(run.payment) }
  }

  async cash(args: JsonObject): Promise<Json> {
    const run = await this.#find(args)
    await this.#takeCash(run)
    return viewOf(run.payment)
  }

  async cancel(args: JsonObject): Promise<Json> {
    const run = await this.#find(args)
    await run.feed({ kind: 'cancel' })
    return viewOf(run.payment)
  }

  async query(args: JsonObject): Promise<Json> {
    const run = await this.#find(args)
    await run.feed({ kind: 'look' })
    return viewOf(run.payment)
  }

  async refund(args: JsonObject & { amount?: number; reason?: string }): Promise<Json> {
    const run = await this.#find(args)
    const { amount, reason } = args
    await run.feed({ kind: 'refund', ...(amount === undefined ? {} : { amount }), ...(reason === undefined ? {} : { reason }) })
    return viewOf(run.payment)
  }

  /** One by payment or order; else those of a day, else those for which something is left to be done. Newest first. */
  async list(args: JsonObject): Promise<Json> {
    if (args.payment !== undefined || args.order !== undefined) return { payments: [viewOf(await this.#seen(args))] }
    const all = typeof args.day === 'string' ? await this.#records.ofDay(args.day) : [...this.#runs.values()].map((run) => run.payment)
    const ofTill = all.filter((one) => args.till === undefined || one.till === args.till)
    ofTill.sort((a, b) => (a.openedAt < b.openedAt ? 1 : -1))
    const limit = typeof args.limit === 'number' ? args.limit : 100
    return { payments: ofTill.slice(0, limit).map(viewOf), total: ofTill.length }
  }

  status(): Json {
    const counts: Record<string, number> = {}
    for (const { payment } of this.#runs.values()) counts[statusOf(payment)] = (counts[statusOf(payment)] ?? 0) + 1
    return { payments: counts, providers: this.#providers.status() }
  }

  /** The desk's part of `self-check`. */
  async findings(): Promise<Findings> {
    const { config, clock } = this.#context
    const payments = [...this.#runs.values()].map((run) => run.payment)
    return [...providerFindings(config, await this.#providers.healths()), ...doubtFindings(payments, clock.wall())]
  }

  async #takeCash(run: PaymentRun): Promise<void> {
    await run.charge({ kind: 'charge', provider: 'cash', channel: 'cash', show: 'cash', timing: await this.#providers.timing('cash') })
  }

  #again(run: PaymentRun, args: OpenArgs, currency: string): Json {
    const { payment } = run
    const wrong =
      (['amount', 'till'] as const).find((key) => payment[key] !== args[key]) ?? (payment.currency === currency ? undefined : 'currency')
    if (wrong === undefined) return viewOf(payment)
    throw new Failure(
      'payment-conflict',
      `order "${args.order}" was opened with ${payment.amount} ${payment.currency} at till "${payment.till}"; its ${wrong} cannot be changed: use a new order number`,
    )
  }

  async #unclaimed(till: string, { scanner, channel }: CodeArgs, reason: string, payment: Payment | undefined): Promise<Json> {
    await this.#context.emit({
      device: TILL.test(till) ? till : '-',
      event: 'unclaimed',
      data: {
        till,
        channel,
        reason,
        ...(scanner === undefined ? {} : { scanner }),
        ...(payment ? { payment: payment.id, order: payment.order } : {}),
      },
    })
    return { claimed: false, reason, ...(payment ? { payment: payment.id, status: statusOf(payment) } : {}) }
  }

  /** What the portal knows of the session in which the order was made. A sale never waits for marketing: no portal, no session. */
  async #session(session: string | undefined): Promise<string | undefined> {
    if (session === undefined) return undefined
    const { clock, log } = this.#context
    const asked = this.#context.call('portal', '-', 'session', { session })
    const late = clock.sleep(SESSION_MS).then((): Json => null)
    try {
      const answer = await Promise.race([asked, late])
      return (answer as { active?: boolean } | null)?.active ? session : undefined
    } catch (error) {
      const { code } = asFailure(error)
      if (code === 'session-unknown') throw new Failure('session-unknown', 'the portal knows no such session; open the payment without it')
      log.debug({ code }, 'the portal could not be asked about a session')
      return undefined
    }
  }

  async #byOrder(order: string): Promise<PaymentRun | undefined> {
    for (const run of this.#runs.values()) if (run.payment.order === order) return run
    const payment = await this.#records.byOrder(order)
    return payment ? (this.#runs.get(payment.id) ?? this.#take(payment)) : undefined
  }

  async #find(args: JsonObject): Promise<PaymentRun> {
    const { payment: id, order } = args
    if (typeof id === 'string') {
      const payment = this.#runs.get(id)?.payment ?? (await this.#records.get(id))
      if (payment) return this.#runs.get(id) ?? this.#take(payment)
    } else if (typeof order === 'string') {
      const run = await this.#byOrder(order)
      if (run) return run
    }
    const till = id === undefined && order === undefined && typeof args.till === 'string' ? this.#byTill.get(args.till) : undefined
    if (till) return till
    throw notFound(args)
  }

  /** A look takes nothing in hand: it may run beside an `open` or `refund` of the same payment. */
  async #seen(args: JsonObject): Promise<Payment> {
    const { payment: id, order } = args
    const run = [...this.#runs.values()].find(({ payment }) => (id === undefined ? payment.order === order : payment.id === id))
    const payment = run?.payment ?? (typeof id === 'string' ? await this.#records.get(id) : await this.#records.byOrder(String(order)))
    if (payment) return payment
    throw notFound(args)
  }

  /** A stored one, in hand again for as long as something is asked of it. */
  async #take(payment: Payment): Promise<PaymentRun> {
    if (!isAtRest(payment)) return this.#resume(payment)
    const run = this.#run(payment, 'at-rest')
    await run.feed({ kind: 'boot', timings: await this.#providers.timings(payment), expiresInMs: 0 })
    return run
  }

  async #resume(payment: Payment): Promise<PaymentRun> {
    const run = this.#run(payment, 'kept')
    const whole = Date.parse(payment.expiresAt) - Date.parse(payment.openedAt)
    // A box without a battery for its clock wakes up in the past; nothing is open longer than it was opened for.
    const expiresInMs = Math.min(Date.parse(payment.expiresAt) - this.#context.clock.wall(), whole)
    await run.feed({ kind: 'boot', timings: await this.#providers.timings(payment), expiresInMs })
    return run
  }

  /** `kept`: something is left to be done for it. The others are in hand from their first step that is durable. */
  #run(payment: Payment, is: 'new' | 'kept' | 'at-rest'): PaymentRun {
    const { clock, log, signal } = this.#context
    let isNew = is === 'new'
    let newPayer: string | undefined
    const run = new PaymentRun(payment, {
      clock,
      log,
      signal,
      provider: (name) => this.#providers.get(name),
      save: async (next, tell, mayWait) => {
        const store = recordOf(next)
        if (isNew) store.push(...findable(next))
        if (newPayer !== undefined) store.push(firstPaymentOf(newPayer, next))
        // One that had ended has something left to be done again, and must not be taken in hand twice.
        if (!isNew) this.#runs.set(next.id, run)
        await this.#commit(next, tell, store, mayWait)
        newPayer = undefined
        if (isNew && isOpen(next)) this.#byTill.set(next.till, run)
        isNew = false
        this.#runs.set(next.id, run)
      },
      settle: (of, telling) => this.#settle(of, telling),
      hash: async (id, provider, payer) => {
        const hashed = this.#context.pseudonym('person', `${provider.scope}:${payer}`)
        const first = await this.#records.firstOf(hashed)
        // Noted with the payment, in one go: a write of its own would keep the shopper waiting for a disk.
        newPayer = first === undefined ? hashed : undefined
        return { payer: hashed, firstPayment: first === undefined || first === id }
      },
      changed: () => this.#changed(run),
      health: (name, trouble) => this.#health(name, trouble),
    })
    if (is !== 'kept') return run
    this.#runs.set(payment.id, run)
    if (isOpen(payment)) this.#byTill.set(payment.till, run)
    return run
  }

  #changed(run: PaymentRun): void {
    const { payment } = run
    const mine = this.#byTill.get(payment.till)
    if (!isOpen(payment) && mine === run) this.#byTill.delete(payment.till)
    if (!mine || mine === run) this.#show(payment)
    if (run.atRest) this.#runs.delete(payment.id)
  }

  #show(payment: Payment): void {
    this.#context.state(payment.till, { state: 'online', detail: statusOf(payment) })
    this.#look(payment)
  }

  #health(provider: string, trouble: string | undefined): void {
    const changed = this.#providers.health(provider, trouble)
    if (!changed) return
    const first = this.#providers.trouble()
    this.#context.state('-', first === undefined ? { state: 'online' } : { state: 'fault', detail: first })
    if (trouble === undefined) this.#context.log.info({ provider }, 'the provider answers again')
    else this.#context.log.warn({ provider, reason: trouble }, 'the provider gave no answer that counts')
  }

  /** What happened and the word of it: both are durable, or neither is. */
  async #commit(payment: Payment, tell: readonly Telling[], store: readonly StoreChange[], mayWait: boolean): Promise<void> {
    const { log } = this.#context
    const events = tell.map((one) => ({ device: payment.till, event: one.event, data: eventOf(payment, one), time: one.at }))
    try {
      await this.#context.commit({ events, store, mayWait })
    } catch (error) {
      const { code, message } = asFailure(error)
      if (code !== 'event-invalid' || events.length === 0) throw error
      // It would be refused for ever, and the money counts more than the word of it; the payment itself can be asked for.
      log.error({ payment: payment.id, code }, message)
      await this.#context.commit({ store, mayWait })
    }
  }

  /** May happen again after a crash: redemption knows the payment by its id. */
  async #settle(payment: Payment, { event, settle }: Telling): Promise<void> {
    const { id, order, till, amount, currency } = payment
    if (event === 'opened') await this.#redemptions?.opened({ payment: id, order, till, amount, currency })
    if (settle) await this.#redemptions?.settled(id, settle)
  }

  #later(ms: number, work: () => void): void {
    const cancel = this.#context.clock.timer(ms, () => {
      this.#timers.delete(cancel)
      work()
    })
    this.#timers.add(cancel)
  }

  #prune(): void {
    this.#records
      .prune(this.#context.clock.wall(), this.#context.config.keepDays)
      .then((gone) => gone > 0 && this.#context.log.info({ gone }, 'old payments thrown away'))
      .catch((error: unknown) => this.#context.log.warn({ code: asFailure(error).code }, 'old payments could not be thrown away'))
    this.#later(PRUNE_MS, () => this.#prune())
  }
}

function notFound({ payment, order }: JsonObject): Failure {
  if (typeof payment === 'string') return new Failure('payment-not-found', `no payment "${payment}" is known here`)
  if (typeof order === 'string') return new Failure('payment-not-found', `no payment of order "${order}" is known here`)
  return new Failure('payment-not-found', 'name the payment, its order, or a till that has one open')
}
