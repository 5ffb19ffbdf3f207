/**
 * Which visit a payment belongs to. Five methods, each with its confidence; one current link a payment; a stronger proof takes
 * the place of a weaker one, and a refund, reversal or erasure revokes it. Proofs name a person only where that person agreed;
 * what is only inferred names nobody and awards nothing: it serves statistics.
 */
import type { Machine } from '../contract/machine.ts'
import type { Claimed, Method, PaymentFact, Receipt, Revoked, SessionStarted } from './facts.ts'

/** Of these rules, in every link: a change of them is told from a change of the facts. */
export const RULE = '1'

/** Strongest first: of two with one confidence the first named wins. */
export const METHODS: readonly Method[] = ['payer_identity', 'portal_order', 'member_code', 'claim_code', 'single_candidate']
const CONFIDENCE: Record<Method, number> = {
  payer_identity: 0.99,
  portal_order: 0.95,
  member_code: 0.95,
  claim_code: 0.9,
  single_candidate: 0.5,
}
const CLAIMED_ELSEWHERE = 0.7

/** "The only identified session near the till in +-2 min." */
const NEAR_MS = 120_000
/** A phone sleeps, or is put away, before its owner has paid. */
const AFTERGLOW_MS = 600_000
/** A claim code on a receipt that is older than this is not honoured; older payments are not linked any more. */
const PAYMENT_MS = 8 * 86_400_000
const SESSION_MS = 86_400_000

export interface Link {
  method: Method
  confidence: number
  candidates: number
  session?: string
  visit?: string
  visitor?: string
  consent?: string
  evidence: string[]
}

export interface Session {
  session: string
  visitor: string
  member?: string
  /** Undefined: none was given, and nothing is linked through this session. */
  consent?: string
  identified: boolean
  start: number
  end?: number
  evidence: string
}

export interface Payment {
  payment: string
  /** Wall ms at which it was first heard of. */
  at: number
  till?: string
  amount: number
  /** Undefined until it is paid. */
  paid?: number
  session?: string
  member?: string
  payer?: string
  evidence: string[]
  link?: Link
  /** Minor units given back. */
  refunded: number
  over?: Revoked
  /** Wall ms at which the sessions nearby are counted. */
  count?: number
  /** A receipt was matched to it. */
  receipt?: string
}

export interface Claim {
  claim: string
  at: number
  /** On which it was printed; kept until its payment is known. */
  receipt?: string
  payment?: string
  evidence: string[]
  used: boolean
  /** Opened before its receipt was captured. */
  opened?: Claimed
}

export interface LinkingState {
  sessions: Map<string, Session>
  payments: Map<string, Payment>
  claims: Map<string, Claim>
  /** Visitor -> the visit, and since when it is over. */
  visits: Map<string, Stay>
  /** Payments whose `count` is to come. */
  counting: Set<string>
}

export interface Stay {
  visit: string
  left?: number
}

export interface At {
  wall: number
  /** Id of the event that says so. */
  event: string
}

export type LinkingEvent = At &
  (
    | { type: 'session'; fact: SessionStarted }
    | { type: 'session-ended'; session: string }
    /** `older`: what the ledger's tables know of a payment that is not remembered here any more. */
    | { type: 'payment'; fact: PaymentFact; older?: Payment | undefined }
    | { type: 'receipt'; fact: Receipt }
    | { type: 'claimed'; fact: Claimed }
    | { type: 'arrived'; visit: string; visitor: string }
    | { type: 'identified'; visit: string; visitor: string; was: string }
    | { type: 'departed'; visitor: string }
    | { type: 'erased'; visitor: string; older?: readonly Payment[] }
    | { type: 'time' }
  )

export type LinkingEffect = { do: 'link'; payment: string; link: Link; revoked?: Revoked } | Keep
export type Keep =
  | { do: 'keep'; kind: 'session'; key: string; value: Session | undefined }
  | { do: 'keep'; kind: 'payment'; key: string; value: Payment | undefined }
  | { do: 'keep'; kind: 'claim'; key: string; value: Claim | undefined }
  /** Who has left is remembered for a while; who is here stands in the visits. */
  | { do: 'keep'; kind: 'left'; key: string; value: Stay | undefined }

export const newLinking = (): LinkingState => ({
  sessions: new Map(),
  payments: new Map(),
  claims: new Map(),
  visits: new Map(),
  counting: new Set(),
})

export const linking: Machine<LinkingState, LinkingEvent, LinkingEffect> = {
  step(state, event) {
    switch (event.type) {
      case 'session':
        return [...forgetOld(state, event.wall), ...onSession(state, event.fact, event)]
      case 'session-ended': {
        const session = state.sessions.get(event.session)
        if (!session) return []
        session.end = event.wall
        return [keepSession(session)]
      }
      case 'payment':
        return onPayment(state, event.fact, event.older, event)
      case 'receipt':
        return onReceipt(state, event.fact, event)
      case 'claimed':
        return onClaimed(state, event.fact, event)
      case 'arrived':
        return here(state, event.visitor, event.visit)
      case 'identified':
        return onIdentified(state, event)
      case 'departed': {
        const visit = state.visits.get(event.visitor)
        if (!visit) return []
        visit.left = event.wall
        return [{ do: 'keep', kind: 'left', key: event.visitor, value: visit }]
      }
      case 'erased':
        return onErased(state, event.visitor, event.older ?? [])
      case 'time':
        return [...state.counting].flatMap((one) => infer(state, one, event.wall))
    }
  },
}

/** Wall ms at which sessions are to be counted next. */
export function nextCount(state: LinkingState): number | undefined {
  let next: number | undefined
  for (const payment of state.counting) {
    const count = state.payments.get(payment)?.count
    if (count !== undefined && (next === undefined || count < next)) next = count
  }
  return next
}

function onSession(state: LinkingState, fact: SessionStarted, at: At): LinkingEffect[] {
  const { session, visitor, station, member, consent } = fact
  const begun: Session = {
    session,
    visitor,
    ...(member === undefined ? {} : { member }),
    ...(consent === undefined ? {} : { consent }),
    identified: consent !== undefined && (member !== undefined || visitor !== station),
    start: at.wall,
    evidence: at.event,
  }
  state.sessions.set(session, begun)
  // Whoever paid first and logged in afterwards is still the payer.
  const waiting = [...state.payments.values()].filter((one) => one.paid !== undefined && at.wall - one.paid <= AFTERGLOW_MS)
  return [keepSession(begun), ...waiting.flatMap((one) => prove(state, one, at.wall))]
}

function onPayment(state: LinkingState, fact: PaymentFact, older: Payment | undefined, at: At): LinkingEffect[] {
  const payment = state.payments.get(fact.payment) ?? older ?? newPayment(fact, at.wall)
  const known = payment.paid !== undefined
  for (const key of ['till', 'session', 'member', 'payer'] as const) {
    const value = fact[key]
    if (value !== undefined) payment[key] = value
  }
  switch (fact.kind) {
    case 'opened':
      if (known) return []
      payment.amount = fact.amount
      break
    case 'paid':
      // Told twice, it is the same payment.
      if (known) return []
      payment.amount = fact.amount
      payment.paid = at.wall
      break
    case 'failed':
      if (known) return []
      state.payments.delete(fact.payment)
      state.counting.delete(fact.payment)
      return [{ do: 'keep', kind: 'payment', key: fact.payment, value: undefined }]
    case 'unknown':
      return []
    case 'refunded':
      payment.refunded = Math.max(payment.refunded, fact.refundedTotal ?? 0)
      if (payment.refunded < payment.amount) break
      return revoke(state, payment, 'refunded')
    case 'reversed':
      return revoke(state, payment, 'reversed')
  }
  if (fact.kind !== 'refunded') payment.evidence = [...payment.evidence.slice(-3), at.event]
  state.payments.set(payment.payment, payment)
  if (fact.kind !== 'paid') return [keepPayment(payment)]
  payment.count = at.wall + NEAR_MS
  state.counting.add(payment.payment)
  return [...forgetOld(state, at.wall), keepPayment(payment), ...prove(state, payment, at.wall)]
}

const newPayment = ({ payment, amount }: PaymentFact, at: number): Payment => ({ payment, at, amount, refunded: 0, evidence: [] })

function revoke(state: LinkingState, payment: Payment, why: Revoked): LinkingEffect[] {
  const { link } = payment
  payment.over = why
  delete payment.link
  settle(state, payment)
  state.payments.set(payment.payment, payment)
  return [...(link ? [{ do: 'link' as const, payment: payment.payment, link, revoked: why }] : []), keepPayment(payment)]
}

/** The strongest proof that the sessions of now give, if it is stronger than what there is. */
function prove(state: LinkingState, payment: Payment, wall: number): LinkingEffect[] {
  if (payment.paid === undefined || payment.over !== undefined) return []
  for (const method of ['payer_identity', 'portal_order', 'member_code'] as const) {
    if (!stronger(payment.link, method, CONFIDENCE[method])) return []
    const found = proofBy(state, payment, method, payment.paid, wall)
    if (found) return take(state, payment, found)
  }
  return []
}

function proofBy(state: LinkingState, payment: Payment, method: Method, paid: number, wall: number): Link | undefined {
  if (method === 'portal_order') {
    const session = payment.session === undefined ? undefined : state.sessions.get(payment.session)
    return session && linkThrough(state, payment, method, [session], wall)
  }
  const person = method === 'payer_identity' ? payment.payer : payment.member
  if (person === undefined) return undefined
  const theirs = [...state.sessions.values()].filter(
    (one) =>
      (one.visitor === person || one.member === person) && one.start - paid <= AFTERGLOW_MS && (one.end ?? wall) - paid >= -AFTERGLOW_MS,
  )
  if (theirs.length > 0) return linkThrough(state, payment, method, theirs, wall)
  // The member's card was seen at the till itself: no session is needed to know who that is.
  const visit = method === 'member_code' ? visitOf(state, person, wall) : undefined
  return visit === undefined
    ? undefined
    : { method, confidence: CONFIDENCE[method], candidates: 1, visit, visitor: person, evidence: payment.evidence }
}

/** All of `sessions` are the person's. Of several phones none is named. */
function linkThrough(state: LinkingState, payment: Payment, method: Method, sessions: readonly Session[], wall: number): Link | undefined {
  const agreed = sessions.filter((one) => one.consent !== undefined)
  const [first] = agreed
  if (!first) return undefined
  const { visitor, consent } = first
  if (agreed.some((one) => one.visitor !== visitor)) return undefined
  const visit = visitOf(state, visitor, wall)
  return {
    method,
    confidence: CONFIDENCE[method],
    candidates: agreed.length,
    ...(agreed.length === 1 ? { session: first.session } : {}),
    ...(visit === undefined ? {} : { visit }),
    visitor,
    ...(consent === undefined ? {} : { consent }),
    evidence: [...payment.evidence, ...agreed.map((one) => one.evidence)],
  }
}

function visitOf(state: LinkingState, visitor: string, wall: number): string | undefined {
  const visit = state.visits.get(visitor)
  return visit && (visit.left === undefined || wall - visit.left <= AFTERGLOW_MS) ? visit.visit : undefined
}

function stronger(link: Link | undefined, method: Method, confidence: number): boolean {
  if (!link || confidence !== link.confidence) return confidence > (link?.confidence ?? -1)
  return METHODS.indexOf(method) < METHODS.indexOf(link.method)
}

function take(state: LinkingState, payment: Payment, link: Link): LinkingEffect[] {
  if (!stronger(payment.link, link.method, link.confidence)) return []
  payment.link = link
  settle(state, payment)
  return [{ do: 'link', payment: payment.payment, link }, keepPayment(payment)]
}

function onReceipt(state: LinkingState, fact: Receipt, at: At): LinkingEffect[] {
  const payment = fact.payment === undefined ? paymentOf(state, fact, at.wall) : state.payments.get(fact.payment)
  if (payment) payment.receipt ??= fact.receipt
  const effects = payment ? [keepPayment(payment)] : []
  const claim = claimOf(state, fact, at.wall)
  if (!claim || claim.payment !== undefined) return effects
  claim.evidence = [at.event, ...claim.evidence]
  state.claims.set(claim.claim, claim)
  if (!payment) {
    claim.receipt = fact.receipt
    return [...effects, keepClaim(claim)]
  }
  claim.payment = payment.payment
  delete claim.receipt
  return [...effects, keepClaim(claim), ...(claim.opened ? honour(state, claim, claim.opened, at) : [])]
}

/** The claim on this receipt, whether it is told now or was when the receipt was printed and its payment not yet known. */
function claimOf(state: LinkingState, { claim, receipt }: Receipt, wall: number): Claim | undefined {
  if (claim !== undefined) return state.claims.get(claim) ?? { claim, at: wall, used: false, evidence: [] }
  for (const one of state.claims.values()) if (one.receipt === receipt) return one
  return undefined
}

/** A receipt that names no payment belongs to the only one of its till and total just now; of several, to none. */
function paymentOf(state: LinkingState, fact: Receipt, wall: number): Payment | undefined {
  if (fact.till === undefined || fact.total === undefined) return undefined
  const near = [...state.payments.values()].filter(
    (one) =>
      one.till === fact.till &&
      one.amount === fact.total &&
      one.receipt === undefined &&
      one.paid !== undefined &&
      Math.abs(wall - one.paid) <= NEAR_MS,
  )
  return near.length === 1 ? near[0] : undefined
}

function onClaimed(state: LinkingState, fact: Claimed, at: At): LinkingEffect[] {
  const claim = state.claims.get(fact.claim) ?? { claim: fact.claim, at: at.wall, used: false, evidence: [] }
  // Single use: whoever finds the paper later gets nothing by it.
  if (claim.used || claim.opened) return []
  state.claims.set(claim.claim, claim)
  claim.evidence = [...claim.evidence, at.event]
  if (claim.payment !== undefined) return honour(state, claim, fact, at)
  claim.opened = fact
  return [keepClaim(claim)]
}

function honour(state: LinkingState, claim: Claim, opened: Claimed, at: At): LinkingEffect[] {
  claim.used = true
  delete claim.opened
  const payment = state.payments.get(claim.payment ?? '')
  if (payment?.paid === undefined || payment.over !== undefined) return [keepClaim(claim)]
  const session = opened.session === undefined ? latestOf(state, opened.visitor) : state.sessions.get(opened.session)
  if (session?.consent === undefined) return [keepClaim(claim)]
  const visit = opened.network === 'guest' ? visitOf(state, session.visitor, at.wall) : undefined
  const link: Link = {
    method: 'claim_code',
    confidence: opened.network === 'guest' ? CONFIDENCE.claim_code : CLAIMED_ELSEWHERE,
    candidates: 1,
    session: session.session,
    ...(visit === undefined ? {} : { visit }),
    visitor: session.visitor,
    consent: session.consent,
    evidence: [...payment.evidence, ...claim.evidence],
  }
  return [keepClaim(claim), ...take(state, payment, link)]
}

function latestOf(state: LinkingState, visitor: string | undefined): Session | undefined {
  let latest: Session | undefined
  if (visitor !== undefined)
    for (const one of state.sessions.values()) if (one.visitor === visitor && one.consent !== undefined) latest = one
  return latest
}

/** Two minutes later all that were near have been heard of. One alone is a guess worth counting; several are a number. */
function infer(state: LinkingState, id: string, wall: number): LinkingEffect[] {
  const payment = state.payments.get(id)
  if (payment?.count === undefined || payment.paid === undefined) state.counting.delete(id)
  if (payment?.count === undefined || payment.paid === undefined || wall < payment.count) return []
  const { paid } = payment
  settle(state, payment)
  const persons = new Set<string>()
  for (const one of state.sessions.values())
    if (one.identified && one.start <= paid + NEAR_MS && (one.end ?? wall) >= paid - NEAR_MS) persons.add(one.visitor)
  if (persons.size === 0 || payment.link) return [keepPayment(payment)]
  const confidence = persons.size === 1 ? CONFIDENCE.single_candidate : 0
  const link: Link = { method: 'single_candidate', confidence, candidates: persons.size, evidence: payment.evidence }
  return take(state, payment, link)
}

function settle(state: LinkingState, payment: Payment): void {
  delete payment.count
  state.counting.delete(payment.payment)
}

function here(state: LinkingState, visitor: string, visit: string): LinkingEffect[] {
  const gone = state.visits.get(visitor)?.left !== undefined
  state.visits.set(visitor, { visit })
  return gone ? [{ do: 'keep', kind: 'left', key: visitor, value: undefined }] : []
}

function onIdentified(state: LinkingState, { visit, visitor, was }: { visit: string; visitor: string; was: string }): LinkingEffect[] {
  const effects: LinkingEffect[] = []
  // A phone that logs in later is one session under another name.
  for (const session of state.sessions.values()) {
    if (session.visitor !== was) continue
    session.visitor = visitor
    session.identified = session.consent !== undefined
    effects.push(keepSession(session))
  }
  if (state.visits.get(was)?.visit === visit) state.visits.delete(was)
  return [...effects, ...here(state, visitor, visit)]
}

function onErased(state: LinkingState, visitor: string, older: readonly Payment[]): LinkingEffect[] {
  const effects: LinkingEffect[] = []
  if (state.visits.delete(visitor)) effects.push({ do: 'keep', kind: 'left', key: visitor, value: undefined })
  for (const session of [...state.sessions.values()]) {
    if (session.visitor !== visitor && session.member !== visitor) continue
    state.sessions.delete(session.session)
    effects.push({ do: 'keep', kind: 'session', key: session.session, value: undefined })
  }
  for (const claim of state.claims.values()) {
    if (claim.opened?.visitor !== visitor) continue
    delete claim.opened
    claim.used = true
    effects.push(keepClaim(claim))
  }
  for (const payment of state.payments.values()) {
    const theirs = payment.member === visitor || payment.payer === visitor
    if (payment.member === visitor) delete payment.member
    if (payment.payer === visitor) delete payment.payer
    if (payment.link?.visitor === visitor) effects.push(withoutPerson(payment))
    if (theirs || payment.link?.visitor === visitor) {
      delete payment.link
      effects.push(keepPayment(payment))
    }
  }
  for (const payment of older) if (payment.link && !state.payments.has(payment.payment)) effects.push(withoutPerson(payment))
  return effects
}

/** What is told of an erasure names nobody. */
function withoutPerson({ payment, link }: Payment): LinkingEffect {
  const { method = 'single_candidate', confidence = 0, candidates = 0 } = link ?? {}
  return { do: 'link', payment, link: { method, confidence, candidates, evidence: [] }, revoked: 'erased' }
}

function forgetOld(state: LinkingState, wall: number): LinkingEffect[] {
  const effects: LinkingEffect[] = []
  for (const one of state.payments.values()) {
    if (wall - one.at <= PAYMENT_MS) break
    state.payments.delete(one.payment)
    state.counting.delete(one.payment)
    effects.push({ do: 'keep', kind: 'payment', key: one.payment, value: undefined })
  }
  for (const one of state.claims.values()) {
    if (wall - one.at <= PAYMENT_MS) break
    state.claims.delete(one.claim)
    effects.push({ do: 'keep', kind: 'claim', key: one.claim, value: undefined })
  }
  for (const one of state.sessions.values()) {
    if (wall - one.start <= SESSION_MS) break
    if (wall - (one.end ?? wall) <= SESSION_MS && wall - one.start <= 7 * SESSION_MS) continue
    state.sessions.delete(one.session)
    effects.push({ do: 'keep', kind: 'session', key: one.session, value: undefined })
  }
  for (const [visitor, { left }] of state.visits) {
    if (left === undefined || wall - left <= AFTERGLOW_MS) continue
    state.visits.delete(visitor)
    effects.push({ do: 'keep', kind: 'left', key: visitor, value: undefined })
  }
  return effects
}

const keepSession = (session: Session): LinkingEffect => ({ do: 'keep', kind: 'session', key: session.session, value: session })
const keepPayment = (payment: Payment): LinkingEffect => ({ do: 'keep', kind: 'payment', key: payment.payment, value: payment })
const keepClaim = (claim: Claim): LinkingEffect => ({ do: 'keep', kind: 'claim', key: claim.claim, value: claim })
