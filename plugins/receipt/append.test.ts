/** Coupon and claim code on the paper before the cut: in the right place, never at the cost of the till's own bytes. */

import t from 'tap'
import { HeldTimers } from '../../daemon/testing/held-timers.ts'
import { fc } from '../../daemon/testing/property.ts'
import { Tokenizer } from './capture/tokenizer.ts'
import { readSheet, sheetText } from './paper/read.ts'
import { type CutForm, simulatedReceipt } from './simulator/receipts.ts'
import { counter, MARKET_TEMPLATE, printJob } from './testing.ts'

const APPEND = { claim: { portal: 'wifi.shop.example', text: '扫码领积分', hours: 48 }, coupon: { text: '满30减5\n下次使用' } }
/** How long the beginning of what may be a cut waits for the rest. */
const HOLD_MS = 20
const cutsOf: Record<Exclude<CutForm, 'none'>, string> = { feed: '1d564200', full: '1d5600', 'esc-i': '1b69', 'esc-m': '1b6d' }

/** What stands between the till's own bytes, given these. */
function inserted(got: Buffer, sent: Buffer, cut: Buffer): Buffer {
  const at = sent.length - cut.length
  if (!got.subarray(0, at).equals(sent.subarray(0, at)) || !got.subarray(got.length - cut.length).equals(cut))
    throw new Error('the till’s own bytes were changed')
  return got.subarray(at, got.length - cut.length)
}

function qrContent(bytes: Buffer): string | undefined {
  for (const token of new Tokenizer({ keep: (_lead, _letter, data) => data }).feed(bytes))
    if (token.kind === 'command' && token.letter === '(' && token.body[1] === 80) return token.body.subarray(3).toString()
  return undefined
}

t.test('a coupon and a claim code stand before the cut, whatever cut it is and however it comes', async (t) => {
  const hold = new HeldTimers(HOLD_MS)
  const { printer, shop, till, captured } = await counter(t, { device: { template: MARKET_TEMPLATE, append: APPEND }, clock: hold.clock })
  let job = 0
  for (const [form, hex] of Object.entries(cutsOf) as [CutForm, string][]) {
    for (const split of [0, 1]) {
      const { bytes } = simulatedReceipt('market', 3, form)
      await printJob(till({ split }), bytes)
      const extra = inserted(printer.job(job), bytes, Buffer.from(hex, 'hex'))
      const paper = sheetText(readSheet(printer.job(job), 'gb18030', 48))
      t.match(paper, /谢谢惠顾\n+\s+满30减5\n\s+下次使用\n\s+扫码领积分\n\[qr/, `${form}, ${split}`)
      const link = qrContent(extra) ?? ''
      t.match(link, /^https:\/\/wifi\.shop\.example\/c\/[A-Za-z0-9_-]{22}$/)
      job += 1
    }
  }
  // A receipt is read as long after it has been printed.
  const captures = () => {
    hold.fire(HOLD_MS)
    return captured().length
  }
  await shop.until(() => captures() === job, 'all captured')
  t.equal(new Set(captured().map(({ claim }) => claim)).size, job, 'each its own')
  const shown = JSON.stringify([shop.events, shop.logs, [...shop.store]])
  const token = /\/c\/(.+)$/.exec(qrContent(printer.job(0)) ?? '')?.[1] ?? 'none'
  t.notOk(shown.includes(token), 'the token is on the paper alone')
})

t.test('the claim of the event is the keyed hash that the portal will make, once, until its end', async (t) => {
  const { shop, till, captured } = await counter(t, {
    device: { template: MARKET_TEMPLATE, append: { claim: { portal: 'wifi.shop.example' } } },
  })
  await printJob(till(), simulatedReceipt('market', 1).bytes)
  await shop.until(() => captured().length === 1 && [...shop.store.keys()].some((key) => key.includes('claim/')), 'captured')
  const { claim, claimExpires, receipt } = captured()[0] ?? {}
  t.match(claim, /^[A-Za-z0-9_-]{22}$/)
  const ends = Date.parse(String(claimExpires)) - Date.now()
  t.ok(ends > 23 * 3_600_000 && ends <= 24 * 3_600_000, '24 hours')
  t.match(await shop.command('till-1', 'claim', { claim: String(claim) }), { status: 'open', receipt })
  await shop.deliver('portal', '-', 'claimed', { claim: String(claim), network: 'guest' })
  await shop.deliver('portal', '-', 'claimed', { claim: String(claim), network: 'other' })
  t.match(await shop.command('till-1', 'claim', { claim: String(claim) }), { status: 'used', receipt })
  t.same(await shop.command('till-1', 'claim', { claim: 'made-up' }), { status: 'unknown' })
})

t.test('where it is not safe or not wanted nothing is appended, and the bytes stay as they are', async (t) => {
  const { printer, shop, till } = await counter(t, { device: { template: MARKET_TEMPLATE, append: APPEND } })
  const body = simulatedReceipt('market', 2, 'none').bytes
  const cut = Buffer.from('1d5600', 'hex')
  const cases: [string, Buffer][] = [
    ['bitmap-only', simulatedReceipt('bitmap', 1).bytes],
    ['no-total', Buffer.concat([Buffer.from('KITCHEN: 2 x noodles\n'), cut])],
    ['unknown-command', Buffer.concat([Buffer.from([0x1b, 0x7f]), body, cut])],
    ['page-mode', Buffer.concat([body, Buffer.from([0x1b, 0x4c]), cut])],
    ['upside-down', Buffer.concat([body, Buffer.from([0x1b, 0x7b, 1]), cut])],
  ]
  for (const [index, [why, bytes]] of cases.entries()) {
    await printJob(till(), bytes)
    t.ok(printer.job(index).equals(bytes), why)
    t.match(await shop.command('till-1', 'status'), { notAppended: { [why]: 1 } })
  }
  await printJob(till(), body)
  t.ok(printer.job(cases.length).equals(body), 'without a cut there is no place for it')
})

t.test('modes the till had set are put back before its cut', async (t) => {
  const { printer, till } = await counter(t, {
    device: { append: { when: 'always', qr: 'raster', coupon: { text: 'TEA 1.00 OFF', qr: 'https://hq.example/c/1' } } },
  })
  const bytes = Buffer.concat([
    Buffer.from([0x1b, 0x61, 2, 0x1d, 0x21, 0x11, 0x1b, 0x45, 1, 0x1c, 0x2e]),
    Buffer.from('TEA'),
    Buffer.from('1d564200', 'hex'),
  ])
  await printJob(till(), Buffer.concat([bytes, Buffer.from('AFTER\n')]))
  const { rows } = readSheet(printer.job(0), 'gb18030', 48)
  const row = (text: string) => rows.find((one) => 'glyphs' in one && one.glyphs.map((glyph) => glyph.text).join('') === text)
  const [own, coupon, after] = [row('TEA'), row('TEA 1.00 OFF'), row('AFTER')]
  t.match(own, { glyphs: [{ scaleX: 2, bold: true }] }, 'its open line was ended, not lost')
  t.match(coupon, { glyphs: [{ scaleX: 1, bold: false }] })
  t.match(after, { glyphs: [{ scaleX: 2, scaleY: 2, bold: true }] })
  t.ok(
    rows.some((one) => 'picture' in one && one.picture.kind === 'raster' && one.picture.width - one.picture.height < 8),
    'the code as a picture',
  )
})

t.test('a printer mode that begins like a cut waits at most for its next byte, and nothing is lost', async (t) => {
  const hold = new HeldTimers(HOLD_MS)
  const { printer, shop, till } = await counter(t, { device: { template: MARKET_TEMPLATE, append: APPEND }, clock: hold.clock })
  const one = till()
  await one.connect()
  const text = Buffer.from('TEA\n')
  await one.print(Buffer.concat([text, Buffer.from([0x1d])]))
  await shop.until(() => printer.received === text.length, 'what is no cut')
  hold.fire(HOLD_MS)
  await shop.until(() => printer.received === text.length + 1, 'let go after a moment')
  await one.print(Buffer.from([0x56, 0x00]))
  await one.end()
  t.ok(printer.job(0).equals(Buffer.concat([text, Buffer.from('1d5600', 'hex')])))
})

/** `own` one after the other, each but the last with or without a line feed at its end: an open line is ended before something is appended. */
function isMadeOf(sent: string, [first = '', ...rest]: string[]): boolean {
  if (rest.length === 0) return sent === first
  if (sent.startsWith(first) && isMadeOf(sent.slice(first.length), rest)) return true
  const without = first.slice(0, -2)
  return first.endsWith('0a') && sent.startsWith(without) && isMadeOf(sent.slice(without.length), rest)
}

t.test('with appending on, taking away what was appended leaves what the till sent', async (t) => {
  const { printer, till } = await counter(t, { device: { append: { when: 'always', coupon: { text: 'Q' } } } })
  let job = 0
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.oneof(
          fc.constantFrom('1d5600', '1d56420a', '1b69', '41420a', '1d', '1b', '1b7001', '0a', '1d2100'),
          fc.nat(255).map((one) => one.toString(16).padStart(2, '0')),
        ),
        { maxLength: 60 },
      ),
      fc.integer({ min: 1, max: 40 }),
      async (parts, split) => {
        const sent = Buffer.from(parts.join(''), 'hex')
        await printJob(till({ split }), Buffer.concat([Buffer.from([0x1b, 0x40]), sent]))
        const got = printer.job(job)
        job += 1
        const own = got
          .toString('hex')
          .split(/1b61011d21001b45001b2d001d42001b4d001c21001c2e510a(?:1b6405)?1b61..1d21..1b45..1b2d..1d42..1b4d..1c..1c21../)
        return isMadeOf(`1b40${sent.toString('hex')}`, own)
      },
    ),
    { numRuns: 60 },
  )
  t.pass()
})
