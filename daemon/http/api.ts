/** What the admin listener is given, and what it shows. Types only. */
import type { Config } from '../config.ts'
import type { CloudEvent, Sequence } from '../contract/event.ts'
import type { Json } from '../contract/json.ts'
import type { Clock } from '../contract/plugin.ts'
import type { Discovery, Found } from '../discovery/api.ts'
import type { Dispatch } from '../dispatch/api.ts'
import type { Journal } from '../journal/api.ts'
import type { Ledger, Trade, TradeChart } from '../ledger/api.ts'
import type { Log } from '../log.ts'
import type { Plugins } from '../plugins/api.ts'
import type { DeviceView, LinkView, PluginView, Shop } from '../shop.ts'

/** Something a person has to see to. */
export interface HealthProblem {
  /** One sentence: the thing and what is wrong with it. */
  what: string
  /** RFC 3339. */
  since?: string
  /** One sentence: the mend. */
  fix?: string
  /** What it is about: `journal`, `disk`, `clock`, `plugin:{name}`, `device:{plugin}/{device}`, `link:{name}`. Keeps one fault from being told twice. */
  about?: string
}

/** `ok` is what `/healthz` answers: the journal and every plugin progress. Problems may exist while it is true. */
export interface Health {
  ok: boolean
  problems: HealthProblem[]
  /** One entry for each thing looked at: `true`, or whatever figures tell about it. */
  checks: Record<string, Json>
}

export interface GatewayView {
  id: string
  store: string
  version: string
  demo: boolean
}

/** Timeouts and bounds; tests use smaller ones. */
export interface HttpLimits {
  /** All headers must have come within this many milliseconds of the connection or of the request before. */
  headersMs: number
  /** The whole request must have come within this. */
  requestMs: number
  /** How often the two are looked at. Each look wakes the process. */
  checkMs: number
  bodyBytes: number
  connections: number
  streams: number
  /** Bytes waiting for one stream's client before it is left behind. */
  streamBufferBytes: number
  pingMs: number
  /** A stream's client that takes nothing for this long is cut off. */
  stallMs: number
}

export const LIMITS: HttpLimits = {
  headersMs: 10_000,
  requestMs: 15_000,
  checkMs: 10_000,
  bodyBytes: 1_048_576,
  connections: 256,
  streams: 32,
  streamBufferBytes: 262_144,
  pingMs: 10_000,
  stallMs: 30_000,
}

export interface HttpOptions {
  config: Config['http']
  gateway: () => GatewayView
  /** Unix socket in the data folder, mode 0600: who may open it may do everything. */
  socketFile: string
  journal: Journal
  dispatch: Dispatch
  plugins: Plugins
  shop: Shop
  discovery: Pick<Discovery, 'found' | 'follow'>
  ledger: Omit<Ledger, 'position'>
  health: () => Health
  /** Further figures for `/metrics`, by name with or without `shopwire_` and labels: `commit_seconds{quantile="0.5"}`. */
  metrics?: () => Record<string, number>
  /** What `buildDashboard` wrote. */
  dashboardDir: string
  /** `swagger-ui.css` and `swagger-ui-bundle.js` (and their `.br`, `.gz`). Absent: `/docs` leads to the plain JSON. */
  docsDir?: string
  clock: Clock
  log: Log
  limits?: Partial<HttpLimits>
}

export interface HttpServer {
  /** Resolves once both listeners take requests. Rejects with `port-taken`, `secret-unreadable`. */
  start(): Promise<void>
  /** Ends streams, then connections, then the listeners. */
  stop(): Promise<void>
  /** TCP port in use; 0 before `start`. */
  port(): number
}

/** Events since local midnight, by type. */
export interface Today {
  /** RFC 3339: local midnight of the gateway. */
  since: string
  /** False while the journal's part of the day is still being counted. */
  complete: boolean
  /** Event type -> how many. */
  counts: Record<string, number>
  /** Event type -> RFC 3339 of the newest one known, of today or before. */
  last: Record<string, string>
}

/** A plugin's own words for one event type: `title` and `x-title` of the event's schema in its manifest. */
export interface EventLabel {
  en: string
  zh?: string
  /** `x-headline`: this type is worth one of the dashboard's big numbers; the lowest comes first. */
  headline?: number
}

/** `GET /api/v1/status`, and the first message of the stream. */
export interface Status {
  /** RFC 3339: the gateway's clock at this moment. */
  at: string
  /** IANA name of the shop's time zone. */
  timeZone: string
  gateway: GatewayView
  uptimeSeconds: number
  health: Health
  plugins: PluginView[]
  devices: DeviceView[]
  links: LinkView[]
  found: Found[]
  journal: { epoch: string; head: Sequence; tail: Sequence; bytes: number; freeBytes: number; dropped: number; fault?: string }
  today: Today
  /** Arrivals and payments of today, from the ledger. */
  trade: Trade
}

/** What the dashboard starts from: the status, plus the words and the newest events. */
export interface Snapshot extends Status {
  /** Event type -> its plugin's words for it. */
  labels: Record<string, EventLabel>
  /** The newest events, oldest first. */
  recent: CloudEvent[]
  /** The last 24 hours. */
  chart: TradeChart
  /** What the loaded plugins can tell of: presence, payments. */
  expects: { arrivals: boolean; payments: boolean }
}

/** What changes all the time and comes at most every second. */
export type Vitals = Pick<Status, 'at' | 'uptimeSeconds' | 'health' | 'journal' | 'today' | 'trade'>
