/** How long people stay, in bins that grow by a tenth: a median needs no list of all visits, and days can be added up. */
import type { DwellStats } from './api.ts'

const GROWTH = Math.log(1.1)

export const newDwell = (): DwellStats => ({ count: 0, seconds: 0, bins: {} })

/** Bin n holds 1.1^n to 1.1^(n+1) seconds. */
const binOf = (seconds: number): number => (seconds < 1 ? 0 : Math.floor(Math.log(seconds) / GROWTH + 1e-9))

/** `sign` -1 takes it out again. */
export function addDwell(stats: DwellStats, seconds: number, sign: 1 | -1 = 1): void {
  const bin = String(binOf(seconds))
  stats.count += sign
  stats.seconds += sign * seconds
  const left = (stats.bins[bin] ?? 0) + sign
  if (left === 0) delete stats.bins[bin]
  else stats.bins[bin] = left
}

export function sumDwell(all: readonly DwellStats[]): DwellStats {
  const sum = newDwell()
  for (const { count, seconds, bins } of all) {
    sum.count += count
    sum.seconds += seconds
    for (const [bin, n] of Object.entries(bins)) sum.bins[bin] = (sum.bins[bin] ?? 0) + n
  }
  return sum
}

/** Seconds; undefined without visits. */
export function medianDwell({ count, bins }: DwellStats): number | undefined {
  let seen = 0
  for (const bin of Object.keys(bins)
    .map(Number)
    .sort((a, b) => a - b)) {
    seen += bins[String(bin)] ?? 0
    if (seen * 2 >= count) return Math.round(Math.exp((bin + 0.5) * GROWTH))
  }
  return undefined
}
