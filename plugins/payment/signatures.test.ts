/** Adapters and simulators against signatures that openssl has made: golden.ts. */
import { createVerify } from 'node:crypto'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { mock } from 'node:test'
import t, { type Test } from 'tap'
import type { Clock, WallMs } from '../../daemon/contract/plugin.ts'
import { testFolder } from '../../daemon/testing/folder.ts'
import {
  ALIPAY_ANSWER,
  ALIPAY_REQUEST,
  MERCHANT_PRIVATE,
  MERCHANT_PUBLIC,
  PROVIDER_PRIVATE,
  PROVIDER_PUBLIC,
  WECHAT_ANSWER,
  WECHAT_CHARGE,
  WECHAT_QUERY,
} from './golden.ts'
import { openAlipay } from './providers/alipay.ts'
import type { Charge } from './providers/api.ts'
import { openWechat } from './providers/wechat.ts'
import { AlipaySimulator } from './simulators/alipay.ts'
import { APP_ID, MCHID } from './simulators/keys.ts'
import { WechatSimulator } from './simulators/wechat.ts'
import { QUICK } from './testing.ts'

const APPID = 'wxd678efh567hg6787'
const SERIAL = '444F4864EA9B34415A3B5C2D8E1F0A6B7C8D9E0F'
const PLATFORM = 'PUB_KEY_ID_0114232134912410000000000000'

const CHARGE: Charge = {
  number: '0123456789abcdef012301',
  show: 'code',
  channel: 'alipay',
  amount: 8_805,
  currency: 'CNY',
  till: 'till-1',
  order: 'A/47 & 11',
  expiresAt: '2026-03-14T06:10:09.000Z',
  code: '281234567890123456',
}

interface Heard {
  method: string
  target: string
  headers: IncomingHttpHeaders
  body: string
}

/** Says one thing, and keeps what it was asked: it knows nothing of signatures. */
async function parrot(t: Test, headers: Record<string, string>, body: string) {
  const heard: Heard[] = []
  const server = createServer(async (request, response) => {
    let text = ''
    for await (const chunk of request) text += String(chunk)
    heard.push({ method: request.method ?? '', target: request.url ?? '', headers: request.headers, body: text })
    response.writeHead(200, headers).end(body)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return { heard, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
}

function keysIn(t: Test) {
  const dir = testFolder(t)
  const [privateKey, publicKey] = [join(dir, 'merchant.pem'), join(dir, 'provider.pub.pem')]
  writeFileSync(privateKey, MERCHANT_PRIVATE)
  writeFileSync(publicKey, PROVIDER_PUBLIC)
  return { privateKey, publicKey }
}

const clockAt = (time: string) => ({ wall: () => Date.parse(time) as WallMs }) as Clock

const alipayBody = (text: string) => `{"alipay_trade_pay_response":${text},"sign":"${ALIPAY_ANSWER.sign}"}`

async function alipayAt(t: Test, answer: string) {
  const { heard, url } = await parrot(t, { 'content-type': 'text/html;charset=utf-8' }, alipayBody(answer))
  const { privateKey, publicKey } = keysIn(t)
  const config = {
    appId: APP_ID,
    privateKey,
    keyType: 'PKCS8' as const,
    alipayPublicKey: publicKey,
    ...QUICK,
    gateway: `${url}/gateway.do`,
  }
  return { heard, provider: await openAlipay(config, 'Blue Lantern', clockAt(ALIPAY_REQUEST.at)) }
}

t.test('Alipay: the charge on the wire carries the signature that openssl makes, and openssl’s answer is believed', async (t) => {
  const { heard, provider } = await alipayAt(t, ALIPAY_ANSWER.text)
  t.match(await provider.charge(CHARGE), {
    kind: 'paid',
    transaction: '2026031422001455611000000001',
    paidAt: '2026-03-14T06:05:10.000Z',
    payer: '2088101117955611',
  })
  const [request] = heard
  const sent = new Map([...new URL(request?.target ?? '', 'http://a').searchParams, ...new URLSearchParams(request?.body)])
  t.same(Object.fromEntries(sent), { ...ALIPAY_REQUEST.params, sign: ALIPAY_REQUEST.sign })
})

t.test('Alipay: an answer with one digit changed is no answer', async (t) => {
  const { provider } = await alipayAt(t, ALIPAY_ANSWER.text.replace('88.05', '88.06'))
  t.same(await provider.charge(CHARGE), { kind: 'unknown', reason: 'bad-signature' })
})

t.test('the simulated Alipay takes openssl’s signature, and no other', async (t) => {
  const simulator = new AlipaySimulator(
    { appPublic: MERCHANT_PUBLIC, alipayPrivate: PROVIDER_PRIVATE, strangerPrivate: MERCHANT_PRIVATE },
    APP_ID,
  )
  t.teardown(() => simulator.close())
  const port = await simulator.listen()
  const ask = async (params: Record<string, string>) => {
    const response = await fetch(`http://127.0.0.1:${port}/gateway.do`, { method: 'POST', body: new URLSearchParams(params) })
    return response.text()
  }
  const { params, sign } = ALIPAY_REQUEST
  t.match(await ask({ ...params, biz_content: params.biz_content.replace('88.05', '0.05'), sign }), /isv.invalid-signature/)
  t.equal(simulator.ledger.captured, 0)
  const body = await ask({ ...params, sign })
  t.match(body, /"code":"10000"/)
  t.equal(simulator.ledger.captured, 8_805)
  const [, inner = '', signature = ''] = /^\{"alipay_trade_pay_response":(\{.*\}),"sign":"([^"]+)"\}$/.exec(body) ?? []
  t.ok(createVerify('RSA-SHA256').update(inner).verify(PROVIDER_PUBLIC, signature, 'base64'))
})

async function wechatAt(t: Test, body: string) {
  const { timestamp, nonce, signature } = WECHAT_ANSWER
  const { heard, url } = await parrot(
    t,
    {
      'content-type': 'application/json',
      'wechatpay-timestamp': timestamp,
      'wechatpay-nonce': nonce,
      'wechatpay-serial': PLATFORM,
      'wechatpay-signature': signature,
    },
    body,
  )
  const { privateKey, publicKey } = keysIn(t)
  const config = { mchid: MCHID, appid: APPID, serial: SERIAL, privateKey, platformKeys: { [PLATFORM]: publicKey }, ...QUICK }
  return { heard, provider: await openWechat({ ...config, endpoint: `${url}/` }, 'Blue Lantern', clockAt('2026-03-14T06:05:10Z')) }
}

/** The SDK reads the process's clock; WeChat Pay's answers count for 5 minutes. */
function atTheTimeOf(t: Test, timestamp: string): void {
  mock.timers.enable({ apis: ['Date'], now: Number(timestamp) * 1_000 })
  t.teardown(() => mock.timers.reset())
}

t.test('WeChat Pay: openssl’s answer is believed, and not a byte else; what is sent verifies as the vendor documents it', async (t) => {
  atTheTimeOf(t, WECHAT_ANSWER.timestamp)
  const { heard, provider } = await wechatAt(t, WECHAT_ANSWER.body)
  const charge = { ...CHARGE, channel: 'wechat', code: '134567890123456789' }
  const paid = { kind: 'paid', transaction: '4200002026031400000000000001', paidAt: '2026-03-14T06:05:10.000Z' }
  t.match(await provider.charge(charge), paid)
  t.match(await provider.query(charge), paid)
  for (const { method, target, headers, body } of heard) {
    const [, scheme, rest = ''] = /^(\S+) (.*)$/.exec(headers.authorization ?? '') ?? []
    t.equal(scheme, 'WECHATPAY2-SHA256-RSA2048')
    const field = (name: string) => new RegExp(`(?:^|,)${name}="([^"]*)"`).exec(rest)?.[1] ?? ''
    t.match([field('mchid'), field('serial_no')], [MCHID, SERIAL])
    t.equal(field('timestamp'), WECHAT_ANSWER.timestamp)
    const text = `${method}\n${target}\n${field('timestamp')}\n${field('nonce_str')}\n${body}\n`
    t.ok(createVerify('RSA-SHA256').update(text).verify(MERCHANT_PUBLIC, field('signature'), 'base64'), `${method} ${target}`)
  }
  t.match(
    heard.map(({ method, target }) => `${method} ${target}`),
    [`POST ${WECHAT_CHARGE.target}`, `GET ${WECHAT_QUERY.target}`],
  )
  const forged = await wechatAt(t, WECHAT_ANSWER.body.replace('8805', '8806'))
  t.same(await forged.provider.query(charge), { kind: 'unknown', reason: 'bad-signature' })
})

t.test('WeChat Pay: six minutes later the same answer counts no more', async (t) => {
  atTheTimeOf(t, String(Number(WECHAT_ANSWER.timestamp) + 360))
  const { provider } = await wechatAt(t, WECHAT_ANSWER.body)
  t.same(await provider.query({ ...CHARGE, channel: 'wechat' }), { kind: 'unknown', reason: 'clock' })
})

t.test('the simulated WeChat Pay takes openssl’s signatures, and no other', async (t) => {
  const simulator = new WechatSimulator({
    mchid: MCHID,
    appid: APPID,
    serial: SERIAL,
    merchantPublic: MERCHANT_PUBLIC,
    platformId: PLATFORM,
    platformPrivate: PROVIDER_PRIVATE,
    strangerPrivate: MERCHANT_PRIVATE,
  })
  t.teardown(() => simulator.close())
  simulator.faults.skewSeconds = Number(WECHAT_CHARGE.timestamp) - Math.floor(Date.now() / 1_000)
  const port = await simulator.listen()
  const ask = async ({ target, timestamp, nonce, signature }: typeof WECHAT_QUERY, body?: string) => {
    const fields = { mchid: MCHID, nonce_str: nonce, signature, timestamp, serial_no: SERIAL }
    const list = Object.entries(fields).map(([key, value]) => `${key}="${value}"`)
    const response = await fetch(`http://127.0.0.1:${port}${target}`, {
      method: body === undefined ? 'GET' : 'POST',
      headers: { authorization: `WECHATPAY2-SHA256-RSA2048 ${list.join(',')}`, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body }),
    })
    return { response, text: await response.text() }
  }
  t.equal((await ask(WECHAT_CHARGE, WECHAT_CHARGE.body.replace('8805', '5'))).response.status, 401)
  t.equal(simulator.ledger.captured, 0)
  t.match((await ask(WECHAT_CHARGE, WECHAT_CHARGE.body)).text, /"trade_state":"SUCCESS"/)
  t.equal(simulator.ledger.captured, 8_805)
  const { response, text } = await ask(WECHAT_QUERY)
  t.match(text, /"total":8805/)
  const header = (name: string) => response.headers.get(`wechatpay-${name}`) ?? ''
  const signed = `${header('timestamp')}\n${header('nonce')}\n${text}\n`
  t.ok(createVerify('RSA-SHA256').update(signed).verify(PROVIDER_PUBLIC, header('signature'), 'base64'))
  t.equal((await ask({ ...WECHAT_QUERY, target: WECHAT_QUERY.target.replace('2301', '2302') })).response.status, 401)
})
