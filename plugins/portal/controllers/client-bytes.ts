/**
 * What each client has used since its grant, from counters that the controller keeps for one association and begins anew at the next: a phone that
 * sleeps or walks to another access point is counted on. Pure.
 */
import type { Mac, Usage } from '../network/api.ts'

interface Bytes {
  bytesUp: number
  bytesDown: number
}

interface Counted {
  /** Of earlier associations and earlier processes. */
  kept: Bytes
  /** What the counters of this association showed when they began to count for the grant. */
  base: Bytes
  last: Bytes
}

const NONE: Bytes = { bytesUp: 0, bytesDown: 0 }

export class ClientBytes {
  readonly #counted = new Map<Mac, Counted>()

  /** Granting again counts on. `used`: before a restart; `shown`: what the controller shows now, if it lists the client. */
  granted(mac: Mac, used: Bytes, shown: Bytes = NONE): void {
    if (!this.#counted.has(mac)) this.#counted.set(mac, { kept: used, base: shown, last: shown })
  }

  revoked(mac: Mac): void {
    this.#counted.delete(mac)
  }

  /** The controller's list, by MAC. */
  listed(shown: ReadonlyMap<Mac, Bytes>): void {
    for (const [mac, one] of this.#counted) {
      const now = shown.get(mac)
      // Away, or back with less than it had: that association is over, and the next one counts from nothing.
      if (!now || now.bytesUp < one.last.bytesUp || now.bytesDown < one.last.bytesDown) {
        one.kept = sum(one)
        one.base = NONE
      }
      one.last = now ? { bytesUp: now.bytesUp, bytesDown: now.bytesDown } : NONE
    }
  }

  usage(): Usage[] {
    return [...this.#counted].map(([mac, one]) => ({ mac, ...sum(one) }))
  }
}

const sum = ({ kept, base, last }: Counted): Bytes => ({
  bytesUp: kept.bytesUp + last.bytesUp - base.bytesUp,
  bytesDown: kept.bytesDown + last.bytesDown - base.bytesDown,
})
