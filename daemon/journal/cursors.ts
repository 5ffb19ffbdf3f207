/** Readers' positions: in memory at once, on the disk lazily. */
import type { Sequence } from '../contract/event.ts'
import type { Cursor } from './api.ts'
import { CURSORS } from './schema.ts'
import type { KeyRow } from './store.ts'

export class Cursors {
  readonly #positions = new Map<string, Sequence>()
  readonly #dirty = new Set<string>()
  readonly #head: () => Sequence
  readonly #moved: (name: string) => void

  /** `moved` hears of every advance. */
  constructor(head: () => Sequence, moved: (name: string) => void) {
    this.#head = head
    this.#moved = moved
  }

  load(rows: readonly { key: string; value: string }[]): void {
    for (const row of rows) {
      const position = Number(row.value)
      if (Number.isSafeInteger(position)) this.#positions.set(row.key, position)
    }
  }

  position(name: string): Sequence {
    return this.#positions.get(name) ?? 0
  }

  cursor(name: string): Cursor {
    const cursors = this
    return {
      get position() {
        return cursors.position(name)
      },
      advance(to) {
        cursors.#advance(name, to)
      },
    }
  }

  /** What is to be made durable. `restore` takes it back when that failed. */
  take(): KeyRow[] {
    const rows = [...this.#dirty].map((name) => ({ space: CURSORS, key: name, value: String(this.position(name)) }))
    this.#dirty.clear()
    return rows
  }

  restore(rows: readonly KeyRow[]): void {
    for (const row of rows) if (row.space === CURSORS) this.#dirty.add(row.key)
  }

  get dirty(): boolean {
    return this.#dirty.size > 0
  }

  #advance(name: string, to: Sequence): void {
    // Nobody has read what is not there yet: an acknowledgement from beyond the head is somebody's mistake.
    const position = Math.min(to, this.#head())
    if (!Number.isSafeInteger(position) || position <= this.position(name)) return
    this.#positions.set(name, position)
    this.#dirty.add(name)
    this.#moved(name)
  }
}
