/** Each provider with everything that goes wrong between here and there, over real HTTP with real signatures. */
import { execFileSync } from 'node:child_process'
import { createVerify } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { Failure } from '../../daemon/contract/errors.ts'
import type { Json, JsonObject } from '../../daemon/contract/json.ts'
import { testFolder } from '../../daemon/testing/folder.ts'
import { AlipaySimulator } from './simulators/alipay.ts'
import type { Faults } from './simulators/faults.ts'
import { ALIPAY_CODE, everything, payShop, testKeys, WECHAT_CODE } from './testing.ts'

const CHANNELS = [
  ['alipay', ALIPAY_CODE],
  ['wechat', WECHAT_CODE],
] as const

/** In each of these the money has been taken once, and the till must come to hear "paid" and nothing else final. */
const PAID_ANYWAY: [string, Partial<Faults>][] = [
  ['paid, but the answer is lost', { loseAnswer: { pay: 1 } }],
  ['the answers of charge and first queries are lost', { loseAnswer: { pay: 1, query: 2 } }],
  ['the line breaks before the charge arrives', { loseRequest: { pay: 1 } }],
  ['answered twice', { answerTwice: { pay: 1, query: 1 } }],
  ['signed by somebody else', { wrongSignature: { pay: 1, query: 1 } }],
  ['HTTP 500 after it was carried out', { serverError: { pay: 1, query: 1 } }],
  ['HTTP 502 before it was carried out', { badGateway: { pay: 1 } }],
  ['"system error" after it was carried out', { systemError: { pay: 1, query: 1 } }],
  ['slower than anybody waits', { slowMs: 4_000 }],
]

for (const [channel, pay] of CHANNELS)
  t.test(`${channel}: whatever happens to the answer, paid once and told once`, async (t) => {
    for (const [name, faults] of PAID_ANYWAY) {
      const timing = faults.slowMs ? { [channel]: { timeoutMs: 1_000 } } : {}
      const { shop, open, code, is, ...sims } = await payShop(t, timing)
      const sim = sims[channel]
      Object.assign(sim.faults, structuredClone(faults))
      await open('F-1', 4_200)
      await code(pay)
      if (faults.slowMs) {
        await is('F-1', 'unknown')
        sim.faults.slowMs = 0
      }
      await is('F-1', 'paid')
      t.equal(sim.ledger.captured, 4_200, name)
      t.equal(sim.ledger.trades.size, 1, `${name}: one number`)
      await shop.until(() => shop.events.some((one) => one.event === 'paid'), 'told')
      t.notOk(
        shop.events.some((one) => one.event === 'failed' || one.event === 'reversed'),
        name,
      )
      t.notMatch(everything(shop), pay, `${name}: the code is nowhere`)
    }
  })

for (const [channel, pay] of CHANNELS)
  t.test(`${channel}: nobody can say whether it was paid: UNKNOWN and shown, undone until confirmed`, async (t) => {
    const { shop, open, code, is, patienceEnds, ...sims } = await payShop(t)
    const sim = sims[channel]
    Object.assign(sim.faults, { loseAnswer: { pay: 1 }, serverError: { query: 1_000 }, refuseCancel: 1 } satisfies Partial<Faults>)
    await open('N-1', 900)
    await code(pay)
    // The doubt may be over before anybody asks: what was said of it counts.
    await shop.until(() => shop.states.some((one) => one.device === 'till-1' && one.detail === 'unknown'), 'the doubt is shown')
    t.equal(sim.ledger.captured, 900, 'the money was taken')
    patienceEnds()
    await is('N-1', 'failed')
    t.equal(sim.ledger.captured, 0, 'the money went back')
    t.ok(sim.seen.cancel >= 2, 'after a cancel that was refused once')
    sim.faults.serverError = {}
    await code(`${pay.slice(0, -1)}0`)
    t.match((await is('N-1', 'paid')).attempt, /02$/, 'the next code has a number of its own')
    t.equal(sim.ledger.captured, 900)
  })

for (const [channel, pay] of CHANNELS)
  t.test(`${channel}: money that comes after everybody had given up is given back, loudly`, async (t) => {
    const { shop, open, code, is, ...sims } = await payShop(t)
    const sim = sims[channel]
    sim.faults.latePayMs = Number.POSITIVE_INFINITY
    sim.faults.loseRequest = { pay: 10 }
    await open('L-1', 700)
    await code(pay)
    await is('L-1', 'failed')
    t.equal(sim.ledger.trades.size, 0)
    sim.arriveLate()
    t.equal(sim.ledger.captured, 700, 'it has come')
    await shop.until(() => shop.events.some((one) => one.event === 'reversed' && one.data.late === true), 'given back')
    t.equal(sim.ledger.captured, 0)
    t.ok(shop.logs.some((one) => one.level === 'error'))
  })

t.test('wechat: a clock that is 10 minutes off gives no answer that counts, and says why', async (t) => {
  const { shop, open, code, is, wechat } = await payShop(t)
  wechat.faults.skewSeconds = 600
  await open('T-1', 100)
  await code(WECHAT_CODE)
  const unknown = await is('T-1', 'unknown')
  t.match(unknown.reason, /clock|SIGN_ERROR/)
  t.equal(wechat.ledger.captured, 0)
  wechat.faults.skewSeconds = 0
  await is('T-1', 'paid')
  t.equal(wechat.ledger.trades.size, 1, 'under the same number')
  t.equal(wechat.ledger.captured, 100)
  t.equal(shop.state('-')?.state, 'online')
})

t.test("a provider's certificate that does not verify: UNKNOWN, a clear state, and nothing was charged", { skip: openssl() }, async (t) => {
  const dir = testFolder(t)
  const [key, cert] = [join(dir, 'key.pem'), join(dir, 'cert.pem')]
  execFileSync(
    'openssl',
    ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '1', '-subj', '/CN=localhost', '-keyout', key, '-out', cert],
    { stdio: 'ignore' },
  )
  const impostor = new AlipaySimulator(testKeys().alipay, testKeys().appId)
  t.teardown(() => impostor.close())
  const port = await impostor.listen(0, '127.0.0.1', { key: readFileSync(key, 'utf8'), cert: readFileSync(cert, 'utf8') })
  const { shop, open, code, is } = await payShop(t, {
    alipay: { gateway: `https://localhost:${port}/gateway.do` },
    wechat: { endpoint: `https://localhost:${port}/` },
  })
  for (const [channel, pay] of CHANNELS) {
    await open(`${channel}-1`, 100, { till: channel })
    await code(pay, channel)
    t.match(await is(`${channel}-1`, 'unknown'), { reason: 'certificate' })
  }
  t.match(shop.state('-'), { state: 'fault', detail: 'alipay-certificate' })
  t.equal(impostor.seen.pay, 0)
})

t.test('keys that cannot be read: the charge is in doubt for nobody', async (t) => {
  const { shop, open, code, is } = await payShop(t, { alipay: { privateKey: '/nowhere/key.pem' } })
  await open('K-1', 100)
  await code()
  const seen = await is('K-1', 'failed')
  t.equal(seen.reason, 'secret-unreadable')
  t.notOk(shop.events.some((one) => one.event === 'unknown'))
})

t.test('kill -9 in the middle of a charge: taken up after the restart', async (t) => {
  for (const [channel, pay] of CHANNELS) {
    const made = await payShop(t)
    const sim = made[channel]
    sim.faults.slowAnswerMs = 200
    await made.open('X-1', 100)
    await made.code(pay)
    await made.shop.until(() => sim.ledger.trades.size === 1, 'carried out')
    const durable = await made.crash()
    sim.faults.slowAnswerMs = 0
    await made.restart(durable)
    await made.is('X-1', 'paid')
    t.equal(sim.seen.pay, 1, 'never charged again: the code is gone')
    t.equal(sim.ledger.captured, 100)
  }
})

t.test('HQ charges: asked under the merchant order number; silence is UNKNOWN, away is not paid', async (t) => {
  const asked: [string, JsonObject, string | undefined][] = []
  const answers: ((request: string, args: JsonObject) => Json)[] = []
  const { shop, open, code, is } = await payShop(
    t,
    { route: { alipay: 'hq' }, hq: { queryMs: 1_000, giveUpMs: 600_000, settleMs: 6_000 } },
    {
      ask: async (request, args, { id }) => {
        if (['charge', 'query', 'cancel', 'refund'].includes(request)) asked.push([request, args as JsonObject, id])
        const answer = answers.shift()
        if (!answer) throw new Failure('hq-unreachable', 'away')
        return answer(request, args as JsonObject)
      },
    },
  )
  const noAnswer = () => {
    throw new Failure('hq-no-answer', 'silence')
  }
  const paid = (_request: string, args: JsonObject): Json => ({
    status: 'paid',
    number: args.number ?? '',
    amount: args.amount ?? 0,
    transaction: 'hq-1',
    payer: 'wx-7',
  })
  answers.push(noAnswer, noAnswer, paid)
  await open('H-1', 300)
  await code()
  await is('H-1', 'paid')
  t.match(asked[0], ['charge', { code: ALIPAY_CODE, amount: 300, order: 'H-1' }, /01$/])
  t.equal(asked[0]?.[2], asked[0]?.[1].number)
  t.ok(shop.events.some((one) => one.event === 'unknown'))
  t.notMatch(everything(shop), /wx-7|281234567890123456/)
  await open('H-2', 300)
  await code('281234567890120002')
  t.match(await is('H-2', 'failed'), { reason: 'hq-unreachable' })
  answers.push((_request, args) => ({ status: 'paid', number: args.number ?? '', amount: 299, transaction: 'hq-2' }), paid)
  await code('281234567890120003')
  await is('H-2', 'paid')
  t.ok(
    shop.events.some((one) => one.event === 'unknown' && one.data.reason === 'answer-of-another-payment'),
    'a paid of another amount is no paid',
  )
})

t.test(
  'signatures as openssl makes them: the simulators check what the vendors document, not what the SDK does',
  { skip: openssl() },
  async (t) => {
    const dir = testFolder(t)
    execFileSync('openssl', ['genrsa', '-out', join(dir, 'key.pem'), '2048'], { stdio: 'ignore' })
    execFileSync('openssl', ['rsa', '-in', join(dir, 'key.pem'), '-pubout', '-out', join(dir, 'pub.pem')], { stdio: 'ignore' })
    const sign = (text: string) =>
      execFileSync('openssl', ['dgst', '-sha256', '-sign', join(dir, 'key.pem')], { input: text }).toString('base64')
    const pub = readFileSync(join(dir, 'pub.pem'), 'utf8')
    const simulator = new AlipaySimulator({ ...testKeys().alipay, appPublic: pub }, '2014072300007148')
    t.teardown(() => simulator.close())
    const port = await simulator.listen()
    const params: Record<string, string> = {
      app_id: '2014072300007148',
      biz_content: '{"out_trade_no":"20150320010101001"}',
      charset: 'utf-8',
      method: 'alipay.trade.query',
      sign_type: 'RSA2',
      timestamp: '2014-07-24 03:07:50',
      version: '1.0',
    }
    const text = Object.keys(params)
      .sort()
      .map((key) => `${key}=${params[key]}`)
      .join('&')
    const ask = async (signature: string) => {
      const response = await fetch(`http://127.0.0.1:${port}/gateway.do`, {
        method: 'POST',
        body: new URLSearchParams({ ...params, sign: signature }),
      })
      return response.text()
    }
    const body = await ask(sign(text))
    t.match(body, /"sub_code":"ACQ.TRADE_NOT_EXIST"/)
    t.match(await ask(sign(`${text}x`)), /isv.invalid-signature/)
    const [, inner = '', signature = ''] = /^\{"alipay_trade_query_response":(\{.*\}),"sign":"([^"]+)"\}$/.exec(body) ?? []
    const alipayPublic = readFileSync(testKeys().config.alipay.alipayPublicKey ?? '', 'utf8')
    t.ok(createVerify('RSA-SHA256').update(inner).verify(alipayPublic, signature, 'base64'), 'the answer as it stands is what is signed')
  },
)

function openssl(): string | false {
  return existsSync('/usr/bin/openssl') ? false : 'openssl is not here'
}
