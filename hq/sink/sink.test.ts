/** The sink on a real broker, and the commands an operator has. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import type { MqttClient } from 'mqtt'
import t, { type Test } from 'tap'
import { systemClock } from '../../daemon/clock.ts'
import type { JsonObject } from '../../daemon/contract/json.ts'
import { hq as topics } from '../../daemon/contract/topics.ts'
import type { DownAck, DownCommand, DownDesired } from '../../daemon/contract/uplink.ts'
import { freePort } from '../../daemon/testing/free-port.ts'
import { Shopfloor } from '../../daemon/testing/processes.ts'
import { until } from '../../daemon/testing/until.ts'
import { hq } from '../cli.ts'
import { Sink } from './sink.ts'
import { openSqliteStore } from './sqlite-store.ts'
import { batchOf } from './store.suite.ts'

interface Lab {
  port: number
  sink: Sink
  file: string
  client: MqttClient
  lines: { level: string; fields: JsonObject; message: string }[]
  acks: { gateway: string; ack: DownAck }[]
  send(gateway: string, kind: 'events' | 'sync' | 'state', body: unknown, pack?: boolean): Promise<unknown>
}

async function lab(t: Test): Promise<Lab> {
  const floor = new Shopfloor()
  t.teardown(() => floor.end())
  const port = await freePort()
  await floor.mosquitto(port)
  const file = join(floor.dir, 'hq.sqlite')
  const store = await openSqliteStore(file)
  t.teardown(() => store.close())
  const lines: Lab['lines'] = []
  const at = (level: string) => (fields: JsonObject, message: string) => void lines.push({ level, fields, message })
  const log = { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
  const sink = new Sink({
    url: `mqtt://127.0.0.1:${port}`,
    mqtt: {},
    store,
    clock: systemClock,
    log,
    tuning: { gapMs: 100, gapAgainMs: 500 },
  })
  t.teardown(() => sink.stop())
  await sink.start()
  const client = await floor.mqtt(port)
  const acks: Lab['acks'] = []
  client.on('message', (topic, payload) => {
    if (topic.endsWith('/dn/ack')) acks.push({ gateway: topic.split('/')[2] ?? '', ack: JSON.parse(payload.toString('utf8')) as DownAck })
  })
  await client.subscribeAsync('shopwire/v1/+/dn/#', { qos: 1 })
  const send: Lab['send'] = (gateway, kind, body, pack = false) => {
    const plain = Buffer.isBuffer(body) ? body : Buffer.from(JSON.stringify(body))
    return client.publishAsync(topics.up(gateway, kind), pack ? gzipSync(plain) : plain, { qos: 1 })
  }
  return { port, sink, file, client, lines, acks, send }
}

t.test('a hundred shops at once: each gets its own acks, and only for what is stored', async (t) => {
  const { sink, acks, send } = await lab(t)
  const shops = Array.from({ length: 100 }, (_, at) => `shop-${String(at).padStart(3, '0')}`)
  for (const from of [1, 21, 41])
    await Promise.all(shops.map((gateway) => send(gateway, 'events', batchOf(gateway, 'e1', from, from + 19), from === 21)))
  const last = (gateway: string) => acks.findLast((one) => one.gateway === gateway)?.ack.sequence
  await until(() => shops.every((gateway) => last(gateway) === 60), 'all to be acknowledged')
  t.match(sink.status(), { events: 6_000, duplicates: 0, malformed: 0 })
})

t.test('a missing batch is asked for, a sync too is answered, garbage is counted and clones raise an alarm', async (t) => {
  const { sink, acks, send, lines } = await lab(t)
  await send('shop-001', 'events', batchOf('shop-001', 'e1', 1, 10))
  await send('shop-001', 'events', batchOf('shop-001', 'e1', 21, 30))
  await until(() => acks.some(({ ack }) => ack.sequence === 10 && ack.resendFrom === 11), 'the gap to be asked for')
  await send('shop-001', 'events', batchOf('shop-001', 'e1', 11, 20))
  await until(() => acks.at(-1)?.ack.sequence === 30, 'the gap to close')

  await send('shop-001', 'sync', { epoch: 'e1', stored: 0, sent: 50, head: 50, tail: 1, desiredVersion: 0 })
  await until(() => acks.some(({ ack }) => ack.sequence === 30 && ack.resendFrom === 31), 'what was sent and never came to be asked for')
  await send('shop-009', 'sync', { epoch: 'e7', stored: 0, sent: 0, head: 5, tail: 1, desiredVersion: 0 })
  await until(
    () => acks.some(({ gateway, ack }) => gateway === 'shop-009' && ack.epoch === 'e7' && ack.sequence === 0),
    'an answer to a new shop',
  )

  await send('shop-001', 'events', Buffer.from('{{{'))
  await send('shop-001', 'events', Buffer.alloc(50 * 1024 * 1024), true)
  await send('shop-001', 'state', { online: 1 })
  await until(() => sink.status().malformed === 3, 'the garbage to be counted')

  await send('shop-001', 'events', batchOf('shop-001', 'e1', 29, 31))
  await until(() => sink.status().conflicts === 2, 'the clone to be noticed')
  t.equal(lines.filter(({ level, message }) => level === 'error' && message.includes('ALARM')).length, 2)
  await until(() => acks.at(-1)?.ack.sequence === 31, 'and the rest to be stored')
})

t.test('an operator sets a config and sends a command; a gateway that missed the config gets it with its next sync', async (t) => {
  const { port, file, client, send } = await lab(t)
  const downs: { topic: string; body: DownDesired & DownCommand }[] = []
  client.on('message', (topic, payload) => {
    if (!topic.endsWith('/dn/ack')) downs.push({ topic, body: JSON.parse(payload.toString('utf8')) as DownDesired & DownCommand })
  })
  const out: string[] = []
  const err: string[] = []
  const io = {
    out: (line: string) => void out.push(line),
    err: (line: string) => void err.push(line),
    signal: new AbortController().signal,
  }
  const broker = ['--broker', `mqtt://127.0.0.1:${port}`]
  const patch = `${file}.patch.json`
  writeFileSync(patch, '{"log":{"level":"debug"}}')
  t.equal(await hq(['desired', 'shop-001', patch, '--db', file, ...broker], io), 0)
  await until(() => downs.length === 1, 'the config')
  t.match(downs[0]?.body, { version: 1, digest: /^[0-9a-f]{64}$/, config: { log: { level: 'debug' } } })
  await send('shop-001', 'sync', { epoch: 'e1', stored: 0, sent: 0, head: 0, tail: 1, desiredVersion: 0 })
  await until(() => downs.length === 2, 'the config again')
  t.same(downs[1]?.body, downs[0]?.body)
  await send('shop-001', 'sync', { epoch: 'e1', stored: 0, sent: 0, head: 0, tail: 1, desiredVersion: 1 })

  client.on('message', (topic, payload) => {
    if (!topic.endsWith('/dn/command')) return
    const { id, command } = JSON.parse(payload.toString('utf8')) as DownCommand
    const answer = (body: object) => client.publish(topics.up('shop-001', 'result'), JSON.stringify({ id, ...body }))
    answer({ status: 'accepted' })
    answer(
      command === 'beep'
        ? { status: 'done', result: 7 }
        : { status: 'rejected', error: { code: 'command-unknown', message: 'no such command' } },
    )
  })
  t.equal(await hq(['cmd', 'shop-001', 'scanner', 'till-1', 'beep', '{"times":2}', '--json', ...broker], io), 0)
  t.match(JSON.parse(out.at(-1) ?? '{}'), { status: 'done', result: 7 })
  t.equal(await hq(['cmd', 'shop-001', 'scanner', 'till-1', 'sing', ...broker], io), 1)
  t.match(out.at(-1), /rejected: command-unknown/)
  t.equal(downs.filter(({ topic }) => topic.endsWith('/desired')).length, 2, 'the third sync needed nothing')

  t.equal(await hq(['cmd', 'shop-001', 'scanner', ...broker], io), 2)
  t.equal(await hq(['sink'], io), 2)
  t.equal(await hq(['dance'], io), 2)
  t.equal(await hq(['cmd', 'shop-001', 'scanner', 'till-1', 'beep', '--broker', `mqtt://127.0.0.1:${await freePort()}`], io), 3)
  t.match(err.at(-1), /broker-unreachable/)
})

t.test('shopwire hq sink stores until it is told to stop', async (t) => {
  const floor = new Shopfloor()
  t.teardown(() => floor.end())
  const port = await freePort()
  await floor.mosquitto(port)
  const stop = new AbortController()
  t.teardown(() => stop.abort())
  const out: string[] = []
  const io = { out: (line: string) => void out.push(line), err: () => undefined, signal: stop.signal }
  const file = join(floor.dir, 'sink.sqlite')
  const running = hq(['sink', '--broker', `mqtt://127.0.0.1:${port}`, '--db', file], io)
  await until(() => out.some((line) => line.startsWith('storing in')), 'the sink')
  const client = await floor.mqtt(port)
  await client.publishAsync(topics.up('shop-001', 'events'), JSON.stringify(batchOf('shop-001', 'e1', 1, 9)), { qos: 1 })
  const store = await openSqliteStore(file)
  await until(async () => (await store.count()).events === 9, 'the events')
  await store.close()
  stop.abort()
  t.equal(await running, 0)

  const never = new AbortController()
  const waiting = hq(['sink', '--broker', `mqtt://127.0.0.1:${await freePort()}`, '--db', file], { ...io, signal: never.signal })
  setImmediate(() => never.abort())
  t.equal(await waiting, 3)
})
