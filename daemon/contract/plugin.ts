import type { Command } from './command.ts'
import type { CloudEvent, DeviceEvent, Sequence } from './event.ts'
import type { Json, JsonObject, JsonSchema } from './json.ts'

/** The plugin API this daemon speaks. A manifest names the major it was written for. */
export const PLUGIN_API = '1'

/** `plugin.json`: data only, read before any code of the plugin runs. */
export interface Manifest {
  /** `^[a-z][a-z0-9-]{0,31}$`; the folder may have any name. */
  name: string
  /** SemVer. */
  version: string
  /** Plugin API major, `"1"`. */
  api: string
  /** ES module or CommonJS file, relative, inside the folder; its default export is a `StartPlugin`. */
  entry: string
  description?: string
  permissions?: Permission[]
  /** Which found things this plugin can drive. */
  match?: Match[]
  /** Schema of `plugins.{name}` in the config. Properties with `"x-secret": true` are masked wherever shown. */
  config?: JsonSchema
  /** Event name -> schema of its data. `"x-bulk": true`: may wait 50-100 ms for company and go first when the journal is full. */
  events?: Record<string, JsonSchema>
  commands?: Record<string, CommandSpec>
}

/** `call:{plugin}` lets a plugin call another one's commands. The rest describe what the entry needs, for people and systemd. */
export type Permission =
  | 'serial'
  | 'usb'
  | 'input'
  | 'network'
  | 'bluetooth'
  | 'net-admin'
  | 'store'
  /** May `ask` HQ. */
  | 'hq'
  /** May make pseudonyms, and so holds their key. */
  | 'pseudonym'
  | `call:${string}`
  | `subscribe:${string}`

export interface CommandSpec {
  description?: string
  args?: JsonSchema
  /** True when running it twice does no harm: then it is run again after a crash instead of being answered `unknown`. */
  repeatable?: boolean
  /**
   * True when it may run beside other commands of its device, and they need not wait for it: a look, or something that waits for HQ. Without it
   * a device's commands run one after the other, in order.
   */
  concurrent?: boolean
  /** Milliseconds the plugin may take, 30,000 unless told. */
  timeoutMs?: number
}

/** One rule of the catalogue. All given keys must match; strings may end in `*`. */
export interface Match {
  /** `vid:pid`, hex, lower case, of a USB serial adapter or printer (`0c2e:*` takes any product). */
  usb?: string
  /** Keyboard-class input device `vid:pid`. */
  hid?: string
  /** mDNS service type, e.g. `_pdl-datastream._tcp`. */
  mdns?: string
  /** Kind of node: a serial port, a `/dev/usb/lp*` printer, an input device, or a network service. */
  kind?: 'serial' | 'usb-printer' | 'hid' | 'network'
  /** Human name of what this is ("Honeywell Voyager 1200g"). */
  name?: string
  /** 0-100: how sure a match is; the best rule wins. A generic USB-serial chip says little. */
  confidence?: number
  /** Device config to propose; `{port}` is replaced by the found port. */
  config?: JsonObject
}

export interface DeviceState {
  state: 'online' | 'offline' | 'fault'
  /** A short word from the field: `paper-out`, `cover-open`, `unplugged`, … */
  detail?: string
}

/** Fixed keys are added by the host: `plugin`, and `device` when known. Never pass a secret. */
export interface Logger {
  debug(fields: JsonObject, message: string): void
  info(fields: JsonObject, message: string): void
  warn(fields: JsonObject, message: string): void
  error(fields: JsonObject, message: string): void
}

/** Wall and monotonic time are different types: they must never be mixed. */
export type WallMs = number & { readonly wall: unique symbol }
export type MonoMs = number & { readonly mono: unique symbol }

export interface Clock {
  /** Unix milliseconds; jumps when the clock is set. For stamps only. */
  wall(): WallMs
  /** Milliseconds since some start; never jumps. For durations and timers. */
  mono(): MonoMs
  /** Resolves after `ms`, or rejects with the signal's reason. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
  /** Calls `run` once after `ms`; returns what cancels it. */
  timer(ms: number, run: () => void): () => void
  /**
   * The same, for a limit on an answer: calls `over` after `ms` in which this process could have heard one. Node runs timers before it
   * reads what has arrived, so with `timer` a process that was held up would take its own silence for the device's.
   */
  patience(ms: number, over: () => void): () => void
}

/** Small, durable, private to one plugin. Values are JSON; a resolved write survives a power cut. */
export interface KeyValue {
  get(key: string): Promise<Json | undefined>
  put(key: string, value: Json): Promise<void>
  delete(key: string): Promise<void>
  /** Keys that start with `prefix`, in order, with their values. */
  list(prefix?: string): Promise<{ key: string; value: Json }[]>
}

/** What a key of the plugin's own store becomes; `undefined` deletes it. Of a key that is named twice the last one counts. */
export type StoreChange = readonly [key: string, value: Json | undefined]

/** Events and keys that become durable together, or not at all. */
export interface PluginCommit<Event = DeviceEvent> {
  events?: readonly Event[]
  store?: readonly StoreChange[]
  /**
   * Nobody waits for it: it may wait 50-100 ms for company, and so mostly costs the card no sync of its own. Durable when it
   * resolves, like any other.
   */
  mayWait?: boolean
}

/** An event of a `DeviceContext`, whose device is known. */
export type OwnEvent = Omit<DeviceEvent, 'device'>

export interface PluginContext<Config = JsonObject> {
  /** Passed the manifest's schema; defaults filled in. */
  readonly config: Config
  readonly log: Logger
  readonly clock: Clock
  /** Aborted when the plugin is to stop. */
  readonly signal: AbortSignal
  /** The gateway's id, the shop's store number, and whether this is `shopwire demo`. */
  readonly gateway: { readonly id: string; readonly store: string; readonly demo: boolean }
  /** Resolves once the event is durable on disk. Awaiting it is what gives back-pressure. */
  emit(event: DeviceEvent): Promise<Sequence>
  /**
   * Events and the plugin's own record of them in one transaction: after a power cut there are all of them or none, so nothing that
   * was recorded goes untold and nothing is told twice. Resolves with the sequence of each event once all is durable. Rejects when
   * none of it is: with `event-invalid`, `payload-malformed` (a key) or `payload-too-large` for the first thing that is wrong, or as `emit` does.
   * In order among `emit`s and store writes that came before it.
   */
  commit(commit: PluginCommit): Promise<Sequence[]>
  /** Retained device state; a change becomes a `{plugin}.device` event. */
  state(device: string, state: DeviceState): void
  readonly pseudonym: Pseudonym
  /** Runs another plugin's command, if `call:{plugin}` is permitted. Rejects with a `Failure`. */
  call(plugin: string, device: string, command: string, args: Json): Promise<Json>
  /**
   * Asks HQ, live: `up/request` and `dn/answer`. Nothing of it is journaled or logged, so `args` may hold a secret; what must
   * survive is an event. Needs the permission `hq`. Rejects with `hq-unreachable` when nothing was sent, with `hq-no-answer`
   * when it was and no answer came (HQ may have done it: ask again under the same `id`, by which HQ tells a repeat), with HQ's own error, or
   * with `hq-refused` where that has no code of the table.
   */
  ask(request: string, args: Json, options?: AskOptions): Promise<Json>
  /**
   * Durable events of others, each at least once and in order, from a cursor of this plugin's own that
   * survives restarts: it advances when `on` resolves. Types like `shopwire.payment.paid` or `shopwire.payment.*`.
   */
  subscribe(types: string[], on: (event: CloudEvent) => Promise<void>): void
  readonly store: KeyValue
  /**
   * A folder of this plugin's own that outlives restarts of plugin, daemon and machine: for what other programs read and write (leases,
   * generated configuration). Made before the plugin starts, mode 0700, never emptied. What must survive a power cut belongs into `store`.
   */
  readonly folder: string
  /**
   * For plugins that drive devices: runs one `RunningDevice` for each entry of `config.devices`, and
   * from then on follows the config: a changed entry restarts that device alone, a start that throws is
   * tried again with backoff and shown as the device's state. Return its result from `StartPlugin`.
   */
  devices<DeviceConfig>(start: StartDevice<DeviceConfig, Config>): Promise<RunningPlugin>
}

/**
 * A keyed hash, 22 characters of base64url, in place of what identifies somebody. `station`: a radio's or network card's address;
 * its hash changes with the period that the config's `privacy.rotate` names, so take it once a stay. `person`: a member, payer or phone number; stays.
 * The same value gives the same hash in every plugin (and in every shop with the same `privacy.keyFile`). Needs the permission `pseudonym`.
 */
export type Pseudonym = (kind: 'station' | 'person', value: string) => string

export interface AskOptions {
  /** What HQ tells a repeat by; made up when absent. */
  id?: string
  /** How long to wait for the answer, ms; 10,000 unless told, 120,000 at most. Past it HQ need not begin. */
  timeoutMs?: number
}

/** The default export of a plugin's entry. */
export type StartPlugin<Config = JsonObject> = (context: PluginContext<Config>) => Promise<RunningPlugin>

export interface RunningPlugin {
  /** Resolves with the result, rejects with a `Failure` (or any error: `plugin-failed`). */
  handle(command: Command, signal: AbortSignal): Promise<Json>
  /**
   * Takes a changed config in place. Absent: the plugin is restarted instead. `context.devices` brings it.
   */
  configure?(config: JsonObject): Promise<void>
  /**
   * Must free every handle; killed after 5 s. What it did to the machine it takes back, unless the next process of this plugin goes on with
   * it at once (`again`).
   */
  stop(stopping?: Stopping): Promise<void>
}

export interface Stopping {
  /** Restart, reload, or a config that is not taken in place: this plugin starts again as soon as it has ended. */
  again: boolean
}

/** One configured device's view of its plugin's context. */
export interface DeviceContext<DeviceConfig, Config = JsonObject> {
  readonly name: string
  readonly config: DeviceConfig
  /** The plugin's config as it was when this device started. A change of anything beside `devices` restarts them all. */
  readonly shared: Config
  readonly log: Logger
  readonly clock: Clock
  /** Aborted when this device is to stop. */
  readonly signal: AbortSignal
  readonly gateway: PluginContext['gateway']
  emit(event: string, data: JsonObject, time?: string): Promise<Sequence>
  /** As the plugin's, with this device's events and keys. */
  commit(commit: PluginCommit<OwnEvent>): Promise<Sequence[]>
  state(state: DeviceState): void
  call(plugin: string, device: string, command: string, args: Json): Promise<Json>
  ask: PluginContext['ask']
  readonly pseudonym: Pseudonym
  /** Keys private to this device. */
  readonly store: KeyValue
}

export type StartDevice<DeviceConfig, Config = JsonObject> = (device: DeviceContext<DeviceConfig, Config>) => Promise<RunningDevice>

export interface RunningDevice {
  handle(command: Command, signal: AbortSignal): Promise<Json>
  stop(): Promise<void>
}
