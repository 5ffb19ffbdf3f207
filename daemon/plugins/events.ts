/** What a plugin emits or commits, at the daemon's door: checked and masked. What is emitted is answered one by one, a commit as a whole. */
import { asFailure, type ErrorBody, Failure } from '../contract/errors.ts'
import type { DeviceEvent, Sequence } from '../contract/event.ts'
import type { Json, JsonObject } from '../contract/json.ts'
import { DEVICE } from '../contract/topics.ts'
import type { Draft, Journal, Put } from '../journal/api.ts'
import type { SchemaSet } from '../schema.ts'
import type { StorePut } from './ipc.ts'

/** Characters, roughly. A receipt with its lines has a few thousand; a batch to HQ has 64 KiB. */
const EVENT_MOST = 256 * 1024
/** RFC 3339 date-time. */
const INSTANT = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/

/** Characters in one commit, roughly: a batch of the largest events is stored in several. */
const COMMIT_MOST = 4 * 1024 * 1024

interface Checked {
  draft: Draft
  size: number
}

/**
 * One answer for each event, in order. What is wrong with one event is no matter to the others; a failed commit is to all that
 * are in it.
 */
export async function commitEvents(
  journal: Journal,
  schemas: SchemaSet,
  events: readonly DeviceEvent[],
): Promise<(Sequence | ErrorBody)[]> {
  const checked: Checked[] = []
  const refused = events.map((event): ErrorBody | undefined => {
    const one = checkEvent(schemas, event)
    if (one instanceof Failure) return one.toBody()
    checked.push(one)
    return undefined
  })
  const stored = (await Promise.all(inCommits(checked).map((drafts) => commit(journal, drafts)))).flat()
  let next = 0
  return refused.map((one) => one ?? stored[next++] ?? internal)
}

/** A plugin's events and keys in one transaction: the sequences, or a `Failure` and nothing of it is stored. */
export async function commitTogether(
  journal: Journal,
  schemas: SchemaSet,
  space: string,
  { events, puts, mayWait }: { events: readonly DeviceEvent[]; puts: readonly StorePut[]; mayWait: boolean },
): Promise<Sequence[]> {
  const drafts = events.map((event) => {
    const one = checkEvent(schemas, event)
    if (one instanceof Failure) throw one
    return one.draft
  })
  const keys = puts.map(({ key, value }): Put => ({ space, key: checkKey(key), value }))
  return journal.commit({ events: drafts, puts: keys, ...(mayWait ? { mayWait } : {}) })
}

const KEY_MOST = 512

/** A key of a plugin's store; throws for what is none. */
export function checkKey(key: unknown): string {
  if (typeof key === 'string' && key !== '' && key.length <= KEY_MOST) return key
  throw new Failure('payload-malformed', `a key is 1 to ${KEY_MOST} characters`)
}

function inCommits(checked: readonly Checked[]): Draft[][] {
  const commits: Draft[][] = []
  let size = COMMIT_MOST
  for (const one of checked) {
    if (size + one.size > COMMIT_MOST) {
      commits.push([])
      size = 0
    }
    commits.at(-1)?.push(one.draft)
    size += one.size
  }
  return commits
}

async function commit(journal: Journal, drafts: readonly Draft[]): Promise<(Sequence | ErrorBody)[]> {
  try {
    return await journal.commit({ events: drafts })
  } catch (error) {
    const body = asFailure(error, 'journal-failed').toBody()
    return drafts.map(() => body)
  }
}

const internal: ErrorBody = { code: 'internal', message: 'the journal gave no sequence' }

/** Never throws: whatever a plugin sent, one event's fault is that event's answer. */
function checkEvent(schemas: SchemaSet, event: DeviceEvent): Checked | Failure {
  const name = schemas.manifest.name
  if (event === null || typeof event !== 'object') return new Failure('event-invalid', `${name}: an event is an object`)
  const { device, event: kind, data, time } = event
  if (typeof device !== 'string' || !DEVICE.test(device))
    return new Failure('event-invalid', `${name}: device ${JSON.stringify(device)?.slice(0, 60)} is not a device name`)
  if (typeof kind !== 'string') return new Failure('event-invalid', `${name}/${device}: the event has no name`)
  if (data === null || typeof data !== 'object' || Array.isArray(data))
    return new Failure('event-invalid', `${name}/${device}: data of ${kind.slice(0, 60)} is not an object`)
  if (time !== undefined && (typeof time !== 'string' || !INSTANT.test(time) || Number.isNaN(Date.parse(time))))
    return new Failure('event-invalid', `${name}/${device}: time of ${kind} is not an RFC 3339 instant`)
  const problems = schemas.event(kind, data)
  if (problems.length > 0)
    return new Failure(
      'event-invalid',
      `${name}/${device}: ${problems.map((one) => `${one.path || kind} ${one.message}`).join('; ')}`,
      problems,
    )
  const size = roughSize(data, EVENT_MOST)
  if (size >= EVENT_MOST) return new Failure('event-invalid', `${name}/${device}: ${kind} is larger than ${EVENT_MOST} characters`)
  return {
    size,
    draft: {
      plugin: name,
      device,
      event: kind,
      data: schemas.maskEvent(kind, data),
      ...(time === undefined ? {} : { time: new Date(time).toISOString() }),
      ...(schemas.bulk(kind) ? { bulk: true } : {}),
    },
  }
}

/** Characters of the JSON text, counted only as far as `most`. */
function roughSize(value: Json | JsonObject, most: number): number {
  if (typeof value === 'string') return value.length + 2
  if (value === null || typeof value !== 'object') return 8
  let size = 2
  if (Array.isArray(value)) {
    for (const one of value) {
      size += roughSize(one, most - size) + 1
      if (size >= most) break
    }
    return size
  }
  for (const key in value) {
    size += key.length + 4 + roughSize(value[key] ?? null, most - size)
    if (size >= most) break
  }
  return size
}
