/** Events on their way to HQ over a real broker, with what fails in between. */
import { join } from 'node:path'
import t from 'tap'
import { systemClock } from '../clock.ts'
import { openJournal } from '../journal/journal.ts'
import { TcpProxy } from '../testing/tcp-proxy.ts'
import { until } from '../testing/until.ts'
import { GATEWAY, HqLab } from './hq-link.testing.ts'

t.test('what happened before the first connection arrives, in gzipped batches; a shutdown is no loss', async (t) => {
  const lab = new HqLab()
  t.teardown(() => lab.end())
  await lab.scan(730)
  await lab.broker()
  const sink = await lab.sink()
  // A slow machine is no reason to send a batch again: they are counted.
  const link = lab.start({ tuning: { progressMs: 200_000 } })
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
  const before = lab.lines.length
  await lab.stopBroker()
  for (let at = 0; at < 40; at++) await lab.scan(10)
  await until(() => link.status().attempts >= 8, 'some attempts')
  const view = lab.shop.links().find(({ name }) => name === 'hq')
  t.equal(view?.state, 'offline')
  await until(() => (lab.shop.links()[0]?.backlog ?? 0) >= 400 && lab.shop.links()[0]?.oldest !== undefined, 'the backlog to be shown')
  const about = lab.lines.filter((line) => line.includes('HQ is away'))
  t.ok(about.length <= 2, `${about.length} lines for ${link.status().attempts} attempts`)
  t.notOk(
    lab.lines.slice(before).some((line) => (JSON.parse(line) as { level: number }).level >= 40),
    'HQ away is neither an error nor a warning',
  )
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
  const lines = (words: string) => lab.lines.filter((line) => line.includes(words)).length
  t.ok(lines('not acknowledged') <= lines('connected to HQ'), 'once a connection')

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

t.test('a gateway that restarts on its journal goes on where HQ is', async (t) => {
  const lab = new HqLab()
  t.teardown(() => lab.end())
  await lab.broker()
  const sink = await lab.sink()
  const open = () =>
    openJournal({
      file: join(lab.floor.dir, 'journal.db'),
      identity: () => ({ gateway: GATEWAY, store: '0001' }),
      clock: systemClock,
      clockState: () => 'synced',
      bootId: 'boot',
      maxAgeMs: 86_400_000,
      maxBytes: 1e9,
      log: lab.log,
    })
  const events = (count: number) =>
    Array.from({ length: count }, (_, at) => ({ plugin: 'scanner', device: 'till-1', event: 'scan', data: { code: `${at}` } }))
  const store = await lab.store()
  let head = 0
  for (const count of [350, 120]) {
    const journal = await open()
    await journal.commit({ events: events(count) })
    head = journal.head
    const link = lab.start({ journal, tuning: { progressMs: 200_000 } })
    await until(() => journal.cursor('hq').position === head, 'HQ to have it')
    t.same(await store.stream(GATEWAY, journal.epoch), { gateway: GATEWAY, epoch: journal.epoch, watermark: head, highest: head })
    await link.stop()
    await journal.close()
  }
  t.match(sink.status(), { events: head, duplicates: 0, conflicts: 0 })
})
