/** Printed amounts to whole minor units, without a floating point in between. */

/** ISO 4217: minor units that are not hundredths. */
const DIGITS: Readonly<Record<string, number>> = {
  ...Object.fromEntries(
    ['BIF', 'CLP', 'DJF', 'GNF', 'ISK', 'JPY', 'KMF', 'KRW', 'PYG', 'RWF', 'UGX', 'VND', 'VUV', 'XAF', 'XOF'].map((one) => [one, 0]),
  ),
  ...Object.fromEntries(['BHD', 'IQD', 'JOD', 'KWD', 'LYD', 'OMR', 'TND'].map((one) => [one, 3])),
}

export interface Money {
  /** ISO 4217. */
  currency: string
  /** What stands before the minor units on this till's receipts. */
  decimal: '.' | ','
}

export const minorDigits = (currency: string): number => DIGITS[currency] ?? 2

export interface Found {
  value: number
  /** Index after it. */
  end: number
}

const SIGN = /\s*(?:rmb|cny|usd|eur|gbp|jpy|hkd|hk\$|us\$|nt\$|[¥$€£₩])?\s*/iy
const UNIT = /\s?(?:元|円|원|rmb|cny|usd|eur|gbp|jpy|hkd|[¥€£])?/iy
const DOTTED = /(\d{1,3}(?:,\d{3})+|\d{1,12})(?:\.(\d{1,3}))?/y
const COMMAED = /(\d{1,3}(?:\.\d{3})+|\d{1,12})(?:,(\d{1,3}))?/y

function sticky(pattern: RegExp, text: string, at: number): RegExpExecArray | null {
  pattern.lastIndex = at
  return pattern.exec(text)
}

/** The amount that begins at `at`: `12`, `12.5`, `¥1,234.50`, `-3.00`, `3.00-`, `(3.00)`, `12.50元`. All of the number or nothing. */
export function amountAt(text: string, at: number, { currency, decimal }: Money): Found | undefined {
  if (/[\d.,]/.test(text[at - 1] ?? ' ')) return undefined
  let place = at
  const bracket = text[place] === '('
  if (bracket) place += 1
  let minus = /[-+]/.test(text[place] ?? '') && text[place] === '-'
  if (/[-+]/.test(text[place] ?? '')) place += 1
  place += sticky(SIGN, text, place)?.[0].length ?? 0
  if (!minus && text[place] === '-') {
    minus = true
    place += 1
  }
  const number = sticky(decimal === '.' ? DOTTED : COMMAED, text, place)
  if (!number) return undefined
  place += number[0].length
  if (/\d/.test(text[place] ?? '') || (/[.,]/.test(text[place] ?? '') && /\d/.test(text[place + 1] ?? ''))) return undefined
  const value = minor(number[1] ?? '', number[2] ?? '', minorDigits(currency))
  if (value === undefined) return undefined
  if (bracket) {
    if (text[place] !== ')') return undefined
    place += 1
  } else if (text[place] === '-' && !/\d/.test(text[place + 1] ?? '')) {
    minus = true
    place += 1
  }
  place += sticky(UNIT, text, place)?.[0].trimEnd().length ?? 0
  return { value: minus || bracket ? -value : value, end: place }
}

function minor(whole: string, fraction: string, digits: number): number | undefined {
  const places = fraction.replace(/0+$/, '')
  if (places.length > digits) return undefined
  const value = Number(`${whole.replace(/[.,]/g, '')}${places.padEnd(digits, '0')}`)
  return Number.isSafeInteger(value) ? value : undefined
}

const QUANTITY = /-?\d{1,6}(?:[.,]\d{1,3})?/y

/** A count or a weight: at most three decimals. */
export function quantityAt(text: string, at: number): Found | undefined {
  if (/[\d.,]/.test(text[at - 1] ?? ' ')) return undefined
  const found = sticky(QUANTITY, text, at)
  if (!found) return undefined
  const end = at + found[0].length
  if (/\d/.test(text[end] ?? '') || (/[.,]/.test(text[end] ?? '') && /\d/.test(text[end + 1] ?? ''))) return undefined
  return { value: Number(found[0].replace(',', '.')), end }
}
