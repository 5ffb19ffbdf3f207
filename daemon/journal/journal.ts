/** The journal: durable events in a gapless order, and the small durable facts that go with them. */
import { rm } from 'node:fs/promises'
import { iso } from '../clock.ts'
import { asFailure, Failure } from '../contract/errors.ts'
import type { ClockState, Sequence } from '../contract/event.ts'
import type { Json } from '../contract/json.ts'
import type { Clock, KeyValue, WallMs } from '../contract/plugin.ts'
import type { Log } from '../log.ts'
import type { Commit, Cursor, JournalStats, LimitedJournal, Put, StoredEvent, Tables, TablesOptions } from './api.ts'
import { Ballast, freeBytes } from './ballast.ts'
import { isCorrupt } from './connection.ts'
import { Cursors } from './cursors.ts'
import { storable } from './envelope.ts'
import { checkChain, checkContent, openFailure, prepareDirectory, salvagedFile, size, wasUnclean } from './file.ts'
import { type GroupingEffect, type GroupingState, grouping, newGrouping } from './grouping.machine.ts'
import { Lane } from './lane.ts'
import { droppedLine, Retention } from './retention.ts'
import { type Salvage, salvage } from './salvage.ts'
import { CURSORS, SAFE, SPACE, TABLES, type Tuning } from './schema.ts'
import { type KeyRow, Store } from './store.ts'
import { SqliteTables } from './tables.ts'
import { withinBytes } from './tail-cache.ts'
import { type Line, Writer } from './writer.ts'

export interface JournalOptions {
  /** `{dataDir}/journal.db`; what belongs to it lies beside it under the same name. */
  file: string
  identity: () => { gateway: string; store: string }
  clock: Clock
  clockState: () => ClockState
  bootId: string
  maxAgeMs: number
  maxBytes: number
  log: Log
  /** For tests: less careful, to prove that a test can fail. */
  tuning?: Partial<Tuning>
}

/** What one commit may carry; more is somebody's mistake, and would hold up everybody else. */
const COMMIT_BYTES = 16 * 1024 * 1024
const CURSOR_MS = 1_000
/** Positions ride along with a commit when they have waited this long: each costs a page. */
const CURSOR_RIDE_MS = 500
/** A card that tidies itself up may take seconds over a write; nothing healthy takes this long. */
const HANGS_MS = 20_000
/** A reader that catches up asks for a hundred at a time; each question waits its turn behind a commit. */
const READ_AHEAD = 1_000

interface Waiting {
  lines: Line[]
  keys: KeyRow[]
  /** Refused when the journal is full. */
  bulk: boolean
  /** Waits a little for company. */
  mayWait: boolean
  bytes: number
  resolve: (sequences: Sequence[]) => void
  reject: (failure: Failure) => void
}

/**
 * Opens or creates the journal. Rejects with one `Failure`: `journal-full`, or `journal-failed` where the file cannot be
 * written, is in use, or is no journal. A damaged one is moved aside, saved from what can be, and reported as an event.
 */
export async function openJournal(options: JournalOptions): Promise<LimitedJournal> {
  const tuning: Tuning = { ...SAFE, ...options.tuning }
  const { file, log } = options
  await prepareDirectory(file)
  const unclean = wasUnclean(file)
  let store = new Store(file, tuning)
  let saved: Salvage | undefined
  try {
    try {
      await store.open(true)
      if (unclean) await checkContent(store.connection, file)
      await store.load()
      // Left by a start that was cut off while it saved what it could.
      await rm(salvagedFile(file), { force: true })
    } catch (error) {
      if (!isCorrupt(error)) throw error
      const because = error instanceof Error ? error.message : String(error)
      log.error({ file, error: because }, 'journal: the file is damaged; setting it aside and saving what can be read')
      saved = await salvage(file, store.opened, tuning, because)
      store = new Store(file, tuning)
      await store.open(true)
      await store.load()
    }
    const journal = new SqliteJournal(options, store)
    await journal.start(saved)
    return journal
  } catch (error) {
    await store.close().catch(() => undefined)
    throw noRoom(file, openFailure(file, error))
  }
}

/** SQLite calls a full disk an I/O error while it sets a file up. */
const noRoom = (file: string, failure: Failure): Failure =>
  failure.code === 'journal-failed' && failure.message.includes('SQLITE_IOERR') && freeBytes(file) < 64 * 1024
    ? new Failure('journal-full', `no room on the disk for ${file}: free some and start again`, [], failure)
    : failure

class SqliteJournal implements LimitedJournal {
  readonly #options: JournalOptions
  readonly #store: Store
  readonly #writer: Writer
  readonly #lane = new Lane()
  readonly #cursors: Cursors
  readonly #retention: Retention
  readonly #grouping: GroupingState = newGrouping()
  #waiting: Waiting[] = []
  #inFlight: Promise<void> = Promise.resolve()
  #cancelGroup: () => void = () => undefined
  #cancelCursors: (() => void) | undefined
  #cursorsSince = 0
  #closing: Promise<void> | undefined
  #stampWall = Number.NaN
  #stamp = ''

  constructor(options: JournalOptions, store: Store) {
    const { clock, clockState, log } = options
    this.#options = options
    this.#store = store
    const ballast = new Ballast(options.file)
    this.#writer = new Writer({
      store,
      clock,
      clockState,
      identity: options.identity,
      bootId: options.bootId,
      log,
      makeRoom: () => ballast.release(),
    })
    this.#writer.onUnsettled = () => this.#rejectAll(new Failure('journal-failed', `the journal cannot be written: ${this.#writer.fault}`))
    this.#cursors = new Cursors(
      () => store.head,
      (name) => this.#cursorMoved(name),
    )
    this.#retention = new Retention({
      store,
      writer: this.#writer,
      lane: this.#lane,
      cursors: this.#cursors,
      ballast,
      clock,
      clockState,
      log,
      limits: { maxAgeMs: options.maxAgeMs, maxBytes: options.maxBytes },
    })
  }

  async start(saved: Salvage | undefined): Promise<void> {
    this.#cursors.load(await this.#store.listKeys(CURSORS, ''))
    const known = await this.#store.listKeys(SPACE, '')
    this.#retention.start(new Map(known.map((one) => [one.key, one.value])))
    if (!saved) return
    this.#options.log.error({ aside: saved.aside, events: saved.events, keys: saved.keys }, 'journal: a new epoch begins after damage')
    await this.#writer.append([droppedLine(this.#store, this.#options.clock, JSON.stringify(saved.report))], [])
  }

  get epoch(): string {
    return this.#store.epoch
  }

  get head(): Sequence {
    return this.#store.head
  }

  get tail(): Sequence {
    return this.#store.tail
  }

  commit(commit: Commit): Promise<Sequence[]> {
    let entry: Omit<Waiting, 'resolve' | 'reject'>
    try {
      entry = this.#prepare(commit)
    } catch (error) {
      return Promise.reject(asFailure(error, 'event-invalid'))
    }
    return entry.lines.length === 0 && entry.keys.length === 0 ? Promise.resolve([]) : this.#enqueue(entry)
  }

  #enqueue(entry: Omit<Waiting, 'resolve' | 'reject'>): Promise<Sequence[]> {
    const refusal = this.#refusal(entry.bulk)
    if (refusal) return Promise.reject(refusal)
    return new Promise((resolve, reject) => {
      this.#waiting.push({ ...entry, resolve, reject })
      const mono = this.#options.clock.mono()
      this.#act(
        grouping.step(this.#grouping, { type: 'arrived', bulk: entry.mayWait, events: entry.lines.length, bytes: entry.bytes, mono }),
      )
    })
  }

  #refusal(bulk: boolean): Failure | undefined {
    if (this.#closing) return new Failure('stopping', 'the journal is closed')
    if (this.#writer.unsettled) return new Failure('journal-failed', `the journal cannot be written: ${this.#writer.fault}`)
    if (!bulk || !this.#retention.refusing) return undefined
    return new Failure(
      'journal-full',
      this.#retention.pressed
        ? 'the disk is full; only what must not be lost is still stored'
        : 'the journal is full of events that HQ has not acknowledged; only what must not be lost is still stored',
    )
  }

  /** All that can be wrong with one commit shows here, where it spoils no other. */
  #prepare(commit: Commit): Omit<Waiting, 'resolve' | 'reject'> {
    const { clock } = this.#options
    const wall = clock.wall()
    const now = this.#now(wall)
    let bytes = 0
    let bulk = commit.puts === undefined || commit.puts.length === 0
    const lines = (commit.events ?? []).map((draft): Line => {
      const origin = this.#store.origins.find(draft.plugin, draft.device, draft.event, draft.bulk === true)
      const data = JSON.stringify(draft.data)
      if (!origin.bulk) bulk = false
      bytes += data.length + 400
      return { origin, data, time: draft.time === undefined ? now : JSON.stringify(draft.time), wall }
    })
    const keys = (commit.puts ?? []).map((put) => keyRow(put))
    for (const one of keys) bytes += one.key.length + (one.value?.length ?? 0)
    if (bytes > COMMIT_BYTES) throw new Failure('payload-too-large', `a commit of ${bytes} bytes; at most ${COMMIT_BYTES} are taken`)
    return { lines, keys, bulk, mayWait: bulk || commit.mayWait === true, bytes }
  }

  #now(wall: WallMs): string {
    if (wall !== this.#stampWall) {
      this.#stampWall = wall
      this.#stamp = `"${iso(wall)}"`
    }
    return this.#stamp
  }

  #act(effects: readonly GroupingEffect[]): void {
    for (const effect of effects) {
      if (effect.do === 'timer') {
        this.#cancelGroup = this.#options.clock.timer(effect.ms, () =>
          this.#act(grouping.step(this.#grouping, { type: 'timer', mono: this.#options.clock.mono() })),
        )
      } else {
        const group = this.#waiting.splice(0, effect.count)
        this.#inFlight = this.#lane.run(() => this.#perform(group)).then(() => this.#done())
      }
    }
  }

  #done(): void {
    this.#act(grouping.step(this.#grouping, { type: 'done', mono: this.#options.clock.mono() }))
  }

  /** One transaction. Answers every caller; never rejects. */
  async #perform(group: readonly Waiting[], again = false): Promise<void> {
    const cursorRows = this.#cursorsDue() ? this.#cursors.take() : []
    try {
      const lines = group.flatMap((one) => one.lines)
      const events = await this.#writer.append(lines, lastOfEach([...group.flatMap((one) => one.keys), ...cursorRows]))
      this.#answer(group, events)
    } catch (error) {
      this.#cursors.restore(cursorRows)
      const failure = asFailure(error, 'journal-failed')
      const rest = failure.code === 'journal-full' && !again ? await this.#pressed(group, failure) : group
      if (rest.length > 0 && rest !== group) await this.#perform(rest, true)
      else for (const one of rest) one.reject(failure)
    }
  }

  /** The disk is full: what may be lost is refused, the rest is tried once more after room has been made. */
  async #pressed(group: readonly Waiting[], failure: Failure): Promise<readonly Waiting[]> {
    for (const one of group) if (one.bulk) one.reject(failure)
    await this.#retention.press().catch((error: unknown) => {
      this.#options.log.warn({ error: error instanceof Error ? error.message : String(error) }, 'journal: no room could be made')
    })
    return group.filter((one) => !one.bulk)
  }

  #answer(group: readonly Waiting[], events: readonly StoredEvent[]): void {
    let at = 0
    let bytes = 0
    for (const one of group) {
      one.resolve(events.slice(at, at + one.lines.length).map((event) => event.sequence))
      at += one.lines.length
      bytes += one.bytes
    }
    this.#writer.publish(events)
    this.#retention.appended(bytes)
  }

  #rejectAll(failure: Failure): void {
    const waiting = this.#waiting
    this.#waiting = []
    this.#act(grouping.step(this.#grouping, { type: 'cleared' }))
    for (const one of waiting) one.reject(failure)
  }

  async read(after: Sequence, limit: { events: number; bytes?: number }): Promise<StoredEvent[]> {
    const bytes = limit.bytes ?? Number.POSITIVE_INFINITY
    const cached = this.#writer.cache.read(after, limit.events, bytes)
    if (cached) return cached
    return this.#lane.run(async () => {
      const events = await this.#asking(() => this.#store.read(after, Math.max(limit.events, READ_AHEAD)))
      if (events.length > limit.events) this.#writer.cache.readAhead(after, events)
      return withinBytes(events.slice(0, limit.events), bytes)
    })
  }

  follow(listener: (events: readonly StoredEvent[]) => void): () => void {
    return this.#writer.follow(listener)
  }

  cursor(name: string): Cursor {
    return this.#cursors.cursor(storable(name, 'cursor'))
  }

  #cursorMoved(name: string): void {
    this.#retention.moved(name)
    if (this.#cancelCursors || this.#closing) return
    this.#cursorsSince = this.#options.clock.mono()
    this.#cancelCursors = this.#options.clock.timer(CURSOR_MS, () => {
      this.#cancelCursors = undefined
      this.#lane.run(() => this.#saveCursors()).catch(() => undefined)
    })
  }

  #cursorsDue(): boolean {
    return this.#cursors.dirty && this.#options.clock.mono() - this.#cursorsSince >= CURSOR_RIDE_MS
  }

  async #saveCursors(): Promise<void> {
    const rows = this.#cursors.take()
    if (rows.length === 0) return
    try {
      await this.#writer.append([], rows)
    } catch (error) {
      this.#cursors.restore(rows)
      throw error
    }
  }

  space(name: string): KeyValue {
    const journal = this
    storable(name, 'space')
    const ask = <Result>(query: () => Promise<Result>) => this.#lane.run(() => this.#asking(query))
    return {
      async get(key) {
        const text = await ask(() => journal.#store.getKey(name, key))
        return text === undefined ? undefined : (JSON.parse(text) as Json)
      },
      async put(key, value) {
        await journal.commit({ puts: [{ space: name, key, value }] })
      },
      async delete(key) {
        await journal.commit({ puts: [{ space: name, key, value: undefined }] })
      },
      async list(prefix = '') {
        const rows = await ask(() => journal.#store.listKeys(name, prefix))
        return rows.map((row) => ({ key: row.key, value: JSON.parse(row.value) as Json }))
      },
    }
  }

  async tables(name: string, options: TablesOptions): Promise<Tables> {
    const tables = new SqliteTables(name, options, {
      connection: () => this.#store.connection,
      ask: (query) => this.#lane.run(() => this.#asking(query)),
      write: (keys, also) =>
        this.#lane.run(async () => {
          if (this.#closing) throw new Failure('stopping', 'the journal is closed')
          await this.#writer.append([], keys, also, true)
        }),
    })
    await tables.open()
    return tables
  }

  async #asking<Result>(query: () => Promise<Result>): Promise<Result> {
    try {
      return await query()
    } catch (error) {
      throw await this.#writer.readFailure(error)
    }
  }

  hold(cursor: string | undefined): void {
    const keys = this.#retention.hold(cursor)
    if (keys.length === 0) return
    this.#enqueue({ lines: [], keys, bulk: false, mayWait: false, bytes: 0 }).catch((error: unknown) => {
      this.#options.log.warn({ error: error instanceof Error ? error.message : String(error) }, 'journal: the holder could not be noted')
    })
  }

  setLimits(limits: { maxAgeMs: number; maxBytes: number }): void {
    this.#retention.setLimits(limits)
  }

  stats(): JournalStats {
    const { file } = this.#options
    const fault = this.#fault()
    return {
      epoch: this.epoch,
      head: this.head,
      tail: this.tail,
      events: this.head - this.#store.gone,
      bytes: size(file) + size(`${file}-wal`),
      freeBytes: freeBytes(file),
      dropped: this.#retention.dropped,
      commits: this.#writer.commits,
      lastCommitMono: this.#writer.lastCommitMono,
      pending: this.#waiting.length,
      ...(fault === undefined ? {} : { fault }),
    }
  }

  #fault(): string | undefined {
    const { fault, writingForMs } = this.#writer
    if (fault !== undefined) return fault
    if (writingForMs >= HANGS_MS) return `the disk hangs: a write has not come back for ${Math.round(writingForMs / 1000)} s`
    return this.#retention.pressed ? 'the disk is full' : undefined
  }

  /** In slices, so that commits go on meanwhile. */
  async verify(): Promise<{ checked: number; broken?: Sequence }> {
    return checkChain(
      () => this.#store.connection,
      0,
      this.#store.head,
      (slice) => this.#lane.run(() => this.#asking(slice)),
    )
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    const retentionStopped = this.#retention.stop()
    this.#cancelGroup()
    this.#cancelCursors?.()
    this.#writer.stop()
    // Bulk that still waits for company does not wait any more.
    while (this.#waiting.length > 0 || this.#grouping.busy) {
      this.#act(grouping.step(this.#grouping, { type: 'timer', mono: Number.MAX_SAFE_INTEGER }))
      await this.#inFlight
    }
    await retentionStopped
    await this.#lane.run(async () => {
      await this.#saveCursors().catch(() => undefined)
      await this.#store.close()
    })
  }
}

function keyRow(put: Put): KeyRow {
  if (put.space === SPACE || put.space === CURSORS || put.space === TABLES)
    throw new Failure('internal', `the space "${put.space}" is the journal's own`)
  storable(put.space, 'space')
  storable(put.key, 'key')
  const value = put.value === undefined ? undefined : JSON.stringify(put.value)
  if (put.value !== undefined && value === undefined) throw new Failure('event-invalid', `key ${put.key}: the value is not JSON`)
  return { space: put.space, key: put.key, value }
}

/** Several puts of one key in a transaction: the last one counts. */
function lastOfEach(rows: readonly KeyRow[]): KeyRow[] {
  if (rows.length < 2) return [...rows]
  return [...new Map(rows.map((row) => [`${row.space}\n${row.key.length}\n${row.key}`, row])).values()]
}
