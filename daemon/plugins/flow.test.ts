import t from 'tap'
import { systemClock } from '../clock.ts'
import type { JsonObject } from '../contract/json.ts'
import { PluginLab } from '../testing/plugin-lab.ts'

const TILLS = { tills: { devices: { one: { port: 'a' } } } }

t.test('a disk slower than a plugin: no emit is answered early, nothing grows without bound, all of it arrives in order', async (t) => {
  const lab = await PluginLab.start({ plugins: ['lab'] })
  t.teardown(() => lab.stop())
  lab.journal.block()
  let answered = false
  const emitting = lab.lab('emit', { count: 20_000 }).finally(() => {
    answered = true
  })
  await lab.until(() => lab.journal.stats().pending >= 2, 'the first batches')
  t.match(await lab.lab('info'), { version: '1.0.0' }, 'it is alive meanwhile')
  t.equal(answered, false)
  t.ok(lab.journal.stats().pending <= 12, `${lab.journal.stats().pending} batches wait in the daemon, the rest in the plugin`)
  lab.journal.unblock()
  const { sequences } = await emitting
  t.equal((sequences as number[]).length, 20_000)
  const stored = lab.events('lab.measured').map((one) => Number(one.data.n))
  t.ok(stored.length === 20_000 && stored.every((n, at) => n === at), 'each once, in order')
  const largest = Math.max(...lab.journal.commits.map((one) => one.events?.length ?? 0))
  t.ok(largest <= 500 && largest >= 50, `gathered into commits of up to ${largest}`)
})

t.test('60,000 events at once: what does not fit is refused, what was taken is stored', async (t) => {
  const lab = await PluginLab.start({ plugins: ['lab'] })
  t.teardown(() => lab.stop())
  lab.journal.block()
  const emitting = lab.lab('emit', { count: 60_000 })
  await lab.until(() => lab.journal.stats().pending >= 2, 'the first batches')
  lab.journal.unblock()
  const { sequences, codes } = (await emitting) as { sequences: number[]; codes: string[] }
  t.equal(sequences.length, 50_000)
  t.same([...new Set(codes)], ['queue-full'])
  t.equal(lab.events('lab.measured').length, 50_000)
})

t.test("one bad event is that event's fault alone; secrets are masked; bulk is told", async (t) => {
  const lab = await PluginLab.start({ plugins: ['lab'] })
  t.teardown(() => lab.stop())
  const emit = (data: JsonObject, event = 'measured') => lab.lab('emit', { count: 1, event, data })
  t.match(await emit({ n: 'one' }), { codes: ['event-invalid'] })
  t.match(await emit({ n: 1, more: true }), { codes: ['event-invalid'] })
  t.match(await emit({}, 'undeclared'), { codes: ['event-invalid'] })
  t.match(await emit({ n: 1, text: 'x'.repeat(300_000) }), { codes: ['event-invalid'] })
  const [good, bad] = await Promise.all([lab.lab('emit', { count: 5 }), emit({ n: 'two' })])
  t.match([(good.sequences as number[]).length, bad.codes], [5, ['event-invalid']], 'in one batch, too')
  await emit({ n: 2, code: '284712345678901234' })
  t.equal(lab.events('lab.measured').at(-1)?.data.code, '28************1234')
  await emit({ rssi: -60 }, 'noise')
  t.equal(lab.journal.events.find((one) => one.event === 'noise')?.bulk, true)
  lab.journal.break('journal-full')
  t.match(await emit({ n: 3 }), { codes: ['journal-full'] }, 'the plugin hears it and decides')
  lab.journal.mend()
  t.match(await emit({ n: 3 }), { codes: [] })
})

t.test('what others emit reaches a subscriber in order, across a crash, once it is allowed', async (t) => {
  const lab = await PluginLab.start({ plugins: ['lab', 'tills'], sections: { ...TILLS, lab: { listen: false } } })
  t.teardown(() => lab.stop())
  const ring = (n: number) => lab.command('tills', 'one', 'ring', { n })
  for (const n of [1, 2, 3]) await ring(n)
  await lab.plugins.configure({ ...TILLS, lab: { listen: true } })
  for (const n of [4, 5, 6]) await ring(n)
  const heard = () => lab.events('lab.measured').map((one) => Number(one.data.n))
  await lab.until(() => heard().includes(6), 'the last one')
  t.same(heard(), [4, 5, 6], 'what was before its time is not news')
  await t.rejects(lab.lab('crash', { how: 'segv' }))
  for (const n of [7, 8]) await ring(n)
  await lab.until(() => heard().includes(8), 'what was missed')
  t.same([...new Set(heard())], [4, 5, 6, 7, 8])
  await lab.plugins.reload('lab')
  await ring(9)
  await lab.until(() => heard().includes(9), 'after a reload')
  t.same(heard().slice(-1), [9])
})

t.test('device states: shown at once, journaled as bulk when they are news, a flapping one not for ever', async (t) => {
  // All of it happens within one window of ten seconds, however long it takes.
  const now = systemClock.mono()
  const lab = await PluginLab.start({ plugins: ['lab'], clock: { ...systemClock, mono: () => now } })
  t.teardown(() => lab.stop())
  const say = (state: JsonObject, device = 'p-1') => lab.lab('state', { device, state })
  await say({ state: 'fault', detail: 'paper-out' })
  await say({ state: 'fault', detail: 'paper-out' })
  await lab.until(() => lab.shop.device('lab', 'p-1')?.detail === 'paper-out', 'it is shown')
  await say({ state: 'online' })
  await lab.until(() => lab.events('lab.device').filter((one) => one.source.endsWith('/p-1')).length === 2, 'both are journaled')
  t.match(
    lab
      .events('lab.device')
      .filter((one) => one.source.endsWith('/p-1'))
      .map((one) => one.data),
    [{ state: 'fault', detail: 'paper-out' }, { state: 'online' }],
  )
  t.ok(lab.journal.events.filter((one) => one.event === 'device').every((one) => one.bulk))
  for (let n = 0; n < 100; n++) await say({ state: n % 2 === 0 ? 'offline' : 'online', detail: `flap ${n}` }, 'p-2')
  await lab.until(() => lab.shop.device('lab', 'p-2')?.detail === 'flap 99', 'the last one is shown')
  t.ok(lab.events('lab.device').filter((one) => one.source.endsWith('/p-2')).length <= 40)
  await say({ state: 'broken' } as unknown as JsonObject, 'p-3')
  await say({ state: 'online' }, '../../p')
  await lab.lab('info')
  t.equal(lab.shop.device('lab', 'p-3'), undefined)
  await lab.plugins.reload('lab')
  t.match(lab.shop.device('lab', 'p-1'), { state: 'offline', detail: 'plugin-stopped' }, 'what nobody speaks for is not online')
  t.match(lab.shop.device('lab', '-'), { state: 'online' })
})
