/** A clock that is moved by hand. Wall and monotonic time can go apart, as when a box without a battery is set by NTP. */
import type { Clock, MonoMs, WallMs } from '../../contract/plugin.ts'

export class HandClock implements Clock {
  #wall: number
  #mono = 1_000
  readonly #timers = new Set<{ due: number; run: () => void }>()

  constructor(wall: string) {
    this.#wall = Date.parse(wall)
  }

  wall(): WallMs {
    return this.#wall as WallMs
  }

  mono(): MonoMs {
    return this.#mono as MonoMs
  }

  timer(ms: number, run: () => void): () => void {
    const one = { due: this.#mono + ms, run }
    this.#timers.add(one)
    return () => this.#timers.delete(one)
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const cancel = this.timer(ms, resolve)
      signal?.addEventListener('abort', () => {
        cancel()
        reject(signal.reason)
      })
    })
  }

  /** The wall clock alone: what NTP or a person does. */
  set(wall: string): void {
    this.#wall = Date.parse(wall)
  }

  /** Time passes for both, and what was due runs. */
  pass(ms: number): void {
    this.#wall += ms
    this.#mono += ms
    for (const one of [...this.#timers]) {
      if (one.due > this.#mono) continue
      this.#timers.delete(one)
      one.run()
    }
  }

  get now(): string {
    return new Date(this.#wall).toISOString()
  }
}
