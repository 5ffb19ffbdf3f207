/** Claim codes: printed on a receipt, opened by a phone, and the payment between them. */
import type { Claimed, Receipt } from '../facts.ts'
import { CONFIDENCE, take } from './proof.ts'
import {
  type At,
  type Claim,
  keepClaim,
  keepPayment,
  type Link,
  type LinkingEffect,
  type LinkingState,
  NEAR_MS,
  type Payment,
  type Session,
  visitOf,
} from './state.ts'

const CLAIMED_ELSEWHERE = 0.7

export function onReceipt(state: LinkingState, fact: Receipt, at: At): LinkingEffect[] {
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

export function onClaimed(state: LinkingState, fact: Claimed, at: At): LinkingEffect[] {
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
