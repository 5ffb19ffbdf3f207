/** What stations call themselves when they ask for an address. A copied MAC address often comes with another name. */
import type { Mac } from './network/api.ts'

const MOST = 8_192

export class StationNames {
  readonly #names = new Map<Mac, string>()

  /** Whether it went by another name before; remembers the new one. */
  changed(mac: Mac, name: string | undefined): boolean {
    if (!name) return false
    const before = this.#names.get(mac)
    if (before === undefined && this.#names.size >= MOST) return false
    this.#names.set(mac, name)
    return before !== undefined && before !== name
  }

  forget(mac: Mac): void {
    this.#names.delete(mac)
  }
}
