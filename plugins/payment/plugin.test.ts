/** A till's day: the real plugin against the simulated providers over HTTP. */
import t from 'tap'
import { Failure } from '../../daemon/contract/errors.ts'
import type { Json, JsonObject } from '../../daemon/contract/json.ts'
import type { WallMs } from '../../daemon/contract/plugin.ts'
import { ALIPAY_CODE, everything, payShop, WECHAT_CODE } from './testing.ts'

t.test('the shopper shows a code, the scanner reads it, the till hears "paid"; the code is nowhere', async (t) => {
  const { shop, open, code, is, alipay } = await payShop(t)
  t.match(await open('A-1', 1_234, { lines: [{ name: '咖啡', qty: 1, price: 1_234 }] }), { status: 'open', amount: 1_234, currency: 'CNY' })
  t.equal(shop.state('till-1')?.detail, 'open')
  t.match(await code(ALIPAY_CODE), { claimed: true })
  const paid = await is('A-1', 'paid')
  await shop.until(() => shop.events.some((one) => one.event === 'paid'), 'the event')
  t.same(
    shop.events.map((one) => [one.device, one.event]),
    [
      ['till-1', 'opened'],
      ['till-1', 'paid'],
    ],
  )
  t.match(shop.events[0]?.data, { order: 'A-1', lines: [{ name: '咖啡' }] })
  t.match(shop.events[1]?.data, {
    payment: paid.payment,
    order: 'A-1',
    till: 'till-1',
    amount: 1_234,
    channel: 'alipay',
    transaction: String,
    payer: /^[\w-]{22}$/,
    firstPayment: true,
  })
  await shop.until(() => shop.state('till-1')?.detail === 'paid', 'the state')
  t.equal(alipay.ledger.captured, 1_234)
  t.notMatch(everything(shop), ALIPAY_CODE)
  t.notMatch(everything(shop), '20881234567890', 'nor the payer')
  await open('A-2', 100)
  await code('281234567890129999')
  await is('A-2', 'paid')
  await shop.until(() => shop.events.filter((one) => one.event === 'paid').length === 2, 'the second')
  t.notOk(shop.events.at(-1)?.data.firstPayment, 'the same payer comes again')
})

t.test('no payment is open: the scan is told as such and nothing is charged', async (t) => {
  const { shop, code, alipay, wechat } = await payShop(t)
  t.match(await code(WECHAT_CODE, 'Till-7'), { claimed: false, reason: 'no-payment' })
  t.match(shop.events, [{ device: 'till-7', event: 'unclaimed', data: { till: 'till-7', channel: 'wechat', reason: 'no-payment' } }])
  t.equal(alipay.seen.pay + wechat.seen.pay, 0)
  t.notMatch(everything(shop), WECHAT_CODE)
})

t.test('two scans at once, and one after it is paid: one charge, the others are told', async (t) => {
  const { shop, open, code, is, wechat } = await payShop(t)
  wechat.faults.slowMs = 100
  await open('W-1', 500)
  const both = await Promise.all([code(WECHAT_CODE), code('134567890123456780')])
  t.same(both.map((one) => one.claimed).sort(), [false, true])
  await is('W-1', 'paid')
  t.match(await code('134567890123456781'), { claimed: false, reason: 'no-payment' })
  t.equal(wechat.ledger.captured, 500)
  t.equal(wechat.seen.pay, 1)
  t.match(
    shop.events.filter((one) => one.event === 'unclaimed').map((one) => one.data.reason),
    ['charging', 'no-payment'],
  )
})

t.test('the same order again is the same payment; with another amount, till or currency it is refused', async (t) => {
  const { open, code, is, alipay, shop } = await payShop(t)
  const first = await open('S-1', 900)
  t.equal((await open('S-1', 900)).payment, first.payment)
  await t.rejects(open('S-1', 901), { code: 'payment-conflict', message: /900 CNY.*amount/ })
  await t.rejects(open('S-1', 900, { till: 'till-2' }), { code: 'payment-conflict' })
  await t.rejects(open('S-1', 900, { currency: 'USD' }), { code: 'payment-conflict' })
  await t.rejects(open('S-2', 100), { code: 'payment-state', message: /till-1.*S-1/ })
  await code()
  await is('S-1', 'paid')
  t.match(await open('S-1', 900), { payment: first.payment, status: 'paid' }, 'after it is paid, too')
  await t.rejects(open('S-1', 800), { code: 'payment-conflict' })
  t.equal(alipay.ledger.captured, 900)
  t.equal(shop.events.filter((one) => one.event === 'opened').length, 1)
})

t.test('amounts that are none, and other bad input: one clear error each, nothing disturbed', async (t) => {
  const { open, shop, alipay } = await payShop(t)
  for (const amount of [0, -1, 0.5, 2 ** 53, 1e300, 10_000_000_001])
    await t.rejects(open('B-1', amount), { code: 'amount-invalid', message: /whole number of minor units/ }, String(amount))
  for (const [args, what] of [
    [{ order: 'B', amount: '5', till: 'till-1' }, /amount/],
    [{ order: '', amount: 5, till: 'till-1' }, /order/],
    [{ order: 'B', amount: 5, till: 'Till 1' }, /till/],
    [{ order: 'B', amount: 5, till: 'till-1', currency: 'yuan' }, /currency/],
    [{ order: 'B', amount: 5, till: 'till-1', colour: 1 }, /colour/],
    [{ amount: 5, till: 'till-1' }, /order/],
  ] as const)
    await t.rejects(shop.command('-', 'open', args), { code: 'args-invalid', message: what })
  for (const args of [
    { code: '1', channel: 'alipay', till: 'till-1' },
    { code: ALIPAY_CODE, channel: 'visa', till: 'till-1' },
    { code: ALIPAY_CODE, channel: 'alipay' },
  ])
    await t.rejects(shop.command('-', 'code', args), { code: 'args-invalid' })
  await t.rejects(shop.command('-', 'cancel', { payment: '00000000000000000000' }), { code: 'payment-not-found' })
  await t.rejects(shop.command('-', 'query', { order: 'nobody' }), { code: 'payment-not-found' })
  await t.rejects(shop.command('-', 'refund', { order: 'nobody' }), { code: 'payment-not-found' })
  await t.rejects(shop.command('-', 'cancel', { till: 'till-1' }), { code: 'payment-not-found' })
  t.same(shop.events, [])
  t.equal(shop.store.size, 0)
  t.equal(alipay.seen.pay, 0)
})

t.test('an expired code, a used one, an empty purse: failed, and the next code goes through under a number of its own', async (t) => {
  for (const channel of ['alipay', 'wechat'] as const) {
    const { shop, open, code, is, ...sims } = await payShop(t)
    const start = channel === 'alipay' ? '28' : '13'
    const show = (end: string) => code(`${start}1234567890${end}`)
    await open('E-0', 100)
    await show('111111')
    await is('E-0', 'paid')
    await open('E-1', 700)
    for (const [end, why] of [
      ['990001', 'expired'],
      ['111111', 'used'],
      ['990002', 'poor'],
    ] as const) {
      await show(end)
      const failed = await is('E-1', 'failed')
      t.type(failed.reason, 'string', `${channel} ${why}: ${failed.reason}`)
      t.equal(shop.state('till-1')?.detail, 'failed')
    }
    await show('222222')
    const paid = await is('E-1', 'paid')
    t.match(paid.attempt, /04$/)
    await shop.until(() => shop.events.filter((one) => one.event === 'paid').length === 2, 'paid')
    t.match(
      shop.events.filter((one) => one.event === 'failed').map((one) => one.data),
      Array(3).fill({ order: 'E-1', final: false, reason: String }),
    )
    t.equal(sims[channel].ledger.captured, 800)
  }
})

/** Two codes of each wallet. */
const WALLETS = [
  ['alipay', ALIPAY_CODE, '281234567890120000'],
  ['wechat', WECHAT_CODE, '134567890123450000'],
] as const

t.test('the shopper types the password: waiting, then paid', async (t) => {
  for (const [channel, one, two] of WALLETS) {
    const { open, code, is, ...sims } = await payShop(t)
    const sim = sims[channel]
    sim.faults.userPaying = 1
    await open('P-1', 300)
    await code(one)
    await is('P-1', 'awaiting-shopper')
    t.match(await code(two), { claimed: false, reason: 'awaiting-shopper' }, 'a second code meanwhile is not charged')
    for (const trade of sim.ledger.trades.values()) trade.confirmAt = Date.now()
    await is('P-1', 'paid')
    t.equal(sim.ledger.captured, 300, channel)
  }
})

t.test('the shopper never types the password: reversed, and another code may be shown', async (t) => {
  for (const [channel, one, two] of WALLETS) {
    const { shop, open, code, is, patienceEnds, ...sims } = await payShop(t)
    const sim = sims[channel]
    sim.faults.userPaying = 1
    await open('P-2', 400)
    await code(one)
    await is('P-2', 'awaiting-shopper')
    patienceEnds()
    await is('P-2', 'failed')
    t.ok(
      shop.events.some((each) => each.event === 'unknown' && each.data.order === 'P-2'),
      'the doubt was shown',
    )
    await code(two)
    t.match((await is('P-2', 'paid')).attempt, /02$/)
    t.equal(sim.ledger.captured, 400, channel)
  }
})

t.test('cancelled by the till: at once when nothing was sent, reversed when something was, refused when it is paid', async (t) => {
  const { shop, open, code, is, wechat } = await payShop(t)
  await open('C-1', 100)
  t.match(await shop.command('-', 'cancel', { till: 'till-1' }), { status: 'cancelled' })
  wechat.faults.userPaying = 1
  await open('C-2', 200)
  await code(WECHAT_CODE)
  await is('C-2', 'awaiting-shopper')
  await shop.command('-', 'cancel', { order: 'C-2' })
  await is('C-2', 'reversed')
  await open('C-3', 300)
  await code('134567890123456780')
  await is('C-3', 'paid')
  await t.rejects(shop.command('-', 'cancel', { order: 'C-3' }), { code: 'payment-state', message: /refund/ })
  t.equal(wechat.ledger.captured, 300)
  await shop.until(() => shop.events.some((one) => one.event === 'reversed'), 'the event')
  t.match(await code('134567890123456781'), { claimed: false }, 'and the till is free')
})

t.test('cancelled while the charge is under way and being paid: the money goes back', async (t) => {
  for (const [channel, pay] of [
    ['alipay', ALIPAY_CODE],
    ['wechat', WECHAT_CODE],
  ] as const) {
    const { shop, open, code, is, ...sims } = await payShop(t)
    sims[channel].faults.slowAnswerMs = 150
    await open('C-1', 100)
    await code(pay)
    await shop.command('-', 'cancel', { order: 'C-1' })
    await is('C-1', 'reversed')
    t.equal(sims[channel].ledger.captured, 0)
    t.equal([...sims[channel].ledger.trades.values()][0]?.captures, 1, 'it had been taken')
    t.notOk(shop.events.some((one) => one.event === 'paid'))
  }
})

t.test('an order QR: shown, paid by whoever scans it; nobody does: closed', async (t) => {
  for (const channel of ['alipay', 'wechat'] as const) {
    const { shop, open, is, code, ...sims } = await payShop(t)
    const { ledger } = sims[channel]
    await open('Q-1', 640, { show: 'qr', channel })
    const { qr } = await is('Q-1', 'awaiting-shopper')
    t.match(shop.events.find((one) => one.event === 'waiting')?.data, { qr, order: 'Q-1' })
    t.match(await code(), { claimed: false, reason: 'awaiting-shopper' })
    t.ok(ledger.scan(String(qr), Date.now()))
    await is('Q-1', 'paid')
    t.equal(ledger.captured, 640, channel)
    await open('Q-2', 650, { show: 'qr', channel })
    await is('Q-2', 'awaiting-shopper')
    await shop.command('-', 'cancel', { order: 'Q-2' })
    await is('Q-2', 'reversed')
    t.equal(ledger.captured, 640)
  }
})

t.test('refunds: in parts, never more than there is, once however often the answer is lost', async (t) => {
  for (const [channel, pay] of [
    ['alipay', ALIPAY_CODE],
    ['wechat', WECHAT_CODE],
  ] as const) {
    const { shop, open, code, is, status, ...sims } = await payShop(t)
    const sim = sims[channel]
    await open('R-1', 1_000)
    await t.rejects(shop.command('-', 'refund', { order: 'R-1' }), { code: 'payment-state' }, 'not paid yet')
    await code(pay)
    await is('R-1', 'paid')
    await t.rejects(shop.command('-', 'refund', { order: 'R-1', amount: 1_001 }), { code: 'amount-invalid', message: /1001.*1000/ })
    await t.rejects(shop.command('-', 'refund', { order: 'R-1', amount: 0 }), { code: 'amount-invalid' })
    sim.faults.loseAnswer.refund = 2
    sim.faults.wrongSignature.refund = 1
    await shop.command('-', 'refund', { order: 'R-1', amount: 300, reason: 'cold coffee' })
    await t.rejects(shop.command('-', 'refund', { order: 'R-1', amount: 300 }), { code: 'payment-state', message: /under way/ })
    await is('R-1', 'partly-refunded')
    t.equal(sim.ledger.captured, 700, `${channel}: once`)
    await t.rejects(shop.command('-', 'refund', { order: 'R-1', amount: 701 }), { code: 'amount-invalid' })
    await shop.command('-', 'refund', { order: 'R-1' })
    t.match(await is('R-1', 'refunded'), { refunded: 1_000 })
    t.equal(sim.ledger.captured, 0)
    await t.rejects(shop.command('-', 'refund', { order: 'R-1', amount: 1 }), { code: 'payment-state' })
    await shop.until(() => shop.events.filter((one) => one.event === 'refunded').length === 2, 'both events')
    t.same(
      shop.events.filter((one) => one.event === 'refunded').map((one) => [one.data.refundAmount, one.data.refundedTotal]),
      [
        [300, 300],
        [700, 1_000],
      ],
    )
  }
})

t.test('cash: recorded as the till says', async (t) => {
  const { shop, open, is, alipay, wechat } = await payShop(t)
  await open('K-1', 500, { show: 'cash' })
  t.match(await is('K-1', 'paid'), { provider: 'cash', channel: 'cash' })
  await open('K-2', 600)
  await shop.command('-', 'cash', { order: 'K-2' })
  await is('K-2', 'paid')
  await shop.command('-', 'refund', { order: 'K-2' })
  await is('K-2', 'refunded')
  t.equal(alipay.seen.pay + wechat.seen.pay, 0)
})

t.test('nobody shows a code: the till is free again when the time is up', async (t) => {
  const { open, is, shop } = await payShop(t)
  await open('X-1', 100, { expiresInSeconds: 10 })
  await is('X-1', 'cancelled')
  t.match(shop.events.find((one) => one.event === 'cancelled')?.data, { reason: 'expired' })
})

t.test('the box comes back from a power cut in 1970: the till is not held until the clock is right', async (t) => {
  let wall = Date.now()
  const { open, is, crash, restart } = await payShop(t, {}, { wall: () => wall as WallMs })
  await open('E-2', 100, { expiresInSeconds: 20 })
  const durable = await crash()
  wall = 86_400_000
  await restart(durable)
  await is('E-2', 'cancelled')
})

t.test('the portal session is checked; a portal that is not there stops no sale', async (t) => {
  const asked: Json[] = []
  const answers: Record<string, JsonObject | Failure> = {
    'sess-live': { session: 'sess-live', visitor: 'v', active: true, method: 'click' },
    'sess-gone': { session: 'sess-gone', visitor: 'v', active: false, method: 'click' },
    'sess-none': new Failure('session-unknown', 'no such session'),
    'sess-down': new Failure('plugin-not-found', 'no portal'),
  }
  const { open, shop } = await payShop(
    t,
    {},
    {
      call: async (plugin, device, command, args) => {
        asked.push([plugin, device, command, args])
        const answer = answers[String((args as JsonObject).session)] ?? {}
        if (answer instanceof Failure) throw answer
        return answer
      },
    },
  )
  t.match(await open('N-1', 100, { session: 'sess-live', till: 'a' }), { session: 'sess-live' })
  t.match(asked, [['portal', '-', 'session', { session: 'sess-live' }]])
  t.equal((await open('N-2', 100, { session: 'sess-gone', till: 'b' })).session, undefined)
  t.equal((await open('N-3', 100, { session: 'sess-down', till: 'c' })).session, undefined)
  await t.rejects(open('N-4', 100, { session: 'sess-none', till: 'd' }), { code: 'session-unknown' })
  await shop.until(() => shop.events.length === 3, 'the events')
  t.match(shop.events.find((one) => one.data.order === 'N-1')?.data, { session: 'sess-live' })
})

t.test('a shop without keys and without HQ: a code is not charged, and the till is told why', async (t) => {
  const { shop, open, code, status } = await payShop(t, { route: { alipay: 'hq', wechat: 'hq', unionpay: 'hq' } })
  await open('U-1', 100)
  t.match(await code(), { claimed: false, reason: 'no-provider' })
  t.match(await status('U-1'), { status: 'open' })
  await t.rejects(shop.command('-', 'open', { order: 'U-2', amount: 5, till: 'till-2', show: 'qr', channel: 'unionpay' }), {
    code: 'device-unsupported',
  })
})
