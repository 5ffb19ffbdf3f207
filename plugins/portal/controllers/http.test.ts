/** A shop whose access point's controller lets its guests out: the real portal, the real adapter, the controller simulated at the wire. */
import { execFileSync } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { JsonObject } from '../../../daemon/contract/json.ts'
import type { StartPlugin } from '../../../daemon/contract/plugin.ts'
import { testFolder } from '../../../daemon/testing/folder.ts'
import { PluginHarness } from '../../../daemon/testing/plugin-harness.ts'
import { until } from '../../../daemon/testing/until.ts'
import plugin from '../plugin.ts'
import { type Answer, type Ask, send } from '../testing.ts'
import { ControllerSimulator, type ControllerSimulatorOptions } from './simulator.ts'

type Test = Pick<typeof import('tap').default, 'teardown'>

const MAC = '02:bb:00:00:00:01'
const IP = '127.0.0.2'

interface Place {
  controller: ControllerSimulator
  harness: PluginHarness
  port: number
  ask(path: string, ask?: Ask): Promise<Answer>
  tap(): Promise<Answer>
}

async function place(
  t: Test,
  options: { controller?: ControllerSimulatorOptions; http?: JsonObject; config?: JsonObject; joined?: boolean } = {},
): Promise<Place> {
  const controller = new ControllerSimulator(options.controller)
  const at = await controller.listen()
  if (options.joined !== false) controller.join(MAC, IP, 'Annas-Phone')
  t.teardown(() => controller.stop())
  const harness = await PluginHarness.start({
    start: plugin as unknown as StartPlugin,
    manifestUrl: new URL('../', import.meta.url),
    config: {
      controller: 'http',
      listen: { address: '127.0.0.1', port: 0 },
      http: {
        url: `${options.controller?.tls ? 'https' : 'http'}://127.0.0.1:${at}`,
        username: 'portal',
        password: 'secret',
        pollSeconds: 2,
        ...options.http,
      },
      ...options.config,
    },
  })
  t.teardown(() => harness.stop())
  const url = harness.logs.find((one) => one.message === 'the guest portal is open')?.fields.url
  const port = Number(new URL(String(url)).port)
  const ask = (path: string, how?: Ask): Promise<Answer> => send(port, IP, path, how)
  return {
    controller,
    harness,
    port,
    ask,
    tap: async () => {
      const { headers } = await ask(new URL(controller.redirect('http://x', MAC, 'http://news.example/')).pathname, {
        headers: { 'accept-language': 'en' },
      })
      return ask(`${new URL(String(headers.location)).pathname}connect`, { form: {} })
    },
  }
}

const certificate = (t: Test): { cert: Buffer; key: Buffer; fingerprint: string } => {
  const dir = testFolder(t)
  const [cert, key] = [join(dir, 'cert.pem'), join(dir, 'key.pem')]
  execFileSync(
    'openssl',
    [...'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=unifi -keyout'.split(' '), key, '-out', cert],
    {
      stdio: 'ignore',
    },
  )
  const pem = readFileSync(cert)
  return { cert: pem, key: readFileSync(key), fingerprint: new X509Certificate(pem).fingerprint256 }
}

for (const api of ['classic', 'os'] as const)
  t.test(`redirected by the controller, one tap, let out by its API, counted, revoked (${api})`, async (t) => {
    const { controller, harness, tap } = await place(t, {
      controller: { api },
      http: { api },
      config: { session: { minutes: 60, downKbps: 5_000 } },
    })
    t.equal((await tap()).status, 200)
    t.ok(controller.passes(MAC))
    t.match(controller.clients.get(MAC), { down: 5_000 })
    const lists = () => controller.calls.filter((call) => call.endsWith('/stat/sta')).length
    controller.traffic(MAC, 1_000, 9_000)
    const before = lists()
    await harness.until(() => harness.events.some((one) => one.event === 'session-started'), 'the start')
    const { sessions } = (await harness.command('-', 'sessions')) as { sessions: { session: string; bytesDown: number }[] }
    const [session] = sessions
    // The second is asked for when the first has been read.
    await harness.until(() => lists() >= before + 2, 'the clients are listed again')
    t.same(await harness.command('-', 'revoke', { session: String(session?.session) }), { ended: 1 })
    t.notOk(controller.passes(MAC))
    const ended = harness.events.find((one) => one.event === 'session-ended')
    t.match(ended?.data, { reason: 'revoked', bytesUp: 1_000, bytesDown: 9_000 })
    t.notMatch(JSON.stringify([harness.events, harness.logs, [...harness.store]]), MAC)
  })

t.test("the client's id in the redirect is not believed: the address decides", async (t) => {
  const { controller, ask } = await place(t)
  controller.join('02:bb:00:00:00:99', '127.0.0.99')
  const { headers } = await ask(controller.redirect('', '02:bb:00:00:00:99', 'http://a.example/'), { headers: { 'accept-language': 'en' } })
  await ask(`${new URL(String(headers.location)).pathname}connect`, { form: {} })
  t.ok(controller.passes(MAC))
  t.notOk(controller.passes('02:bb:00:00:00:99'))
})

t.test('the controller ends the login: signed in again, nobody notices', async (t) => {
  const { controller, tap } = await place(t)
  controller.faults.expireSessions = true
  t.equal((await tap()).status, 200)
  t.equal(controller.logins, 2)
})

t.test('the controller breaks, answers nonsense, is slow: told, no fake success, and good again', async (t) => {
  const { controller, harness, tap } = await place(t)
  for (const fault of ['broken', 'html'] as const) {
    controller.faults[fault] = true
    t.equal((await tap()).status, 503, fault)
    t.notOk(controller.passes(MAC))
    await harness.until(() => harness.state('-')?.detail === 'controller-unreachable', 'the fault')
    controller.faults[fault] = false
    await harness.until(() => harness.state('-')?.state === 'online', 'good again')
  }
  controller.faults.slowMs = 300
  t.equal((await tap()).status, 200, 'slow is not broken')
  t.ok(harness.logs.filter((line) => line.level === 'warn').length <= 4, 'no flood')
})

t.test('a controller that is away at the start is waited for; one that refuses the password is not', async (t) => {
  const { controller, harness, tap } = await place(t, { joined: false })
  controller.faults.broken = true
  await harness.until(() => harness.state('-')?.state === 'fault', 'the fault')
  controller.faults.broken = false
  controller.join(MAC, IP)
  await harness.until(() => harness.state('-')?.state === 'online', 'back')
  t.equal((await tap()).status, 200)
  await t.rejects(place(t, { http: { password: 'wrong' } }), { code: 'unauthorized', message: /refused the user "portal"/ })
})

t.test('arrivals and departures as the controller lists them', async (t) => {
  const { controller, harness } = await place(t, { config: { presence: { leftSeconds: 2 } } })
  await harness.until(() => harness.events.some((one) => one.event === 'present'), 'here')
  controller.leave(MAC)
  await harness.until(() => harness.events.some((one) => one.event === 'absent'), 'gone')
  const of = (name: string) => harness.events.find((one) => one.event === name)?.data.visitor
  t.equal(of('absent'), of('present'))
})

t.test('its own certificate is trusted by fingerprint, and nobody else is told the password', async (t) => {
  const own = certificate(t)
  const good = await place(t, { controller: { tls: own }, http: { fingerprint: own.fingerprint } })
  t.equal((await good.tap()).status, 200)
  const other = certificate(t)
  const wrong = await place(t, { controller: { tls: own }, http: { fingerprint: other.fingerprint } })
  t.match(wrong.harness.logs, [{ message: /shows another certificate/ }])
  t.same(wrong.controller.calls, [], 'not one byte was sent')
  const unknown = await place(t, { controller: { tls: own } })
  t.same(unknown.controller.calls, [], 'nor to one that nobody vouches for')
})

t.test('a phone that sleeps and joins anew is counted on', async (t) => {
  const { controller, harness, tap } = await place(t)
  await tap()
  const listed = async (): Promise<void> => {
    const before = controller.calls.filter((call) => call.endsWith('/stat/sta')).length
    await harness.until(() => controller.calls.filter((call) => call.endsWith('/stat/sta')).length >= before + 2, 'a whole list')
  }
  controller.traffic(MAC, 1_000, 9_000)
  await listed()
  // Its counters begin at nothing, as they do with every association.
  controller.join(MAC, IP)
  controller.traffic(MAC, 10, 100)
  await listed()
  controller.leave(MAC)
  await listed()
  controller.join(MAC, IP)
  controller.traffic(MAC, 5_000, 50_000)
  await listed()
  await harness.command('-', 'revoke', { all: true })
  await harness.until(() => harness.events.some((one) => one.event === 'session-ended'), 'the end')
  t.match(harness.events.find((one) => one.event === 'session-ended')?.data, { bytesUp: 6_010, bytesDown: 59_100 })
})

t.test('one client that the controller refuses keeps nobody else out', async (t) => {
  const { controller, harness, port } = await place(t)
  const phones = [2, 3, 4, 5].map((number) => ({ mac: `02:bb:00:00:01:0${number}`, ip: `127.0.1.${number}` }))
  for (const { mac, ip } of phones) controller.join(mac, ip)
  const [refused] = phones
  controller.faults.refuseMac = String(refused?.mac)
  controller.faults.slowMs = 50
  const paths = new Map<string, string>()
  await until(async () => {
    for (const { ip } of phones) {
      const { location } = (await send(port, ip, '/guest/s/default/')).headers
      if (location !== undefined) paths.set(ip, new URL(location).pathname)
    }
    return paths.size === phones.length
  }, 'the controller lists them')
  const answers = await Promise.all(phones.map(({ ip }) => send(port, ip, `${paths.get(ip)}connect`, { form: {} })))
  t.same(
    answers.map(({ status }) => status),
    [503, 200, 200, 200],
  )
  t.same(
    phones.map(({ mac }) => controller.passes(mac)),
    [false, true, true, true],
  )
  await harness.until(() => harness.events.filter((one) => one.event === 'session-started').length === 3, 'the three')
})

t.test("an address that was somebody else's a moment ago is not them", async (t) => {
  const { controller, ask, tap } = await place(t, { http: { pollSeconds: 300 } })
  await tap()
  controller.leave(MAC)
  controller.join('02:bb:00:00:00:77', IP)
  await until(async () => (await ask('/captive-portal/api')).body.includes('"captive":true'), 'the newcomer is a stranger')
})
