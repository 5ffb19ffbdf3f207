/** The changes of phase, each with what must be durable before it counts. Part of the redemption machine. */
import type { JsonObject } from '../../../daemon/contract/json.ts'
import type { Live, RedeemEffect, RedeemState } from './redeem-state.ts'
import { codeKey, type News, type Reason, type ReleaseReason, type Worth } from './redemption.ts'

export const keep = ({ record }: Live): RedeemEffect => ({ do: 'keep', redemption: structuredClone(record) })

/** Adds an event to be journaled. Those of one redemption go one after the other: the next is asked for when this one is durable. */
function announce(live: Live, news: News): RedeemEffect[] {
  live.record.news.push(news)
  return live.record.news.length === 1 ? [{ do: 'tell', id: live.record.id }] : []
}

export function reserve(state: RedeemState, live: Live, worth: Worth, now: number, wall: number): RedeemEffect[] {
  const { record } = live
  record.phase = 'reserved'
  record.worth = worth
  if (record.payment === undefined) hold(state, live, now, wall)
  else delete live.dueAt
  const told = announce(live, { event: 'redemption-reserved' })
  return [keep(live), ...told]
}

function hold(state: RedeemState, live: Live, now: number, wall: number): void {
  live.record.heldUntil = wall + state.settings.holdMs
  live.dueAt = now + state.settings.holdMs
}

/** The till hears no. What HQ may have reserved all the same is released there. */
export function refuse(state: RedeemState, live: Live, reason: Reason, message: string, now: number): RedeemEffect[] {
  const { record } = live
  record.ended = { reason, message }
  const told = announce(live, { event: 'redemption-refused', reason, message })
  if (live.sent || live.asking === 'reserve') startReleasing(live, now)
  else {
    record.phase = 'refused'
    finish(state, live)
  }
  return [keep(live), ...told]
}

/** There will be no payment for it. */
export function release(state: RedeemState, live: Live, reason: ReleaseReason, message: string, now: number): RedeemEffect[] {
  const { record } = live
  record.ended = { reason, message }
  const told = announce(live, { event: 'released', reason })
  if (record.offline === undefined || live.sent) startReleasing(live, now)
  else {
    record.phase = 'released'
    finish(state, live)
  }
  return [keep(live), ...told]
}

function startReleasing(live: Live, now: number): void {
  live.record.phase = 'releasing'
  due(live, now)
}

export function commit(live: Live, now: number): RedeemEffect[] {
  const { record } = live
  record.phase = 'committing'
  delete record.heldUntil
  due(live, now)
  const told = announce(live, { event: 'redeemed' })
  return [keep(live), ...told]
}

export function committed(state: RedeemState, live: Live, conflict: JsonObject | undefined, now: number, wall: number): RedeemEffect[] {
  const { record } = live
  record.confirmedAt = wall
  const told: RedeemEffect[] = []
  if (conflict !== undefined) {
    record.conflict = conflict
    told.push(...announce(live, { event: 'redemption-conflict', other: conflict }))
  }
  if (record.refund !== undefined && conflict === undefined) {
    record.phase = 'returning'
    due(live, now)
  } else {
    record.phase = 'committed'
    finish(state, live)
  }
  return [keep(live), ...told]
}

export function giveBack(state: RedeemState, live: Live, how: 'refunded' | 'reversed', now: number): RedeemEffect[] {
  const { record } = live
  if (record.refund !== undefined || record.conflict !== undefined) return []
  record.refund = how
  if (record.phase === 'committed') {
    record.phase = 'returning'
    state.open.add(record.id)
    due(live, now)
  }
  return [keep(live)]
}

export function released(state: RedeemState, live: Live, wall: number): RedeemEffect[] {
  live.record.phase = 'released'
  live.record.confirmedAt = wall
  finish(state, live)
  return [keep(live)]
}

export function returned(state: RedeemState, live: Live, reusable: boolean, wall: number): RedeemEffect[] {
  const { record } = live
  record.confirmedAt = wall
  record.phase = reusable ? 'returned' : 'committed'
  const reason = record.refund ?? 'refunded'
  finish(state, live)
  if (!reusable) return [keep(live)]
  record.ended = { reason, message: 'the payment was given back, and HQ lets the code be used again' }
  const told = announce(live, { event: 'released', reason })
  return [keep(live), ...told]
}

/** The next question is a new one: tried at once, its attempts counted from zero. */
function due(live: Live, now: number): void {
  live.dueAt = now
  live.attempts = 0
  delete live.trouble
}

/** Nothing more is to be done. A code that nobody has used is free, unless an earlier redemption of it is still to be released. */
function finish(state: RedeemState, live: Live): void {
  const { record } = live
  state.open.delete(record.id)
  delete live.dueAt
  delete live.trouble
  if (record.phase === 'committed') return
  const key = codeKey(record.kind, record.code)
  if (state.byCode.get(key) !== record.id) return
  state.byCode.delete(key)
  if (record.after !== undefined && state.open.has(record.after)) state.byCode.set(key, record.after)
}
