import t from 'tap'
import { fc } from '../../daemon/testing/property.ts'
import { ASB, bytesOf, CHINESE, COMMANDS, QR_HELLO, STATUS } from './golden.ts'
import { Paper } from './paper/paper.ts'
import { renderSvg } from './paper/render-svg.ts'
import { renderText } from './paper/render-text.ts'
import { ESCPOS } from './protocol/escpos.ts'
import { EscposParser, type Op } from './protocol/escpos-parse.ts'
import { decodeStatus, isRealtime, ReplyReader, type StatusBytes, verdict } from './protocol/status.ts'
import { lintReceipt } from './receipt-lint.ts'
import { missingCharacters, type RenderConfig, renderReceipt } from './render.ts'

const CONFIG: RenderConfig = {
  encoding: 'gb18030',
  width: 48,
  model: 'epson',
  spacing: false,
  drawer: { pin: 2, onMs: 100, offMs: 200 },
  port: 'tcp://192.168.1.50',
}

const paperOf = (bytes: Uint8Array, encoding: RenderConfig['encoding'] = 'gb18030'): Paper => {
  const paper = new Paper(encoding, 48)
  for (const op of new EscposParser().feed(bytes)) paper.apply(op)
  return paper
}

t.test('what is sent are the vendor’s bytes', async (t) => {
  t.same(ESCPOS.init, bytesOf(COMMANDS.init))
  t.same(ESCPOS.askStatus(1), bytesOf(COMMANDS.statusPrinter))
  t.same(ESCPOS.askStatus(2), bytesOf(COMMANDS.statusOffline))
  t.same(ESCPOS.askStatus(3), bytesOf(COMMANDS.statusError))
  t.same(ESCPOS.askStatus(4), bytesOf(COMMANDS.statusPaper))
  t.same(ESCPOS.mark, bytesOf(COMMANDS.mark))
  t.same(ESCPOS.cut, bytesOf(COMMANDS.partialCut))
  t.same(ESCPOS.drawer(2, 100, 200), bytesOf(COMMANDS.drawer))
  t.same(ESCPOS.drawerNow(2, 100), bytesOf(COMMANDS.drawerNow))
  t.same(ESCPOS.clearBuffers, bytesOf(COMMANDS.clearBuffers))
  t.same(ESCPOS.autoStatus(true), bytesOf(COMMANDS.autoStatus))
  t.same(ESCPOS.drawer(5, 9_999, 1), Buffer.from('1b7001ff01', 'hex'), 'times are kept within a byte')
})

t.test('what the printer says is understood as the vendor means it', async (t) => {
  const shown = (golden: { hex: string }) => {
    const bytes = Buffer.from(golden.hex, 'hex')
    t.ok([...bytes].every(isRealtime), `${golden.hex} has the fixed bits of status bytes`)
    return verdict(decodeStatus([...bytes] as unknown as StatusBytes))
  }
  t.same(shown(STATUS.ready), { ready: true, state: { state: 'online' } })
  t.same(shown(STATUS.drawerPinHigh), { ready: true, state: { state: 'online' } })
  t.same(shown(STATUS.paperLow), { ready: true, state: { state: 'online', detail: 'paper-low' } })
  for (const [golden, detail] of [
    [STATUS.paperOut, 'paper-out'],
    [STATUS.coverOpen, 'cover-open'],
    [STATUS.feedButton, 'feeding'],
    [STATUS.cutter, 'cutter-error'],
    [STATUS.unrecoverable, 'error'],
    [STATUS.overheated, 'overheated'],
  ] as const)
    t.same(shown(golden), { ready: false, state: { state: 'fault', detail } }, detail)

  for (const [golden, detail] of [
    [ASB.ready, undefined],
    [ASB.paperLow, 'paper-low'],
    [ASB.coverOpen, 'cover-open'],
    [ASB.paperOut, 'paper-out'],
    [ASB.cutter, 'cutter-error'],
  ] as const) {
    const [reply] = new ReplyReader().feed(bytesOf(golden))
    t.equal(reply?.kind === 'asb' ? verdict(reply.report).state.detail : 'no asb', detail, golden.clause)
  }
})

t.test('answers are told apart, in whatever pieces they come', async (t) => {
  // ASB, a status, flow control inside an ASB, a mark, the name of the model (GS I 67), the answer to clear buffers, noise.
  const stream = Buffer.from('1000000f' + '12' + '1813000f110f' + '00' + '5f544d2d54383800' + '372500' + '03' + 'ff', 'hex')
  const expected = ['asb', 'realtime', 'asb', 'mark', 'mark', 'garbage']
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1 }), (sizes) => {
      const reader = new ReplyReader()
      const kinds: string[] = []
      for (let at = 0, i = 0; at < stream.length; i += 1) {
        const size = sizes[i % sizes.length] ?? 1
        kinds.push(...reader.feed(stream.subarray(at, at + size)).map((reply) => reply.kind))
        at += size
      }
      return kinds.join() === expected.join()
    }),
    { numRuns: 200 },
  )
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
      new ReplyReader().feed(bytes)
    }),
  )
  t.pass('no bytes at all make it throw')
})

t.test('Chinese comes out as GB18030, ￥ in two bytes', async (t) => {
  const bytes = renderReceipt('你好，苹果 ¥12.50', CONFIG, true)
  t.ok(bytes.includes(bytesOf(CHINESE)), 'as in the golden bytes')
  t.ok(bytes.includes(Buffer.from('1c26', 'hex')), 'after FS &')
  t.ok(bytes.subarray(-4).equals(ESCPOS.cut), 'cut at the end')
  t.notOk(bytes.includes(Buffer.from('1d72', 'hex')), 'no question to the printer inside')
  t.notOk(bytes.includes(Buffer.from('1d61', 'hex')), 'automatic status is left alone')
  t.match(renderText(paperOf(bytes)), /你好，苹果 ￥12\.50/)
  t.same(
    renderReceipt('a\n=\n', CONFIG, true).toString('latin1').split('\x1dVB\x00').length,
    2,
    'a receipt that ends with a cut is cut once',
  )
  t.same(missingCharacters('茶 🍵 é €', 'gb18030'), ['🍵'])
  t.same(missingCharacters('茶 é €', 'cp437'), ['茶', '€'])
  t.same(missingCharacters('Ж é €', 'multilingual'), [])
})

t.test('a till’s own bytes: QR code, bold, double size, image, drawer', async (t) => {
  const raw = Buffer.concat([
    Buffer.from('\x1b@\x1ba\x01\x1d!\x11BIG\n\x1d!\x00\x1bE\x01bold\x1bE\x00\n', 'latin1'),
    bytesOf(QR_HELLO),
    Buffer.from('1d763000010008001824428181422418', 'hex'),
    Buffer.from('1b700032641d6b490a7b4274696c6c2d3432370a', 'hex'),
    Buffer.from('1d564200', 'hex'),
  ])
  const ops = new EscposParser().feed(raw)
  t.ok(ops.some((op) => op.op === 'qr' && op.data.toString() === 'hello' && op.cell === 4 && op.level === 'm'))
  t.ok(ops.some((op) => op.op === 'pulse'))
  t.same(
    ops.filter((op) => op.op === 'unknown'),
    [],
  )
  const text = renderText(paperOf(raw))
  t.match(text, /BIG\n\s+bold\n\[qr hello\]\n\[raster 8x8\]\n/)
  const svg = renderSvg(paperOf(raw))
  t.match(svg, /^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg"/)
  t.notMatch(svg, /https?:\/\/(?!www\.w3\.org)/, 'nothing from elsewhere')
  t.notMatch(renderSvg(paperOf(renderReceipt('<script>alert(1)</script> & "x"', CONFIG, false))), /<script|alert\(1\)<\/script>/)
})

t.test('the same bytes in any pieces, cut anywhere, and mixed with noise, leave the parser whole', async () => {
  const receipt = renderReceipt('^^^店\n{code:12345;option:qrcode}\n{code:6901234567892;option:ean}\n{b:line}\nA|B\n', CONFIG, true)
  const whole = renderText(paperOf(receipt))
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 700 }), { minLength: 1 }), (sizes) => {
      const parser = new EscposParser()
      const paper = new Paper('gb18030', 48)
      for (let at = 0, i = 0; at < receipt.length; i += 1) {
        const size = sizes[i % sizes.length] ?? 1
        for (const op of parser.feed(receipt.subarray(at, at + size))) paper.apply(op)
        at += size
      }
      return parser.pending === 0 && renderText(paper) === whole
    }),
    { numRuns: 50 },
  )
  fc.assert(
    fc.property(fc.nat(receipt.length), fc.uint8Array({ maxLength: 200 }), (at, noise) => {
      const ops: Op[] = new EscposParser().feed(Buffer.concat([receipt.subarray(0, at), noise, receipt.subarray(at)]))
      const paper = new Paper('gb18030', 48)
      for (const op of ops) paper.apply(op)
      renderSvg(paper)
    }),
    { numRuns: 200 },
  )
})

t.test('bad receipt markdown gives one clear error for each line, not a gap on the paper', async (t) => {
  for (const [receipt, message] of [
    ['', /nothing to print/],
    ['\n  \n', /nothing to print/],
    ['Tea {hot', /line 1: "Tea \{hot": braces do not match/],
    ['a\n{colour: red}', /line 2: "colour: red" is not a property/],
    ['{code:abc;option:ean}', /cannot be a ean bar code/],
    [`{code:${'x'.repeat(4_000)};option:qrcode}`, /too long for a QR code/],
    ['{image:AAAA}', /must be a PNG/],
    ['{align:middle}\na', /must be left, center or right/],
    ['{command:\\x10\\x04\\x01}', /not allowed in a receipt/],
    ['A|{code:1}', /must stand alone/],
  ] as const) {
    t.match(
      lintReceipt(receipt)[0] ? `${lintReceipt(receipt)[0]?.path}: ${lintReceipt(receipt)[0]?.message}` : '',
      message,
      JSON.stringify(receipt).slice(0, 40),
    )
    t.throws(() => renderReceipt(receipt, CONFIG, true), { code: 'args-invalid' })
  }
  t.same(lintReceipt('Tea \\{hot\\} | 3\n{w:* 8; b:line}\n{c:12; o:qrcode,5,m}\n=\n'), [])
})
