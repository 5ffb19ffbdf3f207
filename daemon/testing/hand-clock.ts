/** A clock that is moved by hand. Wall and monotonic time can go apart, as when a box without a battery is set by NTP. */
import type { Clock, MonoMs, WallMs } from '../contract/plugin.ts'

interface Timer {
  due: number
  run: () => void
}

export class HandClock implements Clock {
  #wall: number
  #mono = 1_000
  readonly #timers = new Set<Timer>()

  constructor(wall = '2026-11-25T10:00:00Z') {
    this.#wall = Date.parse(wall)
  }

  wall(): WallMs {
    return this.#wall as WallMs
  }

  mono(): MonoMs {
    return this.#mono as MonoMs
  }

  get now(): string {
    return new Date(this.#wall).toISOString()
  }

  timer(ms: number, run: () => void): () => void {
    const one = { due: this.#mono + ms, run }
    this.#timers.add(one)
    return () => this.#timers.delete(one)
  }

  patience(ms: number, over: () => void): () => void {
    return this.timer(ms, over)
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const cancel = this.timer(ms, resolve)
      signal?.addEventListener(
        'abort',
        () => {
          cancel()
          reject(signal.reason)
        },
        { once: true },
      )
    })
  }

  /** The wall clock alone: what NTP or a person does. */
  set(wall: string): void {
    this.#wall = Date.parse(wall)
  }

  /** All the time at once, then what has fallen due runs: a process that was held up. */
  jump(ms: number): void {
    this.#go(this.#mono + ms)
    for (const one of [...this.#timers]) if (one.due <= this.#mono) this.#fire(one)
  }

  /** Time passes, and timers run in order, each at its time. */
  advance(ms: number): void {
    const end = this.#mono + ms
    for (let next = this.#next(end); next; next = this.#next(end)) {
      this.#go(next.due)
      this.#fire(next)
    }
    this.#go(end)
  }

  /** The same; what a timer starts gets a turn before the next one. */
  async pass(ms: number): Promise<void> {
    const end = this.#mono + ms
    for (let next = this.#next(end); next; next = this.#next(end)) {
      this.#go(next.due)
      this.#fire(next)
      await turns()
    }
    this.#go(end)
    await turns()
  }

  #next(end: number): Timer | undefined {
    let first: Timer | undefined
    for (const one of this.#timers) if (one.due <= end && (!first || one.due < first.due)) first = one
    return first
  }

  #go(to: number): void {
    const mono = Math.max(this.#mono, to)
    this.#wall += mono - this.#mono
    this.#mono = mono
  }

  #fire(one: Timer): void {
    if (this.#timers.delete(one)) one.run()
  }
}

async function turns(): Promise<void> {
  for (let turn = 0; turn < 8; turn++) await new Promise((resolve) => setImmediate(resolve))
}
