/** UUIDv7 (RFC 9562, 5.7), ordered within a millisecond by a 12-bit counter (6.2, method 1). */
import { randomBytes } from 'node:crypto'

const POOL_BYTES = 4_096
/** A clock set back further than this is believed; less is taken for jitter, and the ids keep growing. */
const BACK_MS = 10_000
const COUNTER_MAX = 0xfff

export class Uuid7 {
  #pool = ''
  #at = 0
  #ms = -1
  #prefix = ''
  #counter = 0

  next(wall: number): string {
    const now = Math.max(0, Math.floor(wall))
    if (now > this.#ms || now < this.#ms - BACK_MS) this.#tick(now)
    else if (this.#counter === COUNTER_MAX) this.#tick(this.#ms + 1)
    else this.#counter += 1
    const random = this.#random()
    const counter = (0x7000 | this.#counter).toString(16)
    // The variant's two bits, 10, leave four values for the digit they share.
    const variant = '89ab'[Number.parseInt(random[0] ?? '0', 16) & 3]
    return `${this.#prefix}-${counter}-${variant}${random.slice(1, 4)}-${random.slice(4, 16)}`
  }

  #tick(ms: number): void {
    this.#ms = ms
    const hex = ms.toString(16).padStart(12, '0')
    this.#prefix = `${hex.slice(0, 8)}-${hex.slice(8)}`
    // Seeded in its lower half, so that the upper one is left to count in.
    this.#counter = Number.parseInt(this.#random().slice(0, 3), 16) & 0x7ff
  }

  #random(): string {
    if (this.#at + 16 > this.#pool.length) {
      this.#pool = randomBytes(POOL_BYTES).toString('hex')
      this.#at = 0
    }
    this.#at += 16
    return this.#pool.slice(this.#at - 16, this.#at)
  }
}
