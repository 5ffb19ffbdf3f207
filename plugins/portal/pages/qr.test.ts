/** The two ways a QR symbol is drawn are the same symbol. */
import t from 'tap'
import { qrPath, qrSvg } from './qr.ts'

/** `x,y` of each dark module of `M4 4h7v1h-7z…`. */
function filled(path: string): string[] {
  return [...path.matchAll(/M(\d+) (\d+)h(\d+)v1h-\d+z/g)].flatMap(([, x, y, length]) =>
    Array.from({ length: Number(length) }, (_, at) => `${Number(x) + at},${y}`),
  )
}

/** The same of `M4 4.5h7m2 0h1…`. */
function stroked(path: string): string[] {
  return [...path.matchAll(/M(\d+) (\d+)\.5([^M]*)/g)].flatMap(([, start, y, row = '']) => {
    let x = Number(start)
    return [...row.matchAll(/(h|m)(\d+)/g)].flatMap(([, how, by]) => {
      const from = x
      x += Number(by)
      return how === 'h' ? Array.from({ length: Number(by) }, (_, at) => `${from + at},${y}`) : []
    })
  })
}

t.test('a short and a long text, and one that is not ASCII', async (t) => {
  for (const text of ['CP-TEA-2', '莲花茶铺', `https://pay.example/${'x'.repeat(500)}`]) {
    const { path, size } = qrPath(text)
    const svg = qrSvg(text, 'code')
    const d = /<path d="([^"]+)" stroke="#000"\/>/.exec(svg)?.[1] ?? ''
    t.ok(filled(path).length > size)
    t.same(stroked(d), filled(path))
    t.ok(d.length < path.length * 0.6, `${d.length} bytes, not ${path.length}`)
  }
})
