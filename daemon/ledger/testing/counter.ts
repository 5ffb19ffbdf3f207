/** A shop's ledger on a real journal file, for tests: tells it what plugins would, and waits for what comes of it. */
import type { ClockState } from '../../contract/event.ts'
import type { JsonObject } from '../../contract/json.ts'
import type { Draft, LimitedJournal, StoredEvent } from '../../journal/api.ts'
import { keepLog, type LogLine, openIn } from '../../journal/testing/support.ts'
import { HandClock } from '../../testing/hand-clock.ts'
import { createLedger, type RunningLedger } from '../ledger.ts'
import { PROJECTION, TABLES } from '../projection.ts'
import type { VisitSettings } from '../visits.machine.ts'

export const MINUTE = 60_000
export const HOUR = 3_600_000
export const DAY = 86_400_000
export const SETTINGS: VisitSettings = { leaveGrace: 5 * MINUTE, momentHold: 15 * MINUTE, longest: 16 * HOUR, sleepingDays: 30 }

export interface CounterOptions {
  clock?: HandClock
  settings?: Partial<VisitSettings>
  batch?: number
  keepMs?: number
  timeZone?: string
}

export class Counter {
  readonly dir: string
  readonly clock: HandClock
  readonly lines: LogLine[] = []
  clockState: ClockState = 'synced'
  journal: LimitedJournal
  ledger: RunningLedger
  readonly #options: CounterOptions

  static async open(dir: string, options: CounterOptions = {}): Promise<Counter> {
    const counter = new Counter(dir, options, await openJournalIn(dir, options.clock))
    await counter.ledger.start()
    return counter
  }

  private constructor(
    dir: string,
    options: CounterOptions,
    journal: { journal: LimitedJournal; clock: HandClock; state: { now: ClockState } },
  ) {
    this.dir = dir
    this.#options = options
    this.clock = journal.clock
    this.journal = journal.journal
    this.#state = journal.state
    this.ledger = this.#make()
  }

  #state: { now: ClockState }

  unsync(): void {
    this.#state.now = 'unsynced'
  }

  sync(): void {
    this.#state.now = 'synced'
  }

  #make(): RunningLedger {
    const { settings, batch, keepMs = 180 * DAY, timeZone = 'Asia/Shanghai' } = this.#options
    return createLedger({
      journal: this.journal,
      clock: this.clock,
      clockState: () => this.#state.now,
      timeZone,
      settings: { ...SETTINGS, ...settings },
      keepMs: () => keepMs,
      log: keepLog(this.lines),
      ...(batch === undefined ? {} : { batch }),
    })
  }

  async tell(plugin: string, event: string, data: JsonObject, time?: string): Promise<number> {
    const draft: Draft = { plugin, device: '-', event, data, ...(time === undefined ? {} : { time }) }
    const [sequence = 0] = await this.journal.commit({ events: [draft] })
    return sequence
  }

  present(visitor: string, more: JsonObject = {}, plugin = 'portal'): Promise<number> {
    return this.tell(plugin, 'present', { visitor, by: 'wifi', ...more })
  }

  absent(visitor: string, plugin = 'portal', lastSeen = this.clock.now): Promise<number> {
    return this.tell(plugin, 'absent', { visitor, lastSeen })
  }

  pay(payment: string, more: JsonObject = {}): Promise<number> {
    return this.tell('payment', 'paid', {
      payment,
      order: `o-${payment}`,
      till: 'till-1',
      amount: 1_250,
      currency: 'CNY',
      channel: 'alipay',
      ...more,
    })
  }

  /** As the payment plugin tells it: `amount` is the payment's, whole. */
  refund(payment: string, back: number, total = back, amount = 1_250): Promise<number> {
    const data = { payment, order: `o-${payment}`, till: 'till-1', amount, currency: 'CNY', channel: 'alipay' }
    return this.tell('payment', 'refunded', { ...data, refund: `${payment}R${total}`, refundAmount: back, refundedTotal: total })
  }

  /** Waits until all that is journaled has been decided and folded. */
  async settle(): Promise<void> {
    for (let ms = 1; !this.ledger.idle; ms = Math.min(20, ms * 2)) {
      // A question makes the tables hurry.
      void this.ledger.visits({ limit: 1 }).catch(() => undefined)
      await new Promise((resolve) => setTimeout(resolve, ms))
    }
  }

  async pass(ms: number): Promise<void> {
    await this.settle()
    this.clock.jump(ms)
    await this.settle()
  }

  /** The data of all events of a type, such as `visit.arrived`. */
  async told(type: string): Promise<JsonObject[]> {
    await this.settle()
    const found: StoredEvent[] = []
    for (let after = this.journal.tail - 1; ; ) {
      const read = await this.journal.read(after, { events: 1_000 })
      found.push(...read.filter((one) => one.type === `shopwire.${type}`))
      after = read.at(-1)?.sequence ?? after
      if (read.length === 0) break
    }
    return found.map((one) => (JSON.parse(one.text) as { data: JsonObject }).data)
  }

  /** All rows, as text: two ledgers with the same answer hold the same. */
  async rows(): Promise<string> {
    await this.settle()
    return dump(this.journal, this.#options.timeZone ?? 'Asia/Shanghai')
  }

  /** The daemon ends and starts again; `anew` throws the tables away. */
  async restart(): Promise<void> {
    await this.close()
    const { journal } = await openJournalIn(this.dir, this.clock, this.#state)
    this.journal = journal
    this.ledger = this.#make()
    await this.ledger.start()
  }

  async close(): Promise<void> {
    await this.ledger.stop()
    await this.journal.close()
  }
}

export async function dump(journal: LimitedJournal, timeZone: string): Promise<string> {
  const tables = await journal.tables('ledger', { version: `${PROJECTION} ${timeZone}`, tables: TABLES })
  const lines: string[] = []
  for (const table of Object.keys(TABLES)) {
    let after: string | undefined
    for (;;) {
      const page = await tables.select(table, { limit: 1_000, ...(after === undefined ? {} : { after: { key: after } }) })
      for (const { key, row } of page) lines.push(`${table} ${key} ${JSON.stringify(row)}`)
      after = page.at(-1)?.key
      if (page.length < 1_000) break
    }
  }
  return lines.join('\n')
}

/** Stamps events by the hand clock; groups and retains by real time. */
export async function openJournalIn(
  dir: string,
  clock = new HandClock('2026-11-22T02:00:00Z'),
  state: { now: ClockState } = { now: 'synced' },
): Promise<{ journal: LimitedJournal; clock: HandClock; state: { now: ClockState } }> {
  const real = (await import('../../clock.ts')).systemClock
  const mixed = { ...real, wall: () => clock.wall() }
  return { journal: await openIn(dir, { clock: mixed, clockState: () => state.now }), clock, state }
}
