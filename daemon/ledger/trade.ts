/** Today's numbers and the last 24 hours, held in memory: what screens ask for every second. */
import type { Clock, WallMs } from '../contract/plugin.ts'
import type { Tables } from '../journal/api.ts'
import type { DayRow, PaymentRow, Slot, Trade, TradeChart, VisitRow } from './api.ts'
import type { Calendar } from './calendar.ts'
import { SLOT_MS, type SlotRow, slotOf } from './projection.ts'
import type { Run } from './running.ts'
import { statsOf } from './stats.ts'

const STEPS = 288
const KEPT_MS = (STEPS + 2) * SLOT_MS

export class TradeView {
  readonly #clock: Clock
  readonly #calendar: Calendar
  readonly #slots = new Map<string, SlotRow>()
  readonly #days = new Map<string, DayRow>()
  #lastArrival = ''
  #lastPaid = ''

  constructor(clock: Clock, calendar: Calendar) {
    this.#clock = clock
    this.#calendar = calendar
  }

  async load(tables: Tables): Promise<void> {
    const now = this.#clock.wall()
    for (const { key, row } of await tables.select('slots', {
      where: [{ field: 'key', is: '>=', value: slotOf(now - KEPT_MS) }],
      limit: STEPS + 10,
    }))
      this.#slots.set(key, row as unknown as SlotRow)
    for (const { key, row } of await tables.select('rollups', { descending: true, limit: 2 })) this.#days.set(key, row as unknown as DayRow)
    for (const { row } of (await tables.select('visits', { orderBy: 'arrived', descending: true, limit: 50 })).reverse())
      this.changed([{ table: 'visits', key: '', row }])
    for (const { row } of (await tables.select('payments', { orderBy: 'at', descending: true, limit: 50 })).reverse())
      this.changed([{ table: 'payments', key: '', row }])
  }

  changed(changes: readonly { table: string; key: string; row: object | undefined }[]): void {
    for (const { table, key, row } of changes) {
      if (row === undefined) continue
      if (table === 'slots') this.#slots.set(key, row as SlotRow)
      else if (table === 'rollups') this.#days.set(key, structuredClone(row) as DayRow)
      else if (table === 'visits') {
        const { role, arrived } = row as VisitRow
        if (role !== 'staff' && arrived > this.#lastArrival) this.#lastArrival = arrived
      } else if (table === 'payments') {
        const { state, at } = row as PaymentRow
        if (state !== 'opened' && state !== 'failed' && state !== 'unknown' && at > this.#lastPaid) this.#lastPaid = at
      }
    }
    this.#forget()
  }

  #forget(): void {
    if (this.#slots.size > STEPS * 2) {
      const oldest = slotOf(this.#clock.wall() - KEPT_MS)
      for (const key of this.#slots.keys()) if (key < oldest) this.#slots.delete(key)
    }
    const newest = [...this.#days.keys()].sort().slice(-3)
    if (this.#days.size > 6) for (const key of this.#days.keys()) if (!newest.includes(key)) this.#days.delete(key)
  }

  trade(): Trade {
    const now = this.#clock.wall()
    const day = this.#calendar.day(now)
    const row = this.#days.get(day)
    const stats = statsOf(row ? [row] : [])
    const sums = new Map<string, number>()
    for (const { currency, sum, refunded } of stats.payments.byChannel) sums.set(currency, (sums.get(currency) ?? 0) + sum - refunded)
    return {
      day,
      arrivals: stats.visits.count,
      ...(this.#lastArrival === '' ? {} : { lastArrival: this.#lastArrival }),
      payments: {
        count: stats.payments.count,
        linked: stats.linked.count,
        sums: [...sums].map(([currency, sum]) => ({ currency, sum })).sort((a, b) => b.sum - a.sum),
        ...(this.#lastPaid === '' ? {} : { last: this.#lastPaid }),
      },
      slot: this.#slot(now),
    }
  }

  #slot(now: WallMs): Slot {
    const at = slotOf(now)
    return { at, ...(this.#slots.get(at) ?? { arrivals: 0, payments: 0 }) }
  }

  chart(runs: readonly Run[]): TradeChart {
    const last = Math.floor(this.#clock.wall() / SLOT_MS) * SLOT_MS
    const from = last - (STEPS - 1) * SLOT_MS
    const arrivals: (number | null)[] = []
    const payments: (number | null)[] = []
    for (let at = from; at <= last; at += SLOT_MS) {
      const known = this.#slots.get(slotOf(at))
      const ran = runs.some((run) => run.from < at + SLOT_MS && run.to >= at)
      arrivals.push(known?.arrivals ?? (ran ? 0 : null))
      payments.push(known?.payments ?? (ran ? 0 : null))
    }
    return { from: slotOf(from), stepSeconds: SLOT_MS / 1_000, arrivals, payments }
  }
}
