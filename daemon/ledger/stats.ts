/** Sums of days, as they are told. */
import type { DayRow, MoneyStats, Stats } from './api.ts'
import { medianDwell, sumDwell } from './dwell.ts'
import type { Method } from './facts.ts'

/** Methods that only guess. */
const INFERRED: readonly Method[] = ['single_candidate']

export function statsOf(days: readonly DayRow[]): Stats {
  const sum = (of: (day: DayRow) => number): number => days.reduce((total, day) => total + of(day), 0)
  const dwell = sumDwell(days.map((day) => day.dwell))
  const median = medianDwell(dwell)
  const money = sumMoney(days.flatMap((day) => day.money))
  const paid = money.reduce((total, one) => total + one.count, 0)
  const byMethod = sumCounts(days.map((day) => day.linked)) as Partial<Record<Method, number>>
  const inferred = INFERRED.reduce((total, method) => total + (byMethod[method] ?? 0), 0)
  const linked = Object.values(byMethod).reduce((total, count) => total + count, 0) - inferred
  return {
    visits: {
      count: sum((day) => day.visits),
      first: sum((day) => day.first),
      returning: sum((day) => day.returning),
      sleeping: sum((day) => day.sleeping),
      staff: sum((day) => day.staff),
      ...(median === undefined ? {} : { dwellMedianSeconds: median, dwellMeanSeconds: Math.round(dwell.seconds / dwell.count) }),
    },
    payments: {
      count: paid,
      first: sum((day) => day.firstPayments),
      byChannel: money.map((one) => ({ ...one, average: one.count === 0 ? 0 : Math.round(one.sum / one.count) })),
    },
    linked: { count: linked, share: paid === 0 ? 0 : Math.round((linked / paid) * 10_000) / 10_000, inferred, byMethod },
    redeemed: sumCounts(days.map((day) => day.redeemed)),
  }
}

function sumMoney(all: readonly MoneyStats[]): MoneyStats[] {
  const sums = new Map<string, MoneyStats>()
  for (const one of all) {
    const key = `${one.currency} ${one.channel}`
    const sum = sums.get(key)
    if (!sum) sums.set(key, { ...one })
    else for (const part of ['count', 'sum', 'refunds', 'refunded'] as const) sum[part] += one[part]
  }
  return [...sums].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, sum]) => sum)
}

function sumCounts(all: readonly Partial<Record<string, number>>[]): Record<string, number> {
  const sums: Record<string, number> = {}
  for (const counts of all) for (const [key, count] of Object.entries(counts)) sums[key] = (sums[key] ?? 0) + (count ?? 0)
  return sums
}
