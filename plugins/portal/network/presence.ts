/** Who is on the guest network: every sign goes into the machine, and what it finds comes out. */
import type { Clock, Logger, MonoMs } from '../../../daemon/contract/plugin.ts'
import type { Mac, NetworkEvents, Sighting, Station } from './api.ts'
import { readArp } from './arp.ts'
import { type GuestSubnet, inSubnet } from './guest-subnet.ts'
import type { Sign } from './signs.ts'
import { addressesOf, type StationsEffect, type StationsEvent, StationsState, stationOf, stationsMachine } from './stations.machine.ts'

/** An address that was looked up so lately is not looked up again, unless the kernel says that it changed. */
const FRESH_ARP_MS = 1_000
/** Questions about unknown addresses within this time share one look at the kernel's table. */
const SHARED_ARP_MS = 20

export interface PresenceParts {
  clock: Clock
  log: Logger
  /** Has the kernel ask whether they are still there. */
  probe(stations: readonly { mac: Mac; ip: string }[]): Promise<void>
}

export class Presence {
  readonly #device: string
  readonly #subnet: GuestSubnet
  readonly #parts: PresenceParts
  readonly #stations = new StationsState()
  #events: NetworkEvents | undefined
  #arpRead: { at: MonoMs; done: Promise<void> } | undefined

  constructor(device: string, subnet: GuestSubnet, parts: PresenceParts) {
    this.#device = device
    this.#subnet = subnet
    this.#parts = parts
  }

  /** From now on; nobody is told of what was before. */
  listen(events: NetworkEvents | undefined): void {
    this.#events = events
  }

  async stationAt(address: string): Promise<Station | undefined> {
    const ip = address.replace(/^::ffff:/, '')
    if (ip === this.#subnet.own || !inSubnet(ip, this.#subnet.cidr)) return undefined
    const now = this.#parts.clock.mono()
    const age = this.#arpRead ? now - this.#arpRead.at : Number.POSITIVE_INFINITY
    if (age > FRESH_ARP_MS || !stationOf(this.#stations, ip)) {
      if (!this.#arpRead || age > SHARED_ARP_MS) this.#arpRead = { at: now, done: this.#readArp() }
      await this.#arpRead.done
    }
    return stationOf(this.#stations, ip)
  }

  addressesOf(mac: Mac): readonly string[] {
    return addressesOf(this.#stations, mac)
  }

  heard(sign: Sign): void {
    const now = this.#parts.clock.mono()
    if (sign.from === 'hostapd') {
      this.#meet({ kind: 'sign', sign: sign.what, by: 'hostapd', mac: sign.mac, now })
      return
    }
    // A lease that runs out is no sign of a radio, but of a long silence.
    const kind: Sighting['kind'] = sign.what === 'add' ? 'joined' : sign.what === 'old' ? 'seen' : 'silent'
    const { mac, ip, hostname } = sign
    // A dnsmasq that was joined runs our script for the shop's own machines, too.
    if (!inSubnet(ip, this.#subnet.cidr)) return
    this.#meet({ kind: 'sign', sign: kind, by: 'dhcp', mac, ip, now, ...(hostname === undefined ? {} : { hostname }) })
  }

  /** An entry that grows stale is no sign of life; one that is new, or now another's, is. */
  neighbour(ip: string, mac: Mac, isFresh: boolean): void {
    if (!inSubnet(ip, this.#subnet.cidr) || (!isFresh && this.#stations.byIp.get(ip) === mac)) return
    this.#meet({ kind: 'sign', sign: 'seen', by: 'neighbour', mac, ip, now: this.#parts.clock.mono() })
  }

  failed(ip: string): void {
    this.#meet({ kind: 'failed', ip, now: this.#parts.clock.mono() })
  }

  seen(by: string, mac: Mac, port?: string): void {
    this.#meet({ kind: 'sign', sign: 'seen', by, mac, now: this.#parts.clock.mono(), ...(port === undefined ? {} : { port }) })
  }

  tick(): void {
    this.#meet({ kind: 'tick', now: this.#parts.clock.mono() })
  }

  #meet(event: StationsEvent): void {
    for (const effect of stationsMachine.step(this.#stations, event)) this.#tell(effect)
  }

  #tell(effect: StationsEffect): void {
    switch (effect.kind) {
      case 'sighting':
        this.#events?.sighting(effect.sighting)
        return
      case 'suspect':
        this.#parts.log.warn({ why: effect.suspicion.why }, 'a station looks like two behind one MAC')
        this.#events?.suspect?.(effect.suspicion)
        return
      case 'probe':
        this.#parts.probe(effect.stations).catch(() => {})
    }
  }

  async #readArp(): Promise<void> {
    for (const { ip, mac } of await readArp(this.#device)) this.neighbour(ip, mac, false)
  }
}
