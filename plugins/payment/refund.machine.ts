/** Giving money back: its own durable number, the same for every repeat, until the provider has said yes or no. */
import { type Refund, refundedOf } from './payment.ts'
import { backOff, type Step } from './payment-state.ts'
import type { RefundAnswer } from './providers/api.ts'

export function refund(step: Step, asked: { amount?: number; reason?: string }) {
  const { payment } = step
  if (payment.end !== 'paid') return refuse(step, 'payment-state', `only a paid payment can be refunded; ${payment.id} is not`)
  const left = payment.amount - refundedOf(payment, ['sent', 'unknown'])
  const under = payment.refunds.find((one) => one.phase === 'sent' || one.phase === 'unknown')
  if (under) return refuse(step, 'payment-state', `refund ${under.number} of ${under.amount} is still under way; one at a time`)
  const amount = asked.amount ?? left
  if (left === 0) return refuse(step, 'payment-state', `payment ${payment.id} has been refunded whole`)
  if (amount > left)
    return refuse(
      step,
      'amount-invalid',
      `a refund of ${amount} is more than the ${left} that is left of ${payment.amount} ${payment.currency}`,
    )
  const one: Refund = {
    number: `${payment.id}R${String(payment.refunds.length + 1).padStart(2, '0')}`,
    amount,
    phase: 'sent',
    at: step.stamp.at,
    ...(asked.reason === undefined ? {} : { reason: asked.reason }),
  }
  payment.refunds.push(one)
  step.state.liveRefunds[one.number] = { pending: true, dueAt: Number.POSITIVE_INFINITY, fruitless: 0 }
  step.save()
  step.add({ do: 'refund', refund: one.number })
}

export function refundAnswered(step: Step, number: string, answer: RefundAnswer) {
  const { payment } = step
  const one = payment.refunds.find((each) => each.number === number)
  const live = step.state.liveRefunds[number]
  if (!one || !live?.pending) return
  live.pending = false
  live.dueAt = Number.POSITIVE_INFINITY
  if (answer.kind !== 'unknown') delete step.state.liveRefunds[number]
  switch (answer.kind) {
    case 'refunded': {
      one.phase = 'done'
      delete one.detail
      const total = refundedOf(payment)
      step.tell('refunded', toldOf(one, total), total === payment.amount ? 'refunded' : undefined)
      return
    }
    case 'refused':
      one.phase = 'refused'
      one.detail = answer.reason
      step.tell('failed', { refund: one.number, refundAmount: one.amount, reason: answer.reason, final: false })
      return
    case 'unknown':
      live.dueAt = step.now + backOff(live.fruitless)
      live.fruitless += 1
      one.detail = answer.reason
      if (one.phase === 'unknown') return
      one.phase = 'unknown'
      step.tell('unknown', { refund: one.number, refundAmount: one.amount, reason: answer.reason })
  }
}

const toldOf = (one: Refund, refundedTotal: number) => ({
  refund: one.number,
  refundAmount: one.amount,
  refundedTotal,
  ...(one.reason === undefined ? {} : { reason: one.reason }),
})

/** Again, with the same number and amount. */
export function refundDue(step: Step, number: string) {
  const live = step.state.liveRefunds[number]
  if (!live || live.pending || live.dueAt > step.now) return
  live.pending = true
  live.dueAt = Number.POSITIVE_INFINITY
  step.add({ do: 'refund', refund: number })
}

function refuse(step: Step, code: 'payment-state' | 'amount-invalid', message: string) {
  step.add({ do: 'refuse', code, message })
}
