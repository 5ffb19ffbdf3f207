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
import { CURSORS, SPACE, type Tuning } from './schema.ts'
import { type KeyRow, type NewRow, Store } from './store.ts'

const CHUNK = 200
/** Places where reading fails before the rest is given up. */
const FAILURES = 200

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
  hold: string | undefined
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
  const keys: KeyRow[] = []
  await forgiving(
    (after: { space: string; key: string }) =>
      db.all<{ space: string; key: string; value: string }>(
        'SELECT space, key, value FROM kv WHERE (space, key) > (?1, ?2) ORDER BY space, key LIMIT ?3',
        after.space,
        after.key,
        CHUNK,
      ),
    (row) => keys.push(row),
    { space: '', key: '' },
    () => undefined,
  )
  const note = (space: string, key: string): unknown => {
    const text = keys.find((one) => one.space === space && one.key === key)?.value
    return text === undefined ? undefined : JSON.parse(text)
  }
  const hold = note(SPACE, 'hold') as string | undefined
  const epoch = note(SPACE, 'epoch') as string | undefined
  const positions = keys.filter((one) => one.space === CURSORS).map((one) => Number(one.value))
  // Nobody holds: the slowest reader's position stands for it.
  const acknowledged = hold === undefined ? Math.min(...positions, Number.MAX_SAFE_INTEGER) : Number(note(CURSORS, hold) ?? 0)
  const bulk = new Set<number>()
  await db.all<{ id: number }>('SELECT id FROM origin WHERE bulk = 1').then(
    (rows) => {
      for (const row of rows) bulk.add(row.id)
    },
    () => undefined,
  )
  const events: Found['events'] = []
  let last = acknowledged === Number.MAX_SAFE_INTEGER ? 0 : acknowledged
  await forgiving(
    (after: { seq: Sequence }) =>
      db.all<{ seq: Sequence; origin: number; text: string }>(
        'SELECT seq, origin, text FROM event WHERE seq > ?1 ORDER BY seq LIMIT ?2',
        after.seq,
        CHUNK,
      ),
    (row) => {
      last = Math.max(last, row.seq)
      if (readable(row.text, row.seq)) events.push({ seq: row.seq, text: row.text, bulk: bulk.has(row.origin) })
    },
    { seq: acknowledged },
    (after) => ({ seq: after.seq + CHUNK }),
  )
  return {
    keys: keys.filter((one) => one.space !== CURSORS && (one.space !== SPACE || one.key === 'hold')),
    events,
    epoch,
    hold,
    acknowledged: acknowledged === Number.MAX_SAFE_INTEGER ? last : acknowledged,
    last,
  }
}

/** Reads on behind what cannot be read, as long as `skip` knows where that might be. */
async function forgiving<Key, Row extends Key>(
  read: (after: Key) => Promise<Row[]>,
  take: (row: Row) => void,
  start: Key,
  skip: (after: Key) => Key | undefined,
): Promise<void> {
  let after = start
  for (let failures = 0; failures < FAILURES; ) {
    try {
      const found = await read(after)
      found.forEach(take)
      const last = found.at(-1)
      if (!last) return
      after = last
    } catch {
      failures += 1
      const next = skip(after)
      if (next === undefined) return
      after = next
    }
  }
}

function readable(text: unknown, sequence: Sequence): boolean {
  if (typeof text !== 'string') return false
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
