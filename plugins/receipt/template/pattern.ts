/**
 * How a line of a receipt looks: words and `{field}`s. Not regular expressions: a pattern from a config can never make the gateway
 * hang. Matching takes at most elements x length x length steps on a line of 160 characters.
 */
import { amountAt, type Found, type Money, quantityAt } from './amount.ts'

/** `*` is text that is not kept. */
export const FIELDS = ['name', 'sku', 'qty', 'price', 'amount', 'order', '*'] as const
export type Field = (typeof FIELDS)[number]

type Element = { kind: 'literal'; text: string } | { kind: 'space' } | { kind: 'field'; field: Field }

export interface Pattern {
  source: string
  elements: readonly Element[]
}

export interface Match {
  name?: string
  sku?: string
  order?: string
  qty?: number
  price?: number
  amount?: number
}

export const PATTERN_MOST = 120
const ELEMENTS_MOST = 24
export const LINE_MOST = 160

const isText = (element: Element | undefined): boolean => element?.kind === 'field' && (element.field === 'name' || element.field === '*')

/** A string says what is wrong with the pattern. */
export function compilePattern(source: string): Pattern | string {
  if (source.trim() === '') return 'is empty; write words and {fields}'
  if (source.length > PATTERN_MOST) return `is ${source.length} characters; at most ${PATTERN_MOST} are allowed`
  const elements: Element[] = []
  const seen = new Set<Field>()
  for (const part of fold(source.trim()).match(/\{[^{}]*\}|\s+|[^{}\s]+|[{}]/g) ?? []) {
    if (/^\s/.test(part)) {
      elements.push({ kind: 'space' })
      continue
    }
    if (part === '{' || part === '}') return 'braces do not match; write {field}'
    if (!part.startsWith('{')) {
      elements.push({ kind: 'literal', text: lower(part) })
      continue
    }
    const field = FIELDS.find((one) => `{${one}}` === part)
    if (field === undefined) return `${part} is not a field; known are ${FIELDS.map((one) => `{${one}}`).join(' ')}`
    if (field !== '*' && seen.has(field)) return `{${field}} stands in it twice`
    if (elements.at(-1)?.kind === 'field') return `${part} needs a space or a word before it, to be told from the field there`
    seen.add(field)
    elements.push({ kind: 'field', field })
  }
  if (elements.length > ELEMENTS_MOST) return `has ${elements.length} parts; at most ${ELEMENTS_MOST} are allowed`
  return { source, elements }
}

/** The same pattern, with any text before and after it. */
export function anywhere(pattern: Pattern): Pattern {
  const { elements } = pattern
  const any: Element = { kind: 'field', field: '*' }
  return {
    source: pattern.source,
    elements: [...(isText(elements[0]) ? [] : [any]), ...elements, ...(isText(elements.at(-1)) ? [] : [any])],
  }
}

/** The whole line, or undefined. Text fields take as much as they can, numbers all of the number. */
export function matchLine(pattern: Pattern, line: string, money: Money): Match | undefined {
  const text = fold(line).trim().slice(0, LINE_MOST)
  const small = lower(text)
  for (const element of pattern.elements) if (element.kind === 'literal' && !small.includes(element.text)) return undefined
  const matcher = new Matcher(pattern.elements, text, small, money)
  return matcher.from(0, 0) ? matcher.match : undefined
}

class Matcher {
  readonly match: Match = {}
  readonly #elements: readonly Element[]
  readonly #text: string
  readonly #small: string
  readonly #money: Money
  /** Element and place that are known to fail. */
  readonly #dead = new Set<number>()

  constructor(elements: readonly Element[], text: string, small: string, money: Money) {
    this.#elements = elements
    this.#text = text
    this.#small = small
    this.#money = money
  }

  from(index: number, at: number): boolean {
    const key = index * (LINE_MOST + 1) + at
    if (this.#dead.has(key)) return false
    const good = this.#try(index, at)
    if (!good) this.#dead.add(key)
    return good
  }

  #try(index: number, at: number): boolean {
    const element = this.#elements[index]
    if (!element) return at === this.#text.length
    switch (element.kind) {
      case 'space': {
        const end = this.#pastSpaces(at)
        return (end > at || this.#text[at - 1] === ' ') && this.from(index + 1, end)
      }
      case 'literal': {
        const start = index > 0 && this.#elements[index - 1]?.kind === 'field' ? this.#pastSpaces(at) : at
        return this.#small.startsWith(element.text, start) && this.from(index + 1, start + element.text.length)
      }
      case 'field':
        return this.#field(element.field, index, at)
    }
  }

  #field(field: Field, index: number, at: number): boolean {
    if (field === '*') {
      for (let end = this.#text.length; end >= at; end -= 1) if (this.from(index + 1, end)) return true
      return false
    }
    const start = this.#pastSpaces(at)
    switch (field) {
      case 'name':
        return this.#name(index, start)
      case 'sku':
      case 'order': {
        const token = wordAt(this.#text, start)
        return token !== undefined && this.from(index + 1, start + token.length) && this.#keep({ [field]: token })
      }
      case 'qty':
        return this.#number(quantityAt(this.#text, start), index, 'qty')
      default:
        return this.#number(amountAt(this.#text, start, this.#money), index, field)
    }
  }

  #name(index: number, start: number): boolean {
    for (let end = this.#text.length; end > start; end -= 1) {
      const name = this.#text.slice(start, end).trim()
      // A line of dashes or an amount alone is not a name.
      if (!/\p{L}/u.test(name)) return false
      if (this.from(index + 1, end)) return this.#keep({ name })
    }
    return false
  }

  #number(found: Found | undefined, index: number, field: 'qty' | 'price' | 'amount'): boolean {
    return found !== undefined && this.from(index + 1, found.end) && this.#keep({ [field]: found.value })
  }

  #keep(part: Match): true {
    Object.assign(this.match, part)
    return true
  }

  #pastSpaces(at: number): number {
    let end = at
    while (this.#text[end] === ' ') end += 1
    return end
  }
}

const WORD = /[A-Za-z0-9][A-Za-z0-9._/#-]{0,63}/y

function wordAt(text: string, at: number): string | undefined {
  WORD.lastIndex = at
  return WORD.exec(text)?.[0]
}

/** Full-width forms as the usual ones, other white space as spaces; character by character, so that places stay. */
export function fold(text: string): string {
  return text
    .replace(/[\uff01-\uff5e]/g, (one) => String.fromCharCode(one.charCodeAt(0) - 0xfee0))
    .replace(/\uffe5/g, '\u00a5')
    .replace(/[\s\u3000]/g, ' ')
}

const lower = (text: string): string =>
  text.replace(/[A-Z\u00c0-\u024f\u0370-\u052f]/g, (one) => {
    const small = one.toLowerCase()
    return small.length === 1 ? small : one
  })
