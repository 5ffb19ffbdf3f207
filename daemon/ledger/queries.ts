/** Questions to the ledger's tables, a page at a time. */
import { Failure } from '../contract/errors.ts'
import type { Condition, Tables } from '../journal/api.ts'
import type { DayRow, LedgerPage, LinkRow, PaymentQuery, PaymentRow, StatsAnswer, VisitQuery, VisitRow } from './api.ts'
import { type Calendar, isDay, shiftDay } from './calendar.ts'
import type { Payment } from './linking/state.ts'
import { newDay, type Table } from './projection.ts'
import { statsOf } from './stats.ts'

const DAYS_MOST = 400

const invalid = (path: string, message: string): Failure => new Failure('args-invalid', `${path}: ${message}`, [{ path, message }])

export class Queries {
  readonly #tables: () => Tables
  readonly #calendar: Calendar

  constructor(tables: () => Tables, calendar: Calendar) {
    this.#tables = tables
    this.#calendar = calendar
  }

  visits({ from, to, day, visitor, role, limit, after }: VisitQuery): Promise<LedgerPage<VisitRow>> {
    return this.#page<VisitRow>('visits', 'arrived', [...span('arrived', from, to, day), ...equal({ visitor, role })], limit, after)
  }

  payments({ from, to, day, limit, after, ...rest }: PaymentQuery): Promise<LedgerPage<PaymentRow>> {
    return this.#page<PaymentRow>('payments', 'at', [...span('at', from, to, day), ...equal(rest)], limit, after)
  }

  async #page<Row>(
    table: Table,
    orderBy: string,
    where: readonly Condition[],
    limit: number,
    after: string | undefined,
  ): Promise<LedgerPage<Row>> {
    const rows = await this.#tables().select(table, {
      where,
      orderBy,
      descending: true,
      limit: limit + 1,
      ...(after === undefined ? {} : { after: readCursor(after) }),
    })
    const page = rows.slice(0, limit)
    const last = page.at(-1)
    return {
      rows: page.map(({ row }) => row as unknown as Row),
      ...(rows.length > limit && last ? { next: writeCursor(String(last.row[orderBy]), last.key) } : {}),
    }
  }

  async stats(given: { from?: string | undefined; to?: string | undefined }, today: string): Promise<StatsAnswer> {
    const to = dayOf('to', given.to) ?? today
    const from = dayOf('from', given.from) ?? (given.to === undefined ? shiftDay(to, -6) : to)
    if (from > to) throw invalid('from', `must not be after to (${to}); got ${from}`)
    if (shiftDay(from, DAYS_MOST - 1) < to) throw invalid('from', `at most ${DAYS_MOST} days at once are told; got ${from} to ${to}`)
    const found = await this.#tables().select('rollups', {
      where: [
        { field: 'key', is: '>=', value: from },
        { field: 'key', is: '<=', value: to },
      ],
      limit: DAYS_MOST,
    })
    const known = new Map(found.map(({ key, row }) => [key, row as unknown as DayRow]))
    const rows: DayRow[] = []
    for (let day = from; day <= to; day = shiftDay(day, 1)) rows.push(known.get(day) ?? newDay(day))
    return {
      timeZone: this.#calendar.timeZone,
      from,
      to,
      days: rows.map((row) => ({ day: row.day, ...statsOf([row]) })),
      total: statsOf(rows),
    }
  }

  /** A payment as the linking machine knows it, of what the tables hold. */
  async older(payment: string): Promise<Payment | undefined> {
    const row = (await this.#tables().get('payments', [payment])).get(payment) as unknown as PaymentRow | undefined
    if (!row) return undefined
    const link = (await this.#tables().get('links', [payment])).get(payment) as unknown as LinkRow | undefined
    return { ...paymentOf(row), ...(link ? { link: linkOf(link) } : {}) }
  }

  async linkedTo(visitor: string): Promise<Payment[]> {
    const links = await this.#tables().select('links', { where: [{ field: 'visitor', is: '=', value: visitor }], limit: 100_000 })
    return links.map(({ row }) => {
      const link = row as unknown as LinkRow
      return { payment: link.payment, at: 0, amount: 0, refunded: 0, evidence: [], link: linkOf(link) }
    })
  }
}

const paymentOf = (row: PaymentRow): Payment => ({
  payment: row.payment,
  at: Date.parse(row.at),
  amount: row.amount,
  refunded: row.refunded ?? 0,
  evidence: [],
  ...(row.state === 'opened' || row.state === 'failed' || row.state === 'unknown' ? {} : { paid: Date.parse(row.at) }),
})

function linkOf({ method, confidence, candidates, session, visit, visitor, consent, evidence }: LinkRow): NonNullable<Payment['link']> {
  return {
    method,
    confidence,
    candidates,
    ...(session === undefined ? {} : { session }),
    ...(visit === undefined ? {} : { visit }),
    ...(visitor === undefined ? {} : { visitor }),
    ...(consent === undefined ? {} : { consent }),
    evidence,
  }
}

function span(field: string, from: string | undefined, to: string | undefined, day: string | undefined): Condition[] {
  return [
    ...(from === undefined ? [] : [{ field, is: '>=' as const, value: instant('from', from) }]),
    ...(to === undefined ? [] : [{ field, is: '<' as const, value: instant('to', to) }]),
    ...(day === undefined ? [] : [{ field: 'day', is: '=' as const, value: dayOf('day', day) ?? '' }]),
  ]
}

const equal = (values: Record<string, string | undefined>): Condition[] =>
  Object.entries(values).flatMap(([field, value]) => (value === undefined ? [] : [{ field, is: '=' as const, value }]))

function instant(path: string, text: string): string {
  const at = Date.parse(text)
  if (Number.isNaN(at)) throw invalid(path, `must be an RFC 3339 instant, such as 2026-11-22T08:00:00Z; got ${text}`)
  return new Date(at).toISOString()
}

function dayOf(path: string, day: string | undefined): string | undefined {
  if (day !== undefined && !isDay(day)) throw invalid(path, `must be a day, such as 2026-11-22; got ${day}`)
  return day
}

const writeCursor = (value: string, key: string): string => Buffer.from(JSON.stringify([value, key])).toString('base64url')

function readCursor(text: string): { value: string; key: string } {
  try {
    const parts: unknown = JSON.parse(Buffer.from(text, 'base64url').toString())
    if (Array.isArray(parts)) {
      const [value, key] = parts as unknown[]
      if (typeof value === 'string' && typeof key === 'string') return { value, key }
    }
  } catch {
    // Told below.
  }
  throw invalid('after', 'must be the "next" of the page before')
}
