/**
 * What can be read of a damaged journal, carried into a new one of a new epoch: all keys (payment intents, command ids,
 * print jobs: what keeps things from happening twice), and the events that HQ has not acknowledged, with their ids.
 * The damaged file stays beside it, whole.
 */
import { rm } from 'node:fs/promises'
import type { CloudEvent, Sequence } from '../contract/event.ts'
import { TYPE_PREFIX } from '../contract/event.ts'
import type { JsonObject } from '../contract/json.ts'
import { link } from './chain.ts'
import type { Connection } from './connection.ts'
import { moveAside, salvagedFile } from './file.ts'
import { unpackRow } from './row.ts'
import { CURSORS, SPACE, TABLES, type Tuning } from './schema.ts'
import { type KeyRow, type NewRow, Store } from './store.ts'

const CHUNK = 200
/** Reads that fail before the rest is given up. */
const FAILURES = 2_000
/** Sequences jumped over, at most, when one cannot be read. */
const LEAP = 64

export interface Salvage {
  /** Where the damaged file is now. */
  aside: string
  keys: number
  events: number
  /** For the `journal.dropped` event. */
  report: JsonObject
}

interface Found {
  keys: KeyRow[]
  events: { seq: Sequence; text: string; bulk: boolean }[]
  epoch: string | undefined
  acknowledged: Sequence
  last: Sequence
}

/** `damaged` is undefined where the file is no database at all any more; it is closed here. */
export async function salvage(file: string, damaged: Connection | undefined, tuning: Tuning, because: string): Promise<Salvage> {
  const found = damaged ? await collect(damaged) : undefined
  await damaged?.close().catch(() => undefined)
  const target = salvagedFile(file)
  for (const old of [target, `${target}-wal`, `${target}-shm`]) await rm(old, { force: true })
  const store = new Store(target, tuning)
  await store.open(true)
  await store.load()
  if (found) {
    await store.write({ rows: [], keys: found.keys })
    for (let at = 0; at < found.events.length; at += CHUNK)
      await store.write({ rows: rows(store, found.events.slice(at, at + CHUNK)), keys: [] })
  }
  await store.close()
  const aside = await moveAside(file, target)
  const acknowledged = found?.acknowledged ?? 0
  return {
    aside,
    keys: found?.keys.length ?? 0,
    events: found?.events.length ?? 0,
    report: {
      ...(found?.epoch === undefined ? {} : { epoch: found.epoch }),
      fromSeq: Math.min(acknowledged + 1, found?.last ?? 0),
      toSeq: found?.last ?? 0,
      reason: 'corrupt',
      carried: found?.events.length ?? 0,
      detail: because.slice(0, 200),
    },
  }
}

async function collect(db: Connection): Promise<Found> {
  const keys = await readKeys(db)
  const note = (space: string, key: string): unknown => {
    const text = keys.find((one) => one.space === space && one.key === key)?.value
    return text === undefined ? undefined : JSON.parse(text)
  }
  const hold = note(SPACE, 'hold') as string | undefined
  const positions = keys.filter((one) => one.space === CURSORS).map((one) => Number(one.value))
  const head = Number((await db.value('SELECT max(seq) FROM event').catch(() => 0)) ?? 0)
  // Nobody holds: the slowest reader's position stands for it; without readers nobody misses anything.
  const acknowledged =
    hold === undefined ? Math.min(...positions, positions.length === 0 ? head : Infinity) : Number(note(CURSORS, hold) ?? 0)
  const { events, last } = await readEvents(db, acknowledged)
  return {
    keys: keys.filter((one) => one.space !== CURSORS && one.space !== TABLES && (one.space !== SPACE || one.key === 'hold')),
    events,
    epoch: note(SPACE, 'epoch') as string | undefined,
    acknowledged,
    last: Math.max(last, head),
  }
}

/** From the front up to what cannot be read, then from the back: a damaged page costs its own keys. */
async function readKeys(db: Connection): Promise<KeyRow[]> {
  type Row = { space: string; key: string; value: string }
  const found = new Map<string, KeyRow>()
  for (const [sign, order, edge] of [
    ['>', 'ASC', ''],
    ['<', 'DESC', '\u{10ffff}'],
  ]) {
    let [space, key, limit] = [edge ?? '', edge ?? '', CHUNK]
    while (limit > 0) {
      const sql = `SELECT space, key, value FROM kv WHERE (space, key) ${sign} (?1, ?2) ORDER BY space ${order}, key ${order} LIMIT ?3`
      const rows = await db.all<Row>(sql, space, key, limit).catch(() => undefined)
      if (!rows) {
        limit = Math.floor(limit / 2)
        continue
      }
      for (const row of rows) if (isJson(row.value)) found.set(JSON.stringify([row.space, row.key]), row)
      const last = rows.at(-1)
      if (!last) return [...found.values()]
      space = last.space
      key = last.key
    }
  }
  return [...found.values()]
}

/** Steps over what cannot be read: smaller and smaller bites, then leaps, then larger bites again. */
async function readEvents(db: Connection, acknowledged: Sequence): Promise<{ events: Found['events']; last: Sequence }> {
  type Row = { seq: Sequence; row: string }
  const bulk = new Set((await db.all<{ id: number }>('SELECT id FROM origin WHERE bulk = 1').catch(() => [])).map((row) => row.id))
  const events: Found['events'] = []
  let last = acknowledged
  let after = acknowledged
  for (let failures = 0, limit = CHUNK, leap = 1; failures < FAILURES; ) {
    const rows = await db.all<Row>('SELECT seq, row FROM event WHERE seq > ?1 ORDER BY seq LIMIT ?2', after, limit).catch(() => undefined)
    if (rows) {
      for (const row of rows) {
        const parts = unpackRow(row.row)
        if (parts && readable(parts.text, row.seq)) events.push({ seq: row.seq, text: parts.text, bulk: bulk.has(parts.origin) })
        last = row.seq
      }
      if (rows.length === 0) break
      after = last
      limit = Math.min(CHUNK, limit * 2)
      leap = 1
      continue
    }
    failures += 1
    if (limit > 1) limit = Math.floor(limit / 2)
    else {
      after += leap
      leap = Math.min(LEAP, leap * 2)
    }
  }
  return { events, last }
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

function readable(text: string, sequence: Sequence): boolean {
  try {
    const event = JSON.parse(text) as CloudEvent
    return event.sequence === String(sequence) && event.type.startsWith(TYPE_PREFIX) && typeof event.source === 'string'
  } catch {
    return false
  }
}

/** The same events under new sequences. Their ids stay: source and id tell HQ that it may have seen one already. */
function rows(store: Store, events: Found['events']): NewRow[] {
  let sequence = store.head
  let hash = store.hash
  return events.map(({ text: old, bulk }) => {
    const event = JSON.parse(old) as CloudEvent
    sequence += 1
    const text = JSON.stringify({ ...event, sequence: String(sequence), epoch: store.epoch })
    hash = link(hash, text)
    const [plugin = '', name = ''] = event.type.slice(TYPE_PREFIX.length).split(/\.(.*)/s)
    const device = event.source.split('/').slice(3).join('/')
    return { sequence, origin: store.origins.find(plugin, device, name, bulk), text, hash }
  })
}
