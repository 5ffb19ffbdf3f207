import type { JsonObject } from '../contract/json.ts'
import type { Clock, Logger, Manifest } from '../contract/plugin.ts'

/** Where a found thing is attached: the kinds that a manifest's `match` can name. */
export type FoundKind = 'serial' | 'usb-printer' | 'hid' | 'network'

/** Something plugged in or announced, and the plugin that could drive it, if one says so. */
export interface Found {
  /** Stable for as long as the thing stays where it is: `{kind}:{port}`. */
  id: string
  kind: FoundKind
  /** What a device's `port` takes: a path in `/dev`, `hid:/dev/input/…`, `tcp://host:port`. */
  port: string
  /** What it says of itself, or what the catalogue calls it. */
  label: string
  /** The plugin whose catalogue knows it best. */
  plugin?: string
  /** 0-100, of that match. */
  confidence?: number
  /** `plugin/device` that already uses this port. */
  configuredAs?: string
  /** The device's config to propose. */
  config?: JsonObject
  /** The same as YAML, to be pasted into `shopwire.yaml`. */
  snippet?: string
}

export interface DiscoveryOptions {
  /** Every known plugin's manifest; asked again at each scan. */
  manifests: () => Manifest[]
  /** `plugins.{name}` of the effective config. */
  configured: () => Record<string, JsonObject>
  /** Whether confident matches are to be added by themselves (`discovery.auto`). */
  auto: () => boolean
  /** Whether the box announces itself by mDNS (`discovery.announce`). */
  announce: boolean
  /** The gateway's id: the name that is announced. */
  gateway: string
  /** What to announce: type with underscores (`_mqtt._tcp`) and TCP port. */
  services: () => Announced[]
  /** Adds a device to the effective config, for good. Rejects with a `Failure`. */
  add: (plugin: string, device: string, config: JsonObject) => Promise<void>
  /** Where `/dev` and `/sys` are. */
  roots?: Roots
  /** mDNS elsewhere than on the standard group, port and interfaces. `false`: none at all. */
  mdns?: MdnsOptions | false
  clock: Clock
  log: Logger
}

export interface Announced {
  /** `_mqtt._tcp` */
  type: string
  port: number
}

export interface Roots {
  dev: string
  sys: string
}

export interface MdnsOptions {
  /** Address of the interface to use, both for sending and for listening. */
  interface?: string
  port?: number
  /** Multicast group. */
  ip?: string
  loopback?: boolean
}

/** What is plugged in or announced -> which plugin could drive it. */
export interface Discovery {
  /** Starts to watch and to announce. Never rejects for a missing network or folder. */
  start(): Promise<void>
  /** Says goodbye on mDNS and frees every handle. */
  stop(): Promise<void>
  /** Looks again now, and asks the network again. Works without `start`, too. */
  scan(): Promise<Found[]>
  /** What the last look found, sorted by kind and port. */
  found(): Found[]
  /** Called after each change of `found()`. */
  follow(listener: () => void): () => void
}
