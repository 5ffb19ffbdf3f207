/** What gateways send up, checked at the door. A payload that breaks the contract is refused whole. */
import { gunzipSync } from 'node:zlib'
import { Failure } from '../../daemon/contract/errors.ts'
import type { CloudEvent } from '../../daemon/contract/event.ts'
import type { UpEvents, UpState, UpSync } from '../../daemon/contract/uplink.ts'

/** Of a payload, unpacked: a gateway sends at most 64 KiB, or one larger event; a few kilobytes of gzip may unpack to gigabytes. */
const PAYLOAD_BYTES = 4 * 1024 * 1024
/** More than a gateway may send, so that a later version may raise its limit. */
const BATCH_EVENTS = 10_000
const EPOCH_LENGTH = 64

/** Rejects with `payload-malformed` or `payload-too-large`. */
export function parseEvents(payload: Buffer): UpEvents {
  const value = parseObject(payload)
  const { epoch, from, to, events, dropped } = value as Partial<UpEvents>
  if (!isEpoch(epoch)) throw malformed('epoch must be text')
  if (!isSequence(from) || !isSequence(to) || from < 1 || from > to) throw malformed('from and to must be sequences')
  if (!Array.isArray(events) || events.length > BATCH_EVENTS) throw malformed(`events must be a list of at most ${BATCH_EVENTS}`)
  const holes = checkDropped(dropped, from, to)
  let expected = from
  for (const event of events as unknown[]) {
    while (holes[0]?.from === expected) expected = (holes.shift()?.to ?? 0) + 1
    checkEvent(event, epoch, expected)
    expected += 1
  }
  while (holes[0]?.from === expected) expected = (holes.shift()?.to ?? 0) + 1
  if (expected !== to + 1) throw malformed(`events and dropped end at ${expected - 1}, not at ${to}`)
  return value as unknown as UpEvents
}

export function parseSync(payload: Buffer): UpSync {
  const value = parseObject(payload) as Partial<UpSync>
  if (!isEpoch(value.epoch)) throw malformed('epoch must be text')
  const { stored, sent, head, tail = 0, desiredVersion = 0 } = value
  if (![stored, sent, head, tail, desiredVersion].every(isSequence)) throw malformed('stored, sent, head must be sequences')
  return { ...value, tail, desiredVersion } as UpSync
}

export function parseState(payload: Buffer): UpState {
  const value = parseObject(payload) as Partial<UpState>
  if (typeof value.online !== 'boolean' || typeof value.session !== 'string' || !isEpoch(value.epoch))
    throw malformed('must be {online, session, epoch, version, since}')
  return { ...value, version: String(value.version ?? ''), since: String(value.since ?? '') } as UpState
}

/** Any other payload: a JSON object, or a failure. */
export function parseObject(payload: Buffer): object {
  const text = unpack(payload).toString('utf8')
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw malformed('is not JSON')
  }
  if (value === null || typeof value !== 'object' || Array.isArray(value)) throw malformed('must be a JSON object')
  return value
}

/** Gzip is told by its magic bytes (RFC 1952, 2.3.1). */
function unpack(payload: Buffer): Buffer {
  if (payload.length > PAYLOAD_BYTES) throw new Failure('payload-too-large', `${payload.length} bytes, at most ${PAYLOAD_BYTES}`)
  if (payload[0] !== 0x1f || payload[1] !== 0x8b) return payload
  try {
    return gunzipSync(payload, { maxOutputLength: PAYLOAD_BYTES })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE')
      throw new Failure('payload-too-large', `unpacks to more than ${PAYLOAD_BYTES} bytes`)
    throw malformed('is not gzip that can be unpacked')
  }
}

function checkDropped(dropped: unknown, from: number, to: number): { from: number; to: number }[] {
  if (dropped === undefined) return []
  if (!Array.isArray(dropped) || dropped.length > BATCH_EVENTS) throw malformed('dropped must be a list')
  const holes: { from: number; to: number }[] = []
  let last = from - 1
  for (const one of dropped as Partial<{ from: number; to: number }>[]) {
    if (!isSequence(one?.from) || !isSequence(one.to) || one.from <= last || one.to < one.from || one.to > to)
      throw malformed('dropped must be ranges in order, inside from-to')
    last = one.to
    holes.push({ from: one.from, to: one.to })
  }
  return holes
}

function checkEvent(value: unknown, epoch: string, expected: number): void {
  const event = value as Partial<CloudEvent> | null
  if (event === null || typeof event !== 'object' || Number(event.sequence) !== expected)
    throw malformed(`the event ${expected} is not where it should be`)
  if (typeof event.id !== 'string' || typeof event.type !== 'string' || typeof event.time !== 'string' || event.epoch !== epoch)
    throw malformed(`the event ${expected} lacks id, type, time or the batch's epoch`)
}

function isEpoch(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && value.length <= EPOCH_LENGTH && !value.includes('/')
}

function isSequence(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}

function malformed(message: string): Failure {
  return new Failure('payload-malformed', message)
}
