/** AIM symbology identifiers: `]`, a code character, a modifier (ISO/IEC 15424; GS1 General Specifications). */

export interface Aim {
  /** `]E0`, as it came. */
  id: string
  /** What follows it. */
  rest: string
}

/** Names by code character, and by the whole identifier where the modifier changes what the symbol is. */
const NAMES: Readonly<Record<string, string>> = {
  A: 'code-39',
  B: 'telepen',
  C: 'code-128',
  ']C1': 'gs1-128',
  E: 'ean-13',
  ']E1': 'ean-add-on-2',
  ']E2': 'ean-add-on-5',
  ']E3': 'ean-13-add-on',
  ']E4': 'ean-8',
  F: 'codabar',
  G: 'code-93',
  H: 'code-11',
  I: 'itf',
  J: 'dotcode',
  ']J1': 'gs1-dotcode',
  K: 'code-16k',
  L: 'pdf417',
  M: 'msi',
  N: 'anker',
  O: 'codablock',
  P: 'plessey',
  Q: 'qr',
  ']Q3': 'gs1-qr',
  ']Q4': 'gs1-qr',
  R: 'industrial-2of5',
  S: 'industrial-2of5',
  T: 'code-49',
  U: 'maxicode',
  X: 'other',
  Z: 'no-barcode',
  d: 'data-matrix',
  ']d2': 'gs1-data-matrix',
  ']d5': 'gs1-data-matrix',
  e: 'gs1-databar',
  h: 'han-xin',
  o: 'ocr',
  z: 'aztec',
}

/** Symbols that carry GS1 element strings: FNC1 in first place, or DataBar and Composite, which carry nothing else. */
const GS1 = /^\](?:C1|d2|d5|Q3|Q4|J1|e.)$/

/** Splits a leading identifier off; undefined when there is none. */
export function splitAim(text: string): Aim | undefined {
  if (text.charCodeAt(0) !== 0x5d || text.length < 3) return undefined
  const letter = text.charAt(1)
  if (NAMES[letter] === undefined || !/[0-9A-Za-z]/.test(text.charAt(2))) return undefined
  return { id: text.slice(0, 3), rest: text.slice(3) }
}

/** Stable lower-case name of the symbology: `ean-13`, `gs1-128`, `qr`. `digits` tells the short forms of `]E0` apart. */
export function symbologyName(id: string, content: string): string {
  if (id === ']E0' && content.length === 12) return 'upc-a'
  if (id === ']E0' && content.length < 12) return 'upc-e'
  return NAMES[id] ?? NAMES[id.charAt(1)] ?? id
}

export function carriesGs1(id: string | undefined): boolean {
  return id !== undefined && GS1.test(id)
}

/** No wallet shows its pay code as one of these: they hold trade item numbers and element strings by definition. */
export function neverPays(id: string | undefined): boolean {
  return id !== undefined && (id.charAt(1) === 'E' || GS1.test(id))
}
