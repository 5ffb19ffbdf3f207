/** Payloads between a gateway and HQ: `shopwire/v1/{gateway}/up/…` and `…/dn/…`. Sequences are JSON integers here. */
import type { Problem } from './errors.ts'
import type { ClockState, CloudEvent, Sequence } from './event.ts'
import type { Json, JsonObject } from './json.ts'
import type { DeviceState } from './plugin.ts'

/** `up/state`, retained, and the will. A will carries its own `session`, so a late one is told from a new birth. */
export interface UpState {
  online: boolean
  /** One value per connection. */
  session: string
  epoch: string
  /** Of shopwire. */
  version: string
  /** RFC 3339. */
  since: string
}

/** `up/info`, retained. */
export interface UpInfo {
  store: string
  tags: string[]
  host: { name: string; platform: string; arch: string; node: string; bootid: string }
  versions: { shopwire: string; api: string }
  plugins: { name: string; version: string; state: PluginStatus; devices: ({ name: string } & DeviceState)[] }[]
}

/** `up/events`: in sequence order, at most `BATCH_EVENTS` events or `BATCH_BYTES`; gzip (RFC 1952) above 1 KB, told by its magic bytes. */
export interface UpEvents {
  epoch: string
  from: Sequence
  /** Everything `from`-`to` is either in `events` or in `dropped`. */
  to: Sequence
  events: CloudEvent[]
  /** Ranges inside `from`-`to` that retention took away, so that HQ's watermark can pass. Also journaled as `journal.dropped`. */
  dropped?: { from: Sequence; to: Sequence }[]
}

/** `up/sync`: on connect and every 1-5 min with jitter. HQ answers with whatever is newer. */
export interface UpSync {
  epoch: string
  /** Everything up to here is known to be stored at HQ. */
  stored: Sequence
  sent: Sequence
  head: Sequence
  /** The oldest sequence still in the journal: HQ need not ask for anything before it. */
  tail: Sequence
  desiredVersion: number
}

/** `up/reported`, retained: what became of `dn/desired`. */
export interface UpReported {
  version: number
  status: 'applying' | 'applied' | 'rejected' | 'rolled-back'
  errors: Problem[]
  /** SHA-256, hex, of the canonical effective config (secrets masked). */
  digest: string
}

/** `up/health`, QoS 0, every 60 s. */
export interface UpHealth {
  time: string
  clock: ClockState
  /** Seconds since the daemon started. */
  uptime: number
  backlog: { events: number; oldestSeconds: number; dropped: number }
  /** Bytes. */
  memory: { rss: number; free: number }
  disk: { journal: number; free: number }
  /** Degrees Celsius; absent where there is no sensor. */
  temperature?: number
  plugins: { name: string; state: PluginStatus; restarts: number }[]
}

/** `up/log`, QoS 0, only while asked for. */
export interface UpLog {
  time: string
  level: string
  message: string
  fields: JsonObject
}

/** `up/request`, QoS 1: a plugin asks HQ, live. Never stored by the gateway; may hold a secret, so HQ must not store it as it is. */
export interface UpRequest {
  /** Tells a repeat: HQ answers it as it answered the first. */
  id: string
  plugin: string
  request: string
  args: Json
  /** RFC 3339. Past it the gateway waits no more: HQ need not begin. */
  expiresAt: string
}

/** `dn/ack`: HQ has stored everything up to `sequence`. The only thing that moves the cursor. */
export interface DownAck {
  epoch: string
  sequence: Sequence
  /** HQ misses `from` on: the gateway resends from there (a lost batch heals without waiting for the timer). */
  resendFrom?: Sequence
}

/** `dn/desired`, retained: only a higher version is applied, the same again is a no-op. */
export interface DownDesired {
  version: number
  /** SHA-256, hex, of the canonical JSON of `config`; checked when given. */
  digest?: string
  /** A JSON Merge Patch (RFC 7396) over the shop's own config file. */
  config: JsonObject
}

/** `dn/command`. */
export interface DownCommand {
  id: string
  plugin: string
  device: string
  command: string
  args?: Json
  issuedAt?: string
  expiresAt?: string
}

/** `dn/answer`, to an `up/request`: one of `result` and `error`. */
export interface DownAnswer {
  id: string
  result?: Json
  /** `code` from the table of errors, or HQ's own. */
  error?: { code: string; message: string }
}

export type PluginStatus = 'starting' | 'running' | 'backoff' | 'quarantined' | 'stopped'

/** A batch is closed at whichever comes first. */
export const BATCH_EVENTS = 100
export const BATCH_BYTES = 64 * 1024
/**
 * Events sent and not yet acknowledged by HQ, at most. 500 were tried: with a broker that leaves Nagle's algorithm on (mosquitto's
 * default) the link then waited for delayed TCP acknowledgements between windows, at two fifths of the speed.
 */
export const WINDOW_EVENTS = 2_000
/** A batch larger than this goes out as gzip. */
export const GZIP_ABOVE = 1024
