/**
 * Journaled events as the facts that the ledger knows. It knows them by their names, whichever plugin they come from. What does
 * not have the shape agreed on is no fact, and is passed over.
 */
import type { CloudEvent, Sequence } from '../contract/event.ts'
import type { Json, JsonObject } from '../contract/json.ts'
import type { StoredEvent } from '../journal/api.ts'
import type { Calendar } from './calendar.ts'

export type By = 'wifi' | 'portal' | 'member' | 'beacon'
export type Role = 'guest' | 'member' | 'staff'
export type Method = 'payer_identity' | 'portal_order' | 'member_code' | 'claim_code' | 'single_candidate'
export type Revoked = 'refunded' | 'reversed' | 'erased'

/** When and by what. `wall` is the best that is known: see `Timeline`. */
export interface Stamp {
  sequence: Sequence
  /** Of the event; names the visit that it opens. */
  event: string
  /** The plugin that says so. */
  source: string
  /** Unix ms. */
  wall: number
  synced: boolean
  /** The shop's local day, `2026-11-22`. */
  day: string
}

export interface Present {
  kind: 'present'
  visitor: string
  by: By
  role: Role
  was?: string
  session?: string
  /** False: a moment's sign that no `absent` will follow. */
  stays: boolean
}

export interface Absent {
  kind: 'absent'
  visitor: string
  /** How long before this event the last sign was, ms: both by the same clock. */
  silent: number
}

export interface Arrived {
  kind: 'arrived'
  visit: string
  visitor: string
  by: By
  role: Role
  first: boolean
  sleepingDays?: number
}

export interface Departed {
  kind: 'departed'
  visit: string
  visitor: string
  dwellSeconds: number
  /** The visit of the same person that goes on. */
  into?: string
}

export interface Identified {
  kind: 'identified'
  visit: string
  visitor: string
  was: string
  role?: Role
  first?: boolean
  sleepingDays?: number
}

export interface SessionStarted {
  kind: 'session-started'
  session: string
  visitor: string
  station?: string
  member?: string
  /** Its version; absent: none was given. */
  consent?: string
}

export interface PaymentFact {
  kind: 'opened' | 'paid' | 'failed' | 'unknown' | 'reversed' | 'refunded'
  payment: string
  order?: string
  till?: string
  /** Of the payment, whole: a refund repeats it. */
  amount: number
  /** All that has been given back so far, of a refund. A sum, so that an event told twice counts once. */
  refundedTotal?: number
  currency: string
  channel?: string
  session?: string
  member?: string
  payer?: string
  firstPayment?: boolean
}

export interface Linked {
  kind: 'linked'
  payment: string
  method: Method
  confidence: number
  candidates: number
  rule: string
  session?: string
  visit?: string
  visitor?: string
  consent?: string
  evidence: string[]
  revoked?: Revoked
}

export interface Receipt {
  kind: 'receipt'
  receipt: string
  till?: string
  total?: number
  payment?: string
  claim?: string
}

export interface Claimed {
  kind: 'claimed'
  claim: string
  session?: string
  visitor?: string
  network: 'guest' | 'other'
}

export type Told =
  | Present
  | Absent
  | Arrived
  | Departed
  | Identified
  | SessionStarted
  | { kind: 'session-ended'; session: string; visitor: string }
  | { kind: 'erased'; visitor: string }
  | PaymentFact
  | Linked
  | Receipt
  | Claimed
  | { kind: 'redeemed'; redemption: string; what: string; payment?: string }

export type Fact = Stamp & { told: Told }

/** The core's own source of `visit.*` and `payment.linked`; plugins cannot speak in these names. */
export const VISIT = 'visit'
export const PAYMENT = 'payment'

const BYS: readonly string[] = ['wifi', 'portal', 'member', 'beacon']
const ROLES: readonly string[] = ['guest', 'member', 'staff']
const METHODS: readonly string[] = ['payer_identity', 'portal_order', 'member_code', 'claim_code', 'single_candidate']
const REVOKED: readonly string[] = ['refunded', 'reversed', 'erased']

type Reader = (data: JsonObject, event: CloudEvent) => Told | undefined

const text = (value: Json | undefined): string | undefined =>
  typeof value === 'string' && value !== '' && value.length <= 256 ? value : undefined
const whole = (value: Json | undefined): number | undefined =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : undefined
const oneOf = <Word extends string>(words: readonly string[], value: Json | undefined): Word | undefined =>
  typeof value === 'string' && words.includes(value) ? (value as Word) : undefined

/** Leaves out what is undefined: rows and events have no empty members. */
export function compact<Value extends object>(value: { [Key in keyof Value]: Value[Key] | undefined }): Value {
  for (const key of Object.keys(value) as (keyof Value)[]) if (value[key] === undefined) delete value[key]
  return value as Value
}

const present: Reader = (data) => {
  const visitor = text(data.visitor)
  const by = oneOf<By>(BYS, data.by)
  if (visitor === undefined || by === undefined) return undefined
  const role = oneOf<Role>(ROLES, data.role) ?? (by === 'member' ? 'member' : 'guest')
  const was = text(data.was)
  return compact<Present>({
    kind: 'present',
    visitor,
    by,
    role,
    was: was === visitor ? undefined : was,
    session: text(data.session),
    stays: data.stays !== false,
  })
}

const absent: Reader = (data, event) => {
  const visitor = text(data.visitor)
  if (visitor === undefined) return undefined
  const silent = Date.parse(event.time) - Date.parse(String(data.lastSeen))
  return { kind: 'absent', visitor, silent: Number.isNaN(silent) ? 0 : Math.max(0, silent) }
}

const payment =
  (kind: PaymentFact['kind']): Reader =>
  (data) => {
    const id = text(data.payment)
    const amount = whole(data.amount)
    if (id === undefined || amount === undefined) return undefined
    return compact<PaymentFact>({
      kind,
      payment: id,
      order: text(data.order),
      till: text(data.till),
      amount,
      currency: text(data.currency) ?? '',
      channel: text(data.channel),
      session: text(data.session),
      member: text(data.member),
      payer: text(data.payer),
      firstPayment: data.firstPayment === true ? true : undefined,
    })
  }

/** `amount` is the payment's; what went back is `refundedTotal` (plugins/payment/plugin.json, `refunded`). */
const refunded: Reader = (data, event) => {
  const told = payment('refunded')(data, event)
  const refundedTotal = whole(data.refundedTotal)
  return told?.kind === 'refunded' && refundedTotal !== undefined ? { ...told, refundedTotal } : undefined
}

/** A refund that was refused, or of which nobody can say, leaves the payment paid. */
const ofPayment =
  (kind: 'failed' | 'unknown'): Reader =>
  (data, event) =>
    data.refund === undefined ? payment(kind)(data, event) : undefined

/** `late`: only an attempt's money went back, which had come after that attempt had failed. The payment may be paid by another. */
const reversed: Reader = (data, event) => payment(data.late === true ? 'failed' : 'reversed')(data, event)

const READERS: Record<string, Reader> = {
  'visit.arrived': (data) => {
    const [visit, visitor, by] = [text(data.visit), text(data.visitor), oneOf<By>(BYS, data.by)]
    if (visit === undefined || visitor === undefined || by === undefined) return undefined
    const role = oneOf<Role>(ROLES, data.role) ?? 'guest'
    return compact<Arrived>({
      kind: 'arrived',
      visit,
      visitor,
      by,
      role,
      first: data.first === true,
      sleepingDays: whole(data.sleepingDays),
    })
  },
  'visit.departed': (data) => {
    const [visit, visitor, dwellSeconds] = [text(data.visit), text(data.visitor), whole(data.dwellSeconds)]
    if (visit === undefined || visitor === undefined || dwellSeconds === undefined) return undefined
    return compact<Departed>({ kind: 'departed', visit, visitor, dwellSeconds, into: text(data.into) })
  },
  'visit.identified': (data) => {
    const [visit, visitor, was] = [text(data.visit), text(data.visitor), text(data.was)]
    if (visit === undefined || visitor === undefined || was === undefined) return undefined
    return compact<Identified>({
      kind: 'identified',
      visit,
      visitor,
      was,
      role: oneOf<Role>(ROLES, data.role),
      first: typeof data.first === 'boolean' ? data.first : undefined,
      sleepingDays: whole(data.sleepingDays),
    })
  },
  'portal.session-started': (data) => {
    const [session, visitor] = [text(data.session), text(data.visitor)]
    if (session === undefined || visitor === undefined) return undefined
    const { consent } = data
    const version = consent !== null && typeof consent === 'object' && !Array.isArray(consent) ? consent.version : consent
    return compact<SessionStarted>({
      kind: 'session-started',
      session,
      visitor,
      station: text(data.station),
      member: text(data.member),
      consent: text(typeof version === 'number' ? String(version) : version),
    })
  },
  'portal.session-ended': (data) => {
    const [session, visitor] = [text(data.session), text(data.visitor)]
    return session === undefined || visitor === undefined ? undefined : { kind: 'session-ended', session, visitor }
  },
  'portal.erased': (data) => {
    const visitor = text(data.visitor)
    return visitor === undefined ? undefined : { kind: 'erased', visitor }
  },
  'portal.claimed': (data) => {
    const claim = text(data.claim)
    if (claim === undefined) return undefined
    const network = data.network === 'guest' ? 'guest' : 'other'
    return compact<Claimed>({ kind: 'claimed', claim, session: text(data.session), visitor: text(data.visitor), network })
  },
  'payment.opened': payment('opened'),
  'payment.paid': payment('paid'),
  'payment.failed': ofPayment('failed'),
  'payment.unknown': ofPayment('unknown'),
  'payment.reversed': reversed,
  'payment.refunded': refunded,
  // Nothing was charged, or nothing is any more: for the books that is one with a failed one.
  'payment.cancelled': payment('failed'),
  'payment.redeemed': (data) => {
    const [redemption, what] = [text(data.redemption), text(data.kind)]
    if (redemption === undefined || what === undefined) return undefined
    const paid = text(data.payment)
    return { kind: 'redeemed', redemption, what, ...(paid === undefined ? {} : { payment: paid }) }
  },
  'payment.linked': (data) => {
    const [id, method] = [text(data.payment), oneOf<Method>(METHODS, data.method)]
    if (id === undefined || method === undefined) return undefined
    return compact<Linked>({
      kind: 'linked',
      payment: id,
      method,
      confidence: typeof data.confidence === 'number' ? data.confidence : 0,
      candidates: whole(data.candidates) ?? 0,
      rule: text(data.rule) ?? '',
      session: text(data.session),
      visit: text(data.visit),
      visitor: text(data.visitor),
      consent: text(data.consent),
      evidence: Array.isArray(data.evidence) ? data.evidence.filter((one): one is string => typeof one === 'string') : [],
      revoked: oneOf<Revoked>(REVOKED, data.revoked),
    })
  },
  'receipt.captured': (data) => {
    const receipt = text(data.receipt)
    if (receipt === undefined) return undefined
    return compact<Receipt>({
      kind: 'receipt',
      receipt,
      till: text(data.till),
      total: whole(data.total),
      payment: text(data.payment),
      claim: text(data.claim),
    })
  },
  // A payment that came after its receipt: the till had printed "please pay".
  'receipt.matched': (data) => {
    const [receipt, paid] = [text(data.receipt), text(data.payment)]
    if (receipt === undefined || paid === undefined) return undefined
    return compact<Receipt>({ kind: 'receipt', receipt, till: text(data.till), payment: paid, total: undefined, claim: undefined })
  },
}

/** Any plugin's: presence is nobody's own. */
const ANY: Record<string, Reader> = { present, absent }

const readerOf = (stored: StoredEvent): Reader | undefined =>
  stored.event === 'present' || stored.event === 'absent' ? ANY[stored.event] : READERS[`${stored.plugin}.${stored.event}`]

/** Whether an event can be a fact, without a look into its text. */
export const concerns = (stored: StoredEvent): boolean => readerOf(stored) !== undefined

/** Before this a clock has not been set, whatever it says of itself. */
const SANE = Date.UTC(2020, 0, 1)

/**
 * Gives each fact its time. While the clock is not set an event's own time means nothing; then the last good one stands for it,
 * since order is the sequence's and nothing happened before what precedes it.
 */
export class Timeline {
  /** Unix ms of the newest fact with a set clock. */
  last: number
  readonly #calendar: Calendar

  constructor(last: number, calendar: Calendar) {
    this.last = last
    this.#calendar = calendar
  }

  read(stored: StoredEvent): Fact | undefined {
    const reader = readerOf(stored)
    if (!reader) return undefined
    const event = JSON.parse(stored.text) as CloudEvent
    const told = reader(event.data, event)
    if (!told) return undefined
    const own = Date.parse(event.time)
    const synced = event.clock === 'synced' && own >= SANE
    if (synced) this.last = Math.max(this.last, own)
    const wall = synced || this.last === 0 ? own || 0 : this.last
    return { sequence: stored.sequence, event: event.id, source: stored.plugin, wall, synced, day: this.#calendar.day(wall), told }
  }
}
