import t from 'tap'
import { fc } from '../../daemon/testing/property.ts'
import { GOLDEN } from './golden.ts'
import { FRAMINGS, MAX_FRAME } from './protocol/framing.ts'
import { checkDigit, expandUpcE, hasCheckDigit, tradeItem } from './protocol/gtin.ts'
import { maskPayCode, payChannel } from './protocol/pay.ts'
import { type OwnPrefixes, ownPrefixes, riskyPrefixes, route } from './protocol/route.ts'
import { decodeText } from './protocol/text.ts'
import { type ScanData, type ScanEffect, type ScanOptions, ScanState, scanMachine } from './scan.machine.ts'
import { articleNumber } from './simulator/codes.ts'

const USUAL: ScanOptions = {
  framing: 'auto',
  idleMs: 100,
  cutMs: 1_000,
  encoding: 'utf8',
  prefixes: [],
  repeatMs: 1_500,
  minLength: 1,
}

/** A scanner's stream under a clock of the test's own. */
class Bench {
  readonly state: ScanState
  now = 0
  readonly scans: ScanData[] = []
  readonly paid: string[] = []
  readonly garbage: boolean[] = []

  constructor(options: Partial<ScanOptions> = {}) {
    this.state = new ScanState({ ...USUAL, ...options })
  }

  bytes(...chunks: (Buffer | string)[]): this {
    for (const chunk of chunks) this.#take(scanMachine.step(this.state, { kind: 'bytes', chunk: Buffer.from(chunk), now: this.now }))
    return this
  }

  /** Lets time pass in silence: `quiet` comes when it was asked for. */
  silence(ms: number): this {
    this.now += ms
    if (this.state.wakeMs > 0 && ms >= this.state.wakeMs) this.#take(scanMachine.step(this.state, { kind: 'quiet', now: this.now }))
    return this
  }

  lost(): this {
    this.#take(scanMachine.step(this.state, { kind: 'lost', now: this.now }))
    return this
  }

  damaged(): this {
    this.#take(scanMachine.step(this.state, { kind: 'damaged' }))
    return this
  }

  codes(): string[] {
    return this.scans.map((one) => one.code)
  }

  #take(effects: readonly ScanEffect[]): void {
    for (const effect of effects) {
      if (effect.kind === 'garbage') this.garbage.push(effect.on)
      if (effect.kind !== 'scan') continue
      this.scans.push(effect.data)
      if (effect.pay) this.paid.push(effect.pay.code)
    }
  }
}

t.test('golden bytes', async (t) => {
  for (const { name, bytes, expect, secret } of GOLDEN) {
    const bench = new Bench().bytes(Buffer.from(bytes, 'hex'))
    t.same(bench.scans, [expect], name)
    if (secret !== undefined) t.notMatch(JSON.stringify(bench.scans), secret, `${name}: nothing shows it`)
    const single = new Bench()
    for (const byte of Buffer.from(bytes, 'hex')) single.bytes(Buffer.of(byte))
    t.same(single.scans, [expect], `${name}, byte by byte`)
  }
})

t.test('how codes end', async (t) => {
  t.same(
    new Bench({ framing: 'crlf' }).bytes('A\rB\nC\r', '\nD\r\n').codes(),
    ['A\ufffdB\ufffdC', 'D'],
    'crlf: a CR or LF alone is content',
  )
  t.same(new Bench({ framing: 'cr' }).bytes('A1\r\nB2\r\n').codes(), ['A1', 'B2'], 'cr: a following LF is white space')
  t.same(new Bench({ framing: 'lf' }).bytes('A1\r\nB2\r\n').codes(), ['A1', 'B2'])
  t.same(
    new Bench({ framing: 'stx-etx' }).bytes('x\u0002A1\u0003l\r\n\u0002B\u0002B2\u0003').codes(),
    ['A1', 'B2'],
    'stx-etx: an LRC is no code',
  )
  t.same(new Bench({ framing: 'idle' }).bytes('a\r\n').bytes('b\r\n').silence(100).bytes('c').silence(100).codes(), ['a\ufffd\ufffdb', 'c'])
})

t.test('auto: a scanner without suffix is ended by silence, one with a suffix never is', async (t) => {
  t.same(new Bench().bytes('690123').bytes('4567892').silence(100).bytes('012345678905').silence(100).codes(), [
    '6901234567892',
    '012345678905',
  ])
  const slow = new Bench().bytes('012345678905\r').bytes('690123').silence(300).bytes('4567892\r')
  t.same(slow.codes(), ['012345678905', '6901234567892'], 'a gap in a network is not the end of a code')
})

t.test('a cable pulled in the middle of a code gives no half code, and spoils none that follow', async (t) => {
  const bench = new Bench().bytes('012345678905\r\n').bytes('69012').lost().bytes('6901234567892\r\n')
  t.same(bench.codes(), ['012345678905', '6901234567892'])
  bench.bytes('123').silence(1_000).bytes('96385074\r')
  t.same(bench.codes().at(-1), '96385074', 'nor does a line cut by noise, once it has been silent')
  t.equal(bench.state.counters.cut, 2)
  bench.bytes('111').damaged().bytes('222\r').bytes('333\r')
  t.same(bench.codes().at(-1), '333', 'nor one with bytes missing')
})

t.test('10 MB of garbage: bounded, one unknown at most, good again with the next clean line', async (t) => {
  const cases: [string, (at: number) => number, number][] = [
    ['letters without an end', () => 0x41, 0],
    ['NULs', () => 0, 0],
    ['noise', (at) => (Math.imul(at + 1, 2_654_435_761) >>> 16) & 0xff, 1],
  ]
  for (const [name, byte, unknown] of cases) {
    const bench = new Bench().bytes('6901234567892\r\n')
    const chunk = Buffer.alloc(65_536)
    const before = process.memoryUsage().arrayBuffers
    for (let sent = 0; sent < 10_485_760; sent += chunk.length) {
      for (let at = 0; at < chunk.length; at++) chunk[at] = byte(sent + at)
      bench.bytes(chunk)
      bench.now += 5
    }
    t.ok(process.memoryUsage().arrayBuffers - before < 16 * 1_048_576, `${name}: memory is bounded`)
    t.same(bench.garbage, [true], `${name}: said once`)
    t.ok(bench.scans.length <= 2 + unknown, `${name}: ${bench.scans.length - 1} events`)
    bench.bytes('\r\n012345678905\r\n')
    t.equal(bench.codes().at(-1), '012345678905', `${name}: the next clean line counts`)
    t.same(bench.garbage, [true, false], `${name}: and ends it`)
  }
  const dull = new Bench().bytes(Buffer.alloc(MAX_FRAME + 1, 0x41), '\rHELLO\r')
  t.same(dull.codes(), ['HELLO'], 'after an overlong line the next one need not prove anything')
})

t.test('wrong baud rate: unreadable scans, however slow, are shown and become a fault', async (t) => {
  const bench = new Bench()
  for (let scan = 0; scan < 3; scan++) bench.bytes(Buffer.from([0xf1, 0x88, 0xfe, 0x41 + scan, 0x0d])).silence(5_000)
  t.equal(bench.scans.length, 3)
  t.ok(bench.scans.every((one) => one.kind === 'unknown' && one.raw !== undefined))
  t.same(bench.garbage, [true])
  t.same(bench.bytes('6901234567892\r').garbage, [true, false])
})

t.test('repeats', async (t) => {
  const bench = new Bench()
  bench.bytes('6901234567892\r').silence(300).bytes('6901234567892\r').silence(1_300).bytes('6901234567892\r')
  t.equal(bench.scans.length, 2, 'the third of three equal cans counts again after 1.5 s')
  bench.bytes('134567890123456789\r')
  for (let seen = 0; seen < 5; seen++) bench.silence(1_000).bytes('134567890123456789\r')
  t.same(bench.paid, ['134567890123456789'], 'a phone that stays under the scanner pays once')
  t.equal(bench.silence(1_500).bytes('134567890123456789\r').paid.length, 2, 'shown again later, it is a new scan')
  t.equal(new Bench({ repeatMs: 0 }).bytes('96385074\r96385074\r').scans.length, 2, '0 turns it off')
  const many = new Bench()
  for (let count = 0; count < 20_000; count++) many.bytes(`${articleNumber(count)}\r`)
  t.equal(many.scans.length, 20_000)
  t.ok(many.state.young.size + many.state.old.size <= 4_096, 'what is remembered is bounded')
})

t.test('the shop’s own prefixes come first, but never uncover a pay code by accident', async (t) => {
  const prefixes = ownPrefixes({ member: ['VIP', '29', '13', '628888'], coupon: ['VIPC'], claim: ['https://shop.example/c/'], pickup: [] })
  const kind = (text: string) => route(text, prefixes).routed.kind
  t.equal(kind('VIP123'), 'member')
  t.equal(kind('VIPC123'), 'coupon', 'the longest prefix wins')
  t.equal(kind(']Q1https://shop.example/c/abc'), 'claim')
  t.equal(kind('2900000000018'), 'member', 'a member card in the in-store EAN range')
  t.equal(kind('134567890123456789'), 'pay', 'two digits are no claim to a third of the WeChat codes')
  t.equal(kind('6288881234567890123'), 'member', 'six are')
  t.same(riskyPrefixes(prefixes), ['628888'])
})

t.test('AIM settles what digits alone leave open', async (t) => {
  const routed = (text: string) => route(text, []).routed
  t.equal(routed('134567890123456789').kind, 'pay')
  for (const aim of [']E0', ']E3', ']C1', ']d2', ']Q3', ']e0', ']J1'])
    t.not(routed(`${aim}134567890123456789`).kind, 'pay', `${aim} is never a pay code`)
  t.match(routed(']C111271231102712311234'), { kind: 'unknown', gs1: { '11': '271231' } }, 'dates on a label')
  t.match(routed('01069012345678921727123110LOT'), { kind: 'product', gtin: '06901234567892', gs1: { '10': 'LOT' } }, 'FNC1 not sent')
  const glued = routed('0106901234567892134567890123456789')
  t.match(glued, { kind: 'product', gtin: '06901234567892', code: '010690123456789213************6789' }, 'an item and a pay code glued')
  t.same(glued.gs1, { '01': '06901234567892' })
  t.match(routed(']d20106901234567892\u001d99zz'), { gtin: '06901234567892' })
  t.match(routed('(01)06901234567892(17)271231'), { kind: 'product', gs1: { '17': '271231' } })
  t.match(routed(']C10106901234567893'), { kind: 'unknown' }, 'a GTIN whose check digit is wrong is none')
  t.match(routed('https://shop.example/p/a/01/06901234567892?utm=1'), { kind: 'product', gtin: '06901234567892' })
  t.match(routed('https://shop.example/01/6901234567892'), { gtin: '06901234567892' })
  for (const url of ['https://shop.example/', 'https://x/01/123', 'https://x/01/06901234567893', 'https://x/%E0%A4%A/01/x', 'http:'])
    t.equal(routed(url).kind, 'unknown', url)
})

t.test('trade item numbers', async (t) => {
  for (const [short, long] of [
    ['01234558', '012345000058'],
    ['04252614', '042100005264'],
    ['01234133', '012300000413'],
    ['01234543', '012340000053'],
  ] as const)
    t.equal(expandUpcE(short.slice(0, 7) + checkDigit(long.slice(0, 11))), long.slice(0, 11) + checkDigit(long.slice(0, 11)), short)
  t.equal(tradeItem('6901234567893'), undefined, 'wrong check digit')
  t.equal(tradeItem('690123456789２'), undefined, 'full-width digits are none')
  fc.assert(
    fc.property(fc.stringMatching(/^\d{13}$/), fc.integer({ min: 0, max: 12 }), fc.integer({ min: 1, max: 9 }), (digits, at, add) => {
      const whole = digits.slice(0, 12) + checkDigit(digits.slice(0, 12))
      const wrong = whole.slice(0, at) + ((Number(whole[at]) + add) % 10) + whole.slice(at + 1)
      return hasCheckDigit(whole) && !hasCheckDigit(wrong)
    }),
  )
})

t.test('text', async (t) => {
  t.same(decodeText(Buffer.from('bbe1d4b13031', 'hex'), 'gb18030'), { text: '会员01', clean: true })
  t.same(decodeText(Buffer.from('会员01'), 'utf8'), { text: '会员01', clean: true })
  t.same(decodeText(Buffer.from([0x47, 0xfc, 0x6e]), 'latin1'), { text: 'Gün', clean: true })
  t.same(decodeText(Buffer.from([0x31, 0, 0x32, 0, 0x33, 0]), 'utf8'), { text: '123', clean: true }, '16-bit characters')
  t.equal(decodeText(Buffer.from('bbe1d4b1', 'hex'), 'utf8').clean, false)
})

const digits = (count: number) => fc.stringMatching(new RegExp(`^\\d{${count}}$`))
const payCode = fc.oneof(
  fc.tuple(fc.constantFrom('10', '11', '12', '13', '14', '15'), digits(16)).map((parts) => parts.join('')),
  fc.tuple(fc.constantFrom('25', '28', '30'), digits(16)).map((parts) => parts.join('')),
  digits(17).map((rest) => `62${rest}`),
)
const product = digits(12).map((body) => body + checkDigit(body))
const other = fc.constantFrom(']C0PU-123', 'SF1234567890', ']Q1https://id.gs1.org/01/09506000134352', ']d2010690123456789210A1\u001d21B2')
const suffix = fc.constantFrom('\r', '\n', '\r\n')

t.test('fuzz: however whole lines are split, the same scans come out', async () => {
  const lines = fc.array(fc.tuple(fc.oneof(payCode, product, other), suffix), { minLength: 1, maxLength: 20 })
  fc.assert(
    fc.property(lines, fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 }), (parts, cuts) => {
      const bytes = Buffer.from(parts.map((one) => one.join('')).join(''))
      const whole = new Bench({ repeatMs: 0 }).bytes(bytes)
      const split = new Bench({ repeatMs: 0 })
      for (let at = 0, turn = 0; at < bytes.length; turn++) {
        const step = cuts[turn % cuts.length] as number
        split.bytes(bytes.subarray(at, at + step))
        at += step
      }
      return whole.scans.length === parts.length && JSON.stringify(whole.scans) === JSON.stringify(split.scans)
    }),
  )
})

t.test('fuzz: bytes lost, doubled and turned over never uncover a pay code', async () => {
  const damage = fc.record({
    at: fc.nat(),
    kind: fc.constantFrom('lose', 'double', 'flip', 'noise', 'lose-suffix'),
    byte: fc.integer({ max: 255, min: 0 }),
  })
  fc.assert(
    fc.property(
      fc.array(fc.tuple(payCode, suffix), { minLength: 1, maxLength: 6 }),
      fc.array(damage, { maxLength: 6 }),
      fc.constantFrom(...FRAMINGS),
      (parts, faults, framing) => {
        let bytes = [...Buffer.from(parts.map(([code, end]) => (framing === 'stx-etx' ? `\u0002${code}\u0003` : code + end)).join(''))]
        for (const { at, kind, byte } of faults) {
          const place = at % Math.max(1, bytes.length)
          if (kind === 'lose') bytes.splice(place, 1)
          else if (kind === 'double') bytes.splice(place, 0, bytes[place] ?? 0)
          else if (kind === 'flip') bytes[place] = byte
          else if (kind === 'noise') bytes.splice(place, 0, byte)
          else bytes = bytes.filter((one, index) => one > 0x0d || index < place)
        }
        const bench = new Bench({ framing, repeatMs: 0 })
        bench.bytes(Buffer.from(bytes)).silence(5_000)
        const shown = JSON.stringify(bench.scans)
        const hexed = (code: string) => Buffer.from(code).toString('hex')
        return parts.every(([code]) => !shown.includes(code) && !shown.includes(hexed(code)))
      },
    ),
    { numRuns: 2_000 },
  )
})

t.test('fuzz: any bytes at all, and nothing throws', async () => {
  const prefixes: OwnPrefixes = ownPrefixes({ member: ['M'], claim: ['('] })
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 64 }), { maxLength: 20 }), fc.constantFrom(...FRAMINGS), (chunks, framing) => {
      const bench = new Bench({ framing, prefixes })
      for (const chunk of chunks) bench.bytes(Buffer.from(chunk), '\r\n').silence(50)
      bench.lost()
      return bench.scans.every((one) => one.code.length > 0)
    }),
    { numRuns: 1_000 },
  )
})

t.test('fuzz: element strings and links made of broken good ones', async () => {
  const good = fc.constantFrom(
    ']d2010690123456789217271231101234ABC\u001d21SER77',
    ']C101069012345678923103001250',
    'https://id.gs1.org/01/09506000134352/10/ABC%2F1?17=201225',
    '(01)06901234567892(10)A',
  )
  fc.assert(
    fc.property(good, fc.nat(), fc.nat(), fc.string({ maxLength: 4 }), (text, from, count, middle) => {
      const at = from % text.length
      const broken = text.slice(0, at) + middle + text.slice(at + (count % 6))
      const { routed } = route(broken, [])
      return routed.gtin === undefined || hasCheckDigit(routed.gtin)
    }),
    { numRuns: 2_000 },
  )
})

t.test('masks', async (t) => {
  t.equal(maskPayCode('134567890123456789'), '13************6789')
  for (const [text, shown] of [
    ['13456789x123456789', '13************6789'],
    ['1345678901234567', '13**********4567'],
    ['13456789012345', '13********2345'],
    ['1 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9', '13************6789'],
    ['1234567890123', '1234567890123'],
    ['SF1234567890123', 'SF1234567890123'],
  ] as const)
    t.equal(route(text, []).routed.code, shown, 'what is damaged is hidden too, other numbers are not')
  t.equal(payChannel('1345678901234567890'), undefined)
  t.equal(payChannel('2512345678901234'), 'alipay')
  t.equal(payChannel('301234567890123456789012'), 'alipay')
  t.equal(payChannel('3112345678901234'), undefined)
})
