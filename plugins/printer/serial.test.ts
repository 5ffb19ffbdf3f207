import t from 'tap'
import type { Json } from '../../daemon/contract/json.ts'
import { testFolder } from '../../daemon/testing/folder.ts'
import { PluginHarness } from '../../daemon/testing/plugin-harness.ts'
import { SerialCable } from '../../daemon/testing/serial-cable.ts'
import start from './plugin.ts'
import simulate, { PrinterSimulator } from './simulator.ts'
import { count, manifestUrl } from './testing.ts'

for (const prefix of ['', 'file:'])
  t.test(`a printer on a ${prefix === '' ? 'serial line' : 'character device'}: prints, is unplugged and plugged in again`, async (t) => {
    const line = await SerialCable.plugged(t)
    const sim = new PrinterSimulator()
    t.teardown(() => sim.close())
    await sim.attach(line.device)
    const store = new Map<string, Json>()
    const shop = await PluginHarness.start({
      start,
      manifestUrl,
      store,
      config: { devices: { till: { port: `${prefix}${line.gateway}`, model: 'epson', baudRate: 115_200, pollMs: 1_000 } } },
    })
    t.teardown(() => shop.stop())
    // Until it has answered once, a line that is slow would be taken for a printer without status.
    await shop.until(() => shop.state('till')?.state === 'online' && shop.state('till')?.detail === undefined, 'it has answered')
    t.match(await shop.command('till', 'print', { receipt: '串口打印\n{code:abc;option:qrcode}', copies: 2 }), {
      status: 'printed',
      copies: 2,
    })
    t.equal(count(sim.text, '串口打印'), 2)

    // Kept open, with automatic status: no question is needed to hear of the cover.
    sim.changed({ coverOpen: true })
    await shop.until(() => shop.state('till')?.detail === 'cover-open', 'cover-open is told by the printer')
    sim.changed({ coverOpen: false })
    await shop.until(() => shop.state('till')?.state === 'online', 'online again')

    await sim.close()
    await line.unplug()
    await shop.until(() => shop.state('till')?.detail === 'unplugged', 'unplugged is noticed')
    const printing = shop.command('till', 'print', { receipt: 'after the cable' })
    await line.plug()
    const again = new PrinterSimulator()
    t.teardown(() => again.close())
    await again.attach(line.device)
    t.match(await printing, { status: 'printed' })
    t.equal(count(again.text, 'after the cable'), 1)
    t.match(shop.state('till'), { state: 'online' })
  })

t.test('a port that is not there: said, and nothing else is disturbed', async (t) => {
  const shop = await PluginHarness.start({
    start,
    manifestUrl,
    config: {
      devices: {
        gone: { port: '/dev/serial/by-id/none', holdMs: 200 },
        lp: { port: '/dev/usb/lp97', holdMs: 200 },
        net: { port: 'tcp://127.0.0.1:1', holdMs: 3_000 },
      },
    },
  })
  t.teardown(() => shop.stop())
  await shop.until(
    () => shop.state('gone')?.detail === 'unplugged' && shop.state('lp')?.detail === 'unplugged',
    'both are said to be unplugged',
  )
  for (const device of ['gone', 'lp', 'net'])
    await t.rejects(shop.command(device, 'print', { receipt: 'x' }), { code: 'device-offline' }, device)
  await shop.until(() => shop.state('net')?.state === 'offline', 'the one that is refused is said to be offline')
})

t.test('the simulator as a tool: listens, prints what it gets, stops when told', async (t) => {
  const dir = testFolder(t)
  const controller = new AbortController()
  t.teardown(() => controller.abort())
  let said = ''
  let heard = () => {}
  const running = simulate(
    ['--listen', '127.0.0.1:0', '--speed', '0', '--text', '--svg', dir],
    (text) => {
      said += text
      heard()
    },
    controller.signal,
  )
  const hears = (what: RegExp) =>
    new Promise<void>((resolve) => {
      heard = () => what.test(said) && resolve()
      heard()
    })
  await hears(/listens on/)
  const port = /:(\d+)\n/.exec(said)?.[1]
  const shop = await PluginHarness.start({ start, manifestUrl, config: { devices: { till: { port: `tcp://127.0.0.1:${port}` } } } })
  t.teardown(() => shop.stop())
  await shop.command('till', 'print', { receipt: 'for the tool' })
  await hears(/for the tool[\s\S]*receipt-0001\.svg\n/)
  await shop.stop()
  controller.abort()
  t.equal(await running, 0)
  t.equal(await simulate(['--nonsense'], () => {}, controller.signal), 2)
})
