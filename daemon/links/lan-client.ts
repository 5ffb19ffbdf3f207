/** The shop's MQTT on a broker that is there already: mqtt.js, MQTT 5 and, should the broker not know it, 3.1.1. */
import { readFileSync } from 'node:fs'
import { connect, type IClientOptions, type MqttClient } from 'mqtt'
import { readSecret } from '../config.ts'
import { Failure } from '../contract/errors.ts'
import type { Clock, MonoMs } from '../contract/plugin.ts'
import type { Log } from '../log.ts'
import type { LanBroker, LanHandlers, LanPublish, LanWill } from './lan-api.ts'

export interface ExternalOptions {
  url: string
  clientId: string
  username?: string
  password?: string
  passwordFile?: string
  caFile?: string
  clock: Clock
  log: Log
  /** First wait before another attempt; doubled each time up to `retryMostMs`. */
  retryFirstMs?: number
  retryMostMs?: number
}

const RETRY_FIRST_MS = 1_000
const RETRY_MOST_MS = 60_000
/** A connection that held this long was a good one: the next attempt after it comes quickly again. */
const HELD_MS = 30_000
const CONNECT_TIMEOUT_MS = 10_000
const KEEPALIVE_S = 30
/** Published and not yet acknowledged by the broker, at most: live events beyond are dropped. */
const IN_FLIGHT = 1_000
const RETAINED_QUIET_MS = 500
const RETAINED_MOST_MS = 5_000

export function createExternalBroker(options: ExternalOptions): LanBroker {
  return new ExternalBroker(options)
}

class ExternalBroker implements LanBroker {
  readonly #options: ExternalOptions
  #filters: readonly string[] = []
  #handlers: LanHandlers | undefined
  #will: LanWill | undefined
  #client: MqttClient | undefined
  #online = false
  #stopped = false
  #protocol: 4 | 5 = 5
  #wait: number
  #since: MonoMs | undefined
  #cancelRetry: () => void = () => {}
  #inFlight = 0
  #collect: ((topic: string) => void) | undefined

  constructor(options: ExternalOptions) {
    this.#options = options
    this.#wait = options.retryFirstMs ?? RETRY_FIRST_MS
  }

  /** Rejects with `secret-unreadable` when a file it needs cannot be read; an absent broker is tried again for ever. */
  async start(filters: readonly string[], handlers: LanHandlers, will: LanWill): Promise<void> {
    this.#filters = filters
    this.#handlers = handlers
    this.#will = will
    this.#connect(this.#connection())
  }

  publish(topic: string, payload: string | Buffer, { qos, retain, correlationData }: LanPublish): void {
    const client = this.#client
    if (!client || !this.#online) return
    if (this.#inFlight >= IN_FLIGHT && !retain) {
      this.#options.log.warn(
        { waiting: this.#inFlight },
        'the shop broker is slow; live messages are dropped (the journal has every event)',
      )
      return
    }
    this.#inFlight += 1
    const properties = correlationData && this.#protocol === 5 ? { properties: { correlationData } } : {}
    client.publish(topic, payload, { qos, retain, ...properties }, () => {
      if (client === this.#client) this.#inFlight -= 1
    })
  }

  wanted(): boolean {
    return this.#online
  }

  /** What the broker sends right after a subscription; over when it has been quiet for a while. */
  retained(filter: string): Promise<string[]> {
    const client = this.#client
    if (!client || !this.#online) return Promise.resolve([])
    const { clock } = this.#options
    return new Promise((resolve) => {
      const topics = new Set<string>()
      const done = () => {
        cancelQuiet()
        cancelMost()
        this.#collect = undefined
        client.unsubscribe(filter)
        resolve([...topics])
      }
      const cancelMost = clock.timer(RETAINED_MOST_MS, done)
      let cancelQuiet = clock.timer(RETAINED_MOST_MS, done)
      const quiet = () => {
        cancelQuiet()
        cancelQuiet = clock.timer(RETAINED_QUIET_MS, done)
      }
      this.#collect = (topic) => {
        topics.add(topic)
        quiet()
      }
      client.subscribe(filter, { qos: 0 }, quiet)
    })
  }

  port(): number {
    return 0
  }

  async stop(last: LanWill): Promise<void> {
    this.#stopped = true
    this.#cancelRetry()
    const client = this.#client
    this.#client = undefined
    if (!client) return
    if (this.#online) {
      this.#online = false
      // A broker that does not answer must not hold up the stop.
      const patience = new AbortController()
      await Promise.race([
        client.publishAsync(last.topic, last.payload, { qos: 1, retain: true }).catch(() => undefined),
        this.#options.clock.sleep(1_000, patience.signal).catch(() => undefined),
      ])
      patience.abort()
    }
    await end(client)
    this.#handlers?.state({ online: false, detail: 'stopped' })
  }

  #connection(): IClientOptions {
    const { clientId, username, caFile } = this.#options
    const password = readSecret(this.#options.password, this.#options.passwordFile, 'lan.passwordFile')
    return {
      clientId,
      clean: true,
      keepalive: KEEPALIVE_S,
      connectTimeout: CONNECT_TIMEOUT_MS,
      // Attempts are made here, with a backoff that holds: mqtt.js tries again every second for ever.
      reconnectPeriod: 0,
      resubscribe: false,
      queueQoSZero: false,
      ...(username === undefined ? {} : { username }),
      ...(password === undefined ? {} : { password }),
      ...(caFile === undefined ? {} : { ca: readFile(caFile) }),
    }
  }

  #connect(connection: IClientOptions): void {
    const will = this.#will
    const client = connect(this.#options.url, {
      ...connection,
      protocolVersion: this.#protocol,
      ...(will ? { will: { topic: will.topic, payload: Buffer.from(will.payload), qos: 1 as const, retain: true } } : {}),
    })
    this.#client = client
    this.#inFlight = 0
    let reason = 'the connection was closed'
    client.on('error', (error) => {
      reason = error.message === '' ? String((error as NodeJS.ErrnoException).code ?? error.name) : error.message
      const { code } = error as { code?: unknown }
      // CONNACK 1 (3.1.1) and 0x84 (5): this protocol version is not spoken there.
      if (this.#protocol === 5 && (code === 1 || code === 132)) this.#protocol = 4
    })
    client.on('connect', () => this.#connected(client))
    client.on('message', (topic, payload, packet) => {
      if (packet.retain && this.#collect) return this.#collect(topic)
      const { responseTopic, correlationData } = packet.properties ?? {}
      this.#handlers?.message({
        topic,
        payload,
        retained: packet.retain,
        ...(responseTopic === undefined ? {} : { responseTopic }),
        ...(correlationData === undefined ? {} : { correlationData }),
      })
    })
    client.once('close', () => this.#closed(client, reason, connection))
  }

  #connected(client: MqttClient): void {
    this.#since = this.#options.clock.mono()
    client
      .subscribeAsync([...this.#filters], { qos: 1 })
      .then((granted) => {
        if (client !== this.#client) return
        const refused = granted.filter((one) => one.qos >= 128)
        if (refused.length > 0)
          this.#options.log.error({ code: 'forbidden' }, `the shop broker refuses the subscription to ${refused[0]?.topic}`)
        this.#online = true
        this.#handlers?.state({ online: true, detail: `connected to ${this.#options.url}` })
      })
      .catch((error: unknown) => {
        this.#options.log.warn(
          { reason: error instanceof Error ? error.message : String(error) },
          'the shop broker did not take the subscriptions',
        )
        client.end(true)
      })
  }

  #closed(client: MqttClient, reason: string, connection: IClientOptions): void {
    end(client).catch(() => undefined)
    if (this.#stopped || client !== this.#client) return
    const { clock, log, retryFirstMs = RETRY_FIRST_MS, retryMostMs = RETRY_MOST_MS } = this.#options
    const held = this.#since === undefined ? 0 : clock.mono() - this.#since
    this.#since = undefined
    this.#online = false
    if (held >= HELD_MS) this.#wait = retryFirstMs
    // Half fixed, half random: a shop full of boxes does not come back in step.
    const wait = this.#wait / 2 + (Math.random() * this.#wait) / 2
    this.#wait = Math.min(this.#wait * 2, retryMostMs)
    const failure = new Failure('broker-unreachable', `${this.#options.url}: ${reason}`)
    log.warn({ code: failure.code, reason, retryInMs: Math.round(wait) }, 'the shop broker is away')
    this.#handlers?.state({ online: false, detail: failure.message })
    this.#cancelRetry = clock.timer(wait, () => this.#connect(connection))
  }
}

function end(client: MqttClient): Promise<void> {
  return new Promise((resolve) => client.end(true, {}, () => resolve()))
}

function readFile(file: string): Buffer {
  try {
    return readFileSync(file)
  } catch (error) {
    throw new Failure(
      'secret-unreadable',
      `lan.caFile: cannot read ${file}: ${(error as NodeJS.ErrnoException).code ?? 'error'}`,
      [],
      error,
    )
  }
}
