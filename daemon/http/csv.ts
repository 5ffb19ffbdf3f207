/** RFC 4180, with the byte order mark by which spreadsheets know UTF-8. */

export const CSV_TYPE = 'text/csv; charset=utf-8'
export const BOM = '\ufeff'

type Cell = string | number | boolean | undefined

/** A spreadsheet would run what begins like this as a formula (OWASP, "CSV Injection"); the full-width forms, too, where it folds them. */
const FORMULA = /^[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]/

export const csvLine = (cells: readonly Cell[]): string => `${cells.map(cell).join(',')}\r\n`

function cell(value: Cell): string {
  if (value === undefined) return ''
  if (typeof value !== 'string') return String(value)
  const safe = FORMULA.test(value) ? `'${value}` : value
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe
}

/** A table of which nobody holds the whole: page after page. */
export async function* csvOf<Row>(
  columns: readonly (keyof Row & string)[],
  page: (after: string | undefined) => Promise<{ rows: Row[]; next?: string }>,
): AsyncGenerator<string> {
  yield BOM + csvLine(columns)
  let after: string | undefined
  do {
    const { rows, next } = await page(after)
    yield rows.map((row) => csvLine(columns.map((column) => row[column] as Cell))).join('')
    after = next
  } while (after !== undefined)
}
