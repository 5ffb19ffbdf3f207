/** Proposes a template from receipts: the item form that makes most of their totals come out right. Pure. */
import type { Money } from './amount.ts'
import { compileTemplate, extract, type TemplateConfig } from './extract.ts'

/** How tills of the field print an item; more telling forms stand first. */
const ITEM_FORMS: readonly (readonly (string | string[])[])[] = [
  ['{sku} {name} {qty} {price} {amount}'],
  ['{sku} {name} {price} {qty} {amount}'],
  ['{name} {qty} {price} {amount}'],
  ['{name} {price} {qty} {amount}'],
  ['{name} {qty} x {price} {amount}'],
  ['{name} {qty}x{price} {amount}'],
  ['{name} {price} x {qty} {amount}'],
  ['{name} {price}x{qty} {amount}'],
  ['{name} x{qty} {price} {amount}'],
  ['{name} x{qty} {amount}'],
  [['{name}', '{sku} {qty} {price} {amount}']],
  [['{name}', '{sku} {price} {qty} {amount}']],
  [['{name}', '{sku} {qty} x {price} {amount}']],
  [['{sku} {name}', '{qty} {price} {amount}']],
  [['{sku} {name}', '{qty} x {price} {amount}']],
  [['{name}', '{qty} {price} {amount}']],
  [['{name}', '{price} {qty} {amount}']],
  [['{name}', '{qty} x {price} {amount}']],
  [['{name}', '{qty}x{price} {amount}']],
  [['{name}', '{price} x {qty} {amount}']],
  [['{name}', '{qty} @ {price} {amount}']],
  ['{qty} x {name} {amount}'],
  ['{qty} {name} {amount}'],
  ['{name} {qty} {amount}'],
  ['{name} {amount}'],
  [['{name}', '{qty} x {price} {amount}'], '{name} {amount}'],
  [['{name}', '{qty} @ {price} {amount}'], '{name} {amount}'],
]

const TOTALS = [
  '应付金额',
  '应收金额',
  '实付金额',
  '应付',
  '应收',
  '实收',
  '实付',
  '合计金额',
  '总金额',
  '总计',
  '合计',
  '总额',
  '合計',
  '總計',
  'GRAND TOTAL',
  'TOTAL DUE',
  'AMOUNT DUE',
  'BALANCE DUE',
  'TOTAL',
  'お会計',
  '합계',
  'SUMME',
  'GESAMT',
]
const ORDERS = [
  '订单号',
  '交易单号',
  '流水号',
  '小票号',
  '单据号',
  '单号',
  '订单',
  '取餐号',
  '單號',
  'ORDER NO.',
  'ORDER NO',
  'ORDER #',
  'ORDER',
  'RECEIPT NO.',
  'RECEIPT NO',
  'RECEIPT #',
  'INVOICE NO.',
  'TICKET #',
  'CHECK #',
]
const DISCOUNTS = ['优惠金额', '优惠', '折扣', '立减', '满减', '抹零', 'DISCOUNT', 'COUPON']
const TAXES = ['SALES TAX', 'TAX', 'GST', 'SERVICE CHARGE', '服务费']
const METHODS: Readonly<Record<string, readonly string[]>> = {
  wechat: ['微信', 'WECHAT', 'WEIXIN'],
  alipay: ['支付宝', 'ALIPAY'],
  unionpay: ['银联', '云闪付', 'UNIONPAY'],
  card: ['银行卡', '刷卡', 'VISA', 'MASTERCARD', 'CARD'],
  member: ['储值卡', '会员余额'],
  cash: ['现金', 'CASH'],
}
const HEADS = ['品名', '商品名称', '名称', '商品', 'ITEM', 'DESCRIPTION']
/** With a colon and without; a word before the colon may have spaces in it. */
const forms = (word: string, field: string): string[] => [
  `${word}:${field}`,
  `${word} :${field}`,
  `${word}${field}`,
  `{*}${word}:${field}`,
  `{*}${word}${field}`,
]

export function propose(receipts: readonly (readonly string[])[], money: Money): TemplateConfig {
  const total = choose(TOTALS, receipts, money, 'total')
  const base: TemplateConfig = {
    ...(total.length > 0 ? { total } : {}),
    ...some('order', choose(ORDERS, receipts, money, 'order').slice(0, 1)),
    ...some('payment', methods(receipts)),
  }
  const from = HEADS.filter(
    (word) => receipts.filter((lines) => lines.some((line) => isHead(line, word))).length * 2 > receipts.length,
  ).slice(0, 1)
  const extras = [{}, some('discount', choose(DISCOUNTS, receipts, money, 'discount')), some('tax', choose(TAXES, receipts, money, 'tax'))]
  const [, discount = {}, tax = {}] = extras
  const adjusted = [{}, discount, tax, { ...discount, ...tax }]
  let best: { config: TemplateConfig; score: number } = { config: base, score: -1 }
  for (const item of ITEM_FORMS) {
    for (const extra of adjusted) {
      for (const head of from.length > 0 ? [{}, { from }] : [{}]) {
        const config: TemplateConfig = { ...base, ...head, item: [...item], ...extra }
        const score = rate(config, receipts, money)
        if (score > best.score) best = { config, score }
      }
    }
  }
  return best.config
}

const some = <Kind extends keyof TemplateConfig>(kind: Kind, value: TemplateConfig[Kind]): TemplateConfig =>
  value === undefined || (Array.isArray(value) ? value.length === 0 : Object.keys(value).length === 0) ? {} : { [kind]: value }

/** A receipt whose sum comes out right says more than any number of lines that look like items. */
function rate(config: TemplateConfig, receipts: readonly (readonly string[])[], money: Money): number {
  const { template } = compileTemplate(config)
  let score = 0
  for (const lines of receipts) {
    const { items, checked } = extract(template, lines, money)
    score += (checked === true ? 1_000 : 0) + Math.min(items.length, 50)
  }
  return score
}

/** Patterns of those words that are found, in the order of the words. */
function choose(
  words: readonly string[],
  receipts: readonly (readonly string[])[],
  money: Money,
  kind: 'total' | 'order' | 'discount' | 'tax',
): string[] {
  const field = kind === 'order' ? '{order}' : '{amount}'
  const chosen: string[] = []
  for (const word of words) {
    const found = forms(word, field).find((source) => {
      const { template } = compileTemplate({ [kind]: [source] })
      return receipts.some((lines) => hits(template, lines, money, kind))
    })
    if (found !== undefined && !chosen.includes(found)) chosen.push(found)
  }
  return chosen.slice(0, 4)
}

function hits(
  template: ReturnType<typeof compileTemplate>['template'],
  lines: readonly string[],
  money: Money,
  kind: 'total' | 'order' | 'discount' | 'tax',
): boolean {
  if (kind === 'total' || kind === 'order') return extract(template, lines, money)[kind] !== undefined
  // A discount alone gives no total to see: let it stand for one.
  return extract({ ...template, total: template[kind] }, lines, money).total !== undefined
}

function methods(receipts: readonly (readonly string[])[]): Record<string, string[]> {
  const text = receipts.flat().join('\n').toUpperCase()
  const found: Record<string, string[]> = {}
  for (const [method, words] of Object.entries(METHODS)) {
    const there = words.filter((word) => text.includes(word)).slice(0, 1)
    if (there.length > 0) found[method] = there
  }
  return found
}

/** A heading names columns: no digits, and the word at its beginning. */
function isHead(line: string, word: string): boolean {
  const text = line.trim().toUpperCase()
  return text.startsWith(word) && !/\d/.test(text) && /\s/.test(text)
}
