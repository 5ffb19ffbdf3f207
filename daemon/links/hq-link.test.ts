/** Events on their way to HQ over a real broker, with what fails in between. */
import t from 'tap'
import { hq as topics } from '../contract/topics.ts'
import type { UpEvents, UpState } from '../contract/uplink.ts'
import { until } from '../testing/processes.ts'
import { TcpProxy } from '../testing/tcp-proxy.ts'
import { GATEWAY, HqLab } from './hq-lab.ts'

t.test('what happened before the first connection arrives, in gzipped batches; a shutdown is no loss', async (t) => {
  const lab = new HqLab()
  t.teardown(() => lab.end())
  await lab.scan(730)
  await lab.broker()
  const sink = await lab.sink()
  const link = lab.start()
  await lab.complete(t)
  const { batches, events, bytes } = link.status()
  t.equal(events, 730)
  t.equal(batches, 8)
  t.ok(bytes < 730 * 100, `${bytes} bytes on the wire`)
  const store = await lab.store()
  await until(async () => (await store.view(GATEWAY, 'state'))?.online === true, 'the birth')
  await until(async () => (await store.view(GATEWAY, 'info')) !== undefined, 'up/info')
  const session = (await store.view(GATEWAY, 'state'))?.session
  const view = lab.shop.links().find(({ name }) => name === 'hq')
  t.match(view, { state: 'online', detail: `mqtt://127.0.0.1:${lab.port}` })
  await until(() => lab.shop.links().find(({ name }) => name === 'hq')?.backlog === 0, 'staff to see that all is sent')
  await link.stop()
  await until(async () => (await store.view(GATEWAY, 'state'))?.online === false, 'the goodbye')
  t.equal((await store.view(GATEWAY, 'state'))?.session, session)
  t.equal(sink.status().lateWills, 0)
})

t.test('HQ is away while the shop works: nothing is lost, the log stays quiet, staff see since when', async (t) => {
  const lab = new HqLab()
  t.teardown(() => lab.end())
  await lab.broker()
  await lab.sink()
  const link = lab.start()
  await lab.scan(5)
  await lab.complete(t)
  await lab.stopBroker()
  for (let at = 0; at < 40; at++) await lab.scan(10)
  await until(() => link.status().attempts >= 8, 'some attempts')
  const view = lab.shop.links().find(({ name }) => name === 'hq')
  t.equal(view?.state, 'offline')
  await until(() => (lab.shop.links()[0]?.backlog ?? 0) >= 400 && lab.shop.links()[0]?.oldest !== undefined, 'the backlog to be shown')
  const about = lab.lines.filter((line) => line.includes('HQ is away'))
  t.ok(about.length <= 2, `${about.length} lines for ${link.status().attempts} attempts`)
  t.notOk(lab.lines.some((line) => JSON.parse(line).level >= 50, 'HQ away is no error'))
  await lab.broker()
  await lab.complete(t)
  await until(() => lab.lines.some((line) => line.includes('connected to HQ') && !line.includes('"offlineSeconds":0')), 'to say it is back')
})

t.test('a flapping line: cut, dead without a word, slow; each event is at HQ once', async (t) => {
  const lab = new HqLab()
  t.teardown(() => lab.end())
  await lab.broker()
  await lab.sink()
  const proxy = await TcpProxy.open(lab.port)
  t.teardown(() => proxy.close())
  lab.start({ port: proxy.port })
  for (let round = 0; round < 8; round++) {
    await lab.scan(150)
    await lab.online()
    await lab.scan(60)
    if (round % 3 === 0) proxy.cut()
    else if (round % 3 === 1) {
      await proxy.refuse()
      await lab.scan(20)
      await proxy.listen()
    } else {
      proxy.stall()
      await lab.scan(20)
      proxy.cut()
      proxy.resume()
    }
  }
  await lab.complete(t)
})

t.test('a broker that acknowledges while no sink is there: nothing counts as stored, all of it comes later', async (t) => {
  const lab = new HqLab()
  t.teardown(() => lab.end())
  await lab.broker()
  const link = lab.start()
  await lab.online()
  await lab.scan(400)
  await until(() => link.status().resends >= 1, 'to notice the silence')
  t.equal(lab.journal.cursor('hq').position, 0)
  t.equal(link.status().backlog, 400)
  await lab.sink()
  await lab.complete(t)
  t.ok(lab.lines.filter((line) => line.includes('not acknowledged')).length <= 1)

  await lab.stopSink()
  await lab.scan(300)
  await until(() => link.status().sent > 400, 'it to be sent into the void')
  t.equal(lab.journal.cursor('hq').position, 400)
  await lab.sink()
  await lab.complete(t)
})

t.test('with ack: broker, PUBACK is enough', async (t) => {
  const lab = new HqLab()
  t.teardown(() => lab.end())
  await lab.broker()
  lab.start({ config: { ack: 'broker' } })
  await lab.scan(250)
  await until(() => lab.journal.cursor('hq').position === 250, 'the cursor')
})

t.test('a connection that is dropped as soon as it is made is not hammered', async (t) => {
  const lab = new HqLab()
  t.teardown(() => lab.end())
  await lab.broker()
  const proxy = await TcpProxy.open(lab.port)
  t.teardown(() => proxy.close())
  proxy.mode = 'drop'
  const link = lab.start({ port: proxy.port, tuning: { backoffMinMs: 20, backoffMaxMs: 5_000 } })
  const started = performance.now()
  await until(() => proxy.connections >= 5, 'five attempts')
  const took = performance.now() - started
  // Five attempts wait at least 20 + 40 + 80 + 160 ms between them; without backoff it would be nothing at all.
  t.ok(took >= 280, `${Math.round(took)} ms`)
  t.ok(link.status().attempts >= 4)
  proxy.mode = 'pass'
  await lab.online()
})

t.test('a will that comes late does not make HQ believe in a loss, and the retained state is mended', async (t) => {
  const lab = new HqLab()
  t.teardown(() => lab.end())
  await lab.broker()
  const sink = await lab.sink()
  const watcher = await lab.floor.mqtt(lab.port)
  let retained: UpState | undefined
  watcher.on('message', (_topic, payload) => {
    retained = JSON.parse(payload.toString('utf8')) as UpState
  })
  await watcher.subscribeAsync(topics.up(GATEWAY, 'state'), { qos: 1 })

  const proxy = await TcpProxy.open(lab.port)
  t.teardown(() => proxy.close())
  lab.start({ port: proxy.port, tuning: { syncMinMs: 700, syncMaxMs: 900 } })
  await until(() => retained?.online === true, 'the first birth')
  const first = retained?.session
  // The shop's side of the connection dies; the broker finds out when the gateway is back: the old will is sent around the new birth.
  proxy.abandon()
  await until(() => retained?.online === true && retained.session !== first, 'the second birth')
  const second = retained?.session
  // A clustered broker may send it even later.
  watcher.publish(topics.up(GATEWAY, 'state'), JSON.stringify({ ...retained, online: false, session: first }), { qos: 1, retain: true })
  await until(() => sink.status().lateWills > 0, 'the late will')
  t.match(await (await lab.store()).view(GATEWAY, 'state'), { online: true, session: second })
  await until(() => retained?.online === true && retained.session === second, 'the retained state to be mended')
})

t.test('a broker that forgot everything in a restart learns who is online', async (t) => {
  const lab = new HqLab()
  t.teardown(() => lab.end())
  await lab.broker()
  lab.start()
  await lab.online()
  await lab.stopBroker()
  await lab.broker()
  const watcher = await lab.floor.mqtt(lab.port)
  let retained: UpState | undefined
  watcher.on('message', (_topic, payload) => {
    retained = JSON.parse(payload.toString('utf8')) as UpState
  })
  await watcher.subscribeAsync(topics.up(GATEWAY, 'state'), { qos: 1 })
  await until(() => retained?.online === true, 'the state to be there again')
  t.equal(retained?.epoch, lab.journal.epoch)
})

t.test('lost batches, acks of another epoch, acks too high: all arrives, nothing is believed that cannot be', async (t) => {
  const lab = new HqLab()
  t.teardown(() => lab.end())
  await lab.broker()
  const hq = await lab.fakeHq()
  hq.faults.loseBatches = 2
  const link = lab.start()
  await lab.online()
  for (let at = 0; at < 6; at++) await lab.scan(90)
  await until(() => hq.watermark === 540, 'the lost batches to be sent again')
  t.ok(link.status().resends >= 1)
  t.same(hq.clashes, [])
  t.ok(hq.messages.some(({ kind, packed }) => kind === 'events' && packed))

  await until(() => lab.journal.cursor('hq').position === 540, 'the cursor')
  for (const ack of ['another-epoch', 'above', 'never'] as const) {
    hq.faults.ack = ack
    await lab.scan(20)
  }
  await until(() => hq.watermark === 600, 'all of it')
  t.equal(lab.journal.cursor('hq').position, 540, 'nothing was acknowledged in a way that counts')
  hq.faults.ack = 'twice'
  hq.acknowledge(GATEWAY)
  await until(() => lab.journal.cursor('hq').position === 600, 'a proper ack')
  t.ok(lab.lines.filter((line) => line.includes('acknowledged another epoch')).length <= 1)
})

t.test('HQ is restored from last night’s backup: the shop sends what is missing, and says what it no longer has', async (t) => {
  const lab = new HqLab()
  t.teardown(() => lab.end())
  await lab.broker()
  const hq = await lab.fakeHq()
  lab.start({ tuning: { syncMinMs: 300, syncMaxMs: 500 } })
  await lab.scan(500)
  await until(() => lab.journal.cursor('hq').position === 500, 'all to be stored')
  hq.restore(120)
  lab.journal.drop(200)
  await until(() => hq.watermark === 500, 'HQ to be whole again')
  t.equal([...hq.events.keys()].filter((sequence) => sequence > 200).length, 300)
  const holes = hq.of<UpEvents>('events').flatMap(({ dropped }) => dropped ?? [])
  t.same(holes, [{ from: 121, to: 200 }])
})
