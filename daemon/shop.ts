import type { DeviceState } from './contract/plugin.ts'
import type { PluginStatus } from './contract/uplink.ts'

/** What the shop looks like now. Those who know write into it; LAN, HQ, HTTP and CLI show it. */
export interface PluginView {
  name: string
  version: string
  status: PluginStatus
  /** RFC 3339, of the status. */
  since: string
  restarts: number
  /** Why it is in backoff, quarantined or stopped. */
  reason?: string
}

export interface DeviceView extends DeviceState {
  plugin: string
  device: string
  /** RFC 3339, of the state. */
  since: string
  /** RFC 3339, of its last event. */
  lastEvent?: string
}

export interface LinkView {
  name: 'lan' | 'hq'
  state: 'online' | 'connecting' | 'offline' | 'off'
  since: string
  /** Where it leads (no credentials), or why it is not online. */
  detail: string
  /** HQ: events not yet acknowledged, and when the oldest of them was stored. */
  backlog?: number
  oldest?: string
}

export type ShopChange =
  | { kind: 'plugin'; plugin: PluginView }
  | { kind: 'plugin-gone'; name: string }
  | { kind: 'device'; device: DeviceView }
  | { kind: 'device-gone'; plugin: string; device: string }
  | { kind: 'link'; link: LinkView }

export class Shop {
  readonly #plugins = new Map<string, PluginView>()
  readonly #devices = new Map<string, DeviceView>()
  readonly #links = new Map<string, LinkView>()
  readonly #listeners = new Set<(change: ShopChange) => void>()

  plugins(): PluginView[] {
    return [...this.#plugins.values()].sort((a, b) => a.name.localeCompare(b.name))
  }

  devices(): DeviceView[] {
    return [...this.#devices.values()].sort((a, b) => a.plugin.localeCompare(b.plugin) || a.device.localeCompare(b.device))
  }

  device(plugin: string, device: string): DeviceView | undefined {
    return this.#devices.get(`${plugin}/${device}`)
  }

  links(): LinkView[] {
    return [...this.#links.values()]
  }

  follow(listener: (change: ShopChange) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  setPlugin(plugin: PluginView): void {
    this.#plugins.set(plugin.name, plugin)
    this.#tell({ kind: 'plugin', plugin })
  }

  removePlugin(name: string): void {
    for (const device of this.devices()) if (device.plugin === name) this.removeDevice(name, device.device)
    if (this.#plugins.delete(name)) this.#tell({ kind: 'plugin-gone', name })
  }

  /** True when the state or its detail is news. */
  setDevice(plugin: string, device: string, state: DeviceState, since: string): boolean {
    const key = `${plugin}/${device}`
    const old = this.#devices.get(key)
    if (old?.state === state.state && old.detail === state.detail) return false
    const view: DeviceView = { plugin, device, ...state, since, ...(old?.lastEvent === undefined ? {} : { lastEvent: old.lastEvent }) }
    this.#devices.set(key, view)
    this.#tell({ kind: 'device', device: view })
    return true
  }

  /** Notes a sign of life. Not told to listeners: the event itself is. */
  touchDevice(plugin: string, device: string, at: string): void {
    const view = this.#devices.get(`${plugin}/${device}`)
    if (view) view.lastEvent = at
  }

  removeDevice(plugin: string, device: string): void {
    if (this.#devices.delete(`${plugin}/${device}`)) this.#tell({ kind: 'device-gone', plugin, device })
  }

  setLink(link: LinkView): void {
    this.#links.set(link.name, link)
    this.#tell({ kind: 'link', link })
  }

  #tell(change: ShopChange): void {
    for (const listener of this.#listeners) listener(change)
  }
}
