/**
 * What a scanned text is. The order matters: AIM identifier, the shop's own prefixes, pay shapes, GS1, GTIN, unknown.
 *
 * - Prefixes come before pay shapes because only the shop knows that its member numbers look like that.
 * - Pay shapes come before GS1 and GTIN because they fail safe: an 18-digit number beginning with 10-15 could be the bare digits
 *   of a logistic label (SSCC; or AI 10-15 without its AIM identifier), and masking a label costs a rescan, while journaling a
 *   pay code as an unknown number gives away a bearer secret. A label that says what it is (`]C1`, `]d2`, …) is never taken for
 *   a pay code, and an SSCC with its identifier begins with 00, an item's element string with 01: no pay code does.
 *   GTINs have 8, 12, 13 or 14 digits, pay codes 16 to 24.
 */
import { carriesGs1, neverPays, splitAim, symbologyName } from './aim.ts'
import { type Gs1, looksLikeElements, parseDigitalLink, parseElements } from './gs1.ts'
import { type TradeItem, tradeItem } from './gtin.ts'
import { maskPayCode, mayHoldPayCode, type PayChannel, payChannel, redact } from './pay.ts'
import { printable } from './text.ts'

export const OWN_KINDS = ['member', 'coupon', 'pickup', 'claim'] as const
export type OwnKind = (typeof OWN_KINDS)[number]
export type Kind = 'product' | 'pay' | OwnKind | 'unknown'

/** The shop's own prefixes; `ownPrefixes` makes it from the config. The longest that fits wins. */
export type OwnPrefixes = readonly { prefix: string; kind: OwnKind }[]

export function ownPrefixes(config: Partial<Record<OwnKind, readonly string[]>>): OwnPrefixes {
  return OWN_KINDS.flatMap((kind) => (config[kind] ?? []).map((prefix) => ({ prefix, kind }))).sort(
    (a, b) => b.prefix.length - a.prefix.length,
  )
}

/**
 * A number as long as an issuer's (ISO/IEC 7812-1: 6 digits) is taken to name the shop's own cards even where they look like pay
 * codes. A shorter one is not: a prefix `13` would journal every other WeChat pay code in the clear.
 */
const ISSUER_DIGITS = 6

/** Prefixes that can hit a pay code; the few pay codes that begin so would be journaled as they are. */
export function riskyPrefixes(prefixes: OwnPrefixes): string[] {
  return prefixes
    .filter(({ prefix }) => prefix.length >= ISSUER_DIGITS && /^(?:1[0-5]|2[5-9]|30|62)\d*$/.test(prefix))
    .map((one) => one.prefix)
}

/** One recognised code, ready to be journaled: no pay code is in it, masked ones excepted. */
export interface Routed {
  kind: Kind
  code: string
  symbology?: string
  gtin?: string
  gs1?: Record<string, string>
  variableMeasure?: true
  channel?: PayChannel
}

export interface RouteResult {
  routed: Routed
  /** Kind `pay` only: the code whole, for the payment plugin and nobody else. */
  payCode?: string
  /** Something in `routed.code` was hidden: the bytes must not be shown either. */
  redacted: boolean
}

export function route(text: string, prefixes: OwnPrefixes): RouteResult {
  const aim = splitAim(text)
  const content = aim ? aim.rest : text
  const symbology = aim ? { symbology: symbologyName(aim.id, content) } : {}
  const channel = neverPays(aim?.id) ? undefined : payChannel(content)

  const own = prefixes.find((one) => content.startsWith(one.prefix) && claims(one.prefix, channel))
  if (own) return plain({ kind: own.kind, code: printable(content), ...symbology })

  if (channel) return { routed: { kind: 'pay', code: maskPayCode(content), ...symbology, channel }, payCode: content, redacted: true }

  const gs1 = readGs1(content, aim?.id)
  if (gs1) return gs1Result(content, gs1, aim !== undefined, symbology)

  const item = tradeItem(content, aim?.id)
  if (item) return plain({ ...itemFields(item), code: content, ...symbology })

  const shown = neverPays(aim?.id) ? content : redact(content)
  return { routed: { kind: 'unknown', code: printable(shown), ...symbology }, redacted: shown !== content }
}

function claims(prefix: string, channel: PayChannel | undefined): boolean {
  return channel === undefined || prefix.length >= ISSUER_DIGITS || !/^\d+$/.test(prefix)
}

function readGs1(content: string, aim: string | undefined): Gs1 | undefined {
  const link = parseDigitalLink(content)
  if (link) return link
  if (carriesGs1(aim)) return parseElements(content)
  // Without an identifier the text must prove itself: a GTIN in front, or nothing that could be anything else.
  return looksLikeElements(content) ? parseElements(content) : undefined
}

/** What names no symbology may be two codes glued together: a pay code behind an item number is hidden, the item is kept. */
function gs1Result(content: string, gs1: Gs1, certain: boolean, symbology: { symbology?: string }): RouteResult {
  const item = /^\u001d?01\d{14}/.exec(content)?.[0] ?? ''
  const rest = content.slice(item.length)
  const redacted = !certain && mayHoldPayCode(rest)
  const fields = gs1.item ? itemFields(gs1.item) : { kind: 'unknown' as const }
  const code = printable(redacted ? item + redact(rest) : content)
  return { routed: { ...fields, code, ...symbology, gs1: redacted ? onlyGtin(gs1.elements) : gs1.elements }, redacted }
}

function onlyGtin(elements: Record<string, string>): Record<string, string> {
  return elements['01'] === undefined ? {} : { '01': elements['01'] }
}

function itemFields(item: TradeItem): { kind: 'product' | 'coupon'; gtin?: string; variableMeasure?: true } {
  return {
    kind: item.kind,
    ...(item.gtin === undefined ? {} : { gtin: item.gtin }),
    ...(item.variableMeasure ? { variableMeasure: true as const } : {}),
  }
}

function plain(routed: Routed): RouteResult {
  return { routed, redacted: false }
}
