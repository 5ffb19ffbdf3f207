/**
 * Events in memory: the newest ones, so that a reader that keeps up never touches the disk, and what was read ahead for one
 * that is catching up, so that it does not queue behind a commit for each hundred.
 */
import type { Sequence } from '../contract/event.ts'
import type { StoredEvent } from './api.ts'

const MAX_EVENTS = 6_000
const MAX_CHARACTERS = 4_000_000

const NOTHING = { after: 0, events: [] as readonly StoredEvent[] }

export class TailCache {
  #events: StoredEvent[] = []
  #characters = 0
  /** Every event after this one that is still kept is here. */
  #from: Sequence
  #ahead: { after: Sequence; events: readonly StoredEvent[] } = NOTHING

  constructor(head: Sequence) {
    this.#from = head
  }

  push(events: readonly StoredEvent[]): void {
    for (const event of events) {
      this.#events.push(event)
      this.#characters += event.text.length
    }
    // Cut a quarter below the limit, so that the cut is made now and then and not at each event.
    if (this.#events.length <= MAX_EVENTS && this.#characters <= MAX_CHARACTERS) return
    let cut = 0
    while (this.#events.length - cut > MAX_EVENTS * 0.75 || this.#characters > MAX_CHARACTERS * 0.75) {
      const gone = this.#events[cut]
      if (!gone) break
      this.#characters -= gone.text.length
      this.#from = gone.sequence
      cut += 1
    }
    this.#events = this.#events.slice(cut)
  }

  /** Undefined where the answer begins in what is not held. */
  read(after: Sequence, events: number, bytes: number): StoredEvent[] | undefined {
    if (after >= this.#from) return withinBytes(behind(this.#events, after, events), bytes)
    const ahead = this.#ahead
    if (after < ahead.after || after >= (ahead.events.at(-1)?.sequence ?? 0)) return undefined
    return withinBytes(behind(ahead.events, after, events), bytes)
  }

  /** `events` are all that follow `after`, up to the last of them. */
  readAhead(after: Sequence, events: readonly StoredEvent[]): void {
    this.#ahead = { after, events }
  }

  /** Retention took these. */
  forget(gone: (sequence: Sequence) => boolean): void {
    this.#ahead = NOTHING
    this.#events = this.#events.filter((one) => !gone(one.sequence))
    this.#characters = this.#events.reduce((sum, one) => sum + one.text.length, 0)
  }
}

/** Up to `count` of `events` (in order) that come after `after`. */
function behind(events: readonly StoredEvent[], after: Sequence, count: number): StoredEvent[] {
  let low = 0
  let high = events.length
  while (low < high) {
    const middle = (low + high) >> 1
    if ((events[middle]?.sequence ?? 0) > after) high = middle
    else low = middle + 1
  }
  return events.slice(low, low + count)
}

/** As many of the first events as fit, one at least. */
export function withinBytes(events: StoredEvent[], bytes: number): StoredEvent[] {
  if (bytes === Number.POSITIVE_INFINITY) return events
  let used = 0
  for (let index = 0; index < events.length; index += 1) {
    used += Buffer.byteLength(events[index]?.text ?? '')
    if (used > bytes && index > 0) return events.slice(0, index)
  }
  return events
}
