/** A receipt's bytes to what they put on paper. Pure. */
import { isCut } from '../capture/capture.machine.ts'
import type { Encoding } from '../capture/encodings.ts'
import { Tokenizer } from '../capture/tokenizer.ts'
import { Layout, type Row, rowText } from './layout.ts'

export interface Sheet {
  rows: Row[]
  /** Dots. */
  width: number
  cut: boolean
}

/** Pictures larger than what is kept of a receipt are drawn as far as they go. */
const PICTURE_MOST = 1024 * 1024
const ROWS_MOST = 2_000

export function readSheet(bytes: Buffer, encoding: Encoding, characters: number): Sheet {
  const sheet: Sheet = { rows: [], width: characters * 12, cut: false }
  const layout = new Layout(encoding, characters, (row) => {
    if (sheet.rows.length < ROWS_MOST) sheet.rows.push(row)
  })
  const tokenizer = new Tokenizer({ keep: (_lead, _letter, data) => Math.min(data, PICTURE_MOST) })
  // A picture that was cut off in the middle is still worth looking at.
  for (const token of [...tokenizer.feed(bytes), ...tokenizer.finish()]) {
    if (token.kind === 'command' && isCut(token)) {
      layout.finish()
      sheet.cut = true
    } else layout.apply(token)
  }
  layout.finish()
  trim(sheet.rows)
  return sheet
}

/** Feed before the first line and after the last is not the receipt. */
function trim(rows: Row[]): void {
  const blank = (row: Row | undefined) => row !== undefined && 'glyphs' in row && row.glyphs.length === 0
  while (blank(rows[0])) rows.shift()
  while (blank(rows.at(-1))) rows.pop()
}

/** As text: pictures are a note of what they are. */
export function sheetText({ rows }: Sheet): string {
  return rows
    .map((row) => {
      if ('glyphs' in row) return `${rowText(row)}\n`
      const { kind, content, width, height } = row.picture
      return `[${kind} ${content ?? `${width}x${height}`}]\n`
    })
    .join('')
}

/** Lines as the template sees them. */
export const sheetLines = ({ rows }: Sheet): string[] => rows.flatMap((row) => ('glyphs' in row ? [rowText(row)] : []))
