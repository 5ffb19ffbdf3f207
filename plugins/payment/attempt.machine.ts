/**
 * One merchant order number, from its intent to its end. The rules: a refusal is believed when it is certain, a success when the
 * provider says so, and everything else is UNKNOWN: asked, then undone until that is confirmed. Once an undo has been let go
 * the attempt never becomes paid again: an undo that is still on its way could take the money back after we had said "paid".
 */
import { type Attempt, isSettled } from './payment.ts'
import { type Answer, backOff, type PaidWord, type Step } from './payment-state.ts'

/** How often the same charge (same number, same parameters) is let go at most. */
const SENDS_MOST = 3
/** One that ended unpaid is looked at once more, for money that came late. */
const WATCH_MS = 60_000

/** Lets the charge go, for the first time or again under the same number. */
export function send(step: Step, attempt: Attempt) {
  const live = step.live(attempt)
  live.sends += 1
  live.sentAt = step.now
  step.call(attempt, 'charge')
}

export function answered(step: Step, attempt: Attempt, { to, answer }: Answer) {
  const live = step.liveOf(attempt)
  // An answer that nobody waits for: given twice.
  if (live?.pending !== to) return
  delete live.pending
  if (to === 'charge') return charged(step, attempt, answer)
  if (to === 'query') return queried(step, attempt, answer)
  if (to === 'undo') return undoAnswered(step, attempt, answer)
  payBackAnswered(step, attempt, answer)
}

/** Its time has come: the next question, or the next try to undo it. */
export function due(step: Step, attempt: Attempt) {
  const live = step.liveOf(attempt)
  if (!live || live.pending !== undefined || live.dueAt > step.now) return
  if (attempt.phase === 'sent' && live.sends > 0 && !live.maybeSent) return send(step, attempt)
  if (attempt.phase !== 'undoing') return step.call(attempt, 'query')
  // An undo on its way may have given the money back before the refund could: asked every second time, this ends, too.
  step.call(attempt, live.askFirst ? 'query' : attempt.payBack ? 'pay-back' : 'undo')
}

/** Asks now, if nothing is under way. */
export function look(step: Step, attempt: Attempt) {
  const live = step.liveOf(attempt)
  if (!live || live.pending !== undefined || (isSettled(attempt) && attempt.watch !== 'due')) return
  if (attempt.phase === 'sent' && !live.maybeSent) return
  step.call(attempt, 'query')
}

/** From here on it can only end without money. */
export function undo(step: Step, attempt: Attempt, reason: string) {
  const live = step.live(attempt)
  if (attempt.phase !== 'undoing') {
    attempt.phase = 'undoing'
    attempt.reason = reason
    live.fruitless = 0
    live.askFirst = false
    step.save()
    doubt(step, attempt)
  }
  if (live.pending === undefined) live.dueAt = Math.max(step.now, live.sentAt + live.timing.undoAfterMs)
  due(step, attempt)
}

function charged(step: Step, attempt: Attempt, answer: (Answer & { to: 'charge' })['answer']) {
  const live = step.live(attempt)
  if (answer.kind !== 'unsent') live.maybeSent = true
  switch (answer.kind) {
    case 'paid':
      return paid(step, attempt, answer)
    case 'waiting':
      return waiting(step, attempt, answer.qr)
    case 'failed':
      // A refusal of a repeat says nothing of the first: that one may have been charged.
      if (answer.sure && live.sends === 1) return fail(step, attempt, answer.reason)
      attempt.refusal = answer.reason
      step.save()
      return step.payment.cancelAsked ? undo(step, attempt, 'cancelled by the till') : step.call(attempt, 'query')
    case 'unsent':
      if (live.maybeSent) return unknown(step, attempt, answer.reason)
      if (step.payment.cancelAsked || live.sends >= SENDS_MOST) return fail(step, attempt, answer.reason)
      live.dueAt = step.now + backOff(live.sends - 1)
      return
    case 'unknown':
      return unknown(step, attempt, answer.reason)
  }
}

function queried(step: Step, attempt: Attempt, answer: (Answer & { to: 'query' })['answer']) {
  const live = step.live(attempt)
  if (isSettled(attempt)) return watched(step, attempt, answer)
  if (attempt.phase === 'undoing') return queriedWhileUndoing(step, attempt, answer)
  switch (answer.kind) {
    case 'paid':
      return paid(step, attempt, answer)
    case 'waiting':
      // The provider has the order, and what it said is lost: the same request again gives the same QR.
      if (attempt.show === 'qr' && attempt.qr === undefined && !isOver(step, attempt)) {
        if (live.held && live.sends < SENDS_MOST) return send(step, attempt)
        return undo(step, attempt, 'the order QR did not come')
      }
      return waiting(step, attempt)
    case 'failed':
      return fail(step, attempt, attempt.refusal ?? answer.reason)
    case 'unknown':
      return unknown(step, attempt, answer.reason)
    case 'not-found':
      // Alipay knows an order QR only once somebody has scanned it.
      if (attempt.show === 'qr' && attempt.qr !== undefined) return waiting(step, attempt)
      if (attempt.refusal !== undefined && live.sends === 1) return fail(step, attempt, attempt.refusal)
      if (live.held && live.sends < SENDS_MOST && attempt.refusal === undefined && !isOver(step, attempt)) return send(step, attempt)
      return undo(step, attempt, attempt.reason ?? 'the provider does not know the order')
  }
}

function waiting(step: Step, attempt: Attempt, qr?: string) {
  const live = step.live(attempt)
  live.fruitless = 0
  if (attempt.phase !== 'waiting' || (qr !== undefined && attempt.qr === undefined)) {
    attempt.phase = 'waiting'
    delete attempt.reason
    delete attempt.doubtTold
    if (qr !== undefined) attempt.qr = qr
    step.tell('waiting', { attempt: attempt.number, ...(attempt.qr === undefined ? {} : { qr: attempt.qr }) })
  }
  if (isOver(step, attempt)) return undo(step, attempt, attempt.show === 'qr' ? 'expired' : 'the shopper did not confirm in time')
  live.dueAt = step.now + live.timing.queryMs
}

function unknown(step: Step, attempt: Attempt, reason: string) {
  const live = step.live(attempt)
  if (attempt.phase !== 'unknown' || attempt.reason !== reason) {
    attempt.phase = 'unknown'
    attempt.reason = reason
    step.save()
  }
  doubt(step, attempt)
  if (isOver(step, attempt)) return undo(step, attempt, reason)
  live.dueAt = step.now + Math.min(live.timing.queryMs, backOff(live.fruitless))
  live.fruitless += 1
}

/** The till wants it no more, the shopper takes too long, or the payment has expired. */
function isOver(step: Step, attempt: Attempt): boolean {
  const live = step.live(attempt)
  if (step.payment.cancelAsked) return true
  return attempt.show === 'qr' ? step.now >= step.state.expiresAt : step.now - live.since >= live.timing.giveUpMs
}

function paid(step: Step, attempt: Attempt, word: PaidWord) {
  if (step.payment.cancelAsked) return undo(step, attempt, 'cancelled by the till')
  const { payment } = step
  attempt.phase = 'paid'
  attempt.transaction = word.transaction
  attempt.paidAt = word.paidAt ?? step.stamp.at
  if (word.payer !== undefined) attempt.payer = word.payer
  if (word.firstPayment) attempt.firstPayment = true
  delete attempt.reason
  payment.end = 'paid'
  step.add({ do: 'drop-code' })
  step.tell('paid', {}, 'paid')
}

/** Certain: nothing was charged under this number. */
function fail(step: Step, attempt: Attempt, reason: string) {
  attempt.phase = 'failed'
  endUnpaid(step, attempt, reason)
}

function undone(step: Step, attempt: Attempt) {
  attempt.phase = 'undone'
  endUnpaid(step, attempt, attempt.reason ?? 'reversed')
}

function endUnpaid(step: Step, attempt: Attempt, reason: string) {
  const { payment } = step
  const live = step.live(attempt)
  attempt.reason = reason
  live.held = false
  live.fruitless = 0
  // Nothing of it ever left the box: nothing can come back.
  attempt.watch = attempt.provider === 'cash' || (!live.maybeSent && live.sends > 0) ? 'clear' : 'due'
  live.watchAt = watchFrom(step, attempt)
  live.dueAt = attempt.watch === 'clear' ? Number.POSITIVE_INFINITY : live.watchAt
  step.save()
  step.add({ do: 'drop-code' })
  if (attempt.late) {
    attempt.watch = 'clear'
    live.dueAt = Number.POSITIVE_INFINITY
    step.tell('reversed', { attempt: attempt.number, late: true, reason })
  }
  if (payment.end !== undefined || (attempt.late && !payment.cancelAsked)) return
  if (payment.cancelAsked) {
    payment.end = attempt.phase === 'undone' ? 'reversed' : 'cancelled'
    return step.tell(payment.end, { attempt: attempt.number, reason: 'cancelled by the till' }, payment.end)
  }
  const final = attempt.show === 'qr'
  if (final) payment.end = 'failed'
  step.tell('failed', { attempt: attempt.number, reason, final }, final ? 'failed' : undefined)
}

/** An order QR can be paid until it expires, whatever was said to its cancel. */
export function watchFrom(step: Step, attempt: Attempt): number {
  const usual = step.now + WATCH_MS
  return attempt.show === 'qr' ? Math.max(usual, step.state.expiresAt + WATCH_MS / 2) : usual
}

function undoAnswered(step: Step, attempt: Attempt, answer: (Answer & { to: 'undo' })['answer']) {
  const live = step.live(attempt)
  switch (answer.kind) {
    case 'undone':
      return undone(step, attempt)
    case 'not-found':
      // A charge may still be on its way. An order QR nobody has scanned is not there either; it is watched until it has expired.
      if (attempt.show === 'qr' || step.now - live.sentAt >= live.timing.settleMs) return undone(step, attempt)
      live.dueAt = live.sentAt + live.timing.settleMs
      return
    case 'paid':
      if (attempt.late || step.payment.cancelAsked || step.payment.end !== undefined) return payBack(step, attempt)
      return paid(step, attempt, answer)
    case 'refused':
      live.undoRefused = true
      live.askFirst = true
      live.dueAt = step.now
      return due(step, attempt)
    case 'again':
      if (attempt.reason !== answer.reason) step.save()
      attempt.reason = answer.reason
      return later(step, attempt)
  }
}

function queriedWhileUndoing(step: Step, attempt: Attempt, answer: (Answer & { to: 'query' })['answer']) {
  const live = step.live(attempt)
  live.askFirst = false
  if (answer.kind === 'paid' && live.undoRefused && !attempt.payBack) return payBack(step, attempt)
  // Closed, revoked or given back: confirmed by the provider's own state, whoever's undo it was.
  if (answer.kind === 'failed') return undone(step, attempt)
  later(step, attempt)
}

/** The provider will not take it back: the shop gives it back. */
function payBack(step: Step, attempt: Attempt) {
  attempt.payBack = true
  step.save()
  step.add({ do: 'alarm', number: attempt.number, message: 'was paid and cannot be reversed: it is refunded' })
  step.call(attempt, 'pay-back')
}

function payBackAnswered(step: Step, attempt: Attempt, answer: (Answer & { to: 'pay-back' })['answer']) {
  if (answer.kind === 'refunded') return undone(step, attempt)
  if (answer.kind === 'refused')
    step.add({ do: 'alarm', number: attempt.number, message: `money that must go back was not taken back: ${answer.reason}` })
  if (attempt.reason !== answer.reason) step.save()
  attempt.reason = answer.reason
  later(step, attempt)
}

/** Until it is confirmed, for ever, never in a hurry. Every second time a question comes first: the answer may be there already. */
function later(step: Step, attempt: Attempt) {
  const live = step.live(attempt)
  live.dueAt = Math.max(step.now + backOff(live.fruitless), live.sentAt + live.timing.undoAfterMs)
  live.fruitless += 1
  live.askFirst = live.fruitless % 2 === 0
}

/** The look at an attempt that had ended unpaid. */
function watched(step: Step, attempt: Attempt, answer: (Answer & { to: 'query' })['answer']) {
  const live = step.live(attempt)
  if (attempt.phase === 'paid') return
  switch (answer.kind) {
    case 'not-found':
    case 'failed':
      // A till that looks early does not make it clear earlier.
      if (step.now < live.watchAt) {
        live.dueAt = live.watchAt
        return
      }
      attempt.watch = 'clear'
      live.dueAt = Number.POSITIVE_INFINITY
      return step.save()
    case 'unknown':
      live.dueAt = step.now + backOff(live.fruitless, 10_000)
      live.fruitless += 1
      return
    case 'waiting':
    case 'paid':
      attempt.late = true
      delete attempt.doubtTold
      step.add({ do: 'alarm', number: attempt.number, message: 'money came after the attempt had ended without any: it is taken back' })
      return undo(step, attempt, 'late')
  }
}

/** The till hears of it once an attempt. */
function doubt(step: Step, attempt: Attempt) {
  if (attempt.doubtTold) return
  attempt.doubtTold = true
  step.tell('unknown', {
    attempt: attempt.number,
    reason: attempt.reason ?? 'unknown',
    ...(attempt.late ? { late: true } : {}),
  })
}
