/** What is forgotten: a person who asks for it, and what is too old to be linked. */
import { AFTERGLOW_MS, keepClaim, keepPayment, type LinkingEffect, type LinkingState, type Payment } from './state.ts'

/** A claim code on a receipt that is older than this is not honoured; older payments are not linked any more. */
const PAYMENT_MS = 8 * 86_400_000
const SESSION_MS = 86_400_000

export function onErased(state: LinkingState, visitor: string, older: readonly Payment[]): LinkingEffect[] {
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

export function forgetOld(state: LinkingState, wall: number): LinkingEffect[] {
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
