import type { Clock } from './contract/plugin.ts'
import type { Log } from './log.ts'

/** Parts started in order, stopped in reverse, each within its deadline: one that hangs must not keep the others from closing. */
export class Lifecycle {
  readonly #clock: Clock
  readonly #log: Log
  readonly #stops: { name: string; stop: () => Promise<void> | void }[] = []

  constructor(clock: Clock, log: Log) {
    this.#clock = clock
    this.#log = log
  }

  /** Notes how to stop a part that has just been started. */
  started(name: string, stop: () => Promise<void> | void): void {
    this.#stops.push({ name, stop })
  }

  /** Stops all, last started first. Never throws: there is nobody left to act on it. */
  async stop(deadlineMs: number): Promise<void> {
    for (let next = this.#stops.pop(); next; next = this.#stops.pop()) {
      const { name, stop } = next
      let cancel = () => {}
      const late = new Promise<'late'>((resolve) => {
        cancel = this.#clock.timer(deadlineMs, () => resolve('late'))
      })
      try {
        if ((await Promise.race([stop(), late])) === 'late') this.#log.warn({ part: name, deadlineMs }, 'did not stop in time, going on')
      } catch (error) {
        this.#log.error({ part: name, error: error instanceof Error ? error.message : String(error) }, 'failed to stop')
      } finally {
        cancel()
      }
    }
  }
}
