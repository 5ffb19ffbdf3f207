/** What a till has set the printer to. Source: Epson ESC/POS Command Reference. */
import { type CharacterMode, type Encoding, isWideSet } from './encodings.ts'
import { ESC, FS, GS } from './shapes.ts'
import type { Token } from './tokenizer.ts'

type CommandToken = Extract<Token, { kind: 'command' }>

export interface Modes extends CharacterMode {
  bold: boolean
  underline: boolean
  invert: boolean
  /** `GS !`: width and height less one in the high and low four bits. */
  size: number
  /** `FS !`: bits 2 and 3 are double width and height of double-byte characters. */
  wideSize: number
  /** 0 left, 1 centre, 2 right. */
  align: number
  /** 1: the small font, 9 dots wide. */
  font: number
  /** Dots. */
  lineSpacing: number
  left: number
  area: number | undefined
  /** Columns, in characters. */
  tabs: readonly number[]
  /** `ESC L`: text is placed freely until `FF` or `ESC S`. */
  pageMode: boolean
  upsideDown: boolean
  /** Between `GS :` and `GS :`. */
  macro: boolean
  barcode: { height: number; width: number; text: number }
}

export const EVERY_8: readonly number[] = Array.from({ length: 32 }, (_one, index) => (index + 1) * 8)

export function freshModes(encoding: Encoding): Modes {
  return {
    encoding,
    wide: isWideSet(encoding),
    page: undefined,
    utf8: encoding === 'utf8',
    national: 0,
    bold: false,
    underline: false,
    invert: false,
    size: 0,
    wideSize: 0,
    align: 0,
    font: 0,
    lineSpacing: 30,
    left: 0,
    area: undefined,
    tabs: EVERY_8,
    pageMode: false,
    upsideDown: false,
    macro: false,
    barcode: { height: 162, width: 3, text: 0 },
  }
}

/** A command that sets a mode changes `modes`; false for any other. */
export function setMode(modes: Modes, token: CommandToken): boolean {
  switch (token.lead) {
    case ESC:
      return setEscape(modes, token)
    case FS:
      return setKanji(modes, token)
    case GS:
      return setGroup(modes, token)
    default:
      return false
  }
}

const digit = (value: number): number => (value >= 48 ? value - 48 : value)

function setEscape(modes: Modes, { letter, head, body }: CommandToken): boolean {
  const n = head[2] ?? 0
  switch (letter) {
    case '@':
      Object.assign(modes, freshModes(modes.encoding))
      return true
    case '!':
      modes.font = n & 1
      modes.bold = (n & 0x08) !== 0
      modes.size = ((n & 0x20) !== 0 ? 0x10 : 0) | ((n & 0x10) !== 0 ? 0x01 : 0)
      modes.underline = (n & 0x80) !== 0
      return true
    case 'E':
    case 'G':
      modes.bold = (n & 1) !== 0
      return true
    case '-':
      modes.underline = digit(n) !== 0
      return true
    case 'a':
      modes.align = Math.min(2, digit(n))
      return true
    case 't':
      modes.page = n
      return true
    case 'R':
      modes.national = n
      return true
    case 'M':
      modes.font = digit(n) === 1 ? 1 : 0
      return true
    case '2':
      modes.lineSpacing = 30
      return true
    case '3':
      modes.lineSpacing = n
      return true
    case '{':
      modes.upsideDown = (n & 1) !== 0
      return true
    case 'D':
      modes.tabs = body.length > 0 ? [...body] : EVERY_8
      return true
    case 'L':
      modes.pageMode = true
      return true
    case 'S':
      modes.pageMode = false
      return true
    default:
      return false
  }
}

function setKanji(modes: Modes, { letter, head, body }: CommandToken): boolean {
  const n = head[2] ?? 0
  switch (letter) {
    case '&':
      modes.wide = true
      return true
    case '.':
      modes.wide = false
      return true
    case '!':
      modes.wideSize = n
      return true
    case 'W':
      modes.wideSize = (n & 1) !== 0 ? 0x0c : 0
      return true
    case '-':
      modes.underline = digit(n) !== 0
      return true
    case '(':
      // `FS ( C pL pH fn m`: function 48 selects the character encoding, 2 is UTF-8.
      if (String.fromCharCode(n) === 'C' && body[0] === 48) modes.utf8 = digit(body[1] ?? 0) === 2
      return true
    default:
      return false
  }
}

function setGroup(modes: Modes, { letter, head }: CommandToken): boolean {
  const n = head[2] ?? 0
  switch (letter) {
    case '!':
      modes.size = n
      return true
    case 'B':
      modes.invert = (n & 1) !== 0
      return true
    case 'L':
      modes.left = n | ((head[3] ?? 0) << 8)
      return true
    case 'W':
      modes.area = n | ((head[3] ?? 0) << 8)
      return true
    case 'h':
      modes.barcode = { ...modes.barcode, height: n }
      return true
    case 'w':
      modes.barcode = { ...modes.barcode, width: n }
      return true
    case 'H':
      modes.barcode = { ...modes.barcode, text: digit(n) }
      return true
    case ':':
      modes.macro = !modes.macro
      return true
    default:
      return false
  }
}

/** Brings the printer from `dirty` back to what the till had set, by the commands for those that appended text may have changed. */
export function restoring(modes: Modes): Buffer {
  const bytes: number[] = [ESC, 0x61, modes.align, GS, 0x21, modes.size, ESC, 0x45, modes.bold ? 1 : 0, ESC, 0x2d, modes.underline ? 1 : 0]
  bytes.push(GS, 0x42, modes.invert ? 1 : 0, ESC, 0x4d, modes.font)
  if (isWideSet(modes.encoding)) bytes.push(FS, modes.wide ? 0x26 : 0x2e, FS, 0x21, modes.wideSize)
  return Buffer.from(bytes)
}

/** Plain text in the middle of the line. `wide`: with double-byte characters in it. */
export function plainCentred(modes: Modes, wide: boolean): Buffer {
  const bytes: number[] = [ESC, 0x61, 1, GS, 0x21, 0, ESC, 0x45, 0, ESC, 0x2d, 0, GS, 0x42, 0, ESC, 0x4d, 0]
  if (isWideSet(modes.encoding)) bytes.push(FS, 0x21, 0, FS, wide ? 0x26 : 0x2e)
  return Buffer.from(bytes)
}
