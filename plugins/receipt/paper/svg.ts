/** A sheet as SVG: no scripts, no foreign origins, no fonts of its own, so that it shows under the strictest content policy. */
import { bodyOf, captionsOf, type Glyph, LINE, type Picture } from './layout.ts'
import { encodePng } from './png.ts'
import type { Sheet } from './read.ts'

export const MARGIN = 28
const TOOTH = 8
const FONT = "ui-monospace, 'DejaVu Sans Mono', 'Noto Sans Mono CJK SC', 'Noto Sans CJK SC', 'Microsoft YaHei', monospace"
const INK = '#1c1b1a'
const PAPER = '#fffdf8'

export const sheetHeight = ({ rows }: Sheet): number => rows.reduce((sum, row) => sum + row.height, MARGIN * 2)

export function renderSvg(sheet: Sheet): string {
  const [width, height] = [sheet.width + MARGIN * 2, sheetHeight(sheet)]
  let y = MARGIN
  let body = ''
  for (const row of sheet.rows) {
    body += 'picture' in row ? drawPictured(row.picture, y) : drawLine(row.glyphs, y)
    y += row.height
  }
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img">` +
    `<path d="M0,0h${width}v${height}${edge(width, sheet.cut)}z" fill="${PAPER}"/>` +
    `<g transform="translate(${MARGIN},0)" font-family="${FONT}" font-size="20" fill="${INK}" text-anchor="middle">${body}</g></svg>\n`
  )
}

/** The cutter's teeth, where it was cut. */
function edge(width: number, cut: boolean): string {
  if (!cut) return `h${-width}`
  const teeth = Math.floor(width / TOOTH / 2)
  const half = round(width / teeth / 2)
  return `l${-half},${-TOOTH / 2}l${-half},${TOOTH / 2}`.repeat(teeth)
}

function drawPictured(picture: Picture, y: number): string {
  const captions = captionsOf(picture, y).map((one) => drawLine(one.glyphs, one.y))
  return drawPicture(picture, bodyOf(picture.captions, y)) + captions.join('')
}

function drawLine(glyphs: readonly Glyph[], y: number): string {
  const tall = glyphs.reduce((most, glyph) => Math.max(most, glyph.scaleY), 1)
  const base = y + tall * LINE
  let out = ''
  for (const run of runs(glyphs)) out += drawRun(run, base)
  return out
}

function runs(glyphs: readonly Glyph[]): Glyph[][] {
  const all: Glyph[][] = []
  for (const glyph of glyphs) {
    const last = all.at(-1)
    if (last?.[0] && look(last[0]) === look(glyph)) last.push(glyph)
    else all.push([glyph])
  }
  return all
}

/** A letter at the size of a Chinese character would leave gaps in its two cells. */
const isWide = ({ width, scaleX }: Glyph): boolean => width / scaleX >= 24
const look = (glyph: Glyph): string => [glyph.scaleX, glyph.scaleY, glyph.bold, glyph.underline, glyph.invert, isWide(glyph)].join()

function drawRun(run: readonly Glyph[], base: number): string {
  const [first] = run
  if (!first) return ''
  const { scaleX, scaleY, bold, underline, invert } = first
  let out = ''
  if (invert)
    for (const { x, width } of run) out += `<rect x="${x}" y="${base - scaleY * LINE}" width="${width + 0.5}" height="${scaleY * LINE}"/>`
  if (underline) for (const { x, width } of run) out += `<rect x="${x}" y="${base - 2}" width="${width}" height="2"/>`
  const inked = run.filter(({ text }) => text.trim() !== '')
  if (inked.length === 0) return out
  const xs = inked.map(({ x, width }) => round((x + width / 2) / scaleX)).join(' ')
  const style = `${isWide(first) ? ' font-size="23"' : ''}${bold ? ' font-weight="bold"' : ''}${invert ? ` fill="${PAPER}"` : ''}`
  // 5 of 24 dots lie under the base line.
  const place =
    scaleX === 1 && scaleY === 1 ? `y="${base - 5}"` : `transform="translate(0,${base - 5 * scaleY}) scale(${scaleX},${scaleY})"`
  return `${out}<text ${place} x="${xs}"${style}>${escapeText(inked.map(({ text }) => text).join(''))}</text>`
}

function drawPicture({ x, width, height, scaleX, scaleY, data, content }: Picture, y: number): string {
  const png = encodePng(width, height, data, 'clear').toString('base64')
  const title = content === undefined ? '' : `<title>${escapeText(content)}</title>`
  return (
    `<image x="${x}" y="${y}" width="${width * scaleX}" height="${height * scaleY}" preserveAspectRatio="none" ` +
    `image-rendering="pixelated" href="data:image/png;base64,${png}">${title}</image>`
  )
}

const ENTITIES: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' }

/** XML 1.0 has no place for control characters and lone surrogates, even as references. */
function escapeText(text: string): string {
  return text
    .replace(/[&<>"]/g, (one) => ENTITIES[one] ?? one)
    .replace(/[\u0000-\u001f\u007f\ufffe\uffff]/g, ' ')
    .replace(/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g, '\ufffd')
}

const round = (value: number): number => Math.round(value * 100) / 100
