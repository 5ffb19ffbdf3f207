/** TrueType outlines: OpenType 1.9, tables `glyf` and `loca`. */
import { Pen } from './pen.ts'
import { type Outline, type Tables, table } from './sfnt.ts'

/** A composite of composites of …: fonts do not go deeper. */
const DEEPEST = 5

export function glyfOutlines(tables: Tables): (glyph: number) => Outline {
  const glyf = table(tables, 'glyf')
  const loca = table(tables, 'loca')
  const long = table(tables, 'head').readInt16BE(50) === 1
  const place = (glyph: number) => (long ? loca.readUInt32BE(glyph * 4) : loca.readUInt16BE(glyph * 2) * 2)

  const outline = (glyph: number, depth: number): Outline => {
    const data = glyf.subarray(place(glyph), place(glyph + 1))
    if (data.length < 10 || depth > DEEPEST) return []
    const contours = data.readInt16BE(0)
    return contours >= 0 ? simple(data, contours) : composite(data, (one) => outline(one, depth + 1))
  }
  return (glyph) => outline(glyph, 0)
}

interface Point {
  x: number
  y: number
  on: boolean
}

function simple(data: Buffer, contours: number): Outline {
  const ends = Array.from({ length: contours }, (_one, at) => data.readUInt16BE(10 + at * 2))
  const count = (ends.at(-1) ?? -1) + 1
  let at = 10 + contours * 2
  at += 2 + data.readUInt16BE(at)
  const flags: number[] = []
  while (flags.length < count) {
    const flag = data.readUInt8(at)
    at += 1
    const times = (flag & 8) !== 0 ? data.readUInt8(at++) + 1 : 1
    for (let time = 0; time < times; time += 1) flags.push(flag)
  }
  const axis = (short: number, same: number): number[] => {
    let value = 0
    return flags.map((flag) => {
      if ((flag & short) !== 0) value += data.readUInt8(at++) * ((flag & same) !== 0 ? 1 : -1)
      else if ((flag & same) === 0) {
        value += data.readInt16BE(at)
        at += 2
      }
      return value
    })
  }
  const xs = axis(2, 16)
  const ys = axis(4, 32)
  const pen = new Pen()
  let first = 0
  for (const end of ends) {
    draw(
      pen,
      flags.slice(first, end + 1).map((flag, index) => ({ x: xs[first + index] ?? 0, y: ys[first + index] ?? 0, on: (flag & 1) !== 0 })),
    )
    first = end + 1
  }
  pen.close()
  return pen.outline
}

/** Between two points off the curve lies one on it, half-way. */
function draw(pen: Pen, points: Point[]): void {
  const middle = (a: Point, b: Point): Point => ({ x: (a.x + b.x) / 2, y: (a.y + b.y) / 2, on: true })
  const [first, last] = [points[0], points.at(-1)]
  if (!first || !last) return
  const start = first.on ? first : last.on ? last : middle(first, last)
  pen.move(start.x, start.y)
  let control: Point | undefined
  for (const point of [...(first.on ? points.slice(1) : points), start]) {
    if (point.on) {
      if (control) pen.quadratic(control.x, control.y, point.x, point.y)
      else pen.line(point.x, point.y)
      control = undefined
    } else {
      if (control) {
        const between = middle(control, point)
        pen.quadratic(control.x, control.y, between.x, between.y)
      }
      control = point
    }
  }
}

function composite(data: Buffer, outlineOf: (glyph: number) => Outline): Outline {
  const outline: Outline = []
  let at = 10
  for (let flags = 0x20; (flags & 0x20) !== 0; ) {
    flags = data.readUInt16BE(at)
    const glyph = data.readUInt16BE(at + 2)
    at += 4
    const words = (flags & 1) !== 0
    const placed = (flags & 2) !== 0
    const dx = placed ? (words ? data.readInt16BE(at) : data.readInt8(at)) : 0
    const dy = placed ? (words ? data.readInt16BE(at + 2) : data.readInt8(at + 1)) : 0
    at += words ? 4 : 2
    const fixed = (place: number) => data.readInt16BE(place) / 16384
    let [a, b, c, d] = [1, 0, 0, 1]
    if ((flags & 8) !== 0) {
      a = d = fixed(at)
      at += 2
    } else if ((flags & 0x40) !== 0) {
      ;[a, d] = [fixed(at), fixed(at + 2)]
      at += 4
    } else if ((flags & 0x80) !== 0) {
      ;[a, b, c, d] = [fixed(at), fixed(at + 2), fixed(at + 4), fixed(at + 6)]
      at += 8
    }
    for (const contour of outlineOf(glyph)) {
      const moved: number[] = []
      for (let index = 0; index < contour.length; index += 2) {
        const [x, y] = [contour[index] ?? 0, contour[index + 1] ?? 0]
        moved.push(a * x + c * y + dx, b * x + d * y + dy)
      }
      outline.push(moved)
    }
  }
  return outline
}
