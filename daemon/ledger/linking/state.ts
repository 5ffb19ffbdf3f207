/** What linking remembers of sessions, payments, claims and visits, and how it is told to keep it. */
import type { Claimed, Method, Revoked } from '../facts.ts'

/** "The only identified session near the till in +-2 min." */
export const NEAR_MS = 120_000
/** A phone sleeps, or is put away, before its owner has paid. */
export const AFTERGLOW_MS = 600_000

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

export type Keep =
  | { do: 'keep'; kind: 'session'; key: string; value: Session | undefined }
  | { do: 'keep'; kind: 'payment'; key: string; value: Payment | undefined }
  | { do: 'keep'; kind: 'claim'; key: string; value: Claim | undefined }
  /** Who has left is remembered for a while; who is here stands in the visits. */
  | { do: 'keep'; kind: 'left'; key: string; value: Stay | undefined }

export type LinkingEffect = { do: 'link'; payment: string; link: Link; revoked?: Revoked } | Keep

export const newLinking = (): LinkingState => ({
  sessions: new Map(),
  payments: new Map(),
  claims: new Map(),
  visits: new Map(),
  counting: new Set(),
})

export const keepSession = (session: Session): LinkingEffect => ({ do: 'keep', kind: 'session', key: session.session, value: session })

export const keepPayment = (payment: Payment): LinkingEffect => ({ do: 'keep', kind: 'payment', key: payment.payment, value: payment })

export const keepClaim = (claim: Claim): LinkingEffect => ({ do: 'keep', kind: 'claim', key: claim.claim, value: claim })

/** Its sessions nearby need not be counted any more. */
export function settle(state: LinkingState, payment: Payment): void {
  delete payment.count
  state.counting.delete(payment.payment)
}

/** The visit that someone is in, or has left so short a time ago that they may still be paying. */
export function visitOf(state: LinkingState, visitor: string, wall: number): string | undefined {
  const visit = state.visits.get(visitor)
  return visit && (visit.left === undefined || wall - visit.left <= AFTERGLOW_MS) ? visit.visit : undefined
}
