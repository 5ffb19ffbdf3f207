/** One MQTT connection to HQ's broker, from the first packet to the last; never reconnects, queues nothing for a later one. */
import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { Socket } from 'node:net'
import { connect, type ErrorWithReasonCode, type IClientOptions, type MqttClient } from 'mqtt'
import { type Config, readSecret } from '../config.ts'
import { asFailure } from '../contract/errors.ts'
import { DOWN, hq } from '../contract/topics.ts'
import type { UpState } from '../contract/uplink.ts'
import type { Drop, Protocol } from './hq-link.machine.ts'

/** Larger downlinks are refused: by the broker where it knows MQTT 5, by us otherwise. */
export const DOWNLINK_BYTES = 1024 * 1024
/** Dead lines are noticed after at most one and a half times this. */
const KEEPALIVE_S = 30
const CONNECT_MS = 20_000
/** CONNACK codes for "I do not speak this version": 1 in MQTT 3.1.1 (3.2.2.3), 0x84 in MQTT 5 (3.2.2.2). */
const WRONG_PROTOCOL = [1, 0x84]

export interface ConnectionOptions {
  config: NonNullable<Config['hq']>
  gateway: string
  protocol: Protocol
  /** What `up/state` says while this connection lives; the will says the same with `online: false`. */
  state: Omit<UpState, 'online' | 'session'>
  onOnline(): void
  /** Once, also when it never came up. */
  onDrop(drop: Drop): void
  onMessage(topic: string, payload: Buffer): void
}

type Sent = (refused: string | undefined) => void

export class HqConnection {
  readonly session: string
  readonly #options: ConnectionOptions
  #client: MqttClient | undefined
  #over = false

  constructor(options: ConnectionOptions) {
    this.#options = options
    this.session = randomUUID()
  }

  open(): void {
    const { config, protocol } = this.#options
    let options: IClientOptions
    try {
      options = this.#clientOptions()
    } catch (error) {
      // Files may be mended or renewed while the daemon runs, so this is a failed attempt like any other.
      return void queueMicrotask(() => this.#drop({ reason: asFailure(error).message, kind: 'other' }))
    }
    const client = connect(config.url, options)
    this.#client = client
    let reason = ''
    let kind: Drop['kind'] = 'other'
    let reached = false
    client.stream.once('connect', () => {
      reached = true
      // A batch is several writes: with Nagle's algorithm the last one would wait for the broker's delayed TCP acknowledgement.
      noDelay(client.stream)
    })
    client.on('error', (error) => {
      reason = describe(error)
      const code = (error as ErrorWithReasonCode).code
      if (typeof code === 'number' && WRONG_PROTOCOL.includes(code)) kind = 'protocol'
    })
    client.on('disconnect', (packet) => {
      reason = `the broker ended it: ${packet.properties?.reasonString ?? reasonText(packet.reasonCode)}`
    })
    client.on('connect', () => this.#subscribe(client))
    client.on('message', (topic, payload) => {
      if (!this.#over) this.#options.onMessage(topic, payload)
    })
    client.on('close', () => {
      if (reached && !client.connected && reason === '' && protocol === 5 && !this.#answered) kind = 'early'
      this.#drop({ reason: reason || (reached ? 'connection closed' : 'not reachable'), kind })
    })
  }

  #answered = false

  #subscribe(client: MqttClient): void {
    this.#answered = true
    if (this.#over) return
    const { gateway, config } = this.#options
    const topics = DOWN.map((kind) => hq.down(gateway, kind))
    // QoS 0: with a clean session QoS 1 keeps nothing over a lost connection, and costs dear on some brokers. What is lost heals by sync.
    client.subscribe(topics, { qos: 0 }, (error, granted) => {
      if (this.#over) return
      const refused = error !== null || (granted ?? []).some(({ qos }) => qos >= 0x80)
      if (refused && config.ack === 'hq') return this.#drop({ reason: 'the broker denies reading dn/ack', kind: 'other' })
      this.#options.onOnline()
    })
  }

  /** `sent` hears when the broker has taken a QoS 1 message or why not; it is not called after the connection is gone. */
  publish(topic: string, payload: string | Buffer, qos: 0 | 1, sent?: Sent, retain = false): void {
    if (this.#over) return
    this.#client?.publish(topic, payload, { qos, retain }, (error) => {
      if (!this.#over) sent?.(error ? describe(error) : undefined)
    })
  }

  birth(online: boolean, sent?: Sent): void {
    this.publish(hq.up(this.#options.gateway, 'state'), this.#state(online), 1, sent, true)
  }

  /** Ends it. After a goodbye that the broker took in time, it will not send the will. */
  async close(goodbye: boolean, withinMs: number): Promise<void> {
    const client = this.#client
    if (!client || this.#over) return
    if (!goodbye || !client.connected) return this.#end()
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, withinMs)
      this.birth(false, () => {
        clearTimeout(timer)
        resolve()
      })
    })
    this.#over = true
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, 500)
      client.end(false, () => {
        clearTimeout(timer)
        resolve()
      })
    })
    client.stream.destroy()
  }

  #drop(drop: Drop): void {
    if (this.#over) return
    this.#end()
    this.#options.onDrop(drop)
  }

  #end(): void {
    this.#over = true
    const client = this.#client
    // Errors of a socket that is being thrown away are of no interest, but must find a listener.
    client?.on('error', () => {})
    client?.end(true)
  }

  #state(online: boolean): string {
    const state: UpState = { online, session: this.session, ...this.#options.state }
    return JSON.stringify(state)
  }

  #clientOptions(): IClientOptions {
    const { config, gateway, protocol } = this.#options
    const password = readSecret(config.password, config.passwordFile, 'hq.passwordFile')
    return {
      clientId: gateway,
      protocolVersion: protocol,
      clean: true,
      reconnectPeriod: 0,
      resubscribe: false,
      queueQoSZero: false,
      keepalive: KEEPALIVE_S,
      // A timer reset for every packet is spared; a ping each half minute notices a dead line all the same.
      reschedulePings: false,
      connectTimeout: CONNECT_MS,
      will: { topic: hq.up(gateway, 'state'), payload: Buffer.from(this.#state(false)), qos: 1, retain: true },
      ...(protocol === 5 ? { properties: { sessionExpiryInterval: 0, maximumPacketSize: DOWNLINK_BYTES + 1024 } } : {}),
      ...(config.username === undefined ? {} : { username: config.username }),
      ...(password === undefined ? {} : { password }),
      ...file('ca', config.caFile),
      ...file('cert', config.certFile),
      ...file('key', config.keyFile),
    }
  }
}

function noDelay(stream: unknown): void {
  if (stream instanceof Socket) stream.setNoDelay(true)
}

function file(key: 'ca' | 'cert' | 'key', path: string | undefined): Partial<IClientOptions> {
  return path === undefined ? {} : { [key]: readFileSync(path) }
}

function describe(error: Error): string {
  const code = (error as NodeJS.ErrnoException).code
  if (error.message !== '') return error.message
  // An AggregateError of several addresses has no message of its own.
  return typeof code === 'string' ? code : error.name
}

function reasonText(code: number | undefined): string {
  // MQTT 5, 3.14.2.1: the ones an operator can do something about.
  const known: Record<number, string> = {
    139: 'it is shutting down',
    142: 'another client with this gateway id connected',
    147: 'too many messages at once',
    149: 'a packet was too large',
    150: 'too many messages',
    151: 'a quota was exceeded',
  }
  return known[code ?? -1] ?? `reason ${code ?? 'unknown'}`
}
