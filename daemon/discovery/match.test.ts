import t from 'tap'
import { parse } from 'yaml'
import type { Manifest, Match } from '../contract/plugin.ts'
import { DEVICE } from '../contract/topics.ts'
import { bestMatch, browsedTypes, type Facts, matches } from './match.ts'
import { freeName, propose } from './propose.ts'

const manifest = (name: string, match: Match[]): Manifest => ({ name, version: '1.0.0', api: '1', entry: 'plugin.js', match })

const scanner = manifest('scanner', [
  { usb: '0c2e:0206', name: 'Honeywell Voyager 1200g', confidence: 95, config: { port: '{port}', baudRate: 9600 } },
  { usb: '0c2e:*', name: 'Honeywell scanner', confidence: 90 },
  { hid: '0c2e:*', name: 'Honeywell scanner (keyboard)', confidence: 85 },
  { kind: 'serial', name: 'serial port', confidence: 10 },
])
const printer = manifest('printer', [
  { usb: '04b8:*', kind: 'usb-printer', name: 'Epson TM', confidence: 90 },
  { usb: '1a86:7523', kind: 'serial', name: 'CH340 adapter', confidence: 20 },
  { mdns: '_pdl-datastream._tcp', confidence: 80, config: { port: '{port}', width: 48 } },
])
const manifests = [printer, scanner]

const serial = (usb?: string, port = '/dev/serial/by-id/usb-x'): Facts => ({
  kind: 'serial',
  port,
  label: 'Some adapter',
  aliases: ['/dev/ttyUSB0'],
  ...(usb === undefined ? {} : { usb }),
})

t.test('the catalogue says what was plugged in', async (t) => {
  t.match(bestMatch(serial('0c2e:0206'), manifests), { plugin: 'scanner', name: 'Honeywell Voyager 1200g', confidence: 95 })
  t.match(bestMatch(serial('0c2e:0b61'), manifests), {
    plugin: 'scanner',
    name: 'Honeywell scanner',
    config: { port: '/dev/serial/by-id/usb-x' },
  })
  t.match(bestMatch({ ...serial('0C2E:0B61'), kind: 'hid' }, manifests), { name: 'Honeywell scanner (keyboard)' })
  t.match(bestMatch({ ...serial('04b8:0e15'), kind: 'usb-printer' }, manifests), { plugin: 'printer' })
  t.match(
    bestMatch(serial('1a86:7523'), manifests),
    { plugin: 'printer', confidence: 20 },
    'a generic chip says little, but more than nothing',
  )
  t.match(bestMatch(serial(), manifests), { plugin: 'scanner', confidence: 10 }, 'a port without an id')
  t.equal(bestMatch({ ...serial('046d:c31c'), kind: 'hid' }, manifests), undefined, 'the office keyboard is nobody’s')
})

t.test('all keys of a rule must hold, and a rule without keys holds for nothing', async (t) => {
  t.notOk(matches({ usb: '04b8:*', kind: 'usb-printer' }, serial('04b8:0202')))
  t.notOk(matches({ usb: '0c2e:*' }, { ...serial('0c2e:0206'), kind: 'hid' }), 'usb is for serial adapters and printers')
  t.notOk(matches({ name: 'anything', confidence: 100 }, serial('0c2e:0206')))
  t.same(browsedTypes([printer, manifest('x', [{ mdns: '_http.*' }, { mdns: '_PDL-datastream._tcp' }])]), ['_pdl-datastream._tcp'])
})

t.test('equal rules give the same answer whatever the order of the plugins', async (t) => {
  const one = manifest('aaa', [{ usb: '0c2e:*', confidence: 50 }])
  const two = manifest('bbb', [{ usb: '0c2e:*' }])
  t.equal(bestMatch(serial('0c2e:1'), [one, two])?.plugin, 'aaa')
  t.equal(bestMatch(serial('0c2e:1'), [two, one])?.plugin, 'aaa')
})

t.test('the snippet can be pasted below `plugins:` and names do not clash', async (t) => {
  const facts = [serial('0c2e:0206', '/dev/serial/by-id/a'), serial('0c2e:0206', '/dev/serial/by-id/b')]
  const [a, b] = propose(facts, manifests, { scanner: { devices: { 'honeywell-voyager-1200g': { port: '/dev/ttyS9' } } } })
  t.same(parse(`plugins:\n${a?.snippet}`), {
    plugins: { scanner: { devices: { 'honeywell-voyager-1200g-2': { port: '/dev/serial/by-id/a', baudRate: 9600 } } } },
  })
  t.equal(b?.device, 'honeywell-voyager-1200g-3')
  t.match(a?.snippet, /^ {2}# Honeywell Voyager 1200g\n {2}scanner:\n/)
})

t.test('a device under another name of its port is known as configured', async (t) => {
  const configured = (port: string) => propose([serial('0c2e:0206')], manifests, { scanner: { devices: { 'till-1': { port } } } })[0]
  t.match(configured('/dev/ttyUSB0'), { configuredAs: 'scanner/till-1', plugin: 'scanner' })
  t.equal(configured('/dev/ttyUSB0')?.snippet, undefined, 'nothing to paste then')
  t.equal(configured('/dev/ttyUSB1')?.configuredAs, undefined)

  const network: Facts = {
    kind: 'network',
    port: 'tcp://192.0.2.7:9100',
    label: 'EPSON',
    mdns: '_pdl-datastream._tcp',
    aliases: ['tcp://epson.local:9100'],
  }
  for (const port of ['tcp://192.0.2.7:9100', 'tcp://EPSON.local.:9100/', 'tcp://192.0.2.7'])
    t.match(propose([network], manifests, { printer: { devices: { receipt: { port } } } }), [{ configuredAs: 'printer/receipt' }], port)
})

t.test('a printer that announces itself in three ways is one printer', async (t) => {
  const lpd = manifest('printer', [
    { mdns: '_pdl-datastream._tcp', confidence: 60 },
    { mdns: '_printer._tcp', confidence: 20 },
  ])
  const announced = (mdns: string, port: number, label = 'EPSON TM-m30'): Facts => ({
    kind: 'network',
    port: `tcp://192.0.2.7:${port}`,
    label,
    mdns,
    aliases: [],
  })
  const found = propose([announced('_printer._tcp', 515), announced('_pdl-datastream._tcp', 9100), announced('_ipp._tcp', 631)], [lpd], {})
  t.same(
    found.filter((one) => one.plugin !== undefined).map((one) => one.port),
    ['tcp://192.0.2.7:9100'],
  )
  const server = [4001, 4002].map((port) => announced('_pdl-datastream._tcp', port, `Moxa port ${port}`))
  t.equal(propose(server, [lpd], {}).length, 2, 'a serial server with two ports is two')
})

t.test('any label becomes a name that the config takes, and no label writes YAML of its own', async (t) => {
  for (const label of ['Honeywell  1900!', '得力 扫码枪', '---', '', '\u0000', 'Ä'.repeat(200), 'a\nplugins: {}'])
    t.match(freeName(label, 'scanner', new Set()), DEVICE, JSON.stringify(label))
  t.equal(freeName('得力', 'scanner', new Set(['scanner'])), 'scanner-2')

  const hostile: Facts = {
    kind: 'network',
    port: 'tcp://192.0.2.7:9100',
    label: 'x\n  evil: {}\n#',
    mdns: '_pdl-datastream._tcp',
    aliases: [],
  }
  const [found] = propose([hostile], manifests, {})
  t.same(Object.keys(parse(`plugins:\n${found?.snippet}`).plugins), ['printer'])
})
