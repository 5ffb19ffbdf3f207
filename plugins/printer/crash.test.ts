import t from 'tap'
import type { JsonObject } from '../../daemon/contract/json.ts'
import { systemTime } from './simulator-time.ts'
import { count, open, settled } from './testing.ts'

// Most of the time is waiting for silence to be long enough: side by side.
t.jobs = 4

t.test('the line is cut in the middle: unknown, never sent again by itself, reprinted only when asked and marked', async (t) => {
  for (const cutLineAfter of [30, 120, 220]) {
    const { sim, shop } = await open(t)
    await shop.command('till', 'status')
    sim.changed({ cutLineAfter })
    const failure = (await settled(shop.command('till', 'print', { receipt: 'Sale 42\n'.repeat(4), jobId: 'sale-42' }))) as { code: string }
    t.equal(failure.code, 'job-uncertain', `cut after ${cutLineAfter} bytes`)
    t.match(shop.events, [{ event: 'failed', data: { jobId: 'sale-42', error: { code: 'job-uncertain' } } }])
    const onPaper = count(sim.text, 'Sale 42')
    t.match(await shop.command('till', 'print', { receipt: 'next sale' }), { status: 'printed' })
    t.ok(count(sim.text, 'Sale 42') <= 4 && count(sim.text, 'Sale 42') >= onPaper, 'at most one print of it')
    t.match(await shop.command('till', 'print', { reprint: 'sale-42' }, 'again'), {
      jobId: 'again',
      status: 'printed',
      reprintOf: 'sale-42',
    })
    t.match(sim.receipts.at(-1), /重印 \/ REPRINT\n\s+sale-42\n\s+\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\n[\s\S]*Sale 42/)
    t.match(
      await shop.command('till', 'print', { reprint: 'again' }, 'once-more'),
      { reprintOf: 'sale-42' },
      'a reprint of a reprint names the original',
    )
  }
})

t.test('cut in the middle of an image: the next receipt still comes out whole', async (t) => {
  for (const model of ['epson', 'generic']) {
    const { sim, shop } = await open(t, { model })
    await shop.command('till', 'print', { receipt: 'first' })
    const raster = Buffer.concat([Buffer.from('1d76300048002c01', 'hex'), Buffer.alloc(0x48 * 0x12c, 0x55)])
    sim.changed({ cutLineAfter: 4_000 })
    await t.rejects(shop.command('till', 'print', { raw: raster.toString('base64') }), { code: 'job-uncertain' })
    t.match(await shop.command('till', 'print', { receipt: 'whole and readable' }), { status: 'printed' }, model)
    t.match(sim.text, /whole and readable/)
  }
})

t.test('the gateway dies at every step of a job: at most one unmarked print, and the outcome is told after', async (t) => {
  for (const stage of ['job/', 'progress/']) {
    const { sim, shop, crash, restart } = await open(t, {}, { linesPerSecond: 20 })
    await shop.command('till', 'status')
    if (stage === 'job/') sim.changed({ coverOpen: true })
    const printing = settled(shop.command('till', 'print', { receipt: 'Sale 7\n'.repeat(30), jobId: 'sale-7' }))
    await shop.until(() => [...shop.store.keys()].some((key) => key.startsWith(`till/${stage}`)), `${stage} is durable`)
    const durable = await crash()
    await printing
    sim.changed({ coverOpen: false })
    const after = await restart(durable)
    await after.until(() => after.events.length > 0, 'the outcome is told')
    const [told] = after.events
    if (stage === 'job/') t.equal(told?.event, 'printed', 'a job of which nothing was sent is printed after the restart')
    else
      t.match(told, { event: 'failed', data: { jobId: 'sale-7', error: { code: 'job-uncertain' } } }, 'one that was being sent is unknown')
    await after.command('till', 'print', { receipt: 'next' })
    t.ok(count(sim.text, 'Sale 7') <= 30, 'at most once on paper')
    if (stage === 'job/') t.equal(count(sim.text, 'Sale 7'), 30)
    await t.rejects(
      stage === 'job/'
        ? Promise.reject(new Error('printed'))
        : after.command('till', 'print', { receipt: 'Sale 7\n'.repeat(30), jobId: 'sale-7' }),
    )
  }
})

t.test('printed and told are one commit: dead before it, the job is unknown; dead after it, nothing is told again', async (t) => {
  const { sim, shop, crash, restart } = await open(t)
  shop.hold()
  const printing = settled(shop.command('till', 'print', { receipt: 'Sale 8', jobId: 'sale-8' }))
  await shop.until(() => sim.receipts.length === 1, 'it is on paper')
  const before = await crash()
  t.match(before.get('till/progress/sale-8'), { phase: 'sending' }, 'nobody says "printed" before the journal does')
  t.same(shop.events, [])
  shop.resume()
  await printing

  const unknown = await restart(before)
  await unknown.until(() => unknown.events.length === 1, 'it is told')
  t.match(unknown.events, [{ event: 'failed', data: { jobId: 'sale-8', error: { code: 'job-uncertain' } } }])
  await t.rejects(unknown.command('till', 'print', { receipt: 'Sale 8', jobId: 'sale-8' }), { code: 'job-uncertain' })
  t.equal(count(sim.text, 'Sale 8'), 1, 'and it is not printed again by itself')

  await unknown.command('till', 'print', { receipt: 'Sale 9', jobId: 'sale-9' })
  const after = structuredClone(unknown.store)
  t.match(after.get('till/progress/sale-9'), { phase: 'printed', announced: true })
  await unknown.stop()
  const again = await restart(after)
  t.match(await again.command('till', 'print', { receipt: 'Sale 9', jobId: 'sale-9' }), { status: 'printed' })
  t.same(again.events, [], 'what was told is not told again')
  t.equal(count(sim.text, 'Sale 9'), 1)
})

t.test('of a version that recorded first and told after: what it had left to tell is told', async (t) => {
  const { sim, shop, restart } = await open(t)
  await shop.command('till', 'print', { receipt: 'Sale 10', jobId: 'sale-10' })
  const left = structuredClone(shop.store)
  const { announced: _, ...progress } = left.get('till/progress/sale-10') as JsonObject
  left.set('till/progress/sale-10', progress)
  await shop.stop()
  const after = await restart(left)
  await after.until(() => after.events.length === 1, 'it is told')
  t.match(after.events, [{ event: 'printed', data: { jobId: 'sale-10' } }])
  t.match(after.store.get('till/progress/sale-10'), { announced: true })
  t.equal(count(sim.text, 'Sale 10'), 1)
})

t.test('a job that waited through a night with the power off is not printed in the morning', async (t) => {
  const { sim, shop, crash, restart } = await open(t, {}, {}, { coverOpen: true })
  const printing = settled(shop.command('till', 'print', { receipt: 'yesterday', jobId: 'old' }))
  await shop.until(() => shop.store.has('till/job/old'), 'the job is durable')
  const durable = await crash()
  await printing
  const job = durable.get('till/job/old') as JsonObject
  durable.set('till/job/old', { ...job, createdAt: new Date(Date.now() - 10 * 3_600_000).toISOString() })
  sim.changed({ coverOpen: false })
  const after = await restart(durable)
  await after.until(() => after.events.length === 1, 'it is told')
  t.match(after.events, [{ event: 'failed', data: { jobId: 'old', error: { code: 'command-expired' } } }])
  await after.command('till', 'print', { receipt: 'today' })
  t.equal(count(sim.text, 'yesterday'), 0)
})

t.test('the power fails in the middle of a job', async (t) => {
  const { sim, shop } = await open(t)
  await shop.command('till', 'status')
  sim.changed({ dieAfter: 300 })
  await t.rejects(shop.command('till', 'print', { receipt: 'half\n'.repeat(20), jobId: 'half' }), { code: 'job-uncertain' })
  await sim.powerOn()
  t.match(await shop.command('till', 'print', { receipt: 'whole' }), { status: 'printed' })
  t.ok(count(sim.text, 'half') < 20)
})

t.test('stopped for a reload: the receipt in hand comes out and is told, the queued one after; the line is let go at once', async (t) => {
  let goOn = (): void => {}
  const held = new Promise<void>((resolve) => {
    goOn = resolve
  })
  const { sim, shop, restart } = await open(t, {}, { linesPerSecond: 30, time: { ...systemTime, sleep: () => held } })
  await shop.command('till', 'status')
  const first = shop.command('till', 'print', { receipt: 'in hand\n'.repeat(15), jobId: 'in-hand' })
  const second = settled(shop.command('till', 'print', { receipt: 'queued', jobId: 'queued' }))
  await shop.until(() => sim.text.includes('in hand') && shop.store.has('till/job/queued'), 'one is printing, one waits')
  const stopped = shop.stop()
  goOn()
  await stopped
  t.match(await first, { status: 'printed' })
  t.match(await second, { code: 'stopping' })
  await shop.until(() => !sim.busy, 'the line is free')
  const after = await restart(structuredClone(shop.store))
  await after.until(() => after.events.length === 1, 'the queued one is told')
  t.match(after.events, [{ event: 'printed', data: { jobId: 'queued' } }])
  t.equal(count(sim.text, 'in hand'), 15)

  for (let times = 0; times < 10; times += 1) {
    // Stopped at whatever it was about to do.
    const one = await restart(new Map())
    const printing = settled(one.command('till', 'print', { receipt: 'short' }))
    await one.stop()
    await printing
    await shop.until(() => !sim.busy, `stopped and gone, time ${times}`)
  }
})
