import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { systemClock } from '../clock.ts'
import type { Clock, MonoMs } from '../contract/plugin.ts'
import { hashPassword } from '../password.ts'
import { testFolder } from '../testing/folder.ts'
import { fc } from '../testing/property.ts'
import { buildDashboard } from './dashboard/build.ts'
import { ask, type Fixture, type FixtureOptions, startFixture } from './testing/fixture.ts'
import { addressKey, newThrottle, throttle } from './throttle.machine.ts'

const TOKEN = 'correct-horse-battery'

async function shop(t: Test, options?: FixtureOptions): Promise<Fixture> {
  const fixture = await startFixture(options)
  t.teardown(() => fixture.stop())
  return fixture
}

const form = (secret: string) => ({
  method: 'POST',
  headers: { 'content-type': 'application/x-www-form-urlencoded' },
  body: new URLSearchParams({ secret }).toString(),
})

t.test('on loopback without a secret the page is open, but not to other web pages', async (t) => {
  const it = await shop(t)
  const port = it.http.port()
  const get = (headers: Record<string, string>, path = '/api/v1/status') => ask(port, path, { headers })
  for (const host of ['localhost', `localhost:${port}`, '127.0.0.1', '[::1]:8080', 'shopwire.local', 'SHOPWIRE.local:80'])
    t.equal((await get({ host })).status, 200, host)
  // DNS rebinding: the attacker's name points at 127.0.0.1, and the browser thinks it talks to the attacker.
  for (const host of ['evil.example', 'localhost.evil.example', '127.0.0.1.nip.io', 'shopwire.local.evil', 'user@localhost', 'localhost:x'])
    t.equal((await get({ host })).status, 403, host)
  t.equal((await get({ host: 'evil.example' }, '/healthz')).status, 403)

  const tare = (headers: Record<string, string>) =>
    ask(port, '/api/v1/cmd/scale/counter/tare', { method: 'POST', body: {}, headers: { host: 'localhost:1', ...headers } })
  t.equal((await tare({})).status, 200, 'a till sends neither')
  t.equal((await tare({ origin: 'http://localhost:1', 'sec-fetch-site': 'same-origin' })).status, 200)
  const before = it.ran.length
  for (const headers of [
    { origin: 'http://evil.example' },
    { origin: 'null' },
    { origin: 'http://localhost:2' },
    { 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'same-site' },
  ])
    t.match(await tare(headers), { status: 403, json: { error: { code: 'forbidden' } } }, JSON.stringify(headers))
  t.equal(
    (await get({ host: 'localhost', 'sec-fetch-site': 'cross-site' }, '/api/v1/cmd/scale/counter/label.svg')).status,
    403,
    'a picture on a foreign page',
  )
  t.equal(it.ran.length, before, 'nothing of that reached the device')
})

t.test('with a token everything but the yes or no of /healthz asks for it, on loopback, too', async (t) => {
  const dir = testFolder(t)
  const tokenFile = join(dir, 'token')
  await writeFile(tokenFile, `${TOKEN}\n`)
  const it = await shop(t, { config: { tokenFile } })
  const port = it.http.port()
  for (const path of ['/api/v1/status', '/metrics', '/api/v1/stream', '/docs/json', '/nothing']) {
    const answer = await ask(port, path)
    t.match(answer, { status: 401, json: { error: { code: 'unauthorized' } }, headers: { 'www-authenticate': /^Bearer/ } }, path)
  }
  t.match(await ask(port, '/'), { status: 303, headers: { location: '/login' } })
  it.health = { ok: false, problems: [{ what: 'secret reasons' }], checks: {} }
  t.strictSame((await ask(port, '/healthz')).json, { ok: false })
  const headers = { authorization: `Bearer ${TOKEN}` }
  t.match((await ask(port, '/healthz', { headers })).json, { problems: [{ what: 'secret reasons' }] })
  t.equal((await ask(port, '/api/v1/status', { headers })).status, 200)
  t.equal((await ask(port, '/api/v1/status', { headers: { ...headers, host: 'box.shop.example' } })).status, 200, 'by any name')
  t.equal((await ask(port, '/api/v1/status', { headers: { authorization: `Bearer ${TOKEN}x` } })).status, 401)
})

t.test('a token file that is missing or too short stops the start', async (t) => {
  const dir = testFolder(t, { short: 'abc' })
  await t.rejects(startFixture({ config: { tokenFile: join(dir, 'none') } }), { code: 'secret-unreadable' })
  await t.rejects(startFixture({ config: { tokenFile: join(dir, 'short') } }), { code: 'secret-unreadable' })
})

t.test('the owner logs in with the password, stays in over a restart, and logs out', async (t) => {
  const dashboardDir = testFolder(t)
  await buildDashboard(dashboardDir)
  const passwordHash = await hashPassword('lucky cat 88')
  const it = await shop(t, { config: { passwordHash }, dashboardDir })
  const port = it.http.port()
  t.match((await ask(port, '/login')).text, /type="password"/)
  const wrong = await ask(port, '/login', form('lucky dog'))
  t.equal(wrong.status, 401)
  t.match(wrong.text, /That is not right/)

  const right = await ask(port, '/login', form('lucky cat 88'))
  t.equal(right.status, 303)
  const set = String(right.headers['set-cookie'])
  t.match(set, /HttpOnly; SameSite=Strict; Max-Age=43200/)
  const cookie = set.split(';')[0] ?? ''
  const page = (at: number, value: string) => ask(at, '/api/v1/status', { headers: { cookie: value } })
  t.equal((await page(port, cookie)).status, 200)
  t.match((await ask(port, '/', { headers: { cookie } })).text, /All working/)
  t.equal((await page(port, `${cookie}x`)).status, 401, 'a forged signature')
  const [id, , signature] = cookie.split('=')[1]?.split('.') ?? []
  t.equal((await page(port, `shopwire_session=${id}.zzzzzzzzz.${signature}`)).status, 401, 'a longer life')

  const other = await shop(t, { config: { passwordHash } })
  t.equal((await page(other.http.port(), cookie)).status, 200, 'the same secret, another process')
  const changed = await shop(t, { config: { passwordHash: await hashPassword('lucky cat 88') } })
  t.equal((await page(changed.http.port(), cookie)).status, 401, 'a new secret ends all sessions')

  const foreign = await ask(port, '/logout', { method: 'POST', headers: { cookie, origin: 'http://evil.example' } })
  t.equal(foreign.status, 403)
  const out = await ask(port, '/logout', { method: 'POST', headers: { cookie } })
  t.match(out.headers['set-cookie'], [/Max-Age=0/])
  t.equal((await page(port, cookie)).status, 401, 'the old cookie is dead')
})

t.test('guessing gets slower and slower; the right token still works meanwhile', async (t) => {
  let now = performance.now()
  const clock: Clock = { ...systemClock, mono: () => now as MonoMs }
  const dashboardDir = testFolder(t)
  await buildDashboard(dashboardDir)
  const it = await shop(t, { config: { token: TOKEN }, clock, dashboardDir })
  const port = it.http.port()
  for (let n = 0; n < 3; n++) t.equal((await ask(port, '/login', form(`guess ${n}`))).status, 401)
  t.equal((await ask(port, '/login', form('guess 4'))).status, 429, 'the fourth within a second')
  const refused = await ask(port, '/login', form(TOKEN))
  t.equal(refused.status, 429, 'even the right one has to wait')
  t.match(refused.headers['retry-after'], /^\d+$/)
  t.match(await ask(port, '/api/v1/status', { headers: { authorization: 'Bearer wrong-wrong-wrong' } }), {
    status: 429,
    json: { error: { code: 'too-many-attempts' } },
    headers: { 'retry-after': /^\d+$/ },
  })
  t.equal((await ask(port, '/api/v1/status', { headers: { authorization: `Bearer ${TOKEN}` } })).status, 200)
  now += 1_500
  t.equal((await ask(port, '/login', form(TOKEN))).status, 303)
  t.equal((await ask(port, '/login', form('typo'))).status, 401, 'the right one cleared the account')
})

t.test('no order of attempts from no number of addresses gets more tries than the rule allows', async (t) => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.integer({ min: 0, max: 60 }), fc.integer({ min: 0, max: 5_000 })), { maxLength: 400 }), (steps) => {
      const state = newThrottle()
      let mono = 0
      let allowed = 0
      const each = new Map<number, number>()
      for (const [who, pause] of steps) {
        mono += pause
        const [effect] = throttle.step(state, { type: 'attempt', address: `10.0.0.${who}`, mono: mono as MonoMs })
        if (effect?.do === 'refuse') continue
        allowed += 1
        each.set(who, (each.get(who) ?? 0) + 1)
      }
      // One address: 3 at once, then waits of 1, 2, 4 … s. All together: 20 at once, then 1, 2, … up to 30 s.
      const most = (free: number, cap: number) => {
        let count = free
        for (let spent = 0, wait = 1_000; ; wait = Math.min(wait * 2, cap)) {
          spent += wait
          if (spent > mono) return count + 1
          count += 1
        }
      }
      return allowed <= most(20, 30_000) && [...each.values()].every((count) => count <= most(3, 900_000))
    }),
    { numRuns: 200 },
  )
  t.equal(addressKey('::ffff:192.168.1.9'), '192.168.1.9')
  t.equal(addressKey('2001:db8:1:2:aaaa::1'), addressKey('2001:db8:1:2:bbbb:1:2:3'))
  t.not(addressKey('2001:db8:1:2::1'), addressKey('2001:db8:1:3::1'))
  t.equal(addressKey('2001:db8::1'), '2001:db8:0:0')
})
