/** The real portal over real HTTP, on a guest network in memory. */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { request } from 'node:https'
import { connect } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import type { Json, JsonObject } from '../../daemon/contract/json.ts'
import { testFolder } from '../../daemon/testing/folder.ts'
import { until } from '../../daemon/testing/until.ts'
import { ipOf, macOf, Shop, shopConfig } from './testing.ts'

type Test = Pick<typeof import('tap').default, 'teardown'>

async function shop(t: Test, options: Parameters<typeof Shop.open>[0] = {}): Promise<Shop> {
  const opened = await Shop.open(options)
  t.teardown(() => opened.close())
  return opened
}

/** Everything the portal has let out of its hands. */
function everything({ harness }: Shop): string {
  return JSON.stringify([harness.events, harness.states, harness.logs, [...harness.store]])
}

/** Nobody is cut off for being quiet. */
const AWAKE: JsonObject = { session: { idleMinutes: 0 } }

const FULL_HOUSE: JsonObject = {
  login: { sms: true, code: true },
  sms: { via: 'hq' },
  marketing: { zh: '可以给我发优惠', en: 'Send me offers' },
  offers: [{ id: 'tea', title: { zh: '第二杯半价', en: 'Second cup half price' }, code: 'CP-TEA-2', until: '2026-12-31' }],
  member: { prefix: 'LT-' },
  terms: { version: '7' },
}

t.test('a shopper joins, is redirected, taps once and is online; HQ hears who and by what consent', async (t) => {
  const one = await shop(t, { config: FULL_HOUSE })
  const path = await one.arrive(1)
  t.match(path, /^\/t\/[\w-]{16}\/en\/$/)
  const page = await one.ask(1, path)
  t.equal(page.status, 200)
  t.match(page.body, /Agree and connect/)
  t.match(page.body, /type="checkbox" name="marketing" value="yes">/)
  t.notMatch(page.body, /<script|checked|https?:/)
  const connected = await one.ask(1, `${path}connect`, { form: {} })
  t.equal(connected.status, 200)
  t.ok(one.network.granted.has(macOf(1)), 'let out before the answer was there')
  t.match(connected.body, /You're connected/)
  t.match(connected.body, /Second cup half price/)
  t.match(connected.body, /CP-TEA-2/)
  t.equal(connected.headers.connection, 'close')
  await one.harness.until(() => one.events('session-started').length === 1, 'the start')
  const [started] = one.events('session-started')
  t.match(started, { method: 'tap', returning: false, consent: { version: '7', hash: /^[0-9a-f]{64}$/, language: 'en', marketing: false } })
  t.equal(started?.visitor, started?.station)
  t.match(started?.member, /^[\w-]{22}$/)
  t.notMatch(everything(one), macOf(1), 'its address is nowhere but sealed')
  t.match(one.network.granted.get(macOf(1)), { ip: ipOf(1), seconds: 7215 })
})

t.test('a shop that writes only its network has a portal that is one tap', async (t) => {
  const one = await shop(t, { config: { network: { interface: 'br0', address: '127.0.0.1/8' }, controller: 'nftables' } })
  t.equal((await one.tap(1)).status, 200)
  t.match(await one.harness.command('-', 'sessions'), { sessions: [{ method: 'tap', active: true, secondsLeft: 7200 }] })
})

t.test('marketing is a box of its own, and agreed to only by ticking it', async (t) => {
  const one = await shop(t, { config: FULL_HOUSE })
  await one.tap(1)
  await one.tap(2, { marketing: 'yes' })
  await one.harness.until(() => one.events('session-started').length === 2, 'both')
  t.same(
    one.events('session-started').map((event) => (event.consent as JsonObject).marketing),
    [false, true],
  )
  const other = await shop(t)
  t.notMatch((await other.ask(1, await other.arrive(1))).body, 'checkbox', 'no sentence, no box')
})

t.test('every probe is redirected while captive and answered as its vendor does once online', async (t) => {
  const one = await shop(t)
  const probes: [string, string, number, RegExp][] = [
    ['captive.apple.com', '/hotspot-detect.html', 200, /Success/],
    ['connectivitycheck.gstatic.com', '/generate_204', 204, /^$/],
    ['www.google.com', '/generate_204', 204, /^$/],
    ['connect.rom.miui.com', '/generate_204', 204, /^$/],
    ['conn1.oppomobile.com', '/generate_204', 204, /^$/],
    ['wifi.vivo.com.cn', '/generate_204', 204, /^$/],
    ['connectivitycheck.platform.hicloud.com', '/generate_204', 204, /^$/],
    ['connectivitycheck.platform.hihonorcloud.com', '/generate_204', 204, /^$/],
    ['www.msftconnecttest.com', '/connecttest.txt', 200, /^Microsoft Connect Test$/],
    ['www.msftncsi.com', '/ncsi.txt', 200, /^Microsoft NCSI$/],
    ['detectportal.firefox.com', '/success.txt', 200, /^success\n$/],
    ['detectportal.firefox.com', '/canonical.html', 200, /captive-portal/],
    ['nmcheck.gnome.org', '/check_network_status.txt', 200, /^NetworkManager is online\n$/],
    ['connectivity-check.ubuntu.com', '/', 204, /^$/],
  ]
  for (const [host, path] of probes) {
    const { status, headers } = await one.ask(1, path, { host })
    t.match(
      { status, location: headers.location, connection: headers.connection },
      { status: 302, location: /\/t\//, connection: 'close' },
      host,
    )
  }
  t.equal((await one.ask(1, '/whatever?x=1', { host: 'news.example' })).status, 302, 'any other host, too')
  await one.tap(1)
  for (const [host, path, status, body] of probes) {
    const answer = await one.ask(1, path, { host })
    t.equal(answer.status, status, host)
    t.match(answer.body, body, host)
  }
})

t.test('a spare connection from before the tap does not bring the portal in place of the page that is asked for', async (t) => {
  const one = await shop(t)
  let answer = ''
  // A machine that stands still for 5 s has the spare one closed for its silence: then there is none, and the next one is.
  while (!answer.startsWith('HTTP/1.1 302 ')) {
    await one.harness.command('-', 'revoke', { all: true })
    const spare = connect({ host: '127.0.0.1', port: one.port, localAddress: ipOf(1) })
    t.teardown(() => spare.destroy())
    answer = ''
    spare.setEncoding('latin1').on('data', (text) => {
      answer += text
    })
    spare.on('error', () => {})
    const closed = new Promise((resolve) => spare.once('close', resolve))
    await until(async () => {
      const { connections } = (await one.harness.command('-', 'status')) as { connections: number }
      return connections === 1 || spare.destroyed
    }, 'it is open')
    await one.clock.pass(1_000)
    await one.harness.command('-', 'grant', { address: ipOf(1) })
    spare.write('GET /today?page=2 HTTP/1.1\r\nHost: news.example\r\n\r\n')
    await closed
  }
  t.match(answer, /\r\nlocation: http:\/\/news\.example\/today\?page=2\r\n/, 'once more, over a connection that the network lets out')
  const { headers } = await one.ask(1, '/today?page=2', { host: 'news.example' })
  t.match(headers.location, /\/t\//, 'one that still comes here is not sent in circles')
})

t.test('RFC 8908: what a device is told about its captivity', async (t) => {
  const one = await shop(t)
  const captive = await one.ask(1, '/captive-portal/api')
  t.equal(captive.headers['content-type'], 'application/captive+json')
  t.match(JSON.parse(captive.body), { captive: true, 'user-portal-url': /^http:/ })
  await one.tap(1)
  t.match(JSON.parse((await one.ask(1, '/captive-portal/api')).body), {
    captive: false,
    'seconds-remaining': 7200,
    'can-extend-session': true,
  })
})

t.test('with a certificate: the same over TLS, where RFC 8908 wants it', async (t) => {
  const dir = testFolder(t)
  const [certFile, keyFile] = [join(dir, 'cert.pem'), join(dir, 'key.pem')]
  const words = 'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=wifi.lotus.example -keyout'
  execFileSync('openssl', [...words.split(' '), keyFile, '-out', certFile], { stdio: 'ignore' })
  const one = await shop(t, { config: { https: { name: 'wifi.lotus.example', certFile, keyFile, port: 0 } } })
  const told = JSON.parse((await one.ask(1, '/captive-portal/api')).body) as Record<string, string>
  const portal = new URL(String(told['user-portal-url']))
  t.match(portal, { protocol: 'https:', hostname: 'wifi.lotus.example' })
  const location = await new Promise((resolve, reject) => {
    const sent = request(
      {
        host: '127.0.0.1',
        port: portal.port,
        localAddress: ipOf(1),
        path: '/',
        ca: readFileSync(certFile),
        servername: portal.hostname,
        checkServerIdentity: () => undefined,
        headers: { host: portal.host },
      },
      (response) => {
        response.resume()
        resolve(response.headers.location)
      },
    )
    sent.on('error', reject)
    sent.end()
  })
  t.match(location, /^https:\/\/wifi\.lotus\.example:\d+\/t\//, 'who came over TLS stays there')
  await t.rejects(Shop.open({ config: { https: { name: 'x.example', certFile: join(dir, 'none'), keyFile, port: 0 } } }), {
    code: 'secret-unreadable',
  })
})

t.test('the page speaks the language of the phone, says it in the path, and stays below 14 KB', async (t) => {
  const one = await shop(t, { config: FULL_HOUSE })
  t.match(await one.arrive(1, 'zh-CN,zh;q=0.9,en;q=0.8'), /\/zh\/$/)
  t.match(await one.arrive(1, 'de-DE,en;q=0.5,zh;q=0.1'), /\/en\/$/)
  t.match(await one.arrive(1, 'fr'), /\/en\/$/)
  const path = await one.arrive(1, 'zh')
  const { body, headers } = await one.ask(1, path)
  t.match(body, /lang="zh-CN"/)
  t.match(body, /同意并连接/)
  t.match(body, /href="\.\.\/en\/"/)
  t.match(headers['content-security-policy'], /^default-src 'none'; style-src 'sha256-/)
  t.match(await one.ask(1, `${path}terms`), { status: 200, body: /使用条款/ })
  const { pageBytes } = (await one.harness.command('-', 'status')) as { pageBytes: Record<string, number> }
  for (const [page, bytes] of Object.entries(pageBytes)) t.ok(bytes < 14 * 1024, `${page}: ${bytes} bytes`)
  const zipped = await one.ask(1, path, { headers: { 'accept-encoding': 'gzip' } })
  t.equal(zipped.headers['content-encoding'], 'gzip')
})

t.test('time runs out: cut off, told why, one tap and online again as somebody who was here', async (t) => {
  const one = await shop(t, { config: { session: { minutes: 60, idleMinutes: 0 } } })
  await one.tap(1)
  one.network.uses(macOf(1), 1_000, 50_000)
  await one.clock.pass(59 * 60_000)
  one.network.uses(macOf(1), 2_000, 90_000)
  t.ok(one.network.granted.has(macOf(1)))
  await one.clock.pass(61_000)
  await one.harness.until(() => one.events('session-ended').length === 1, 'the end')
  t.notOk(one.network.granted.has(macOf(1)))
  t.match(one.events('session-ended'), [{ reason: 'expired', bytesUp: 2_000, bytesDown: 90_000, seconds: 3_600 }])
  const path = await one.arrive(1)
  t.match((await one.ask(1, path)).body, /Your 1 hour ended\. Connect again\./)
  await one.ask(1, `${path}connect`, { form: {} })
  await one.harness.until(() => one.events('session-started').length === 2, 'again')
  t.same(
    one.events('session-started').map((event) => event.returning),
    [false, true],
  )
})

t.test('a phone that left the shop gives its place back', async (t) => {
  const one = await shop(t, { config: { session: { idleMinutes: 10, capacity: 1 } } })
  await one.tap(1)
  t.match(await one.ask(2, await one.arrive(2)), { status: 503, body: /The WiFi is full/, headers: { 'retry-after': '120' } })
  t.match(await one.tap(2), { status: 503, body: /The WiFi is full/ })
  await one.clock.pass(10 * 60_000 + 5_000)
  await one.harness.until(() => one.events('session-ended').length === 1, 'the end')
  t.match(one.events('session-ended'), [{ reason: 'idle' }])
  t.equal((await one.tap(2)).status, 200)
})

t.test('the power goes: who was online is online again, with the time and bytes that were left, whatever the clock says', async (t) => {
  const store = new Map<string, Json>()
  const before = await Shop.open({ store, config: AWAKE })
  await before.tap(1)
  await before.tap(2)
  before.network.uses(macOf(1), 4_000, 700_000)
  await before.clock.pass(30 * 60_000)
  await before.harness.until(() => JSON.stringify(store.get('usage') ?? '').includes('700000'), 'the counters are kept')
  t.notMatch(JSON.stringify([...store]), macOf(1), 'no address in the clear on the card')
  // No stop: this is what a power cut leaves. The next clock has not been set.
  const found = new Map(structuredClone([...store]))
  await before.close()
  const after = new (await import('./testing.ts')).HandClock()
  after.set('1970-01-01T00:00:10Z')
  const again = await shop(t, { store: found, clock: after, config: AWAKE })
  await again.harness.until(() => again.network.granted.size === 2, 'both are let out')
  const grant = again.network.granted.get(macOf(1))
  t.match(grant, { bytesUp: 4_000, bytesDown: 700_000 })
  t.ok(Math.abs((grant?.seconds ?? 0) - (90 * 60 + 15)) <= 180, `about 90 minutes left: ${grant?.seconds}`)
  t.match((await again.ask(1, await again.arrive(1))).body, /You're connected/)
  t.equal(again.events('session-started').length, 0, 'nothing is told twice')
  again.network.uses(macOf(1), 5_000, 800_000)
  await again.harness.command('-', 'revoke', { all: true })
  await again.harness.until(() => again.events('session-ended').length === 2, 'both ends')
  const ended = again.events('session-ended').find((one) => one.bytesUp === 5_000)
  t.match(ended, { bytesDown: 800_000, reason: 'revoked' })
  t.ok(Math.abs(Number(ended?.seconds) - 30 * 60) <= 180, `time of both runs: ${ended?.seconds}`)
})

t.test('opening time: what everybody has used is written once a minute, not with every arrival', async (t) => {
  let writes = 0
  const store = new (class extends Map<string, Json> {
    override set(key: string, value: Json): this {
      if (key === 'usage') writes += 1
      return super.set(key, value)
    }
  })()
  const one = await shop(t, { store })
  for (let guest = 1; guest <= 20; guest++) {
    await one.tap(guest)
    await one.harness.until(() => one.events('session-started').length === guest, 'told')
    await one.clock.pass(6_000)
  }
  t.ok(writes <= 2, `${writes} in two minutes`)
})

t.test('a session that opened just before the power went is told of after it', async (t) => {
  const store = new Map<string, Json>()
  const before = await Shop.open({ store })
  await before.tap(1)
  const found = new Map(structuredClone([...store]))
  const [first] = before.events('session-started')
  await before.close()
  const again = await shop(t, { store: found })
  await again.harness.until(() => again.events('session-started').length === 1, 'told again')
  t.same(again.events('session-started')[0], first, 'under the same id: a repeat')
})

t.test('HQ changes offers, texts and colours: no session is cut and the network is not touched', async (t) => {
  const one = await shop(t, { config: FULL_HOUSE })
  await one.tap(1)
  await one.harness.configure(
    shopConfig({ ...FULL_HOUSE, name: 'Lotus & Co', accent: '#ffcc00', offers: [{ id: 'new', title: 'Buy one, get one' }] }),
  )
  const { body } = await one.ask(1, await one.arrive(1))
  t.match(body, /Lotus &amp; Co/)
  t.match(body, /Buy one, get one/)
  t.match(body, /--a:#ffcc00;--on:#000/)
  t.same([one.network.starts, one.network.stops, one.events('session-ended').length], [1, 0, 0])
  t.match(await one.harness.command('-', 'offers'), { offers: [{ id: 'new' }] })
  await t.rejects(one.harness.configure(shopConfig({ listen: { port: 1 } })), { code: 'config-invalid' }, 'a new listener takes a restart')
})

t.test('an offer is shown until its last day', async (t) => {
  const one = await shop(t, { config: FULL_HOUSE })
  t.match((await one.tap(1)).body, /Second cup/)
  one.clock.set('2027-01-01T08:00:00Z')
  t.notMatch((await one.tap(1)).body, /Second cup/)
})

t.test('200 phones tap within a moment: all online, few calls to the network', async (t) => {
  const one = await shop(t)
  const paths = await Promise.all(Array.from({ length: 200 }, (_, at) => one.arrive(at + 1)))
  let open = () => {}
  one.network.gate = new Promise((resolve) => {
    open = resolve
  })
  const [first, ...others] = paths.map((path, at) => () => one.ask(at + 1, `${path}connect`, { form: {} }))
  const answers = [first?.()]
  await one.harness.until(() => one.network.batches.length === 1, 'the first is on its way')
  answers.push(...others.map((tap) => tap()))
  const sessions = async () => ((await one.harness.command('-', 'status')) as { sessions: number }).sessions
  await until(async () => (await sessions()) === 200, 'all have tapped while the network is busy with the first')
  open()
  t.ok((await Promise.all(answers)).every((answer) => answer?.status === 200))
  t.equal(one.network.granted.size, 200)
  t.same(one.network.batches, [1, 199], 'the first, and all who came while it was on its way')
  await one.harness.until(() => one.events('session-started').length === 200, 'all told')
})

t.test('the network does not obey: no fake success, and the next tap works', async (t) => {
  const one = await shop(t)
  one.network.fault = new Error('nft: busy')
  t.match(await one.tap(1), { status: 503, body: /That took too long/ })
  one.network.fault = undefined
  t.equal((await one.tap(1)).status, 200)
  await one.harness.until(() => one.events('session-started').length === 1, 'one start')
  t.match(one.events('session-started'), [{ returning: false }], 'the tap that failed was no visit')
  t.equal(one.harness.logs.filter((line) => line.level === 'warn').length, 1)
})

t.test('the internet is down: said so, to everybody, whatever they tap', async (t) => {
  const one = await shop(t)
  const path = await one.arrive(1)
  one.network.events?.health({ state: 'fault', detail: 'uplink-down' })
  t.match(one.harness.state('-'), { state: 'fault', detail: 'uplink-down' })
  t.match(await one.ask(1, path), { status: 503, body: /Store internet is down/ })
  t.match(await one.ask(1, `${path}connect`, { form: {} }), { status: 503, body: /Pay at the counter as usual/ })
  one.network.events?.health({ state: 'online' })
  t.equal((await one.tap(1)).status, 200)
  one.network.events?.health({ state: 'fault', detail: 'uplink-down' })
  t.equal((await one.ask(1, '/generate_204', { host: 'www.google.com' })).status, 302, 'no probe is told that all is well')
})

t.test('commands: grant, more time, session, revoke', async (t) => {
  const one = await shop(t)
  const granted = (await one.harness.command('-', 'grant', { address: ipOf(7), minutes: 10 })) as { session: string }
  t.match(granted, { method: 'grant', secondsLeft: 600, active: true })
  await one.harness.command('-', 'grant', { session: granted.session, minutes: 30 })
  t.match(one.network.granted.get(macOf(7)), { seconds: 1_815 })
  t.match(await one.harness.command('-', 'session', { address: ipOf(7) }), { session: granted.session, active: true, method: 'grant' })
  t.same(await one.harness.command('-', 'revoke', { session: granted.session }), { ended: 1 })
  t.notOk(one.network.granted.has(macOf(7)))
  await t.rejects(one.harness.command('-', 'session', { address: ipOf(7) }), { code: 'session-unknown' })
  await t.rejects(one.harness.command('-', 'grant', { address: '10.1.1.1' }), { code: 'not-found' })
  await t.rejects(one.harness.command('-', 'dance'), { code: 'command-unknown' })
})

t.test('a receipt link, opened on the guest WiFi and from elsewhere', async (t) => {
  const one = await shop(t)
  await one.tap(1)
  t.match(await one.ask(1, '/c/aBcD1234efgh', { headers: { 'accept-language': 'en' } }), { status: 200, body: /receipt is now linked/ })
  await one.ask(1, '/c/aBcD1234efgh')
  await one.harness.until(() => one.events('session-started').length === 1 && one.events('claimed').length === 1, 'once')
  const [started] = one.events('session-started')
  t.match(one.events('claimed'), [{ network: 'guest', session: started?.session, visitor: started?.visitor, claim: /^[\w-]{22}$/ }])
  const { send } = await import('./testing.ts')
  for (let at = 0; at < 20; at++) t.equal((await send(one.port, '127.0.0.1', `/c/elsewhere${at}`)).status, 200)
  await one.harness.until(() => one.events('claimed').length === 11, 'ten a minute from one address')
  t.match(one.events('claimed')[1], { network: 'other' })
})

t.test(
  'the doctor asks: a portal that works, one without internet, and what mends it; a copied address is told of without the address',
  async (t) => {
    const one = await shop(t)
    t.match(await one.harness.command('-', 'self-check'), {
      findings: [
        { state: 'ok', fact: /works, 0 online/ },
        { state: 'ok', fact: 'probes are answered' },
      ],
    })
    one.network.events?.health({ state: 'fault', detail: 'uplink-down' })
    t.match(await one.harness.command('-', 'self-check'), { findings: [{ state: 'fail', fact: /uplink-down/, fix: /ip route/ }] })
    one.network.events?.suspect?.({ mac: macOf(1), why: 'two-addresses', at: one.clock.mono() })
    const warned = one.harness.logs.find(({ message }) => /one hardware address/.test(message))
    t.match(warned, { level: 'warn', fields: { why: 'two-addresses', station: /^[\w-]{22}$/ } })
    t.notMatch(JSON.stringify(one.harness.logs), macOf(1))
  },
)
