/** What payments and HQ make of a reserved code. Part of the redemption machine. */
import type { ErrorCode } from '../../../daemon/contract/errors.ts'
import type { Json, JsonObject } from '../../../daemon/contract/json.ts'
import type { OpenPayment, PaymentOutcome } from './api.ts'
import type { Live, Question, RedeemEffect, RedeemState } from './redeem-state.ts'
import { commit, committed, giveBack, keep, refuse, release, released, returned } from './steps.machine.ts'

const ENDED_MOST = 500
const RETRY_FIRST_MS = 1_000
const RETRY_MOST_MS = 120_000

/** What the till held is for this payment. */
export function onOpened(state: RedeemState, payment: OpenPayment): RedeemEffect[] {
  const effects: RedeemEffect[] = []
  if (state.ended.has(payment.payment)) return effects
  for (const live of openOnes(state)) {
    const { record } = live
    const held = record.payment === undefined && (record.phase === 'reserving' || record.phase === 'reserved')
    if (held && record.till === payment.till) effects.push(...attach(live, payment))
  }
  return effects
}

export function attach(live: Live, payment: OpenPayment): RedeemEffect[] {
  const { record } = live
  record.payment = payment.payment
  record.order = payment.order
  delete record.heldUntil
  if (record.phase === 'reserved') delete live.dueAt
  return [keep(live)]
}

export function onSettled(state: RedeemState, payment: string, outcome: PaymentOutcome, now: number): RedeemEffect[] {
  const effects: RedeemEffect[] = []
  state.ended.add(payment)
  for (const oldest of state.ended) {
    if (state.ended.size <= ENDED_MOST) break
    state.ended.delete(oldest)
  }
  for (const live of state.redemptions.values()) if (live.record.payment === payment) effects.push(...settle(state, live, outcome, now))
  return effects
}

function settle(state: RedeemState, live: Live, outcome: PaymentOutcome, now: number): RedeemEffect[] {
  switch (live.record.phase) {
    case 'reserving':
      // The till never heard yes, so nothing was given for it.
      return refuse(state, live, 'payment-final', `the payment was ${outcome} before it was known whether the code counts`, now)
    case 'reserved':
      return outcome === 'paid' ? commit(live, now) : release(state, live, outcome, `the payment was ${outcome}`, now)
    case 'committing':
    case 'committed':
      return outcome === 'refunded' || outcome === 'reversed' ? giveBack(state, live, outcome, now) : []
    default:
      return []
  }
}

export function onAnswer(
  state: RedeemState,
  live: Live,
  question: Exclude<Question, 'reserve'>,
  answer: Json,
  now: number,
  wall: number,
): RedeemEffect[] {
  const { record } = live
  const said = answer !== null && typeof answer === 'object' && !Array.isArray(answer) ? answer : {}
  if (question === 'commit' && record.phase === 'committing') return committed(state, live, conflictIn(said), now, wall)
  if (question === 'release' && record.phase === 'releasing') return released(state, live, wall)
  if (question === 'unredeem' && record.phase === 'returning') return returned(state, live, said.reusable === true, wall)
  return []
}

const CONFLICT_CHARACTERS = 4_096

function conflictIn({ conflict }: JsonObject): JsonObject | undefined {
  if (conflict === undefined || conflict === null || conflict === false) return undefined
  const small = JSON.stringify(conflict).length <= CONFLICT_CHARACTERS
  return small && typeof conflict === 'object' && !Array.isArray(conflict) ? conflict : { message: 'HQ reports a conflict' }
}

/** Only HQ's word on the code itself is an end; everything else is asked again, for days if need be. */
export function onFailed(
  state: RedeemState,
  live: Live,
  question: Exclude<Question, 'reserve'>,
  failure: { code: ErrorCode; message: string; random: number },
  now: number,
  wall: number,
): RedeemEffect[] {
  const { code, message, random } = failure
  if (code === 'code-used' || code === 'code-invalid') {
    if (question === 'commit' && live.record.phase === 'committing') return committed(state, live, { code, message }, now, wall)
    if (question === 'release' && live.record.phase === 'releasing') return released(state, live, wall)
    if (question === 'unredeem' && live.record.phase === 'returning') return returned(state, live, false, wall)
  }
  live.attempts += 1
  live.trouble = `${code}: ${message}`
  live.dueAt = now + Math.min(RETRY_MOST_MS, RETRY_FIRST_MS * 2 ** Math.min(live.attempts - 1, 10)) * (0.5 + random / 2)
  return []
}

export function* openOnes(state: RedeemState): Generator<Live> {
  for (const id of [...state.open]) {
    const live = state.redemptions.get(id)
    if (live) yield live
  }
}
