/** Which sequences of one (gateway, epoch) are stored: everything up to the watermark, and pieces beyond a gap. */
import type { Sequence } from '../../daemon/contract/event.ts'

export interface Coverage {
  /** Everything up to here is stored, or was told as dropped. */
  watermark: Sequence
  /** Disjoint, ascending, none touching the watermark or each other. */
  pieces: [from: Sequence, to: Sequence][]
}

/** Pieces remembered beyond a gap. Knowledge of further ones is thrown away: the rows stay, and the gateway sends them again. */
const MAX_PIECES = 64

export const NOTHING: Coverage = { watermark: 0, pieces: [] }

/** `coverage` with `from`-`to` stored as well. */
export function cover(coverage: Coverage, from: Sequence, to: Sequence): Coverage {
  let { watermark } = coverage
  if (from <= watermark + 1 && coverage.pieces.length === 0) return to > watermark ? { watermark: to, pieces: [] } : coverage
  const pieces: Coverage['pieces'] = []
  let low = from
  let high = to
  for (const piece of coverage.pieces) {
    if (piece[1] + 1 < low || piece[0] > high + 1) pieces.push(piece)
    else {
      low = Math.min(low, piece[0])
      high = Math.max(high, piece[1])
    }
  }
  if (low <= watermark + 1) watermark = Math.max(watermark, high)
  else pieces.push([low, high])
  pieces.sort((a, b) => a[0] - b[0])
  while (pieces[0] && pieces[0][0] <= watermark + 1) watermark = Math.max(watermark, pieces.shift()?.[1] ?? 0)
  return { watermark, pieces: pieces.slice(0, MAX_PIECES) }
}
