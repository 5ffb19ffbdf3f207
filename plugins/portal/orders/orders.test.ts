/** An order QR on the guest's own phone: heard from the payment plugin's events, shown until it is final, over a crash of either. */
import t, { type Test } from 'tap'
import type { JsonObject } from '../../../daemon/contract/json.ts'
import { Shop } from '../testing.ts'
import { PAYMENT, QR, sessionOf, Till } from './till.testing.ts'

const WECHAT_QR = 'weixin://wxpay/bizpayurl?pr=AbC123xYz'

type Options = Parameters<typeof Shop.open>[0]

async function shop(t: Pick<Test, 'teardown'>, options: Options = {}): Promise<Shop> {
  const opened = await Shop.open(options)
  t.teardown(() => opened.close())
  return opened
}

const orders = (one: Shop): string[] => [...one.harness.store.keys()].filter((key) => key.startsWith('order/'))

t.test('the guest in whose session it was made sees what is to be paid, then that it is paid; nobody else does', async (t) => {
  const one = await shop(t)
  await one.tap(1)
  const session = await sessionOf(one)
  await one.tap(2)
  const till = new Till(one)
  const home = await one.arrive(1)
  t.notMatch((await one.ask(1, home)).body, /¥12\.50/)
  await till.opened(session)
  t.match((await one.ask(1, home)).body, /Pay ¥12\.50[\s\S]*The code is being made/)
  await till.waiting()
  const page = await one.ask(1, home)
  t.match(
    page.body,
    /Pay ¥12\.50[\s\S]*Order 4711[\s\S]*Waiting for your payment[\s\S]*<svg role="img"[\s\S]*Scan it with Alipay[\s\S]*5 min/,
  )
  t.match(page.body, `<meta http-equiv="refresh" content="5;url=${home}order">`)
  t.match(page.body, `<a class="b" href="${QR}" rel="noreferrer">Pay on this phone</a>`)
  t.notMatch(page.body, /<script|onclick|target=/)
  t.match((await one.ask(1, `${home}order`)).body, /Waiting for your payment/)
  const zh = (await one.ask(1, home.replace('/en/', '/zh/'))).body
  t.match(zh, /支付 ¥12\.50[\s\S]*等待付款[\s\S]*支付宝/)
  for (const path of [await one.arrive(2), `${await one.arrive(2)}order`]) t.notMatch((await one.ask(2, path)).body, /12\.50|4711/)
  t.match((await one.ask(2, `${home}order`)).headers.location, /\/t\//, 'another phone with this address sees nothing')
  await till.says('paid', { transaction: 'T', paidAt: '' })
  const paid = await one.ask(1, `${home}order`)
  t.match(paid.body, /✓ Paid ¥12\.50/)
  t.notMatch(paid.body, /<svg|http-equiv="refresh"|qr\.alipay/)
  t.match((await one.ask(1, home)).body, /You're connected[\s\S]*✓ Paid: ¥12\.50, Order 4711/)
  await one.clock.pass(11 * 60_000)
  t.notMatch((await one.ask(1, await one.arrive(1))).body, /4711/, 'later it is no longer there')
})

t.test('expired, cancelled, reversed: the code is gone and the page says so; in doubt there is none either', async (t) => {
  const ends: [string, JsonObject][] = [
    ['failed', { final: true, reason: 'expired' }],
    ['cancelled', {}],
    ['reversed', {}],
  ]
  for (const [event, data] of ends) {
    const one = await shop(t)
    await one.tap(1)
    const path = await one.arrive(1)
    const till = new Till(one)
    await till.opened(await sessionOf(one))
    await till.waiting()
    await till.says('unknown', { reason: 'no-answer' })
    const doubt = (await one.ask(1, `${path}order`)).body
    t.match(doubt, /do not pay again/)
    t.match(doubt, 'http-equiv="refresh"')
    t.notMatch(doubt, /<svg|qr\.alipay/)
    await till.waiting()
    t.match((await one.ask(1, `${path}order`)).body, /<svg/, 'it may be paid after all')
    await till.says(event, data)
    const ended = (await one.ask(1, `${path}order`)).body
    t.match(ended, /Not paid: ¥12\.50/, event)
    t.notMatch(ended, /<svg|http-equiv="refresh"|qr\.alipay/)
    await till.waiting()
    t.notMatch((await one.ask(1, `${path}order`)).body, /<svg/, 'final is final')
  }
})

t.test('its time is over and the payment plugin is silent: no code all the same', async (t) => {
  const one = await shop(t)
  await one.tap(1)
  const path = await one.arrive(1)
  const till = new Till(one)
  await till.opened(await sessionOf(one))
  await till.waiting()
  await one.clock.pass(300_000)
  const page = (await one.ask(1, `${path}order`)).body
  t.match(page, /being checked/)
  t.notMatch(page, /<svg|qr\.alipay/)
})

t.test('the portal dies at every step: the order is there again, and goes on with what is told again', async (t) => {
  const steps: ((till: Till) => Promise<void>)[] = [(till) => till.waiting(), (till) => till.says('paid', { transaction: 'T', paidAt: '' })]
  let one = await shop(t)
  await one.tap(1)
  const session = await sessionOf(one)
  let till = new Till(one)
  await till.opened(session)
  for (const [at, step] of steps.entries()) {
    await step(till)
    const store = structuredClone(one.harness.store)
    await one.close()
    one = await shop(t, { store, clock: one.clock })
    till = new Till(one)
    // The cursor moves after the handler: the last one is heard once more.
    await step(till)
    const page = (await one.ask(1, `${await one.arrive(1)}order`)).body
    t.match(page, at === 0 ? /<svg[\s\S]*Scan it with Alipay/ : /✓ Paid/)
  }
})

t.test('an event that could not be stored is kept when it is told again', async (t) => {
  const one = await shop(t)
  await one.tap(1)
  const till = new Till(one)
  await till.opened(await sessionOf(one))
  await till.waiting()
  await till.says('paid', { transaction: 'T', paidAt: '' })
  one.harness.store.delete(`order/${PAYMENT}`)
  await till.says('paid', { transaction: 'T', paidAt: '' })
  t.same(orders(one), [`order/${PAYMENT}`])
})

t.test('nothing is kept of payments that are nobody’s, of codes that the shopper shows, and of a visitor who is erased', async (t) => {
  const one = await shop(t)
  await one.tap(1)
  const session = await sessionOf(one)
  await new Till(one, 'a'.repeat(20)).opened('another-shop')
  await new Till(one, 'b'.repeat(20)).opened(session, { show: 'code' })
  await new Till(one, 'c'.repeat(20)).waiting()
  t.same(orders(one), [])
  for (let number = 0; number < 8; number++) await new Till(one, String(number).repeat(20), `o-${number}`).opened(session)
  t.equal(orders(one).length, 5, 'the newest of one session')
  const { sessions } = (await one.harness.command('-', 'sessions')) as { sessions: { visitor: string }[] }
  await one.harness.command('-', 'erase', { visitor: sessions[0]?.visitor ?? '' })
  await one.harness.until(() => orders(one).length === 0, 'erased')
})

t.test('a code that only an app can open is no link; what the till wrote is text', async (t) => {
  const one = await shop(t)
  await one.tap(1)
  const till = new Till(one, PAYMENT, '<b>&"4711')
  await till.opened(await sessionOf(one))
  await till.waiting(WECHAT_QR, 'wechat')
  const page = (await one.ask(1, await one.arrive(1))).body
  t.notMatch(page, /weixin:|<b>/)
  t.match(page, /Scan it with WeChat[\s\S]*Ask at the till to pay another way/)
  t.match(page, '&lt;b&gt;&amp;&quot;4711')
})

t.test('no order: the page says so; refreshing can be turned off', async (t) => {
  const one = await shop(t)
  const captive = await one.arrive(1)
  t.equal((await one.ask(1, `${captive}order`)).status, 302, 'who is not online connects first')
  await one.tap(1)
  const path = await one.arrive(1)
  t.match((await one.ask(1, `${path}order`)).body, /Nothing to pay/)
  const till = new Till(one)
  await till.opened(await sessionOf(one))
  await till.waiting()
  const still = (await one.ask(1, `${path}order?n=still`)).body
  t.match(still, /<svg[\s\S]*Check again/)
  t.notMatch(still, 'http-equiv="refresh"')
  const more = (await one.ask(1, `${path}?n=more`)).body
  t.match(more, /You're connected/)
  t.match(more, `<a class="b" href="${path}order">Order to pay: ¥12.50</a>`)
})

t.test('under 14 KB, with logo-sized names and a long code of HQ’s', async (t) => {
  const one = await shop(t, { config: { name: '莲'.repeat(60) } })
  await one.tap(1)
  const till = new Till(one, PAYMENT, 'o'.repeat(64))
  await till.opened(await sessionOf(one))
  for (const [qr, most] of [
    [QR, 9_000],
    [`https://pay.hq.example/${'x'.repeat(380)}`, 14_336],
  ] as const) {
    await till.waiting(qr)
    const bytes = Buffer.byteLength((await one.ask(1, await one.arrive(1, 'zh'))).body)
    t.ok(bytes < most, `${bytes} bytes with a code of ${qr.length} characters`)
  }
})
