/** Deadlines that pass when a test says so, however slow the machine is. */
import { systemClock } from '../clock.ts'
import type { Clock } from '../contract/plugin.ts'

/** The system's clock, but timers of the lengths that were named wait for `fire`; without any, the system's clock as it is. */
export class HeldTimers {
  readonly clock: Clock
  readonly #held: readonly { ms: number; waiting: Set<() => void> }[]

  constructor(...lengths: number[]) {
    this.#held = lengths.map((ms) => ({ ms, waiting: new Set() }))
    const holding =
      (kind: 'timer' | 'patience'): Clock['timer'] =>
      (ms, run) => {
        const held = this.#held.find((one) => one.ms === ms)
        if (!held) return systemClock[kind](ms, run)
        held.waiting.add(run)
        return () => held.waiting.delete(run)
      }
    this.clock = { ...systemClock, timer: holding('timer'), patience: holding('patience') }
  }

  /** Lets those of this length pass that wait now. */
  fire(ms: number): void {
    const waiting = this.#held.find((one) => one.ms === ms)?.waiting
    for (const run of [...(waiting ?? [])]) {
      waiting?.delete(run)
      run()
    }
  }
}
