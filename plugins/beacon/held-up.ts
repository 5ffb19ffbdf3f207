/**
 * A process that was stopped for seconds finds its timers due before it has read what arrived meanwhile (Node runs timers first). Whoever
 * judges a silence then would take its own for the adapter's or a beacon's.
 */

/** Later than this, ms, a tick is one of a process that was held up. */
const LATE_MS = 1_000

/** Tells ticks that come too late to judge by. Never two in a row: by the second, everything has been read. */
export class HeldUp {
  #told = false

  /** At each tick; when it was due and when it came: monotonic ms. */
  at(now: number, due: number): boolean {
    this.#told = now - due > LATE_MS && !this.#told
    return this.#told
  }
}
