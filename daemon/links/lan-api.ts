/** The shop's MQTT as the LAN link sees it: its own broker in this process, or one that is there already. */
export interface LanPublish {
  qos: 0 | 1
  retain: boolean
  /** MQTT 5 only. */
  correlationData?: Buffer
}

export interface LanMessage {
  topic: string
  payload: Buffer
  /** True when the broker had kept it from before the subscription. */
  retained: boolean
  /** MQTT 5 only. */
  responseTopic?: string
  correlationData?: Buffer
}

export type LanState = { online: true; detail: string } | { online: false; detail: string }

export interface LanHandlers {
  /** A message on one of the subscribed filters. */
  message(message: LanMessage): void
  /** After each connection, when the subscriptions stand, and each loss. The embedded broker is online from `start` to `stop`. */
  state(state: LanState): void
}

export interface LanWill {
  topic: string
  payload: string
}

export interface LanBroker {
  /**
   * Subscribes to `filters` whenever there is a connection. The embedded broker rejects with `port-taken` or
   * `config-invalid`; a broker elsewhere that does not answer is no error: it is tried again for ever.
   */
  start(filters: readonly string[], handlers: LanHandlers, will: LanWill): Promise<void>
  /**
   * Hands a message over, or drops it: when the broker is away, when it takes too little, when nobody can want it.
   * What must not be lost is in the journal.
   */
  publish(topic: string, payload: string | Buffer, options: LanPublish): void
  /** Whether a live message on `topic` could reach anybody: false saves making it. */
  wanted(topic: string): boolean
  /** Retained topics below `filter` that the broker has kept; empty when it cannot be asked. */
  retained(filter: string): Promise<string[]>
  /** Where it listens; 0 for a broker elsewhere. */
  port(): number
  /** `last` is published before the connection ends. */
  stop(last: LanWill): Promise<void>
}
