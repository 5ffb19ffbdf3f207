/**
 * A payment, for every provider and both ways of showing. One step is one transaction: its `save` is durable before its other
 * effects happen, and where it cannot be, the step has not happened (rule: intent and number durable before anything is sent).
 */
import type { Machine } from '../../daemon/contract/machine.ts'
import { answered, due, look, send, undo, watchFrom } from './attempt.machine.ts'
import { type Attempt, currentOf, isAtRest, isSettled, type Payment, statusOf } from './payment.ts'
import { newLive, type PaymentEffect, type PaymentEvent, type PaymentState, Step } from './payment-state.ts'
import { refund, refundAnswered, refundDue } from './refund.machine.ts'

/** New codes one payment may be tried with; each has a number of its own, of two digits. */
const ATTEMPTS_MOST = 50

export const initialPayment = (payment: Payment): PaymentState => ({
  payment,
  live: {},
  liveRefunds: {},
  expiresAt: Number.POSITIVE_INFINITY,
})

export const paymentMachine: Machine<PaymentState, PaymentEvent, PaymentEffect> = {
  step(state, event) {
    const step = new Step(state, event)
    take(step, event)
    return step.effects()
  },
}

function take(step: Step, event: PaymentEvent) {
  const { payment, state } = step
  switch (event.kind) {
    case 'opened':
      state.expiresAt = event.now + event.expiresInMs
      return step.tell('opened', {})
    case 'boot':
      return boot(step, event)
    case 'charge':
      return charge(step, event)
    case 'answered': {
      const attempt = payment.attempts.find((one) => one.number === event.number)
      if (attempt) answered(step, attempt, event)
      return
    }
    case 'due':
      return allDue(step)
    case 'cancel':
      return cancel(step)
    case 'look':
      for (const attempt of payment.attempts) look(step, attempt)
      for (const [number, live] of Object.entries(state.liveRefunds)) {
        if (!live.pending) live.dueAt = step.now
        refundDue(step, number)
      }
      return
    case 'refund':
      return refund(step, event)
    case 'refund-answered':
      return refundAnswered(step, event.refund, event.answer)
    case 'member':
      if (payment.member === event.visitor) return
      payment.member = event.visitor
      return step.save()
    case 'settled':
      payment.tellings = payment.tellings.filter((one) => one.n !== event.n)
      // Until it is at rest the next step's save says so, too: a restart settles once more, which redemption knows to take.
      if (isAtRest(payment)) step.saveSometime()
      return
  }
}

/** Why a code cannot be charged on this payment now; undefined: it can. */
export function notChargeable(payment: Payment): string | undefined {
  if (payment.end) return payment.end
  if (payment.cancelAsked) return 'cancelling'
  const last = currentOf(payment)
  if (last && !isSettled(last)) return statusOf(payment)
  if (payment.attempts.length >= ATTEMPTS_MOST) return 'too-many-attempts'
  return undefined
}

function charge(step: Step, event: PaymentEvent & { kind: 'charge' }) {
  const { payment, state } = step
  const why = notChargeable(payment)
  if (why !== undefined) {
    step.add({ do: 'refuse', code: 'payment-state', message: `payment ${payment.id} cannot be charged now: ${why}` })
    return
  }
  const attempt: Attempt = {
    number: `${payment.id}${String(payment.attempts.length + 1).padStart(2, '0')}`,
    provider: event.provider,
    channel: event.channel,
    show: event.show,
    phase: 'sent',
    at: event.at,
  }
  payment.attempts.push(attempt)
  state.live[attempt.number] = { ...newLive(event.timing, event.now), held: true }
  step.save()
  send(step, attempt)
}

/** The till wants no money any more. Money that is in is refunded, not cancelled. */
function cancel(step: Step) {
  const { payment } = step
  if (payment.end === 'paid') {
    step.add({ do: 'refuse', code: 'payment-state', message: `payment ${payment.id} is paid: use refund` })
    return
  }
  if (payment.end !== undefined || payment.cancelAsked) return
  const last = currentOf(payment)
  if (last && !isSettled(last) && !step.liveOf(last)) {
    const message = `provider ${last.provider} of payment ${payment.id} is not configured any more, and nobody else can say whether it was paid: configure it again`
    step.add({ do: 'refuse', code: 'payment-state', message })
    return
  }
  payment.cancelAsked = true
  step.save()
  if (!last || isSettled(last)) return end(step, 'cancelled by the till')
  const live = step.live(last)
  // The answer of a charge that is under way decides; a question's is not waited for.
  if (live.pending === 'charge') return
  if (!live.maybeSent) return waitingToSend(step, last)
  if (last.phase !== 'undoing') undo(step, last, 'cancelled by the till')
}

/** Refused at the door so far and cancelled before the next try: nothing has left the box. */
function waitingToSend(step: Step, attempt: Attempt) {
  attempt.phase = 'failed'
  attempt.watch = 'clear'
  step.live(attempt).dueAt = Number.POSITIVE_INFINITY
  step.add({ do: 'drop-code' })
  end(step, 'cancelled by the till')
}

function end(step: Step, reason: string) {
  step.payment.end = 'cancelled'
  step.tell('cancelled', { reason }, 'cancelled')
}

function allDue(step: Step) {
  const { payment, state } = step
  for (const attempt of payment.attempts) due(step, attempt)
  for (const number of Object.keys(state.liveRefunds)) refundDue(step, number)
  if (payment.end !== undefined || step.now < state.expiresAt) return
  const last = currentOf(payment)
  if (!last || isSettled(last)) return end(step, 'expired')
  // Asked once more, and undone by the answer if nobody has paid.
  if (last.show === 'qr' && last.phase === 'waiting') look(step, last)
}

/** What was durable goes on: whatever may have been sent is asked about; a pay code is gone, so nothing is charged again. */
function boot(step: Step, event: PaymentEvent & { kind: 'boot' }) {
  const { payment, state } = step
  state.expiresAt = event.now + Math.max(0, event.expiresInMs)
  for (const attempt of payment.attempts) {
    const timing = event.timings[attempt.provider]
    if (!timing) {
      step.add({
        do: 'alarm',
        number: attempt.number,
        message: `provider ${attempt.provider} is not configured any more; it cannot be asked`,
      })
      continue
    }
    const live = { ...newLive(timing, event.now), held: attempt.show === 'qr', maybeSent: true, sends: 2 }
    state.live[attempt.number] = live
    live.watchAt = watchFrom(step, attempt)
    if (attempt.watch === 'due') live.dueAt = live.watchAt
    if (isSettled(attempt)) continue
    live.dueAt = event.now
    if (attempt.phase === 'undoing' && !attempt.payBack) live.dueAt = event.now + timing.undoAfterMs
  }
  for (const one of payment.refunds) {
    if (one.phase === 'sent' || one.phase === 'unknown') state.liveRefunds[one.number] = { pending: false, dueAt: event.now, fruitless: 0 }
  }
  for (const one of payment.tellings) step.retell(one)
}
