/** The last 24 hours as data: what the chart draws, says and lists. Pure. */
import type { Slot, TradeChart } from '../../ledger/api.ts'

type Steps = readonly (number | null)[]

/** With what is known of the step that goes on now. Steps in between that nobody told of were quiet: the stream was there. */
export function moved(chart: TradeChart, slot: Slot): TradeChart {
  const stepMs = chart.stepSeconds * 1_000
  const last = chart.arrivals.length - 1
  const ahead = Math.round((Date.parse(slot.at) - Date.parse(chart.from)) / stepMs) - last
  // A clock that was set back, or far ahead: the next snapshot tells.
  if (ahead < 0 || ahead > last) return chart
  const shift = (steps: Steps, now: number): (number | null)[] => {
    const next = [...steps.slice(ahead), ...Array<number>(ahead).fill(0)]
    next[last] = now
    return next
  }
  return {
    ...chart,
    from: new Date(Date.parse(chart.from) + ahead * stepMs).toISOString(),
    arrivals: shift(chart.arrivals, slot.arrivals),
    payments: shift(chart.payments, slot.payments),
  }
}

const sum = (steps: Steps): number => steps.reduce<number>((total, one) => total + (one ?? 0), 0)

export interface Hour {
  /** Unix ms. */
  from: number
  /** Null: nothing is known of any part of it. */
  arrivals: number | null
  payments: number | null
}

export interface ChartFacts {
  arrivals: number
  payments: number
  /** Unix ms of the hour with most arrivals; undefined without any. */
  busiest?: { from: number; arrivals: number }
  /** Ms of which nothing is known. */
  unknown: number
  hours: Hour[]
}

const HOUR_MS = 3_600_000

export function chartFacts({ from, stepSeconds, arrivals, payments }: TradeChart): ChartFacts {
  const start = Date.parse(from)
  const hours = new Map<number, Hour>()
  let unknown = 0
  for (const [index, came] of arrivals.entries()) {
    const at = start + index * stepSeconds * 1_000
    const hour = Math.floor(at / HOUR_MS) * HOUR_MS
    const known = hours.get(hour) ?? { from: hour, arrivals: null, payments: null }
    if (came === null) unknown += stepSeconds * 1_000
    else {
      known.arrivals = (known.arrivals ?? 0) + came
      known.payments = (known.payments ?? 0) + (payments[index] ?? 0)
    }
    hours.set(hour, known)
  }
  const all = [...hours.values()]
  const top = all.reduce<Hour | undefined>((best, one) => ((one.arrivals ?? 0) > (best?.arrivals ?? 0) ? one : best), undefined)
  return {
    arrivals: sum(arrivals),
    payments: sum(payments),
    ...(top ? { busiest: { from: top.from, arrivals: top.arrivals ?? 0 } } : {}),
    unknown,
    hours: all,
  }
}

/** Bars from a base line, one unit wide: up to `height` for the highest. */
export function bars(steps: Steps, base: number, height: number, most: number): string {
  let path = ''
  for (const [index, value] of steps.entries()) {
    if (value === null || value === 0) continue
    const tall = Math.round((value / most) * height * 10) / 10
    path += `M${index} ${base}v${-tall}h1v${tall}z`
  }
  return path
}

/** Where nothing is known, from top to bottom. */
export function gaps(steps: Steps, height: number): string {
  let path = ''
  for (let index = 0; index < steps.length; ) {
    let end = index
    while (end < steps.length && steps[end] === null) end += 1
    if (end > index) path += `M${index} 0h${end - index}v${height}h${index - end}z`
    index = Math.max(end, index + 1)
  }
  return path
}
