/** The networks the box knows, in order of preference: those of the config, those given by command, and `prefer`'s word on their order. */
import type { Json } from '../../daemon/contract/json.ts'
import type { KeyValue } from '../../daemon/contract/plugin.ts'
import { configured, type Known, type WifiConfig } from './config.ts'
import type { Access } from './nmcli/profiles.ts'
import type { AccessPoint } from './nmcli/radio.ts'
import type { SsidHex } from './ssid.ts'

/** An SSID has 32 bytes at most (IEEE 802.11-2020, 9.4.2.2). */
const MOST_BYTES = 32

export class Networks {
  readonly #store: KeyValue
  #config: Known[] = []
  /** By command; without their passwords, which are NetworkManager's. */
  #given: Known[] = []
  /** By command, not yet seen to work. */
  #onTrial: Known | undefined
  #preferred: SsidHex[] = []

  constructor(store: KeyValue) {
    this.#store = store
  }

  async load(config: WifiConfig): Promise<void> {
    this.#given = ((await this.#store.get('given')) ?? []) as unknown as Known[]
    this.#preferred = ((await this.#store.get('preferred')) ?? []) as SsidHex[]
    this.#config = usable(configured(config))
  }

  /** In order of preference. */
  get all(): Known[] {
    const config = new Set(this.#config.map(({ ssid }) => ssid))
    const all = [...this.#config, ...this.#given.filter(({ ssid }) => !config.has(ssid))]
    const rank = (ssid: SsidHex) => (this.#preferred.includes(ssid) ? this.#preferred.indexOf(ssid) : this.#preferred.length)
    return all.sort((a, b) => rank(a.ssid) - rank(b.ssid))
  }

  get order(): SsidHex[] {
    return this.all.map(({ ssid }) => ssid)
  }

  find(ssid: SsidHex): Known | undefined {
    return this.#onTrial?.ssid === ssid ? this.#onTrial : this.all.find((one) => one.ssid === ssid)
  }

  /** A changed config. Names the networks that are new or not as they were. `prefer` holds until the config's networks change. */
  async configure(config: WifiConfig): Promise<SsidHex[]> {
    const next = usable(configured(config))
    const was = new Map(this.#config.map((one) => [one.ssid, JSON.stringify(one)]))
    const changed = next.filter((one) => was.get(one.ssid) !== JSON.stringify(one)).map(({ ssid }) => ssid)
    if (JSON.stringify(next) !== JSON.stringify(this.#config)) await this.prefer([])
    this.#config = next
    return changed
  }

  /** A network given by command goes on trial: it is kept once it has worked. */
  tryOut(network: Known | undefined): void {
    this.#onTrial = network
  }

  /** It works: the network on trial is one of the box's own from now on. */
  async keep(ssid: SsidHex): Promise<void> {
    const { password: _password, ...network } = this.#onTrial ?? {}
    if (this.#onTrial?.ssid !== ssid || this.#onTrial.from !== 'command') return
    await this.#give([...this.#given.filter((one) => one.ssid !== ssid), network as Known])
  }

  async forget(ssid: SsidHex): Promise<void> {
    await this.#give(this.#given.filter((one) => one.ssid !== ssid))
  }

  async prefer(ssids: readonly SsidHex[]): Promise<void> {
    if (JSON.stringify(ssids) === JSON.stringify(this.#preferred)) return
    this.#preferred = [...ssids]
    await this.#store.put('preferred', this.#preferred)
  }

  async #give(networks: Known[]): Promise<void> {
    this.#given = networks
    await this.#store.put('given', structuredClone(networks) as unknown as Json)
  }
}

/** Too long a name: the schema counts characters, a network counts bytes. */
export function isTooLong(ssid: SsidHex): boolean {
  return ssid.length > 2 * MOST_BYTES
}

function usable(networks: Known[]): Known[] {
  return networks.filter(({ ssid }) => !isTooLong(ssid))
}

/** What a profile for this network needs. `heard` tells a network that takes WPA3 only. */
export function accessOf(network: Known, password: string | undefined, heard: readonly AccessPoint[]): Access {
  const { ssid, hidden } = network
  const secret = password === undefined ? {} : { password }
  if (network.security !== 'auto') return { ssid, hidden, security: network.security, ...secret }
  if (password === undefined) return { ssid, hidden, security: 'open' }
  const points = heard.filter((one) => one.ssid === ssid)
  const onlyWpa3 = points.length > 0 && points.every(({ security }) => /WPA3/.test(security) && !/WPA2/.test(security))
  return { ssid, hidden, security: onlyWpa3 ? 'sae' : 'wpa-psk', ...secret }
}
