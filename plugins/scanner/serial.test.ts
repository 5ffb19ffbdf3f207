/** Real serial ports: pseudo-terminal pairs of socat's, unplugged and plugged in again. */
import { chmodSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { JsonObject } from '../../daemon/contract/json.ts'
import type { StartPlugin } from '../../daemon/contract/plugin.ts'
import { PluginHarness } from '../../daemon/testing/plugin-harness.ts'
import { SerialCable } from '../../daemon/testing/serial-cable.ts'
import plugin from './plugin.ts'
import { articleNumber } from './simulator/codes.ts'
import { ScannerSimulator } from './simulator.ts'

async function gateway(
  t: { teardown(done: () => Promise<unknown>): unknown },
  port: string,
  device: JsonObject = {},
): Promise<PluginHarness> {
  const harness = await PluginHarness.start({
    start: plugin as unknown as StartPlugin,
    manifestUrl: new URL('./', import.meta.url),
    config: { devices: { 'till-1': { port, ...device } } },
  })
  t.teardown(() => harness.stop())
  return harness
}

const codes = (harness: PluginHarness): string[] => harness.events.map((one) => String(one.data.code))

t.test('a scanner on a serial line: scans, a beep, unplugged in the middle of a code, and back', async (t) => {
  const cable = await SerialCable.plugged(t)
  const harness = await gateway(t, cable.gateway)
  const scanner = new ScannerSimulator({ suffix: '\r', aim: true })
  t.teardown(() => scanner.stop())
  await scanner.openSerial(cable.device)
  await harness.until(() => harness.state('till-1')?.state === 'online', 'online')

  scanner.scan({ text: '6901234567892', aim: ']E0', kind: 'product' })
  await harness.until(() => codes(harness).length === 1, 'a scan')
  t.match(harness.events[0]?.data, { code: '6901234567892', symbology: 'ean-13', gtin: '06901234567892' })
  await harness.command('till-1', 'beep')
  await harness.until(() => Buffer.concat(scanner.heard).includes(7), 'the beep')

  scanner.send(Buffer.from('01234'))
  await scanner.stop()
  await cable.unplug()
  await harness.until(() => harness.state('till-1')?.detail === 'unplugged', 'unplugged')
  t.equal(harness.state('till-1')?.state, 'offline')
  await t.rejects(harness.command('till-1', 'beep'), { code: 'device-offline' })

  await cable.plug()
  const again = new ScannerSimulator({ suffix: '\r' })
  t.teardown(() => again.stop())
  await again.openSerial(cable.device)
  await harness.until(() => harness.state('till-1')?.state === 'online', 'online again')
  again.scan('96385074')
  await harness.until(() => codes(harness).length === 2, 'a scan after it')
  t.same(codes(harness), ['6901234567892', '96385074'], 'the half code gave nothing')
})

t.test('the line stays up while the path goes: the driver said nothing, the path does', async (t) => {
  const cable = await SerialCable.plugged(t)
  const harness = await gateway(t, cable.gateway)
  await harness.until(() => harness.state('till-1')?.state === 'online', 'online')
  rmSync(cable.gateway)
  await harness.until(() => harness.state('till-1')?.detail === 'unplugged', 'unplugged')
})

t.test('the adapter comes back as another device under the same name', async (t) => {
  const cable = await SerialCable.plugged(t)
  const other = await SerialCable.plugged(t)
  const harness = await gateway(t, cable.gateway)
  await harness.until(() => harness.state('till-1')?.state === 'online', 'online')
  rmSync(cable.gateway)
  symlinkSync(other.gateway, cable.gateway)
  await harness.until(() => harness.states.filter((one) => one.state === 'online').length === 2, 'opened again')
  const scanner = new ScannerSimulator()
  t.teardown(() => scanner.stop())
  await scanner.openSerial(other.device)
  scanner.scan('6901234567892')
  await harness.until(() => codes(harness).length === 1, 'a scan from the new one')
})

t.test('ports that are not to be had say why, once', async (t) => {
  const cable = new SerialCable()
  t.teardown(() => cable.remove())
  const missing = await gateway(t, join(cable.dir, 'usb-not-there'))
  await missing.until(() => missing.state('till-1')?.detail === 'unplugged', 'unplugged')

  const file = join(cable.dir, 'a-file')
  writeFileSync(file, '')
  const wrong = await gateway(t, file)
  await wrong.until(() => wrong.state('till-1')?.detail === 'not-a-port', 'not a port')

  await cable.plug()
  const first = await gateway(t, cable.gateway)
  await first.until(() => first.state('till-1')?.state === 'online', 'online')
  const second = await gateway(t, cable.gateway)
  await second.until(() => second.state('till-1')?.detail === 'port-busy', 'port-busy')
  await first.stop()
  await second.until(() => second.state('till-1')?.state === 'online', 'free again')

  for (const harness of [missing, wrong]) t.equal(harness.logs.length, 1)
  t.match(await missing.command('till-1', 'status'), { state: 'offline', detail: 'unplugged' })
})

t.test('a port without permission', { skip: process.getuid?.() === 0 ? 'root may open everything' : false }, async (t) => {
  const cable = await SerialCable.plugged(t)
  chmodSync(cable.gateway, 0)
  const harness = await gateway(t, cable.gateway)
  await harness.until(() => harness.state('till-1')?.detail === 'permission-denied', 'permission-denied')
})

t.test('a fast line, a slow journal: nothing is lost, not even at the stop', async (t) => {
  const cable = await SerialCable.plugged(t)
  // socat carries the bytes: when it has to wait for the processor in the middle of a code, the line has not been cut.
  const harness = await gateway(t, cable.gateway, { repeatMs: 0, baudRate: 115_200, idleMs: 5_000 })
  const scanner = new ScannerSimulator()
  t.teardown(() => scanner.stop())
  await scanner.openSerial(cable.device, 115_200)
  await harness.until(() => harness.state('till-1')?.state === 'online', 'online')
  const all = Array.from({ length: 8_000 }, (_one, count) => articleNumber(count))
  harness.hold()
  scanner.send(Buffer.from(`${all.join('\r\n')}\r\n`))
  const waiting = async () => ((await harness.command('till-1', 'status')) as { waiting: number }).waiting
  let most = 0
  for (let looks = 0; looks < 20; most >= 500 && looks++) {
    most = Math.max(most, await waiting())
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  t.ok(most < 5_000, `${most} outstanding, and no more`)
  harness.resume()
  await harness.until(() => codes(harness).length === all.length, 'all scans')
  t.same(codes(harness), all)
  harness.hold()
  scanner.scan('96385074')
  scanner.scan('012345678905')
  while ((await waiting()) < 2) await new Promise((resolve) => setTimeout(resolve, 5))
  const stopped = harness.stop()
  harness.resume()
  await stopped
  t.same(codes(harness).slice(all.length), ['96385074', '012345678905'])
})
