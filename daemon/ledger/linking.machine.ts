/**
 * Which visit a payment belongs to. Five methods, each with its confidence; one current link a payment; a stronger proof takes
 * the place of a weaker one, and a refund, reversal or erasure revokes it. Proofs name a person only where that person agreed;
 * what is only inferred names nobody and awards nothing: it serves statistics.
 */
import type { Machine } from '../contract/machine.ts'
import type { Claimed, PaymentFact, Receipt, Revoked, SessionStarted } from './facts.ts'
import { onClaimed, onReceipt } from './linking/claim.ts'
import { forgetOld, onErased } from './linking/forget.ts'
import { infer, prove } from './linking/proof.ts'
import {
  AFTERGLOW_MS,
  type At,
  keepPayment,
  keepSession,
  type LinkingEffect,
  type LinkingState,
  NEAR_MS,
  type Payment,
  type Session,
  settle,
} from './linking/state.ts'

/** Of these rules, in every link: a change of them is told from a change of the facts. */
export const RULE = '1'

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
