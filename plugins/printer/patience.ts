import type { Clock } from '../../daemon/contract/plugin.ts'

const SLICES = 10

/**
 * Calls `over` after `ms` in which this process could have heard something. Timers run before what has arrived is read, so a gateway that
 * was held up (a card that tidies itself up, a busy core) would take its own silence for the printer's: in slices that costs one of them.
 */
export function patience(clock: Clock, ms: number, over: () => void): () => void {
  let left = SLICES
  let cancel = (): void => {}
  const next = (): void => {
    // The last of them only lets the process look once more.
    cancel = clock.timer(left > 0 ? ms / SLICES : 0, () => {
      left -= 1
      if (left >= 0) next()
      else over()
    })
  }
  next()
  return () => cancel()
}
