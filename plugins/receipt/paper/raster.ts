/** A sheet as PNG, dot for dot as a thermal head would print it, with a font of the system: none is shipped. */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Failure } from '../../../daemon/contract/errors.ts'
import { Canvas } from './canvas.ts'
import { type Font, type Outline, openFont } from './font/sfnt.ts'
import { bodyOf, captionsOf, type Glyph, LINE, type Picture, type Row } from './layout.ts'
import { encodePng } from './png.ts'
import type { Sheet } from './read.ts'
import { MARGIN, sheetHeight } from './svg.ts'

/** The best face of a collection: fixed width, simplified Chinese. */
const WISHES = ['Mono', 'SC']
const FOLDERS = ['/usr/share/fonts', '/usr/local/share/fonts']
/** Files that have Chinese in them, best first; then any fixed-width one. */
const PREFERRED = [
  /NotoSansMonoCJK.*Regular/i,
  /NotoSansCJK.*Regular/i,
  /SourceHanSans.*Regular/i,
  /wqy-?(zenhei|microhei)/i,
  /DroidSansFallback/i,
  /DejaVuSansMono\.ttf/i,
  /LiberationMono-Regular/i,
]
const FONT_FILE = /\.(ttf|ttc|otf|otc)$/i
/** A picture longer than any receipt is a mistake. */
const HEIGHT_MOST = 20_000

/** Rejects with `device-unsupported` where the system has no font. */
export async function renderPng(sheet: Sheet, fontFile: string | undefined): Promise<Buffer> {
  const font = await loadFont(fontFile)
  const width = sheet.width + MARGIN * 2
  const canvas = new Canvas(width, Math.min(HEIGHT_MOST, sheetHeight(sheet)))
  const shapes = new Map<string, { outline: Outline; advance: number } | undefined>()
  let y = MARGIN
  for (const row of sheet.rows) {
    if ('picture' in row) {
      picture(canvas, row.picture, bodyOf(row.picture.captions, y))
      for (const { y: at, glyphs } of captionsOf(row.picture, y)) line(canvas, { height: LINE, glyphs }, at, font, shapes)
    } else line(canvas, row, y, font, shapes)
    y += row.height
  }
  return encodePng(width, canvas.height, canvas.data, 'white')
}

type Shapes = Map<string, { outline: Outline; advance: number } | undefined>

function line(canvas: Canvas, row: Extract<Row, { glyphs: Glyph[] }>, y: number, font: Font, shapes: Shapes): void {
  const base = y + row.glyphs.reduce((most, glyph) => Math.max(most, glyph.scaleY), 1) * LINE
  for (const glyph of row.glyphs) {
    const [x, top] = [MARGIN + glyph.x, base - glyph.scaleY * LINE]
    character(canvas, glyph, x, base, font, shapes)
    if (glyph.underline) canvas.fill(x, base - 2, glyph.width, 2)
    if (glyph.invert) canvas.invert(x, top, glyph.width, glyph.scaleY * LINE)
  }
}

function character(
  canvas: Canvas,
  { text, width, scaleX, scaleY, bold }: Glyph,
  x: number,
  base: number,
  font: Font,
  shapes: Shapes,
): void {
  if (text.trim() === '') return
  const shape = shapeOf(text, font, shapes)
  const em = LINE / font.unitsPerEm
  if (!shape) {
    // What the font lacks is a box, as on a printer.
    canvas.frame(x + 1, base - scaleY * 20, width - 2, scaleY * 18)
    return
  }
  const natural = shape.advance * em * scaleX
  const across = em * scaleX * Math.min(1, natural > 0 ? width / natural : 1)
  const left = x + Math.max(0, (width - shape.advance * across) / 2)
  // 5 of 24 dots lie under the base line.
  const foot = base - 5 * scaleY
  canvas.shape(shape.outline, across, em * scaleY * 0.92, left, foot)
  if (bold) canvas.shape(shape.outline, across, em * scaleY * 0.92, left + 1, foot)
}

function shapeOf(text: string, font: Font, shapes: Shapes): { outline: Outline; advance: number } | undefined {
  if (!shapes.has(text)) {
    const glyph = font.glyphOf(text.codePointAt(0) ?? 0)
    shapes.set(text, glyph === 0 ? undefined : { outline: font.outlineOf(glyph), advance: font.advanceOf(glyph) })
  }
  return shapes.get(text)
}

function picture(canvas: Canvas, { x, width, height, scaleX, scaleY, data }: Picture, y: number): void {
  const stride = (width + 7) >> 3
  for (let row = 0; row < height; row += 1)
    for (let column = 0; column < width; column += 1)
      if (((data[row * stride + (column >> 3)] ?? 0) & (0x80 >> (column & 7))) !== 0)
        canvas.fill(MARGIN + x + column * scaleX, y + row * scaleY, scaleX, scaleY)
}

async function loadFont(file: string | undefined): Promise<Font> {
  const path = file ?? (await findFont())
  if (path === undefined)
    throw new Failure('device-unsupported', 'there is no font on this system; install fonts-noto-cjk, set `font`, or render as svg or text')
  try {
    return openFont(await readFile(path), WISHES)
  } catch (error) {
    throw new Failure('device-unsupported', `${path} cannot be used as a font: ${error instanceof Error ? error.message : String(error)}`)
  }
}

async function findFont(): Promise<string | undefined> {
  const files: string[] = []
  for (const folder of FOLDERS) {
    const names = await readdir(folder, { recursive: true }).catch(() => [])
    files.push(...names.filter((name) => FONT_FILE.test(name)).map((name) => join(folder, name)))
  }
  for (const wanted of PREFERRED) {
    const found = files.find((name) => wanted.test(name))
    if (found !== undefined) return found
  }
  return files[0]
}
