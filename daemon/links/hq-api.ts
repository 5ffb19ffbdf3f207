/** The link to HQ as the gateway sees it. */
import type { Config } from '../config.ts'
import type { CommandRequest, CommandResult } from '../contract/command.ts'
import type { Sequence } from '../contract/event.ts'
import type { Json } from '../contract/json.ts'
import type { AskOptions, Clock } from '../contract/plugin.ts'
import type { DownDesired, UpHealth, UpInfo, UpLog, UpReported } from '../contract/uplink.ts'
import type { Journal } from '../journal/api.ts'
import type { Log } from '../log.ts'
import type { Shop } from '../shop.ts'
import type { LinkState, LinkTuning } from './hq-link.machine.ts'

export interface HqLinkOptions {
  config: NonNullable<Config['hq']>
  gateway: string
  /** Of shopwire. */
  version: string
  journal: Journal
  submit: (request: CommandRequest, progress: (result: CommandResult) => void) => Promise<CommandResult>
  desired: { readonly version: number; receive(message: DownDesired): void; reported: () => UpReported | undefined }
  info: () => UpInfo
  health: () => UpHealth
  shop: Shop
  clock: Clock
  random?: () => number
  log: Log
  /** Other times and limits than the usual ones. */
  tuning?: Partial<LinkTuning>
}

export interface HqLink {
  start(): void
  /** Says goodbye, so that HQ sees a shutdown and not a loss. At most about 3 s. */
  stop(): Promise<void>
  /** To be called when info or reported has changed. */
  changed(what: 'info' | 'reported'): void
  /** `ctx.ask`: see the contract's plugin.ts. */
  ask(plugin: string, request: string, args: Json, options: AskOptions): Promise<Json>
  /** Sent only while asked for; cheap otherwise. */
  log(entry: UpLog): void
  /** HQ asks for the log, from `level` up, for `seconds` (at most an hour); 0 ends it. */
  sendLogs(seconds: number, level: UpLog['level']): void
  status(): HqLinkStatus
}

export interface HqLinkStatus {
  state: LinkState['phase']
  /** RFC 3339. */
  since: string
  /** Without credentials. */
  url: string
  reason: string
  protocol: 4 | 5
  attempts: number
  stored: Sequence
  sent: Sequence
  head: Sequence
  backlog: number
  /** RFC 3339: when the oldest event HQ has not acknowledged happened. */
  oldest?: string
  batches: number
  events: number
  bytes: number
  resends: number
  resultsWaiting: number
}
