/** What cannot be true of one beacon: a level at 1 m that no radio has, or being in two places at once. Pure. */

/** dBm at 1 m: +20 dBm, class 1's most (Vol 6, Part A, 3), arrive as about -20; under -110 nothing is heard. */
const LEAST_POWER = -110
const MOST_POWER = -20
/** What most beacons have, for one whose claim cannot be. */
const USUAL_POWER = -59
const WINDOW = 16
/** Two clusters of levels with so much between them, dB: more than fading does to one beacon. */
const APART_DB = 20
/** So many of a window in each, and so many changes between them: by turns, not once. */
const FEWEST = 4
const CHANGES = 6
/** So many windows in a row. */
const WINDOWS = 3
/** An address that comes back so soon after another was heard is no address that was changed, this many times within the time. */
const BACK_MS = 60_000
const BACKS = 3

export interface Doubt {
  readonly levels: Float64Array
  count: number
  windows: number
  address: string
  other: string
  otherAt: number
  backs: number
}

export function newDoubt(): Doubt {
  return { levels: new Float64Array(WINDOW), count: 0, windows: 0, address: '', other: '', otherAt: 0, backs: 0 }
}

export function isPossible(power: number): boolean {
  return power >= LEAST_POWER && power <= MOST_POWER
}

/** dBm at 1 m to reckon with. */
export function believed(power: number): number {
  return isPossible(power) ? power : USUAL_POWER
}

/** True when two devices must be sending as this one. `now`: ms. */
export function isTwo(doubt: Doubt, address: string, rssi: number, now: number): boolean {
  if (address !== doubt.address) {
    if (address !== doubt.other) doubt.backs = 0
    else if (now - doubt.otherAt < BACK_MS) doubt.backs += 1
    doubt.other = doubt.address
    doubt.otherAt = now
    doubt.address = address
  }
  doubt.levels[doubt.count++ % WINDOW] = rssi
  if (doubt.count % WINDOW === 0) doubt.windows = isSplit(doubt.levels) ? doubt.windows + 1 : 0
  return doubt.backs >= BACKS || doubt.windows >= WINDOWS
}

function isSplit(levels: Float64Array): boolean {
  const sorted = levels.slice().sort()
  for (let at = FEWEST; at <= WINDOW - FEWEST; at++) {
    const [below, above] = [sorted[at - 1] as number, sorted[at] as number]
    if (above - below < APART_DB) continue
    let changes = 0
    for (let one = 1; one < WINDOW; one++) if ((levels[one] as number) > below !== (levels[one - 1] as number) > below) changes += 1
    return changes >= CHANGES
  }
  return false
}
