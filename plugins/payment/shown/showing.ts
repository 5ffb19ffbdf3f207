/** What the shop is to show of a payment now. Everything that shows it (display, slip) goes by this, so all of it ends together. */
import { currentOf, type Payment } from '../payment.ts'

export type Showing =
  /** An order QR that can be paid. */
  | { state: 'scan'; attempt: string; channel: string; qr: string }
  /** It was shown, and nobody can say whether it is paid: nobody shall pay now. */
  | { state: 'wait' }
  | { state: 'paid' }
  | { state: 'off' }

export function showingOf(payment: Payment): Showing {
  if (payment.show !== 'qr') return { state: 'off' }
  if (payment.end !== undefined) return { state: payment.end === 'paid' && payment.refunds.length === 0 ? 'paid' : 'off' }
  const attempt = currentOf(payment)
  if (attempt?.qr === undefined) return { state: 'off' }
  switch (attempt.phase) {
    case 'waiting':
      return { state: 'scan', attempt: attempt.number, channel: attempt.channel, qr: attempt.qr }
    case 'sent':
    case 'unknown':
    case 'undoing':
      return { state: 'wait' }
    default:
      return { state: 'off' }
  }
}

/** Of the `display` event: the order on the customer display. */
export interface ShownOrder {
  payment: string
  order: string
  amount: number
  currency: string
  state: 'scan' | 'wait' | 'paid'
  channel?: string
  /** Content of the order QR: `scan` only. */
  qr?: string
  /** RFC 3339: a display shows it no longer, whatever it hears. */
  until?: string
}

/** How long a display says "paid". */
export const PAID_MS = 10_000

/** What follows `before` on a till's display. Paid is said where the order stood, and nowhere else: a restart repeats no old thanks. */
export function shownOrder(payment: Payment, before: { payment: string } | undefined, wall: number): ShownOrder | undefined {
  const showing = showingOf(payment)
  const { id, order, amount, currency, expiresAt } = payment
  const shown = { payment: id, order, amount, currency }
  switch (showing.state) {
    case 'scan':
      return { ...shown, state: 'scan', channel: showing.channel, qr: showing.qr, until: expiresAt }
    case 'wait':
      return { ...shown, state: 'wait' }
    case 'paid':
      return before?.payment === id ? { ...shown, state: 'paid', until: new Date(wall + PAID_MS).toISOString() } : undefined
    case 'off':
      return undefined
  }
}
