/** The shop's side of MQTT: events out once durable, device states retained, commands in, results out. */
import { iso } from '../clock.ts'
import type { Config } from '../config.ts'
import type { CommandRequest, CommandResult } from '../contract/command.ts'
import { asFailure } from '../contract/errors.ts'
import type { Clock } from '../contract/plugin.ts'
import { shop as topics } from '../contract/topics.ts'
import type { Dispatch } from '../dispatch/api.ts'
import type { Journal, StoredEvent } from '../journal/api.ts'
import type { Log } from '../log.ts'
import type { DeviceView, Shop, ShopChange } from '../shop.ts'
import type { LanBroker, LanMessage, LanState, LanWill } from './lan-api.ts'
import { createEmbeddedBroker } from './lan-broker.ts'
import { createExternalBroker } from './lan-client.ts'
import { readPayload, readTopic } from './lan-command.ts'
import { mayRespond } from './lan-filters.ts'

export interface LanLinkOptions {
  config: Config['lan']
  gateway: string
  /** Of shopwire. */
  version: string
  journal: Journal
  submit: Dispatch['submit']
  shop: Shop
  clock: Clock
  log: Log
  /** In place of the one that `config` asks for. */
  broker?: LanBroker
}

export interface LanLink {
  /** Rejects with `port-taken`, `config-invalid` or `secret-unreadable`; a broker elsewhere may come later. */
  start(): Promise<void>
  stop(): Promise<void>
  /** Of the embedded broker; 0 when it is one elsewhere. */
  port(): number
}

const DEFAULT_LISTEN = '127.0.0.1:1883'
/** Device states that a broker kept from before and that nobody has claimed by then are taken away. */
const STALE_AFTER_MS = 60_000
const RETAINED = { qos: 1, retain: true } as const
const LIVE = { qos: 1, retain: false } as const
/** Last levels with a meaning of their own: an event of such a name would be taken for something else. */
const RESERVED: ReadonlySet<string> = new Set(['state', 'result', 'cmd'])

export function createLanLink(options: LanLinkOptions): LanLink {
  return new Link(options, options.broker ?? brokerFor(options))
}

function brokerFor({ config, gateway, clock, log }: LanLinkOptions): LanBroker {
  const { url, listen = DEFAULT_LISTEN, users, username, password, passwordFile, caFile } = config
  if (url === undefined) return createEmbeddedBroker({ listen, users, log })
  return createExternalBroker({
    url,
    clientId: gateway,
    clock,
    log,
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...(passwordFile === undefined ? {} : { passwordFile }),
    ...(caFile === undefined ? {} : { caFile }),
  })
}

class Link implements LanLink {
  readonly #options: LanLinkOptions
  readonly #broker: LanBroker
  #unfollow: (() => void)[] = []
  #cancelStale: () => void = () => {}
  #stopped = false

  constructor(options: LanLinkOptions, broker: LanBroker) {
    this.#options = options
    this.#broker = broker
  }

  async start(): Promise<void> {
    const { journal, shop } = this.#options
    await this.#broker.start(
      [topics.commands],
      { message: (message) => this.#receive(message), state: (state) => this.#brokerState(state) },
      this.#presence(false),
    )
    this.#unfollow = [journal.follow((events) => this.#publishEvents(events)), shop.follow((change) => this.#shopChanged(change))]
    for (const device of shop.devices()) this.#publishDevice(device)
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#cancelStale()
    for (const unfollow of this.#unfollow) unfollow()
    await this.#broker.stop(this.#presence(false))
  }

  port(): number {
    return this.#broker.port()
  }

  /** Runs for every event of the shop: nothing is built that nobody wants. */
  #publishEvents(events: readonly StoredEvent[]): void {
    for (const { plugin, device, event, text } of events) {
      if (RESERVED.has(event)) continue
      const topic = topics.event(plugin, device, event)
      if (this.#broker.wanted(topic)) this.#broker.publish(topic, text, LIVE)
    }
  }

  #shopChanged(change: ShopChange): void {
    if (change.kind === 'device') this.#publishDevice(change.device)
    // An empty retained payload takes the kept one away (MQTT 3.1.1 section 3.3.1.3).
    else if (change.kind === 'device-gone') this.#broker.publish(topics.state(change.plugin, change.device), '', RETAINED)
  }

  #publishDevice({ plugin, device, state, detail, since }: DeviceView): void {
    const payload = JSON.stringify({ state, ...(detail === undefined ? {} : { detail }), since })
    this.#broker.publish(topics.state(plugin, device), payload, RETAINED)
  }

  #presence(online: boolean): LanWill {
    const { gateway, version } = this.#options
    return { topic: topics.state('gateway', '-'), payload: JSON.stringify({ online, id: gateway, version }) }
  }

  #brokerState(state: LanState): void {
    const { shop, clock } = this.#options
    this.#cancelStale()
    if (state.online) {
      const presence = this.#presence(true)
      this.#broker.publish(presence.topic, presence.payload, RETAINED)
      for (const device of shop.devices()) this.#publishDevice(device)
      this.#cancelStale = clock.timer(STALE_AFTER_MS, () => void this.#clearStale())
    }
    shop.setLink({
      name: 'lan',
      state: state.online ? 'online' : this.#stopped ? 'off' : 'offline',
      since: iso(clock.wall()),
      detail: state.detail,
    })
  }

  /** A device that was taken out of the config while the broker was away would otherwise stay `online` there for ever. */
  async #clearStale(): Promise<void> {
    const { shop, log } = this.#options
    const present = new Set(['gateway/-', ...shop.devices().map(({ plugin, device }) => `${plugin}/${device}`)])
    for (const topic of await this.#broker.retained(topics.state('+', '+'))) {
      const [, plugin, device] = topic.split('/')
      if (present.has(`${plugin}/${device}`)) continue
      log.info({ topic }, 'the state of a device that is no more was taken from the shop broker')
      this.#broker.publish(topic, '', RETAINED)
    }
  }

  #receive(message: LanMessage): void {
    const { log, submit } = this.#options
    const topic = readTopic(message.topic)
    if (!topic) {
      log.warn({ topic: message.topic.slice(0, 200), code: 'command-unknown' }, 'a command topic names no plugin and device')
      return
    }
    if (message.retained) {
      // It would run again with every connection.
      log.warn({ topic: message.topic, code: 'payload-malformed' }, 'a retained command was ignored; commands are published without retain')
      return
    }
    const request = readPayload(topic, message.payload)
    if ('error' in request) {
      log.warn({ ...topic, code: request.error.code }, request.error.message)
      this.#answer(message, topic, { id: request.id, status: 'rejected', error: request.error })
      return
    }
    this.#run(submit, request).then(
      (result) => this.#answer(message, topic, result),
      () => undefined,
    )
  }

  async #run(submit: Dispatch['submit'], request: CommandRequest): Promise<CommandResult> {
    try {
      return await submit(request)
    } catch (error) {
      return { id: request.id ?? '-', status: 'unknown', error: asFailure(error).toBody() }
    }
  }

  #answer(message: LanMessage, { plugin, device }: { plugin: string; device: string }, result: CommandResult): void {
    const { responseTopic, correlationData } = message
    const own = topics.result(plugin, device)
    const asked = responseTopic !== undefined && (responseTopic === own || mayRespond(responseTopic))
    if (responseTopic !== undefined && !asked)
      this.#options.log.warn(
        { topic: responseTopic.slice(0, 200), code: 'forbidden' },
        'a command asks for its answer on a topic that only the gateway speaks on',
      )
    this.#broker.publish(asked ? responseTopic : own, JSON.stringify(result), {
      ...LIVE,
      ...(correlationData === undefined ? {} : { correlationData }),
    })
  }
}
