/** Keyboard-class scanners: key strokes as the kernel gives them, through a FIFO in place of the input device. */
import { execFileSync } from 'node:child_process'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { StartPlugin } from '../../daemon/contract/plugin.ts'
import { testFolder } from '../../daemon/testing/folder.ts'
import { PluginHarness } from '../../daemon/testing/plugin-harness.ts'
import { fc } from '../../daemon/testing/property.ts'
import plugin from './plugin.ts'
import { KeyReader } from './protocol/hid-keys.ts'
import { KEYS, LAYOUT_NAMES, LAYOUTS, type LayoutName } from './protocol/hid-layout.ts'
import { press, record, stroke, typed } from './simulator/keyboard.ts'
import { ScannerSimulator } from './simulator.ts'

const read = (layout: LayoutName, ...events: Buffer[]): string => new KeyReader(layout).push(Buffer.concat(events)).text

t.test('golden records: 64-bit and 32-bit, as the kernel lays them out', async (t) => {
  // struct input_event, little endian: time, type, code, value. Shift down, A down, A up, Shift up, SYN, 1, Enter.
  const wide = (type: string, code: string, value: string) => `000102030405060708090a0b0c0d0e0f${type}${code}${value}`
  const narrow = (type: string, code: string, value: string) => `0001020304050607${type}${code}${value}`
  for (const [bytes, one] of [
    [24, wide],
    [16, narrow],
  ] as const) {
    const records = [
      one('0400', '0400', '04000700'),
      one('0100', '2a00', '01000000'),
      one('0100', '1e00', '01000000'),
      one('0100', '1e00', '00000000'),
      one('0100', '2a00', '00000000'),
      one('0000', '0000', '00000000'),
      one('0100', '0200', '01000000'),
      one('0100', '0200', '02000000'),
      one('0100', '0200', '00000000'),
      one('0100', '1c00', '01000000'),
    ]
    const reader = new KeyReader('us', bytes)
    const all = Buffer.from(records.join(''), 'hex')
    let text = ''
    for (let at = 0; at < all.length; at += 7) text += reader.push(all.subarray(at, at + 7)).text
    t.equal(text, 'A1\r', `${bytes} bytes; autorepeat is not a second press`)
  }
})

t.test('every layout has a character or a gap for every key, and types what shops scan', async (t) => {
  t.equal(KEYS.length, 48)
  for (const name of LAYOUT_NAMES) {
    t.equal([...LAYOUTS[name].plain].length, 48, `${name} plain`)
    t.equal([...LAYOUTS[name].shift].length, 48, `${name} shift`)
    for (const text of [
      '6901234567892',
      ']C0VIP-0042',
      'https://id.gs1.org/01/09506000134352?17=201225&x=a_b',
      'm@shop#1 {[(|\\~)]} ^`$%*+;:!',
    ])
      t.equal(read(name, typed(text, name)), text, `${name}: ${text}`)
  }
})

t.test('which key types what: key codes by hand, not through the simulator', async (t) => {
  t.equal(read('de', stroke(21), stroke(44), stroke(8, [100]), stroke(53, [42])), 'zy{_', 'QWERTZ')
  t.equal(read('fr', stroke(2, [42]), stroke(3), stroke(16), stroke(30), stroke(50)), '1éaq,', 'AZERTY')
  t.equal(read('uk', stroke(3, [42]), stroke(40, [42]), stroke(43), stroke(86)), '"@#\\')
  t.equal(read('us', stroke(3, [42]), stroke(40, [42]), stroke(43)), '@"\\')
  t.equal(read('fr', stroke(26), stroke(18)), 'ê', 'a dead key and a letter')
  t.equal(read('de', stroke(41), stroke(57), stroke(30)), '^a', 'a dead key and a space')
  t.equal(read('us', stroke(58), stroke(30), stroke(3), stroke(30, [42]), stroke(58), stroke(30)), 'A2aa', 'Caps Lock is for letters')
  t.equal(read('us', stroke(79), stroke(80), stroke(98), stroke(96)), '12/\r', 'numeric pad')
  t.equal(read('us', stroke(27, [29])), '\u001d', 'Ctrl+] is FNC1')
  t.equal(read('us', press(56, 1), stroke(82), stroke(80), stroke(73), press(56, 0)), '\u001d', 'and so is Alt+029')
  t.equal(read('us', stroke(59), stroke(125), stroke(115)), '', 'keys that type nothing')
  t.equal(read('de', stroke(16, [29, 56])), '@', 'AltGr as Ctrl+Alt')
  t.equal(read('us', stroke(2), stroke(15)), '1\r', 'TAB ends a code')
  const dropped = new KeyReader('us').push(Buffer.concat([stroke(2), press(42, 1), record(0, 3, 0), stroke(3)]))
  t.same(dropped, { text: '2', dropped: true }, 'after an overrun no key is taken for held')
})

t.test('fuzz: any records, split anywhere, and nothing throws', async () => {
  fc.assert(
    fc.property(fc.constantFrom(...LAYOUT_NAMES), fc.array(fc.uint8Array({ maxLength: 100 })), (layout, chunks) => {
      const reader = new KeyReader(layout)
      return chunks.every((chunk) => typeof reader.push(Buffer.from(chunk)).text === 'string')
    }),
  )
})

t.test('a scanner that types: scans, unplugged, plugged in again', async (t) => {
  const path = join(testFolder(t), 'usb-Scanner-event-kbd')
  const plug = () => execFileSync('mkfifo', [path])
  plug()
  const harness = await PluginHarness.start({
    start: plugin as unknown as StartPlugin,
    manifestUrl: new URL('./', import.meta.url),
    config: { devices: { 'till-1': { port: `hid:${path}`, layout: 'de' } } },
  })
  const scanner = new ScannerSimulator({ layout: 'de', aim: true })
  t.teardown(() => harness.stop())
  t.teardown(() => scanner.stop())
  scanner.openHid(path)
  await harness.until(() => harness.state('till-1')?.state === 'online', 'online')
  scanner.scan({ text: 'https://id.gs1.org/01/09506000134352', aim: ']Q1', kind: 'product' })
  scanner.scan({ text: '134567890123456789', aim: ']C0', kind: 'pay' })
  await harness.until(() => harness.events.length === 2, 'two scans')
  t.match(harness.events[0]?.data, { gtin: '09506000134352', symbology: 'qr' })
  t.match(harness.events[1]?.data, { kind: 'pay', code: '13************6789' })
  await t.rejects(harness.command('till-1', 'beep'), { code: 'device-unsupported' })

  await scanner.stop()
  rmSync(path)
  await harness.until(() => harness.state('till-1')?.detail === 'unplugged', 'unplugged')
  plug()
  const again = new ScannerSimulator({ layout: 'de' })
  t.teardown(() => again.stop())
  again.openHid(path)
  await harness.until(() => harness.state('till-1')?.state === 'online', 'online again')
  again.scan('6901234567892')
  await harness.until(() => harness.events.length === 3, 'a scan after it')
})
