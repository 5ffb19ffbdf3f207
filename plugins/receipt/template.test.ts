/** Line patterns, amounts, extraction and the template that is proposed. Pure. */

import t from 'tap'
import { fc } from '../../daemon/testing/property.ts'
import { CaptureState, captureMachine } from './capture/capture.machine.ts'
import { type ReceiptForm, simulatedReceipt } from './simulator/receipts.ts'
import { amountAt, type Money } from './template/amount.ts'
import { compileTemplate, extract, showAmount, type TemplateConfig } from './template/extract.ts'
import { propose } from './template/learn.ts'
import { maskText } from './template/mask.ts'
import { anywhere, compilePattern, matchLine, type Pattern } from './template/pattern.ts'

const CNY: Money = { currency: 'CNY', decimal: '.' }

function pattern(source: string): Pattern {
  const compiled = compilePattern(source)
  if (typeof compiled === 'string') throw new Error(compiled)
  return compiled
}

const match = (source: string, line: string, money = CNY) => matchLine(pattern(source), line, money)

t.test('amounts become whole minor units, or nothing', async (t) => {
  const cases: [string, Money, number | undefined][] = [
    ['12.50', CNY, 1250],
    ['12.5', CNY, 1250],
    ['12', CNY, 1200],
    ['￥1,234.50'.replace('￥', '¥'), CNY, 123450],
    ['-3.00', CNY, -300],
    ['3.00-', CNY, -300],
    ['(3.00)', CNY, -300],
    ['RMB 8.80', CNY, 880],
    ['0.29', CNY, 29],
    ['1.005', CNY, undefined],
    ['1,23.00', CNY, undefined],
    ['12.34.56', CNY, undefined],
    ['1.234,50', { currency: 'EUR', decimal: ',' }, 123450],
    ['1,200', { currency: 'JPY', decimal: '.' }, 1200],
    ['12.5', { currency: 'JPY', decimal: '.' }, undefined],
    ['1.250', { currency: 'KWD', decimal: '.' }, 1250],
    ['9999999999999999', CNY, undefined],
  ]
  for (const [text, money, value] of cases) t.equal(amountAt(text, 0, money)?.value, value, text)
  fc.assert(
    fc.property(fc.integer({ min: -10_000_000, max: 10_000_000 }), (minor) => amountAt(showAmount(minor, 'CNY'), 0, CNY)?.value === minor),
  )
})

t.test('patterns: numbers are whole, names take what is left', async (t) => {
  t.same(match('{name} {qty} {price} {amount}', '可乐 330ml 12听装   2   3.50    7.00'), {
    name: '可乐 330ml 12听装',
    qty: 2,
    price: 350,
    amount: 700,
  })
  t.same(match('合计:{amount}', '合计：        ￥12.00元'), { amount: 1200 }, 'full-width forms and currency signs')
  t.same(match('{qty} x {name} {amount}', '2 x Latte large  7.00'), { qty: 2, name: 'Latte large', amount: 700 })
  t.same(match('{name} {qty}x{price} {amount}', 'Tea  2x3.50  7.00'), { name: 'Tea', qty: 2, price: 350, amount: 700 })
  t.same(match('{sku} {name} {amount}', '6921168509256 Water 2.00'), { sku: '6921168509256', name: 'Water', amount: 200 })
  t.same(match('{name} {qty} {amount}', '苹果 0.526 6.83'), { name: '苹果', qty: 0.526, amount: 683 }, 'weighed')
  t.equal(match('TOTAL {amount}', 'SUBTOTAL 12.00'), undefined)
  t.equal(match('total {amount}', 'Total 12.00')?.amount, 1200, 'case does not matter')
  t.equal(match('{name} {amount}', '---------- 12.00'), undefined, 'dashes are no name')
  t.equal(match('{name} {qty} {price} {amount}', '电话 2026-11-25 12:30:00'), undefined)
  t.same(matchLine(anywhere(pattern('微信支付')), '  微信支付 42.96 ', CNY), {})
})

t.test('a pattern that cannot be says what is wrong', async (t) => {
  t.match(compilePattern('{nam} {amount}'), /\{nam\} is not a field; known are \{name\}/)
  t.match(compilePattern('{qty}{price}'), /\{price\} needs a space or a word before it/)
  t.match(compilePattern('{name {amount}'), /braces do not match/)
  t.match(compilePattern('{amount} {amount}'), /twice/)
  t.match(compilePattern(' '), /empty/)
  t.same(
    compileTemplate({ item: ['{qty} {amount}'], total: ['合计 {amont}'], order: ['单号'] }).problems.map(({ path }) => path),
    ['item.0', 'total.0', 'order.0'],
  )
})

t.test('no pattern and no line can make matching slow', async (t) => {
  const worst = ['{*} {name} {*} {qty} {*} {price} {*} {amount}', `${'{*} a '.repeat(5)}{amount}`, `{*} ${'a '.repeat(10)}b`]
  const lines = ['a '.repeat(80), '1 '.repeat(80), 'a'.repeat(160), '1.1 a '.repeat(27), ' '.repeat(160)]
  // A regular expression of this kind would take years; this test would not come to its end.
  for (const source of worst) {
    const compiled = compilePattern(source)
    t.type(compiled, 'object', source)
    if (typeof compiled !== 'string') for (const line of lines) matchLine(compiled, line, CNY)
  }
  fc.assert(
    fc.property(
      fc.array(fc.constantFrom('{*}', '{name}', '{qty}', '{amount}', 'a', 'x', ' ', ':'), { maxLength: 20 }),
      fc.string({ maxLength: 200 }),
      (parts, line) => {
        const compiled = compilePattern(parts.join(''))
        if (typeof compiled !== 'string') matchLine(compiled, line, CNY)
      },
    ),
    { numRuns: 300 },
  )
})

function linesOf(form: ReceiptForm, number: number): string[] {
  const state = new CaptureState({ encoding: 'gb18030', width: 48 })
  const [effect] = captureMachine
    .step(state, { kind: 'bytes', chunk: simulatedReceipt(form, number).bytes })
    .filter(({ kind }) => kind === 'receipt')
  return effect?.kind === 'receipt' ? effect.paper.lines : []
}

const TEMPLATES: Partial<Record<ReceiptForm, TemplateConfig>> = {
  market: {
    from: ['品名'],
    item: ['{name} {qty} {price} {amount}'],
    total: ['合计 {amount}'],
    order: ['单号:{order}'],
    payment: { wechat: ['微信支付'] },
  },
  cafe: {
    item: [['{name}', '{qty} x {price} {amount}']],
    total: ['应付 {amount}'],
    order: ['订单号:{order}'],
    payment: { alipay: ['支付宝'] },
  },
  english: { item: ['{qty} x {name} {amount}'], total: ['TOTAL {amount}'], order: ['Order No. {order}'], payment: { cash: ['CASH'] } },
}

t.test('templates extract what the till printed', async (t) => {
  for (const [form, config] of Object.entries(TEMPLATES) as [ReceiptForm, TemplateConfig][]) {
    const { template, problems } = compileTemplate(config)
    t.same(problems, [])
    for (let number = 0; number < 30; number += 1) {
      const printed = simulatedReceipt(form, number)
      const found = extract(template, linesOf(form, number), CNY)
      t.match(found, { total: printed.total, order: printed.order, items: printed.items, checked: true }, `${form} ${number}`)
    }
  }
})

t.test('discounts and tax make the sum; a wrong one is told', async (t) => {
  const { template } = compileTemplate({
    item: ['{name} {qty} {price} {amount}'],
    discount: ['优惠 {amount}'],
    tax: ['税 {amount}'],
    total: ['应收 {amount}', '合计 {amount}'],
  })
  const paper = ['苹果 2 3.50 7.00', '梨 1 5.00 5.00', '合计 12.00', '优惠 -2.00', '税 0.60', '应收 10.60']
  t.match(extract(template, paper, CNY), { total: 1060, checked: true, items: [{ amount: 700 }, { amount: 500 }] })
  t.match(extract(template, [...paper.slice(0, 5), '应收 10.61'], CNY), { total: 1061, checked: false })
  t.match(extract(template, ['苹果 2 3.50 9.00', '合计 9.00'], CNY), { checked: false }, 'a quantity that does not fit its amount')
  t.equal(extract(template, ['谢谢惠顾'], CNY).checked, undefined)
})

t.test('learn proposes what makes the totals come out right', async (t) => {
  for (const form of ['market', 'cafe', 'english'] as const) {
    const papers = Array.from({ length: 6 }, (_one, number) => linesOf(form, number + 1))
    const { template, problems } = compileTemplate(propose(papers, CNY))
    t.same(problems, [])
    for (let number = 1; number <= 6; number += 1) {
      const printed = simulatedReceipt(form, number)
      t.match(
        extract(template, linesOf(form, number), CNY),
        { total: printed.total, order: printed.order, items: printed.items, checked: true },
        `${form} ${number}`,
      )
    }
  }
})

t.test('what could be a pay code or a phone number is masked, and nothing else', async (t) => {
  t.equal(maskText('付款码 134567890123456789 会员 138 1234 5678'), '付款码 13************6789 会员 138 **** 5678')
  t.equal(maskText('13812345678'), '138****5678')
  t.equal(maskText('6921168509256 20261125000001'), '6921168509256 20261125000001', 'article and order numbers stay')
  t.equal(maskText('2812 3456 7890 1234 56'), '28** **** **** **34 56')
  const { template } = compileTemplate({ order: ['单号:{order}'] })
  t.equal(extract(template, ['单号:134567890123456789'], CNY).order, undefined, 'an order number that could be a pay code is left out')
})
