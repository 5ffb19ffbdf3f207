/** A printer that dies without a word, and one that is only out of paper: real TCP between two network namespaces. */
import { createHash } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { simulatedReceipt } from '../simulator/receipts.ts'
import { type Counter, counter, printJob } from '../testing.ts'
import { CabledPrinter, INSIDE, inNamespace, unavailable } from './cable.ts'

const LOST_MS = 5_000
const market = (number: number): Buffer => simulatedReceipt('market', number).bytes
/** More than all buffers between till and printer hold: 8 MB of raster. */
const LONG = Buffer.concat([Buffer.from([0x1d, 0x76, 0x30, 0, 0x00, 0x10, 0x00, 0x08]), Buffer.alloc(4096 * 2048, 0x55), market(1)])
const hashOf = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex')

type T = Parameters<typeof counter>[0]
let printers = 0

async function cabled(t: T): Promise<Counter & { far: CabledPrinter }> {
  printers += 1
  const far = await CabledPrinter.plugged(printers)
  t.teardown(() => far.end())
  return { ...(await counter(t, { device: { printer: far.address, lostMs: LOST_MS } })), far }
}

if (process.env[INSIDE] === undefined)
  t.test('between two namespaces', { skip: unavailable() }, async (t) => {
    const { code, output } = await inNamespace(fileURLToPath(import.meta.url))
    t.equal(code, 0)
    if (code !== 0) t.comment(output)
  })
else {
  // Most of the time is waiting for silence to be long enough: side by side.
  t.jobs = 5

  t.test('the cable is pulled while one till prints and another waits: both are told, and the next prints once it is back', async (t) => {
    const { far, shop, till } = await cabled(t)
    far.paper(false)
    const [first, second] = [till(), till()]
    await first.connect()
    first.print(LONG).catch(() => {})
    await shop.until(() => far.heard.jobs.length === 1 && (first.socket?.writableLength ?? 0) > 0, 'the line is full')
    await second.connect()
    second.print(market(2)).catch(() => {})
    await far.pull()
    await first.untilClosed()
    t.equal(first.closed, 'reset')
    await second.untilClosed()
    t.equal(second.closed, 'reset', 'the one that waited, too')
    await shop.until(() => shop.state('till-1')?.detail === 'printer-unreachable', 'the state')
    t.equal(shop.state('till-1')?.state, 'offline')

    far.paper(true)
    await far.hasRead()
    t.equal(far.heard.jobs[0]?.open, true, 'the printer has noticed nothing')
    await far.plug()
    for (const next = till(); ; ) {
      await printJob(next, market(3)).catch(() => {})
      if (next.closed === 'ended') break
    }
    await shop.until(() => far.heard.jobs.some(({ hash }) => hash === hashOf(market(3))), 'the next receipt, whole')
    t.ok((far.heard.jobs[0]?.bytes ?? 0) < LONG.length, 'nothing that was given up comes out later')
    t.equal(far.heard.jobs[0]?.open, false)
    await shop.until(() => shop.state('till-1')?.state === 'online', 'online')
  })

  t.test('the power is pulled in the middle of a receipt: the till is told', async (t) => {
    const { far, shop, till } = await cabled(t)
    const one = till()
    await one.connect()
    await one.print(market(1).subarray(0, 500))
    await shop.until(() => far.heard.jobs[0]?.bytes === 500, 'a part of it')
    await far.silence()
    await one.print(market(1).subarray(500))
    await one.end()
    t.equal(one.closed, 'reset', 'not ended in good order: the rest was never printed')
    await shop.until(() => shop.state('till-1')?.detail === 'printer-unreachable', 'the state')
  })

  t.test('the power is pulled while the printer is out of paper: that is another silence', async (t) => {
    const { far, shop, till } = await cabled(t)
    far.paper(false)
    const one = till()
    await one.connect()
    one.print(LONG).catch(() => {})
    await shop.until(() => far.heard.jobs.length === 1 && (one.socket?.writableLength ?? 0) > 0, 'the line is full')
    await longerThan(2 * LOST_MS)
    t.equal(one.closed, 'no')
    await far.silence()
    await one.untilClosed()
    t.equal(one.closed, 'reset')
  })

  t.test('a printer out of paper for long is waited for: by the till that prints, and for one that has ended', async (t) => {
    const { far, shop, till } = await cabled(t)
    far.paper(false)
    const one = till()
    await one.connect()
    let done = false
    const printing = one
      .print(LONG)
      .then(() => one.end())
      .then(() => {
        done = true
      })
    await shop.until(() => far.heard.jobs.length === 1, 'connected')
    await longerThan(5 * LOST_MS)
    t.notOk(done)
    t.equal(one.closed, 'no')
    t.equal(shop.state('till-1')?.state, 'online')
    far.paper(true)
    await printing
    t.equal(one.closed, 'ended')
    await shop.until(() => far.heard.jobs[0]?.hash === hashOf(LONG), 'all of it')
  })

  t.test('a till that ends while the printer still has to take the rest sees the end only when it has', async (t) => {
    const { far, shop, till } = await cabled(t)
    far.paper(false)
    const one = till()
    const job = LONG.subarray(0, 1_000_000)
    await one.connect()
    await one.print(job)
    const ended = one.end()
    await longerThan(3 * LOST_MS)
    t.equal(one.closed, 'no')
    far.paper(true)
    await ended
    t.equal(one.closed, 'ended')
    await shop.until(() => far.heard.jobs[0]?.hash === hashOf(job), 'all of it')
  })
}

/** What must not happen has had this long to happen. */
async function longerThan(ms: number): Promise<void> {
  const until = performance.now() + ms
  while (performance.now() < until) await new Promise((wake) => setTimeout(wake, 100))
}
