/** The hash chain over rows: what finds a disk that lied. Rows that retention took leave the hash of the last of them in a gap. */
import { hash } from 'node:crypto'
import type { Sequence } from '../contract/event.ts'

/** Everything from `first` to `last` is gone; `hash` is that of row `last`. */
export interface Gap {
  first: Sequence
  last: Sequence
  hash: string
}

/** What row 1 is chained to. */
export const genesis = (epoch: string): string => hash('sha256', epoch, 'base64url')

/** SHA-256, base64url, over the previous row's hash (as text) and the event's text. */
export const link = (previous: string, text: string): string => hash('sha256', previous + text, 'base64url')

/** `gaps` with `dropped` added; what touches becomes one. Both are free of overlaps among themselves; the result is in order. */
export function mergeGaps(gaps: readonly Gap[], dropped: readonly Gap[]): Gap[] {
  const merged: Gap[] = []
  for (const gap of [...gaps, ...dropped].sort((a, b) => a.first - b.first || a.last - b.last)) {
    const before = merged.at(-1)
    if (!before || gap.first > before.last + 1) merged.push({ ...gap })
    else if (gap.last > before.last) {
      before.last = gap.last
      before.hash = gap.hash
    }
  }
  return merged
}

/** Walks rows in order and says which is the first that does not fit. */
export class ChainCheck {
  checked = 0
  sequence: Sequence
  #hash: string

  /** `sequence` and `hash` are those of the row before the first one to come. */
  constructor(sequence: Sequence, hash: string) {
    this.sequence = sequence
    this.#hash = hash
  }

  /** True when the row is the next one and its hash is right. */
  row(sequence: Sequence, text: string, stored: string): boolean {
    if (sequence !== this.sequence + 1 || link(this.#hash, text) !== stored) return false
    this.sequence = sequence
    this.#hash = stored
    this.checked += 1
    return true
  }

  /** Passes over what retention took. A gap may have grown over rows that were checked already. */
  skip(gap: Gap): void {
    if (gap.first > this.sequence + 1 || gap.last <= this.sequence) return
    this.sequence = gap.last
    this.#hash = gap.hash
  }
}
