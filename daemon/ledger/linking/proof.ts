/** What links a payment to a visit, how sure that is, and which of two links stands. */
import type { Method } from '../facts.ts'
import {
  AFTERGLOW_MS,
  keepPayment,
  type Link,
  type LinkingEffect,
  type LinkingState,
  NEAR_MS,
  type Payment,
  type Session,
  settle,
  visitOf,
} from './state.ts'

/** Strongest first: of two with one confidence the first named wins. */
export const METHODS: readonly Method[] = ['payer_identity', 'portal_order', 'member_code', 'claim_code', 'single_candidate']
export const CONFIDENCE: Record<Method, number> = {
  payer_identity: 0.99,
  portal_order: 0.95,
  member_code: 0.95,
  claim_code: 0.9,
  single_candidate: 0.5,
}

/** The strongest proof that the sessions of now give, if it is stronger than what there is. */
export function prove(state: LinkingState, payment: Payment, wall: number): LinkingEffect[] {
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

function stronger(link: Link | undefined, method: Method, confidence: number): boolean {
  if (!link || confidence !== link.confidence) return confidence > (link?.confidence ?? -1)
  return METHODS.indexOf(method) < METHODS.indexOf(link.method)
}

export function take(state: LinkingState, payment: Payment, link: Link): LinkingEffect[] {
  if (!stronger(payment.link, link.method, link.confidence)) return []
  payment.link = link
  settle(state, payment)
  return [{ do: 'link', payment: payment.payment, link }, keepPayment(payment)]
}

/** Two minutes later all that were near have been heard of. One alone is a guess worth counting; several are a number. */
export function infer(state: LinkingState, id: string, wall: number): LinkingEffect[] {
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
