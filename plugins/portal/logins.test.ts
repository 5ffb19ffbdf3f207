/** The ways in: SMS, one-time codes, links; and who must not get in by them. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import type { Json, JsonObject } from '../../daemon/contract/json.ts'
import { macOf, Shop } from './testing.ts'

type Test = Pick<typeof import('tap').default, 'teardown'>

async function shop(t: Test, options: Parameters<typeof Shop.open>[0] = {}): Promise<Shop> {
  const opened = await Shop.open(options)
  t.teardown(() => opened.close())
  return opened
}

const everything = ({ harness }: Shop): string => JSON.stringify([harness.events, harness.states, harness.logs, [...harness.store]])

interface Sent {
  phone: string
  code: string
  text: string
}

/** A shop whose SMS go by HQ, and what HQ was asked to send. */
async function smsShop(t: Test, config: JsonObject = {}): Promise<{ one: Shop; sent: Sent[]; away: { now: boolean } }> {
  const sent: Sent[] = []
  const away = { now: false }
  const one = await shop(t, {
    config: { login: { tap: false, sms: true }, sms: { via: 'hq' }, ...config },
    ask: async (request, args) => {
      if (away.now) throw Object.assign(new Error('away'), { code: 'hq-unreachable' })
      if (request === 'sms') sent.push(args as unknown as Sent)
      return {}
    },
  })
  return { one, sent, away }
}

t.test('a code by SMS: sent through HQ, typed in, online as the person; the number stays unknown', async (t) => {
  const { one, sent } = await smsShop(t, { marketing: 'Write to me' })
  const path = await one.arrive(1)
  t.match((await one.ask(1, path)).body, /<details open>/, 'the only way in is open')
  const asked = await one.ask(1, `${path}sms`, { form: { phone: '138 0013 8000', marketing: 'yes' } })
  t.match(asked.body, /\+86138\*\*\*\*8000/)
  t.match(sent, [{ phone: '8613800138000', code: /^\d{6}$/, text: /\d{6}/ }])
  t.match(await one.ask(1, `${path}verify`, { form: { code: wrongOf(sent), to: '+86138****8000' } }), { status: 422, body: /not right/ })
  t.equal((await one.ask(1, `${path}verify`, { form: { code: String(sent[0]?.code) } })).status, 200)
  await one.harness.until(() => one.events('session-started').length === 1, 'the start')
  const [started] = one.events('session-started')
  t.match(started, { method: 'sms', returning: false, consent: { marketing: true } })
  t.not(started?.visitor, started?.station, 'a person, not a station')
  await one.harness.until(() => one.events('present').length === 2, 'was')
  t.match(one.events('present')[1], { visitor: started?.visitor, was: started?.station, by: 'portal' })
  // The same person with another phone.
  await one.clock.pass(61_000)
  const second = await one.arrive(2)
  await one.ask(2, `${second}sms`, { form: { phone: '+86 13800138000' } })
  await one.ask(2, `${second}verify`, { form: { code: String(sent[1]?.code) } })
  await one.harness.until(() => one.events('session-started').length === 2, 'the second')
  t.match(one.events('session-started')[1], { visitor: started?.visitor, returning: true })
  t.notMatch(everything(one), /13800138000/)
  for (const { code } of sent) t.notMatch(everything(one), `"${code}"`)
})

const wrongOf = (sent: Sent[]): string => String((Number(sent.at(-1)?.code) + 1) % 1_000_000).padStart(6, '0')

t.test('SMS: a bad number, too many messages, too many tries, HQ away: told, and the form again', async (t) => {
  const { one, sent, away } = await smsShop(t)
  const path = await one.arrive(1)
  t.match(await one.ask(1, `${path}sms`, { form: { phone: '12345"><b>' } }), { status: 422, body: /value="12345&quot;&gt;&lt;b&gt;"/ })
  away.now = true
  t.match(await one.ask(1, `${path}sms`, { form: { phone: '13800138000' } }), { status: 502, body: /could not be sent/ })
  away.now = false
  await one.clock.pass(61_000)
  t.equal((await one.ask(1, `${path}sms`, { form: { phone: '13800138000' } })).status, 200)
  t.match(await one.ask(1, `${path}sms`, { form: { phone: '13900139000' } }), { status: 429, body: /another in 60 seconds/ })
  for (let at = 0; at < 4; at++) await one.ask(1, `${path}verify`, { form: { code: wrongOf(sent) } })
  t.match(await one.ask(1, `${path}verify`, { form: { code: wrongOf(sent) } }), { body: /no longer good|Too many/ })
  t.match((await one.ask(1, `${path}verify`, { form: { code: String(sent[0]?.code) } })).status, 422, 'not even the right one now')
  t.equal(one.network.granted.size, 0)
  t.notMatch(everything(one), /1380013|1390013/)
})

t.test('SMS: no messages abroad unless the shop wants them, and a day has so many', async (t) => {
  const { one, sent } = await smsShop(t, { sms: { via: 'hq', countries: ['852'], perDay: 2 } })
  const ask = async (phone: number, number: string) => one.ask(phone, `${await one.arrive(phone)}sms`, { form: { phone: number } })
  t.match(await ask(1, '+881 6 1234 5678'), { status: 422, body: /cannot send messages to that country/ }, 'a satellite phone')
  t.equal((await ask(1, '+852 5123 4567')).status, 200)
  t.equal((await ask(2, '13800138000')).status, 200)
  for (const phone of [3, 4]) t.match(await ask(phone, `1390013900${phone}`), { status: 429, body: /No more messages can be sent/ })
  t.equal(sent.length, 2)
  t.equal(one.harness.logs.filter(({ message }) => /SMS are used up/.test(message)).length, 1)
})

t.test('somebody guesses receipt codes until nobody may try: who was sent an SMS gets in with it', async (t) => {
  const { one, sent } = await smsShop(t, { login: { sms: true, code: true }, lockout: { perClient: 5, total: 10, minutes: 10 } })
  const path = await one.arrive(1)
  for (const phone of [2, 3])
    for (let at = 0; at < 5; at++) await one.ask(phone, `${await one.arrive(phone)}code`, { form: { code: 'AAAAAAAA' } })
  t.equal((await one.ask(4, `${await one.arrive(4)}code`, { form: { code: 'AAAAAAAA' } })).status, 429)
  t.equal((await one.ask(1, `${path}sms`, { form: { phone: '13800138000' } })).status, 200)
  t.equal((await one.ask(1, `${path}verify`, { form: { code: String(sent[0]?.code) } })).status, 200)
})

t.test('SMS by webhook: the secret goes with it, a refusal is a refusal', async (t) => {
  let status = 200
  const got: { authorization: string | undefined; body: string }[] = []
  const server = createServer(async (request, response) => {
    let body = ''
    for await (const chunk of request) body += String(chunk)
    got.push({ authorization: request.headers.authorization, body })
    response.writeHead(status).end()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/sms`
  const one = await shop(t, { config: { login: { sms: true }, sms: { url, secret: 's3cret-token' } } })
  const path = await one.arrive(1)
  t.equal((await one.ask(1, `${path}sms`, { form: { phone: '13800138000' } })).status, 200)
  t.match(got, [{ authorization: 'Bearer s3cret-token' }])
  t.match(JSON.parse(String(got[0]?.body)), { phone: '8613800138000', code: /^\d{6}$/, language: 'en' })
  status = 500
  t.equal((await one.ask(2, `${await one.arrive(2)}sms`, { form: { phone: '13900139000' } })).status, 502)
  await t.rejects(Shop.open({ config: { login: { sms: true } } }), { code: 'config-invalid', message: /sms\.url/ })
})

t.test('a code from the receipt: once, in any writing; a member code makes the session the member', async (t) => {
  const one = await shop(t, { config: { login: { tap: false, code: true } } })
  const issued = (await one.harness.command('-', 'code', { minutes: 30 })) as { code: string; expires: string }
  t.match(issued.code, /^[0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{4}$/)
  t.notMatch(JSON.stringify([...one.harness.store]), issued.code.replace('-', ''), 'kept as a hash')
  const path = await one.arrive(1)
  t.equal((await one.ask(1, `${path}code`, { form: { code: ` ${issued.code.toLowerCase().replace('-', ' ')}` } })).status, 200)
  t.match(one.network.granted.get(macOf(1)), { seconds: 30 * 60 + 15 })
  t.equal((await one.ask(1, `${path}code`, { form: { code: issued.code } })).status, 200, 'the same finger twice is no second use')
  t.match(await one.ask(2, `${await one.arrive(2)}code`, { form: { code: issued.code } }), { status: 422, body: /used already/ })
  const member = (await one.harness.command('-', 'code', { member: 'M-4711', uses: 2 })) as { code: string }
  for (const phone of [3, 4]) await one.ask(phone, `${await one.arrive(phone)}code`, { form: { code: member.code } })
  await one.harness.until(() => one.events('session-started').length === 3, 'all')
  const [, third, fourth] = one.events('session-started')
  t.equal(third?.visitor, fourth?.visitor)
  t.equal(third?.member, third?.visitor)
  t.match(
    one.events('present').find((event) => event.was === third?.station),
    { role: 'member' },
  )
  t.notMatch(everything(one), 'M-4711')
})

t.test('a code of dashes is no code', async (t) => {
  const one = await shop(t, { config: { login: { code: true } } })
  await t.rejects(one.harness.command('-', 'code', { code: '------' }), { code: 'args-invalid', message: /6 at least/ })
  t.equal((await one.ask(1, `${await one.arrive(1)}code`, { form: { code: '' } })).status, 422)
})

t.test('codes outlive a restart, and expire', async (t) => {
  const store = new Map<string, Json>()
  const before = await Shop.open({ store, config: { login: { code: true } } })
  const short = (await before.harness.command('-', 'code', { validMinutes: 10 })) as { code: string }
  const long = (await before.harness.command('-', 'code', { validMinutes: 600 })) as { code: string }
  await before.close()
  const after = await shop(t, { store, config: { login: { code: true } } })
  await after.clock.pass(11 * 60_000)
  t.equal((await after.ask(1, `${await after.arrive(1)}code`, { form: { code: short.code } })).status, 422)
  t.equal((await after.ask(1, `${await after.arrive(1)}code`, { form: { code: long.code } })).status, 200)
})

t.test('guessing: five wrong ones and a station waits; a hundred of everybody and nobody may try; taps go on', async (t) => {
  const one = await shop(t, { config: { login: { code: true }, lockout: { perClient: 5, total: 20, minutes: 10 } } })
  const good = (await one.harness.command('-', 'code', {})) as { code: string }
  const path = await one.arrive(1)
  const guess = (phone: number, where: string, code = 'AAAAAAAA') => one.ask(phone, `${where}code`, { form: { code } })
  for (let at = 0; at < 5; at++) t.equal((await guess(1, path)).status, 422)
  t.match(await guess(1, path, good.code), {
    status: 429,
    body: /Too many wrong codes. Please wait 10 minutes/,
    headers: { 'retry-after': '600' },
  })
  for (let phone = 2; phone <= 4; phone++) for (let at = 0; at < 5; at++) await guess(phone, await one.arrive(phone))
  t.equal((await guess(9, await one.arrive(9), good.code)).status, 429, 'everybody')
  t.equal(one.harness.logs.filter((line) => line.fields.code === 'code-locked').length, 1)
  t.equal((await one.tap(9)).status, 200, 'a tap is no guess')
  await one.clock.pass(10 * 60_000 + 1_000)
  t.equal((await guess(1, await one.arrive(1), good.code)).status, 200)
})

t.test('a returning visitor is known by the link, on the same phone only, and not after erasure', async (t) => {
  const one = await shop(t, { config: { session: { minutes: 5 } } })
  const { body } = await one.tap(1)
  const link = /href="(\/v\/[\w-]+\/en\/)"/.exec(body)?.[1] ?? ''
  t.ok(link)
  t.match((await one.ask(1, link)).body, /You're connected/, 'the own page while online')
  await one.clock.pass(6 * 60_000)
  const back = await one.ask(1, link)
  t.match(back.body, /Welcome back/)
  const action = /action="(\/t\/[^"]+back)"/.exec(back.body)?.[1] ?? ''
  const token = link.split('/')[2] ?? ''
  t.equal((await one.ask(1, action, { form: { back: token } })).status, 200)
  await one.harness.until(() => one.events('session-started').length === 2, 'back')
  t.match(one.events('session-started')[1], { method: 'returning', returning: true })

  t.match(await one.ask(2, link), { status: 302, headers: { location: /\?n=link$/ } }, "another phone's")
  const other = await one.arrive(2)
  t.match(await one.ask(2, `${other}back`, { form: { back: token } }), { status: 403, body: /not good on this device/ })
  const forged = `${token.slice(0, 30)}${token[30] === 'A' ? 'B' : 'A'}${token.slice(31)}`
  t.equal((await one.ask(2, `${other}back`, { form: { back: forged } })).status, 403)
  t.equal((await one.ask(2, `${other}back`, { form: { back: '' } })).status, 403)
  t.notOk(one.network.granted.has(macOf(2)))

  const [first] = one.events('session-started')
  t.match(await one.harness.command('-', 'erase', { visitor: String(first?.visitor) }), { sessions: 1, log: 'none' })
  t.notOk(one.network.granted.has(macOf(1)), 'offline at once')
  t.match(one.events('erased'), [{ visitor: first?.visitor, sessions: 1, log: 'none' }])
  t.match(await one.ask(1, link), { status: 302, headers: { location: /\?n=link$/ } })
  await one.tap(1)
  await one.harness.until(() => one.events('session-started').length === 3, 'as a stranger')
  t.match(one.events('session-started')[2], { returning: false })
  await one.clock.pass(6 * 60_000)
  t.equal((await one.ask(1, link)).status, 302, 'the old link stays dead though the phone is known again')
})

t.test('a login that is off is off, whatever is posted', async (t) => {
  const one = await shop(t, { config: { login: { tap: false, code: true, returning: false } } })
  const path = await one.arrive(1)
  for (const action of ['connect', 'sms', 'verify', 'back'])
    t.equal((await one.ask(1, `${path}${action}`, { form: { phone: '13800138000', code: '1' } })).status, 403, action)
  t.equal(one.network.granted.size, 0)
  t.notMatch((await one.ask(1, path)).body, /action="(connect|sms)"/)
})

t.test('somebody is erased by phone number, codes and all', async (t) => {
  const { one, sent } = await smsShop(t, { login: { sms: true, code: true } })
  const path = await one.arrive(1)
  await one.ask(1, `${path}sms`, { form: { phone: '13800138000' } })
  await one.ask(1, `${path}verify`, { form: { code: String(sent[0]?.code) } })
  t.match(await one.harness.command('-', 'erase', { phone: '138-0013-8000' }), { sessions: 1 })
  t.match(one.events('erased'), [{ also: [/^[\w-]{22}$/] }])
  t.same(
    [...one.harness.store.keys()].filter((key) => /^(visitor|session)\//.test(key)),
    [],
  )
  await t.rejects(one.harness.command('-', 'erase', { phone: 'nobody' }), { code: 'args-invalid' })
})
