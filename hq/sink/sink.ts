/** Takes what gateways send over MQTT, stores it in groups across gateways, and only then acknowledges. */
import { Socket } from 'node:net'
import { connect, type IClientOptions, type MqttClient } from 'mqtt'
import { asFailure } from '../../daemon/contract/errors.ts'
import type { Clock, Logger } from '../../daemon/contract/plugin.ts'
import { hq, parseUp } from '../../daemon/contract/topics.ts'
import type { UpState } from '../../daemon/contract/uplink.ts'
import { parseEvents, parseObject, parseState, parseSync } from './parse.ts'
import { deadline, newSink, SINK_TUNING, type SinkEffect, type SinkTuning, sinkMachine } from './sink.machine.ts'
import type { Batch, SaveResult, SinkStore, View } from './store.ts'

export interface SinkOptions {
  url: string
  /** CA, certificate, key, user name and password; the client id. */
  mqtt: Pick<IClientOptions, 'ca' | 'cert' | 'key' | 'username' | 'password' | 'clientId'>
  store: SinkStore
  clock: Omit<Clock, 'patience'>
  log: Logger
  tuning?: Partial<SinkTuning>
}

export interface SinkStatus {
  connected: boolean
  batches: number
  events: number
  duplicates: number
  malformed: number
  conflicts: number
  /** Batches thrown away because the store could not keep up or failed; gateways send them again. */
  shed: number
  /** Wills of connections that had been replaced already. */
  lateWills: number
  queuedBytes: number
}

/** Bytes of payloads waiting for the store. Beyond it batches are dropped unacknowledged: gateways keep them and come again. */
const QUEUE_BYTES = 64 * 1024 * 1024
const GROUP_EVENTS = 4_000
const RECONNECT_MS = 2_000
const RETRY_MS = 1_000
const VIEWS_MS = 500
/** Gateways told of a sink that is back, each 100 ms. */
const ANNOUNCE_STEP = 50

type Streams = SaveResult['streams']
interface Queued {
  batch: Batch
  bytes: number
}

export class Sink {
  readonly #options: SinkOptions
  readonly #state
  readonly #status: SinkStatus = {
    connected: false,
    batches: 0,
    events: 0,
    duplicates: 0,
    malformed: 0,
    conflicts: 0,
    shed: 0,
    lateWills: 0,
    queuedBytes: 0,
  }
  readonly #states = new Map<string, UpState>()
  readonly #stopping = new AbortController()
  #client: MqttClient | undefined
  #queue: Queued[] = []
  #saving = false
  #idle: (() => void)[] = []
  #views = new Map<string, View>()
  #viewsTimer: (() => void) | undefined
  #timer: { at: number; cancel: () => void } | undefined
  /** State messages are looked at one after the other: the store may have to be asked for the one before. */
  #order: Promise<void> = Promise.resolve()
  #reason = ''
  /** Why it is away, as it was told. */
  #away = ''

  constructor(options: SinkOptions) {
    this.#options = options
    this.#state = newSink({ ...SINK_TUNING, ...options.tuning })
  }

  /** Resolves when subscribed; goes on trying until `stop`. */
  start(): Promise<void> {
    const { url, mqtt, log } = this.#options
    const client = connect(url, {
      ...mqtt,
      protocolVersion: 4,
      // Nothing is owed to this session: what it misses, gateways send again, and queues at the broker are short anyway.
      clean: true,
      resubscribe: false,
      queueQoSZero: false,
      reconnectPeriod: RECONNECT_MS,
      connectTimeout: 20_000,
      reconnectOnConnackError: true,
    })
    this.#client = client
    client.on('message', (topic, payload) => this.#receive(topic, payload))
    client.on('error', (error) => {
      this.#reason = error.message || String((error as NodeJS.ErrnoException).code ?? error.name)
    })
    client.on('close', () => {
      this.#status.connected = false
      const reason = this.#reason || 'connection closed'
      if (this.#stopping.signal.aborted || reason === this.#away) return
      this.#away = reason
      log.warn({ url, reason }, 'the broker is away; trying again until it is back')
    })
    return new Promise((resolve) => {
      client.on('connect', () => {
        // Acks are small and many: Nagle's algorithm would hold them back for the broker's delayed TCP acknowledgements.
        if (client.stream instanceof Socket) client.stream.setNoDelay(true)
        const topics = (['events', 'sync', 'state', 'info', 'reported', 'health'] as const).map((kind) => hq.allUp(kind))
        client.subscribe(topics, { qos: 1 }, (error, granted) => {
          if (error || granted?.some(({ qos }) => qos >= 0x80)) {
            this.#reason = 'the broker denies the subscription'
            // Closes, and is tried again after the usual pause.
            client.stream.destroy()
            return
          }
          this.#status.connected = true
          this.#reason = ''
          this.#away = ''
          log.info({ url }, 'listening to gateways')
          this.#announce().catch((failed: unknown) => log.error({ error: asFailure(failed).message }, 'the store cannot be read'))
          resolve()
        })
      })
    })
  }

  status(): SinkStatus {
    return { ...this.#status }
  }

  /** Stores what is queued, then ends the connection. The store stays open. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    if (this.#saving || this.#queue.length > 0) await new Promise<void>((resolve) => this.#idle.push(resolve))
    this.#viewsTimer?.()
    this.#timer?.cancel()
    await this.#order
    await this.#saveViews()
    await this.#client?.endAsync(!this.#client.connected)
  }

  #receive(topic: string, payload: Buffer): void {
    const up = parseUp(topic)
    if (!up || this.#stopping.signal.aborted) return
    const { gateway, kind } = up
    try {
      if (kind === 'events') this.#enqueue(gateway, payload)
      else if (kind === 'sync') this.#sync(gateway, payload)
      else if (kind === 'state') this.#seen(gateway, parseState(payload))
      else if (kind === 'info' || kind === 'reported' || kind === 'health') this.#keepView({ gateway, kind, body: parseObject(payload) })
    } catch (error) {
      const { code, message } = asFailure(error)
      this.#status.malformed += 1
      this.#options.log.warn({ gateway, topic, code, error: message }, 'a message from a gateway breaks the contract; refused')
    }
  }

  #enqueue(gateway: string, payload: Buffer): void {
    if (this.#status.queuedBytes > QUEUE_BYTES) {
      this.#status.shed += 1
      return
    }
    const { epoch, from, to, events } = parseEvents(payload)
    this.#status.queuedBytes += payload.length
    this.#queue.push({ batch: { gateway, epoch, from, to, events }, bytes: payload.length })
    this.#work()
  }

  #work(): void {
    if (this.#saving) return
    if (this.#queue.length === 0) {
      for (const done of this.#idle.splice(0)) done()
      return
    }
    this.#saving = true
    let events = 0
    let end = 0
    while (end < this.#queue.length && (end === 0 || events < GROUP_EVENTS)) events += this.#queue[end++]?.batch.events.length ?? 0
    const group = this.#queue.splice(0, end)
    const next = () => {
      for (const { bytes } of group) this.#status.queuedBytes -= bytes
      this.#saving = false
      this.#work()
    }
    this.#save(group).then(next, next)
  }

  /** Never rejects. A group that fails is tried once more, batch by batch, so that one bad batch cannot hold up the others. */
  async #save(group: Queued[]): Promise<void> {
    const { store, log, clock } = this.#options
    try {
      return this.#saved(group, await store.save(group.map(({ batch }) => batch)))
    } catch (error) {
      log.error({ error: asFailure(error).message, batches: group.length }, 'the store failed; nothing of it is acknowledged')
    }
    await clock.sleep(RETRY_MS, this.#stopping.signal).catch(() => undefined)
    for (const one of group)
      try {
        this.#saved([one], await store.save([one.batch]))
      } catch {
        this.#status.shed += 1
      }
  }

  #saved(group: Queued[], { streams, inserted, conflicts }: SaveResult): void {
    const events = group.reduce((sum, { batch }) => sum + batch.events.length, 0)
    this.#status.batches += group.length
    this.#status.events += inserted
    this.#status.duplicates += events - inserted
    this.#status.conflicts += conflicts.length
    for (const { gateway, epoch, sequence, storedId, id } of conflicts)
      this.#options.log.error(
        { gateway, epoch, sequence, storedId, id },
        'ALARM: two events with the same sequence; is a card cloned or restored?',
      )
    this.#acknowledge(streams)
  }

  #acknowledge(streams: Streams): void {
    const now = this.#options.clock.mono()
    for (const { gateway, epoch, watermark, highest } of streams)
      this.#perform(sinkMachine.step(this.#state, { on: 'stored', now, gateway, epoch, watermark, highest }))
  }

  #sync(gateway: string, payload: Buffer): void {
    const { epoch, sent, desiredVersion } = parseSync(payload)
    const { store, clock, log } = this.#options
    Promise.all([store.stream(gateway, epoch), store.desiredVersion(gateway)]).then(
      ([{ watermark }, latest]) =>
        this.#perform(
          sinkMachine.step(this.#state, { on: 'sync', now: clock.mono(), gateway, epoch, watermark, sent, desiredVersion, latest }),
        ),
      (error: unknown) => log.error({ gateway, error: asFailure(error).message }, 'the store cannot be read'),
    )
  }

  #perform(effects: readonly SinkEffect[]): void {
    for (const effect of effects) {
      if (effect.do === 'ack') this.#client?.publish(hq.down(effect.gateway, 'ack'), JSON.stringify(effect.ack), { qos: 0 })
      else
        this.#sendDesired(effect.gateway).catch((error: unknown) =>
          this.#options.log.error({ gateway: effect.gateway, error: asFailure(error).message }, 'the desired config cannot be sent'),
        )
    }
    this.#arm()
  }

  async #sendDesired(gateway: string): Promise<void> {
    const desired = await this.#options.store.getDesired(gateway)
    if (desired) this.#client?.publish(hq.down(gateway, 'desired'), JSON.stringify(desired), { qos: 1, retain: true })
  }

  #arm(): void {
    const at = deadline(this.#state)
    if (at === undefined || !Number.isFinite(at) || this.#stopping.signal.aborted || (this.#timer && this.#timer.at <= at)) return
    this.#timer?.cancel()
    const { clock } = this.#options
    const cancel = clock.timer(Math.max(0, Math.ceil(at - clock.mono())), () => {
      this.#timer = undefined
      this.#perform(sinkMachine.step(this.#state, { on: 'tick', now: clock.mono() }))
    })
    this.#timer = { at, cancel }
  }

  /** Gateways that sent into the void while the sink was away learn that it is back, a few at a time. */
  async #announce(): Promise<void> {
    const { store, clock } = this.#options
    const streams = await store.streams()
    for (let at = 0; at < streams.length && this.#status.connected; at += ANNOUNCE_STEP) {
      for (const { gateway, epoch, watermark } of streams.slice(at, at + ANNOUNCE_STEP))
        this.#perform([{ do: 'ack', gateway, ack: { epoch, sequence: watermark, resendFrom: watermark + 1 } }])
      await clock.sleep(100, this.#stopping.signal).catch(() => undefined)
    }
  }

  /** A will carries the session it belongs to: one of a connection that has been replaced says nothing about the present one. */
  #seen(gateway: string, state: UpState): void {
    this.#order = this.#order.then(async () => {
      const known = this.#states.get(gateway) ?? ((await this.#options.store.view(gateway, 'state')) as UpState | undefined)
      if (known?.online && !state.online && known.session !== state.session) {
        this.#status.lateWills += 1
        return
      }
      if (known?.online !== state.online)
        this.#options.log.info({ gateway, version: state.version }, state.online ? 'gateway online' : 'gateway offline')
      this.#states.set(gateway, state)
      this.#keepView({ gateway, kind: 'state', body: state })
    })
    this.#order = this.#order.catch((error: unknown) =>
      this.#options.log.error({ error: asFailure(error).message }, 'the store cannot be read'),
    )
  }

  #keepView(view: View): void {
    this.#views.set(`${view.gateway}/${view.kind}`, view)
    if (this.#viewsTimer || this.#stopping.signal.aborted) return
    this.#viewsTimer = this.#options.clock.timer(VIEWS_MS, () => {
      this.#viewsTimer = undefined
      this.#saveViews().catch((error: unknown) =>
        this.#options.log.error({ error: asFailure(error).message }, 'the store failed; the last states are not kept'),
      )
    })
  }

  async #saveViews(): Promise<void> {
    const views = [...this.#views.values()]
    this.#views.clear()
    await this.#options.store.saveViews(views)
  }
}
