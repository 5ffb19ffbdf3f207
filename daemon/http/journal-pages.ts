/** Reads the journal for people: forward in pages by type, and the newest few. */
import { type CloudEvent, type Sequence, TYPE_PREFIX } from '../contract/event.ts'
import type { Journal, StoredEvent } from '../journal/api.ts'

export type TypeFilter = (type: string) => boolean

const READ = { events: 500, bytes: 1_048_576 }
/** A page for a rare type looks through this many events at most; the next page goes on from there. */
const LOOK_THROUGH = 50_000

/** `shopwire.scanner.scan`, `scanner.scan`, `scanner.*`; several with commas. Undefined takes all. */
export function typeFilter(pattern: string | undefined): TypeFilter {
  if (pattern === undefined || pattern === '' || pattern === '*') return () => true
  const wanted = pattern.split(',').map((one) => (one.startsWith(TYPE_PREFIX) ? one : TYPE_PREFIX + one))
  return (type) => wanted.some((one) => (one.endsWith('*') ? type.startsWith(one.slice(0, -1)) : type === one))
}

export interface Page {
  events: StoredEvent[]
  /** The `since` of the next page; undefined at the end of the journal. */
  next?: Sequence
}

/** Up to `limit` events after `since`, oldest first. */
export async function pageForward(journal: Journal, since: Sequence, limit: number, wanted: TypeFilter): Promise<Page> {
  const events: StoredEvent[] = []
  let position = since
  for (let looked = 0; looked < LOOK_THROUGH; ) {
    const read = await journal.read(position, READ)
    for (const event of read) {
      position = event.sequence
      if (wanted(event.type) && events.push(event) === limit) return position < journal.head ? { events, next: position } : { events }
    }
    looked += read.length
    if (read.length === 0 || position >= journal.head) return { events }
  }
  return { events, next: position }
}

/** The newest `count` events of the type, oldest first, among the last 50,000. */
export async function newest(journal: Journal, count: number, wanted: TypeFilter = () => true): Promise<StoredEvent[]> {
  const found: StoredEvent[][] = []
  let have = 0
  const oldest = Math.max(journal.tail - 1, journal.head - LOOK_THROUGH)
  for (let to = journal.head, span = count; to > oldest && have < count; span = READ.events) {
    const from = Math.max(oldest, to - span)
    const chunk: StoredEvent[] = []
    for (let after = from; after < to; ) {
      const read = (await journal.read(after, { ...READ, events: Math.min(READ.events, to - after) })).filter((one) => one.sequence <= to)
      const last = read.at(-1)
      if (!last) break
      after = last.sequence
      for (const event of read) if (wanted(event.type)) chunk.push(event)
    }
    found.unshift(chunk)
    have += chunk.length
    to = from
  }
  return found.flat().slice(-count)
}

export const parseEvent = (event: StoredEvent): CloudEvent => JSON.parse(event.text) as CloudEvent

/** The CloudEvent's `time`, without parsing all of it: it stands before `data`. */
export function timeOf(event: StoredEvent): string {
  const time = /"time":"([^"]+)"/.exec(event.text)
  return time?.[1] ?? ''
}
