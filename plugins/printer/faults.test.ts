import t from 'tap'
import { count, open } from './testing.ts'

// Most of the time is waiting for silence to be long enough: side by side.
t.jobs = 4

/** What plugin.json gives `holdMs`. */
const HOLD_MS = 60_000

t.test('paper is out before the job: it waits, and comes out once when paper is loaded', async (t) => {
  const { sim, shop } = await open(t, {}, {}, { paperRows: 0 })
  await shop.until(() => shop.state('till')?.detail === 'paper-out', 'paper-out is shown')
  const printing = shop.command('till', 'print', { receipt: 'waits for paper' })
  await shop.until(() => [...shop.store.keys()].some((key) => key.startsWith('till/job/')), 'the job is durable')
  sim.changed({ paperRows: Number.POSITIVE_INFINITY, coverOpen: true })
  await shop.until(() => shop.state('till')?.detail === 'cover-open', 'cover-open is shown')
  sim.changed({ coverOpen: false, paperLow: true })
  t.match(await printing, { status: 'printed', paper: 'low' })
  t.equal(count(sim.text, 'waits for paper'), 1)
  t.match(shop.state('till'), { state: 'online', detail: 'paper-low' })
})

t.test('no extra receipts after paper-out: what could not start in time never comes out', async (t) => {
  const { sim, shop, time } = await open(t, {}, {}, { paperRows: 0 })
  const late = t.rejects(shop.command('till', 'print', { receipt: 'too late', jobId: 'late' }), {
    code: 'device-fault',
    message: /paper-out.*nothing will come out later/,
  })
  await shop.until(() => shop.state('till')?.detail === 'paper-out' && shop.store.has('till/job/late'), 'it waits for paper')
  time.skip(HOLD_MS)
  await late
  t.match(shop.events, [{ event: 'failed', data: { jobId: 'late', copies: 0, error: { code: 'device-fault' } } }])
  sim.changed({ paperRows: Number.POSITIVE_INFINITY })
  t.match(await shop.command('till', 'print', { receipt: 'next customer' }), { status: 'printed' })
  t.equal(count(sim.text, 'too late'), 0)
  t.equal(count(sim.text, 'next customer'), 1)
})

t.test('the drawer opens though there is no paper', async (t) => {
  const { sim, shop } = await open(t, { model: 'epson' }, {}, { paperRows: 0 })
  t.match(await shop.command('till', 'drawer'), { status: 'sent' })
  await shop.until(() => sim.kicks === 1, 'the drawer is kicked')
})

t.test('paper runs out in the middle: the printer keeps the rest, the job is printed once it is reloaded', async (t) => {
  const { sim, shop } = await open(t, {}, {}, { paperRows: 5 })
  const printing = shop.command('till', 'print', { receipt: Array.from({ length: 20 }, (_, i) => `line ${i}.`).join('\n') })
  await shop.until(() => shop.state('till')?.detail === 'paper-out', 'paper-out is shown')
  t.equal(shop.events.length, 0, 'nothing is claimed yet')
  sim.changed({ paperRows: Number.POSITIVE_INFINITY })
  t.match(await printing, { status: 'printed', copies: 1 })
  for (let i = 0; i < 20; i += 1) t.equal(count(sim.text, `line ${i}.`), 1)
})

t.test('switched off is noticed, and on again too', async (t) => {
  for (const keepOpen of [false, true]) {
    const { sim, shop } = await open(t, { keepOpen, model: 'epson' })
    await shop.until(() => shop.state('till')?.state === 'online', 'online')
    await sim.powerOff()
    await shop.until(() => shop.state('till')?.state === 'offline', 'offline')
    t.match(await shop.command('till', 'status'), { state: 'offline', paper: 'unknown' })
    const printing = shop.command('till', 'print', { receipt: 'after power came back' })
    await sim.powerOn()
    t.match(await printing, { status: 'printed' })
    t.same(shop.state('till'), { device: 'till', state: 'online' })
  }
})

t.test('"connected", but nothing answers: a printer that has ever answered must', async (t) => {
  const { sim, shop, time } = await open(t)
  await shop.until(() => shop.state('till')?.state === 'online', 'online')
  sim.changed({ hang: true })
  await shop.until(() => shop.state('till')?.detail === 'no-answer', 'no-answer is shown')
  const lost = t.rejects(shop.command('till', 'print', { receipt: 'into the void', jobId: 'void' }), { code: 'device-offline' })
  await shop.until(() => shop.store.has('till/job/void'), 'it waits for an answer')
  time.skip(HOLD_MS)
  await lost
  sim.changed({ hang: false })
  t.match(await shop.command('till', 'print', { receipt: 'back' }), { status: 'printed' })
  t.equal(count(sim.text, 'into the void'), 0)
})

t.test('a printer without status: "sent", never "printed"', async (t) => {
  for (const [config, faults] of [
    [{ statusMode: 'none' }, { mute: true }],
    [{ statusMode: 'auto' }, { mute: true }],
  ] as const) {
    const { sim, shop } = await open(t, config, {}, faults)
    t.match(await shop.command('till', 'print', { receipt: 'hello', copies: 2 }), { status: 'sent', copies: 2, paper: 'unknown' })
    await shop.until(() => sim.receipts.length === 2, 'it is on paper')
    t.match(shop.events, [{ event: 'sent', data: { copies: 2 } }])
    t.match(shop.state('till'), { state: 'online', detail: 'no-status' })
  }
  const { shop } = await open(t, { statusMode: 'required', holdMs: 500 }, {}, { mute: true })
  await t.rejects(shop.command('till', 'print', { receipt: 'hello' }), { code: 'device-offline' })
})

t.test('rubbish instead of a status (a wrong baud rate): nothing is sent', async (t) => {
  const { sim, shop } = await open(t, { holdMs: 500 }, {}, { garbage: 0xff })
  await t.rejects(shop.command('till', 'print', { receipt: 'hello' }), { code: 'device-fault', message: /bad-status/ })
  t.equal(sim.text, '')
})

t.test('a printer that knows no GS r: sent, and its next jobs need not wait long', async (t) => {
  const { sim, shop } = await open(t, {}, {}, { noMarks: true })
  shop.store.set('till/abilities', { status: 'yes', marks: 'no' })
  await shop.configure({ devices: { till: { port: sim.address, pollMs: 1_500 } } })
  t.match(await shop.command('till', 'print', { receipt: 'hello' }), { status: 'sent', copies: 1 })
  t.equal(count(sim.text, 'hello'), 1)
})
