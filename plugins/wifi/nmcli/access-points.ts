/**
 * Which of the box's own radios serve guests: hostapd's, and hotspots of NetworkManager's own. Connecting one of them to a network
 * would throw all guests off, so the uplink leaves them alone.
 */
import { existsSync } from 'node:fs'
import type { Device } from './devices.ts'
import { NmcliFault } from './fault.ts'
import { nmcli } from './run.ts'

const LOOK_MS = 10_000
/** Where hostapd has its control sockets, one a radio (hostapd.conf, ctrl_interface). */
const HOSTAPD = '/run/hostapd'

export class OwnAccessPoints {
  readonly #signal: AbortSignal
  /** Connections in use -> whether they are hotspots: asked once. */
  #hotspots = new Map<string, boolean>()

  constructor(signal: AbortSignal) {
    this.#signal = signal
  }

  /** Names of the radios that serve guests. */
  async among(all: readonly Device[]): Promise<ReadonlySet<string>> {
    const serving = new Set<string>()
    const hotspots = new Map<string, boolean>()
    for (const { name, type, connection } of all) {
      if (type !== 'wifi') continue
      if (connection !== undefined) hotspots.set(connection, this.#hotspots.get(connection) ?? (await this.#isHotspot(connection)))
      if ((connection !== undefined && hotspots.get(connection)) || isServing(name)) serving.add(name)
    }
    this.#hotspots = hotspots
    return serving
  }

  async #isHotspot(uuid: string): Promise<boolean> {
    const args = ['--get-values', '802-11-wireless.mode', 'connection', 'show', 'uuid', uuid]
    try {
      return (await nmcli(args, { timeoutMs: LOOK_MS, signal: this.#signal })).trim() === 'ap'
    } catch (error) {
      if (error instanceof NmcliFault && error.kind === 'not-found') return false
      throw error
    }
  }
}

/** A station cannot be a port of a bridge (IEEE 802.11-2020, 9.3.2.1: its frames have three addresses); an access point often is. */
function isServing(name: string): boolean {
  return existsSync(`${HOSTAPD}/${name}`) || existsSync(`/sys/class/net/${name}/master`)
}
