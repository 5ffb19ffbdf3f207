/** Who has been here before: one small record a visitor, under the pseudonym, kept until it is erased or long unused. */
import { randomBytes } from 'node:crypto'
import type { Json, JsonObject } from '../../daemon/contract/json.ts'
import type { KeyValue } from '../../daemon/contract/plugin.ts'
import type { Consent, Method } from './sessions/session.ts'

const PREFIX = 'visitor/'
const DAY_MS = 86_400_000
/** Before 2020 the clock has not been set: nothing is judged old by it. */
const CLOCK_SET_MS = Date.UTC(2020, 0, 1)
const PSEUDONYM_STARTS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
/** Records lately read or written; null: there is none. A double tap does not read the one before, and a tap does not wait for the store at all. */
const RECENT_MOST = 1_024
const STATIONS_MOST = 8

export interface VisitorRecord {
  /** Signs this visitor's links; new with every new record. */
  key: string
  /** Unix ms of the last login. */
  seen: number
  visits: number
  method: Method
  /** Pseudonym of the member number, where a login told one. */
  member?: string
  consent?: Consent
  /** Pseudonyms of stations this visitor had: erased with it. */
  stations: string[]
}

export class Visitors {
  readonly #store: KeyValue
  readonly #recent = new Map<string, VisitorRecord | null>()

  constructor(store: KeyValue) {
    this.#store = store
  }

  async get(visitor: string): Promise<VisitorRecord | undefined> {
    const recent = this.#recent.get(visitor)
    if (recent !== undefined) return recent ?? undefined
    const record = (await this.#store.get(PREFIX + visitor)) as unknown as VisitorRecord | undefined
    // Written while it was being read: what was written counts.
    if (!this.#recent.has(visitor)) this.#remember(visitor, record ?? null)
    return this.#recent.get(visitor) ?? undefined
  }

  /** The record with one more visit in it, made but not kept yet: see `keep`. */
  async next(
    visitor: string,
    login: { method: Method; station: string; consent?: Consent; member?: string },
    wall: number,
  ): Promise<{ record: VisitorRecord; before: VisitorRecord | undefined }> {
    const before = await this.get(visitor)
    const stations = [login.station, ...(before?.stations ?? []).filter((one) => one !== login.station)].slice(0, STATIONS_MOST)
    const consent = login.consent ?? before?.consent
    const member = login.member ?? before?.member
    const record: VisitorRecord = {
      key: before?.key ?? randomBytes(6).toString('base64url'),
      seen: wall,
      visits: (before?.visits ?? 0) + 1,
      method: login.method,
      stations,
      ...(member === undefined ? {} : { member }),
      ...(consent ? { consent } : {}),
    }
    this.#remember(visitor, record)
    return { record, before }
  }

  /** The visit of `next` did not come about: the visitor is as before. */
  undo(visitor: string, record: VisitorRecord, before: VisitorRecord | undefined): void {
    if (this.#recent.get(visitor) === record) this.#remember(visitor, before ?? null)
  }

  async keep(visitor: string, record: VisitorRecord): Promise<void> {
    // Erased meanwhile: it stays so.
    if (this.#recent.get(visitor) === record) await this.#store.put(PREFIX + visitor, record as unknown as Json)
  }

  async erase(visitor: string): Promise<VisitorRecord | undefined> {
    const record = await this.get(visitor)
    this.#recent.delete(visitor)
    if (record) await this.#store.delete(PREFIX + visitor)
    return record
  }

  #remember(visitor: string, record: VisitorRecord | null): void {
    this.#recent.delete(visitor)
    this.#recent.set(visitor, record)
    const oldest = this.#recent.keys().next()
    if (this.#recent.size > RECENT_MOST && !oldest.done) this.#recent.delete(oldest.value)
  }

  /** Forgets those not seen for `days`; in 64 parts, so that a year's visitors are never in memory at once. */
  async prune(days: number, wall: number, signal: AbortSignal): Promise<void> {
    if (wall < CLOCK_SET_MS) return
    for (const start of PSEUDONYM_STARTS) {
      for (const { key, value } of await this.#store.list(PREFIX + start)) {
        if (signal.aborted) return
        const { seen } = value as JsonObject
        if (typeof seen === 'number' && seen > CLOCK_SET_MS && wall - seen > days * DAY_MS) {
          this.#recent.delete(key.slice(PREFIX.length))
          await this.#store.delete(key)
        }
      }
    }
  }
}
