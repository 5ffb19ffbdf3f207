import qrcode from 'qrcode-generator'

/** ISO/IEC 18004 asks for four modules of quiet around the symbol. */
const QUIET = 4

/** The dark modules of a QR symbol as one SVG path, in modules; `size` with the quiet zone. */
export function qrPath(text: string): { path: string; size: number } {
  const qr = qrcode(0, 'M')
  // The library takes one byte a character: UTF-8 is spelt out for it.
  qr.addData(Buffer.from(text, 'utf8').toString('latin1'), 'Byte')
  qr.make()
  const count = qr.getModuleCount()
  let path = ''
  for (let row = 0; row < count; row++) {
    for (let column = 0; column < count; ) {
      let run = 0
      while (column + run < count && qr.isDark(row, column + run)) run++
      if (run > 0) path += `M${column + QUIET} ${row + QUIET}h${run}v1h-${run}z`
      column += Math.max(run, 1)
    }
  }
  return { path, size: count + 2 * QUIET }
}

/** Black on white whatever the colours around it: scanners want it so. `label` must be escaped. */
export function qrSvg(text: string, label: string): string {
  const { path, size } = qrPath(text)
  return `<svg role="img" aria-label="${label}" viewBox="0 0 ${size} ${size}" width="200" height="200" shape-rendering="crispEdges"><rect width="${size}" height="${size}" fill="#fff"/><path d="${path}"/></svg>`
}
