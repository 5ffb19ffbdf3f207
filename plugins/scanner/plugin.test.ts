/** The real plugin against the simulator over real TCP. */
import t from 'tap'
import { Failure } from '../../daemon/contract/errors.ts'
import type { Json, JsonObject } from '../../daemon/contract/json.ts'
import type { Clock, StartPlugin } from '../../daemon/contract/plugin.ts'
import { freePort } from '../../daemon/testing/free-port.ts'
import { HeldTimers } from '../../daemon/testing/held-timers.ts'
import { PluginHarness } from '../../daemon/testing/plugin-harness.ts'
import { GOLDEN } from './golden.ts'
import plugin from './plugin.ts'
import { articleNumber, SIMULATED_PREFIXES, shopCodes } from './simulator/codes.ts'
import simulate, { type Behaviour, ScannerSimulator } from './simulator.ts'

const PAY_CODE = '134567890123456789'

interface Till {
  scanner: ScannerSimulator
  port: number
  harness: PluginHarness
  codes(): string[]
}

interface Setting {
  device?: JsonObject
  shared?: JsonObject
  behaviour?: Partial<Behaviour>
  demo?: boolean
  clock?: Clock
  call?: (plugin: string, device: string, command: string, args: Json) => Promise<Json>
}

async function till(t: Pick<typeof import('tap').default, 'teardown'>, setting: Setting = {}): Promise<Till> {
  const scanner = new ScannerSimulator(setting.behaviour)
  t.teardown(() => scanner.stop())
  // Unplugged, it listens there again: nobody else may have taken it meanwhile.
  const port = await scanner.listen('127.0.0.1', await freePort())
  const harness = await PluginHarness.start({
    start: plugin as unknown as StartPlugin,
    manifestUrl: new URL('./', import.meta.url),
    config: { devices: { 'till-1': { port: `tcp://127.0.0.1:${port}`, ...setting.device } }, ...setting.shared },
    demo: setting.demo ?? false,
    ...(setting.call ? { call: setting.call } : {}),
    ...(setting.clock ? { clock: setting.clock } : {}),
  })
  t.teardown(() => harness.stop())
  await harness.until(() => harness.state('till-1')?.state === 'online' && scanner.connected, 'the scanner is online')
  return { scanner, port, harness, codes: () => harness.events.map((one) => String(one.data.code)) }
}

/** Everything a plugin has let out of its hands. */
function everything(harness: PluginHarness): string {
  return JSON.stringify([harness.events, harness.states, harness.logs, [...harness.store]])
}

t.test('golden bytes come out as events, whatever the network does to them', async (t) => {
  const { scanner, harness } = await till(t, { behaviour: { split: 3 }, device: { till: 'T1', repeatMs: 0 } })
  for (const { bytes } of GOLDEN) scanner.send(Buffer.from(bytes, 'hex'))
  await harness.until(() => harness.events.length >= GOLDEN.length, 'all scans')
  t.same(
    harness.events.map(({ event, device, data }) => ({ event, device, data })),
    GOLDEN.map(({ expect }) => ({ event: 'scan', device: 'till-1', data: { ...expect, till: 'T1' } })),
  )
  for (const { secret } of GOLDEN) if (secret !== undefined) t.notMatch(everything(harness), secret)
})

t.test('a day in the shop: every code is told apart', async (t) => {
  const prefixes = structuredClone(SIMULATED_PREFIXES) as unknown as JsonObject
  const { scanner, harness } = await till(t, { device: { repeatMs: 0 }, shared: { prefixes }, behaviour: { aim: true } })
  const codes = shopCodes('day', 7)
  const sent = Array.from({ length: 300 }, () => codes.next().value)
  for (const code of sent) scanner.scan(code)
  await harness.until(() => harness.events.length >= sent.length, 'all scans')
  t.same(
    harness.events.map((one) => one.data.kind),
    sent.map((one) => one.kind),
  )
  const shown = everything(harness)
  t.same(
    sent.filter((one) => one.kind === 'pay' && shown.includes(one.text)),
    [],
    'no pay code is shown',
  )
})

t.test('a pay code goes to the payment plugin whole, and nowhere else', async (t) => {
  const calls: Json[] = []
  const { scanner, harness } = await till(t, {
    shared: { route: { pay: { command: 'charge' } } },
    // However long the two readings are apart.
    device: { till: 'T1', repeatMs: 60_000 },
    behaviour: { double: true },
    call: async (plugin, device, command, args) => {
      calls.push({ plugin, device, command, args, journaled: harness.events.length })
      return {}
    },
  })
  scanner.scan(PAY_CODE)
  scanner.scan('6901234567892')
  await harness.until(() => harness.events.length === 2 && calls.length === 1, 'the scan and the call')
  const args = { code: PAY_CODE, channel: 'wechat', scanner: 'till-1', till: 'T1' }
  t.match(calls, [{ plugin: 'payment', device: '-', command: 'charge', args }], 'once, though it was read twice')
  t.ok((calls[0] as { journaled: number }).journaled >= 1, 'after its scan was durable')
  t.notMatch(everything(harness), PAY_CODE)
})

t.test('a payment plugin that refuses costs no scan and uncovers no code', async (t) => {
  const { scanner, harness } = await till(t, {
    shared: { route: { pay: {} } },
    call: async (_plugin, _device, _command, args) => {
      throw new Failure('plugin-not-running', `payment is down: ${JSON.stringify(args)}`)
    },
  })
  scanner.scan(PAY_CODE)
  await harness.until(() => harness.logs.some((one) => one.level === 'warn' && one.fields.code === 'plugin-not-running'), 'a warning')
  t.match(harness.events[0]?.data, { kind: 'pay', code: '13************6789' })
  t.notMatch(everything(harness), PAY_CODE)
})

t.test('the serial server goes and comes back; a cut code gives nothing', async (t) => {
  const { scanner, harness, codes } = await till(t)
  scanner.scan('96385074')
  scanner.send(Buffer.from('69012345'))
  await harness.until(() => codes().length === 1, 'the first scan')
  await scanner.unplug()
  await harness.until(() => harness.states.some(({ state, detail }) => state === 'offline' && detail === 'disconnected'), 'offline')
  await harness.until(() => harness.state('till-1')?.detail === 'refused', 'a try that was refused')
  const warned = harness.logs.length
  await scanner.plug()
  await harness.until(() => harness.state('till-1')?.state === 'online' && scanner.connected, 'online again')
  scanner.scan('6901234567892')
  await harness.until(() => codes().length === 2, 'the second scan')
  t.same(codes(), ['96385074', '6901234567892'])
  t.ok(harness.logs.length - warned <= 1, 'no line a try')
})

t.test('nothing listens there: offline, one log line, and a clean stop', async (t) => {
  const harness = await PluginHarness.start({
    start: plugin as unknown as StartPlugin,
    manifestUrl: new URL('./', import.meta.url),
    // Port 1 (tcpmux) is never given to anybody who asks for a free one.
    config: { devices: { gone: { port: 'tcp://127.0.0.1:1' } } },
  })
  t.teardown(() => harness.stop())
  await harness.until(() => harness.state('gone')?.detail === 'refused', 'offline')
  await t.rejects(harness.command('gone', 'beep'), { code: 'device-offline' })
  t.match(await harness.command('gone', 'status'), { state: 'offline', detail: 'refused', scans: 0 })
  t.equal(harness.logs.length, 1)
})

t.test('10 MB of garbage: a fault, no flood, and good again', async (t) => {
  // All of it comes in one burst, however often a busy machine pauses in the middle.
  const { clock } = new HeldTimers()
  const now = clock.mono()
  const { scanner, harness, codes } = await till(t, { clock: { ...clock, mono: () => now } })
  scanner.scan('96385074')
  scanner.garbage(5 * 1_048_576)
  scanner.send(Buffer.alloc(5 * 1_048_576, 0x41))
  await harness.until(() => harness.state('till-1')?.detail === 'garbage', 'the fault')
  t.equal(harness.state('till-1')?.state, 'fault')
  scanner.send(Buffer.from('\r\n'))
  scanner.scan('6901234567892')
  await harness.until(() => codes().at(-1) === '6901234567892', 'the clean line after it')
  t.equal(harness.state('till-1')?.state, 'online')
  t.ok(harness.events.length <= 3, `${harness.events.length} events`)
})

t.test('the journal is slow: reading stops, and every line is there when it is quick again', async (t) => {
  const lines = 20_000
  const { scanner, harness, codes } = await till(t, { device: { repeatMs: 0 } })
  harness.hold()
  const all = Array.from({ length: lines }, (_one, count) => articleNumber(count))
  scanner.send(Buffer.from(`${all.join('\r\n')}\r\n`))
  const waiting = async () => ((await harness.command('till-1', 'status')) as { waiting: number }).waiting
  let most = 0
  // Reading stops at 500; what it then still had in hand is told as well.
  for (let looks = 0; looks < 20; most >= 500 && looks++) {
    most = Math.max(most, await waiting())
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  t.ok(most < 10_000, `${most} outstanding at most`)
  harness.resume()
  await harness.until(() => codes().length === lines, 'all of them')
  t.same(codes(), all, 'in order')
})

t.test('the disk is full for a while: scans wait and are stored', async (t) => {
  let full = true
  const { scanner, harness } = await till(t)
  const start = plugin as unknown as StartPlugin
  const refusing: StartPlugin = (context) =>
    start({
      ...context,
      devices: (begin) =>
        context.devices((device) =>
          begin({
            ...(device as never as object),
            emit: (event: string, data: JsonObject) =>
              full ? Promise.reject(new Failure('journal-full', `no room for ${JSON.stringify(data)}`)) : device.emit(event, data),
          } as never),
        ),
    })
  await harness.stop()
  await scanner.unplug()
  const port = await scanner.listen()
  const second = await PluginHarness.start({
    start: refusing,
    manifestUrl: new URL('./', import.meta.url),
    config: { devices: { 'till-1': { port: `tcp://127.0.0.1:${port}` } } },
  })
  t.teardown(() => second.stop())
  scanner.scan('6901234567892')
  await second.until(() => second.logs.some((one) => one.fields.code === 'journal-full'), 'the warning')
  full = false
  await second.until(() => second.events.length === 1, 'the scan')
  t.notMatch(JSON.stringify(second.logs), '6901234567892', 'logs quote no code')
})

t.test('reloads in a stream of scans lose nothing that the scanner can hold', async (t) => {
  const { scanner, harness, codes, port } = await till(t, { device: { repeatMs: 0 } })
  const config = (idleMs: number): JsonObject => ({ devices: { 'till-1': { port: `tcp://127.0.0.1:${port}`, repeatMs: 0, idleMs } } })
  let sent = 0
  const timer = setInterval(() => {
    for (let burst = 0; burst < 5; burst++) scanner.scan(articleNumber(sent++))
  }, 2)
  t.teardown(() => clearInterval(timer))
  for (let reload = 1; reload <= 8; reload++) {
    const before = codes().length
    await harness.configure(config(100 + reload))
    await harness.until(() => codes().length > before, 'scans after the reload')
  }
  clearInterval(timer)
  await harness.until(() => codes().length >= sent, `all ${sent} scans, ${codes().length} are here`)
  t.same(
    codes(),
    Array.from({ length: sent }, (_one, count) => articleNumber(count)),
  )
})

t.test('commands', async (t) => {
  const { scanner, harness } = await till(t, { device: { beep: '070d' }, demo: true })
  t.same(await harness.command('till-1', 'beep'), {})
  await harness.until(() => Buffer.concat(scanner.heard).toString('hex') === '070d', 'the beep')
  t.same(await harness.command('till-1', 'simulate', { code: PAY_CODE }), { code: '13************6789', kind: 'pay' })
  t.same(await harness.command('till-1', 'simulate', { code: '96385074', symbology: ']E4' }), { code: '96385074', kind: 'product' })
  t.match(harness.events[1]?.data, { symbology: 'ean-8' })
  t.match(await harness.command('till-1', 'status'), { state: 'online', scans: 2, repeats: 0 })
  await t.rejects(harness.command('till-1', 'simulate', { code: 5 }), { code: 'args-invalid' })
  const real = await till(t)
  await t.rejects(real.harness.command('till-1', 'simulate', { code: PAY_CODE }), { code: 'device-unsupported' })
  t.notMatch(everything(harness) + everything(real.harness), PAY_CODE)
})

t.test('a config that is wrong is told where', async (t) => {
  const start = (config: JsonObject) =>
    PluginHarness.start({ start: plugin as unknown as StartPlugin, manifestUrl: new URL('./', import.meta.url), config })
  for (const device of [
    {},
    { port: 'COM3' },
    { port: 'tcp://host' },
    { port: '/dev/ttyUSB0', baudRate: '9600' },
    { port: '/dev/ttyUSB0', colour: 1 },
    { port: '/dev/x', beep: '7' },
  ])
    await t.rejects(
      start({ devices: { 'till-1': device } }),
      { code: 'config-invalid', message: /devices\.till-1/ },
      JSON.stringify(device),
    )
  await t.rejects(start({ prefixes: { pay: ['1'] } }), { code: 'config-invalid' })
})

t.test('the simulator as a command', async (t) => {
  const stop = new AbortController()
  t.teardown(() => stop.abort())
  const lines: string[] = []
  t.equal(await simulate(['--every', 'soon'], (line) => lines.push(line), stop.signal), 2)
  t.match(lines[0], /^usage:/)
  const done = simulate(
    ['--listen', '127.0.0.1:0', '--every', '1ms', '--scene', 'pay', '--count', '5'],
    (line) => lines.push(line),
    stop.signal,
  )
  const port = await new Promise<string>((resolve) => {
    const look = setInterval(() => {
      const found = lines.map((line) => /on tcp:\/\/127\.0\.0\.1:(\d+)/.exec(line)?.[1]).find((one) => one !== undefined)
      if (found === undefined) return
      clearInterval(look)
      resolve(found)
    }, 5)
  })
  const harness = await PluginHarness.start({
    start: plugin as unknown as StartPlugin,
    manifestUrl: new URL('./', import.meta.url),
    config: { devices: { 'till-1': { port: `tcp://127.0.0.1:${port}` } } },
  })
  t.teardown(() => harness.stop())
  await harness.until(() => harness.events.length === 5, 'five codes')
  t.equal(await done, 0)
  t.ok(lines.slice(2).every((line) => /^pay \d\d\*+\d{4}$/.test(line)))
})
