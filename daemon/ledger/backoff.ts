/** Waits longer and longer while something fails, and says so once. */
import type { Clock } from '../contract/plugin.ts'
import type { Log } from '../log.ts'

const FIRST_MS = 250
const MOST_MS = 30_000

export class Backoff {
  readonly #clock: Clock
  readonly #log: Log
  readonly #stopping = new AbortController()
  #next = FIRST_MS

  constructor(clock: Clock, log: Log) {
    this.#clock = clock
    this.#log = log
  }

  /** Never rejects; comes back at once after `stop`. */
  async wait(error: unknown, what: string): Promise<void> {
    if (this.#stopping.signal.aborted) return
    if (this.#next === FIRST_MS) this.#log.warn({ error: error instanceof Error ? error.message : String(error) }, `${what}; trying on`)
    await this.#clock.sleep(this.#next, this.#stopping.signal).catch(() => undefined)
    this.#next = Math.min(MOST_MS, this.#next * 2)
  }

  well(): void {
    this.#next = FIRST_MS
  }

  stop(): void {
    this.#stopping.abort()
  }
}
