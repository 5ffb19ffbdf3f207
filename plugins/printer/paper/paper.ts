/** What operations leave on the paper: rows of glyphs and pictures, cut into pieces. Pure; the simulator and the preview share it. */
import iconv from 'iconv-lite'
import { qrcode } from 'receiptline'
import type { Encoding } from '../config.ts'
import type { Op } from '../protocol/escpos-parse.ts'
import { barcodePicture } from './barcode-picture.ts'

export interface Glyph {
  /** The character; `rule` holds box-drawing ones instead. */
  text: string
  /** Dots from the left edge of the printable area. */
  x: number
  width: number
  scaleX: number
  scaleY: number
  bold: boolean
  underline: boolean
  invert: boolean
  /** Joins up with its neighbours, so it is drawn and not written. */
  rule: boolean
}

export interface Picture {
  kind: 'raster' | 'qr' | 'barcode'
  /** What a code says. */
  content?: string
  x: number
  /** Dots of `data`, one bit each, rows padded to bytes. */
  width: number
  height: number
  scaleX: number
  scaleY: number
  data: Buffer
}

export type Row = { height: number; glyphs: Glyph[] } | { height: number; picture: Picture }

/** Between two cuts. */
export interface Piece {
  rows: Row[]
  cut: boolean
}

interface Mode {
  bold: boolean
  underline: boolean
  invert: boolean
  size: number
  kanji: boolean
  kanjiMode: number
  align: number
  codepage: number
  spacing: number
  left: number
  area: number | undefined
  font: number
  barcode: { width: number; height: number; hri: number }
}

const PLAIN: Mode = {
  bold: false,
  underline: false,
  invert: false,
  size: 0,
  kanji: false,
  kanjiMode: 0,
  align: 0,
  codepage: 0,
  spacing: 30,
  left: 0,
  area: undefined,
  font: 0,
  barcode: { width: 3, height: 162, hri: 0 },
}

const CELL = 12
const LINE = 24
/** `ESC t n`. Page 1 is Katakana, whose 0x8f-0x9f are rules. */
const PAGES: Record<number, string> = {
  0: 'cp437',
  2: 'cp850',
  3: 'cp860',
  4: 'cp863',
  5: 'cp865',
  16: 'cp1252',
  17: 'cp866',
  18: 'cp852',
  19: 'cp858',
  21: 'tis620',
}
const KATAKANA = 1
const RULES = '┼┴┬┤├▔─│▕┌┐└┘╭╮╰╯'
const HAN: readonly string[] = ['gb18030', 'cp936', 'big5', 'cp950', 'shiftjis', 'cp932', 'ksc5601', 'cp949']

export class Paper {
  readonly encoding: Encoding
  /** Dots. */
  readonly width: number
  readonly pieces: Piece[] = []
  #rows: Row[] = []
  #glyphs: Glyph[] = []
  #x = 0
  #text: number[] = []
  #mode: Mode = { ...PLAIN }

  constructor(encoding: Encoding, characters: number) {
    this.encoding = encoding
    this.width = characters * CELL
    this.#mode.kanji = HAN.includes(encoding)
  }

  /** Cut pieces, and what hangs out of the printer still. */
  all(): Piece[] {
    return this.#rows.length > 0 ? [...this.pieces, { rows: this.#rows, cut: false }] : this.pieces
  }

  /** Returns the rows that this printed, so that a simulator can let them take time and paper. */
  apply(op: Op): Row[] {
    if (op.op === 'text') {
      for (const byte of op.bytes) this.#text.push(byte)
      return []
    }
    const rows = this.#flushText()
    switch (op.op) {
      case 'lf':
        rows.push(...this.#newLine(true))
        break
      case 'init':
        this.#glyphs = []
        this.#x = 0
        this.#mode = { ...PLAIN, kanji: HAN.includes(this.encoding) }
        break
      case 'feed':
        rows.push(...this.#newLine(false), ...this.#blank(op.dots ?? (op.lines ?? 0) * Math.max(this.#mode.spacing, LINE)))
        break
      case 'cut':
        rows.push(...this.#newLine(false))
        if (this.#rows.length > 0) this.pieces.push({ rows: this.#rows, cut: true })
        this.#rows = []
        break
      case 'tab':
        this.#x = (Math.floor(this.#x / (8 * CELL)) + 1) * 8 * CELL
        break
      case 'set':
        this.#set(op.what, op.value)
        break
      case 'raster':
        rows.push(...this.#picture({ kind: 'raster', ...op }))
        break
      case 'qr':
        rows.push(...this.#qr(op))
        break
      case 'barcode': {
        const { width, height, hri } = this.#mode.barcode
        const bars = barcodePicture(op.type, op.data, width, height)
        if (bars) rows.push(...this.#picture(bars), ...(hri > 0 ? this.#caption(bars.content ?? '') : []))
        break
      }
      default:
        break
    }
    return rows
  }

  #set(what: Extract<Op, { op: 'set' }>['what'], value: number): void {
    const mode = this.#mode
    switch (what) {
      case 'bold':
        mode.bold = value !== 0
        break
      case 'underline':
      case 'kanji-underline':
        mode.underline = value !== 0
        break
      case 'invert':
        mode.invert = value !== 0
        break
      case 'size':
        mode.size = value
        break
      case 'kanji-mode':
        mode.kanjiMode = value
        break
      case 'align':
        mode.align = value
        break
      case 'codepage':
        mode.codepage = value
        break
      case 'kanji':
        mode.kanji = value !== 0
        break
      case 'line-spacing':
        mode.spacing = value
        break
      case 'left':
        mode.left = value
        break
      case 'area':
        mode.area = value
        break
      case 'font':
        mode.font = value
        break
      case 'x':
        this.#x = value
        break
      case 'x-relative':
        this.#x = Math.max(0, this.#x + value)
        break
      case 'barcode-width':
        mode.barcode = { ...mode.barcode, width: value }
        break
      case 'barcode-height':
        mode.barcode = { ...mode.barcode, height: value }
        break
      case 'barcode-hri':
        mode.barcode = { ...mode.barcode, hri: value }
        break
      default:
        break
    }
  }

  get #area(): number {
    return Math.min(this.#mode.area ?? this.width, this.width - this.#mode.left)
  }

  #flushText(): Row[] {
    if (this.#text.length === 0) return []
    const bytes = Buffer.from(this.#text)
    this.#text = []
    const rows: Row[] = []
    const { codepage, kanji } = this.#mode
    if (!kanji && codepage === KATAKANA) {
      for (const byte of bytes) {
        const rule = byte >= 0x8f && byte <= 0x9f ? RULES[byte - 0x8f] : undefined
        rows.push(
          ...this.#put(
            rule ?? (byte < 0x80 ? String.fromCharCode(byte) : iconv.decode(Buffer.from([byte]), 'shiftjis')),
            1,
            rule !== undefined,
          ),
        )
      }
      return rows
    }
    const text = iconv.decode(bytes, kanji ? this.encoding : (PAGES[codepage] ?? 'cp437'))
    for (const character of text)
      rows.push(...this.#put(character, kanji && character >= '\u0080' && character !== '\u00a0' ? 2 : 1, false))
    return rows
  }

  #put(text: string, cells: number, rule: boolean): Row[] {
    const { size, kanjiMode, bold, underline, invert, font } = this.#mode
    const double = cells === 2
    const scaleX = Math.max(((size >> 4) & 7) + 1, double && (kanjiMode & 0x04) !== 0 ? 2 : 1)
    const scaleY = Math.max((size & 7) + 1, double && (kanjiMode & 0x08) !== 0 ? 2 : 1)
    const width = (font === 1 && !double ? 9 : CELL) * cells * scaleX
    const rows = this.#x + width > this.#area && this.#x > 0 ? this.#newLine(true) : []
    this.#glyphs.push({ text, x: this.#x, width, scaleX, scaleY, bold, underline, invert, rule })
    this.#x += width
    return rows
  }

  #newLine(always: boolean): Row[] {
    const glyphs = this.#glyphs
    this.#glyphs = []
    this.#x = 0
    if (glyphs.length === 0 && !always) return []
    const used = glyphs.reduce((most, glyph) => Math.max(most, glyph.x + glyph.width), 0)
    const shift = this.#mode.left + Math.max(0, Math.floor(((this.#area - used) * this.#mode.align) / 2))
    const tall = glyphs.reduce((most, glyph) => Math.max(most, glyph.scaleY * LINE), glyphs.length > 0 ? LINE : 0)
    const row: Row = { height: Math.max(tall, this.#mode.spacing), glyphs: glyphs.map((glyph) => ({ ...glyph, x: glyph.x + shift })) }
    this.#rows.push(row)
    return [row]
  }

  #blank(height: number): Row[] {
    if (height <= 0) return []
    const row: Row = { height, glyphs: [] }
    this.#rows.push(row)
    return [row]
  }

  #picture(picture: Omit<Picture, 'x'>): Row[] {
    const before = this.#newLine(false)
    const wide = picture.width * picture.scaleX
    const x = this.#mode.left + Math.max(0, Math.floor(((this.#area - wide) * this.#mode.align) / 2))
    const row: Row = { height: picture.height * picture.scaleY, picture: { ...picture, x } }
    this.#rows.push(row)
    return [...before, row]
  }

  #qr(op: Extract<Op, { op: 'qr' }>): Row[] {
    const content = op.data.toString('utf8')
    const matrix = qrcode.generate({ data: content, type: 'qrcode', cell: op.cell, level: op.level })
    const width = matrix.length
    const stride = (width + 7) >> 3
    const data = Buffer.alloc(stride * width)
    matrix.forEach((cells, y) => {
      cells.forEach((dark, x) => {
        if (dark === 1) data[y * stride + (x >> 3)] = (data[y * stride + (x >> 3)] ?? 0) | (0x80 >> (x & 7))
      })
    })
    return width === 0 ? [] : this.#picture({ kind: 'qr', content, width, height: width, scaleX: op.cell, scaleY: op.cell, data })
  }

  #caption(text: string): Row[] {
    const before = this.#mode
    this.#mode = { ...before, size: 0, bold: false, underline: false, invert: false }
    const rows = [...text].flatMap((character) => this.#put(character, 1, false))
    rows.push(...this.#newLine(false))
    this.#mode = before
    return rows
  }
}
