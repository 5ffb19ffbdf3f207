/**
 * Folds the journal into the ledger's tables, in order, from where they stand. Rows and position are written together, so it can
 * be cut off anywhere and goes on from there. It never reads further than has been decided, and writes once a second at most: the
 * events come first.
 */
import type { Sequence } from '../contract/event.ts'
import type { Clock } from '../contract/plugin.ts'
import type { Condition, KeyedRow, StoredEvent, TabledJournal, Tables } from '../journal/api.ts'
import type { Log } from '../log.ts'
import { Backoff } from './backoff.ts'
import type { Calendar } from './calendar.ts'
import { concerns, type Fact, Timeline } from './facts.ts'
import { dayOf, fold, keysOf, PROJECTION, type RowTypes, TABLES, type Table } from './projection.ts'
import { RowCache } from './row-cache.ts'

const BATCH = 500
const LINGER_MS = 1_000
/** Events that changed nothing: the position is written after so many. */
const PASSED_MOST = 20_000
const PRUNE_ROWS = 500
const SLOTS_MS = 8 * 86_400_000

export interface ProjectorParts {
  journal: TabledJournal
  clock: Clock
  calendar: Calendar
  /** How long rows are kept; sums by day stay. */
  keepMs: () => number
  /** Visitors of whom no row is left, and the wall ms before which they were seen last. */
  forgotten: (visitors: readonly string[], before: number) => void
  /** Rows have been written: all that changed. */
  changed: (changes: readonly { table: string; key: string; row: object | undefined }[]) => void
  log: Log
  /** For tests: how many events are folded at a time. */
  batch?: number
}

export class Projector {
  readonly #parts: ProjectorParts
  readonly #backoff: Backoff
  readonly #batch: number
  #tables: Tables | undefined
  #rows: RowCache | undefined
  #timeline: Timeline
  #position: Sequence = 0
  #limit: Sequence = 0
  /** Something that concerns the ledger lies between position and limit. */
  #concerned = true
  #hurry = false
  #stopped = false
  #asleep = false
  #wake: () => void = () => undefined
  #waiting: { upTo: Sequence; resolve: () => void }[] = []
  #running: Promise<void> = Promise.resolve()
  #unfollow: () => void = () => undefined

  constructor(parts: ProjectorParts) {
    this.#parts = parts
    this.#batch = parts.batch ?? BATCH
    this.#backoff = new Backoff(parts.clock, parts.log)
    this.#timeline = new Timeline(0, parts.calendar)
  }

  get position(): Sequence {
    return this.#position
  }

  get tables(): Tables {
    if (!this.#tables) throw new Error('the ledger has not started')
    return this.#tables
  }

  /** Makes the tables, or makes them anew where they mean something else. */
  async start(): Promise<void> {
    const { journal, calendar, log } = this.#parts
    const version = `${PROJECTION} ${calendar.timeZone}`
    const tables = await journal.tables('ledger', { version, tables: TABLES })
    this.#tables = tables
    this.#rows = new RowCache(tables)
    if (tables.version !== version) {
      if (tables.version !== undefined) log.info({ events: journal.head }, 'the ledger makes its tables anew from the journal')
      // A journal that has lost its oldest events cannot give their sums again.
      await tables.reset(journal.tail > 1 && tables.version !== undefined ? ['rollups'] : [])
    }
    await this.#begin()
    this.#unfollow = journal.follow((events) => {
      if (!this.#concerned && events.some(concerns)) this.#concerned = true
    })
    this.#running = this.#run()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#backoff.stop()
    this.#unfollow()
    this.#wake()
    await this.#running
    for (const { resolve } of this.#waiting.splice(0)) resolve()
  }

  /** Everything up to here has been decided. */
  decided(upTo: Sequence): void {
    if (upTo <= this.#limit) return
    this.#limit = upTo
    // Nothing of it concerns the ledger, and the loop sleeps: that is all there is to do.
    if (!this.#concerned && this.#asleep) this.#passed()
    else this.#wake()
  }

  /** Resolves once the rows have got there, or when the ledger stops. Asking makes it hurry. */
  reach(upTo: Sequence): Promise<void> {
    if (this.#position >= upTo) return Promise.resolve()
    this.#hurry = true
    return new Promise((resolve) => {
      this.#waiting.push({ upTo, resolve })
      this.#wake()
    })
  }

  get limit(): Sequence {
    return this.#limit
  }

  get #cache(): RowCache {
    if (!this.#rows) throw new Error('the ledger has not started')
    return this.#rows
  }

  /** From what is in the tables, whatever was in hand. */
  async #begin(): Promise<void> {
    const { tables } = this
    this.#concerned = true
    this.#cache.clear()
    this.#position = tables.position
    await this.#cache.load([['meta', 'state']])
    if (!this.#cache.get('meta', 'state')) {
      const frozen = await this.#frozen()
      for (const { key } of await this.#all('rollups', [{ field: 'key', is: '>', value: frozen }]))
        this.#cache.put('rollups', key, undefined)
      this.#cache.put('meta', 'state', { last: 0, frozen, pruned: '' })
    }
    this.#timeline = new Timeline(this.#cache.get('meta', 'state')?.last ?? 0, this.#parts.calendar)
  }

  /** The last day of which the journal does not hold everything any more, where sums of it were kept. */
  async #frozen(): Promise<string> {
    const { journal, calendar } = this.#parts
    if (journal.tail <= 1 || (await this.tables.select('rollups', { limit: 1 })).length === 0) return ''
    const [oldest] = await journal.read(journal.tail - 1, { events: 1 })
    const time = /"time":"([^"]+)"/.exec(oldest?.text ?? '')?.[1]
    return time === undefined ? '' : calendar.day(Date.parse(time))
  }

  async #all(table: Table, where: readonly Condition[]): Promise<KeyedRow[]> {
    const rows: KeyedRow[] = []
    for (;;) {
      const last = rows.at(-1)
      const page = await this.tables.select(table, { where, limit: 1_000, ...(last ? { after: { key: last.key } } : {}) })
      rows.push(...page)
      if (page.length < 1_000) return rows
    }
  }

  async #run(): Promise<void> {
    let lingered = false
    while (!this.#stopped) {
      try {
        if (!this.#concerned) this.#passed()
        if (this.#position >= this.#limit) {
          this.#asleep = true
          await this.#sleep(undefined)
          this.#asleep = false
          lingered = false
          continue
        }
        // A till's sale is several events: one write for all of them.
        if (!lingered && !this.#hurry && this.#limit - this.#position < this.#batch) {
          await this.#sleep(LINGER_MS)
          lingered = true
          continue
        }
        await this.#step()
        this.#backoff.well()
      } catch (error) {
        await this.#backoff.wait(error, 'the ledger cannot write its tables')
        if (!this.#stopped) await this.#begin().catch(() => undefined)
      }
    }
  }

  #passed(): void {
    this.#position = Math.max(this.#position, this.#limit)
    this.#reached()
  }

  #reached(): void {
    if (this.#waiting.length === 0) return
    const there = this.#waiting.filter((one) => one.upTo <= this.#position)
    this.#waiting = this.#waiting.filter((one) => one.upTo > this.#position)
    for (const { resolve } of there) resolve()
    this.#hurry = this.#waiting.length > 0
  }

  async #step(): Promise<void> {
    const { journal } = this.#parts
    const upTo = this.#limit
    await this.#cache.load([['meta', 'state']])
    if (upTo >= journal.head) this.#concerned = false
    const events: StoredEvent[] = []
    const read = await journal.read(this.#position, { events: this.#batch })
    for (const event of read) if (event.sequence <= upTo) events.push(event)
    const last = events.at(-1)?.sequence ?? upTo
    if (last < upTo) this.#concerned = true
    let facts: Fact[] = []
    for (const stored of events) {
      if (!concerns(stored)) continue
      const fact = this.#timeline.read(stored)
      if (!fact) continue
      if (fact.told.kind === 'erased' || this.#newDay(fact)) {
        await this.#fold(facts)
        facts = []
        await this.#apply(stored.sequence - 1)
        if (fact.told.kind === 'erased') await this.#erase(fact.told.visitor)
        else await this.#prune(fact)
      }
      facts.push(fact)
    }
    await this.#fold(facts)
    if (this.#cache.dirty > 0 || last - this.tables.position >= PASSED_MOST) await this.#apply(last)
    this.#position = last
    this.#cache.trim()
    this.#reached()
  }

  async #fold(facts: readonly Fact[]): Promise<void> {
    const cache = this.#cache
    await cache.load(facts.flatMap(keysOf))
    const days = new Set<string>()
    for (const { told } of facts) {
      const day = dayOf(cache, told)
      if (day !== undefined) days.add(day)
    }
    await cache.load([['meta', 'state'], ...[...days].map((day): [Table, string] => ['rollups', day])])
    for (const fact of facts) fold(cache, fact)
  }

  async #apply(position: Sequence): Promise<void> {
    const cache = this.#cache
    await cache.load([['meta', 'state']])
    const state = cache.get('meta', 'state')
    if (state && state.last !== this.#timeline.last) cache.put('meta', 'state', { ...state, last: this.#timeline.last })
    const changes = cache.take()
    if (changes.length === 0 && position <= this.tables.position) return
    await this.tables.apply(changes, position)
    this.#parts.changed(changes)
  }

  #newDay({ synced, day }: Fact): boolean {
    return synced && day > this.#meta().pruned
  }

  #meta(): RowTypes['meta'] {
    return this.#cache.get('meta', 'state') ?? { last: 0, frozen: '', pruned: '' }
  }

  /** Rows older than the journal keeps its events go; their sums stay. */
  async #prune(fact: Fact): Promise<void> {
    const cache = this.#cache
    const before = fact.wall - this.#parts.keepMs()
    const cut = new Date(before).toISOString()
    const gone = async (table: Table, field: string, value: string, each: (key: string) => void): Promise<void> => {
      for (;;) {
        const rows = await this.tables.select(table, { where: [{ field, is: '<', value }], limit: PRUNE_ROWS })
        for (const { key } of rows) each(key)
        if (rows.length === 0) return
        await this.tables.apply(cache.take(), this.tables.position)
      }
    }
    await gone('visits', 'arrived', cut, (key) => cache.put('visits', key, undefined))
    await gone('payments', 'at', cut, (key) => {
      cache.put('payments', key, undefined)
      cache.put('links', key, undefined)
    })
    const visitors: string[] = []
    await gone('visitors', 'lastSeen', cut, (key) => {
      cache.put('visitors', key, undefined)
      visitors.push(key)
    })
    await gone('slots', 'key', new Date(fact.wall - SLOTS_MS).toISOString(), (key) => cache.put('slots', key, undefined))
    cache.put('meta', 'state', { ...this.#meta(), pruned: fact.day })
    if (visitors.length > 0) this.#parts.forgotten(visitors, before)
  }

  /** All that names the visitor goes; what was counted stays counted. */
  async #erase(visitor: string): Promise<void> {
    const cache = this.#cache
    const is = (field: string): Condition[] => [{ field, is: '=', value: visitor }]
    for (const { key } of await this.#all('visits', is('visitor'))) cache.put('visits', key, undefined)
    for (const { key } of await this.#all('links', is('visitor'))) cache.put('links', key, undefined)
    cache.put('visitors', visitor, undefined)
    const payments = new Set<string>()
    for (const field of ['visitor', 'payer', 'member']) for (const { key } of await this.#all('payments', is(field))) payments.add(key)
    await cache.load([...payments].map((key): [Table, string] => ['payments', key]))
    for (const key of payments) {
      const row = cache.get('payments', key)
      if (!row) continue
      // The link's method stays until its revocation is told, which takes it out of the sums.
      const { visit: _visit, visitor: linked, session: _session, ...rest } = row
      const next = linked === visitor ? rest : row
      if (next.payer === visitor) delete next.payer
      if (next.member === visitor) delete next.member
      cache.put('payments', key, next)
    }
  }

  async #sleep(ms: number | undefined): Promise<void> {
    await new Promise<void>((resolve) => {
      const cancel = ms === undefined ? () => undefined : this.#parts.clock.timer(ms, resolve)
      this.#wake = () => {
        // More to read is no reason to hurry while it waits for company.
        if (ms !== undefined && !this.#hurry && !this.#stopped && this.#limit - this.#position < this.#batch) return
        cancel()
        resolve()
      }
      if (this.#stopped) this.#wake()
    })
    this.#wake = () => undefined
  }
}
