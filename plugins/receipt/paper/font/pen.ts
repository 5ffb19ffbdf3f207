/** Draws outlines: curves become straight pieces as they are drawn. */
import type { Outline } from './sfnt.ts'

/** Pieces of a curve: enough for letters some 50 dots high. */
const PIECES = 6

export class Pen {
  readonly outline: Outline = []
  x = 0
  y = 0
  #contour: number[] = []

  move(x: number, y: number): void {
    this.close()
    this.#contour = [x, y]
    this.x = x
    this.y = y
  }

  line(x: number, y: number): void {
    this.#contour.push(x, y)
    this.x = x
    this.y = y
  }

  quadratic(cx: number, cy: number, x: number, y: number): void {
    const { x: x0, y: y0 } = this
    for (let piece = 1; piece <= PIECES; piece += 1) {
      const t = piece / PIECES
      const s = 1 - t
      this.line(s * s * x0 + 2 * s * t * cx + t * t * x, s * s * y0 + 2 * s * t * cy + t * t * y)
    }
  }

  cubic(ax: number, ay: number, bx: number, by: number, x: number, y: number): void {
    const { x: x0, y: y0 } = this
    for (let piece = 1; piece <= PIECES; piece += 1) {
      const t = piece / PIECES
      const s = 1 - t
      const [k0, k1, k2, k3] = [s * s * s, 3 * s * s * t, 3 * s * t * t, t * t * t]
      this.line(k0 * x0 + k1 * ax + k2 * bx + k3 * x, k0 * y0 + k1 * ay + k2 * by + k3 * y)
    }
  }

  close(): void {
    if (this.#contour.length > 4) this.outline.push(this.#contour)
    this.#contour = []
  }
}
