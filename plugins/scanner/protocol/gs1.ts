/** GS1 element strings and Digital Link URIs: application identifiers and their values. */
import gs1Parser from 'gs1-barcode-parser-mod'
import { classify, hasCheckDigit, type TradeItem } from './gtin.ts'

/** FNC1 as scanners send it (GS1 General Specifications). */
const GS = '\u001d'

export interface Gs1 {
  /** Application identifier -> value as it stands in the symbol. */
  elements: Record<string, string>
  item?: TradeItem
}

/** The element string of a symbol that is known to hold one; undefined when it cannot be read to the end. */
export function parseElements(text: string): Gs1 | undefined {
  const elements: Record<string, string> = {}
  try {
    const { parsedCodeItems } = gs1Parser.parseBarcode(text.startsWith(GS) ? text.slice(1) : text)
    for (const { ai, raw } of parsedCodeItems) elements[ai] = raw
  } catch {
    // The parser throws a bare string for whatever it cannot read. The item number in front is still good to sell by.
    const gtin = /^(?:\u001d)?01(\d{14})/.exec(text)?.[1]
    if (gtin === undefined || !hasCheckDigit(gtin)) return undefined
    return { elements: { '01': gtin }, item: classify(gtin) }
  }
  return Object.keys(elements).length > 0 ? withItem(elements) : undefined
}

/**
 * Whether a text that names no symbology is an element string: it has an FNC1 in it, or brackets as printed below a symbol, or
 * begins with a GTIN's identifier and a valid GTIN (GS1 General Specifications: fixed-length elements, and so 01, come first).
 */
export function looksLikeElements(text: string): boolean {
  if (text.includes(GS)) return true
  if (text.startsWith('(')) return /^\(\d{2,4}\)/.test(text)
  if (!text.startsWith('01') || text.length < 16) return false
  const gtin = /^01(\d{14})/.exec(text)?.[1]
  return gtin !== undefined && hasCheckDigit(gtin)
}

/** Primary keys that may open a Digital Link path (GS1 Digital Link URI Syntax). */
const KEYS = new Set(['00', '01', '253', '255', '401', '402', '414', '417', '8003', '8004', '8006', '8010', '8013', '8017', '8018'])
const URI = /^https?:\/\/[^/?#\s]+(\/[^?#\s]*)(?:\?([^#\s]*))?(?:#.*)?$/i

/** An uncompressed Digital Link URI; undefined for any other web address. */
export function parseDigitalLink(text: string): Gs1 | undefined {
  // Nearly every code is a number: one character tells that it is no address.
  const match = text.startsWith('h') || text.startsWith('H') ? URI.exec(text) : undefined
  if (!match) return undefined
  const [, path = '', query = ''] = match
  const steps = path.split('/').filter((step) => step !== '')
  // A domain may put a path of its own in front (the key is found by its identifier, pairs follow to the end).
  for (let at = steps.length % 2; at < steps.length; at += 2) {
    const pairs = KEYS.has(steps[at] ?? '') ? readPairs(steps.slice(at)) : undefined
    if (!pairs) continue
    return withItem({ ...pairs, ...readQuery(query) })
  }
  return undefined
}

function readPairs(steps: readonly string[]): Record<string, string> | undefined {
  const elements: Record<string, string> = {}
  for (let at = 0; at < steps.length; at += 2) {
    const ai = steps[at] ?? ''
    const value = percentDecoded(steps[at + 1] ?? '')
    if (!/^\d{2,4}$/.test(ai) || value === undefined || value === '') return undefined
    // A GTIN may be given with the 8, 12 or 13 digits it has.
    elements[ai] = ai === '01' && /^(?:\d{8}|\d{12,14})$/.test(value) ? value.padStart(14, '0') : value
  }
  const gtin = elements['01']
  return gtin === undefined || (/^\d{14}$/.test(gtin) && hasCheckDigit(gtin)) ? elements : undefined
}

/** Data attributes; keys that are not all digits (`linkType`, a campaign's) are not GS1's. */
function readQuery(query: string): Record<string, string> {
  const elements: Record<string, string> = {}
  for (const part of query.split(/[&;]/)) {
    const [key = '', value = ''] = part.split('=', 2)
    const decoded = percentDecoded(value)
    if (/^\d{2,4}$/.test(key) && decoded) elements[key] = decoded
  }
  return elements
}

function percentDecoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}

/** North American coupon codes and global coupon numbers (GS1 General Specifications). */
const COUPONS = ['8110', '8112', '255']

function withItem(elements: Record<string, string>): Gs1 {
  if (COUPONS.some((ai) => ai in elements)) return { elements, item: { kind: 'coupon' } }
  const gtin = elements['01']
  return gtin !== undefined && hasCheckDigit(gtin) ? { elements, item: classify(gtin) } : { elements }
}
