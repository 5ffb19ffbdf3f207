/** From a scan to yes or no: HQ's word, or the offline list's while HQ is away. Part of the redemption machine. */
import type { ErrorCode } from '../../../daemon/contract/errors.ts'
import type { Json, JsonObject } from '../../../daemon/contract/json.ts'
import { guessedWrong, isLocked } from './guesses.machine.ts'
import type { Live, RedeemEffect, RedeemEvent, RedeemState } from './redeem-state.ts'
import { codeKey, type Reason, type Redemption, type Worth } from './redemption.ts'
import { keep, refuse, reserve } from './steps.machine.ts'

/** A question to HQ that had no answer is asked again, under the same id, after this. */
const ASK_AGAIN_MS = 500

type Event<Type extends RedeemEvent['type']> = Extract<RedeemEvent, { type: Type }>

export function onScanned(state: RedeemState, event: Event<'scanned'>): RedeemEffect[] {
  // The journal delivers again what a crash cut off.
  if (state.redemptions.has(event.id)) return []
  const { id, till, kind, code, at, open, now, wall } = event
  const record: Redemption = { id, till, kind, code, at, phase: 'reserving', news: [] }
  if (open && !state.ended.has(open.payment)) Object.assign(record, { payment: open.payment, order: open.order })
  const live: Live = { record, dueAt: now, deadline: now + state.settings.reserveMs, attempts: 0, sent: false }
  state.redemptions.set(id, live)

  const key = codeKey(kind, code)
  const holder = state.redemptions.get(state.byCode.get(key) ?? '')
  const objection = objectionTo(state, live, holder, now, wall)
  if (objection) return refuse(state, live, objection.reason, objection.message, now)

  if (holder?.record.phase === 'releasing') {
    record.after = holder.record.id
    // HQ may be back: its release is tried at once, and only a new failure sends this code to the offline list.
    if (holder.asking === undefined) holder.dueAt = now
    delete holder.trouble
  }
  state.byCode.set(key, id)
  state.open.add(id)
  return [keep(live)]
}

interface Objection {
  reason: Reason
  message: string
}

function objectionTo(state: RedeemState, { record }: Live, holder: Live | undefined, now: number, wall: number): Objection | undefined {
  if (wall - record.at > state.settings.holdMs)
    return { reason: 'late', message: 'the code was scanned too long ago to say which sale it was for; scan it again' }
  if (isLocked(state.guesses, record.till, now)) return { reason: 'locked', message: 'too many wrong codes; try again later' }
  if (!holder || holder.record.phase === 'releasing') return undefined
  const { phase, till, payment } = holder.record
  if (phase === 'reserving' || phase === 'reserved')
    return till === record.till && (payment === record.payment || payment === undefined)
      ? { reason: 'already-here', message: 'this code is on this sale already' }
      : { reason: 'in-use', message: `this code is on another sale, at till ${till}` }
  return { reason: 'used', message: 'this code has been used' }
}

/** What HQ answered to `reserve`. */
export function onReserveAnswer(state: RedeemState, live: Live, answer: Json, now: number, wall: number): RedeemEffect[] {
  live.sent = true
  if (live.record.phase !== 'reserving') return []
  const worth = readWorth(answer)
  return worth
    ? reserve(state, live, worth, now, wall)
    : refuse(state, live, 'hq-malformed', 'HQ’s answer to "reserve" has no whole number from 0 on as its value', now)
}

const REASONS: Partial<Record<ErrorCode, Reason>> = { 'code-used': 'used', 'code-invalid': 'invalid', 'code-locked': 'locked' }
/** HQ, or the way to it, could not do it now: no word about the code. */
const NOT_NOW: ReadonlySet<ErrorCode> = new Set(['hq-no-answer', 'queue-full', 'stopping', 'internal', 'journal-full', 'journal-failed'])

export function onReserveFailed(state: RedeemState, live: Live, code: ErrorCode, message: string, now: number): RedeemEffect[] {
  const { record } = live
  if (code === 'hq-unreachable') return record.phase === 'reserving' ? lookUp(live) : []
  if (NOT_NOW.has(code)) {
    live.sent = true
    if (record.phase !== 'reserving') return []
    if (now + ASK_AGAIN_MS >= live.deadline) return lookUp(live)
    live.dueAt = now + ASK_AGAIN_MS
    return []
  }
  // HQ said no, so it holds nothing of this redemption.
  live.sent = false
  if (record.phase !== 'reserving') return []
  if (code === 'code-invalid') countWrong(state, record, now)
  return refuse(state, live, REASONS[code] ?? 'hq-refused', message, now)
}

export function lookUp(live: Live): RedeemEffect[] {
  live.asking = 'list'
  return [{ do: 'look-up', id: live.record.id, kind: live.record.kind, code: live.record.code }]
}

export function onLookedUp(state: RedeemState, live: Live, event: Event<'looked-up'>): RedeemEffect[] {
  if (live.asking === 'list') delete live.asking
  const { record } = live
  if (record.phase !== 'reserving') return []
  const { word, day, now, wall } = event
  const no = (reason: Reason, message: string) => refuse(state, live, reason, message, now)
  if (word.is === 'none') return no(live.sent ? 'hq-no-answer' : 'hq-away', `HQ does not answer, and ${word.why}`)
  if (word.is === 'unlisted') {
    countWrong(state, record, now)
    return no(live.sent ? 'hq-no-answer' : 'hq-away', 'HQ does not answer, and the code is not on its offline list')
  }
  if (word.stores && !word.stores.includes(state.settings.store)) return no('wrong-shop', 'this code is for other shops')
  if (word.from !== undefined && wall < word.from) return no('not-yet', 'this code does not count yet')
  if (word.until !== undefined && wall >= word.until) return no('expired', 'this code has expired')
  const { valuePerCode, valuePerDay } = state.settings.offline
  if (word.worth.value > valuePerCode) return no('offline-limit', `worth more than the ${valuePerCode} that a code may be without HQ`)
  if (spentOn(state, day) + word.worth.value > valuePerDay)
    return no('offline-limit', `today’s ${valuePerDay} that may be redeemed without HQ are used up`)
  record.offline = { list: word.list, day }
  return reserve(state, live, word.worth, now, wall)
}

function countWrong(state: RedeemState, record: Redemption, now: number): void {
  record.wrong = true
  guessedWrong(state.guesses, record.till, now)
}

function spentOn(state: RedeemState, day: string): number {
  let sum = 0
  for (const { record } of state.redemptions.values())
    if (record.offline?.day === day && (record.phase === 'reserved' || record.phase === 'committing' || record.phase === 'committed'))
      sum += record.worth?.value ?? 0
  return sum
}

/** `{value, currency?, label?, terms?}`; members that are not what they should be are left out, but never the value. */
function readWorth(answer: Json): Worth | undefined {
  if (answer === null || typeof answer !== 'object' || Array.isArray(answer)) return undefined
  const { value, currency, label, terms } = answer
  if (!Number.isSafeInteger(value) || (value as number) < 0) return undefined
  return {
    value: value as number,
    ...(typeof currency === 'string' && /^[A-Z]{3}$/.test(currency) ? { currency } : {}),
    ...(typeof label === 'string' ? { label: label.slice(0, 200) } : {}),
    ...(isTerms(terms) ? { terms } : {}),
  }
}

const TERMS_CHARACTERS = 4_096

const isTerms = (terms: Json | undefined): terms is JsonObject =>
  terms !== null && typeof terms === 'object' && !Array.isArray(terms) && JSON.stringify(terms).length <= TERMS_CHARACTERS
