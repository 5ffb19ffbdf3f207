/** Brokers that forget, wills that come late, an HQ that is wrong: what the link makes of it. */
import t from 'tap'
import { hq as topics } from '../contract/topics.ts'
import type { UpEvents, UpState } from '../contract/uplink.ts'
import { TcpProxy } from '../testing/tcp-proxy.ts'
import { until } from '../testing/until.ts'
import { GATEWAY, HqLab } from './hq-link.testing.ts'

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
  const store = await lab.store()
  await until(async () => (await store.view(GATEWAY, 'state'))?.session === second, 'the sink to know')
  t.equal((await store.view(GATEWAY, 'state'))?.online, true)
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
  for (const [at, ack] of (['another-epoch', 'above', 'never'] as const).entries()) {
    hq.faults.ack = ack
    await lab.scan(20)
    await until(() => hq.watermark === 560 + 20 * at, `what is acknowledged wrongly: ${ack}`)
  }
  t.equal(lab.journal.cursor('hq').position, 540, 'nothing was acknowledged in a way that counts')
  hq.faults.ack = 'twice'
  hq.acknowledge(GATEWAY)
  await until(() => lab.journal.cursor('hq').position === 600, 'a proper ack')
  const lines = (words: string) => lab.lines.filter((line) => line.includes(words)).length
  t.ok(lines('acknowledged another epoch') <= lines('connected to HQ'), 'once a connection')
})

t.test('HQ is restored from last night’s backup: the shop sends what is missing, and says what it no longer has', async (t) => {
  const lab = new HqLab()
  t.teardown(() => lab.end())
  await lab.broker()
  const hq = await lab.fakeHq()
  // Nothing is sent a second time while HQ is restored: what is under way then would fill the hole.
  lab.start({ tuning: { syncMinMs: 300, syncMaxMs: 500, progressMs: 200_000 } })
  await lab.scan(500)
  await until(() => lab.journal.cursor('hq').position === 500, 'all to be stored')
  hq.restore(120)
  lab.journal.drop(200)
  await until(() => hq.watermark === 500, 'HQ to be whole again')
  t.equal([...hq.events.keys()].filter((sequence) => sequence > 200).length, 300)
  // Told once or, where HQ is slow and asked again, twice; but never another hole.
  const holes = hq.of<UpEvents>('events').flatMap(({ dropped }) => dropped ?? [])
  t.same([...new Set(holes.map((hole) => JSON.stringify(hole)))], ['{"from":121,"to":200}'])
})
