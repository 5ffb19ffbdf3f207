/** Lines of a receipt to items, total, order number and way of payment, by a till's template. Pure. */
import { type Money, minorDigits } from './amount.ts'
import { maskText, paysShape } from './mask.ts'
import { anywhere, compilePattern, type Match, matchLine, type Pattern } from './pattern.ts'

/** `template` of the config: how the lines of this till look. */
export interface TemplateConfig {
  /** One item: a pattern, or a list of patterns for lines that follow each other. */
  item?: (string | string[])[]
  total?: string[]
  order?: string[]
  /** Taken off the items before they make the total. */
  discount?: string[]
  /** Added to the items before they make the total. */
  tax?: string[]
  /** Way of payment -> what the receipt says then, anywhere in a line. */
  payment?: Record<string, string[]>
  /** Items stand below a line with this, and above one with that. */
  from?: string[]
  to?: string[]
  /** Never an item. */
  skip?: string[]
}

export interface Template {
  item: Pattern[][]
  total: Pattern[]
  order: Pattern[]
  discount: Pattern[]
  tax: Pattern[]
  payment: [string, Pattern[]][]
  from: Pattern[]
  to: Pattern[]
  skip: Pattern[]
}

export interface Item {
  name: string
  sku?: string
  /** A count, or a weight with three decimals at most. */
  qty: number
  /** Of one, in minor units. */
  price: number
  /** Of all, in minor units; as printed. */
  amount: number
}

export interface Extracted {
  items: Item[]
  /** Items beyond those given. */
  more: number
  /** Minor units. */
  total?: number
  order?: string
  /** Way of payment as the template names it. */
  method?: string
  /** Items, less discounts, with tax, make the total, and each line's quantity its amount. Absent where there is nothing to compare. */
  checked?: boolean
}

export interface PatternProblem {
  path: string
  message: string
}

const ITEMS_MOST = 150
const NAME_MOST = 60

const KINDS = ['total', 'order', 'discount', 'tax', 'from', 'to', 'skip'] as const
const NEEDS: Partial<Record<(typeof KINDS)[number], string>> = { total: 'amount', order: 'order', discount: 'amount', tax: 'amount' }

/** Problems with their path below `template`. */
export function compileTemplate(config: TemplateConfig): { template: Template; problems: PatternProblem[] } {
  const problems: PatternProblem[] = []
  const compile = (source: string, path: string, needs?: string): Pattern[] => {
    const pattern = compilePattern(source)
    const wrong = typeof pattern === 'string' ? pattern : lacks(pattern, needs)
    if (wrong !== undefined) problems.push({ path, message: `"${source}" ${wrong}` })
    return typeof pattern === 'string' ? [] : [pattern]
  }
  const list = (kind: (typeof KINDS)[number]) =>
    (config[kind] ?? []).flatMap((source, index) => compile(source, `${kind}.${index}`, NEEDS[kind]))
  const item = (config.item ?? []).map((one, index) => {
    const patterns = [one].flat().flatMap((source) => compile(source, `item.${index}`))
    const fields = patterns.flatMap(fieldsOf)
    if (!fields.includes('name') || !(fields.includes('amount') || fields.includes('price')))
      problems.push({ path: `item.${index}`, message: 'needs {name}, and {amount} or {price}' })
    return patterns
  })
  const template: Template = {
    item,
    total: list('total'),
    order: list('order'),
    discount: list('discount'),
    tax: list('tax'),
    payment: Object.entries(config.payment ?? {}).map(([name, sources]) => [
      name,
      sources.flatMap((source, index) => compile(source, `payment.${name}.${index}`)).map(anywhere),
    ]),
    from: list('from').map(anywhere),
    to: list('to').map(anywhere),
    skip: list('skip').map(anywhere),
  }
  return { template, problems }
}

function lacks(pattern: Pattern, field: string | undefined): string | undefined {
  return field === undefined || fieldsOf(pattern).includes(field) ? undefined : `needs {${field}}`
}

const fieldsOf = ({ elements }: Pattern): string[] => elements.flatMap((one) => (one.kind === 'field' ? [one.field] : []))

/** The amount of the last line that fits the first pattern that fits any: patterns stand in the order of how sure they are. */
export function findTotal(template: Template, lines: readonly string[], money: Money): number | undefined {
  for (const pattern of template.total) {
    for (let at = lines.length - 1; at >= 0; at -= 1) {
      const amount = matchLine(pattern, lines[at] ?? '', money)?.amount
      if (amount !== undefined) return amount
    }
  }
  return undefined
}

export function extract(template: Template, lines: readonly string[], money: Money): Extracted {
  const items = findItems(template, lines, money)
  const total = findTotal(template, lines, money)
  const order = first(template.order, lines, money)?.order
  const method = template.payment.find(([, patterns]) => first(patterns, lines, money) !== undefined)?.[0]
  const shown: Extracted = { items: items.slice(0, ITEMS_MOST), more: Math.max(0, items.length - ITEMS_MOST) }
  if (total !== undefined) shown.total = total
  // An order number that could be somebody's pay code is not passed on.
  if (order !== undefined && !paysShape(order)) shown.order = order
  if (method !== undefined) shown.method = method
  if (total !== undefined && items.length > 0) {
    const sum =
      items.reduce((all, one) => all + one.amount, 0) - sumOf(template.discount, lines, money, Math.abs) + sumOf(template.tax, lines, money)
    shown.checked = sum === total && items.every((one) => consistent(one))
  }
  return shown
}

/** Weighed goods round to the nearest minor unit, some scales down. */
function consistent({ qty, price, amount }: Item): boolean {
  return Math.abs(qty * price - amount) <= 1
}

function findItems(template: Template, lines: readonly string[], money: Money): Item[] {
  const items: Item[] = []
  const head = lines.findIndex((line) => fits(template.from, line, money))
  for (let at = head + 1; at < lines.length; ) {
    const line = lines[at] ?? ''
    if (isEnd(template, line, money)) break
    const found = line.trim() === '' || fits(template.skip, line, money) ? undefined : itemAt(template, lines, at, money)
    if (found) items.push(found.item)
    at += found?.lines ?? 1
  }
  return items
}

function isEnd(template: Template, line: string, money: Money): boolean {
  return (
    fits(template.to, line, money) ||
    fits(template.total, line, money) ||
    fits(template.discount, line, money) ||
    fits(template.tax, line, money)
  )
}

function itemAt(template: Template, lines: readonly string[], at: number, money: Money): { item: Item; lines: number } | undefined {
  for (const patterns of template.item) {
    let match: Match | undefined = {}
    for (const [offset, pattern] of patterns.entries()) {
      const next = matchLine(pattern, lines[at + offset] ?? '', money)
      match = next && match && { ...match, ...next }
      if (!match) break
    }
    const item = match && itemOf(match)
    if (item) return { item, lines: patterns.length }
  }
  return undefined
}

function itemOf({ name, sku, qty: counted, price: each, amount: all }: Match): Item | undefined {
  if (name === undefined) return undefined
  const qty = counted ?? 1
  if (qty === 0) return undefined
  const amount = all ?? (each === undefined ? undefined : Math.round(each * qty))
  if (amount === undefined) return undefined
  const price = each ?? Math.round(amount / qty)
  return { name: maskText(name).slice(0, NAME_MOST), ...(sku === undefined || paysShape(sku) ? {} : { sku }), qty, price, amount }
}

const fits = (patterns: readonly Pattern[], line: string, money: Money): boolean =>
  patterns.some((one) => matchLine(one, line, money) !== undefined)

function first(patterns: readonly Pattern[], lines: readonly string[], money: Money): Match | undefined {
  for (const pattern of patterns) {
    for (const line of lines) {
      const match = matchLine(pattern, line, money)
      if (match) return match
    }
  }
  return undefined
}

function sumOf(patterns: readonly Pattern[], lines: readonly string[], money: Money, each = (amount: number) => amount): number {
  let sum = 0
  for (const line of lines) {
    const match = patterns.map((one) => matchLine(one, line, money)).find((one) => one !== undefined)
    sum += each(match?.amount ?? 0)
  }
  return sum
}

/** `12.50` of 1250, for people. */
export function showAmount(amount: number, currency: string): string {
  const digits = minorDigits(currency)
  const text = String(Math.abs(amount)).padStart(digits + 1, '0')
  const whole = text.slice(0, text.length - digits)
  return `${amount < 0 ? '-' : ''}${whole}${digits > 0 ? `.${text.slice(-digits)}` : ''}`
}
