/** The shop's days. */

const QUARTER_MS = 900_000
const DAY_MS = 86_400_000

/** Offsets from UTC are multiples of a quarter of an hour, and so are the moments at which they change. */
export class Calendar {
  readonly timeZone: string
  readonly #format: Intl.DateTimeFormat
  #quarter = Number.NaN
  #day = ''

  /** An IANA name; the system's own when undefined. */
  constructor(timeZone: string | undefined) {
    this.#format = new Intl.DateTimeFormat('en-CA', { timeZone, year: 'numeric', month: '2-digit', day: '2-digit' })
    this.timeZone = this.#format.resolvedOptions().timeZone
  }

  /** `2026-11-22` */
  day(wall: number): string {
    const quarter = Math.floor(wall / QUARTER_MS)
    if (quarter !== this.#quarter) {
      this.#quarter = quarter
      this.#day = this.#format.format(quarter * QUARTER_MS)
    }
    return this.#day
  }

  /** Unix ms of the first moment of a day. */
  start(day: string): number {
    // No zone is further than 14 hours from UTC.
    let low = Date.parse(`${day}T00:00:00Z`) - 14 * 3_600_000
    let high = low + 28 * 3_600_000
    while (high - low > QUARTER_MS) {
      const middle = low + Math.floor((high - low) / 2 / QUARTER_MS) * QUARTER_MS
      if (this.#format.format(middle) < day) low = middle
      else high = middle
    }
    return this.#format.format(low) < day ? high : low
  }
}

/** Calendar days apart do not change with the zone. */
export const shiftDay = (day: string, days: number): string =>
  new Date(Date.parse(`${day}T00:00:00Z`) + days * DAY_MS).toISOString().slice(0, 10)

export function isDay(day: string): boolean {
  const at = Date.parse(`${day}T00:00:00Z`)
  return /^\d{4}-\d{2}-\d{2}$/.test(day) && at >= 0 && new Date(at).toISOString().startsWith(day)
}
