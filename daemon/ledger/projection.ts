/** What each fact changes in the ledger's rows. Pure: the same facts in the same order give the same rows, however they are cut into batches. */
import type { TableSpec } from '../journal/api.ts'
import type { DayRow, LinkRow, PaymentRow, PaymentState, VisitorRow, VisitRow } from './api.ts'
import { addDwell, newDwell } from './dwell.ts'
import { type Arrived, compact, type Departed, type Fact, type Identified, type Linked, type PaymentFact, type Told } from './facts.ts'

/** Of the meaning of the rows: another one makes them anew from the journal. */
export const PROJECTION = '2'

export const TABLES = {
  visits: { fields: ['arrived', 'visitor', 'role', 'day'], indexes: [['arrived'], ['visitor']] },
  payments: {
    fields: ['at', 'day', 'till', 'channel', 'currency', 'state', 'method', 'visitor', 'payer', 'member'],
    indexes: [['at'], ['visitor'], ['payer'], ['member']],
  },
  links: { fields: ['visitor'], indexes: [['visitor']] },
  visitors: { fields: ['lastSeen'], indexes: [['lastSeen']] },
  rollups: { fields: [], indexes: [] },
  slots: { fields: [], indexes: [] },
  /** `line`: how far time has got; `frozen`: days that are kept from a journal that is not whole any more. */
  meta: { fields: [], indexes: [] },
} as const satisfies Record<string, TableSpec>

export type Table = keyof typeof TABLES

export interface SlotRow {
  arrivals: number
  payments: number
}

export interface RowTypes {
  visits: VisitRow
  payments: PaymentRow
  links: LinkRow
  visitors: VisitorRow
  rollups: DayRow
  slots: SlotRow
  meta: { last: number; frozen: string; pruned: string }
}

/** The rows that are at hand. `put` may be given a changed row that `get` gave. */
export interface Rows {
  get<Name extends Table>(table: Name, key: string): RowTypes[Name] | undefined
  put<Name extends Table>(table: Name, key: string, row: RowTypes[Name] | undefined): void
}

export const SLOT_MS = 300_000
const iso = (wall: number): string => new Date(wall).toISOString()
export const slotOf = (wall: number): string => iso(Math.floor(wall / SLOT_MS) * SLOT_MS)

/** Keys of the rows that `fold` will ask for, as far as the fact alone tells. */
export function keysOf({ told, day, wall }: Fact): [Table, string][] {
  switch (told.kind) {
    case 'arrived':
      return [
        ['visits', told.visit],
        ['visitors', told.visitor],
        ['rollups', day],
        ['slots', slotOf(wall)],
      ]
    case 'departed':
      return [
        ['visits', told.visit],
        ['visitors', told.visitor],
      ]
    case 'identified':
      return [
        ['visits', told.visit],
        ['visitors', told.visitor],
        ['visitors', told.was],
      ]
    case 'paid':
      return [
        ['payments', told.payment],
        ['rollups', day],
        ['slots', slotOf(wall)],
      ]
    case 'opened':
    case 'failed':
    case 'unknown':
      return [['payments', told.payment]]
    case 'reversed':
    case 'refunded':
      return [
        ['payments', told.payment],
        ['rollups', day],
      ]
    case 'linked':
      return [
        ['payments', told.payment],
        ['links', told.payment],
      ]
    case 'receipt':
      return told.payment === undefined ? [] : [['payments', told.payment]]
    case 'redeemed':
      return [['rollups', day]]
    default:
      return []
  }
}

/** The day whose sums a fact changes besides its own: that of the visit or payment it is about. */
export function dayOf(rows: Rows, told: Told): string | undefined {
  if (told.kind === 'departed' || told.kind === 'identified') return rows.get('visits', told.visit)?.day
  if (told.kind === 'linked' || told.kind === 'reversed' || told.kind === 'refunded') return rows.get('payments', told.payment)?.day
  return undefined
}

export function fold(rows: Rows, fact: Fact): void {
  const { told } = fact
  switch (told.kind) {
    case 'arrived':
      arrive(rows, fact, told)
      break
    case 'departed':
      depart(rows, told)
      break
    case 'identified':
      identify(rows, told)
      break
    case 'linked':
      link(rows, fact, told)
      break
    case 'receipt': {
      const row = told.payment === undefined ? undefined : rows.get('payments', told.payment)
      if (row && row.receipt === undefined) rows.put('payments', row.payment, { ...row, receipt: told.receipt })
      break
    }
    case 'redeemed':
      inDay(rows, fact.day, (day) => {
        day.redeemed[told.what] = (day.redeemed[told.what] ?? 0) + 1
      })
      break
    case 'opened':
    case 'paid':
    case 'failed':
    case 'unknown':
    case 'reversed':
    case 'refunded':
      pay(rows, fact, told)
      break
    default:
  }
}

function arrive(rows: Rows, fact: Fact, { visit, visitor, by, role, first, sleepingDays }: Arrived): void {
  if (rows.get('visits', visit)) return
  const row = compact<VisitRow>({ visit, visitor, by, role, arrived: iso(fact.wall), day: fact.day, first, sleepingDays })
  rows.put('visits', visit, row)
  countVisit(rows, row, 1)
  seen(rows, visitor, row, 1)
  if (role !== 'staff') inSlot(rows, fact, 'arrivals')
}

function depart(rows: Rows, { visit, visitor, dwellSeconds, into }: Departed): void {
  const row = rows.get('visits', visit)
  if (!row || row.departed !== undefined) return
  if (into !== undefined) {
    countVisit(rows, row, -1)
    rows.put('visits', visit, undefined)
    return
  }
  const end = iso(Date.parse(row.arrived) + dwellSeconds * 1_000)
  row.departed = end
  row.dwellSeconds = dwellSeconds
  rows.put('visits', visit, row)
  if (row.role !== 'staff') inDay(rows, row.day, (day) => addDwell(day.dwell, dwellSeconds))
  const known = rows.get('visitors', visitor)
  if (known && known.lastSeen < end) rows.put('visitors', visitor, { ...known, lastSeen: end })
}

function identify(rows: Rows, { visit, visitor, was, role, first, sleepingDays }: Identified): void {
  const row = rows.get('visits', visit)
  if (!row) return
  countVisit(rows, row, -1)
  row.visitor = visitor
  row.role = role ?? row.role
  row.first = first ?? row.first
  if (sleepingDays === undefined) delete row.sleepingDays
  else row.sleepingDays = sleepingDays
  row.was = [...new Set([...(row.was ?? []), was])]
  rows.put('visits', visit, row)
  countVisit(rows, row, 1)
  seen(rows, visitor, row, 1)
}

function pay(rows: Rows, fact: Fact, told: PaymentFact): void {
  const old = rows.get('payments', told.payment)
  const was = old?.state
  const final = was === 'paid' || was === 'reversed' || was === 'refunded' || was === 'part-refunded'
  const row: PaymentRow = compact<PaymentRow>({
    ...(old ?? { payment: told.payment, state: 'opened', at: iso(fact.wall), day: fact.day, currency: told.currency, amount: told.amount }),
    order: told.order ?? old?.order,
    till: told.till ?? old?.till,
    channel: told.channel ?? old?.channel,
    session: told.session ?? old?.session,
    member: told.member ?? old?.member,
    payer: told.payer ?? old?.payer,
    firstPayment: told.firstPayment ?? old?.firstPayment,
  })
  switch (told.kind) {
    case 'paid':
      // Told twice, it was paid once.
      if (final) return
      row.state = 'paid'
      row.at = iso(fact.wall)
      row.day = fact.day
      row.amount = told.amount
      row.currency = told.currency
      inMoney(rows, row.day, row, (money, day) => {
        money.count += 1
        money.sum += row.amount
        if (row.firstPayment) day.firstPayments += 1
      })
      inSlot(rows, fact, 'payments')
      break
    case 'reversed':
      if (was === 'reversed') return
      row.state = 'reversed'
      if (final) giveBack(rows, fact, row, row.amount - (row.refunded ?? 0))
      break
    case 'refunded': {
      const more = Math.min(told.refundedTotal ?? 0, row.amount) - (row.refunded ?? 0)
      if (more > 0) giveBack(rows, fact, row, more)
      row.state = (row.refunded ?? 0) >= row.amount ? 'refunded' : 'part-refunded'
      break
    }
    default: {
      if (final) return
      const state: PaymentState = told.kind
      row.state = state
    }
  }
  rows.put('payments', told.payment, row)
}

function giveBack(rows: Rows, fact: Fact, row: PaymentRow, amount: number): void {
  row.refunded = (row.refunded ?? 0) + amount
  inMoney(rows, fact.day, row, (money) => {
    money.refunds += 1
    money.refunded += amount
  })
}

function link(rows: Rows, fact: Fact, told: Linked): void {
  const row = rows.get('payments', told.payment)
  if (row?.method !== undefined) countLink(rows, row, -1)
  if (told.revoked !== undefined) {
    rows.put('links', told.payment, undefined)
    if (row) rows.put('payments', told.payment, unlinked(row))
    return
  }
  const { payment, method, confidence, candidates, rule, session, visit, visitor, consent, evidence } = told
  rows.put(
    'links',
    payment,
    compact<LinkRow>({ payment, method, confidence, candidates, rule, linked: iso(fact.wall), session, visit, visitor, consent, evidence }),
  )
  if (!row) return
  const next = compact<PaymentRow>({ ...unlinked(row), method, confidence, candidates, visit, visitor })
  rows.put('payments', payment, next)
  countLink(rows, next, 1)
}

/** The payment without what its link said. */
export function unlinked(row: PaymentRow): PaymentRow {
  const { method: _method, confidence: _confidence, candidates: _candidates, visit: _visit, visitor: _visitor, ...rest } = row
  return rest
}

/** Several candidates are a number, and no link. */
function countLink(rows: Rows, row: PaymentRow, sign: 1 | -1): void {
  const { method } = row
  if (method === undefined || row.confidence === 0) return
  inDay(rows, row.day, (day) => {
    const count = (day.linked[method] ?? 0) + sign
    if (count === 0) delete day.linked[method]
    else day.linked[method] = count
  })
}

function countVisit(rows: Rows, row: VisitRow, sign: 1 | -1): void {
  inDay(rows, row.day, (day) => {
    if (row.role === 'staff') {
      day.staff += sign
      return
    }
    day.visits += sign
    if (row.first) day.first += sign
    else day.returning += sign
    if (row.sleepingDays !== undefined) day.sleeping += sign
  })
}

function seen(rows: Rows, visitor: string, { arrived, role }: VisitRow, visits: number): void {
  const known = rows.get('visitors', visitor) ?? { visitor, role, firstSeen: arrived, lastSeen: arrived, visits: 0 }
  const lastSeen = known.lastSeen < arrived ? arrived : known.lastSeen
  rows.put('visitors', visitor, { ...known, role, lastSeen, visits: known.visits + visits })
}

function inSlot(rows: Rows, { wall, synced }: Fact, what: keyof SlotRow): void {
  // Without a clock nobody knows which five minutes these were.
  if (!synced) return
  const key = slotOf(wall)
  const slot = rows.get('slots', key) ?? { arrivals: 0, payments: 0 }
  slot[what] += 1
  rows.put('slots', key, slot)
}

export const newDay = (day: string): DayRow => ({
  day,
  visits: 0,
  first: 0,
  returning: 0,
  sleeping: 0,
  staff: 0,
  dwell: newDwell(),
  money: [],
  firstPayments: 0,
  linked: {},
  redeemed: {},
})

function inDay(rows: Rows, key: string, change: (day: DayRow) => void): void {
  // Its events are not all there any more: what was counted when they were is better.
  if (key <= (rows.get('meta', 'state')?.frozen ?? '')) return
  const day = rows.get('rollups', key) ?? newDay(key)
  change(day)
  rows.put('rollups', key, day)
}

function inMoney(
  rows: Rows,
  key: string,
  { currency, channel = '' }: PaymentRow,
  change: (money: DayRow['money'][0], day: DayRow) => void,
): void {
  inDay(rows, key, (day) => {
    let money = day.money.find((one) => one.currency === currency && one.channel === channel)
    if (!money) {
      money = { currency, channel, count: 0, sum: 0, refunds: 0, refunded: 0 }
      day.money.push(money)
    }
    change(money, day)
  })
}
