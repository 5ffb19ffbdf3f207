import { readFile } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import t from 'tap'
import type { JsonObject } from '../../daemon/contract/json.ts'
import { PluginHarness } from '../../daemon/testing/plugin-harness.ts'
import start from './plugin.ts'
import { ESCPOS } from './protocol/escpos.ts'
import { count, manifestUrl, open, settled } from './testing.ts'

t.test('a till prints a receipt: confirmed by the printer, journaled, shown', async (t) => {
  const { sim, shop } = await open(t)
  const result = await shop.command(
    'till',
    'print',
    { receipt: '^^^晨光便利店\n苹果 Apple|¥12.50\n{code:abc;option:qrcode}', drawer: true, copies: 2 },
    'sale-1',
  )
  t.same(result, { jobId: 'sale-1', status: 'printed', copies: 2, paper: 'ok' })
  t.equal(count(sim.text, '晨光便利店'), 2)
  t.equal(sim.receipts.length, 2, 'each copy is cut off')
  t.equal(sim.kicks, 1, 'the drawer opens once')
  t.match(shop.events, [{ device: 'till', event: 'printed', data: { jobId: 'sale-1', copies: 2, paper: 'ok' } }])
  t.same(shop.state('till'), { device: 'till', state: 'online' })

  t.match(await shop.command('till', 'status'), { state: 'online', paper: 'ok', waiting: 0 })
  t.match(await shop.command('till', 'jobs'), { waiting: 0, jobs: [{ jobId: 'sale-1', status: 'printed', copiesDone: 2 }] })
  t.match(await shop.command('till', 'preview', { jobId: 'sale-1' }), { svg: /^<svg .*晨光便利店/s })
  t.match(await shop.command('till', 'preview', { receipt: 'Tea|3.00', format: 'text' }), { text: /Tea 3\.00/ })

  t.same(
    await shop.command('till', 'print', {
      receipt: '^^^晨光便利店\n苹果 Apple|¥12.50\n{code:abc;option:qrcode}',
      drawer: true,
      copies: 2,
      jobId: 'sale-1',
    }),
    result,
  )
  t.equal(sim.receipts.length, 2, 'the same job again gives the first outcome, not another print')
  await t.rejects(shop.command('till', 'print', { receipt: 'other', jobId: 'sale-1' }), { code: 'command-id-reused' })

  await shop.command('till', 'test')
  t.match(sim.receipts.at(-1), /打印测试[\s\S]*tcp:\/\/127\.0\.0\.1[\s\S]*gb18030/)
  await shop.command('till', 'feed', { lines: 2 })
  await shop.command('till', 'cut')
  await shop.command('till', 'drawer')
  t.equal(sim.kicks, 2)
  t.equal(shop.events.filter((one) => one.event === 'printed').length, 2, 'a kick or a cut is no print')
})

t.test('raw bytes go through as they are, questions inside them do not deceive', async (t) => {
  const { sim, shop } = await open(t, {}, { linesPerSecond: 400 })
  const raw = Buffer.concat([ESCPOS.mark, ESCPOS.askStatus(4), Buffer.from('from the till\n'.repeat(60)), ESCPOS.mark])
  t.match(await shop.command('till', 'print', { raw: raw.toString('base64'), cut: true }), { status: 'printed' })
  t.equal(count(sim.text, 'from the till'), 60, 'all of it is on paper when "printed" is said')
  t.equal(sim.receipts.length, 1)
  await t.rejects(shop.command('till', 'print', { raw: 'not base64!' }), { code: 'args-invalid' })
  await t.rejects(shop.command('till', 'print', { raw: 'A'.repeat(66_666_668) }), { code: 'payload-too-large' }, '50 MB')
  await t.rejects(shop.command('till', 'print', { receipt: 'x'.repeat(300_000) }), { code: 'payload-too-large' })
  await t.rejects(shop.command('till', 'print', { receipt: 'Tea {hot' }), { code: 'args-invalid', message: /line 1.*braces/ })
  await t.rejects(shop.command('till', 'print', {}), { code: 'args-invalid' })
  await t.rejects(shop.command('till', 'print', { receipt: 'a', raw: 'YQ==' }), { code: 'args-invalid' })
  await t.rejects(shop.command('till', 'print', { receipt: 'a', copies: 21 }), { code: 'args-invalid' })
  await t.rejects(shop.command('till', 'print', { reprint: 'nobody' }), { code: 'job-unknown' })
  t.match(await shop.command('till', 'print', { receipt: 'Tea 🍵' }), { status: 'printed', warnings: [/🍵/] })
  t.match(await shop.command('till', 'status'), { state: 'online' }, 'nothing of that disturbed it')
})

/** Tries until no other client is in the way, as a till does. */
async function takePort(port: number): Promise<Socket> {
  for (;;) {
    const socket = connect(port, '127.0.0.1')
    socket.on('error', () => {})
    const held = await new Promise<boolean>((resolve) => {
      socket.once('close', () => resolve(false))
      // Being answered is the proof that it is our turn.
      socket.once('data', () => resolve(true))
      socket.write(ESCPOS.askStatus(1))
    })
    if (held) return socket
  }
}

t.test('port 9100 is taken by another till: the job waits its turn', async (t) => {
  for (const second of ['refuse', 'wait'] as const) {
    const { sim, shop } = await open(t, { pollMs: 60_000, statusMode: 'required' }, { second })
    await shop.until(() => shop.state('till')?.state === 'online', 'online')
    const other = await takePort(Number(sim.address.split(':').at(-1)))
    const printing = shop.command('till', 'print', { receipt: 'my turn' })
    await shop.until(() => [...shop.store.keys()].some((key) => key.startsWith('till/job/')), 'the job is queued')
    other.destroy()
    t.match(await printing, { status: 'printed' }, second)
    t.equal(count(sim.text, 'my turn'), 1)
  }
})

t.test('a queue: in order, a queued job can be cancelled, one that is out cannot', async (t) => {
  const { sim, shop } = await open(t, {}, {}, { coverOpen: true })
  await shop.until(() => shop.state('till')?.detail === 'cover-open', 'cover-open')
  const printing = ['a', 'b', 'c'].map((name) => settled(shop.command('till', 'print', { receipt: `job ${name}.`, jobId: name })))
  await shop.until(() => shop.store.has('till/job/c'), 'all are durable')
  t.match(await shop.command('till', 'jobs'), { waiting: 3, jobs: [{ jobId: 'c' }, { jobId: 'b' }, { jobId: 'a' }] })
  t.match(await shop.command('till', 'cancel', { jobId: 'b' }), { status: 'cancelled' })
  await t.rejects(shop.command('till', 'print', { reprint: 'a' }), { code: 'args-invalid' }, 'nothing to reprint yet')
  sim.changed({ coverOpen: false })
  t.match(await Promise.all(printing), [{ status: 'printed' }, { code: 'job-cancelled' }, { status: 'printed' }])
  t.match(sim.text, /job a\.[\s\S]*job c\./)
  t.equal(count(sim.text, 'job b.'), 0)
  await t.rejects(shop.command('till', 'cancel', { jobId: 'a' }), { code: 'device-unsupported' })
  await t.rejects(shop.command('till', 'cancel', { jobId: 'zzz' }), { code: 'job-unknown' })
})

t.test('bad configuration is refused, with what is allowed', async (t) => {
  for (const wrong of [
    { port: 'ftp://x' },
    { port: 'tcp://' },
    { port: '/dev/x', width: 5 },
    { port: '/dev/x', encoding: 'utf8' },
    { port: '/dev/x', paper: 1 },
    {},
  ])
    await t.rejects(PluginHarness.start({ start, manifestUrl, config: { devices: { till: wrong as JsonObject } } }), {
      code: 'config-invalid',
    })
  const manifest = JSON.parse(await readFile(new URL('plugin.json', manifestUrl), 'utf8')) as { match: unknown[] }
  t.ok(manifest.match.length > 5)
})
