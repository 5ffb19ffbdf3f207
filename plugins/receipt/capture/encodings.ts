/** Which characters a printer has: its double-byte set, and the code pages of `ESC t n` (Epson ESC/POS Command Reference). */
import iconv from 'iconv-lite'

export const ENCODINGS = [
  'gb18030',
  'cp936',
  'big5',
  'cp950',
  'shiftjis',
  'cp932',
  'ksc5601',
  'cp949',
  'utf8',
  'cp437',
  'cp852',
  'cp858',
  'cp860',
  'cp863',
  'cp865',
  'cp866',
  'cp1252',
  'tis620',
] as const
export type Encoding = (typeof ENCODINGS)[number]

const WIDE: readonly Encoding[] = ['gb18030', 'cp936', 'big5', 'cp950', 'shiftjis', 'cp932', 'ksc5601', 'cp949']

/** Whether a printer with these characters begins in its double-byte mode, as `FS &` sets it. */
export const isWideSet = (encoding: Encoding): boolean => WIDE.includes(encoding)

/** `ESC t n`, as Epson numbers them. Page 1 is Katakana. */
const PAGES: Readonly<Record<number, string>> = {
  0: 'cp437',
  1: 'shiftjis',
  2: 'cp850',
  3: 'cp860',
  4: 'cp863',
  5: 'cp865',
  13: 'cp857',
  14: 'cp737',
  15: 'iso88597',
  16: 'cp1252',
  17: 'cp866',
  18: 'cp852',
  19: 'cp858',
  20: 'tis620',
  21: 'tis620',
  26: 'tis620',
  33: 'cp775',
  34: 'cp855',
  36: 'cp862',
  37: 'cp864',
  39: 'iso88592',
  40: 'iso885915',
  45: 'cp1250',
  46: 'cp1251',
  47: 'cp1253',
  48: 'cp1254',
  49: 'cp1255',
  50: 'cp1256',
  51: 'cp1257',
  52: 'cp1258',
}

/** `ESC R n` puts other characters in a few places of ASCII; those that stand beside amounts. */
const NATIONAL: Readonly<Record<number, Readonly<Record<string, string>>>> = {
  2: { '@': '§' },
  3: { '#': '£' },
  8: { '\\': '¥' },
  13: { '\\': '₩' },
  15: { $: '¥' },
}

export interface CharacterMode {
  encoding: Encoding
  /** In the double-byte mode. */
  wide: boolean
  /** `ESC t n`; undefined while the till has set none, then `encoding` is what the printer is set to. */
  page: number | undefined
  /** `FS ( C`: UTF-8. */
  utf8: boolean
  /** `ESC R n`. */
  national: number
}

export function decodeText(bytes: Buffer, mode: CharacterMode): string {
  const text = iconv.decode(bytes, codecOf(mode))
  const swaps = NATIONAL[mode.national]
  return swaps ? text.replace(/[@#$\\]/g, (one) => swaps[one] ?? one) : text
}

function codecOf({ encoding, wide, page, utf8 }: CharacterMode): string {
  if (utf8) return 'utf8'
  if (wide && isWideSet(encoding)) return encoding
  if (page !== undefined) return PAGES[page] ?? 'cp437'
  return isWideSet(encoding) ? 'cp437' : encoding
}

/** East Asian wide or full width: two cells on the paper. */
export function cellsOf(character: string): number {
  const code = character.codePointAt(0) ?? 0
  const wide =
    (code >= 0x1100 && code <= 0x115f) ||
    (code >= 0x2e80 && code <= 0xa4cf) ||
    (code >= 0xac00 && code <= 0xd7a3) ||
    (code >= 0xf900 && code <= 0xfaff) ||
    (code >= 0xfe30 && code <= 0xfe6f) ||
    (code >= 0xff00 && code <= 0xff60) ||
    (code >= 0xffe0 && code <= 0xffe6) ||
    (code >= 0x20000 && code <= 0x3fffd)
  return wide ? 2 : 1
}
