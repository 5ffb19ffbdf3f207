/** What tills, HQ and people see of a payment. */
import type { JsonObject } from '../../daemon/contract/json.ts'
import { currentOf, type Payment, refundedOf, statusOf, type Telling } from './payment.ts'

/** The result of commands. */
export function viewOf(payment: Payment): JsonObject {
  const attempt = currentOf(payment)
  return {
    ...head(payment),
    status: statusOf(payment),
    show: payment.show,
    openedAt: payment.openedAt,
    expiresAt: payment.expiresAt,
    ...known({
      provider: attempt?.provider,
      attempt: attempt?.number,
      reason: attempt?.reason,
      qr: attempt?.phase === 'waiting' ? attempt.qr : undefined,
      transaction: attempt?.transaction,
      paidAt: attempt?.paidAt,
      session: payment.session,
      member: payment.member,
      printer: payment.printer,
    }),
    ...(payment.refunds.length === 0
      ? {}
      : {
          refunded: refundedOf(payment),
          refunds: payment.refunds.map(({ number, amount, phase, at, detail }) => ({
            refund: number,
            amount,
            state: phase === 'sent' ? 'sent' : phase,
            at,
            ...known({ reason: detail }),
          })),
        }),
  }
}

/** The data of a `payment.*` event. */
export function eventOf(payment: Payment, { event, data }: Telling): JsonObject {
  const attempt = payment.attempts.find((one) => one.number === data.attempt) ?? paidOf(payment) ?? currentOf(payment)
  const whose = known({ session: payment.session, member: payment.member })
  switch (event) {
    case 'opened':
      return {
        ...known({ ...head(payment), channel: undefined }),
        ...whose,
        show: payment.show,
        expiresAt: payment.expiresAt,
        ...(payment.lines ? { lines: payment.lines } : {}),
      }
    case 'paid':
      return {
        ...head(payment),
        ...whose,
        ...known({
          provider: attempt?.provider,
          attempt: attempt?.number,
          transaction: attempt?.transaction,
          paidAt: attempt?.paidAt,
          payer: attempt?.payer,
          firstPayment: attempt?.firstPayment,
        }),
      }
    default:
      return { ...head(payment), ...data }
  }
}

const paidOf = (payment: Payment) => payment.attempts.find((one) => one.phase === 'paid')

const head = (payment: Payment): JsonObject => ({
  payment: payment.id,
  order: payment.order,
  till: payment.till,
  amount: payment.amount,
  currency: payment.currency,
  ...known({ channel: (paidOf(payment) ?? currentOf(payment))?.channel }),
})

function known(fields: Record<string, JsonObject[string] | undefined>): JsonObject {
  return Object.fromEntries(Object.entries(fields).filter((one): one is [string, JsonObject[string]] => one[1] !== undefined))
}
