/**
 * How many different radios were about just now, roughly and without knowing any: one bit for each of 32 kinds of address, kept for the
 * last five to ten seconds in which anything was heard.
 */
const SLOT_MS = 5_000
/** After so long without a sound, who was about says nothing any more: a full shop has emptied by then. */
const STALE_SLOTS = 180

export class Variety {
  #slot = 0
  #now = 0
  #before = 0

  /** `mark`: any part of an address. `at`: monotonic ms. */
  add(mark: number, at: number): void {
    const slot = Math.floor(at / SLOT_MS)
    if (slot !== this.#slot) {
      this.#before = slot === this.#slot + 1 ? this.#now : 0
      this.#now = 0
      this.#slot = slot
    }
    this.#now |= 1 << (mark & 31)
  }

  /** At least so many, up to 32; none where all that is long ago. */
  sizeAt(now: number): number {
    if (Math.floor(now / SLOT_MS) - this.#slot > STALE_SLOTS) return 0
    let bits = this.#now | this.#before
    let count = 0
    for (; bits !== 0; bits &= bits - 1) count += 1
    return count
  }
}
