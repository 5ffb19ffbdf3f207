/** Till, virtual printer and printer on real TCP: the bytes, the answers, the turns, and what breaks. */
import { once } from 'node:events'
import { connect } from 'node:net'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t from 'tap'
import { HeldTimers } from '../../daemon/testing/held-timers.ts'
import { fc } from '../../daemon/testing/property.ts'
import { FORMS, simulatedReceipt } from './simulator/receipts.ts'
import { BytePrinter, counter, MARKET_TEMPLATE, printJob } from './testing.ts'

/** How long a receipt may go on when its till is reloaded. */
const GRACE_MS = 2_000
const ASK = Buffer.from([0x10, 0x04, 0x01])
const market = (number: number) => simulatedReceipt('market', number)

t.test('the printer gets what the till sent, byte for byte, whatever it is and however it comes', async (t) => {
  const { printer, till } = await counter(t, { device: { template: MARKET_TEMPLATE } })
  const job = fc.oneof(
    fc.tuple(fc.constantFrom(...FORMS), fc.nat(99)).map(([form, number]) => simulatedReceipt(form, number).bytes),
    fc.uint8Array({ minLength: 1, maxLength: 2_000 }).map((one) => Buffer.from(one)),
  )
  let jobs = 0
  await fc.assert(
    fc.asyncProperty(fc.array(job, { minLength: 1, maxLength: 3 }), fc.integer({ min: 40, max: 4_000 }), async (parts, split) => {
      const bytes = Buffer.concat(parts)
      await printJob(till({ split }), bytes)
      const got = printer.job(jobs)
      jobs += 1
      return got.equals(bytes)
    }),
    { numRuns: 40 },
  )
  t.equal(printer.mostClients, 1)
})

t.test('a receipt becomes an event with items and total; a bitmap one says that it is', async (t) => {
  const { shop, till, captured } = await counter(t, { device: { template: MARKET_TEMPLATE } })
  const printed = market(3)
  await printJob(till(), printed.bytes)
  await printJob(till(), simulatedReceipt('bitmap', 4).bytes)
  await shop.until(() => captured().length === 2, 'both')
  t.match(captured()[0], {
    till: 'till-1',
    lines: printed.items,
    total: printed.total,
    currency: 'CNY',
    order: printed.order,
    method: 'wechat',
    parsed: true,
    checked: true,
    bytes: printed.bytes.length,
    end: 'cut',
    drawer: 1,
  })
  t.match(captured()[1], { parsed: false, why: 'bitmap', lines: [] })
  const shown = JSON.stringify([shop.events, shop.logs, [...shop.store]])
  t.notOk(
    shown.includes('13812345678') || shown.includes('4200002611202611251234567890'),
    'no phone number and no transaction number leaves the paper',
  )
})

t.test('status goes both ways: asked for, and unasked', async (t) => {
  const { printer, shop, till } = await counter(t)
  const one = till()
  await one.connect()
  await one.print(ASK)
  await shop.until(() => one.answers.length === 1, 'the answer')
  t.same(one.answers, [0x12])
  printer.say([0x38, 0, 0, 0x0f])
  await shop.until(() => one.answers.length === 5, 'automatic status: the cover was opened')
  t.same(one.answers.slice(1), [0x38, 0, 0, 0x0f])
  await one.end()
})

t.test('a second till waits for the first, and nothing is mixed', async (t) => {
  const { printer, shop, till } = await counter(t)
  const [first, second] = [till(), till()]
  await first.connect()
  await first.print(market(1).bytes.subarray(0, 100))
  await shop.until(() => printer.received === 100, 'the first half of the first receipt')
  await second.connect()
  const whole = printJob2(second, market(2).bytes)
  await first.print(market(1).bytes.subarray(100))
  await first.end()
  await whole
  t.ok(printer.job(0).equals(market(1).bytes))
  t.ok(printer.job(1).equals(market(2).bytes))
  t.equal(printer.mostClients, 1, 'one client at a time')
})

async function printJob2(till: { print(bytes: Buffer): Promise<void>; end(): Promise<void> }, bytes: Buffer): Promise<void> {
  await till.print(bytes)
  await till.end()
}

t.test('two tills that keep their lines open share one printer, receipt by receipt', async (t) => {
  const { printer, shop, till, captured } = await counter(t, { device: { shareMs: 100 } })
  const [first, second] = [till(), till()]
  await first.connect()
  await second.connect()
  const sent: Buffer[] = []
  for (let number = 0; number < 6; number += 1) {
    const { bytes } = market(number)
    await (number % 2 === 0 ? first : second).print(bytes)
    sent.push(bytes)
    await shop.until(() => printer.received === Buffer.concat(sent).length, `receipt ${number}`)
  }
  t.ok(printer.all.equals(Buffer.concat(sent)))
  t.equal(first.closed, 'no')
  t.equal(second.closed, 'no')
  await shop.until(() => captured().length === 6, 'all captured')
  t.equal(printer.mostClients, 1)
})

t.test('a till that falls silent in the middle of a receipt gives way only after long, and is reset', async (t) => {
  const { printer, shop, till, captured } = await counter(t, { device: { shareMs: 100, stuckMs: 1_000, quietMs: 60_000 } })
  const [gone, next] = [till(), till()]
  await gone.connect()
  await gone.print(market(1).bytes.subarray(0, 700))
  await shop.until(() => printer.received === 700, 'half a receipt')
  await next.connect()
  await next.print(market(2).bytes)
  await gone.untilClosed()
  t.equal(gone.closed, 'reset')
  await next.end()
  t.ok(printer.job(1).equals(market(2).bytes))
  await shop.until(() => captured().length === 2, 'both')
  t.match(captured()[0], { end: 'closed' })
})

t.test('the printer is away: the till sees its connection reset, and prints again when it is back', async (t) => {
  const { printer, shop, till } = await counter(t)
  await printJob(till(), market(1).bytes)
  const { port } = printer
  await printer.off()
  const lost = till()
  await lost.connect()
  await lost.print(market(2).bytes).catch(() => {})
  await lost.untilClosed()
  t.equal(lost.closed, 'reset', 'never a job swallowed')
  await shop.until(() => shop.state('till-1')?.detail === 'printer-busy', 'the state')
  t.equal(shop.state('till-1')?.state, 'offline')
  await printer.listen(port)
  await printJob(till(), market(3).bytes)
  t.ok(printer.job(1).equals(market(3).bytes))
  await shop.until(() => shop.state('till-1')?.state === 'online', 'online')
  t.ok(shop.logs.length <= 1, 'one line')
})

t.test('the printer goes away in the middle: so does the till’s connection', async (t) => {
  const { printer, shop, till, captured } = await counter(t, { device: { template: MARKET_TEMPLATE } })
  const one = till()
  await one.connect()
  const most = market(1).bytes.subarray(0, market(1).bytes.length - 40)
  await one.print(most)
  await shop.until(() => printer.received === most.length, 'most of it')
  await printer.off()
  await one.untilClosed()
  t.equal(one.closed, 'reset')
  await shop.until(() => captured().length === 1, 'what came of it')
  t.match(captured()[0], { end: 'closed', total: market(1).total })
})

t.test('a printer that takes a job and resets the line at its end: the till sees what it would see without us', async (t) => {
  const { printer, shop, till } = await counter(t)
  printer.resets = true
  const one = till()
  await printJob(one, market(1).bytes)
  t.equal(one.closed, 'reset', 'such a printer may have dropped it')
  printer.resets = false
  const next = till()
  await printJob(next, market(2).bytes)
  t.equal(next.closed, 'ended')
  t.ok(printer.job(1).equals(market(2).bytes))
  t.equal(shop.state('till-1')?.state, 'online', 'it is there')
})

t.test('a printer that never answers answers the till nothing, and prints', async (t) => {
  const { printer, till } = await counter(t)
  printer.answers = false
  const one = till()
  await one.connect()
  await one.print(Buffer.concat([ASK, market(1).bytes]))
  await one.end()
  t.same(one.answers, [])
  t.ok(printer.job(0).equals(Buffer.concat([ASK, market(1).bytes])))
})

t.test('a printer that takes nothing holds the till back, and loses nothing', async (t) => {
  const { printer, shop, till } = await counter(t)
  printer.deaf = true
  const one = till()
  await one.connect()
  const big = Buffer.concat([Buffer.from([0x1d, 0x76, 0x30, 0, 0x00, 0x10, 0x00, 0x08]), Buffer.alloc(4096 * 2048, 0x55), market(1).bytes])
  let done = false
  const printing = one.print(big).then(() => {
    done = true
  })
  await shop.until(() => (one.socket?.writableLength ?? 0) > 0 && printer.clients === 1, 'the line is full')
  t.notOk(done, 'the till feels it')
  printer.hear()
  await printing
  await one.end()
  t.ok(printer.job(0).equals(big))
})

t.test('a stream cut in half by a till that loses power: printed so far, told as not whole', async (t) => {
  const { printer, shop, till, captured } = await counter(t, { device: { template: MARKET_TEMPLATE } })
  const half = simulatedReceipt('market', 5).bytes.subarray(0, 900)
  const one = till()
  await one.connect()
  await one.print(half)
  await shop.until(() => printer.received === half.length, 'half of it')
  one.cut()
  await shop.until(() => captured().length === 1 && printer.clients === 0, 'captured, and the printer free again')
  t.match(captured()[0], { end: 'closed', bytes: half.length, why: 'cut-short', parsed: false })
  await printJob(till(), market(6).bytes)
  t.ok(printer.job(1).equals(market(6).bytes))
})

/** Bytes that are still in use: what is only waiting to be collected is left out. */
function held(): number {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  // Buffers are freed beside the program: the second collection waits for what the first has found.
  collect()
  collect()
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}

t.test('50 MB of raster pass whole, in constant memory, and the receipt behind it is read', async (t) => {
  const { printer, shop, till, captured } = await counter(t, { device: { template: MARKET_TEMPLATE } })
  printer.keep = false
  const one = till()
  await one.connect()
  const size = 50 * 1_048_576
  const head = Buffer.from([0x1d, 0x38, 0x4c, 0, 0, 0, 0, 0x30, 0x70, 0x30, 1, 1, 0x31, 0xff, 0xff, 0xff, 0xff])
  head.writeUInt32LE(size + 10, 3)
  await one.print(head)
  // Bytes that would be cuts and text, were they not data.
  const chunk = Buffer.alloc(262_144, Buffer.from([0x1d, 0x56, 0x00, 0x41, 0x0a]))
  let most = 0
  const before = held()
  for (let at = 0, turn = 1; at < size; at += chunk.length, turn++) {
    await one.print(chunk.subarray(0, Math.min(chunk.length, size - at)))
    if (turn % 50 === 0) most = Math.max(most, held())
  }
  const { bytes, total } = market(7)
  await one.print(bytes)
  await one.end()
  t.equal(printer.received, head.length + size + bytes.length)
  await shop.until(() => captured().length === 1, 'captured')
  t.match(captured()[0], { total, bytes: head.length + size + bytes.length, checked: true })
  // Till, gateway and printer share this process: whoever of them kept the stream would hold all of it.
  t.ok(most - before < size / 2, `${Math.round((most - before) / 1_048_576)} MB more are held`)
})

t.test('the journal takes nothing: the till prints on, and nothing piles up', async (t) => {
  const { printer, shop, till, captured } = await counter(t, { device: { template: MARKET_TEMPLATE } })
  shop.hold()
  const sent: Buffer[] = []
  for (let number = 0; number < 110; number += 1) {
    sent.push(market(number).bytes)
    await printJob(till(), market(number).bytes)
  }
  t.ok(printer.all.equals(Buffer.concat(sent)))
  const status = async () => (await shop.command('till-1', 'status')) as { waiting: number; lost: number }
  for (let look = await status(); look.lost < 10; look = await status()) await new Promise((wake) => setTimeout(wake, 20))
  t.match(await status(), { waiting: 100, lost: 10 })
  shop.resume()
  await shop.until(() => captured().length >= 100, 'the rest')
})

t.test('reload while a receipt is printing: it comes out whole, and the next one goes through the new one', async (t) => {
  const { clock } = new HeldTimers(GRACE_MS)
  const { printer, shop, till } = await counter(t, { clock })
  const one = till()
  await one.connect()
  await one.print(market(1).bytes.subarray(0, 500))
  await shop.until(() => printer.received === 500, 'a part')
  const port = one.socket?.remotePort
  const reload = shop.configure({
    devices: { 'till-1': { listen: `127.0.0.1:${port}`, printer: `tcp://127.0.0.1:${printer.port}`, width: 42 } },
  })
  await one.print(market(1).bytes.subarray(500))
  await one.untilClosed()
  await reload
  t.ok(printer.job(0).equals(market(1).bytes))
  await printJob(till(), market(2).bytes)
  t.ok(printer.job(1).equals(market(2).bytes))
})

t.test('a port that is taken, and a template that cannot be, are one clear error each', async (t) => {
  const other = await new BytePrinter().listen()
  t.teardown(() => other.off())
  const { shop } = await counter(t, { listen: `127.0.0.1:${other.port}` })
  t.match(shop.logs, [
    { level: 'warn', fields: { code: 'port-taken' }, message: /cannot listen on 127\.0\.0\.1:\d+: another program does/ },
  ])
  t.match(shop.state('till-1'), { state: 'fault', detail: 'start-failed' })
  const wrong = await counter(t, { device: { template: { item: ['{nam} {amount}'] } } })
  t.match(wrong.shop.logs[0], {
    fields: { code: 'config-invalid' },
    message: /template\.item\.0: "\{nam\} \{amount\}" \{nam\} is not a field/,
  })
})

t.test('half open: a till that ends its side still gets the printer’s last answers', async (t) => {
  const { printer, shop, till } = await counter(t)
  await printJob(till(), market(1).bytes)
  const port = (await shop.command('till-1', 'status')) as { listen: string }
  const socket = connect({ port: Number(port.listen.split(':')[1]), host: '127.0.0.1', allowHalfOpen: true })
  const heard: number[] = []
  socket.on('data', (bytes: Buffer) => heard.push(...bytes))
  socket.end(Buffer.concat([market(2).bytes, ASK]))
  await once(socket, 'end')
  socket.destroy()
  t.same(heard, [0x12])
  t.ok(printer.job(1).equals(Buffer.concat([market(2).bytes, ASK])))
})
