/**
 * How many different radios were about, without knowing any of them: a HyperLogLog sketch (Flajolet et al., 2007) under a salt that is
 * thrown away every hour. It keeps 1,024 small numbers, no address. Phones change theirs every quarter of an hour, so this counts
 * addresses, not people.
 */

const BITS = 10
const REGISTERS = 1 << BITS
/** Bias correction for 1,024 registers. */
const ALPHA = 0.7213 / (1 + 1.079 / REGISTERS)
export const HOUR_MS = 3_600_000

export class Crowd {
  readonly #registers = new Uint8Array(REGISTERS)
  #salt: Uint32Array
  #since: number

  /** `salt`: two random 32-bit numbers. */
  constructor(salt: Uint32Array, now: number) {
    this.#salt = salt
    this.#since = now
  }

  /** Counts the 6 bytes at `at`. */
  add(packet: Buffer, at: number): void {
    const low = packet.readUInt32LE(at)
    const high = packet.readUInt16LE(at + 4)
    const hash = mix(low ^ mix(high ^ (this.#salt[0] as number)) ^ (this.#salt[1] as number))
    const register = hash >>> (32 - BITS)
    const rank = Math.clz32((mix(hash ^ (this.#salt[0] as number)) >>> 0) | 1) + 1
    if (rank > (this.#registers[register] as number)) this.#registers[register] = rank
  }

  /** Addresses so far; ±3 %. */
  count(): number {
    let sum = 0
    let empty = 0
    for (const rank of this.#registers) {
      sum += 2 ** -rank
      if (rank === 0) empty += 1
    }
    const estimate = (ALPHA * REGISTERS * REGISTERS) / sum
    // Linear counting for small crowds.
    return Math.round(estimate <= 2.5 * REGISTERS && empty > 0 ? REGISTERS * Math.log(REGISTERS / empty) : estimate)
  }

  /** Monotonic ms of the last renewal. */
  get since(): number {
    return this.#since
  }

  /** Forgets all, the salt too. */
  renew(salt: Uint32Array, now: number): void {
    this.#registers.fill(0)
    this.#salt = salt
    this.#since = now
  }
}

/** MurmurHash3's finalizer. */
function mix(value: number): number {
  let hash = value | 0
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}
