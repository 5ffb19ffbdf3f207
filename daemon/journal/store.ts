/** The open file: one transaction at a time, and what must be known of its content without asking it. */
import { Failure } from '../contract/errors.ts'
import type { Sequence } from '../contract/event.ts'
import type { StoredEvent } from './api.ts'
import { type Gap, genesis, mergeGaps } from './chain.ts'
import { type Connection, SqlError } from './connection.ts'
import { type Origin, type OriginRow, Origins } from './envelope.ts'
import { openFile, rewriteWal } from './file.ts'
import { packRow, ROW_HASH, unpackRow } from './row.ts'
import { PLACE_LENGTH, SPACE, SQL, type Tuning } from './schema.ts'

export interface KeyRow {
  space: string
  key: string
  /** JSON text; undefined deletes. */
  value: string | undefined
}

export interface NewRow {
  sequence: Sequence
  origin: Origin
  text: string
  hash: string
}

/** One transaction. */
export interface Batch {
  rows: readonly NewRow[]
  keys: readonly KeyRow[]
  /** Further statements of the same transaction. */
  also?: (connection: Connection) => Promise<void>
  /** Without a sync of its own: the next batch's makes it durable. For what can be made again. */
  lazy?: boolean
}

export const stored = (origin: Origin, sequence: Sequence, text: string): StoredEvent => ({
  sequence,
  type: origin.type,
  plugin: origin.plugin,
  device: origin.device,
  event: origin.event,
  bulk: origin.bulk,
  text,
})

export class Store {
  readonly file: string
  readonly origins = new Origins()
  readonly #tuning: Tuning
  #connection: Connection | undefined
  epoch = ''
  head: Sequence = 0
  /** Of the row `head`. */
  hash = ''
  tail: Sequence = 1
  /** Rows that retention took. */
  gone = 0

  constructor(file: string, tuning: Tuning) {
    this.file = file
    this.#tuning = tuning
  }

  get connection(): Connection {
    if (!this.#connection) throw new SqlError('SQLITE_MISUSE', 'the journal file is not open')
    return this.#connection
  }

  /** The handle, where the file could be opened at all. */
  get opened(): Connection | undefined {
    return this.#connection
  }

  async open(create: boolean): Promise<void> {
    this.#connection = await openFile(this.file, this.#tuning, create)
  }

  /** What `open` does not do for a file that may turn out to be damaged. */
  async load(): Promise<void> {
    const db = this.connection
    const epoch = await this.getKey(SPACE, 'epoch')
    if (epoch === undefined) throw new SqlError('SQLITE_CORRUPT', 'the journal has no epoch')
    this.epoch = JSON.parse(epoch) as string
    this.origins.load(await db.all<OriginRow>('SELECT id, plugin, device, event, bulk FROM origin ORDER BY id'))
    const [last] = await db.all<{ seq: number; hash: string }>(`SELECT seq, ${ROW_HASH} AS hash FROM event ORDER BY seq DESC LIMIT 1`)
    const [gap] = await db.all<{ last: number; hash: string }>('SELECT last, hash FROM gap ORDER BY first DESC LIMIT 1')
    const top = last && (!gap || last.seq > gap.last) ? { sequence: last.seq, hash: last.hash } : undefined
    this.head = top?.sequence ?? gap?.last ?? 0
    this.hash = top?.hash ?? gap?.hash ?? genesis(this.epoch)
    await this.refreshTail()
  }

  async refreshTail(): Promise<void> {
    const first = await this.connection.value('SELECT min(seq) FROM event')
    const gone = await this.connection.value('SELECT total(last - first + 1) FROM gap')
    // Not before both are known: who sees the new tail is given nothing older, and the cache forgets right after this.
    this.tail = Number(first ?? this.head + 1)
    this.gone = Number(gone ?? 0)
  }

  async close(): Promise<void> {
    const connection = this.#connection
    this.#connection = undefined
    await connection?.close()
  }

  /**
   * A new handle on a file whose old one has failed; nothing that the old one believed is taken over. `distrustWal`: after
   * anything but a full disk, whose refused writes are known to be no writes (and a copy would find no room).
   */
  async reopen(distrustWal: boolean): Promise<void> {
    await this.close()
    if (distrustWal) await rewriteWal(this.file)
    const epoch = this.epoch
    await this.open(false)
    await this.load()
    if (this.epoch !== epoch) throw new SqlError('SQLITE_CORRUPT', 'another journal file is in the place of this one')
  }

  /**
   * Makes `batch` durable. Whatever it throws, the outcome is unknown: `reopen` and ask `contains`.
   * Events alone need one statement, which is its own transaction.
   */
  async write(batch: Batch): Promise<void> {
    const db = this.connection
    const last = batch.rows.at(-1)
    if (last && last.sequence > Number.MAX_SAFE_INTEGER)
      throw new Failure('journal-failed', 'the sequence has reached 2^53: start a new journal')
    const fresh = new Set<Origin>()
    for (const row of batch.rows) if (!row.origin.saved) fresh.add(row.origin)
    const alone = fresh.size === 0 && batch.keys.length === 0 && !batch.also
    const lazy = batch.lazy === true && this.#tuning.synchronous === 'FULL'
    if (lazy) await db.exec('PRAGMA synchronous = NORMAL')
    if (!alone) await db.run(SQL.begin)
    if (fresh.size > 0) {
      const rows = [...fresh].map((one) => [one.id, one.plugin, one.device, one.event, one.bulk ? 1 : 0])
      await db.run(SQL.addOrigins, JSON.stringify(rows))
    }
    if (batch.rows.length > 0) {
      const { places, rows } = layOut(batch.rows)
      await db.run(SQL.addEvents, places, batch.rows[0]?.sequence ?? 0, rows)
    }
    await this.#writeKeys(batch.keys)
    await batch.also?.(db)
    if (!alone) await db.run(SQL.commit)
    // After an error the file is opened anew, with all its settings.
    if (lazy) await db.exec('PRAGMA synchronous = FULL')
    for (const origin of fresh) origin.saved = true
    if (last) {
      this.head = last.sequence
      this.hash = last.hash
      if (this.tail > this.head) this.tail = batch.rows[0]?.sequence ?? this.tail
    }
  }

  async #writeKeys(keys: readonly KeyRow[]): Promise<void> {
    const puts = keys.filter((one) => one.value !== undefined).map((one) => [one.space, one.key, one.value])
    const deletes = keys.filter((one) => one.value === undefined).map((one) => [one.space, one.key])
    if (puts.length > 0) await this.connection.run(SQL.putKeys, JSON.stringify(puts))
    if (deletes.length > 0) await this.connection.run(SQL.deleteKeys, JSON.stringify(deletes))
  }

  /** Whether a batch whose commit failed is in the file after all. Rows carry their hash; keys hold what was asked, or not. */
  async contains(batch: Batch): Promise<boolean> {
    const last = batch.rows.at(-1)
    if (last) {
      const found = await this.connection.value(`SELECT ${ROW_HASH} FROM event WHERE seq = ?1`, last.sequence)
      return found === last.hash
    }
    if (batch.keys.length === 0) return false
    for (const one of batch.keys) {
      if ((await this.getKey(one.space, one.key)) !== one.value) return false
    }
    return true
  }

  async read(after: Sequence, limit: number): Promise<StoredEvent[]> {
    const text = await this.connection.value(SQL.readEvents, after, this.head, limit)
    const rows = JSON.parse(String(text)) as [number, string][]
    return rows.map(([sequence, row]) => {
      const parts = unpackRow(row)
      const origin = parts && this.origins.get(parts.origin)
      if (!origin) throw new SqlError('SQLITE_CORRUPT', `event ${sequence} is not readable`)
      return stored(origin, sequence, parts.text)
    })
  }

  /** JSON text. */
  async getKey(space: string, key: string): Promise<string | undefined> {
    const value = await this.connection.value(SQL.getKey, space, key)
    return value === undefined ? undefined : String(value)
  }

  listKeys(space: string, prefix: string): Promise<{ key: string; value: string }[]> {
    // U+10FFFF is not a character: nothing that starts with `prefix` sorts behind it.
    return prefix === ''
      ? this.connection.all(SQL.listSpace, space)
      : this.connection.all(SQL.listKeys, space, prefix, `${prefix}\u{10ffff}`)
  }

  /** Statements for `Batch.also`: takes `rows` (in order, with their hashes) away and notes the gaps they leave. */
  async dropRows(db: Connection, rows: readonly { seq: Sequence; hash: string }[]): Promise<void> {
    const first = rows[0]
    const last = rows.at(-1)
    if (!first || !last) return
    const runs = mergeGaps(
      [],
      rows.map((row) => ({ first: row.seq, last: row.seq, hash: row.hash })),
    )
    const near = await db.all<Gap>(
      'SELECT first, last, hash FROM gap WHERE last >= ?1 AND first <= ?2 ORDER BY first',
      first.seq - 1,
      last.seq + 1,
    )
    if (near.length > 0) await db.run('DELETE FROM gap WHERE last >= ?1 AND first <= ?2', first.seq - 1, last.seq + 1)
    const merged = mergeGaps(near, runs).map((gap) => [gap.first, gap.last, gap.hash])
    await db.run('DELETE FROM event WHERE seq IN (SELECT value FROM json_each(?1))', JSON.stringify(rows.map((row) => row.seq)))
    await db.run(SQL.addGaps, JSON.stringify(merged))
  }

  /** Bytes in use, and bytes inside the file that are free for new rows. */
  async room(): Promise<{ live: number; free: number }> {
    const page = Number(await this.connection.value('PRAGMA page_size'))
    const pages = Number(await this.connection.value('PRAGMA page_count'))
    const free = Number(await this.connection.value('PRAGMA freelist_count'))
    return { live: (pages - free) * page, free: free * page }
  }
}

/** See `SQL.addEvents`. */
function layOut(rows: readonly NewRow[]): { places: string; rows: Buffer } {
  const texts: string[] = []
  let places = '['
  // SQLite counts from 1.
  let offset = 1
  for (const row of rows) {
    const text = packRow(row.hash, row.origin.id, row.text)
    const length = Buffer.byteLength(text)
    if (offset > 1) places += ','
    places += offset * PLACE_LENGTH + length
    offset += length
    texts.push(text)
  }
  return { places: `${places}]`, rows: Buffer.from(texts.join('')) }
}
