/** Dots, set or not. */
import type { Outline } from './font/sfnt.ts'

export class Canvas {
  readonly width: number
  readonly height: number
  /** Rows padded to bytes, highest bit left, 1 is ink. */
  readonly data: Buffer
  readonly #stride: number

  constructor(width: number, height: number) {
    this.width = width
    this.height = height
    this.#stride = (width + 7) >> 3
    this.data = Buffer.alloc(this.#stride * height)
  }

  fill(x: number, y: number, width: number, height: number): void {
    this.#area(x, y, width, height, (at, bit) => (this.data[at] = (this.data[at] ?? 0) | bit))
  }

  invert(x: number, y: number, width: number, height: number): void {
    this.#area(x, y, width, height, (at, bit) => (this.data[at] = (this.data[at] ?? 0) ^ bit))
  }

  frame(x: number, y: number, width: number, height: number): void {
    this.fill(x, y, width, 1)
    this.fill(x, y + height - 1, width, 1)
    this.fill(x, y, 1, height)
    this.fill(x + width - 1, y, 1, height)
  }

  /** Fills polygons (non-zero winding): font units times `sx`, `sy`, from (`left`, `foot`) up. A dot is set when its middle is inside. */
  shape(outline: Outline, sx: number, sy: number, left: number, foot: number): void {
    let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]
    for (const contour of outline)
      for (let at = 1; at < contour.length; at += 2) {
        low = Math.min(low, contour[at] ?? 0)
        high = Math.max(high, contour[at] ?? 0)
      }
    if (high < low) return
    for (let y = Math.floor(foot - high * sy); y <= Math.ceil(foot - low * sy); y += 1) {
      const crossings = crossingsAt(outline, (foot - y - 0.5) / sy)
      let winding = 0
      for (const [index, { x, way }] of crossings.entries()) {
        const next = crossings[index + 1]
        winding += way
        if (winding === 0 || !next) continue
        const from = Math.ceil(left + x * sx - 0.5)
        const to = Math.ceil(left + next.x * sx - 0.5)
        // A stroke thinner than a dot, as in a wide character squeezed into one cell, is a dot: else it would be lost.
        if (to > from) this.fill(from, y, to - from, 1)
        else this.fill(Math.floor(left + ((x + next.x) / 2) * sx), y, 1, 1)
      }
    }
  }

  #area(x: number, y: number, width: number, height: number, change: (at: number, bit: number) => void): void {
    for (let row = Math.max(0, y); row < Math.min(this.height, y + height); row += 1)
      for (let column = Math.max(0, x); column < Math.min(this.width, x + width); column += 1)
        change(row * this.#stride + (column >> 3), 0x80 >> (column & 7))
  }
}

/** Where the outline crosses the height `y`, from left to right, and which way. */
function crossingsAt(outline: Outline, y: number): { x: number; way: 1 | -1 }[] {
  const found: { x: number; way: 1 | -1 }[] = []
  for (const contour of outline) {
    let [x0, y0] = [contour.at(-2) ?? 0, contour.at(-1) ?? 0]
    for (let at = 0; at < contour.length; at += 2) {
      const [x1, y1] = [contour[at] ?? 0, contour[at + 1] ?? 0]
      if (y0 <= y !== y1 <= y) found.push({ x: x0 + ((y - y0) * (x1 - x0)) / (y1 - y0), way: y1 > y0 ? 1 : -1 })
      ;[x0, y0] = [x1, y1]
    }
  }
  return found.sort((a, b) => a.x - b.x)
}
