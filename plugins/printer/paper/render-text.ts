/** Paper as plain text: a line for each row, pictures as a note. */
import type { Glyph, Paper, Row } from './paper.ts'

const CELL = 12

export function renderText(paper: Paper): string {
  return paper
    .all()
    .map((piece) => piece.rows.map(line).join('') + (piece.cut ? `${'- '.repeat(Math.floor(paper.width / CELL / 2)).trimEnd()}\n` : ''))
    .join('')
}

function line(row: Row): string {
  if ('picture' in row) {
    const { kind, content, width, height } = row.picture
    return `[${kind} ${content ?? `${width}x${height}`}]\n`
  }
  const glyphs = [...row.glyphs].sort((a, b) => a.x - b.x)
  let text = ''
  let at = 0
  for (const glyph of glyphs) {
    const gap = Math.round((glyph.x - at) / CELL)
    if (gap > 0) text += ' '.repeat(gap)
    text += glyph.text
    at = end(glyph)
  }
  return `${text.trimEnd()}\n`
}

const end = (glyph: Glyph): number => Math.max(glyph.x + glyph.width, 0)
