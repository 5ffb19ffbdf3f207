/** The newest committed events, in memory: a reader that keeps up never touches the disk. */
import type { Sequence } from '../contract/event.ts'
import type { StoredEvent } from './api.ts'

const MAX_EVENTS = 2_000
const MAX_CHARACTERS = 2_000_000

export class TailCache {
  #events: StoredEvent[] = []
  #characters = 0
  /** Every event after this one that is still kept is here. */
  #from: Sequence

  constructor(head: Sequence) {
    this.#from = head
  }

  push(events: readonly StoredEvent[]): void {
    for (const event of events) {
      this.#events.push(event)
      this.#characters += event.text.length
    }
    // Cut a quarter below the limit, so that the cut is made once in 500 events and not at each.
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

  /** Undefined where the answer begins before what is held. */
  read(after: Sequence, events: number, bytes: number): StoredEvent[] | undefined {
    if (after < this.#from) return undefined
    let low = 0
    let high = this.#events.length
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.#events[middle]?.sequence ?? 0) > after) high = middle
      else low = middle + 1
    }
    return withinBytes(this.#events.slice(low, low + events), bytes)
  }

  /** Retention took these. */
  forget(gone: (sequence: Sequence) => boolean): void {
    this.#events = this.#events.filter((one) => !gone(one.sequence))
    this.#characters = this.#events.reduce((sum, one) => sum + one.text.length, 0)
  }
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
