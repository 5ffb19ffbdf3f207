import { execFile, execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { type AddressInfo, createServer as createTcpServer } from 'node:net'
import { join } from 'node:path'
import { createServer as createTlsServer } from 'node:tls'
import { gunzipSync } from 'node:zlib'
import t, { type Test } from 'tap'
import { Failure } from '../contract/errors.ts'
import type { JsonObject } from '../contract/json.ts'
import type { Status } from '../http/api.ts'
import { testFolder } from '../testing/folder.ts'
import { type Check, type CheckResult, runDoctor } from './doctor.ts'
import { scrub, writeBundle } from './doctor-bundle.ts'
import { CHECKS } from './doctor-checks.ts'
import { type Facts, gatherFacts } from './doctor-facts.ts'
import { reportLines } from './doctor-print.ts'
import type { Io } from './io.ts'

const AGO = new Date(Date.now() - 7_500_000).toISOString()

function healthy(more: Partial<Status> = {}): Status {
  return {
    at: new Date().toISOString(),
    timeZone: 'UTC',
    gateway: { id: 'shop-001', store: '0001', version: '1.2.3', demo: false },
    uptimeSeconds: 90,
    health: { ok: true, problems: [], checks: {} },
    plugins: [{ name: 'printer', version: '1.0.0', status: 'running', since: AGO, restarts: 0 }],
    devices: [{ plugin: 'printer', device: 'receipt', state: 'online', since: AGO }],
    links: [{ name: 'lan', state: 'online', since: AGO, detail: '127.0.0.1:1883' }],
    found: [],
    journal: { epoch: 'e', head: 12, tail: 1, bytes: 1_000_000, freeBytes: 10 ** 10, dropped: 0 },
    today: { since: AGO, complete: true, counts: {}, last: {} },
    trade: { day: '', arrivals: 0, payments: { count: 0, linked: 0, sums: [] }, slot: { at: AGO, arrivals: 0, payments: 0 } },
    ...more,
  }
}

interface Box {
  folder: string
  examine(
    checks?: readonly Check[],
  ): Promise<{ results: Record<string, CheckResult>; names: string[]; facts: Facts; text: string; ok: boolean }>
}

/** A machine with a config file and, where `status` is given, something that answers on the daemon's socket. */
async function openBox(t: Test, config: string, status?: unknown, programs: Record<string, string> = {}): Promise<Box> {
  const folder = testFolder(t)
  const file = join(folder, 'shopwire.yaml')
  writeFileSync(file, `dataDir: ${folder}\n${config.replaceAll('$DIR', folder)}`)
  if (status !== undefined) {
    const daemon = createServer((_request, response) => {
      if (status !== 'hangs') response.end(JSON.stringify(status))
    }).listen(join(folder, 'shopwire.sock'))
    await once(daemon, 'listening')
    t.teardown(() => {
      daemon.closeAllConnections()
      daemon.close()
    })
  }
  const io: Io = { out: () => {}, err: () => {}, env: {}, signal: new AbortController().signal, colour: false, columns: 100 }
  return {
    folder,
    async examine(checks = CHECKS) {
      const facts = await gatherFacts({
        configFile: file,
        env: {},
        pluginDirs: [join(folder, 'plugins')],
        checkSections: () => [],
        run: async (program) => programs[program],
        answerMs: status === 'hangs' ? 300 : 60_000,
        clockSet: async () => true,
      })
      const report = await runDoctor({ facts, checks, timeoutMs: 60_000 })
      return {
        facts,
        ok: report.ok,
        names: report.checks.map((one) => one.name),
        results: Object.fromEntries(report.checks.map((one) => [one.name, one])),
        text: reportLines(report, io).join('\n'),
      }
    },
  }
}

const SHOP = 'gateway: { id: shop-001 }\n'

t.test('a shop where all is well: ten lines in order, no escape bytes, nothing to mend', async (t) => {
  const box = await openBox(t, SHOP, healthy())
  const { names, text, ok } = await box.examine()
  t.same(names, ['config', 'storage', 'clock', 'service', 'devices', 'printer', 'plugins', 'link', 'HQ', 'backlog'])
  t.ok(ok, text)
  t.equal(text.split('\n').length, 11)
  t.notMatch(text, /\u001b|Fix:/)
  t.match(text, /All is well\.$/)
})

t.test('why is the printer not printing? paper, cover, cable: each with its mend', async (t) => {
  const devices = [
    { plugin: 'printer', device: 'receipt', state: 'fault', detail: 'paper-out', since: AGO },
    { plugin: 'printer', device: 'kitchen', state: 'online', detail: 'paper-near-end', since: AGO },
    { plugin: 'scanner', device: 'till-1', state: 'offline', detail: 'unplugged', since: AGO },
  ] as Status['devices']
  const { results, text, ok } = await (await openBox(t, SHOP, healthy({ devices }))).examine()
  t.notOk(ok)
  t.match(results.devices, { state: 'fail', fact: /^scanner\/till-1: unplugged, for 2 h$/, fix: /plug it in/ })
  t.match(results.printer, { state: 'fail', findings: [{ state: 'fail', fact: /paper-out/, fix: /load a new roll/ }, { state: 'warn' }] })
  t.match(text, /Fix: load a new roll/)
  t.match(text, /2 failed\.$/)
})

t.test('the daemon does not run: what needs it is skipped, ports are looked at directly', async (t) => {
  const till = createTcpServer().listen(0, '127.0.0.1')
  await once(till, 'listening')
  t.teardown(() => till.close())
  const { port } = till.address() as AddressInfo
  const config = `${SHOP}plugins:
  scanner: { devices: { till-1: { port: tcp://127.0.0.1:${port} }, till-2: { port: /dev/serial/by-id/usb-gone } } }
`
  const { results, text } = await (await openBox(t, config, undefined, { systemctl: 'failed\n' })).examine()
  t.match(results.service, { state: 'fail', fact: /systemd says: failed/, fix: /systemctl start shopwire/ })
  t.match(results.devices, { state: 'fail', fact: /^scanner\/till-2: .* is not there$/ })
  for (const name of ['printer', 'link', 'backlog']) t.match(results[name], { state: 'skipped', fact: 'because service failed' }, name)
  t.match(results.HQ, { state: 'ok' }, 'what does not need it is looked at')
  t.match(text, /○ skipped/)
})

t.test('a daemon that hangs is not waited for', async (t) => {
  const { results } = await (await openBox(t, SHOP, 'hangs')).examine()
  t.match(results.service, { state: 'fail', fact: /has not answered/ })
  t.match(results.link, { state: 'skipped' })
})

t.test('a broken config is told path by path, and the daemon is still found and asked', async (t) => {
  const { results } = await (await openBox(t, 'gateway: { id: Shop! }\nhttp: { listne: x }\n', healthy())).examine()
  t.match(results.config, { state: 'fail', findings: [{ fact: /^gateway\.id: must match/ }, { fact: /^http\.listne: is not known here/ }] })
  t.match(results.service, { state: 'ok' })
  t.match(results.devices, { state: 'skipped', fact: 'because config failed' })
})

t.test('a check that crashes or hangs never stops the rest', async (t) => {
  const box = await openBox(t, SHOP, healthy())
  const crashes: Check = { name: 'crashes', needs: [], run: () => Promise.reject(new TypeError('x is not a function')) }
  const throws: Check = {
    name: 'throws',
    needs: [],
    run: () => {
      throw new Error('at once')
    },
  }
  const after: Check = { name: 'after', needs: ['crashes'], run: async () => ({ state: 'ok', fact: '' }) }
  const further: Check = { name: 'further', needs: ['after'], run: async () => ({ state: 'ok', fact: '' }) }
  const rest: Check = { name: 'rest', needs: [], run: async () => ({ state: 'ok', fact: '' }) }
  const { facts } = await box.examine([])
  const hangs: Check = { name: 'hangs', needs: [], run: () => new Promise(() => {}) }
  const report = await runDoctor({ facts, checks: [crashes, throws, hangs, after, further, rest], timeoutMs: 200 })
  t.same(
    report.checks.map((one) => [one.name, one.state]),
    [
      ['crashes', 'fail'],
      ['throws', 'fail'],
      ['hangs', 'fail'],
      ['after', 'skipped'],
      ['further', 'skipped'],
      ['rest', 'ok'],
    ],
  )
  t.equal(report.checks.find((one) => one.name === 'further')?.fact, 'because crashes failed')
})

t.test('quarantine, a full disk, a backlog of a day, a broker that is not there', async (t) => {
  const config = `${SHOP}hq: { url: mqtt://127.0.0.1:1 }\n`
  const day = new Date(Date.now() - 86_400_000).toISOString()
  const status = healthy({
    plugins: [{ name: 'scanner', version: '1.0.0', status: 'quarantined', since: AGO, restarts: 5, reason: 'crashed 5 times' }],
    links: [
      { name: 'lan', state: 'offline', since: AGO, detail: 'EADDRINUSE 127.0.0.1:1883' },
      { name: 'hq', state: 'offline', since: AGO, detail: 'ECONNREFUSED', backlog: 37, oldest: day },
    ],
    journal: { epoch: 'e', head: 12, tail: 1, bytes: 1_000_000, freeBytes: 10 ** 7, dropped: 3, fault: 'disk full' },
  })
  const { results } = await (await openBox(t, config, status)).examine()
  t.match(results.service, { state: 'fail', fix: 'shopwire plugin reload scanner' })
  t.match(results.storage, { state: 'fail', findings: [{ fact: /disk full/ }, { fact: /only 10 MB free/ }] })
  t.match(results.HQ, { state: 'warn', fact: /nothing listens at 127\.0\.0\.1:1/ })
  t.match(results.link, { state: 'skipped' })
  t.match(results.backlog, { state: 'skipped' })

  const running = healthy({ links: status.links, journal: { ...status.journal, freeBytes: 10 ** 10 } })
  const again = (await (await openBox(t, config, running)).examine()).results
  t.match(again.link, { state: 'fail', fact: /EADDRINUSE/, fix: /ss -ltnp/ })
  t.match(again.backlog, { state: 'warn', findings: [{ fact: /3 events were dropped/ }, { fact: /37 events wait/ }] })
})

t.test('a clock that was never set, and one that no server has confirmed', async (t) => {
  const { facts } = await (await openBox(t, SHOP, healthy())).examine([])
  const see = async (more: Partial<Facts>) =>
    (await runDoctor({ facts: { ...facts, ...more }, checks: CHECKS.filter((one) => one.name === 'clock') })).checks[0]
  t.match(await see({ now: 60_000 }), { state: 'fail', fact: /1970/ })
  t.match(await see({ clockSet: false }), { state: 'warn', fact: /unsynced/ })
  t.match(await see({ clockSet: undefined }), { state: 'ok' })
})

t.test('TLS to HQ: whose certificate is wrong, and how', async (t) => {
  const folder = testFolder(t)
  const file = (name: string) => join(folder, name)
  const certify = (name: string, subject: string, days: string, ca?: string) => {
    execFileSync(
      'openssl',
      [
        'req',
        '-newkey',
        'ec',
        '-pkeyopt',
        'ec_paramgen_curve:prime256v1',
        '-nodes',
        '-keyout',
        file(`${name}.key`),
        '-subj',
        subject,
        '-out',
        file(`${name}.csr`),
      ],
      { stdio: 'ignore' },
    )
    const signer =
      ca === undefined ? ['-signkey', file(`${name}.key`)] : ['-CA', file(`${ca}.crt`), '-CAkey', file(`${ca}.key`), '-CAcreateserial']
    writeFileSync(file('ext'), ca === undefined ? 'basicConstraints=critical,CA:TRUE\n' : 'subjectAltName=IP:127.0.0.1\n')
    execFileSync(
      'openssl',
      ['x509', '-req', '-in', file(`${name}.csr`), ...signer, '-days', days, '-extfile', file('ext'), '-out', file(`${name}.crt`)],
      { stdio: 'ignore' },
    )
  }
  certify('ca', '/CN=HQ', '400')
  certify('other', '/CN=Somebody', '400')
  certify('server', '/CN=hq', '400', 'ca')
  certify('shop', '/CN=shop-001', '400', 'ca')
  certify('soon', '/CN=shop-001', '5', 'ca')
  certify('wrong', '/CN=shop-002', '400', 'ca')
  const read = (name: string) => readFileSync(file(name))
  const server = createTlsServer({
    key: read('server.key'),
    cert: read('server.crt'),
    ca: read('ca.crt'),
    requestCert: true,
    rejectUnauthorized: true,
  })
  server.on('tlsClientError', () => {})
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const { port } = server.address() as AddressInfo

  const see = async (ca: string, cert?: string) => {
    const own = cert === undefined ? '' : `, certFile: ${file(`${cert}.crt`)}, keyFile: ${file(`${cert}.key`)}`
    const box = await openBox(t, `${SHOP}hq: { url: "mqtts://127.0.0.1:${port}", caFile: ${file(ca)}${own} }\n`)
    return (await box.examine(CHECKS.filter((one) => ['config', 'HQ'].includes(one.name)))).results.HQ
  }
  t.match(await see('ca.crt', 'shop'), { state: 'ok' })
  t.match(await see('other.crt', 'shop'), { state: 'fail', fact: /not signed by the authority in hq\.caFile/ })
  t.match(await see('ca.crt'), { state: 'fail', fact: /ends the TLS handshake/ })
  t.match(await see('ca.crt', 'soon'), { state: 'warn', fact: /runs out in 4 days/ })
  t.match(await see('ca.crt', 'wrong'), { state: 'fail', fact: /is for shop-002, but gateway\.id is shop-001/ })
  t.match(await see('gone.crt', 'shop'), { state: 'fail', fact: /gone\.crt cannot be read \(ENOENT\)/ })
})

t.test('the bundle helps somebody far away and opens no door', async (t) => {
  const config = `${SHOP}http: { listen: "0.0.0.0:8080", token: "a-token-nobody-may-see" }
hq: { url: mqtt://127.0.0.1:1, username: shop-001, password: "hunter2-hunter2" }
plugins:
  payment: { devices: { desk: { merchantKey: "k3y-of-the-shop", apiPassword: "also-hidden" } } }
`
  const log = `{"msg":"scan","code":"134567890123456789"}\nmqtt://user:pw@broker.example\nstation aa:bb:cc:dd:ee:ff joined\npassword=geheim\n`
  const box = await openBox(t, config, healthy(), { journalctl: log, df: 'Filesystem\n' })
  const manifest: JsonObject = {
    name: 'payment',
    version: '1.0.0',
    api: '1',
    entry: 'plugin.js',
    config: { properties: { devices: { additionalProperties: { properties: { merchantKey: { type: 'string', 'x-secret': true } } } } } },
  }
  const plugin = join(box.folder, 'plugins/payment')
  execFileSync('mkdir', ['-p', plugin])
  writeFileSync(join(plugin, 'plugin.json'), JSON.stringify(manifest))
  const { facts } = await box.examine([])
  const report = await runDoctor({ facts, checks: CHECKS })

  const plain = join(box.folder, 'bundle.json')
  await writeBundle(plain, facts, report)
  await writeBundle(`${plain}.gz`, facts, report)
  const text = readFileSync(plain, 'utf8')
  t.same(Object.keys(JSON.parse(gunzipSync(readFileSync(`${plain}.gz`)).toString())), Object.keys(JSON.parse(text)))
  t.equal(statSync(plain).mode & 0o777, 0o600)
  for (const secret of [
    'a-token-nobody',
    'hunter2',
    'k3y-of-the-shop',
    'also-hidden',
    '134567890123456789',
    'user:pw',
    'aa:bb:cc',
    'geheim',
  ])
    t.notMatch(text, secret, secret)
  const bundle = JSON.parse(text)
  t.match(bundle, { config: { gateway: { id: 'shop-001' }, hq: { username: 'shop-001' } }, status: { gateway: { version: '1.2.3' } } })
  t.match(bundle.log, [/13\*\*\*6789/])
  t.same(scrub({ certFile: '/etc/shopwire/hq.crt', passwordFile: '/etc/shopwire/pw' }), {
    certFile: '/etc/shopwire/hq.crt',
    passwordFile: '/etc/shopwire/pw',
  })
})

t.test('the command itself, as people call it', async (t) => {
  const box = await openBox(t, SHOP, healthy())
  const entry = new URL('./doctor-command.ts', import.meta.url).pathname
  const script = `import { doctor } from ${JSON.stringify(entry)}
    const io = { out: console.log, err: console.error, env: {}, signal: new AbortController().signal, colour: false, columns: 80 }
    process.exit(await doctor(${JSON.stringify(['--json', '--config', join(box.folder, 'shopwire.yaml')])}, io))`
  const runner = execFile(process.execPath, ['--import=tsx', '--input-type=module', '-e', script])
  let out = ''
  let err = ''
  runner.stdout?.on('data', (chunk) => {
    out += chunk
  })
  runner.stderr?.on('data', (chunk) => {
    err += chunk
  })
  const [code] = await once(runner, 'close')
  t.equal(code, 0, err)
  t.equal(JSON.parse(out).checks.length, 10)
})

t.test('plugins look at themselves: what they say stands in the report, and one that cannot is a finding of its own', async (t) => {
  const running = (name: string) => ({ name, version: '1.0.0', status: 'running' as const, since: AGO, restarts: 0 })
  const manifest = (name: string, commands: JsonObject) => ({ name, version: '1.0.0', api: '1', entry: 'plugin.cjs', commands })
  const manifests = [
    manifest('portal', { 'self-check': {} }),
    manifest('beacon', { 'self-check': {} }),
    manifest('scanner', {}),
  ] as Facts['manifests']
  const answers: Record<string, unknown> = {
    portal: {
      findings: [
        { state: 'ok', fact: '9 of 9 probes are led to the page' },
        { state: 'warn', fact: 'no certificate', fix: 'set https' },
        'junk',
      ],
    },
  }
  const check = CHECKS.find(({ name }) => name === 'plugins') as Check
  const look = (facts: Partial<Facts>) =>
    check.run({ status: healthy({ plugins: [running('portal'), running('beacon'), running('scanner')] }), manifests, ...facts } as Facts)

  const outcome = await look({
    command: async (plugin) => {
      if (plugin === 'beacon') throw new Failure('command-timeout', 'it did not answer')
      return answers[plugin] as JsonObject
    },
  })
  t.match(outcome, {
    state: 'fail',
    findings: [
      { state: 'warn', fact: 'portal: no certificate', fix: 'set https' },
      { state: 'fail', fact: 'beacon: could not look at itself: it did not answer' },
    ],
  })
  t.same(await look({ command: async () => ({ findings: [{ state: 'ok', fact: 'fine' }] }) }), {
    state: 'ok',
    fact: 'portal: fine; beacon: fine',
  })
})
