/** Where HQ keeps what gateways send. Every implementation passes the suite in store.suite.ts. */
import type { CloudEvent, Sequence } from '../../daemon/contract/event.ts'
import type { JsonObject } from '../../daemon/contract/json.ts'
import type { DownDesired } from '../../daemon/contract/uplink.ts'

export interface Batch {
  gateway: string
  epoch: string
  from: Sequence
  to: Sequence
  /** In sequence order; what of `from`-`to` is missing was dropped at the gateway. */
  events: readonly CloudEvent[]
}

/** What is stored of one (gateway, epoch). */
export interface Stream {
  gateway: string
  epoch: string
  /** Everything up to here is stored, or was told as dropped. */
  watermark: Sequence
  /** The highest sequence stored; above the watermark where there is a gap. */
  highest: Sequence
}

/** The same (gateway, epoch, sequence) came with two ids: a cloned card or a restored image. Both are kept. */
export interface Conflict {
  gateway: string
  epoch: string
  sequence: Sequence
  storedId: string
  id: string
}

export interface SaveResult {
  /** Each stream touched, once. */
  streams: Stream[]
  inserted: number
  /** Ones not seen before. */
  conflicts: Conflict[]
}

/** The newest of its kind a gateway has sent. */
export interface View {
  gateway: string
  kind: 'state' | 'info' | 'reported' | 'health'
  body: object
}

export interface SinkStore {
  /**
   * One transaction: all events, each once by (gateway, epoch, sequence), and the watermarks that follow. Resolves when it is
   * durable; rejects when nothing of it is.
   */
  save(batches: readonly Batch[]): Promise<SaveResult>
  /** What there is of a stream; watermark 0 when nothing. */
  stream(gateway: string, epoch: string): Promise<Stream>
  /** The newest stream of each gateway. */
  streams(): Promise<Stream[]>
  saveViews(views: readonly View[]): Promise<void>
  view(gateway: string, kind: View['kind']): Promise<JsonObject | undefined>
  /** Stores the next version of a gateway's desired config; its version and digest are in the answer. */
  setDesired(gateway: string, config: JsonObject): Promise<DownDesired>
  getDesired(gateway: string): Promise<DownDesired | undefined>
  /** 0 where there is none. */
  desiredVersion(gateway: string): Promise<number>
  /** Events of a stream after `after`, for those who read at HQ. */
  events(gateway: string, epoch: string, after: Sequence, limit: number): Promise<CloudEvent[]>
  count(): Promise<{ events: number; gateways: number; conflicts: number }>
  close(): Promise<void>
}
