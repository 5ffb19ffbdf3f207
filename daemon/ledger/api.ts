/** What the ledger tells: rows, sums by day, and the last 24 hours. Types only. */
import type { Sequence } from '../contract/event.ts'
import type { By, Method, Role } from './facts.ts'

/** One stay of one person. Instants are RFC 3339, UTC. */
export interface VisitRow {
  visit: string
  visitor: string
  by: By
  role: Role
  arrived: string
  /** The shop's local day of the arrival. */
  day: string
  first: boolean
  /** How long this visitor had been away, where that is worth telling. */
  sleepingDays?: number
  /** The last sign, known once the leave grace is over; absent while somebody is still here. */
  departed?: string
  dwellSeconds?: number
  /** Pseudonyms of the same person before it was known who that is. */
  was?: string[]
}

export type PaymentState = 'opened' | 'paid' | 'failed' | 'unknown' | 'reversed' | 'refunded' | 'part-refunded'

/** Amounts are integer minor units. */
export interface PaymentRow {
  payment: string
  state: PaymentState
  /** When it was paid; until then when it was first heard of. */
  at: string
  day: string
  order?: string
  till?: string
  channel?: string
  currency: string
  amount: number
  refunded?: number
  firstPayment?: boolean
  receipt?: string
  session?: string
  member?: string
  payer?: string
  /** The current link: how it came about; what it leads to only where a person agreed. */
  method?: Method
  confidence?: number
  candidates?: number
  visit?: string
  visitor?: string
}

/** The current link of a payment, with what it rests on. */
export interface LinkRow {
  payment: string
  method: Method
  confidence: number
  candidates: number
  rule: string
  linked: string
  session?: string
  visit?: string
  visitor?: string
  consent?: string
  /** Ids of events. */
  evidence: string[]
}

export interface VisitorRow {
  visitor: string
  role: Role
  firstSeen: string
  lastSeen: string
  visits: number
}

export interface MoneyStats {
  currency: string
  channel: string
  count: number
  sum: number
  refunds: number
  refunded: number
}

/** Durations in log-spaced bins: medians within 5 %, and bins of days can be added up. */
export interface DwellStats {
  count: number
  seconds: number
  bins: Record<string, number>
}

/** One local day, as it is stored. */
export interface DayRow {
  day: string
  visits: number
  first: number
  returning: number
  sleeping: number
  staff: number
  dwell: DwellStats
  money: MoneyStats[]
  firstPayments: number
  /** Method -> payments of this day whose current link it is. */
  linked: Partial<Record<Method, number>>
  /** Kind -> how many. */
  redeemed: Record<string, number>
}

/** One day or several, as they are told. */
export interface Stats {
  /** Staff apart. */
  visits: {
    count: number
    first: number
    returning: number
    sleeping: number
    staff: number
    dwellMedianSeconds?: number
    dwellMeanSeconds?: number
  }
  payments: { count: number; first: number; byChannel: (MoneyStats & { average: number })[] }
  /** `share`: of payments, by a proof that names the visitor; `inferred` are for statistics only. */
  linked: { count: number; share: number; inferred: number; byMethod: Partial<Record<Method, number>> }
  redeemed: Record<string, number>
}

export type DayStats = Stats & { day: string }

export interface StatsAnswer {
  timeZone: string
  from: string
  to: string
  days: DayStats[]
  total: Stats
}

export interface VisitQuery {
  /** RFC 3339. */
  from?: string | undefined
  to?: string | undefined
  visitor?: string | undefined
  role?: Role | undefined
  day?: string | undefined
  limit: number
  /** `next` of the page before. */
  after?: string | undefined
}

export interface PaymentQuery {
  from?: string | undefined
  to?: string | undefined
  day?: string | undefined
  till?: string | undefined
  channel?: string | undefined
  currency?: string | undefined
  state?: PaymentState | undefined
  method?: Method | undefined
  limit: number
  after?: string | undefined
}

export interface LedgerPage<Row> {
  /** Newest first. */
  rows: Row[]
  next?: string
}

/** What a screen shows of trade: today's numbers and the last 24 hours. */
export interface Trade {
  day: string
  arrivals: number
  /** RFC 3339 of the last arrival, today or before. */
  lastArrival?: string
  payments: { count: number; linked: number; sums: { currency: string; sum: number }[]; last?: string }
  /** The step that goes on now. */
  slot: Slot
}

export interface Slot {
  /** RFC 3339, start of the step. */
  at: string
  arrivals: number
  payments: number
}

/** Steps of 24 hours, the newest one unfinished. `null`: the gateway did not run, or its clock was not set. */
export interface TradeChart {
  from: string
  stepSeconds: number
  arrivals: (number | null)[]
  payments: (number | null)[]
}

export interface Ledger {
  /** Rejects with `args-invalid` for a cursor or a day that is none. All of these first bring in what is journaled. */
  visits(query: VisitQuery): Promise<LedgerPage<VisitRow>>
  payments(query: PaymentQuery): Promise<LedgerPage<PaymentRow>>
  /** Both days included; at most 400. The last seven when absent. */
  stats(query: { from?: string | undefined; to?: string | undefined }): Promise<StatsAnswer>
  /** At once, as of at most a second ago. */
  trade(): Trade
  /** IANA name of the shop's time zone. */
  readonly timeZone: string
  chart(): TradeChart
  /** How far the rows have got. */
  readonly position: Sequence
}
