import t from 'tap'
import { count, open } from './testing.ts'

// Most of the time is waiting for silence to be long enough: side by side.
t.jobs = 4

t.test('"connected", but nothing answers: a printer that has ever answered must', async (t) => {
  const { sim, shop } = await open(t, { holdMs: 4_000 })
  await shop.until(() => shop.state('till')?.state === 'online', 'online')
  sim.changed({ hang: true })
  await shop.until(() => shop.state('till')?.detail === 'no-answer', 'no-answer is shown')
  await t.rejects(shop.command('till', 'print', { receipt: 'into the void', jobId: 'void' }), { code: 'device-offline' })
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
