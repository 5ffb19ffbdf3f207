/**
 * A process that was stopped for seconds finds its timers due before it has read what arrived meanwhile (Node runs timers first). Whoever
 * judges a silence then would take its own for the adapter's or a beacon's.
 */
import type { Clock } from '../../daemon/contract/plugin.ts'

/** Later than this, ms, a tick is one of a process that was held up. */
const LATE_MS = 1_000
/** For the reading of what has arrived, ms. */
const READ_MS = 250

/** Tells ticks that come too late to judge by. Never two in a row: by the second, everything has been read. */
export class HeldUp {
  readonly #everyMs: number
  #last: number | undefined
  #told = false

  constructor(everyMs: number) {
    this.#everyMs = everyMs
  }

  /** At each tick; `now`: monotonic ms. */
  at(now: number): boolean {
    const late = this.#last !== undefined && now - this.#last > this.#everyMs + LATE_MS
    this.#last = now
    this.#told = late && !this.#told
    return this.#told
  }
}

/** A deadline for an answer: what has arrived by then is read before `late` is called. Returns what cancels it. */
export function deadline(clock: Clock, ms: number, late: () => void): () => void {
  let cancel = clock.timer(ms - READ_MS, () => {
    cancel = clock.timer(READ_MS, late)
  })
  return () => cancel()
}
