/** Trade item numbers (GS1 General Specifications). */

export interface TradeItem {
  /** 14 digits, zeros in front. A coupon may have a number of another kind. */
  gtin?: string
  kind: 'product' | 'coupon'
  /** Weight or price is inside the number, by the shop's or the country's own rule: the item is the leading digits only. */
  variableMeasure?: true
}

const DIGITS = /^\d+$/

/** The check digit of the first `count` digits: weights 3, 1, 3, … from the right (GS1 General Specifications). */
export function checkDigit(digits: string, count = digits.length): number {
  let sum = 0
  for (let at = count - 1, weight = 3; at >= 0; at--, weight = 4 - weight) sum += (digits.charCodeAt(at) - 48) * weight
  return (10 - (sum % 10)) % 10
}

export function hasCheckDigit(digits: string): boolean {
  const last = digits.length - 1
  return last > 0 && checkDigit(digits, last) === digits.charCodeAt(last) - 48
}

/** UPC-E (number system, 6 digits, check digit) as the UPC-A it is short for; undefined when it is none (GS1 General Specifications). */
export function expandUpcE(code: string): string | undefined {
  if (!/^[01]\d{7}$/.test(code)) return undefined
  const [system, a, b, c, d, e, last, check] = [...code] as [string, string, string, string, string, string, string, string]
  const body =
    last <= '2'
      ? `${a}${b}${last}0000${c}${d}${e}`
      : last === '3'
        ? `${a}${b}${c}00000${d}${e}`
        : last === '4'
          ? `${a}${b}${c}${d}00000${e}`
          : `${a}${b}${c}${d}${e}0000${last}`
  const full = `${system}${body}${check}`
  return hasCheckDigit(full) ? full : undefined
}

/** A bare number as a trade item, if its length fits and its check digit is right. `aim` settles what 8 digits are. */
export function tradeItem(text: string, aim?: string): TradeItem | undefined {
  const main = aim === ']E3' ? text.slice(0, 13) : text
  if (main.length < 8 || main.length > 14 || !DIGITS.test(main)) return undefined
  switch (main.length) {
    case 8:
      return eight(main, aim)
    case 12:
    case 13:
    case 14:
      return hasCheckDigit(main) ? classify(main.padStart(14, '0')) : undefined
    default:
      return undefined
  }
}

/**
 * 8 digits are an EAN-8 or a UPC-E. Only EAN-8 has an identifier of its own (`]E4`). Without one a leading 0 means UPC-E: the
 * GS1-8 prefixes that begin with 0 are for shops' internal numbers.
 */
function eight(code: string, aim: string | undefined): TradeItem | undefined {
  const upcE = aim === ']E4' ? undefined : expandUpcE(code)
  if (upcE !== undefined && (aim === ']E0' || code.startsWith('0'))) return classify(upcE.padStart(14, '0'))
  return hasCheckDigit(code) && aim !== ']E0' ? { gtin: code.padStart(14, '0'), kind: 'product' } : undefined
}

/** What the GS1 prefix says about 14 digits with a valid check digit (GS1 General Specifications). */
export function classify(gtin: string): TradeItem {
  // Indicator 9: a variable measure trade item, its quantity in another element.
  if (gtin.startsWith('9')) return { gtin, kind: 'product', variableMeasure: true }
  if (!gtin.startsWith('0') || gtin.startsWith('000000')) return { gtin, kind: 'product' }
  const prefix = Number(gtin.slice(1, 4))
  // 02 and 20-29 are restricted circulation numbers for variable measure; 05 and 981-984, 99 coupons, 980 refund receipts.
  if ((prefix >= 20 && prefix <= 29) || (prefix >= 200 && prefix <= 299)) return { gtin, kind: 'product', variableMeasure: true }
  if ((prefix >= 50 && prefix <= 59) || (prefix >= 980 && prefix <= 984) || prefix >= 990) return { gtin, kind: 'coupon' }
  return { gtin, kind: 'product' }
}
