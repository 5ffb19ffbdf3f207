/**
 * Decides what becomes of coupon, pickup and claim codes. The promises: a code is **committed for one payment at most**, and only
 * when that payment is paid (or the till itself completes a code that needs none); every code ends committed, released or refused;
 * and what the till has heard survives any crash. HQ hears of everything at least once, under ids that tell it a repeat.
 */
import type { JsonObject } from '../../../daemon/contract/json.ts'
import type { Machine } from '../../../daemon/contract/machine.ts'
import type { MonoMs, WallMs } from '../../../daemon/contract/plugin.ts'
import type { OpenPayment } from './api.ts'
import { type GuessLimits, guessedWrong, newGuesses } from './guesses.machine.ts'
import type { Live, Question, RedeemEffect, RedeemEvent, RedeemState, Settings } from './redeem-state.ts'
import { codeKey, isOpen, occupies, type Redemption } from './redemption.ts'
import { lookUp, onLookedUp, onReserveAnswer, onReserveFailed, onScanned } from './reserve.machine.ts'
import { attach, onAnswer, onFailed, onOpened, onSettled, openOnes } from './settle.machine.ts'
import { commit, keep, release, released } from './steps.machine.ts'

/** Questions under way to HQ about what is settled: after days offline HQ gets them a few at a time. */
const TELLING_MOST = 8
const DAY_MS = 86_400_000
/** Refused, released and returned ones, the oldest go first. */
const ENDED_MOST = 2_000
/** The payment side starts after us: what is held meets the payments it has open first. */
const BOOT_GRACE_MS = 5_000
const KEEP_ENDED_MS = DAY_MS
const KEEP_SPENT_MS = 30 * DAY_MS
const KEEP_CONFLICT_MS = 180 * DAY_MS

export function boot(
  settings: Settings,
  limits: GuessLimits,
  stored: readonly Redemption[],
  now: MonoMs,
  wall: WallMs,
): { state: RedeemState; effects: RedeemEffect[] } {
  const state: RedeemState = {
    settings,
    redemptions: new Map(),
    byCode: new Map(),
    open: new Set(),
    guesses: newGuesses(limits),
    ended: new Set(),
  }
  const effects: RedeemEffect[] = []
  for (const record of [...stored].sort((a, b) => a.at - b.at)) {
    const live: Live = { record, deadline: now + settings.reserveMs, attempts: 0, sent: true }
    state.redemptions.set(record.id, live)
    if (isOpen(record)) {
      state.open.add(record.id)
      // The wall clock may have jumped: never longer than a whole hold.
      if (record.phase !== 'reserved') live.dueAt = now
      else if (record.payment === undefined)
        live.dueAt = now + Math.min(settings.holdMs, Math.max(BOOT_GRACE_MS, (record.heldUntil ?? 0) - wall))
    }
    if (occupies(record) || record.phase === 'releasing') takeCode(state, record)
    if (record.wrong && wall - record.at < limits.windowMs) guessedWrong(state.guesses, record.till, now - Math.max(0, wall - record.at))
    if (record.news.length > 0) effects.push({ do: 'tell', id: record.id })
  }
  return { state, effects: [...effects, ...pump(state, now)] }
}

/** One that uses a code outranks one that is being released. */
function takeCode(state: RedeemState, record: Redemption): void {
  const key = codeKey(record.kind, record.code)
  const other = state.redemptions.get(state.byCode.get(key) ?? '')?.record
  if (!other || occupies(record) || !occupies(other)) state.byCode.set(key, record.id)
}

export const redeemMachine: Machine<RedeemState, RedeemEvent, RedeemEffect> = { step }

function step(state: RedeemState, event: RedeemEvent): readonly RedeemEffect[] {
  return [...react(state, event), ...pump(state, event.now)]
}

function react(state: RedeemState, event: RedeemEvent): RedeemEffect[] {
  const { now, wall } = event
  if (event.type === 'scanned') return onScanned(state, event)
  if (event.type === 'opened') return onOpened(state, event.payment)
  if (event.type === 'recalled') return onRecalled(state, event.records, now)
  if (event.type === 'settled') return onSettled(state, event.payment, event.outcome, now)
  if (event.type === 'tick') return onTick(state, event.payments, event.listIssuedAt, now, wall)
  const live = state.redemptions.get(event.id)
  if (!live) return []
  switch (event.type) {
    case 'answered':
      delete live.asking
      if (event.question === 'reserve') return onReserveAnswer(state, live, event.answer, now, wall)
      return onAnswer(state, live, event.question, event.answer, now, wall)
    case 'failed':
      delete live.asking
      if (event.question === 'reserve')
        return [...onReserveFailed(state, live, event.code, event.message, now), ...unheard(state, live, wall)]
      return onFailed(state, live, event.question, event, now, wall)
    case 'looked-up':
      return onLookedUp(state, live, event)
    case 'released':
      return live.record.phase === 'reserved' ? release(state, live, 'till', 'the till took it back', now) : []
    case 'completed':
      return mayComplete(state, live.record) ? complete(live, now) : []
    case 'told':
      live.record.news.shift()
      return [keep(live), ...(live.record.news.length > 0 ? [{ do: 'tell' as const, id: event.id }] : [])]
  }
}

/** HQ never took the reserve of what is being released: there is nothing to be told. */
function unheard(state: RedeemState, live: Live, wall: number): RedeemEffect[] {
  return live.record.phase === 'releasing' && !live.sent ? released(state, live, wall) : []
}

export const mayComplete = ({ settings }: RedeemState, { phase, kind }: Redemption): boolean =>
  phase === 'reserved' && settings.withoutPayment.includes(kind)

/** Honoured by itself: it has nothing to do with a payment that happens to be open. */
function complete(live: Live, now: number): RedeemEffect[] {
  delete live.record.payment
  delete live.record.order
  return commit(live, now)
}

function onTick(
  state: RedeemState,
  payments: readonly OpenPayment[],
  listIssuedAt: number | undefined,
  now: number,
  wall: number,
): RedeemEffect[] {
  const effects: RedeemEffect[] = []
  for (const live of openOnes(state)) {
    const { phase, payment, till } = live.record
    if (phase !== 'reserved' || payment !== undefined || (live.dueAt ?? Infinity) > now) continue
    // A crash may have come between the opening of a payment and our hearing of it.
    const open = payments.find((one) => one.till === till && !state.ended.has(one.payment))
    effects.push(...(open ? attach(live, open) : release(state, live, 'expired', 'no payment was opened in time', now)))
  }
  return [...effects, ...tidy(state, listIssuedAt, wall)]
}

/** What is over is kept for a while, for people to look at, but never without bound: codes are what anybody can type. */
function tidy(state: RedeemState, listIssuedAt: number | undefined, wall: number): RedeemEffect[] {
  const records = [...state.redemptions.values()].map((live) => live.record)
  let surplus = records.filter(isSpare).length - ENDED_MOST
  return records.flatMap((record) => {
    if (!isOver(record, listIssuedAt, wall) && !(isSpare(record) && surplus > 0)) return []
    if (isSpare(record)) surplus -= 1
    return forget(state, record)
  })
}

const isSpare = (record: Redemption): boolean => !isOpen(record) && record.phase !== 'committed' && record.news.length === 0

/** A used code is remembered until HQ knows of it and has made a newer list than the one that has the code. */
function isOver(record: Redemption, listIssuedAt: number | undefined, wall: number): boolean {
  if (isOpen(record) || record.news.length > 0) return false
  const age = wall - Math.max(record.at, record.confirmedAt ?? 0)
  if (record.phase !== 'committed') return age > KEEP_ENDED_MS
  if (age <= (record.conflict ? KEEP_CONFLICT_MS : KEEP_SPENT_MS)) return false
  return listIssuedAt === undefined || listIssuedAt > (record.confirmedAt ?? Infinity)
}

/** Its payment may be given back, and HQ is to hear of that. */
const canComeBack = ({ phase, payment, refund, conflict }: Redemption): boolean =>
  phase === 'committed' && payment !== undefined && refund === undefined && conflict === undefined

/** As it was before it was forgotten; the code may have gone to somebody else since. */
function onRecalled(state: RedeemState, records: readonly Redemption[], now: number): RedeemEffect[] {
  return records.flatMap((record) => {
    if (state.redemptions.has(record.id)) return []
    const live: Live = { record: structuredClone(record), deadline: now, attempts: 0, sent: true }
    state.redemptions.set(record.id, live)
    const key = codeKey(record.kind, record.code)
    if (!state.byCode.has(key)) state.byCode.set(key, record.id)
    return [keep(live)]
  })
}

function forget(state: RedeemState, record: Redemption): RedeemEffect[] {
  state.redemptions.delete(record.id)
  const key = codeKey(record.kind, record.code)
  if (state.byCode.get(key) === record.id) state.byCode.delete(key)
  return [canComeBack(record) ? { do: 'shelve', redemption: record } : { do: 'forget', id: record.id }]
}

/** What can be asked now. Runs after every event; a second run in a row does nothing. */
function pump(state: RedeemState, now: number): RedeemEffect[] {
  const effects: RedeemEffect[] = []
  let telling = tellingNow(state)
  for (const live of openOnes(state)) {
    const { record } = live
    if (live.asking !== undefined || (live.dueAt ?? Infinity) > now) continue
    const question = questionOf(record)
    if (question === undefined) continue
    if (question === 'reserve') {
      const earlier = earlierOne(state, record)
      // HQ still holds the code for the sale that was called off: it must hear of that first.
      if (earlier && earlier.trouble === undefined && now < live.deadline) continue
      effects.push(...(earlier ? lookUp(live) : ask(live, question)))
    } else if (telling < TELLING_MOST && !earlierOne(state, record)) {
      telling += 1
      effects.push(...ask(live, question))
    }
  }
  return effects
}

function tellingNow(state: RedeemState): number {
  let telling = 0
  for (const { asking } of openOnes(state)) if (asking !== undefined && asking !== 'reserve' && asking !== 'list') telling += 1
  return telling
}

function questionOf({ phase }: Redemption): Question | undefined {
  switch (phase) {
    case 'reserving':
      return 'reserve'
    case 'committing':
      return 'commit'
    case 'releasing':
      return 'release'
    case 'returning':
      return 'unredeem'
    default:
      return undefined
  }
}

const earlierOne = (state: RedeemState, { after }: Redemption): Live | undefined =>
  after !== undefined && state.open.has(after) ? state.redemptions.get(after) : undefined

function ask(live: Live, question: Question): RedeemEffect[] {
  live.asking = question
  return [{ do: 'ask', id: live.record.id, question, args: argsOf(live.record, question) }]
}

function argsOf(record: Redemption, question: Question): JsonObject {
  const { id, till, kind, code, at, payment, order, worth, offline, ended, refund } = record
  const sale: JsonObject = { ...(payment === undefined ? {} : { payment }), ...(order === undefined ? {} : { order }) }
  const which: JsonObject = { redemption: id, kind, code, till }
  switch (question) {
    case 'reserve':
      return { ...which, at, ...sale }
    case 'commit':
      return { ...which, at, ...sale, value: worth?.value ?? 0, ...(offline ? { offline: { list: offline.list } } : {}) }
    case 'release':
      return { ...which, reason: ended?.reason ?? 'expired' }
    case 'unredeem':
      return { ...which, ...sale, reason: refund ?? 'refunded' }
  }
}

/** When the next `tick` is due, monotonic ms. */
export function nextDue(state: RedeemState): number | undefined {
  let next: number | undefined
  const full = tellingNow(state) >= TELLING_MOST
  for (const live of openOnes(state)) {
    const { phase } = live.record
    if (live.asking !== undefined || live.dueAt === undefined) continue
    if (full && phase !== 'reserving' && phase !== 'reserved') continue
    const waits = phase !== 'reserved' && earlierOne(state, live.record) !== undefined
    // One that waits for an earlier one goes on when that ends, or does not wait any longer.
    const at = !waits ? live.dueAt : phase === 'reserving' ? live.deadline : undefined
    if (at !== undefined) next = Math.min(next ?? Infinity, at)
  }
  return next
}
