/**
 * From single readings to a distance: a median of five throws out the spikes of multipath, a Kalman filter smooths what is left,
 * and the log-distance path loss model makes metres of it. Pure.
 */

/** How fast the true level of a walking person's tag wanders: variance in dB² per second. */
const PROCESS_PER_SECOND = 4
/** Variance of a median of five readings, dB²; single readings indoors scatter by 4 to 8 dB. */
const MEASUREMENT = 8
const WINDOW = 5

export interface Signal {
  /** Last readings, a ring. */
  readonly readings: Float64Array
  count: number
  /** Filtered level, dBm. */
  level: number
  variance: number
  at: number
}

export function newSignal(): Signal {
  return { readings: new Float64Array(WINDOW), count: 0, level: 0, variance: 0, at: 0 }
}

/** Forgets all readings: whoever comes back comes from somewhere else. */
export function clearSignal(signal: Signal): void {
  signal.count = 0
}

/** Takes one reading, dBm, at `now`, ms. */
export function filterSignal(signal: Signal, rssi: number, now: number): void {
  const { readings } = signal
  readings[signal.count % WINDOW] = rssi
  signal.count += 1
  const measured = median(readings, Math.min(signal.count, WINDOW))
  if (signal.count === 1) {
    signal.level = measured
    signal.variance = MEASUREMENT
  } else {
    const predicted = signal.variance + (PROCESS_PER_SECOND * Math.max(0, now - signal.at)) / 1_000
    const gain = predicted / (predicted + MEASUREMENT)
    signal.level += gain * (measured - signal.level)
    signal.variance = (1 - gain) * predicted
  }
  signal.at = now
}

const sorted = new Float64Array(WINDOW)

/** Insertion sort: five numbers. */
function median(readings: Float64Array, count: number): number {
  for (let at = 0; at < count; at++) {
    const value = readings[at] as number
    let slot = at
    for (; slot > 0 && (sorted[slot - 1] as number) > value; slot--) sorted[slot] = sorted[slot - 1] as number
    sorted[slot] = value
  }
  const middle = count >> 1
  return count % 2 === 1 ? (sorted[middle] as number) : ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2
}

/**
 * Metres. `power`: dBm at 1 m. `exponent`: 2 in free space, 1.6-1.8 along aisles, 2.5-4 through shelves and people.
 */
export function distanceOf(level: number, power: number, exponent: number): number {
  return 10 ** ((power - level) / (10 * exponent))
}
