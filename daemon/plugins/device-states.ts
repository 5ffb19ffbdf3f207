/** What a plugin says of its devices: shown at once, journaled when it is news, never faster than the card should take. */
import { iso } from '../clock.ts'
import type { Clock, DeviceState, MonoMs } from '../contract/plugin.ts'
import type { Journal } from '../journal/api.ts'
import type { Log } from '../log.ts'
import type { Shop } from '../shop.ts'

/** A device may change this often in a row; from then on the last of its changes in each window is journaled. */
const BURST = 20
const WINDOW_MS = 10_000

interface Told {
  text: string
  windowSince: MonoMs
  inWindow: number
  cancel: (() => void) | undefined
}

export interface DeviceStatesParts {
  plugin: string
  journal: Journal
  shop: Shop
  clock: Clock
  log: Log
}

export class DeviceStates {
  readonly #parts: DeviceStatesParts
  readonly #told = new Map<string, Told>()
  readonly #commits = new Set<Promise<unknown>>()

  constructor(parts: DeviceStatesParts) {
    this.#parts = parts
  }

  /** @param graceMs journal it only if it still holds after so long: a restart is over before anyone asks. */
  set(device: string, state: DeviceState, graceMs = 0): void {
    const { shop, plugin, clock } = this.#parts
    const shown: DeviceState = { state: state.state, ...(state.detail === undefined ? {} : { detail: String(state.detail).slice(0, 200) }) }
    if (!shop.setDevice(plugin, device, shown, iso(clock.wall()))) return
    let told = this.#told.get(device)
    if (!told) {
      told = { text: '', windowSince: clock.mono(), inWindow: 0, cancel: undefined }
      this.#told.set(device, told)
    }
    const now = clock.mono()
    if (now - told.windowSince >= WINDOW_MS) {
      told.windowSince = now
      told.inWindow = 0
    }
    const wait = Math.max(graceMs, told.inWindow >= BURST ? told.windowSince + WINDOW_MS - now : 0)
    told.cancel?.()
    told.cancel = undefined
    if (wait > 0) told.cancel = clock.timer(wait, () => this.#journal(device))
    else this.#journal(device)
  }

  /** Every device of the plugin that is shown, as `state` says. */
  setAll(state: DeviceState, graceMs = 0): void {
    for (const device of this.devices()) this.set(device, state, graceMs)
  }

  forget(device: string): void {
    this.#told.get(device)?.cancel?.()
    this.#told.delete(device)
    this.#parts.shop.removeDevice(this.#parts.plugin, device)
  }

  /** Names of the devices shown. */
  devices(): string[] {
    return this.#parts.shop.devices().flatMap((one) => (one.plugin === this.#parts.plugin ? [one.device] : []))
  }

  /** What waits is journaled now; resolves when all of it has been stored or refused. */
  async flush(): Promise<void> {
    for (const [device, told] of this.#told) if (told.cancel) this.#journal(device)
    await Promise.all(this.#commits)
  }

  #journal(device: string): void {
    const { shop, plugin, journal, log } = this.#parts
    const told = this.#told.get(device)
    const view = shop.device(plugin, device)
    if (!told || !view) return
    told.cancel?.()
    told.cancel = undefined
    const text = `${view.state} ${view.detail ?? ''}`
    if (told.text === text) return
    told.text = text
    told.inWindow += 1
    const data = { state: view.state, ...(view.detail === undefined ? {} : { detail: view.detail }) }
    const commit = journal.commit({ events: [{ plugin, device, event: 'device', data, bulk: true }] }).catch((error: unknown) => {
      // Said again with the next change; the state itself is shown all the same.
      told.text = ''
      log.warn({ device }, `a device state was not journaled: ${(error as Error).message}`)
    })
    this.#commits.add(commit)
    void commit.finally(() => this.#commits.delete(commit))
  }
}
