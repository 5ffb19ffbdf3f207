/** Paper to SVG: no scripts, no foreign origins, no fonts of its own, so that it shows under the strictest content policy. */
import type { Glyph, Paper, Picture, Piece, Row } from './paper.ts'
import { encodePng } from './png.ts'

const MARGIN = 28
const GAP = 24
const TOOTH = 8
const FONT = "ui-monospace, 'DejaVu Sans Mono', 'Noto Sans Mono CJK SC', 'Noto Sans CJK SC', 'Microsoft YaHei', monospace"
const INK = '#1c1b1a'
const SHEET = '#fffdf8'

/** Width in dots of a thermal head: 576 for 48 characters. */
export function renderSvg(paper: Paper): string {
  const width = paper.width + MARGIN * 2
  let y = GAP / 2
  const parts = paper.all().map((piece) => {
    const height = piece.rows.reduce((sum, row) => sum + row.height, 0) + MARGIN * 2
    const part = `<g transform="translate(${GAP / 2},${y})">${sheet(width, height, piece.cut)}${pieceRows(piece)}</g>`
    y += height + GAP
    return part
  })
  const [wide, high] = [width + GAP, Math.max(y - GAP / 2, GAP)]
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" width="${wide}" height="${high}" viewBox="0 0 ${wide} ${high}" role="img">` +
    `<g font-family="${FONT}" font-size="20" fill="${INK}" text-anchor="middle">${parts.join('')}</g></svg>\n`
  )
}

/** The strip of paper, with the cutter's teeth where it was cut. */
function sheet(width: number, height: number, cut: boolean): string {
  const teeth = Math.floor(width / TOOTH / 2)
  const step = width / teeth
  const edge = cut ? `l${(-step / 2).toFixed(2)},${TOOTH / 2}l${(-step / 2).toFixed(2)},${-TOOTH / 2}`.repeat(teeth) : `h${-width}`
  const path = `M0,0h${width}v${height}${edge}z`
  return `<path d="${path}" transform="translate(1.5,2.5)" fill="#000" fill-opacity="0.13"/><path d="${path}" fill="${SHEET}" stroke="#000" stroke-opacity="0.12"/>`
}

function pieceRows(piece: Piece): string {
  let y = MARGIN
  let out = ''
  for (const row of piece.rows) {
    out += drawRow(row, y)
    y += row.height
  }
  return `<g transform="translate(${MARGIN},0)">${out}</g>`
}

function drawRow(row: Row, y: number): string {
  if ('picture' in row) return drawPicture(row.picture, y)
  const base = row.glyphs.reduce((most, glyph) => Math.max(most, glyph.scaleY), 1) * 24
  let out = ''
  for (const run of runs(row.glyphs)) out += drawRun(run, y, base)
  return out
}

/** A Chinese character fills two cells, and a letter at the size of the rest would leave gaps there. */
const isWide = (glyph: Glyph): boolean => glyph.width / glyph.scaleX >= 24

const sameLook = (a: Glyph, b: Glyph): boolean =>
  a.scaleX === b.scaleX &&
  a.scaleY === b.scaleY &&
  a.bold === b.bold &&
  a.underline === b.underline &&
  a.invert === b.invert &&
  a.rule === b.rule &&
  isWide(a) === isWide(b)

function runs(glyphs: readonly Glyph[]): Glyph[][] {
  const all: Glyph[][] = []
  for (const glyph of glyphs) {
    const last = all.at(-1)
    const first = last?.[0]
    if (last && first && sameLook(first, glyph)) last.push(glyph)
    else all.push([glyph])
  }
  return all
}

function drawRun(run: Glyph[], y: number, base: number): string {
  const [first] = run
  if (!first) return ''
  const { scaleX, scaleY, bold, underline, invert, rule } = first
  const bottom = y + base
  const top = bottom - scaleY * 24
  if (rule) return `<path d="${run.map((glyph) => rulePath(glyph, top)).join('')}" fill="none" stroke="${INK}" stroke-width="2"/>`
  let out = ''
  if (invert) for (const glyph of run) out += `<rect x="${glyph.x}" y="${top}" width="${glyph.width + 0.5}" height="${scaleY * 24}"/>`
  if (underline) for (const glyph of run) out += `<rect x="${glyph.x}" y="${bottom - 2}" width="${glyph.width}" height="2"/>`
  const inked = run.filter((glyph) => glyph.text.trim() !== '')
  if (inked.length === 0) return out
  const xs = inked.map((glyph) => round((glyph.x + glyph.width / 2) / scaleX)).join(' ')
  const look = `${isWide(first) ? ' font-size="23"' : ''}${bold ? ' font-weight="bold"' : ''}${invert ? ` fill="${SHEET}"` : ''}`
  // 6 of 24 dots lie under the base line.
  const place =
    scaleX === 1 && scaleY === 1 ? `y="${bottom - 5}"` : `transform="translate(0,${bottom - 5 * scaleY}) scale(${scaleX},${scaleY})"`
  return `${out}<text ${place} x="${xs}"${look}>${escapeText(inked.map((glyph) => glyph.text).join(''))}</text>`
}

/** Which of left, right, up, down a rule reaches; round corners among them. */
const REACH: Record<string, string> = {
  '┼': 'lrud',
  '┴': 'lru',
  '┬': 'lrd',
  '┤': 'lud',
  '├': 'rud',
  '─': 'lr',
  '│': 'ud',
  '┌': 'rd',
  '┐': 'ld',
  '└': 'ru',
  '┘': 'lu',
}

function rulePath({ text, x, width }: Glyph, top: number): string {
  const [w, h] = [width, 24]
  const [cx, cy] = [x + w / 2, top + h / 2]
  switch (text) {
    case '╭':
      return `M${cx},${top + h}v${-h / 4}q0,${-h / 4},${w / 2},${-h / 4}`
    case '╮':
      return `M${cx},${top + h}v${-h / 4}q0,${-h / 4},${-w / 2},${-h / 4}`
    case '╰':
      return `M${cx},${top}v${h / 4}q0,${h / 4},${w / 2},${h / 4}`
    case '╯':
      return `M${cx},${top}v${h / 4}q0,${h / 4},${-w / 2},${h / 4}`
    case '▔':
      return `M${x},${top}h${w}`
    case '▕':
      return `M${x + w},${top}v${h}`
    default: {
      const reach = REACH[text] ?? ''
      const arm = (way: string, path: string) => (reach.includes(way) ? `M${cx},${cy}${path}` : '')
      return `${arm('l', `h${-w / 2}`)}${arm('r', `h${w / 2}`)}${arm('u', `v${-h / 2}`)}${arm('d', `v${h / 2}`)}`
    }
  }
}

function drawPicture(picture: Picture, y: number): string {
  const png = encodePng(picture.width, picture.height, picture.data).toString('base64')
  const title = picture.content === undefined ? '' : `<title>${escapeText(picture.content)}</title>`
  return (
    `<image x="${picture.x}" y="${y}" width="${picture.width * picture.scaleX}" height="${picture.height * picture.scaleY}" ` +
    `preserveAspectRatio="none" image-rendering="pixelated" href="data:image/png;base64,${png}">${title}</image>`
  )
}

const ENTITIES: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' }

/** XML 1.0 has no place for control characters and lone surrogates, even as references. */
function escapeText(text: string): string {
  return text
    .replace(/[&<>"]/g, (one) => ENTITIES[one] ?? one)
    .replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, '')
    .replace(/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g, '\ufffd')
}

const round = (value: number): number => Math.round(value * 100) / 100
