import { existsSync } from 'node:fs'
import { link, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { connect, createServer as createTcp } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { systemClock } from '../clock.ts'
import { ERRORS, Failure } from '../contract/errors.ts'
import type { JsonObject } from '../contract/json.ts'
import { createLog } from '../log.ts'
import { until } from '../testing/until.ts'
import type { HttpOptions } from './api.ts'
import { createHttp } from './server.ts'
import { ask, emptyLedger, type Fixture, type FixtureOptions, startFixture } from './testing/fixture.ts'

async function shop(t: Test, options?: FixtureOptions): Promise<Fixture> {
  const fixture = await startFixture(options)
  t.teardown(() => fixture.stop())
  return fixture
}

t.test('status shows the shop; plugins, devices, links and discovery are lists', async (t) => {
  const it = await shop(t)
  await it.weigh(420)
  it.found = [{ id: 'serial:/dev/ttyACM0', kind: 'serial', port: '/dev/ttyACM0', label: 'A scanner' }]
  const port = it.http.port()
  const status = (await ask(port, '/api/v1/status')).json
  t.match(status, {
    gateway: { id: 'shop-001', store: '0001', version: '0.1.0' },
    health: { ok: true },
    journal: { head: 1, tail: 1 },
    devices: [{ plugin: 'scale', device: 'counter', state: 'online' }],
    today: { counts: { 'shopwire.scale.weighed': 1 } },
  })
  for (const [path, first] of [
    ['plugins', { name: 'scale' }],
    ['devices', { device: 'counter' }],
    ['links', { name: 'lan' }],
    ['discovery', { port: '/dev/ttyACM0' }],
  ] as const)
    t.match((await ask(port, `/api/v1/${path}`)).json, [first], path)
  t.match((await ask(port, '/api/v1/devices/scale/none')).json, { error: { code: 'device-unknown' } })
})

t.test('every answer carries the content policy; every error has the one shape', async (t) => {
  const it = await shop(t)
  const port = it.http.port()
  const missing = await ask(port, '/nothing')
  t.equal(missing.status, 404)
  t.match(missing.json, { error: { code: 'not-found' } })
  t.match(missing.headers['content-security-policy'], /^default-src 'none'; script-src 'self';.*frame-ancestors 'none'$/)
  t.notMatch(missing.headers['content-security-policy'], /upgrade-insecure-requests/)
  t.equal(missing.headers['x-content-type-options'], 'nosniff')
  const cases: [path: string, ask: Parameters<typeof ask>[2], status: number, code: string][] = [
    ['/%zz', {}, 404, 'not-found'],
    ['/api/v1/events?limit=many', {}, 400, 'payload-malformed'],
    ['/api/v1/events?nonsense=1', {}, 400, 'payload-malformed'],
    ['/api/v1/cmd/scale/counter/tare', { method: 'POST', body: '{"args":' }, 400, 'payload-malformed'],
    ['/api/v1/cmd/scale/counter/tare', { method: 'POST', body: { args: {}, unknown: 1 } }, 400, 'payload-malformed'],
    ['/api/v1/cmd/scale/counter/tare', { method: 'POST', body: 'x', headers: { 'content-type': 'text/plain' } }, 400, 'payload-malformed'],
    ['/api/v1/cmd/scale/counter/tare', { method: 'POST', body: { args: { text: 'x'.repeat(1_100_000) } } }, 413, 'payload-too-large'],
    ['/api/v1/cmd/..%2F..%2Fetc/counter/tare', { method: 'POST', body: {} }, 404, 'plugin-not-found'],
    ['/api/v1/plugins/gone/reload', { method: 'POST' }, 404, 'plugin-not-found'],
  ]
  for (const [path, how, status, code] of cases) {
    const answer = await ask(port, path, how)
    t.equal(answer.status, status, path)
    t.match(answer.json, { error: { code, message: String } }, path)
  }
})

t.test('a till runs a command and gets the final result with the status of the error table', async (t) => {
  const it = await shop(t)
  const post = (body: JsonObject, command = 'tare') => ask(it.http.port(), `/api/v1/cmd/scale/counter/${command}`, { method: 'POST', body })

  const done = await post({ id: 'till-1-77', args: { grams: 5 } })
  t.equal(done.status, 200)
  t.match(done.json, { id: 'till-1-77', status: 'done', result: { did: 'tare' } })
  t.equal(it.ran[0]?.from, 'http')

  const again = await post({ id: 'till-1-77', args: { grams: 5 } })
  t.match(again.json, done.json, 'the same id gives the first result')
  t.equal(it.ran.length, 1)

  const wrong = await post({ args: { grams: 'five' } })
  t.equal(wrong.status, ERRORS['args-invalid'].http)
  t.match(wrong.json, { status: 'rejected', error: { code: 'args-invalid', problems: [{ path: 'args.grams' }] } })

  it.handle = async () => {
    throw new Failure('device-fault', 'the pan is missing')
  }
  const failed = await post({ args: {} })
  t.equal(failed.status, ERRORS['device-fault'].http)
  t.match(failed.json, { status: 'failed', error: { code: 'device-fault', message: 'the pan is missing' } })

  const late = await post({ args: {}, expiresAt: '2001-01-01T00:00:00Z' })
  t.equal(late.status, ERRORS['command-expired'].http)
  t.equal((await post({}, 'fly')).status, 404)
})

t.test('a preview is shown as a picture without script; only harmless commands can be fetched', async (t) => {
  const it = await shop(t)
  const get = (path: string) => ask(it.http.port(), `/api/v1/cmd/scale/counter/${path}`)
  it.handle = async (command) =>
    command.command === 'label' ? { svg: `<svg xmlns="http://www.w3.org/2000/svg">${JSON.stringify(command.args)}</svg>` } : { grams: 3 }
  const picture = await get(`label.svg?args=${encodeURIComponent('{"text":"茶"}')}`)
  t.equal(picture.status, 200)
  t.equal(picture.headers['content-type'], 'image/svg+xml; charset=utf-8')
  t.match(picture.headers['content-security-policy'], /^default-src 'none'; .*sandbox/)
  t.match(picture.text, '{"text":"茶"}')
  t.equal((await get('tare.svg')).status, 403, 'not repeatable')
  t.equal((await get('weigh.svg')).status, 404, 'no picture')
  t.equal((await get('label.svg?args=%7B')).status, 400)
  t.equal((await get('fly.svg')).status, 404)
  t.equal(it.ran.filter((one) => one.command === 'tare').length, 0)
})

t.test('events are paged by sequence and filtered by type', async (t) => {
  const it = await shop(t)
  for (let grams = 1; grams <= 1_200; grams++) await it.weigh(grams)
  await it.journal.commit({ events: [{ plugin: 'scale', device: 'counter', event: 'tared', data: {} }] })
  const get = async (query: string) =>
    (await ask(it.http.port(), `/api/v1/events?${query}`)).json as { events: { sequence: string }[]; next?: number }

  const seen: string[] = []
  for (let since: number | undefined = 0, pages = 0; since !== undefined && pages < 20; pages++) {
    const page: { events: { sequence: string }[]; next?: number } = await get(`since=${since}&limit=250&type=scale.*`)
    seen.push(...page.events.map((one) => one.sequence))
    since = page.next
  }
  t.same(
    seen,
    Array.from({ length: 1_201 }, (_, at) => String(at + 1)),
  )
  t.match(await get('type=scale.tared'), { events: [{ sequence: '1201', type: 'shopwire.scale.tared' }] })
  t.same(
    (await get('last=3')).events.map((one) => one.sequence),
    ['1199', '1200', '1201'],
  )
  t.same(
    (await get('last=2&type=shopwire.scale.weighed')).events.map((one) => one.sequence),
    ['1199', '1200'],
  )
  t.same((await get('since=5000')).events, [])
})

t.test('health says no with its reasons; metrics read like Prometheus wants them', async (t) => {
  const it = await shop(t, { metrics: () => ({ 'commit_seconds{quantile="0.5"}': 0.004, 'not a name': 1 }) })
  await it.weigh(1)
  const port = it.http.port()
  t.equal((await ask(port, '/healthz')).status, 200)
  it.health = { ok: false, problems: [{ what: 'the disk is full', about: 'journal' }], checks: { journal: 'SQLITE_FULL' } }
  const ill = await ask(port, '/healthz')
  t.equal(ill.status, 503)
  t.match(ill.json, { ok: false, problems: [{ what: 'the disk is full' }] })

  it.shop.setDevice('scale', 'odd"\\\nname', { state: 'fault' }, new Date().toISOString())
  const metrics = await ask(port, '/metrics')
  t.match(metrics.headers['content-type'], 'text/plain; version=0.0.4')
  for (const line of [
    'shopwire_events_total{type="shopwire.scale.weighed"} 1',
    'shopwire_journal_head 1',
    'shopwire_link_up{link="hq"} 1',
    'shopwire_plugin_up{plugin="scale",version="1.2.0"} 1',
    'shopwire_device_up{plugin="scale",device="odd\\"\\\\\\nname"} 0',
    'shopwire_healthy 0',
    'shopwire_commit_seconds{quantile="0.5"} 0.004',
  ])
    t.ok(metrics.text.split('\n').includes(line), line)
  for (const line of metrics.text.split('\n').filter((one) => one !== '' && !one.startsWith('#')))
    t.match(line, /^[a-zA-Z_:][a-zA-Z0-9_:]*(\{([a-z_]+="(\\.|[^"\\])*",?)*\})? -?[0-9.e+-]+$/)
})

t.test('the OpenAPI document describes the routes that there are', async (t) => {
  const it = await shop(t)
  const answer = await ask(it.http.port(), '/docs/json')
  t.equal(answer.status, 200)
  const { openapi, paths } = answer.json as { openapi: string; paths: Record<string, object> }
  t.equal(openapi, '3.1.0')
  t.strictSame(Object.keys(paths).sort(), [
    '/api/v1/cmd/{plugin}/{device}/{command}',
    '/api/v1/cmd/{plugin}/{device}/{command}.svg',
    '/api/v1/devices',
    '/api/v1/devices/{plugin}/{device}',
    '/api/v1/discovery',
    '/api/v1/events',
    '/api/v1/links',
    '/api/v1/payments',
    '/api/v1/plugins',
    '/api/v1/plugins/load',
    '/api/v1/plugins/{name}',
    '/api/v1/plugins/{name}/reload',
    '/api/v1/stats',
    '/api/v1/status',
    '/api/v1/stream',
    '/api/v1/visits',
    '/healthz',
    '/metrics',
  ])
  t.equal((await ask(it.http.port(), '/docs')).headers.location, '/docs/json', 'without the files of the page, the document itself')
})

t.test('the unix socket belongs to the owner alone, and only it loads code', async (t) => {
  const it = await shop(t, { config: { token: 'a-token-of-some-length' } })
  t.equal((await stat(it.socketFile)).mode & 0o777, 0o600)
  t.equal((await ask(it.socketFile, '/api/v1/status')).status, 200, 'no token is asked here')
  t.match((await ask(it.socketFile, '/healthz')).json, { ok: true, checks: {} })
  await ask(it.socketFile, '/api/v1/cmd/scale/counter/weigh', { method: 'POST', body: {} })
  t.equal(it.ran[0]?.from, 'cli')

  t.equal((await ask(it.socketFile, '/api/v1/plugins/load', { method: 'POST', body: { dir: '/opt/scale' } })).status, 200)
  t.equal((await ask(it.socketFile, '/api/v1/plugins/scale', { method: 'DELETE' })).status, 200)
  t.equal((await ask(it.socketFile, '/api/v1/plugins/load', { method: 'POST', body: { dir: 'scale' } })).status, 400)
  const headers = { authorization: 'Bearer a-token-of-some-length' }
  const port = it.http.port()
  t.equal((await ask(port, '/api/v1/plugins/load', { method: 'POST', body: { dir: '/opt/scale' }, headers })).status, 403)
  t.equal((await ask(port, '/api/v1/plugins/scale', { method: 'DELETE', headers })).status, 403)
  t.equal((await ask(port, '/api/v1/plugins/scale/reload', { method: 'POST', headers })).status, 200)
  t.same(it.control, ['load /opt/scale', 'unload scale', 'reload scale'])
})

t.test('a socket left behind by a crash is replaced; one that is answered on stops the second daemon', async (t) => {
  const first = await shop(t)
  // The same data folder twice.
  const options = { ...optionsOf(first), socketFile: first.socketFile }
  const rival = createHttp(options)
  await t.rejects(rival.start(), { code: 'port-taken', message: /another shopwire daemon/ })
  t.equal((await ask(first.socketFile, '/healthz')).status, 200, 'the first one is not disturbed')

  // What kill -9 leaves: a socket file nobody listens on.
  const stale = join(first.dir, 'stale.sock')
  const left = createTcp()
  await new Promise<void>((resolve) => left.listen(stale, resolve))
  // Closing unlinks the file, so it is linked under a second name first.
  await link(stale, `${stale}.kept`)
  await new Promise((resolve) => left.close(resolve))
  const after = createHttp({ ...options, socketFile: `${stale}.kept` })
  await after.start()
  t.equal((await ask(`${stale}.kept`, '/healthz')).status, 200)
  await after.stop()
  t.notOk(existsSync(`${stale}.kept`), 'and it is cleared away at the end')

  const file = join(first.dir, 'file')
  await writeFile(file, 'mine')
  await t.rejects(createHttp({ ...options, socketFile: file }).start(), { code: 'port-taken', message: /not a socket/ })
})

t.test('a taken port is told as such, and nothing is left behind', async (t) => {
  const blocker = createServer()
  await new Promise<void>((resolve) => blocker.listen(0, '127.0.0.1', resolve))
  t.teardown(() => void blocker.close())
  const address = blocker.address() as { port: number }
  const it = await shop(t)
  const socketFile = join(it.dir, 'other.sock')
  const http = createHttp({ ...optionsOf(it), socketFile, config: { listen: `127.0.0.1:${address.port}` } })
  await t.rejects(http.start(), { code: 'port-taken', message: new RegExp(`127.0.0.1:${address.port}`) })
  t.notOk(existsSync(socketFile))
})

t.test('someone who sends a request letter by letter is cut off; others are served meanwhile', async (t) => {
  const it = await shop(t, { limits: { headersMs: 300, requestMs: 500, checkMs: 100 } })
  const port = it.http.port()
  const answers = await Promise.all(
    [
      'GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ',
      'POST /api/v1/cmd/scale/counter/tare HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{',
    ].map(
      (text) =>
        new Promise<string>((resolve) => {
          const socket = connect(port, '127.0.0.1')
          let heard = ''
          socket.on('data', (chunk) => {
            heard += chunk
          })
          socket.on('error', () => {})
          const drip = setInterval(() => socket.writable && socket.write('a'), 50)
          socket.on('close', () => {
            clearInterval(drip)
            resolve(heard)
          })
          socket.write(text)
        }),
    ),
  )
  for (const answer of answers) t.match(answer, /^HTTP\/1\.1 408 /)
  // With so little patience a machine that pauses may cut off an honest client, too; not again and again.
  const honest = () => ask(port, '/healthz').then(({ status }) => status === 200)
  await until(() => honest().catch(() => false), 'an honest client to be served')
})

t.test('broken HTTP and oversized headers get one clear error', async (t) => {
  const it = await shop(t)
  const raw = (text: string) =>
    new Promise<string>((resolve) => {
      const socket = connect(it.http.port(), '127.0.0.1', () => socket.write(text))
      let heard = ''
      socket.on('data', (chunk) => {
        heard += chunk
      })
      socket.on('error', () => {})
      socket.on('close', () => resolve(heard))
    })
  t.match(await raw('\x16\x03\x01 not http\r\n\r\n'), /^HTTP\/1\.1 400 .*"code":"payload-malformed"/s)
  t.match(
    await raw(`GET / HTTP/1.1\r\nHost: localhost\r\nX: ${'y'.repeat(20_000)}\r\n\r\n`),
    /^HTTP\/1\.1 431 .*"code":"payload-too-large"/s,
  )
})

function optionsOf(it: Fixture): Omit<HttpOptions, 'socketFile'> {
  return {
    config: { listen: '127.0.0.1:0' },
    gateway: () => ({ id: 'shop-002', store: '', version: '0.1.0', demo: false }),
    journal: it.journal,
    dispatch: it.dispatch,
    plugins: it.plugins,
    shop: it.shop,
    discovery: { found: () => [], follow: () => () => {} },
    ledger: emptyLedger(systemClock),
    health: () => it.health,
    dashboardDir: join(it.dir, 'none'),
    clock: systemClock,
    log: createLog({ level: 'error', clock: systemClock, write: () => {} }),
  }
}
