/** What is to be done later: one of a kind at most, the latest wish counts, and at the end nothing is left running. */
import type { Clock, Logger } from '../../../daemon/contract/plugin.ts'

/** setTimeout takes no more (2^31 - 1 ms). */
const MOST_MS = 2 ** 31 - 1

export class Chores {
  readonly #clock: Clock
  readonly #log: Logger
  readonly #signal: AbortSignal
  readonly #cancels = new Map<string, () => void>()
  /** Begun and not ended. */
  readonly #acting = new Set<Promise<void>>()
  #stopped = false

  /** Nothing new is begun once `signal` is aborted. */
  constructor({ clock, log, signal }: { clock: Clock; log: Logger; signal: AbortSignal }) {
    this.#clock = clock
    this.#log = log
    this.#signal = signal
  }

  later(what: string, ms: number, act: () => Promise<void> | void): void {
    this.#cancels.get(what)?.()
    if (this.#stopped || this.#signal.aborted) return
    this.#cancels.set(
      what,
      this.#clock.timer(Math.min(ms, MOST_MS), () => {
        this.#cancels.delete(what)
        const acting = Promise.resolve(act())
          .catch((error: unknown) => this.#log.error({ what, reason: String(error) }, 'the guest network could not be looked after'))
          .finally(() => this.#acting.delete(acting))
        this.#acting.add(acting)
      }),
    )
  }

  /** Again and again, `ms` after the end of the last time. */
  every(what: string, ms: number, act: () => Promise<unknown>): void {
    this.later(what, ms, async () => {
      await act().finally(() => this.every(what, ms, act))
    })
  }

  stop(): void {
    this.#stopped = true
    for (const cancel of this.#cancels.values()) cancel()
  }

  /** Resolves when what had begun has ended. */
  async ended(): Promise<void> {
    await Promise.all(this.#acting)
  }
}
