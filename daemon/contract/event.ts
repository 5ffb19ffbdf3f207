import type { JsonObject } from './json.ts'

/** A journal sequence: a gapless integer, 1 for the first event of an epoch. */
export type Sequence = number

/** `unsynced` until the system clock has been set: a Pi has no RTC and boots in 1970 or at its last shutdown. */
export type ClockState = 'synced' | 'unsynced'

/** What a plugin emits. It becomes a CloudEvent of type `shopwire.{plugin}.{event}`. */
export interface DeviceEvent {
  /** Device name as in the config, or `-` where the plugin has a single instance. */
  device: string
  event: string
  data: JsonObject
  /** RFC 3339 instant the thing happened, if the device knows better than the moment of `emit`. */
  time?: string
}

/**
 * A fact that happened, journaled once, never changed. CloudEvents 1.0, structured JSON mode,
 * with the `sequence` extension. `source`+`id` identify it for good; so do gateway+`epoch`+`sequence`.
 */
export interface CloudEvent {
  specversion: '1.0'
  /** UUIDv7 (RFC 9562). */
  id: string
  /** `shopwire.{plugin}.{event}` */
  type: string
  /** `/{gateway}/{plugin}/{device}` */
  source: string
  /** RFC 3339, UTC, milliseconds. Order is the sequence's, never the clock's. */
  time: string
  datacontenttype: 'application/json'
  /** Decimal string, as the CloudEvents sequence extension asks. */
  sequence: string
  sequencetype: 'Integer'
  epoch: string
  store: string
  clock: ClockState
  /** One value per start of the machine: tells events of one boot from those of the next. */
  bootid: string
  data: JsonObject
}

export const TYPE_PREFIX = 'shopwire.'
