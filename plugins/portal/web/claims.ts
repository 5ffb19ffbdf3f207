/** Receipt links opened: each becomes an event, but nobody fills the journal with them. */

const WINDOW_MS = 60_000
const EACH_MOST = 10
const ALL_MOST = 120
const KNOWN_MOST = 1_000

export class ClaimLimit {
  readonly #known = new Set<string>()
  readonly #each = new Map<string, number>()
  #all = 0
  #since = Number.NEGATIVE_INFINITY

  /** Whether this one is news that may be told. `now` is monotonic ms. */
  news(address: string, claim: string, now: number): boolean {
    if (now - this.#since >= WINDOW_MS) {
      this.#since = now
      this.#all = 0
      this.#each.clear()
    }
    const key = `${address} ${claim}`
    const mine = this.#each.get(address) ?? 0
    if (this.#known.has(key) || mine >= EACH_MOST || this.#all >= ALL_MOST) return false
    this.#each.set(address, mine + 1)
    this.#all += 1
    this.#known.add(key)
    const [oldest] = this.#known
    if (this.#known.size > KNOWN_MOST && oldest !== undefined) this.#known.delete(oldest)
    return true
  }
}
