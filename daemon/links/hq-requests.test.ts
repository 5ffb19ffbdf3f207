/** A plugin asks HQ something that must not be journaled: a charge, a coupon, a text message. */
import t from 'tap'
import { hq as topics } from '../contract/topics.ts'
import type { UpRequest } from '../contract/uplink.ts'
import { TcpProxy } from '../testing/tcp-proxy.ts'
import { until } from '../testing/until.ts'
import { GATEWAY, HqLab } from './hq-link.testing.ts'

async function shopWithHq(t: { teardown: (end: () => Promise<unknown>) => void }) {
  const lab = new HqLab()
  t.teardown(() => lab.end())
  await lab.broker()
  const hq = await lab.fakeHq()
  const desk = await lab.floor.mqtt(lab.port)
  const proxy = await TcpProxy.open(lab.port)
  t.teardown(() => proxy.close())
  const link = lab.start({ port: proxy.port })
  await lab.online()
  const answer = (body: object | string) =>
    desk.publish(topics.down(GATEWAY, 'answer'), typeof body === 'string' ? body : JSON.stringify(body))
  return { lab, hq, link, proxy, answer, requests: () => hq.of<UpRequest>('request') }
}

t.test('a coupon is reserved at HQ: asked once, answered, and the secret is nowhere in journal or log', async (t) => {
  const { lab, link, answer, requests } = await shopWithHq(t)
  const first = link.ask('payment', 'reserve', { code: 'CPN-SECRET' }, { id: 'r-1' })
  const again = link.ask('payment', 'reserve', { code: 'CPN-SECRET' }, { id: 'r-1' })
  await until(() => requests().length > 0, 'the request at HQ')
  t.match(requests()[0], { id: 'payment:r-1', plugin: 'payment', request: 'reserve', args: { code: 'CPN-SECRET' } })
  answer({ id: 'payment:r-1', result: { reserved: true, off: 500 } })
  t.same(await first, { reserved: true, off: 500 })
  t.same(await again, { reserved: true, off: 500 })
  t.equal(requests().length, 1)
  t.notMatch(lab.lines.join('\n'), 'CPN-SECRET')
  t.notMatch(lab.journal.events.map(({ text }) => text).join('\n'), 'CPN-SECRET')
})

t.test('HQ says no: its code where the table has it, hq-refused with its words where not', async (t) => {
  const { link, answer, requests } = await shopWithHq(t)
  const known = link.ask('payment', 'reserve', {}, { id: 'k' })
  const own = link.ask('payment', 'reserve', {}, { id: 'o' })
  await until(() => requests().length === 2, 'both requests')
  answer({ id: 'payment:k', error: { code: 'forbidden', message: 'not in this shop' } })
  answer({ id: 'payment:o', error: { code: 'COUPON_EXPIRED', message: 'since yesterday' } })
  await t.rejects(known, { code: 'forbidden', message: 'not in this shop' })
  await t.rejects(own, { code: 'hq-refused', message: 'COUPON_EXPIRED: since yesterday' })
})

t.test('no answer in time, a line that breaks while HQ thinks, a shop that is offline: three different errors', async (t) => {
  const { lab, link, proxy, requests } = await shopWithHq(t)
  await t.rejects(link.ask('payment', 'reserve', {}, { timeoutMs: 30 }), { code: 'hq-no-answer' })
  const cut = link.ask('payment', 'reserve', {}, { id: 'cut', timeoutMs: 100_000 })
  await until(() => requests().some(({ id }) => id === 'payment:cut'), 'the request at HQ')
  const lost = t.rejects(cut, { code: 'hq-no-answer', message: /connection to HQ was lost/ })
  await proxy.refuse()
  await lost
  await until(() => link.status().state !== 'online', 'the link to notice')
  await t.rejects(link.ask('payment', 'reserve', {}, {}), { code: 'hq-unreachable' })
  await proxy.listen()
  await lab.online()
})

t.test('garbage on dn/answer, an answer nobody waits for, one that comes twice: nothing is disturbed', async (t) => {
  const { lab, link, answer, requests } = await shopWithHq(t)
  const asked = link.ask('portal', 'sms', {}, { id: 's' })
  await until(() => requests().length === 1, 'the request')
  for (const bad of [
    '{',
    '[]',
    '{"id":7}',
    '{"id":"portal:s","error":"no"}',
    '{"id":"portal:s","result":1,"error":{"code":"a","message":"b"}}',
  ])
    answer(bad)
  answer({ id: 'portal:unheard-of', result: true })
  answer({ id: 'portal:s', result: 'sent' })
  answer({ id: 'portal:s', result: 'sent again' })
  t.equal(await asked, 'sent')
  await until(() => lab.lines.filter((line) => line.includes('an answer from HQ is malformed')).length === 5, 'five complaints')
})

t.test('more open questions than HQ could ever answer are refused at the door', async (t) => {
  const { link } = await shopWithHq(t)
  const open = Array.from({ length: 200 }, () => link.ask('payment', 'reserve', {}, { timeoutMs: 2_000 }).catch(() => undefined))
  await t.rejects(link.ask('payment', 'reserve', {}, {}), { code: 'queue-full' })
  await t.rejects(link.ask('payment', 'reserve', {}, { id: 'x'.repeat(129) }), { code: 'payload-malformed' })
  await link.stop()
  await Promise.all(open)
})
