/** When the next scheduled survey is due. */

export interface SurveySchedule {
  schedule: 'off' | 'daily' | 'hourly'
  /** `HH:MM`, the box's local time; `hourly` takes its minutes. */
  at: string
}

/** Milliseconds from `now` to the next one, never 0; undefined: none is to come. */
export function untilNext({ schedule, at }: SurveySchedule, now: Date): number | undefined {
  if (schedule === 'off') return undefined
  const [hours = 0, minutes = 0] = at.split(':').map(Number)
  const next = new Date(now)
  next.setMinutes(minutes, 0, 0)
  if (schedule === 'hourly') {
    if (next <= now) next.setHours(next.getHours() + 1)
  } else {
    next.setHours(hours)
    // By the calendar, not by 24 h: a day may have 23 or 25.
    if (next <= now) next.setDate(next.getDate() + 1)
  }
  return Math.max(1_000, next.getTime() - now.getTime())
}
