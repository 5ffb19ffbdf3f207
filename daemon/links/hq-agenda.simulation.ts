/** An invariant is broken. */
export class Violation extends Error {}

/** The only journal's epoch there is. */
export const EPOCH = 'e1'

/** What `up/events` says, without the events themselves. */
export interface EventsMessage {
  from: number
  to: number
  events: number[]
}

/** Things to do, by time, then by order. */
export class Agenda {
  readonly #heap: { at: number; order: number; run: () => void }[] = []
  #order = 0

  push(at: number, run: () => void): void {
    const heap = this.#heap
    const entry = { at, order: this.#order++, run }
    let here = heap.length
    heap.push(entry)
    while (here > 0) {
      const up = (here - 1) >> 1
      const parent = heap[up]
      if (!parent || !before(entry, parent)) break
      heap[here] = parent
      here = up
    }
    heap[here] = entry
  }

  pop(): { at: number; run: () => void } | undefined {
    const heap = this.#heap
    const first = heap[0]
    const last = heap.pop()
    if (!first || !last || heap.length === 0) return first
    let here = 0
    for (;;) {
      let down = 2 * here + 1
      const left = heap[down]
      const right = heap[down + 1]
      if (!left) break
      if (right && before(right, left)) down += 1
      const child = heap[down]
      if (!child || !before(child, last)) break
      heap[here] = child
      here = down
    }
    heap[here] = last
    return first
  }
}

function before(a: { at: number; order: number }, b: { at: number; order: number }): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order)
}
