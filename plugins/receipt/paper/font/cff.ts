/** Compact Font Format outlines: Adobe Technical Notes #5176 (CFF) and #5177 (Type 2 charstrings). */
import { Pen } from './pen.ts'
import type { Outline } from './sfnt.ts'

type Dict = Map<number, number[]>

const CHARSTRINGS = 17
const PRIVATE = 18
const SUBRS = 19
/** Two-byte operators `12 n` are 1200 + n. */
const FD_ARRAY = 1236
const FD_SELECT = 1237

export function cffOutlines(cff: Buffer): (glyph: number) => Outline {
  const names = index(cff, cff.readUInt8(2))
  const tops = index(cff, names.end)
  const strings = index(cff, tops.end)
  const globals = index(cff, strings.end)
  const top = dict(tops.item(0))
  const charstrings = index(cff, top.get(CHARSTRINGS)?.[0] ?? 0)
  const locals = (of: Dict): Index | undefined => {
    const [size = 0, offset = 0] = of.get(PRIVATE) ?? []
    const subrs = size > 0 ? dict(cff.subarray(offset, offset + size)).get(SUBRS)?.[0] : undefined
    return subrs === undefined ? undefined : index(cff, offset + subrs)
  }
  const array = top.get(FD_ARRAY)?.[0]
  const fonts = array === undefined ? undefined : index(cff, array)
  const perFont = fonts ? Array.from({ length: fonts.count }, (_one, at) => locals(dict(fonts.item(at)))) : [locals(top)]
  const select = top.get(FD_SELECT)?.[0]
  return (glyph) => {
    const local = perFont[select === undefined ? 0 : fontOf(cff, select, glyph)]
    const pen = new Pen()
    new Charstring(pen, globals, local).run(charstrings.item(glyph))
    pen.close()
    return pen.outline
  }
}

interface Index {
  count: number
  item(at: number): Buffer
  /** Offset after it. */
  end: number
}

function index(cff: Buffer, start: number): Index {
  const count = cff.readUInt16BE(start)
  if (count === 0) return { count, item: () => Buffer.alloc(0), end: start + 2 }
  const size = cff.readUInt8(start + 2)
  const offset = (at: number) => cff.readUIntBE(start + 3 + at * size, size)
  const base = start + 2 + (count + 1) * size
  return { count, item: (at) => cff.subarray(base + offset(at), base + offset(at + 1)), end: base + offset(count) }
}

function dict(data: Buffer): Dict {
  const found: Dict = new Map()
  let operands: number[] = []
  for (let at = 0; at < data.length; ) {
    const byte = data.readUInt8(at)
    at += 1
    if (byte <= 21) {
      const key = byte === 12 ? 1200 + data.readUInt8(at++) : byte
      found.set(key, operands)
      operands = []
    } else if (byte === 28) {
      operands.push(data.readInt16BE(at))
      at += 2
    } else if (byte === 29) {
      operands.push(data.readInt32BE(at))
      at += 4
    } else if (byte === 30) {
      // A real number in nibbles, ended by 0xf; none of those is needed here.
      while ((data.readUInt8(at) & 0x0f) !== 0x0f && data.readUInt8(at) >> 4 !== 0x0f) at += 1
      at += 1
      operands.push(0)
    } else if (byte <= 246) operands.push(byte - 139)
    else if (byte <= 250) operands.push((byte - 247) * 256 + data.readUInt8(at++) + 108)
    else operands.push(-(byte - 251) * 256 - data.readUInt8(at++) - 108)
  }
  return found
}

function fontOf(cff: Buffer, start: number, glyph: number): number {
  if (cff.readUInt8(start) === 0) return cff.readUInt8(start + 1 + glyph)
  const ranges = cff.readUInt16BE(start + 1)
  for (let at = 0; at < ranges; at += 1)
    if (glyph < cff.readUInt16BE(start + 3 + (at + 1) * 3)) return cff.readUInt8(start + 3 + at * 3 + 2)
  return 0
}

/** Subroutines within subroutines: 10 by #5177. */
const DEEPEST = 10

class Charstring {
  readonly #pen: Pen
  readonly #globals: Index
  readonly #locals: Index | undefined
  #stack: number[] = []
  #stems = 0
  #done = false

  constructor(pen: Pen, globals: Index, locals: Index | undefined) {
    this.#pen = pen
    this.#globals = globals
    this.#locals = locals
  }

  run(code: Buffer, depth = 0): void {
    for (let at = 0; at < code.length && !this.#done; ) {
      const byte = code.readUInt8(at)
      at += 1
      if (byte === 28) {
        this.#stack.push(code.readInt16BE(at))
        at += 2
      } else if (byte === 255) {
        this.#stack.push(code.readInt32BE(at) / 65536)
        at += 4
      } else if (byte >= 251) this.#stack.push(-(byte - 251) * 256 - code.readUInt8(at++) - 108)
      else if (byte >= 247) this.#stack.push((byte - 247) * 256 + code.readUInt8(at++) + 108)
      else if (byte >= 32) this.#stack.push(byte - 139)
      else if (byte === 12) this.#flex(code.readUInt8(at++))
      else if (byte === 10 || byte === 29) {
        const routines = byte === 10 ? this.#locals : this.#globals
        if (routines && depth < DEEPEST) this.run(routines.item((this.#stack.pop() ?? 0) + bias(routines.count)), depth + 1)
      } else if (byte === 11) return
      else if (byte === 19 || byte === 20) {
        this.#hints()
        at += (this.#stems + 7) >> 3
      } else this.#operator(byte)
    }
  }

  #hints(): void {
    this.#stems += this.#stack.length >> 1
    this.#stack = []
  }

  #operator(byte: number): void {
    const stack = this.#stack
    switch (byte) {
      case 1:
      case 3:
      case 18:
      case 23:
        this.#hints()
        return
      case 14:
        this.#done = true
        return
      case 21:
        this.#move(stack.at(-2) ?? 0, stack.at(-1) ?? 0)
        return
      case 22:
        this.#move(stack.at(-1) ?? 0, 0)
        return
      case 4:
        this.#move(0, stack.at(-1) ?? 0)
        return
      case 5:
        this.#lines(stack.length)
        break
      case 6:
      case 7:
        this.#steps(byte === 6)
        break
      case 8:
        this.#curves(stack.length)
        break
      case 24:
        this.#curves(stack.length - 2)
        this.#lines(2)
        break
      case 25:
        this.#lines(stack.length - 6)
        this.#curves(6)
        break
      case 26:
      case 27:
        this.#alongAxis(byte === 27)
        break
      case 30:
      case 31:
        this.#alternating(byte === 31)
        break
      default:
        break
    }
    this.#stack = []
  }

  #move(dx: number, dy: number): void {
    this.#pen.move(this.#pen.x + dx, this.#pen.y + dy)
    this.#stack = []
  }

  #take(): number {
    return this.#stack.shift() ?? 0
  }

  #line(dx: number, dy: number): void {
    this.#pen.line(this.#pen.x + dx, this.#pen.y + dy)
  }

  #curve(a: number, b: number, c: number, d: number, e: number, f: number): void {
    const [x1, y1] = [this.#pen.x + a, this.#pen.y + b]
    const [x2, y2] = [x1 + c, y1 + d]
    this.#pen.cubic(x1, y1, x2, y2, x2 + e, y2 + f)
  }

  #lines(operands: number): void {
    for (let left = operands; left >= 2; left -= 2) this.#line(this.#take(), this.#take())
  }

  #curves(operands: number): void {
    for (let left = operands; left >= 6; left -= 6)
      this.#curve(this.#take(), this.#take(), this.#take(), this.#take(), this.#take(), this.#take())
  }

  /** hlineto, vlineto: across and up in turn. */
  #steps(across: boolean): void {
    for (let flat = across; this.#stack.length > 0; flat = !flat) {
      const step = this.#take()
      this.#line(flat ? step : 0, flat ? 0 : step)
    }
  }

  /** hhcurveto, vvcurveto: both ends of each curve point along one axis. */
  #alongAxis(across: boolean): void {
    let aside = this.#stack.length % 4 === 1 ? this.#take() : 0
    while (this.#stack.length >= 4) {
      const [a, b, c, d] = [this.#take(), this.#take(), this.#take(), this.#take()]
      if (across) this.#curve(a, aside, b, c, d, 0)
      else this.#curve(aside, a, b, c, 0, d)
      aside = 0
    }
  }

  /** hvcurveto, vhcurveto: from one axis to the other in turn; the last may end askew. */
  #alternating(across: boolean): void {
    for (let flat = across; this.#stack.length >= 4; flat = !flat) {
      const [a, b, c, d] = [this.#take(), this.#take(), this.#take(), this.#take()]
      const last = this.#stack.length === 1 ? this.#take() : 0
      if (flat) this.#curve(a, 0, b, c, last, d)
      else this.#curve(0, a, b, c, d, last)
    }
  }

  #flex(byte: number): void {
    const s = this.#stack
    const at = (place: number): number => s[place] ?? 0
    if (byte === 35) this.#curves(12)
    else if (byte === 34) {
      this.#curve(at(0), 0, at(1), at(2), at(3), 0)
      this.#curve(at(4), 0, at(5), -at(2), at(6), 0)
    } else if (byte === 36) {
      this.#curve(at(0), at(1), at(2), at(3), at(4), 0)
      this.#curve(at(5), 0, at(6), at(7), at(8), -(at(1) + at(3) + at(7)))
    } else if (byte === 37) {
      const dx = at(0) + at(2) + at(4) + at(6) + at(8)
      const dy = at(1) + at(3) + at(5) + at(7) + at(9)
      const flat = Math.abs(dx) > Math.abs(dy)
      this.#curve(at(0), at(1), at(2), at(3), at(4), at(5))
      this.#curve(at(6), at(7), at(8), at(9), flat ? at(10) : -dx, flat ? -dy : at(10))
    }
    this.#stack = []
  }
}

function bias(count: number): number {
  if (count < 1240) return 107
  return count < 33900 ? 1131 : 32768
}
