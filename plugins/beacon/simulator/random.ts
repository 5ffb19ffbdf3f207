/** Seeded: the same seed gives the same shop. */
export class Random {
  #state: number

  constructor(seed: number) {
    this.#state = seed | 0
  }

  /** [0, 1): mulberry32. */
  next = (): number => {
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let value = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1)
    value ^= value + Math.imul(value ^ (value >>> 7), value | 61)
    return ((value ^ (value >>> 14)) >>> 0) / 4_294_967_296
  }

  /** Standard normal (Box and Muller). */
  normal(): number {
    return Math.sqrt(-2 * Math.log(1 - this.next())) * Math.cos(2 * Math.PI * this.next())
  }

  /** A static random address: its two top bits are set (Vol 6, Part B, 1.3.2.1). */
  address(): string {
    const bytes = Array.from({ length: 6 }, () => Math.floor(this.next() * 256))
    bytes[0] = (bytes[0] as number) | 0xc0
    return bytes.map((byte) => byte.toString(16).padStart(2, '0')).join(':')
  }
}
