/** What shops meet once a year: lines that break twice, QR codes that were lost, refunds that a bank sends back, an HQ that mixes things up. */

import { createServer, type Socket } from 'node:net'
import t from 'tap'
import { Failure } from '../../daemon/contract/errors.ts'
import type { Json, JsonObject } from '../../daemon/contract/json.ts'
import { HeldTimers } from '../../daemon/testing/held-timers.ts'
import { openAlipay } from './providers/alipay.ts'
import type { Order } from './providers/api.ts'
import { HqProvider } from './providers/hq.ts'
import { troubleOf } from './providers/trouble.ts'
import { ALIPAY_CODE, everything, payShop, QUICK, testKeys } from './testing.ts'

/** The clock of these shops runs 20 times faster; a slow machine must not see an order QR expire. */
const LONG = 86_400

const { clock } = new HeldTimers()

const ORDER: Order = {
  number: '0123456789abcdef012301',
  show: 'code',
  channel: 'alipay',
  amount: 300,
  currency: 'CNY',
  till: 'till-1',
  order: 'A-1',
  expiresAt: '2030-01-01T00:00:00Z',
}

t.test('the line breaks while Alipay charges, and the next moment nobody is there: in doubt, and not "nothing was sent"', async (t) => {
  const held: Socket[] = []
  let asked = 0
  const server = createServer((socket) => {
    held.push(socket)
    socket.on('error', () => {})
    socket.on('data', () => {
      asked += 1
      // It takes the money; then the shop's line to the world is cut, and what follows finds nobody.
      server.close()
      socket.resetAndDestroy()
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    for (const socket of held) socket.destroy()
    server.close()
  })
  const { port } = server.address() as { port: number }
  const { alipay } = testKeys().config
  const config = { ...alipay, ...QUICK, keyType: 'PKCS8', gateway: `http://127.0.0.1:${port}/gateway.do` }
  const provider = await openAlipay(config as unknown as Parameters<typeof openAlipay>[0], 'Shop', clock)
  t.match(await provider.charge({ ...ORDER, code: ALIPAY_CODE }), { kind: 'unknown' })
  t.equal(asked, 1)
  t.match(
    await provider.charge({ ...ORDER, code: ALIPAY_CODE }),
    { kind: 'unsent' },
    'and one that finds nobody from the start was not sent',
  )
})

t.test('"no route to host" of a line that was open says nothing of what had been sent on it', async (t) => {
  const error = (syscall: string, code = 'EHOSTUNREACH') => Object.assign(new Error('x'), { code, syscall })
  t.same(troubleOf(error('read')), { unsent: false, reason: 'unreachable' })
  t.same(troubleOf(error('write', 'ENETUNREACH')), { unsent: false, reason: 'unreachable' })
  t.same(troubleOf(error('connect')), { unsent: true, reason: 'unreachable' })
  t.same(troubleOf(error('getaddrinfo', 'EAI_AGAIN')), { unsent: true, reason: 'unreachable' })
  t.same(troubleOf(new AggregateError([error('connect'), error('connect', 'ECONNREFUSED')], 'all')), {
    unsent: true,
    reason: 'unreachable',
  })
})

for (const channel of ['alipay', 'wechat'] as const)
  t.test(`${channel}: the answer with the order QR is lost: it is asked for again under the same number, shown and paid`, async (t) => {
    const { shop, open, is, ...sims } = await payShop(t)
    const sim = sims[channel]
    sim.faults.loseAnswer = { show: 1 }
    await open('Q-1', 500, { show: 'qr', channel, expiresInSeconds: LONG })
    const waiting = await is('Q-1', 'awaiting-shopper')
    t.type(waiting.qr, 'string', 'there is something to scan')
    t.ok(sim.ledger.scan(String(waiting.qr), sim.now()), 'the shopper scans it')
    await is('Q-1', 'paid')
    t.equal(sim.ledger.trades.size, 1, 'one number')
    t.equal(sim.ledger.captured, 500)
    t.equal(shop.events.filter((one) => one.event === 'waiting').length, 1)
  })

t.test('wechat: the bank sends a refund back (ABNORMAL): in doubt and shown, and no second refund takes its place', async (t) => {
  const { shop, open, code, is, wechat } = await payShop(t)
  await open('R-1', 900)
  await code('134567890123456789')
  await is('R-1', 'paid')
  wechat.refundStatus = 'ABNORMAL'
  await shop.command('-', 'refund', { order: 'R-1', amount: 900 })
  await shop.until(() => shop.events.some((one) => one.event === 'unknown' && one.data.reason === 'ABNORMAL'), 'in doubt')
  await t.rejects(shop.command('-', 'refund', { order: 'R-1', amount: 100 }), { code: 'payment-state', message: /still under way/ })
  wechat.refundStatus = 'SUCCESS'
  await is('R-1', 'refunded')
  t.equal(wechat.ledger.captured, 0)
  t.equal(shop.events.filter((one) => one.event === 'refunded').length, 1, 'sent on by hand: told once')
})

t.test('a provider is taken out of the config while its charge is in doubt: the till hears why it cannot be cancelled', async (t) => {
  const made = await payShop(t, { alipay: { giveUpMs: 600_000 } })
  made.alipay.faults.serverError = { pay: 1_000, query: 1_000 }
  await made.open('G-1', 100)
  await made.code()
  await made.is('G-1', 'unknown')
  const durable = await made.crash()
  delete (made.config as { alipay?: Json }).alipay
  const shop = await made.restart(durable)
  await t.rejects(shop.command('-', 'cancel', { order: 'G-1' }), {
    code: 'payment-state',
    message: /provider alipay .* is not configured any more/,
  })
  t.match(await made.status('G-1'), { status: 'unknown' }, 'still in doubt, and shown')
})

type Ask = ConstructorParameters<typeof HqProvider>[0]['ask']

/** HQ's side: what it is asked, and what it answers. */
function hqWith(answer: Json | Failure) {
  const asked: [string, JsonObject, string | undefined][] = []
  const ask: Ask = async (request, args, { id } = {}) => {
    asked.push([request, args as JsonObject, id])
    if (answer instanceof Failure) throw answer
    return answer
  }
  return { asked, provider: new HqProvider({ ask }, { timeoutMs: 1_000, queryMs: 1_000, giveUpMs: 1_000, settleMs: 1_000 }) }
}

t.test('HQ’s answers about an order QR, its end and its refund: each word is taken for what it says, and for no more', async (t) => {
  const { number, amount } = ORDER
  const qr: Order = { ...ORDER, show: 'qr' }
  const refund = { ...ORDER, refund: `${number}R01`, back: 100, reason: 'broken cup' }
  const told = { number, amount, currency: 'CNY', transaction: 'hq-1' }
  const silence = new Failure('hq-no-answer', 'silence')
  const no = new Failure('hq-refused', 'no')
  type Call = 'charge' | 'query' | 'undo' | 'refund'
  const cases: [Call, Json | Failure, JsonObject][] = [
    ['charge', { status: 'waiting', qr: 'https://pay.example/1' }, { kind: 'waiting', qr: 'https://pay.example/1' }],
    ['charge', { status: 'waiting' }, { kind: 'unknown', reason: 'malformed-answer' }],
    ['charge', { status: 'failed', reason: 'closed shop' }, { kind: 'failed', reason: 'closed shop', sure: true }],
    ['charge', no, { kind: 'failed', reason: 'hq-refused', sure: false }],
    ['charge', new Failure('hq-unreachable', 'away'), { kind: 'unsent', reason: 'hq-unreachable' }],
    ['charge', silence, { kind: 'unknown', reason: 'hq-no-answer' }],
    ['charge', { ...told, status: 'paid', currency: 'USD' }, { kind: 'unknown', reason: 'answer-of-another-payment' }],
    ['charge', { ...told, status: 'paid', transaction: '' }, { kind: 'unknown', reason: 'answer-of-another-payment' }],
    ['charge', { status: 'failed', number: 'another' }, { kind: 'unknown', reason: 'answer-of-another-payment' }],
    ['charge', 'paid', { kind: 'unknown', reason: 'malformed-answer' }],
    ['query', { ...told, status: 'paid' }, { kind: 'paid', transaction: 'hq-1' }],
    ['query', { status: 'waiting' }, { kind: 'waiting' }],
    ['query', { status: 'cancelled' }, { kind: 'failed', reason: 'not told' }],
    ['query', { status: 'not-found' }, { kind: 'not-found' }],
    ['query', { status: 'not-found', number: 'another' }, { kind: 'unknown', reason: 'answer-of-another-payment' }],
    ['query', no, { kind: 'unknown', reason: 'hq-refused' }],
    ['query', { status: 'soon' }, { kind: 'unknown', reason: 'not told' }],
    ['undo', { status: 'cancelled' }, { kind: 'undone' }],
    ['undo', { status: 'not-found' }, { kind: 'not-found' }],
    ['undo', { status: 'refused', reason: 'too late' }, { kind: 'refused', reason: 'too late' }],
    ['undo', { status: 'paid' }, { kind: 'again', reason: 'not told' }],
    ['undo', { status: 'cancelled', number: 'another' }, { kind: 'again', reason: 'answer-of-another-payment' }],
    ['undo', no, { kind: 'again', reason: 'hq-refused' }],
    ['undo', silence, { kind: 'again', reason: 'hq-no-answer' }],
    ['refund', { status: 'refunded' }, { kind: 'refunded' }],
    ['refund', { status: 'refunded', number: 'another' }, { kind: 'unknown', reason: 'answer-of-another-payment' }],
    ['refund', { status: 'refused', reason: 'no money' }, { kind: 'refused', reason: 'no money' }],
    ['refund', no, { kind: 'unknown', reason: 'hq-refused' }],
    ['refund', { status: 'done' }, { kind: 'unknown', reason: 'not told' }],
  ]
  for (const [call, answer, expected] of cases) {
    const { provider, asked } = hqWith(answer)
    const said = call === 'charge' ? provider.charge(qr) : call === 'refund' ? provider.refund(refund) : provider[call](qr)
    t.same(await said, expected, `${call}: ${JSON.stringify(answer instanceof Failure ? answer.code : answer)}`)
    const [[request, args, id] = []] = asked
    t.equal(request, call === 'undo' ? 'cancel' : call)
    t.match(args, { number, amount, currency: 'CNY' })
    t.equal(id, call === 'charge' ? number : undefined, 'a repeat of a charge is known by the merchant order number')
  }
})

t.test('HQ shows the order QR: paid, refunded in part; another one is cancelled by the till, whatever HQ says at first', async (t) => {
  const orders = new Map<string, { status: string; back: number }>()
  let refusals = 1
  const answer = (request: string, args: JsonObject): Json => {
    const number = String(args.number)
    const known = orders.get(number)
    const told = { number, amount: Number(args.amount), transaction: `hq-${number}`, payer: 'wx-7' }
    if (request === 'charge') {
      orders.set(number, known ?? { status: 'waiting', back: 0 })
      return { status: 'waiting', number, qr: `https://pay.example/${number}` }
    }
    if (!known) return { status: 'not-found' }
    if (request === 'query') return { ...told, status: known.status }
    if (request === 'refund') {
      known.back += Number(args.refundAmount)
      return { status: 'refunded' }
    }
    if (refusals-- > 0) throw new Failure('hq-no-answer', 'silence')
    known.status = 'cancelled'
    return { status: 'cancelled' }
  }
  const hq = { queryMs: 1_000, giveUpMs: 600_000, settleMs: 6_000 }
  const { shop, open, is } = await payShop(t, { qr: 'hq', hq }, { ask: async (request, args) => answer(request, args as JsonObject) })
  await open('HQ-1', 800, { show: 'qr', expiresInSeconds: LONG })
  const waiting = await is('HQ-1', 'awaiting-shopper')
  t.match(waiting.qr, /^https:\/\/pay\.example\/[0-9a-f]{20}01$/)
  const one = orders.get(String(waiting.attempt))
  if (one) one.status = 'paid'
  await is('HQ-1', 'paid')
  await shop.command('-', 'refund', { order: 'HQ-1', amount: 300 })
  await is('HQ-1', 'partly-refunded')
  t.equal(one?.back, 300)
  t.notMatch(everything(shop), /wx-7/, 'the payer is a pseudonym')
  await open('HQ-2', 100, { show: 'qr', expiresInSeconds: LONG })
  await is('HQ-2', 'awaiting-shopper')
  await shop.command('-', 'cancel', { order: 'HQ-2' })
  await is('HQ-2', 'reversed')
  t.same(
    [...orders.values()].map(({ status }) => status),
    ['paid', 'cancelled'],
  )
})
