/** A real printer on a serial line or a device file behind the virtual one, over a pseudo-terminal pair. */
import { spawnSync } from 'node:child_process'
import { type FileHandle, open } from 'node:fs/promises'
import t from 'tap'
import { SerialCable } from '../../daemon/testing/serial-cable.ts'
import { simulatedReceipt } from './simulator/receipts.ts'
import { BytePrinter, counter, MARKET_TEMPLATE } from './testing.ts'

const skip = spawnSync('socat', ['-V']).status === 0 ? false : 'socat is not here'

interface Line {
  near: string
  far: FileHandle
  got: Buffer[]
  length(): number
}

async function line(t: Pick<typeof import('tap').default, 'teardown'>): Promise<Line> {
  const cable = await SerialCable.plugged(t)
  const far = await open(cable.device, 'r+')
  const got: Buffer[] = []
  const reading = (async () => {
    const buffer = Buffer.alloc(65_536)
    for (;;) {
      const { bytesRead } = await far.read(buffer, 0, buffer.length, null)
      if (bytesRead === 0) return
      got.push(Buffer.from(buffer.subarray(0, bytesRead)))
    }
  })().catch(() => {})
  t.teardown(async () => {
    await cable.unplug()
    await reading
    await far.close()
  })
  return { near: cable.gateway, far, got, length: () => Buffer.concat(got).length }
}

for (const form of ['', 'file:']) {
  t.test(`a printer on ${form === '' ? 'a serial line' : 'a device file'}: bytes there, answers back`, { skip }, async (t) => {
    const { near, far, got, length } = await line(t)
    const unused = await new BytePrinter().listen()
    const { shop, till, captured } = await counter(t, {
      printer: unused,
      device: { printer: `${form}${near}`, baudRate: 115_200, template: MARKET_TEMPLATE },
    })
    const printed = simulatedReceipt('market', 8)
    const one = till()
    await one.connect()
    await one.print(printed.bytes)
    await shop.until(() => length() === printed.bytes.length, 'all of it')
    await far.write(Buffer.from([0x12]))
    await shop.until(() => one.answers.length === 1, 'the answer')
    await one.end()
    t.ok(Buffer.concat(got).equals(printed.bytes))
    await shop.until(() => captured().length === 1, 'captured')
    t.match(captured()[0], { total: printed.total, checked: true })
  })
}

t.test('a serial printer that is unplugged: the till is reset, and told offline', async (t) => {
  const { shop, till } = await counter(t, { device: { printer: '/dev/serial/by-id/none' } })
  const one = till()
  await one.connect()
  await one.untilClosed()
  t.equal(one.closed, 'reset')
  await shop.until(() => shop.state('till-1')?.detail === 'printer-unplugged', 'told')
  t.equal(shop.state('till-1')?.state, 'offline')
})
