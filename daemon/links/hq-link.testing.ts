/** For the link's tests: a real broker, the real sink or one with fault switches, and a gateway reduced to its link. */
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import type { IClientOptions } from 'mqtt'
import type { Test } from 'tap'
import { Sink } from '../../hq/sink/sink.ts'
import { openSqliteStore } from '../../hq/sink/sqlite-store.ts'
import type { SinkStore } from '../../hq/sink/store.ts'
import { systemClock } from '../clock.ts'
import type { CommandRequest, CommandResult } from '../contract/command.ts'
import type { DownDesired, UpHealth, UpInfo, UpReported } from '../contract/uplink.ts'
import type { Journal } from '../journal/api.ts'
import { createLog } from '../log.ts'
import { Shop } from '../shop.ts'
import { FakeHq } from '../testing/fake-hq.ts'
import { freePort } from '../testing/free-port.ts'
import { MemoryJournal } from '../testing/memory-journal.ts'
import { Shopfloor } from '../testing/processes.ts'
import { until } from '../testing/until.ts'
import type { LinkTuning } from './hq-link.machine.ts'
import { createHqLink, type HqLink } from './hq-link.ts'

export const GATEWAY = 'shop-001'
/** The usual protocol with less patience. */
const QUICK: Partial<LinkTuning> = {
  backoffMinMs: 50,
  backoffMaxMs: 400,
  helloMs: 200,
  drainJitterMs: 100,
  progressMs: 1_500,
  resendAgainMs: 300,
}

export class HqLab {
  readonly floor = new Shopfloor()
  readonly shop = new Shop()
  readonly lines: string[] = []
  readonly journal = new MemoryJournal({ gateway: GATEWAY })
  readonly log = createLog({ level: 'debug', clock: systemClock, write: (line) => void this.lines.push(line) })
  readonly received: DownDesired[] = []
  /** How often each command really ran. */
  readonly ran = new Map<string, number>()
  reported: UpReported | undefined
  /** What a command waits for before it is done. */
  beforeDone: Promise<void> | undefined
  link: HqLink | undefined
  port = 0
  #broker: ChildProcess | undefined
  #store: SinkStore | undefined
  #sink: Sink | undefined
  readonly #results = new Map<string, Promise<CommandResult>>()

  async broker(): Promise<void> {
    if (this.port === 0) this.port = await freePort()
    this.#broker = await this.floor.mosquitto(this.port)
  }

  async stopBroker(): Promise<void> {
    const gone = this.#broker && once(this.#broker, 'exit')
    this.#broker?.kill('SIGKILL')
    await gone
  }

  async store(): Promise<SinkStore> {
    this.#store ??= await openSqliteStore(join(this.floor.dir, 'hq.sqlite'))
    return this.#store
  }

  async sink(): Promise<Sink> {
    const log = createLog({ level: 'info', clock: systemClock, write: () => undefined })
    this.#sink = new Sink({ url: `mqtt://127.0.0.1:${this.port}`, mqtt: {}, store: await this.store(), clock: systemClock, log })
    await this.#sink.start()
    return this.#sink
  }

  async stopSink(): Promise<void> {
    await this.#sink?.stop()
    this.#sink = undefined
  }

  /** An HQ with fault switches, on the real broker. */
  async fakeHq(options: IClientOptions = {}): Promise<FakeHq> {
    const client = await this.floor.mqtt(this.port, options)
    const fake = new FakeHq((topic, payload) => void client.publish(topic, payload))
    client.on('message', (topic, payload) => fake.receive(topic, payload))
    await client.subscribeAsync('shopwire/v1/+/up/#', { qos: 1 })
    return fake
  }

  start(options: { port?: number; url?: string; tuning?: Partial<LinkTuning>; config?: object; journal?: Journal } = {}): HqLink {
    this.link = createHqLink({
      config: { url: options.url ?? `mqtt://127.0.0.1:${options.port ?? this.port}`, ack: 'hq', ...options.config },
      gateway: GATEWAY,
      version: '1.0.0',
      journal: options.journal ?? this.journal,
      submit: (request, progress) => this.submit(request, progress),
      desired: {
        version: 3,
        receive: (message) => void this.received.push(message),
        reported: () => this.reported,
      },
      info: () => ({ store: '0001' }) as UpInfo,
      health: () => ({ uptime: 1 }) as UpHealth,
      shop: this.shop,
      clock: systemClock,
      log: this.log,
      tuning: { ...QUICK, ...options.tuning },
    })
    this.link.start()
    return this.link
  }

  /** Dispatch's promise: the same id runs once, and a repeat gets the first result. */
  async submit(request: CommandRequest, progress: (result: CommandResult) => void): Promise<CommandResult> {
    const id = request.id ?? ''
    const run = async (): Promise<CommandResult> => {
      this.ran.set(id, (this.ran.get(id) ?? 0) + 1)
      progress({ id, status: 'accepted' })
      progress({ id, status: 'running' })
      await this.beforeDone
      return { id, status: 'done', result: { printed: true } }
    }
    const result = this.#results.get(id) ?? run()
    this.#results.set(id, result)
    return result
  }

  async scan(count: number): Promise<void> {
    const events = Array.from({ length: count }, (_, at) => ({
      plugin: 'scanner',
      device: 'till-1',
      event: 'scan',
      data: { code: `69012345${at}`, kind: 'product' },
    }))
    await this.journal.commit({ events })
  }

  /** HQ has everything, once, in order and as it was. */
  async complete(t: Test): Promise<void> {
    const store = await this.store()
    const { head, epoch, events } = this.journal
    await until(async () => (await store.stream(GATEWAY, epoch)).watermark === head, `HQ to have ${head}`)
    const stored = await store.events(GATEWAY, epoch, 0, head + 1)
    t.same(
      stored.map(({ id }) => id),
      events.map(({ text }) => (JSON.parse(text) as { id: string }).id),
    )
    await until(() => this.journal.cursor('hq').position === head, 'the cursor to follow')
  }

  online(): Promise<void> {
    return until(() => this.link?.status().state === 'online', 'the link to be online')
  }

  async end(): Promise<void> {
    try {
      await this.link?.stop()
      await this.stopSink()
      await this.#store?.close()
    } finally {
      await this.floor.end()
    }
  }
}
