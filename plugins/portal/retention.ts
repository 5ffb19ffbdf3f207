/**
 * Up to which date old records go. What goes is gone for good, and a clock may be years ahead for a moment (a time server gone wrong, a dead battery),
 * so the date moves on by small steps, whatever the clock says.
 */

/** Before 2020 the clock has not been set: nothing is judged old by it. */
const CLOCK_SET_MS = Date.UTC(2020, 0, 1)
const HOUR_MS = 3_600_000
/** Restarts are no new days. */
const APART_MS = 20 * HOUR_MS
/** Two days a day, so that a shop that was closed for a month catches up. */
const STEP_MS = 48 * HOUR_MS

/** Unix ms, kept from one time to the next. */
export interface Pruned {
  /** What the clock said then. */
  at: number
  /** Records are judged as on this date. */
  upTo: number
}

/** Undefined when it is too early. The first time only the date is noted. */
export function nextPrune(wall: number, last: Pruned | undefined): Pruned | undefined {
  if (wall < CLOCK_SET_MS) return undefined
  if (!last) return { at: wall, upTo: wall }
  // A clock that stands before the last time was wrong then, or is now.
  if (wall >= last.at && wall - last.at < APART_MS) return undefined
  return { at: wall, upTo: Math.min(wall, last.upTo + STEP_MS) }
}
