/**
 * The seam between the portal and the guest network. The portal decides who may be online and for how long; a controller makes the
 * network obey: nftables on this box, an access point's own controller over HTTP, or a simulated one.
 */
import type { MonoMs } from '../../../daemon/contract/plugin.ts'

/** Six octets, lower case, with colons. Never leaves this process but as a pseudonym. */
export type Mac = string

export interface Station {
  mac: Mac
  /** IPv4 or IPv6, as its requests come from. */
  ip: string
  /** As it called itself when it asked for an address. */
  hostname?: string
}

/** One client let out. Granting again replaces the time left and the speeds and keeps the counters. */
export interface Grant {
  mac: Mac
  ip?: string
  /** Seconds from now. */
  seconds: number
  /** kbit/s; none: unlimited. */
  downKbps?: number
  upKbps?: number
  /** What it had used before a restart: counters go on from here. */
  bytesUp?: number
  bytesDown?: number
}

export interface Usage {
  mac: Mac
  /** Bytes since its grant. */
  bytesUp: number
  bytesDown: number
}

/**
 * A sign that a station is here or gone. `joined`, `left`: the radio or the driver says so. `seen`: it sent or got something, answered ARP or asked for a
 * lease. `silent`: the network itself has given it up. Sightings may repeat; debouncing is the portal's.
 */
export interface Sighting {
  kind: 'joined' | 'left' | 'seen' | 'silent'
  mac: Mac
  ip?: string
  hostname?: string
  /** Who says so: `hostapd`, `dhcp`, `neighbour`, `counter`, `controller`. */
  by: string
  at: MonoMs
}

/**
 * What looks like two machines behind one MAC: seen in turn at two addresses or two ports of the bridge, or under two host names. A hint, no
 * proof; a copy that keeps still while the other speaks is not seen.
 */
export interface Suspicion {
  mac: Mac
  why: 'two-addresses' | 'two-ports' | 'two-names'
  at: MonoMs
}

export interface NetworkHealth {
  state: 'online' | 'fault'
  /** A short word: `uplink-down`, `dnsmasq-down`, `no-interface`, `rules-lost`, `controller-unreachable` … */
  detail?: string
}

export interface NetworkEvents {
  sighting(sighting: Sighting): void
  /** Only what is news. */
  health(health: NetworkHealth): void
  /** A MAC that seems to be used by two; at most once an hour for each. */
  suspect?(suspicion: Suspicion): void
}

export interface NetworkController {
  /**
   * Takes hold of the network, closed to everybody but `online`: who was let out when the last process ended, and is granted again after the
   * start. A network that closes as it starts lets them out in the same step, so that no connection of theirs is cut; one that stays as it was
   * may leave them alone. Rejects with `network-denied` when the right to is missing, naming each missing thing and its mend, and leaves nothing
   * behind then.
   */
  start(events: NetworkEvents, online: readonly Grant[]): Promise<void>
  /** Batches: all of it in as few calls to the network as there can be. Resolves when it is in effect. */
  authorise(grants: readonly Grant[]): Promise<void>
  /** Cuts live flows, too. Unknown ones are no error. */
  revoke(macs: readonly Mac[]): Promise<void>
  /** Rejects when it cannot be counted now: nobody is taken for idle then. */
  usage(): Promise<Usage[]>
  /** Whose address this is; undefined where the network does not know it (then it is no guest). */
  stationAt(ip: string): Promise<Station | undefined>
  /** Takes back everything it did to the network; with `again` it leaves it as it is for the next process, which follows at once. */
  stop(again: boolean): Promise<void>
}

/** `plugins.portal.network` of the config: what the nftables controller needs. */
export interface NetworkConfig {
  /** The guest network's interface: a bridge, or the access point's. */
  interface: string
  /** Where the internet is. `auto`: by the default route, followed when it changes. */
  uplink: string
  /** This box on the guest network, with prefix: `10.66.0.1/22`. Set if it is not there. */
  address: string
  dhcp: {
    /** `run`: a dnsmasq of the portal's own. `join`: files for one that is there, in `joinDir`, and a reload. `off`: another server gives addresses. */
    mode: 'run' | 'join' | 'off'
    /** First and last address; from `address` when absent. */
    from?: string
    to?: string
    /** Seconds. */
    leaseSeconds: number
    joinDir: string
    /** Upstream resolvers; those of /etc/resolv.conf when empty. */
    dns: string[]
  }
  /** Names (with all below them) that guests reach before they are online. */
  walledGarden: string[]
  /** Networks that guests never reach, beside this box itself, the private ranges (RFC 1918, RFC 6598, RFC 4193, link-local) and the uplink's own subnets. */
  protect: string[]
  /** Guests cannot reach each other. */
  isolate: boolean
  /** kbit/s for the whole guest network; none: unlimited. Each client's own come with its grant. */
  downKbps?: number
  upKbps?: number
  /** hostapd's control sockets, such as /run/hostapd/wlan0; a folder stands for all in it. Absent ones are waited for. */
  hostapd: string[]
}
