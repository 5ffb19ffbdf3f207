import { Failure } from '../contract/errors.ts'
import type { DayStats, Stats, StatsAnswer } from '../ledger/api.ts'
import { DaemonClient, socketOf } from './client.ts'
import { type CliCommand, type Io, paint, parse, table, UsageError } from './io.ts'

/** `shopwire stats`: the last seven days, or those asked for. */
export const stats: CliCommand = async (args, io) => {
  const { values } = parse({
    args,
    options: {
      config: { type: 'string' },
      json: { type: 'boolean' },
      csv: { type: 'boolean' },
      day: { type: 'string' },
      from: { type: 'string' },
      to: { type: 'string' },
    },
  })
  if (values.day !== undefined && (values.from !== undefined || values.to !== undefined))
    throw new UsageError('--day: stands alone; use --from and --to for several days')
  if (values.json && values.csv) throw new UsageError('--json and --csv: one of them')
  const query = new URLSearchParams()
  const from = values.day ?? values.from
  const to = values.day ?? values.to
  if (from !== undefined) query.set('from', from)
  if (to !== undefined) query.set('to', to)
  if (values.csv) query.set('format', 'csv')
  const client = new DaemonClient(socketOf(values.config, io))
  try {
    const answer = await client.get<StatsAnswer | string>(`/api/v1/stats?${query}`)
    if (typeof answer === 'string') io.out(answer.replace(/^\ufeff/, '').trimEnd())
    else if (values.json) io.out(JSON.stringify(answer))
    else for (const line of lines(answer, io)) io.out(line)
  } catch (error) {
    if (error instanceof Failure && error.code === 'args-invalid') throw new UsageError(`--${error.message}`)
    throw error
  }
  return 0
}

function lines(answer: StatsAnswer, io: Io): string[] {
  const head = ['day', 'visits', 'first', 'returning', 'asleep', 'staff', 'stay', 'payments', 'linked', 'takings']
  const rows = [head, ...answer.days.map((one: DayStats) => row(one.day, one)), row('all', answer.total)]
  const [title = '', ...rest] = table(rows)
  const money = answer.total.payments.byChannel.map((one) => [
    `  ${one.channel || 'other'}`,
    `${one.count} payments`,
    `${amount(one.sum, one.currency)}`,
    `average ${amount(one.average, one.currency)}`,
    one.refunds === 0 ? '' : `${one.refunds} refunds, ${amount(one.refunded, one.currency)}`,
  ])
  const methods = Object.entries(answer.total.linked.byMethod).map(([method, count]) => `${method} ${count}`)
  const redeemed = Object.entries(answer.total.redeemed).map(([kind, count]) => `${kind} ${count}`)
  return [
    paint(io, 'bold', title),
    ...rest,
    ...table(money),
    ...(methods.length > 0 ? [`linked by ${methods.join(', ')}`] : []),
    ...(redeemed.length > 0 ? [`redeemed ${redeemed.join(', ')}`] : []),
    paint(io, 'gray', `days of ${answer.timeZone}`),
  ]
}

function row(day: string, { visits, payments, linked }: Stats): string[] {
  const sums = new Map<string, number>()
  for (const { currency, sum, refunded } of payments.byChannel) sums.set(currency, (sums.get(currency) ?? 0) + sum - refunded)
  return [
    day,
    ...[visits.count, visits.first, visits.returning, visits.sleeping, visits.staff].map(String),
    visits.dwellMedianSeconds === undefined ? '-' : `${Math.round(visits.dwellMedianSeconds / 60)} min`,
    String(payments.count),
    payments.count === 0 ? '-' : `${Math.round(linked.share * 100)} %`,
    sums.size === 0 ? '-' : [...sums].map(([currency, sum]) => amount(sum, currency)).join(' + '),
  ]
}

/** Minor units of ISO 4217: JPY has none, KWD three; two where the currency is not known. */
function amount(minor: number, currency: string): string {
  try {
    const format = new Intl.NumberFormat('en', { style: 'currency', currency, currencyDisplay: 'code' })
    return format.format(minor / 10 ** (format.resolvedOptions().maximumFractionDigits ?? 2)).replace('\u00a0', ' ')
  } catch {
    return `${(minor / 100).toFixed(2)} ${currency}`.trim()
  }
}
