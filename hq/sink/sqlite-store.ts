/** The sink's store in one SQLite file. */
import { createHash } from 'node:crypto'
import { canonicalJson } from '../../daemon/contract/canonical.ts'
import type { CloudEvent, Sequence } from '../../daemon/contract/event.ts'
import type { JsonObject } from '../../daemon/contract/json.ts'
import type { DownDesired } from '../../daemon/contract/uplink.ts'
import { type Coverage, cover, NOTHING } from './coverage.machine.ts'
import { Database } from './sqlite.ts'
import type { Batch, Conflict, SaveResult, SinkStore, Stream, View } from './store.ts'

const SCHEMA = `
  PRAGMA page_size = 16384;
  PRAGMA journal_mode = WAL;
  PRAGMA synchronous = FULL;
  PRAGMA busy_timeout = 10000;
  PRAGMA cache_size = -32000;
  CREATE TABLE IF NOT EXISTS streams (
    id INTEGER PRIMARY KEY, gateway TEXT NOT NULL, epoch TEXT NOT NULL,
    watermark INTEGER NOT NULL DEFAULT 0, pieces TEXT NOT NULL DEFAULT '[]', since TEXT NOT NULL,
    UNIQUE (gateway, epoch));
  CREATE TABLE IF NOT EXISTS events (
    stream INTEGER NOT NULL, sequence INTEGER NOT NULL, id TEXT NOT NULL, event TEXT NOT NULL,
    PRIMARY KEY (stream, sequence)) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS conflicts (
    stream INTEGER NOT NULL, sequence INTEGER NOT NULL, id TEXT NOT NULL, stored_id TEXT NOT NULL, event TEXT NOT NULL, at TEXT NOT NULL,
    PRIMARY KEY (stream, sequence, id)) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS views (
    gateway TEXT NOT NULL, kind TEXT NOT NULL, at TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (gateway, kind)) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS desired (
    gateway TEXT NOT NULL, version INTEGER NOT NULL, digest TEXT NOT NULL, config TEXT NOT NULL, at TEXT NOT NULL,
    PRIMARY KEY (gateway, version)) WITHOUT ROWID;
  CREATE VIEW IF NOT EXISTS gateway_events AS
    SELECT gateway, epoch, sequence, events.id AS id, event ->> '$.type' AS type, event ->> '$.time' AS time, event
    FROM events JOIN streams ON streams.id = events.stream;
`

const NOW = "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')"

/** One row an event of `?`, `[[stream, sequence, id, text], …]`: flat, since SQLite reads a nested list anew for each of its rows. */
const ROWS = `
  SELECT value ->> 0 AS stream, value ->> 1 AS sequence, value ->> 2 AS id, value ->> 3 AS event FROM json_each(?)`

interface Known {
  id: number
  coverage: Coverage
}

interface StreamRow {
  id: number
  gateway: string
  epoch: string
  watermark: number
  pieces: string
}

/** Opens or creates the file. Only one sink may use it; `shopwire hq desired` may, beside it. */
export async function openSqliteStore(file: string): Promise<SinkStore> {
  const db = await Database.open(file)
  await db.exec(SCHEMA)
  return new SqliteStore(db)
}

class SqliteStore implements SinkStore {
  readonly #db: Database
  /** By `gateway/epoch`; only what is committed. */
  readonly #known = new Map<string, Known>()
  /** Transactions and what must not fall into one, one after the other. */
  #queue: Promise<unknown> = Promise.resolve()

  constructor(db: Database) {
    this.#db = db
  }

  save(batches: readonly Batch[]): Promise<SaveResult> {
    return this.#alone(() => this.#save(batches))
  }

  async #save(batches: readonly Batch[]): Promise<SaveResult> {
    const streams = await this.#resolve(batches)
    const next = new Map<Known, Coverage>()
    const rows: [number, number, string, string][] = []
    for (const batch of batches) {
      const known = streams.get(keyOf(batch)) as Known
      next.set(known, cover(next.get(known) ?? known.coverage, batch.from, batch.to))
      for (const event of batch.events) rows.push([known.id, Number(event.sequence), event.id, JSON.stringify(event)])
    }
    const json = JSON.stringify(rows)
    const moved = [...next].map(([{ id }, { watermark, pieces }]) => [id, watermark, pieces])
    return this.#transaction(async () => {
      const inserted =
        rows.length === 0
          ? 0
          : await this.#db.run(`INSERT INTO events (stream, sequence, id, event) ${ROWS} WHERE true ON CONFLICT DO NOTHING`, json)
      const conflicts = inserted < rows.length ? await this.#conflicts(json) : []
      await this.#db.run(
        `UPDATE streams SET watermark = max(watermark, moved.value ->> 1), pieces = moved.value -> 2 FROM json_each(?) AS moved WHERE streams.id = moved.value ->> 0`,
        JSON.stringify(moved),
      )
      return { inserted, conflicts }
    }).then(({ inserted, conflicts }) => {
      for (const [known, coverage] of next) known.coverage = coverage
      return { streams: [...streams].map(([key, { coverage }]) => toStream(key, coverage)), inserted, conflicts }
    })
  }

  /** Rows that were there already under another id: kept beside, and told once. */
  async #conflicts(json: string): Promise<Conflict[]> {
    return this.#db.all<Conflict>(
      `INSERT INTO conflicts (stream, sequence, id, stored_id, event, at)
       SELECT came.stream, came.sequence, came.id, events.id, came.event, ${NOW} FROM (${ROWS}) AS came
       JOIN events ON events.stream = came.stream AND events.sequence = came.sequence WHERE events.id <> came.id
       ON CONFLICT DO NOTHING
       RETURNING (SELECT gateway FROM streams WHERE streams.id = stream) AS gateway, (SELECT epoch FROM streams WHERE streams.id = stream) AS epoch,
         sequence, stored_id AS storedId, id`,
      json,
    )
  }

  /** The streams of `batches`, made where they are new. */
  async #resolve(batches: readonly Batch[]): Promise<Map<string, Known>> {
    const wanted = new Map(batches.map((batch) => [keyOf(batch), [batch.gateway, batch.epoch]]))
    const missing = [...wanted].filter(([key]) => !this.#known.has(key)).map(([, pair]) => pair)
    if (missing.length > 0) {
      const list = JSON.stringify(missing)
      await this.#db.run(
        `INSERT INTO streams (gateway, epoch, since) SELECT value ->> 0, value ->> 1, ${NOW} FROM json_each(?) WHERE true ON CONFLICT DO NOTHING`,
        list,
      )
      await this.#learn('JOIN json_each(?) AS pair ON gateway = pair.value ->> 0 AND epoch = pair.value ->> 1', list)
    }
    return new Map([...wanted.keys()].map((key) => [key, this.#known.get(key) as Known]))
  }

  async #learn(where: string, value: string): Promise<void> {
    const rows = await this.#db.all<StreamRow>(`SELECT streams.id, gateway, epoch, watermark, pieces FROM streams ${where}`, value)
    for (const row of rows)
      this.#known.set(keyOf(row), {
        id: row.id,
        coverage: { watermark: row.watermark, pieces: JSON.parse(row.pieces) as Coverage['pieces'] },
      })
  }

  async stream(gateway: string, epoch: string): Promise<Stream> {
    const key = keyOf({ gateway, epoch })
    if (!this.#known.has(key))
      await this.#alone(() =>
        this.#learn(
          'JOIN json_each(?) AS pair ON gateway = pair.value ->> 0 AND epoch = pair.value ->> 1',
          JSON.stringify([[gateway, epoch]]),
        ),
      )
    return toStream(key, this.#known.get(key)?.coverage ?? NOTHING)
  }

  async streams(): Promise<Stream[]> {
    const rows = await this.#db.all<StreamRow>(
      'SELECT id, gateway, epoch, watermark, pieces FROM streams WHERE id IN (SELECT max(id) FROM streams GROUP BY gateway)',
    )
    return rows.map((row) => toStream(keyOf(row), { watermark: row.watermark, pieces: JSON.parse(row.pieces) as Coverage['pieces'] }))
  }

  async saveViews(views: readonly View[]): Promise<void> {
    if (views.length === 0) return
    const rows = JSON.stringify(views.map(({ gateway, kind, body }) => [gateway, kind, body]))
    await this.#alone(() =>
      this.#db.run(
        `INSERT INTO views (gateway, kind, at, body) SELECT value ->> 0, value ->> 1, ${NOW}, value -> 2 FROM json_each(?) WHERE true
         ON CONFLICT DO UPDATE SET at = excluded.at, body = excluded.body`,
        rows,
      ),
    )
  }

  async view(gateway: string, kind: View['kind']): Promise<JsonObject | undefined> {
    const [row] = await this.#db.all<{ body: string }>('SELECT body FROM views WHERE gateway = ? AND kind = ?', gateway, kind)
    return row && (JSON.parse(row.body) as JsonObject)
  }

  async setDesired(gateway: string, config: JsonObject): Promise<DownDesired> {
    const text = canonicalJson(config)
    const digest = createHash('sha256').update(text).digest('hex')
    const [row] = await this.#alone(() =>
      this.#db.all<{ version: number }>(
        `INSERT INTO desired (gateway, version, digest, config, at)
         SELECT ?1, coalesce(max(version), 0) + 1, ?2, ?3, ${NOW} FROM desired WHERE gateway = ?1 RETURNING version`,
        gateway,
        digest,
        text,
      ),
    )
    return { version: row?.version ?? 0, digest, config }
  }

  async getDesired(gateway: string): Promise<DownDesired | undefined> {
    const [row] = await this.#db.all<{ version: number; digest: string; config: string }>(
      'SELECT version, digest, config FROM desired WHERE gateway = ? ORDER BY version DESC LIMIT 1',
      gateway,
    )
    return row && { version: row.version, digest: row.digest, config: JSON.parse(row.config) as JsonObject }
  }

  async desiredVersion(gateway: string): Promise<number> {
    const [row] = await this.#db.all<{ version: number }>(
      'SELECT coalesce(max(version), 0) AS version FROM desired WHERE gateway = ?',
      gateway,
    )
    return row?.version ?? 0
  }

  async events(gateway: string, epoch: string, after: Sequence, limit: number): Promise<CloudEvent[]> {
    const rows = await this.#db.all<{ event: string }>(
      `SELECT event FROM events JOIN streams ON streams.id = events.stream
       WHERE gateway = ? AND epoch = ? AND sequence > ? ORDER BY sequence LIMIT ?`,
      gateway,
      epoch,
      after,
      limit,
    )
    return rows.map(({ event }) => JSON.parse(event) as CloudEvent)
  }

  async count(): Promise<{ events: number; gateways: number; conflicts: number }> {
    const [row] = await this.#db.all<{ events: number; gateways: number; conflicts: number }>(
      `SELECT (SELECT count(*) FROM events) AS events, (SELECT count(DISTINCT gateway) FROM streams) AS gateways,
         (SELECT count(*) FROM conflicts) AS conflicts`,
    )
    return row ?? { events: 0, gateways: 0, conflicts: 0 }
  }

  async close(): Promise<void> {
    await this.#queue.catch(() => undefined)
    await this.#db.close()
  }

  #alone<Value>(run: () => Promise<Value>): Promise<Value> {
    const done = this.#queue.then(run, run)
    this.#queue = done.catch(() => undefined)
    return done
  }

  async #transaction<Value>(run: () => Promise<Value>): Promise<Value> {
    await this.#db.exec('BEGIN IMMEDIATE')
    try {
      const value = await run()
      await this.#db.exec('COMMIT')
      return value
    } catch (error) {
      // After a failed COMMIT it is open whether it took effect: nothing is acknowledged, the same rows come again, and
      // the watermarks are read anew.
      this.#known.clear()
      await this.#db.exec('ROLLBACK').catch(() => undefined)
      throw error
    }
  }
}

function keyOf({ gateway, epoch }: { gateway: string; epoch: string }): string {
  return `${gateway}/${epoch}`
}

function toStream(key: string, { watermark, pieces }: Coverage): Stream {
  const slash = key.indexOf('/')
  return { gateway: key.slice(0, slash), epoch: key.slice(slash + 1), watermark, highest: pieces.at(-1)?.[1] ?? watermark }
}
