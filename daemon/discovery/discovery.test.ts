import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, open, readlink, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { systemClock } from '../clock.ts'
import { Failure } from '../contract/errors.ts'
import type { JsonObject } from '../contract/json.ts'
import type { Manifest } from '../contract/plugin.ts'
import { createLog } from '../log.ts'
import { until as eventually } from '../testing/until.ts'
import type { Discovery, Found } from './api.ts'
import { createDiscovery } from './discovery.ts'
import { type FakeMachine, fakeMachine } from './fake-machine.ts'

const manifests: Manifest[] = [
  {
    name: 'scanner',
    version: '1.0.0',
    api: '1',
    entry: 'plugin.js',
    match: [
      { usb: '0c2e:*', name: 'Honeywell Voyager', confidence: 95, config: { port: '{port}', baudRate: 9600 } },
      { hid: '05e0:*', name: 'Zebra scanner', confidence: 90, config: { port: '{port}' } },
    ],
  },
  {
    name: 'printer',
    version: '1.0.0',
    api: '1',
    entry: 'plugin.js',
    match: [{ usb: '04b8:*', kind: 'usb-printer', name: 'Epson TM', confidence: 90, config: { port: '{port}' } }],
  },
]
const VOYAGER = { vid: '0c2e', pid: '0206', manufacturer: 'Honeywell', product: 'Voyager 1200g', serial: 'A1' }

interface Shop {
  machine: FakeMachine
  discovery: Discovery
  sections: Record<string, JsonObject>
  added: { plugin: string; device: string; config: JsonObject }[]
  lines: string[]
  /** Resolves with what is found once it is as wished for. */
  until(wish: (found: Found[]) => boolean): Promise<Found[]>
}

async function openShop(t: Test, { auto = false, refuse = false } = {}): Promise<Shop> {
  const root = await mkdtemp(join(tmpdir(), 'discovery-'))
  const machine = await fakeMachine(root)
  const sections: Record<string, JsonObject> = {}
  const added: Shop['added'] = []
  const lines: string[] = []
  const discovery = createDiscovery({
    manifests: () => manifests,
    configured: () => sections,
    auto: () => auto,
    announce: false,
    gateway: 'shop-001',
    services: () => [],
    async add(plugin, device, config) {
      added.push({ plugin, device, config })
      if (refuse) throw new Failure('config-invalid', 'not this one')
      sections[plugin] = { devices: { [device]: config } }
    },
    roots: machine.roots,
    mdns: false,
    clock: systemClock,
    log: createLog({ level: 'debug', clock: systemClock, write: (line) => lines.push(line) }),
  })
  t.teardown(async () => {
    await discovery.stop()
    await rm(root, { recursive: true, force: true })
  })
  const until: Shop['until'] = (wish) =>
    new Promise((resolve) => {
      const check = () => {
        if (!wish(discovery.found())) return
        unfollow()
        resolve(discovery.found())
      }
      const unfollow = discovery.follow(check)
      check()
    })
  return { machine, discovery, sections, added, lines, until }
}

t.test('a look finds what is plugged in, by its stable name, and leaves out what no shop would connect', async (t) => {
  const { machine, discovery } = await openShop(t)
  await machine.plugSerial('ttyACM0', VOYAGER)
  await machine.plugSerial('ttyUSB3', { vid: '1a86', pid: '7523', product: 'USB Serial' }, { byId: false })
  await machine.plugSerial('ttyUSB4', { vid: '067b', pid: '2303' }, { byId: false, byPath: false })
  await machine.addUart('ttyS0', 0)
  await machine.addUart('ttyS1', 4)
  await machine.addUart('ttyAMA0', 32)
  await machine.plugPrinter('lp0', { vid: '04b8', pid: '0e15', manufacturer: 'EPSON', product: 'TM-T20II' })
  await machine.plugKeyboard('event3', {
    vid: '05e0',
    pid: '1200',
    manufacturer: 'Symbol Technologies, Inc, 2008',
    product: 'Symbol Bar Code Scanner',
  })
  await machine.plugKeyboard('event4', { vid: '046d', pid: 'c31c', manufacturer: 'Logitech', product: 'USB Keyboard' })

  await machine.plugPrinter('lp1', { vid: '04b8', pid: '0e15', manufacturer: 'EPSON', product: 'TM-T20II', serial: 'X2' }, { byId: true })

  const found = await discovery.scan()
  const dev = machine.roots.dev
  t.same(
    found.map(({ kind, port, label, plugin }) => [kind, port.replace(dev, '/dev'), label, plugin]),
    [
      ['serial', '/dev/serial/by-id/usb_Honeywell_Voyager_1200g_A1-if00-port0', 'Honeywell Voyager', 'scanner'],
      ['serial', '/dev/serial/by-path/pci-0000:00-usb-0:2:1.0-port0', 'USB Serial', undefined],
      ['serial', '/dev/ttyS1', 'ttyS1', undefined],
      ['serial', '/dev/ttyUSB4', 'ttyUSB4', undefined],
      ['usb-printer', '/dev/usb/lp0', 'Epson TM', 'printer'],
      ['usb-printer', '/dev/usb/lp1', 'Epson TM', 'printer'],
      ['hid', 'hid:/dev/input/by-id/usb_Logitech_USB_Keyboard-event-kbd', 'Logitech USB Keyboard', undefined],
      ['hid', 'hid:/dev/input/by-id/usb_Symbol_Technologies,_Inc,_2008_Symbol_Bar_Code_Scanner-event-kbd', 'Zebra scanner', 'scanner'],
    ],
  )
  t.match(found[0]?.snippet, /baudRate: 9600/)
  t.equal(found[1]?.snippet, undefined, 'what nobody knows is shown, but nothing is proposed')
})

t.test('an empty machine, or one without /sys, is no error', async (t) => {
  const { discovery, machine } = await openShop(t)
  t.same(await discovery.scan(), [])
  await rm(machine.roots.sys, { recursive: true })
  await rm(machine.roots.dev, { recursive: true })
  await discovery.start()
  t.same(discovery.found(), [])
})

t.test('a scanner is noticed when it is plugged in, pulled out and plugged in again under another tty', async (t) => {
  const { machine, discovery, until } = await openShop(t)
  await discovery.start()
  t.same(discovery.found(), [])

  const pty = await openPty(t)
  const pull = await machine.plugSerial('ttyUSB0', VOYAGER, { target: pty.near })
  const [found] = await until((list) => list[0]?.port.includes('by-id') === true)
  t.match(found, { plugin: 'scanner', label: 'Honeywell Voyager' })

  // The port it names is one that can be opened and read.
  const port = await open(found?.port ?? '', 'r')
  pty.write('6901234567892\r')
  let heard = ''
  while (!heard.endsWith('\r')) {
    const { buffer, bytesRead } = await port.read(Buffer.alloc(64), 0, 64)
    heard += buffer.toString('latin1', 0, bytesRead)
  }
  t.equal(heard, '6901234567892\r')
  await port.close()

  await pull()
  await until((list) => list.length === 0)

  await machine.plugSerial('ttyUSB7', VOYAGER, { target: pty.near })
  const [again] = await until((list) => list[0]?.port.includes('by-id') === true)
  t.equal(again?.id, found?.id, 'the same thing at the same stable name, whatever the kernel calls it')
})

t.test('a device that is in the config under another of its names is not proposed a second time', async (t) => {
  const { machine, discovery, sections } = await openShop(t)
  await machine.plugSerial('ttyUSB0', VOYAGER)
  await machine.plugPrinter('lp1', { vid: '04b8', pid: '0e15', manufacturer: 'EPSON', product: 'TM-T20II', serial: 'X2' }, { byId: true })
  const { dev } = machine.roots
  sections.scanner = { devices: { 'till-1': { port: join(dev, 'ttyUSB0') } } }
  sections.printer = { devices: { receipt: { port: `file:${join(dev, 'usb/by-id/usb_EPSON_TM-T20II_X2-lp')}` } } }
  t.match(await discovery.scan(), [
    { configuredAs: 'scanner/till-1', plugin: 'scanner' },
    { configuredAs: 'printer/receipt', plugin: 'printer' },
  ])
})

t.test('with discovery.auto a known printer is added by itself, once, and an unknown keyboard is not', async (t) => {
  const { machine, discovery, added, until } = await openShop(t, { auto: true })
  await discovery.start()
  await machine.plugKeyboard('event4', { vid: '046d', pid: 'c31c', product: 'USB Keyboard' })
  await machine.plugPrinter('lp0', { vid: '04b8', pid: '0e15', manufacturer: 'EPSON', product: 'TM-T20II' })
  await until((list) => list.some((found) => found.configuredAs === 'printer/epson-tm'))
  t.same(added, [{ plugin: 'printer', device: 'epson-tm', config: { port: join(machine.roots.dev, 'usb/lp0') } }])
})

t.test('an addition that the config refuses is told, and nothing else suffers', async (t) => {
  const { machine, discovery, added, lines, until } = await openShop(t, { auto: true, refuse: true })
  await machine.plugSerial('ttyUSB0', VOYAGER)
  await discovery.start()
  await eventually(() => lines.some((line) => line.includes('could not be added')), 'the refusal in the log')
  await machine.plugPrinter('lp1', { vid: '04b8', pid: '0e15' })
  await until((list) => list.length === 2)
  t.match(
    lines.find((line) => line.includes('could not be added')),
    /config-invalid/,
  )
  t.match(added[0], { plugin: 'scanner' })
})

async function openPty(t: Test): Promise<{ near: string; write: (text: string) => void }> {
  const folder = await mkdtemp(join(tmpdir(), 'pty-'))
  const link = join(folder, 'near')
  const socat = spawn('socat', ['-u', 'STDIO', `PTY,raw,echo=0,link=${link}`], { stdio: ['pipe', 'ignore', 'inherit'] })
  t.teardown(async () => {
    socat.kill()
    if (socat.exitCode === null && socat.signalCode === null) await once(socat, 'exit')
    await rm(folder, { recursive: true, force: true })
  })
  await eventually(() => existsSync(link), 'the serial line')
  return { near: await readlink(link), write: (text) => socat.stdin?.write(text) }
}
