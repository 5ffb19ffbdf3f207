import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createConnection, type Socket } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { CloudEvent } from './contract/event.ts'
import type { JsonObject } from './contract/json.ts'
import type { Status } from './http/api.ts'
import { freePort } from './testing/free-port.ts'
import { hqEvents } from './testing/hq-database.ts'
import { type GatewayProcess, Shopfloor } from './testing/processes.ts'
import { until } from './testing/until.ts'

t.setTimeout(600_000)

interface Shop {
  floor: Shopfloor
  gateway: GatewayProcess
  /** HQ's broker and what its sink has stored. */
  hqPort: number
  db: string
  /** Sends lines as the shop's scanner. */
  scan(...codes: string[]): Promise<void>
}

interface Machine {
  env?: NodeJS.ProcessEnv
  prefix?: string[]
  /** Only the scanner: no printer, no HQ. */
  alone?: boolean
}

/** A shop with a scanner and a printer on real TCP, and HQ. The simulated printer is the plugin's own. */
async function open(t: Test, { env = {}, prefix = [], alone = false }: Machine = {}): Promise<Shop> {
  const floor = new Shopfloor()
  t.teardown(() => floor.end())
  const [scannerPort, printerPort, hqPort] = [await freePort(), await freePort(), await freePort()]
  let line: Socket | undefined
  await floor.serialServer(scannerPort, (socket) => {
    line = socket
    socket.on('close', () => {
      if (line === socket) line = undefined
    })
  })
  const db = join(floor.dir, 'hq.sqlite')
  if (!alone) {
    floor.shopwire(['sim', 'printer', '--listen', `127.0.0.1:${printerPort}`, '--speed', '10000'])
    await floor.mosquitto(hqPort)
    floor.sink(hqPort, db)
  }
  const gateway = await floor.gateway({
    config: {
      ...(alone ? {} : { hq: { url: `mqtt://127.0.0.1:${hqPort}` } }),
      plugins: {
        scanner: { prefixes: { member: ['VIP'] }, devices: { 'till-1': { port: `tcp://127.0.0.1:${scannerPort}`, repeatMs: 0 } } },
        ...(alone ? {} : { printer: { devices: { receipt: { port: `tcp://127.0.0.1:${printerPort}` } } } }),
      },
    },
    env,
    prefix,
  })
  await gateway.start()
  const scan = async (...codes: string[]) => {
    await until(() => line !== undefined, 'the scanner plugin to connect')
    line?.write(codes.map((code) => `${code}\r\n`).join(''))
  }
  return { floor, gateway, hqPort, db, scan }
}

/** The stories happen in one shop, one after the other, as in real ones: none relies on being the first, or on another. */
let opened: Promise<Shop> | undefined
function shop(): Promise<Shop> {
  opened ??= open(t)
  return opened
}

const status = (gateway: GatewayProcess): Promise<Status> => gateway.client.get<Status>('/api/v1/status')

async function online(gateway: GatewayProcess, device: string): Promise<void> {
  await until(
    async () => (await status(gateway)).devices.some((one) => `${one.plugin}/${one.device}` === device && one.state === 'online'),
    `${device} to be online`,
  )
}

t.test('one sale: the till hears the scan, has a receipt printed, and HQ gets the whole story', async (t) => {
  const { floor, gateway, scan, db } = await shop()
  await online(gateway, 'printer/receipt')

  const till = await floor.mqtt(gateway.lanPort)
  const heard: { topic: string; body: JsonObject }[] = []
  till.on('message', (topic, payload) => heard.push({ topic, body: JSON.parse(payload.toString() || '{}') as JsonObject }))
  await till.subscribeAsync('shop/#', { qos: 1 })
  await scan('6901234567892', '134567890123456789')
  const scans = () => heard.filter(({ topic }) => topic === 'shop/scanner/till-1/scan').map(({ body }) => body as unknown as CloudEvent)
  await until(() => scans().length === 2, 'both scans')
  t.match(scans()[0], {
    type: 'shopwire.scanner.scan',
    source: '/shop-001/scanner/till-1',
    store: '0001',
    data: { kind: 'product', gtin: '06901234567892' },
  })
  t.match(scans()[1], { data: { kind: 'pay', code: '13************6789' } }, 'the pay code is masked')

  const order = '{"id":"r-1","args":{"receipt":"# Thank you\\n合计 | ¥12.50"}}'
  till.publish('shop/printer/receipt/cmd/print', order, { qos: 1 })
  const results = () =>
    heard.filter(({ topic, body }) => topic === 'shop/printer/receipt/result' && body.id === 'r-1' && body.status === 'done')
  await until(() => results().length > 0, 'the receipt')
  t.match(results()[0]?.body, { id: 'r-1', status: 'done', result: { status: 'printed', copies: 1 } })
  const printed = () =>
    heard.filter(({ topic, body }) => topic === 'shop/printer/receipt/printed' && (body.data as JsonObject).jobId === 'r-1')
  await until(() => printed().length > 0, 'the printed event')

  // The till asks again after a lost answer: the same result, no second receipt.
  till.publish('shop/printer/receipt/cmd/print', order, { qos: 1 })
  await until(() => results().length === 2, 'the repeated answer')

  const [, scanned] = scans()
  const atHq = async () => (await hqEvents(db)).map(({ id, type, data }) => ({ id, type, job: data.jobId, command: data.command }))
  // What is journaled next comes after whatever the repeated order could have caused.
  await scan('6901234567885')
  await until(() => scans().length === 3, 'the next customer')
  const last = scans()[2]?.id
  await until(async () => (await atHq()).some(({ id }) => id === last), 'HQ to have it all')
  const story = await atHq()
  t.equal(story.filter(({ type, job }) => type === 'shopwire.printer.printed' && job === 'r-1').length, 1, 'one receipt')
  t.equal(printed().length, 1)
  t.equal(story.filter(({ id }) => id === scanned?.id).length, 1)
  t.same(
    story.filter(({ command }) => command === 'r-1').map(({ type }) => type),
    ['shopwire.command.accepted', 'shopwire.command.finished'],
  )
  till.end(true)
  const journal =
    readFileSync(join(gateway.dataDir, 'journal.db'), 'latin1') + readFileSync(join(gateway.dataDir, 'journal.db-wal'), 'latin1')
  t.notMatch(journal, /134567890123456789/, 'the pay code is nowhere on the disk')
  t.notMatch(gateway.child?.output ?? '', /134567890123456789/, 'nor in the log')
})

t.test('a person at the box: check, status, events, cmd, plugin, discover, doctor', async (t) => {
  const { floor, gateway, scan } = await shop()
  await online(gateway, 'printer/receipt')
  await scan('6901234567892')
  const found = async () => (await gateway.client.get<{ events: CloudEvent[] }>('/api/v1/events?last=1&type=scanner.scan')).events
  await until(async () => (await found())[0]?.data.gtin === '06901234567892', 'the scan in the journal')
  await until(async () => (await status(gateway)).health.problems.length === 0, 'nothing to need attention')
  const cli = (...args: string[]) => floor.cli([...args, '--config', gateway.configFile])
  t.match(await cli('check'), { code: 0, output: /: ok/ })
  t.match(await cli('events', '--type', 'scanner.scan', '--json'), { code: 0, output: /"gtin":"06901234567892"/ })
  t.match(await cli('status'), { code: 0, output: /All working.*shop-001[\s\S]*printer\/receipt[\s\S]*online/ })
  t.match(await cli('status', '--json'), { output: /^\{.*"head":\d+/ })
  t.match(await cli('cmd', 'printer', 'receipt', 'print', '{"receipt":"# Hello"}'), { code: 0, output: /"printed"/ })
  t.match(await cli('cmd', 'printer', 'receipt', 'print', '{"reciept":"# Hello"}'), { code: 1, output: /args-invalid[\s\S]*args\.reciept/ })
  t.match(await cli('cmd', 'printer', 'kitchen', 'print', '{}'), { code: 1, output: /device-unknown/ })
  t.match(await cli('cmd', 'gateway', '-', 'ping'), { code: 0, output: /version/ })
  t.match(await cli('plugin', 'list'), { code: 0, output: /scanner +\d+\.\d+\.\d+ +running/ })
  t.match(await cli('plugin', 'reload', 'scanner'), { code: 0, output: /reloaded/ })
  t.match(await cli('discover'), { code: 0 })
  t.match(await cli('doctor'), { output: /config[\s\S]*printer/i })
  t.match(await cli('frobnicate'), { code: 2 })
  await gateway.kill('SIGTERM')
  t.equal(gateway.child?.exitCode, 0, 'SIGTERM stops it cleanly')
  t.match(await cli('status'), { code: 3, output: /daemon-unreachable/ })
  await gateway.start()
})

t.test(
  'HQ gives the shop a second scanner, then a config that cannot be: applied, then rejected with the path, the shop undisturbed',
  async (t) => {
    const { floor, gateway, hqPort, db } = await shop()
    const operator = await floor.mqtt(hqPort)
    const reports: JsonObject[] = []
    operator.on('message', (_topic, payload) => reports.push(JSON.parse(payload.toString()) as JsonObject))
    await operator.subscribeAsync('shopwire/v1/shop-001/up/reported', { qos: 1 })
    await until(async () => (await status(gateway)).links.find((link) => link.name === 'hq')?.state === 'online', 'the link to HQ')
    const wish = async (name: string, config: JsonObject) => {
      const file = join(floor.dir, name)
      writeFileSync(file, JSON.stringify(config))
      return floor.cli(['hq', 'desired', 'shop-001', file, '--broker', `mqtt://127.0.0.1:${hqPort}`, '--db', db])
    }

    t.match(await wish('good.json', { plugins: { scanner: { devices: { 'till-2': { port: '/dev/serial/by-id/not-there' } } } } }), {
      code: 0,
    })
    await until(() => reports.some((one) => one.version === 1 && one.status === 'applied'), 'the report')
    const devices = async () => (await status(gateway)).devices.map((one) => one.device).sort()
    await until(async () => (await devices()).includes('till-2'), 'the second scanner')
    const applied = await devices()

    await wish('bad.json', { plugins: { scanner: { devices: { 'till-3': { prot: 'x' } } } }, hq: { url: 'mqtt://elsewhere' } })
    await until(() => reports.some((one) => one.version === 2 && one.status === 'rejected'), 'the refusal')
    const refusal = JSON.stringify(reports.find((one) => one.version === 2 && one.status === 'rejected'))
    t.match(refusal, /"path":"hq/, 'HQ cannot lock a box out')
    t.same(await devices(), applied, 'the last good config stays')
  },
)

t.test('one device changes in the config file: it alone is restarted', async (t) => {
  const { floor, gateway } = await shop()
  await online(gateway, 'printer/receipt')
  await online(gateway, 'scanner/till-1')
  await until(() => /"msg":"ready"/.test(gateway.child?.output ?? ''), 'the start to be over')
  const before = await status(gateway)
  const device = (name: string, { devices }: Status) => devices.find((one) => one.device === name)
  const as = readFileSync(gateway.configFile, 'utf8')
  const config = JSON.parse(as)
  config.plugins.scanner.devices['till-5'] = { port: '/dev/serial/by-id/not-there' }
  gateway.write(config)
  gateway.child?.kill('SIGHUP')
  await until(async () => device('till-5', await status(gateway))?.state === 'offline', 'the new device')
  const after = await status(gateway)
  t.equal(device('till-1', after)?.since, device('till-1', before)?.since, 'the other scanner was left alone')
  const restarts = ({ plugins }: Status) => plugins.map((one) => one.restarts)
  t.same(restarts(after), restarts(before))

  config.plugins.scanner.devices['till-1'].baudrate = 9600
  gateway.write(config)
  gateway.child?.kill('SIGHUP')
  await until(() => /baudrate: is not known here/.test(gateway.child?.output ?? ''), 'the problem in the log')
  t.equal((await status(gateway)).devices.length, after.devices.length, 'a broken file changes nothing')
  t.match(await floor.cli(['check', '--config', gateway.configFile]), {
    code: 1,
    output: /plugins\.scanner\.devices\.till-1\.baudrate: is not known here/,
  })
  gateway.write(JSON.parse(as))
  gateway.child?.kill('SIGHUP')
  await until(async () => device('till-5', await status(gateway)) === undefined, 'the file as it was')
})

t.test('a shop that was not told its HQ wrong: a bad config does not start, each problem on its line', async (t) => {
  const floor = new Shopfloor()
  t.teardown(() => floor.end())
  const file = join(floor.dir, 'bad.yaml')
  writeFileSync(file, 'gateway: { id: Shop 1 }\nhtpp: {}\nplugins: { scanner: { devices: { till-1: { port: 7 } } }, scale: {} }\n')
  t.match(await floor.cli(['run', '--config', file]), { code: 1, output: /gateway\.id: must match[\s\S]*htpp: is not known here/ })
  writeFileSync(file, 'gateway: { id: shop-001 }\nplugins: { scanner: { devices: { till-1: { port: 7 } } }, scale: {} }\n')
  const { code, output } = await floor.cli(['check', '--config', file])
  t.equal(code, 1)
  t.match(output, /plugins\.scanner\.devices\.till-1\.port: must be string/)
  t.match(output, /plugins\.scale/)
})

t.test('a third-party plugin is dropped into the folder while the shop runs, and a bad one disturbs nobody', async (t) => {
  const { floor, gateway } = await shop()
  const dir = gateway.pluginDir
  const before = (await status(gateway)).plugins.map(({ name, restarts }) => ({ name, restarts }))
  const drop = (folder: string, manifest: JsonObject, code: string) => {
    mkdirSync(join(dir, folder))
    writeFileSync(join(dir, folder, 'plugin.mjs'), code)
    writeFileSync(join(dir, folder, 'plugin.json'), JSON.stringify(manifest))
  }
  drop(
    'bell',
    { name: 'bell', version: '1.0.0', api: '1', entry: 'plugin.mjs', commands: { ring: { repeatable: true } } },
    'export default async () => ({ handle: async () => "ding", stop: async () => {} })',
  )
  drop('evil', { name: '../evil', version: '1.0.0', api: '1', entry: '../../x.mjs' }, '')
  drop('future', { name: 'future', version: '1.0.0', api: '9', entry: 'plugin.mjs' }, '')
  await until(async () => (await status(gateway)).plugins.some((one) => one.name === 'bell' && one.status === 'running'), 'the bell')
  t.match(await floor.cli(['cmd', 'bell', '-', 'ring', '--config', gateway.configFile]), { code: 0, output: /ding/ })
  await until(
    () =>
      /plugin-api-unsupported/.test(gateway.child?.output ?? '') &&
      /plugin-(path-unsafe|manifest-invalid)/.test(gateway.child?.output ?? ''),
    'both refusals in the log',
  )
  t.same(
    (await status(gateway)).plugins.map(({ name, restarts }) => ({ name, restarts })).filter(({ name }) => name !== 'bell'),
    before,
    'nobody else was disturbed',
  )
  t.match(await floor.cli(['plugin', 'load', join(dir, 'future'), '--config', gateway.configFile]), {
    code: 1,
    output: /plugin-api-unsupported/,
  })
})

t.test('a box without a clock boots in 1970: events keep their order and say that the time is not to be trusted', async (t) => {
  const { gateway, scan } = await open(t, { alone: true, env: { DONT_FAKE_MONOTONIC: '1' }, prefix: ['faketime', '1970-01-02 00:00:00'] })
  await scan('6901234567892', '6901234567885')
  const events = async () =>
    (await gateway.client.get<{ events: CloudEvent[] }>('/api/v1/events?since=0&limit=100&type=shopwire.scanner.scan')).events
  await until(async () => (await events()).length === 2, 'the scans')
  for (const event of await events()) t.match(event, { clock: 'unsynced', time: /^1970-01-0/ })
})

t.test(
  '10 MB of garbage and half a character on the scanner line, an oversized message and broken JSON on the broker: one answer each, the shop goes on',
  async (t) => {
    const { floor, gateway, scan } = await shop()
    await scan('6901234567892')
    const restarts = async () => (await status(gateway)).plugins.find((one) => one.name === 'scanner')?.restarts
    const before = await restarts()
    const till = await floor.mqtt(gateway.lanPort)
    const heard: { topic: string; body: string }[] = []
    till.on('message', (topic, payload) => heard.push({ topic, body: payload.toString() }))
    await till.subscribeAsync('shop/#', { qos: 1 })

    till.publish('shop/printer/receipt/cmd/print', '{"id":"r-1","args":', { qos: 1 })
    await until(
      () => heard.some(({ topic, body }) => topic === 'shop/printer/receipt/result' && /payload-malformed/.test(body)),
      'the answer to broken JSON',
    )
    const rude = await floor.mqtt(gateway.lanPort)
    let cut = false
    rude.on('close', () => (cut = true))
    rude.publish('shop/printer/receipt/cmd/print', Buffer.alloc(2 ** 21, 'x'), { qos: 0 })
    await until(() => cut, 'the oversized publisher to be cut off')

    const garbage = Buffer.alloc(10 * 2 ** 20, 0xe4)
    await scan(garbage.toString('latin1'))
    await scan('', '6901234567885')
    await until(
      () => heard.some(({ topic, body }) => topic === 'shop/scanner/till-1/scan' && body.includes('06901234567885')),
      'the scan after the garbage',
      300_000,
    )
    t.ok(till.connected, 'the other till was not disturbed')
    t.equal(await restarts(), before)
    const bytes = heard.filter(({ topic }) => topic === 'shop/scanner/till-1/scan').reduce((sum, { body }) => sum + body.length, 0)
    t.ok(bytes < 100_000, 'garbage does not become a flood of events')
  },
)

t.test('a shopper on the LAN cannot reach the admin listener’s socket nor forge an event', async (t) => {
  const { floor, gateway, scan } = await shop()
  await scan('6901234567892')
  const till = await floor.mqtt(gateway.lanPort)
  const forged: string[] = []
  till.on('message', (_topic, payload) => forged.push(payload.toString()))
  await till.subscribeAsync('shop/scanner/#', { qos: 1 })
  const forger = await floor.mqtt(gateway.lanPort)
  forger.publish('shop/scanner/till-1/scan', '{"forged":true}', { qos: 0 })
  await until(() => !forger.connected, 'the forger to be cut off')
  await scan('6901234567885')
  await until(() => forged.some((one) => one.includes('06901234567885')), 'the real scan')
  t.notOk(forged.some((one) => one.includes('forged')))

  const answer = await new Promise<string>((resolve) => {
    const socket = createConnection(gateway.httpPort, '127.0.0.1')
    let text = ''
    socket.on('error', () => {})
    socket.on('data', (chunk) => (text += chunk.toString()))
    socket.on('close', () => resolve(text))
    socket.end('GET /api/v1/status HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n')
  })
  t.match(answer, /^HTTP\/1\.1 (400|403|421)/, 'DNS rebinding is refused')
})
