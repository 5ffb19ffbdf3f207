import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { connect as connectTcp, type Socket } from 'node:net'
import { connectAsync, type IClientOptions, type MqttClient } from 'mqtt'
import t from 'tap'
import { systemClock } from '../clock.ts'
import type { LanUser } from '../config.ts'
import type { CommandRequest, CommandResult } from '../contract/command.ts'
import type { Json } from '../contract/json.ts'
import { createLog } from '../log.ts'
import { hashPassword } from '../password.ts'
import { Shop } from '../shop.ts'
import { freePort } from '../testing/free-port.ts'
import { MemoryJournal } from '../testing/memory-journal.ts'
import { Shopfloor } from '../testing/processes.ts'
import { until } from '../testing/until.ts'
import type { LanBroker } from './lan-api.ts'
import { createEmbeddedBroker, type EmbeddedLimits } from './lan-broker.ts'
import { createExternalBroker } from './lan-client.ts'
import { createLanLink, type LanLink } from './lan-link.ts'

type Teardown = { teardown(run: () => unknown): void }

/** A till's own client, and what it has heard. */
class Till {
  readonly client: MqttClient
  readonly heard: { topic: string; payload: string; retain: boolean; correlation?: string }[] = []
  closed = false

  constructor(client: MqttClient) {
    this.client = client
    client.on('message', (topic, payload, { retain, properties }) => {
      const correlation = properties?.correlationData?.toString()
      this.heard.push({ topic, payload: payload.toString(), retain, ...(correlation === undefined ? {} : { correlation }) })
    })
    client.on('close', () => {
      this.closed = true
    })
    client.on('error', () => {})
  }

  json(topic: string): Record<string, Json>[] {
    return this.heard
      .filter((one) => one.topic === topic && one.payload !== '')
      .map((one) => JSON.parse(one.payload) as Record<string, Json>)
  }

  async ask(command: string, payload: string | Buffer, answers: string): Promise<Record<string, Json> | undefined> {
    const before = this.json(answers).length
    await this.client.publishAsync(command, payload, { qos: 1 })
    await until(() => this.json(answers).length > before, `an answer on ${answers}`)
    return this.json(answers).at(-1)
  }
}

async function till(t: Teardown, port: number, subscribe: string[], options: IClientOptions = {}): Promise<Till> {
  const client = await connectAsync(`mqtt://127.0.0.1:${port}`, { reconnectPeriod: 0, protocolVersion: 4, ...options })
  const one = new Till(client)
  t.teardown(() => client.endAsync(true))
  if (subscribe.length > 0) await client.subscribeAsync(subscribe, { qos: 1 })
  return one
}

interface Gateway {
  journal: MemoryJournal
  shop: Shop
  link: LanLink
  lines: string[]
  submitted: CommandRequest[]
}

async function gateway(t: Teardown, makeBroker: (log: ReturnType<typeof createLog>) => LanBroker): Promise<Gateway> {
  const journal = new MemoryJournal()
  const shop = new Shop()
  const lines: string[] = []
  const submitted: CommandRequest[] = []
  const log = createLog({ level: 'debug', clock: systemClock, write: (line) => lines.push(line) })
  const submit = async (request: CommandRequest): Promise<CommandResult> => {
    submitted.push(request)
    return { id: request.id ?? 'made-up', status: 'done', result: { printed: true } }
  }
  const link = createLanLink({
    config: { users: [] },
    gateway: 'shop-001',
    version: '1.2.3',
    journal,
    submit,
    shop,
    clock: systemClock,
    log,
    broker: makeBroker(log),
  })
  await link.start()
  t.teardown(() => link.stop())
  return { journal, shop, link, lines, submitted }
}

interface Kind {
  name: string
  open(t: Teardown): Promise<Gateway & { port: number }>
}

async function startMosquitto(t: Teardown, port: number): Promise<ChildProcess> {
  const floor = new Shopfloor()
  t.teardown(() => floor.end())
  return floor.mosquitto(port)
}

async function stopMosquitto(child: ChildProcess): Promise<void> {
  const gone = once(child, 'exit')
  child.kill('SIGKILL')
  await gone
}

const external = (port: number) => (log: ReturnType<typeof createLog>) =>
  createExternalBroker({
    url: `mqtt://127.0.0.1:${port}`,
    clientId: 'shop-001',
    clock: systemClock,
    log,
    retryFirstMs: 50,
    retryMostMs: 200,
  })

const KINDS: Kind[] = [
  {
    name: 'embedded aedes',
    async open(t) {
      const all = await gateway(t, (log) => createEmbeddedBroker({ listen: '127.0.0.1:0', users: [], log }))
      return { ...all, port: all.link.port() }
    },
  },
  {
    name: 'mosquitto by URL',
    async open(t) {
      const port = await freePort()
      await startMosquitto(t, port)
      const all = await gateway(t, external(port))
      await until(() => all.shop.links()[0]?.state === 'online', 'the link')
      return { ...all, port }
    },
  },
]

const scan = (code: string) => ({ events: [{ plugin: 'scanner', device: 'till-1', event: 'scan', data: { code, kind: 'product' } }] })

for (const kind of KINDS) {
  t.test(`${kind.name}: the contract of the shop's MQTT`, async (t) => {
    t.test('a till hears a scan once it is durable, never before, and in order', async (t) => {
      const { journal, port } = await kind.open(t)
      const listener = await till(t, port, ['shop/scanner/+/scan'])
      journal.block()
      const commits = Array.from({ length: 50 }, (_, index) => journal.commit(scan(String(index))))
      await listener.client.publishAsync('elsewhere', 'a round trip', { qos: 1 })
      t.same(listener.heard, [], 'nothing of what the disk has not taken')
      journal.unblock()
      await Promise.all(commits)
      await until(() => listener.heard.length === 50, '50 scans')
      t.same(
        listener.json('shop/scanner/till-1/scan').map((one) => one.sequence),
        Array.from({ length: 50 }, (_, index) => String(index + 1)),
      )
      t.match(listener.json('shop/scanner/till-1/scan')[0], {
        specversion: '1.0',
        type: 'shopwire.scanner.scan',
        source: '/shop-001/scanner/till-1',
      })
      t.notOk(listener.heard[0]?.retain)
    })

    t.test('the core speaks, too', async (t) => {
      const { journal, port } = await kind.open(t)
      const listener = await till(t, port, ['shop/#'])
      await journal.commit({ events: [{ plugin: 'plugin', device: '-', event: 'loaded', data: { plugin: 'scanner' } }] })
      await until(() => listener.json('shop/plugin/-/loaded').length === 1, 'plugin.loaded')
      await until(() => listener.json('shop/gateway/-/state').length > 0, 'what is kept of the gateway')
      t.match(listener.json('shop/gateway/-/state'), [{ online: true, id: 'shop-001', version: '1.2.3' }])
    })

    t.test('device states are kept for who comes later, and go with the device; none is lost beside live events', async (t) => {
      const { journal, shop, port } = await kind.open(t)
      const early = await till(t, port, ['shop/#'])
      const topic = 'shop/printer/receipt/state'
      for (let round = 0; round < 20; round++) {
        shop.setDevice('printer', 'receipt', { state: 'fault', detail: `paper-out-${round}` }, '2026-11-22T08:00:00.000Z')
        await journal.commit(scan(String(round)))
      }
      await until(() => early.json('shop/scanner/till-1/scan').length === 20 && early.json(topic).length === 20, '20 states and 20 scans')
      const late = await till(t, port, ['shop/printer/#'])
      await until(() => late.json(topic).length === 1, 'the kept state')
      t.same(late.json(topic), [{ state: 'fault', detail: 'paper-out-19', since: '2026-11-22T08:00:00.000Z' }])
      t.ok(late.heard[0]?.retain)
      shop.removeDevice('printer', 'receipt')
      await until(() => early.heard.some((one) => one.topic === topic && one.payload === ''), 'the state to go')
      const later = await till(t, port, ['shop/#'])
      await until(() => later.json('shop/gateway/-/state').length === 1, 'what is kept')
      t.same(later.json(topic), [])
    })

    t.test('a command is answered; nonsense gets one clear error and disturbs nobody', async (t) => {
      const { submitted, port } = await kind.open(t)
      const one = await till(t, port, ['shop/printer/receipt/result'])
      const results = 'shop/printer/receipt/result'
      const print = 'shop/printer/receipt/cmd/print'
      t.same(await one.ask(print, '{"id":"r-1","args":{"receipt":"# Thank you"},"expiresAt":"2030-01-01T00:00:00Z"}', results), {
        id: 'r-1',
        status: 'done',
        result: { printed: true },
      })
      t.same(submitted, [
        {
          id: 'r-1',
          plugin: 'printer',
          device: 'receipt',
          command: 'print',
          args: { receipt: '# Thank you' },
          expiresAt: '2030-01-01T00:00:00Z',
          from: 'lan',
        },
      ])
      t.match(await one.ask(print, '', results), { id: 'made-up', status: 'done' }, 'an empty payload is a command without args')
      const bad: [string | Buffer, string, string][] = [
        ['{"id":"r-2","args":', '-', 'payload-malformed'],
        ['[]', '-', 'payload-malformed'],
        ['"print"', '-', 'payload-malformed'],
        ['{"id":5}', '-', 'payload-malformed'],
        ['{"id":"r-3","arg":{}}', 'r-3', 'payload-malformed'],
        ['{"id":"r-4","expiresAt":7}', 'r-4', 'payload-malformed'],
        [Buffer.from([0x22, 0xe4, 0xb8, 0x22]), '-', 'payload-malformed'],
      ]
      for (const [payload, id, code] of bad) {
        const answer = await one.ask(print, payload, results)
        t.match(answer, { id, status: 'rejected', error: { code } }, String(payload))
      }
      t.equal(submitted.length, 2)
      t.notOk(one.closed)
    })

    t.test('a retained command is not run again by everyone who connects', async (t) => {
      const { submitted, port, link } = await kind.open(t)
      const one = await till(t, port, ['shop/printer/receipt/result'])
      await one.client.publishAsync('shop/printer/receipt/cmd/print', '{"id":"r-1"}', { qos: 1, retain: true })
      await until(() => submitted.length === 1, 'it to run once')
      // A restarted daemon comes to a broker that kept the command.
      const isKept = kind.name.startsWith('mosq')
      if (isKept) await link.stop()
      const again = isKept ? await gateway(t, external(port)) : undefined
      if (again) await until(() => again.shop.links()[0]?.state === 'online', 'the daemon to be back')
      const late = await till(t, port, ['shop/+/+/cmd/+', 'shop/gateway/#'])
      await until(() => late.heard.length > 0, 'what is kept')
      await one.ask('shop/printer/receipt/cmd/print', '{"id":"r-2"}', 'shop/printer/receipt/result')
      const ids = [...submitted, ...(again?.submitted ?? [])].map(({ id }) => id)
      t.same(ids, ['r-1', 'r-2'])
    })

    t.test('a burst of 2,000 events reaches a till that reads, whole', async (t) => {
      const { journal, port } = await kind.open(t)
      const listener = await till(t, port, ['shop/scanner/#'])
      for (let batch = 0; batch < 20; batch++) {
        await journal.commit({ events: Array.from({ length: 100 }, (_, index) => scan(`${batch}-${index}`).events).flat() })
        await until(() => listener.heard.length === (batch + 1) * 100, `batch ${batch}`)
      }
      t.pass('all of them')
    })
  })
}

t.test('embedded: two programs on one port is an error that names it', async (t) => {
  const { link } = await gateway(t, (log) => createEmbeddedBroker({ listen: '127.0.0.1:0', users: [], log }))
  const log = createLog({ level: 'error', clock: systemClock, write: () => {} })
  const handlers = { message() {}, state() {} }
  const second = createEmbeddedBroker({ listen: `127.0.0.1:${link.port()}`, users: [], log })
  await t.rejects(second.start([], handlers, { topic: '', payload: '' }), { code: 'port-taken', message: new RegExp(String(link.port())) })
  const elsewhere = createEmbeddedBroker({ listen: '203.0.113.7:1883', users: [], log })
  await t.rejects(elsewhere.start([], handlers, { topic: '', payload: '' }), { code: 'config-invalid' })
})

async function guarded(t: Teardown, users: LanUser[], limits: Partial<EmbeddedLimits> = {}): Promise<Gateway & { port: number }> {
  const all = await gateway(t, (log) => createEmbeddedBroker({ listen: '127.0.0.1:0', users, limits, log }))
  return { ...all, port: all.link.port() }
}

t.test('embedded: nobody but the gateway says what a device did', async (t) => {
  const { port, lines, submitted } = await guarded(t, [])
  const witness = await till(t, port, ['#'])
  for (const topic of [
    'shop/scanner/till-1/scan',
    'shop/printer/receipt/state',
    'shop/printer/receipt/result',
    'shop/payment/-/paid',
    'shop',
    'shop/printer/receipt/cmd',
    '$SYS/x',
  ]) {
    const forger = await till(t, port, [])
    forger.client.publish(topic, '{"forged":true}', { qos: 0, retain: true })
    await until(() => forger.closed, `${topic} to be refused`)
  }
  // A will is a publish, too.
  const dying = await till(t, port, [], {
    will: { topic: 'shop/payment/-/paid', payload: Buffer.from('{"forged":true}'), qos: 0, retain: false },
  })
  dying.client.stream.destroy()
  const refused = () => lines.filter((line) => line.includes('"code":"forbidden"') && line.includes('shop/payment/-/paid')).length
  await until(() => refused() === 2, 'its will to be refused as the same message was')
  const honest = await till(t, port, ['shop/printer/receipt/result'])
  await honest.client.publishAsync('display/till-1', 'free for the shop’s own use', { qos: 1 })
  await honest.ask('shop/printer/receipt/cmd/print', '{}', 'shop/printer/receipt/result')
  await until(() => witness.heard.some((one) => one.topic === 'display/till-1'), 'the free topic')
  t.notMatch(JSON.stringify(witness.heard), 'forged')
  t.equal(submitted.length, 1)
})

t.test('embedded: users, passwords and what each may do', async (t) => {
  const [tillHash, screenHash] = await Promise.all([hashPassword('till secret'), hashPassword('screen secret')])
  const { port, journal, lines } = await guarded(t, [
    { name: 'till', passwordHash: tillHash, publish: ['shop/printer/+/cmd/print'], subscribe: ['shop/printer/+/result', 'shop/scanner/#'] },
    { name: 'screen', passwordHash: screenHash, publish: [], subscribe: ['shop/visit/#'] },
  ])
  for (const wrong of [{}, { username: 'till' }, { username: 'till', password: 'guess' }, { username: 'nobody', password: 'till secret' }])
    await t.rejects(till(t, port, [], wrong), /Not authorized/)
  t.notMatch(lines.join(''), /guess|till secret/)
  const one = await till(t, port, ['shop/printer/+/result', 'shop/scanner/till-1/scan'], { username: 'till', password: 'till secret' })
  t.match(await one.ask('shop/printer/receipt/cmd/print', '{"id":"r-1"}', 'shop/printer/receipt/result'), { status: 'done' })
  await journal.commit(scan('1'))
  await until(() => one.json('shop/scanner/till-1/scan').length === 1, 'the scan')
  for (const filter of ['#', 'shop/#', 'shop/+/+/scan', 'shop/payment/#', '$SYS/#', 'shop/printer/#'])
    await t.rejects(one.client.subscribeAsync(filter), { message: /Unspecified error|Subscribe error/i }, filter)
  one.client.publish('shop/printer/receipt/cmd/drawer', '{}')
  await until(() => one.closed, 'a command that this user may not send')
  const screen = await till(t, port, ['shop/visit/#'], { username: 'screen', password: 'screen secret' })
  screen.client.publish('shop/printer/receipt/cmd/print', '{}')
  await until(() => screen.closed, 'a user who may send nothing')
})

t.test('embedded: an oversized packet costs its sender the connection, and nobody else anything', async (t) => {
  const { port, lines, submitted } = await guarded(t, [])
  const honest = await till(t, port, ['shop/printer/receipt/result'])
  const big = await till(t, port, [])
  big.client.publish('shop/printer/receipt/cmd/print', Buffer.alloc(300_000, 0x20))
  await until(() => big.closed, 'the connection to be closed')
  t.ok(lines.some((line) => line.includes('"code":"payload-too-large"')))

  // One that only announces 200 MB and then says nothing.
  const raw: Socket = connectTcp(port, '127.0.0.1')
  raw.on('error', () => {})
  const gone = new Promise((resolve) => raw.once('close', resolve))
  raw.write(Buffer.from([0x30, 0x80, 0x80, 0x80, 0x64]))
  raw.resume()
  await gone
  const garbage: Socket = connectTcp(port, '127.0.0.1')
  garbage.on('error', () => {})
  const over = new Promise((resolve) => garbage.once('close', resolve))
  garbage.write('GET / HTTP/1.1\r\n\r\n')
  garbage.resume()
  await over
  t.match(
    await honest.ask(
      'shop/printer/receipt/cmd/print',
      JSON.stringify({ args: { receipt: 'x'.repeat(200_000) } }),
      'shop/printer/receipt/result',
    ),
    {
      status: 'done',
    },
  )
  t.equal(submitted.length, 1)
})

t.test('embedded: a till that stops reading is cut off; the others miss nothing meanwhile', async (t) => {
  const { port, journal, lines } = await guarded(t, [], { unreadBytes: 64 * 1024 })
  const good = await till(t, port, ['shop/#'])
  const stuck = await till(t, port, ['shop/#'])
  stuck.client.stream.pause()
  const data = { code: 'x'.repeat(8_000), kind: 'unknown' }
  let sent = 0
  while (!lines.some((line) => line.includes('does not read'))) {
    await journal.commit({ events: Array.from({ length: 20 }, () => ({ plugin: 'scanner', device: 'till-1', event: 'scan', data })) })
    sent += 20
    await until(() => good.heard.filter((one) => one.topic.endsWith('scan')).length === sent, 'the good one to hear all')
    if (sent > 20_000) break
  }
  t.ok(lines.some((line) => line.includes('does not read')))
  stuck.client.stream.resume()
  await until(() => stuck.closed, 'the stuck one to notice')
  await journal.commit(scan('last'))
  await until(() => good.json('shop/scanner/till-1/scan').some((one) => (one.data as { code: string }).code === 'last'), 'life to go on')
})

t.test('embedded: connections, subscriptions and kept messages are bounded', async (t) => {
  const { port } = await guarded(t, [], { connections: 3, subscriptionsPerClient: 2, clientRetained: 1 })
  const one = await till(t, port, ['a', 'b'])
  await t.rejects(one.client.subscribeAsync('c'))
  await one.client.unsubscribeAsync('a')
  await one.client.subscribeAsync('c')
  await one.client.publishAsync('keep/1', 'kept', { retain: true, qos: 1 })
  await one.client.publishAsync('keep/2', 'not kept', { retain: true, qos: 1 })
  const two = await till(t, port, ['keep/#'])
  await until(() => two.heard.length > 0, 'what is kept')
  t.same(
    two.heard.map((each) => each.topic),
    ['keep/1'],
  )
  await till(t, port, [])
  const fourth = connectTcp(port, '127.0.0.1')
  fourth.on('error', () => {})
  fourth.resume()
  await new Promise((resolve) => fourth.once('close', resolve))
  t.pass('one connection more is closed at once')
})

t.test('embedded: an MQTT 5 client is told, in its CONNACK, that 3.1.1 is spoken here', async (t) => {
  const { port } = await guarded(t, [])
  await t.rejects(till(t, port, [], { protocolVersion: 5 }), /protocol/i)
})

t.test('mosquitto: it goes and comes back; states stand again, the will said offline, events go on', async (t) => {
  const port = await freePort()
  const { journal, shop, lines, link } = await gateway(t, external(port))
  shop.setDevice('scanner', 'till-1', { state: 'online' }, '2026-11-22T08:00:00.000Z')
  await until(() => shop.links()[0]?.state === 'offline', 'an absent broker is no error at the start')
  await journal.commit(scan('nobody hears this'))
  for (let round = 1; round <= 2; round++) {
    const child = await startMosquitto(t, port)
    await until(() => shop.links()[0]?.state === 'online', `connection ${round}`)
    const listener = await till(t, port, ['shop/#'])
    await until(() => listener.json('shop/scanner/till-1/state').length === 1, 'the state')
    await journal.commit(scan(`round ${round}`))
    await until(() => listener.json('shop/scanner/till-1/scan').length === 1, 'the scan')
    if (round === 1) {
      await stopMosquitto(child)
      await until(() => shop.links()[0]?.state === 'offline', 'the loss to be noticed')
    } else {
      await link.stop()
      await until(() => listener.json('shop/gateway/-/state').at(-1)?.online === false, 'the last word')
    }
  }
  t.ok(lines.length < 60, `a broker away is not a flood of lines (${lines.length})`)
})

t.test('mosquitto: an MQTT 5 request gets its answer where it asks for it, but never in a device’s name', async (t) => {
  const port = await freePort()
  await startMosquitto(t, port)
  const { shop } = await gateway(t, external(port))
  await until(() => shop.links()[0]?.state === 'online', 'the link')
  const one = await till(t, port, ['tills/1/answers', 'shop/#'], { protocolVersion: 5 })
  const ask = (responseTopic: string) =>
    one.client.publishAsync('shop/printer/receipt/cmd/print', '{"id":"r-1"}', {
      qos: 1,
      properties: { responseTopic, correlationData: Buffer.from('c-7') },
    })
  await ask('tills/1/answers')
  await until(() => one.json('tills/1/answers').length === 1, 'the answer')
  t.match(
    one.heard.find((each) => each.topic === 'tills/1/answers'),
    { correlation: 'c-7' },
  )
  t.same(one.json('shop/printer/receipt/result'), [])
  await ask('shop/payment/-/paid')
  await until(() => one.json('shop/printer/receipt/result').length === 1, 'the usual place')
  t.same(one.json('shop/payment/-/paid'), [])
})
