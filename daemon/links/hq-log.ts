/** `up/log`: the log as HQ sees it, only while asked for, and never more than a trickle. */
import type { Clock } from '../contract/plugin.ts'
import type { UpLog } from '../contract/uplink.ts'

const LEVELS = ['debug', 'info', 'warn', 'error']
const MAX_SECONDS = 3_600
const LINES_PER_SECOND = 20
const BURST = 100

export class LogTap {
  readonly #clock: Clock
  readonly #send: (entry: UpLog) => void
  #until = 0
  #level = 1
  /** Lines that may go at once; grows with time. */
  #allowance = BURST
  #at = 0
  #held = 0

  constructor(clock: Clock, send: (entry: UpLog) => void) {
    this.#clock = clock
    this.#send = send
  }

  ask(seconds: number, level: string): void {
    const now = this.#clock.mono()
    this.#until = now + Math.min(Math.max(0, seconds), MAX_SECONDS) * 1000
    this.#level = Math.max(0, LEVELS.indexOf(level))
    this.#allowance = BURST
    this.#at = now
    this.#held = 0
  }

  offer(entry: UpLog): void {
    if (this.#until === 0) return
    const now = this.#clock.mono()
    if (now >= this.#until) {
      this.#until = 0
      return
    }
    if (LEVELS.indexOf(entry.level) < this.#level) return
    this.#allowance = Math.min(BURST, this.#allowance + ((now - this.#at) * LINES_PER_SECOND) / 1000)
    this.#at = now
    if (this.#allowance < 1) {
      this.#held += 1
      return
    }
    this.#allowance -= 1
    this.#send(this.#held > 0 ? { ...entry, fields: { ...entry.fields, heldBack: this.#held } } : entry)
    this.#held = 0
  }
}
