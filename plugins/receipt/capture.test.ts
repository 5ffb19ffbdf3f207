/** What a till prints, read back: vendors' bytes, an independent encoder's receipts, and anything at all. */

import iconv from 'iconv-lite'
import { commands, transform } from 'receiptline'
import t from 'tap'
import { fc } from '../../daemon/testing/property.ts'
import { type CapturedPaper, CaptureState, captureMachine } from './capture/capture.machine.ts'
import type { Encoding } from './capture/encodings.ts'
import { Tokenizer } from './capture/tokenizer.ts'
import { bytesOf, CUTS, WITH_DATA } from './golden.ts'
import { FORMS, simulatedReceipt } from './simulator/receipts.ts'

function capture(bytes: Buffer, { encoding = 'gb18030' as Encoding, width = 48, steps = [bytes.length] } = {}): CapturedPaper[] {
  const state = new CaptureState({ encoding, width })
  const papers: CapturedPaper[] = []
  const take = (effects: ReturnType<typeof captureMachine.step>) => {
    for (const effect of effects) if (effect.kind === 'receipt') papers.push(effect.paper)
  }
  for (let at = 0, turn = 0; at < bytes.length; turn += 1) {
    const step = Math.max(1, steps[turn % steps.length] ?? 1)
    take(captureMachine.step(state, { kind: 'bytes', chunk: bytes.subarray(at, at + step) }))
    at += step
  }
  take(captureMachine.step(state, { kind: 'closed' }))
  return papers
}

const text = (words: string): Buffer => Buffer.from(words, 'latin1')
const lines = (papers: CapturedPaper[]): string[] => papers.flatMap((one) => one.lines)

t.test('data is passed over by its declared length, whatever it looks like', async (t) => {
  for (const golden of WITH_DATA) {
    for (const steps of [[1], [3, 2], [10_000]]) {
      const papers = capture(Buffer.concat([text('before\n'), bytesOf(golden), text('after\n')]), { steps })
      t.same(papers.length, 1, golden.clause)
      t.same(
        lines(papers).map((line) => line.trim()),
        ['before', 'after'],
        golden.clause,
      )
    }
  }
})

t.test('each form of the cut ends a receipt, and only there', async (t) => {
  for (const cut of CUTS) {
    const papers = capture(Buffer.concat([text('one\n'), bytesOf(cut), text('two\n'), bytesOf(cut), text('rest')]))
    t.same(
      papers.map(({ lines, end }) => [lines.join(), end]),
      [
        ['one', 'cut'],
        ['two', 'cut'],
        ['rest', 'closed'],
      ],
      cut.clause,
    )
  }
})

t.test('a cut with nothing printed, and feed before the first line, are no receipts', async (t) => {
  t.same(capture(Buffer.concat([Buffer.from('1b401b64051d564200', 'hex'), text('\n\n'), Buffer.from('1d564200', 'hex')])), [])
})

t.test('receipts of an independent encoder come out as they went in', async (t) => {
  const receipt =
    '^^^好邻居超市\n单号:10023\n苹果 | 2 | 7.00\n牛奶 | 1 | 3.50\n---\n^合计 | ^10.50\n{code:10023; option: qrcode,4,m}\n谢谢惠顾'
  for (const command of ['escpos', 'epson', 'sii', 'citizen', 'fit', 'impact', 'impactb'] as const) {
    const bytes = Buffer.from(transform(receipt, { cpl: 48, encoding: 'gb18030', cutting: true, command: commands[command] }), 'latin1')
    const papers = capture(bytes, { steps: [7] })
    t.equal(papers.length, 1, command)
    const squeezed = lines(papers).map((line) => line.trim().replace(/\s+/g, ' '))
    for (const line of ['好邻居超市', '单号:10023', '苹果 2 7.00', '牛奶 1 3.50', '合计 10.50', '谢谢惠顾'])
      t.ok(squeezed.includes(line), `${command}: ${line} in ${JSON.stringify(squeezed)}`)
    t.equal(papers[0]?.end, 'cut', command)
  }
})

t.test('a lead byte with nothing known behind it takes nothing with it', async (t) => {
  const bytes = Buffer.concat([
    Buffer.from([0x10, 0x1b, 0x61, 0x01]),
    text('AB\n'),
    Buffer.from([0x12]),
    text('C\n'),
    Buffer.from([0x1b, 0x01]),
    text('D\n'),
  ])
  for (const steps of [[1], [100]])
    t.same(
      lines(capture(bytes, { steps })).map((line) => line.trim()),
      ['AB', 'C', 'D'],
    )
})

t.test('code pages that the till chooses are followed', async (t) => {
  const page = (n: number, codec: string, words: string) =>
    Buffer.concat([Buffer.from([0x1b, 0x74, n]), iconv.encode(words, codec), text('\n')])
  const bytes = Buffer.concat([
    Buffer.from([0x1c, 0x2e]),
    page(16, 'cp1252', 'Café £3'),
    page(17, 'cp866', 'Чек'),
    page(19, 'cp858', 'Straße €5'),
    Buffer.from([0x1c, 0x26]),
    iconv.encode('合计\n', 'gb18030'),
    // Function 48 of FS ( C: UTF-8.
    Buffer.from('1c284302003002', 'hex'),
    Buffer.from('お会計\n', 'utf8'),
  ])
  t.same(lines(capture(bytes)), ['Café £3', 'Чек', 'Straße €5', '合计', 'お会計'])
  t.same(lines(capture(Buffer.concat([Buffer.from([0x1b, 0x52, 15]), text('$ 3.50\n')]))), ['¥ 3.50'], 'ESC R 15: China')
})

t.test('columns stay columns: tabs, ESC $ and alignment become spaces', async (t) => {
  const bytes = Buffer.concat([
    text('Milk\t2\t3.50\n'),
    Buffer.from('1b44142000', 'hex'),
    text('Tea\t1\t2.00\n'),
    text('Total'),
    Buffer.from('1b24a401', 'hex'),
    text('5.50\r\n'),
    Buffer.from('1b6102', 'hex'),
    text('right\n'),
  ])
  const [first, second, third, fourth] = lines(capture(bytes))
  t.equal(first, 'Milk    2       3.50')
  t.equal(second, `Tea${' '.repeat(17)}1${' '.repeat(11)}2.00`)
  t.equal(third, `Total${' '.repeat(30)}5.50`)
  t.equal(fourth, `${' '.repeat(43)}right`)
})

t.test('the drawer is noted; a bitmap-only receipt has no letters', async (t) => {
  const [paper] = capture(simulatedReceipt('bitmap', 1).bytes)
  t.match(paper, { letters: 0, raster: 48 * 400, end: 'cut', whole: true, lines: [] })
  t.equal(capture(simulatedReceipt('market', 1).bytes)[0]?.drawer, 1)
  t.same(capture(simulatedReceipt('drawer', 1).bytes), [], 'the drawer alone is no receipt')
})

t.test('a stream that ends in the middle of a picture is a receipt that is not whole', async (t) => {
  const bytes = Buffer.concat([text('Milk 3.50\n'), Buffer.from([0x1d, 0x76, 0x30, 0, 48, 0, 100, 0]), Buffer.alloc(100)])
  t.match(capture(bytes), [{ lines: ['Milk 3.50'], whole: false, end: 'closed' }])
})

t.test('a silence ends a receipt without a cut, but not one in the middle of a command', async (t) => {
  const state = new CaptureState({ encoding: 'gb18030', width: 48 })
  captureMachine.step(state, { kind: 'bytes', chunk: Buffer.concat([text('one\n'), Buffer.from([0x1d])]) })
  t.same(captureMachine.step(state, { kind: 'quiet' }), [])
  captureMachine.step(state, { kind: 'bytes', chunk: Buffer.from([0x21, 0x00]) })
  t.match(captureMachine.step(state, { kind: 'quiet' }), [{ kind: 'receipt', paper: { lines: ['one'], end: 'quiet', whole: true } }])
  t.same(captureMachine.step(state, { kind: 'quiet' }), [], 'once')
})

t.test('however the network cuts the stream, the same is read', async (t) => {
  const form = fc.constantFrom(...FORMS)
  fc.assert(
    fc.property(
      fc.array(fc.tuple(form, fc.nat(500)), { minLength: 1, maxLength: 4 }),
      fc.array(fc.integer({ min: 1, max: 90 }), { minLength: 1 }),
      (jobs, steps) => {
        const bytes = Buffer.concat(jobs.map(([one, number]) => simulatedReceipt(one, number).bytes))
        return JSON.stringify(capture(bytes, { steps })) === JSON.stringify(capture(bytes))
      },
    ),
    { numRuns: 40 },
  )
  t.pass()
})

/** A valid receipt with some bytes changed, taken out or put in. */
const spoiled = fc
  .tuple(
    fc.constantFrom(...FORMS),
    fc.nat(500),
    fc.array(
      fc.tuple(
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.constantFrom('change', 'insert', 'remove', 'head'),
        fc.uint8Array({ minLength: 1, maxLength: 6 }),
      ),
      { maxLength: 12 },
    ),
  )
  .map(([form, number, edits]) => {
    let bytes = simulatedReceipt(form, number).bytes
    for (const [place, how, patch] of edits) {
      const at = Math.floor(place * bytes.length)
      if (how === 'head') bytes = bytes.subarray(0, at)
      else {
        const skip = how === 'insert' ? 0 : patch.length
        bytes = Buffer.concat([bytes.subarray(0, at), how === 'remove' ? Buffer.alloc(0) : patch, bytes.subarray(at + skip)])
      }
    }
    return bytes
  })

t.test('spoiled receipts and noise: never a throw, every byte in exactly one receipt, and bounded', async (t) => {
  fc.assert(
    fc.property(
      fc.oneof(
        spoiled,
        fc.uint8Array({ maxLength: 3_000 }).map((one) => Buffer.from(one)),
      ),
      fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1, maxLength: 5 }),
      (bytes, steps) => {
        let last = 0
        for (const { from, to, lines } of capture(bytes, { steps })) {
          if (from < last || to < from || to > bytes.length) throw new Error(`${from}..${to} after ${last} of ${bytes.length}`)
          if (lines.length > 500 || lines.some((line) => line.length > 160)) throw new Error('unbounded')
          last = to
        }
      },
    ),
    { numRuns: 300 },
  )
  t.pass()
})

t.test('tokens account for every byte that is not data', async (t) => {
  fc.assert(
    fc.property(spoiled, fc.integer({ min: 1, max: 64 }), (bytes, step) => {
      const tokenizer = new Tokenizer()
      let last = -1
      for (let at = 0; at < bytes.length; at += step)
        for (const token of tokenizer.feed(bytes.subarray(at, at + step))) {
          if (token.at <= last) throw new Error(`token at ${token.at} after ${last}`)
          last = token.at
        }
      if (tokenizer.place !== bytes.length) throw new Error('bytes lost')
    }),
    { numRuns: 150 },
  )
  t.pass()
})

t.test('a receipt that never ends is held in bounds', async (t) => {
  const state = new CaptureState({ encoding: 'gb18030', width: 48 })
  const chunk = Buffer.from('A'.repeat(65_536))
  for (let round = 0; round < 200; round += 1) captureMachine.step(state, { kind: 'bytes', chunk })
  t.ok(state.lines.length <= 500)
  t.match(captureMachine.step(state, { kind: 'closed' }), [{ paper: { whole: false } }])
})
