import qrcode from 'qrcode-generator'

/** ISO/IEC 18004 asks for four modules of quiet around the symbol. */
const QUIET = 4

interface Run {
  row: number
  column: number
  /** Dark modules side by side. */
  length: number
}

/** The dark modules of a QR symbol, row by row; `size` with the quiet zone. */
function darkRuns(text: string): { runs: Run[]; size: number } {
  const qr = qrcode(0, 'M')
  // The library takes one byte a character: UTF-8 is spelt out for it.
  qr.addData(Buffer.from(text, 'utf8').toString('latin1'), 'Byte')
  qr.make()
  const count = qr.getModuleCount()
  const runs: Run[] = []
  for (let row = 0; row < count; row++) {
    for (let column = 0; column < count; ) {
      let length = 0
      while (column + length < count && qr.isDark(row, column + length)) length++
      if (length > 0) runs.push({ row: row + QUIET, column: column + QUIET, length })
      column += Math.max(length, 1)
    }
  }
  return { runs, size: count + 2 * QUIET }
}

/** As one SVG path to be filled, in modules. */
export function qrPath(text: string): { path: string; size: number } {
  const { runs, size } = darkRuns(text)
  return { path: runs.map(({ row, column, length }) => `M${column} ${row}h${length}v1h-${length}z`).join(''), size }
}

/** As strokes of one module's width, each row one line: half the bytes of `qrPath`. */
function qrStrokes(runs: readonly Run[]): string {
  let path = ''
  let last: Run | undefined
  for (const run of runs) {
    path +=
      last?.row === run.row ? `m${run.column - last.column - last.length} 0h${run.length}` : `M${run.column} ${run.row}.5h${run.length}`
    last = run
  }
  return path
}

/** Black on white whatever the colours around it: scanners want it so. `label` must be escaped. */
export function qrSvg(text: string, label: string): string {
  const { runs, size } = darkRuns(text)
  return `<svg role="img" aria-label="${label}" viewBox="0 0 ${size} ${size}" width="200" height="200" shape-rendering="crispEdges"><rect width="${size}" height="${size}" fill="#fff"/><path d="${qrStrokes(runs)}" stroke="#000"/></svg>`
}
