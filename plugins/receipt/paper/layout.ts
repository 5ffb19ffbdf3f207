/** What tokens leave on the paper: rows of glyphs and pictures. Pure; lines of text and the picture for a person are both read from it. */
import { cellsOf, decodeText, type Encoding } from '../capture/encodings.ts'
import { freshModes, type Modes, setMode } from '../capture/modes.ts'
import { ESC, FS, GS } from '../capture/shapes.ts'
import type { Token } from '../capture/tokenizer.ts'
import { pictureOf } from './pictures.ts'

export interface Glyph {
  text: string
  /** Dots from the left edge of the printable area. */
  x: number
  width: number
  scaleX: number
  scaleY: number
  bold: boolean
  underline: boolean
  invert: boolean
}

export interface Picture {
  kind: 'raster' | 'qr' | 'barcode'
  /** What a bar code says, where `GS H` has it printed: 1 above, 2 below, 3 both. */
  content?: string
  captions?: number
  x: number
  /** Dots of `data`: one bit each, highest bit left, rows padded to bytes, 1 is ink. */
  width: number
  height: number
  scaleX: number
  scaleY: number
  data: Buffer
}

export type Row = { height: number; glyphs: Glyph[] } | { height: number; picture: Picture }

/** Dots of a cell and a line of the usual font, and of the small one. */
export const CELL = 12
const SMALL_CELL = 9
export const LINE = 24
/** Of one line of text, in bytes: what comes after is a line of its own. */
const LINE_MOST = 1024

export class Layout {
  readonly modes: Modes
  /** Dots. */
  readonly width: number
  readonly #row: (row: Row) => void
  #glyphs: Glyph[] = []
  #x = 0
  #run: Buffer[] = []
  #runBytes = 0
  #return = false
  /** A stripe of a bit image was printed: the LF after it moves the paper by the stripe, not by another line. */
  #stripe = false
  #symbol = freshSymbol()
  #stored: Omit<Picture, 'x'> | undefined

  constructor(encoding: Encoding, characters: number, row: (row: Row) => void) {
    this.modes = freshModes(encoding)
    this.width = characters * CELL
    this.#row = row
  }

  /** Something stands on the line that has not been ended. */
  get lineOpen(): boolean {
    return this.#glyphs.length > 0 || this.#runBytes > 0
  }

  apply(token: Token): void {
    if (token.kind === 'text') {
      this.#endReturn()
      this.#stripe = false
      this.#text(token.bytes)
      return
    }
    this.#endRun()
    if (token.kind === 'control') this.#control(token.byte)
    else this.#command(token)
  }

  /** The last line, though nothing ended it. */
  finish(): void {
    this.#endRun()
    this.#endLine(false)
    this.#return = false
  }

  #text(bytes: Buffer): void {
    for (let at = 0; at < bytes.length; ) {
      const part = bytes.subarray(at, at + LINE_MOST - this.#runBytes)
      this.#run.push(part)
      this.#runBytes += part.length
      at += part.length
      if (this.#runBytes < LINE_MOST) return
      this.#endRun()
      this.#endLine(true)
    }
  }

  #control(byte: number): void {
    if (byte === 0x0d) {
      this.#endReturn()
      this.#return = true
      return
    }
    if (byte === 0x0a) {
      this.#return = false
      this.#endLine(!this.#stripe)
      this.#stripe = false
    } else if (byte === 0x0c) {
      this.modes.pageMode = false
      this.#endLine(false)
    } else if (byte === 0x09) {
      this.#endReturn()
      const column = this.#x / CELL
      const stop = this.modes.tabs.find((one) => one > column)
      if (stop !== undefined) this.#x = stop * CELL
    }
  }

  /** CR alone ends a line, as on printers set to feed with it; before LF it says nothing. */
  #endReturn(): void {
    if (!this.#return) return
    this.#return = false
    this.#endLine(false)
  }

  #command(token: Extract<Token, { kind: 'command' }>): void {
    this.#endReturn()
    const { lead, letter, head } = token
    if (lead === ESC && letter === '@') {
      this.#glyphs = []
      this.#x = 0
    }
    if (setMode(this.modes, token)) return
    const n = head[2] ?? 0
    const both = n | ((head[3] ?? 0) << 8)
    if (lead === ESC) {
      if (letter === 'd') this.#feed(n * Math.max(this.modes.lineSpacing, LINE))
      else if (letter === 'J') this.#feed(n)
      else if (letter === '$') this.#x = both
      else if (letter === '\\') this.#x = Math.max(0, this.#x + (both > 0x7fff ? both - 0x10000 : both))
      else if (letter === '*') {
        this.#place(pictureOf(token, this.modes))
        this.#stripe = true
      } else if (letter === 'i' || letter === 'm') this.#endLine(false)
      return
    }
    if (lead !== GS && lead !== FS) return
    // In page mode `GS $` and `GS \` move down or up: another line.
    if (lead === GS && (letter === '$' || letter === '\\' || letter === 'V')) this.#endLine(false)
    else if (lead === GS && (letter === '(' || letter === '8')) this.#declared(token)
    else if (lead === GS && (letter === 'v' || letter === 'k')) this.#place(pictureOf(token, this.modes))
  }

  /** `GS ( L` stores a raster and prints it; `GS ( k` does the same with a two-dimensional code. */
  #declared(token: Extract<Token, { kind: 'command' }>): void {
    const { body } = token
    const kind = String.fromCharCode(token.head[2] ?? 0)
    const fn = body[1] ?? 0
    if (kind === 'k' && body[0] === 49) {
      if (fn === 67) this.#symbol = { ...this.#symbol, cell: Math.max(1, body[2] ?? 3) }
      else if (fn === 69) this.#symbol = { ...this.#symbol, level: body[2] ?? 48 }
      else if (fn === 80) this.#symbol = { ...this.#symbol, data: body.subarray(3) }
      else if (fn === 81) this.#place(pictureOf(token, this.modes, this.#symbol))
    } else if (kind === 'L' && (fn === 112 || fn === 113)) this.#stored = pictureOf(token, this.modes)
    else if (kind === 'L' && (fn === 50 || fn === 2)) {
      this.#place(this.#stored)
      this.#stored = undefined
    }
  }

  #endRun(): void {
    if (this.#runBytes === 0) return
    const bytes = Buffer.concat(this.#run)
    this.#run = []
    this.#runBytes = 0
    for (const character of decodeText(bytes, this.modes)) this.#put(character)
  }

  #put(text: string): void {
    const { modes } = this
    const cells = cellsOf(text)
    const wide = cells === 2
    const scaleX = Math.max(((modes.size >> 4) & 7) + 1, wide && (modes.wideSize & 0x04) !== 0 ? 2 : 1)
    const scaleY = Math.max((modes.size & 7) + 1, wide && (modes.wideSize & 0x08) !== 0 ? 2 : 1)
    const width = (modes.font === 1 && !wide ? SMALL_CELL : CELL) * cells * scaleX
    const { bold, underline, invert } = modes
    this.#glyphs.push({ text, x: this.#x, width, scaleX, scaleY, bold, underline, invert })
    this.#x += width
  }

  #endLine(always: boolean): void {
    const glyphs = this.#glyphs
    this.#glyphs = []
    this.#x = 0
    if (glyphs.length === 0) {
      if (always) this.#row({ height: Math.max(LINE, this.modes.lineSpacing), glyphs: [] })
      return
    }
    const used = glyphs.reduce((most, glyph) => Math.max(most, glyph.x + glyph.width), 0)
    const shift = this.#shift(used)
    const tall = glyphs.reduce((most, glyph) => Math.max(most, glyph.scaleY * LINE), LINE)
    for (const glyph of glyphs) glyph.x += shift
    this.#row({ height: Math.max(tall, this.modes.lineSpacing), glyphs })
  }

  /** Where something `used` dots wide begins. */
  #shift(used: number): number {
    const { left, align, area } = this.modes
    const room = Math.min(area ?? this.width, this.width - left)
    return left + Math.max(0, Math.floor(((room - used) * align) / 2))
  }

  #feed(dots: number): void {
    this.#endLine(false)
    if (dots > 0) this.#row({ height: dots, glyphs: [] })
  }

  #place(picture: Omit<Picture, 'x'> | undefined): void {
    this.#endLine(false)
    if (!picture) return
    const x = this.#shift(picture.width * picture.scaleX)
    this.#row({ height: picture.height * picture.scaleY + captionsOf({ ...picture, x }, 0).length * LINE, picture: { ...picture, x } })
  }
}

/** The lines of text a picture at `y` carries, in the middle of it, and where each begins. */
export function captionsOf(
  { content = '', captions = 0, x, width, height, scaleX, scaleY }: Picture,
  y: number,
): { y: number; glyphs: Glyph[] }[] {
  const start = x + Math.max(0, Math.floor((width * scaleX - content.length * CELL) / 2))
  const look = { width: CELL, scaleX: 1, scaleY: 1, bold: false, underline: false, invert: false }
  const places = [...((captions & 1) !== 0 ? [y] : []), ...((captions & 2) !== 0 ? [bodyOf(captions, y) + height * scaleY] : [])]
  return places.map((place) => ({ y: place, glyphs: [...content].map((text, at) => ({ text, x: start + at * CELL, ...look })) }))
}

/** Where the picture itself begins. */
export const bodyOf = (captions: number | undefined, y: number): number => y + (((captions ?? 0) & 1) !== 0 ? LINE : 0)

export interface Symbol2d {
  data: Buffer
  /** Dots a module. */
  cell: number
  /** 48 L, 49 M, 50 Q, 51 H. */
  level: number
}

const freshSymbol = (): Symbol2d => ({ data: Buffer.alloc(0), cell: 3, level: 48 })

/** A row as text: gaps become spaces, so that columns stay columns. */
export function rowText(row: Row): string {
  if ('picture' in row) return ''
  let text = ''
  let at = 0
  for (const glyph of [...row.glyphs].sort((a, b) => a.x - b.x)) {
    const gap = Math.round((glyph.x - at) / CELL)
    if (gap > 0) text += ' '.repeat(Math.min(gap, 200))
    else if (glyph.x > at + 2) text += ' '
    text += glyph.text
    at = glyph.x + glyph.width
  }
  return text.trimEnd()
}
