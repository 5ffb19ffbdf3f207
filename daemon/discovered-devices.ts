import type { Json, JsonObject } from './contract/json.ts'
import type { Journal } from './journal/api.ts'

/** Devices that `discovery.auto` has added. They lie beneath the config file: what a person wrote always wins. */
export class DiscoveredDevices {
  readonly #journal: Journal
  readonly #devices: Record<string, JsonObject>

  static async open(journal: Journal): Promise<DiscoveredDevices> {
    const kept = (await journal.space('discovered').get('devices')) as Record<string, JsonObject> | undefined
    return new DiscoveredDevices(journal, kept ?? {})
  }

  private constructor(journal: Journal, devices: Record<string, JsonObject>) {
    this.#journal = journal
    this.#devices = devices
  }

  async add(plugin: string, device: string, config: JsonObject): Promise<void> {
    this.#devices[plugin] = { ...this.#devices[plugin], [device]: config }
    await this.#journal.commit({ puts: [{ space: 'discovered', key: 'devices', value: this.#devices }] })
  }

  /** The config source with these devices beneath it. */
  over(source: JsonObject): JsonObject {
    const plugins: JsonObject = { ...object(source.plugins) }
    for (const [plugin, devices] of Object.entries(this.#devices)) {
      const section = object(plugins[plugin])
      plugins[plugin] = { ...section, devices: { ...devices, ...object(section.devices) } }
    }
    return { ...source, plugins }
  }
}

const object = (value: Json | undefined): JsonObject => (value !== null && typeof value === 'object' && !Array.isArray(value) ? value : {})
