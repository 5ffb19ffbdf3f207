/** Counts events by type: since the start, for metrics; since local midnight, for people. */
import { iso } from '../clock.ts'
import type { Sequence } from '../contract/event.ts'
import type { Clock, WallMs } from '../contract/plugin.ts'
import type { Journal, StoredEvent } from '../journal/api.ts'
import type { Log } from '../log.ts'
import type { Today } from './api.ts'
import { timeOf } from './journal-pages.ts'

/** Events looked through to find the beginning of the day, going back. A shop's busiest day is a tenth of it. */
const LOOK_BACK = 400_000
const CHUNK = 1_000

export class Tally {
  readonly #journal: Journal
  readonly #clock: Clock
  readonly #log: Log
  readonly #total = new Map<string, number>()
  readonly #today = new Map<string, number>()
  readonly #last = new Map<string, string>()
  #midnight = 0
  /** First sequence that was counted as it came; what lies before it is counted when someone asks. */
  #liveFrom: Sequence = 0
  #filled = false
  #filling: Promise<void> | undefined
  #unfollow: (() => void) | undefined

  constructor(journal: Journal, clock: Clock, log: Log) {
    this.#journal = journal
    this.#clock = clock
    this.#log = log
  }

  start(): void {
    this.#midnight = midnight(this.#clock.wall())
    this.#liveFrom = this.#journal.head + 1
    this.#unfollow = this.#journal.follow((events) => this.#count(events))
  }

  stop(): void {
    this.#unfollow?.()
    this.#filled = true
  }

  /** Event type -> how many since the start. */
  totals(): ReadonlyMap<string, number> {
    return this.#total
  }

  today(): Today {
    this.#turnDay()
    if (!this.#filled) void this.fill()
    return {
      since: iso(this.#midnight as WallMs),
      complete: this.#filled,
      counts: Object.fromEntries(this.#today),
      last: Object.fromEntries(this.#last),
    }
  }

  /** Counts the part of the day that was journaled before the start. Only once, and only when someone wants to know. */
  fill(): Promise<void> {
    this.#filling ??= this.#fill().catch((error: unknown) => {
      this.#log.warn({ error: String(error) }, 'cannot count the events of today')
      this.#filling = undefined
    })
    return this.#filling
  }

  async #fill(): Promise<void> {
    const since = iso(this.#midnight as WallMs)
    const day = this.#midnight
    const oldest = Math.max(this.#journal.tail - 1, this.#liveFrom - 1 - LOOK_BACK)
    for (let to = this.#liveFrom - 1; to > oldest && !this.#filled; ) {
      const from = Math.max(oldest, to - CHUNK)
      const counts = new Map<string, number>()
      const last = new Map<string, string>()
      let earlier = false
      for (let after = from; after < to; ) {
        const read = await this.#journal.read(after, { events: Math.min(CHUNK, to - after) })
        const end = read.at(-1)?.sequence ?? to
        for (const event of read) {
          if (event.sequence > to) break
          const time = timeOf(event)
          last.set(event.type, time)
          if (time >= since) counts.set(event.type, (counts.get(event.type) ?? 0) + 1)
          else earlier = true
        }
        after = end
      }
      if (this.#midnight === day) for (const [type, count] of counts) this.#today.set(type, (this.#today.get(type) ?? 0) + count)
      for (const [type, time] of last) if (!this.#last.has(type)) this.#last.set(type, time)
      if (earlier && counts.size === 0) break
      to = from
    }
    this.#filled = true
  }

  #count(events: readonly StoredEvent[]): void {
    this.#turnDay()
    for (const event of events) {
      this.#total.set(event.type, (this.#total.get(event.type) ?? 0) + 1)
      this.#today.set(event.type, (this.#today.get(event.type) ?? 0) + 1)
    }
    // One stamp a type and commit is exact enough, and spares a look into every text.
    const newest = new Map<string, StoredEvent>()
    for (const event of events) newest.set(event.type, event)
    for (const [type, event] of newest) this.#last.set(type, timeOf(event))
  }

  /** A new day starts at zero. A clock that was set (a Pi boots in the past) starts the count anew from the journal. */
  #turnDay(): void {
    const now = midnight(this.#clock.wall())
    if (now === this.#midnight) return
    const nextDay = now > this.#midnight && now - this.#midnight < 36 * 3_600_000
    this.#midnight = now
    this.#today.clear()
    if (nextDay) return
    this.#liveFrom = this.#journal.head + 1
    this.#filled = false
    this.#filling = undefined
  }
}

function midnight(wall: WallMs): number {
  const day = new Date(wall)
  day.setHours(0, 0, 0, 0)
  return day.getTime()
}
