/** Money in the drawer: the till's own word, recorded. */
import type { ChargeAnswer, Order, Provider, QueryAnswer, RefundAnswer, Timing, UndoAnswer } from './api.ts'

export class CashProvider implements Provider {
  readonly timing: Timing = { queryMs: 1_000, giveUpMs: 1_000, undoAfterMs: 0, settleMs: 0 }
  readonly scope = 'cash'

  async warm(): Promise<void> {}

  async charge({ number }: Order): Promise<ChargeAnswer> {
    return { kind: 'paid', transaction: number }
  }

  /** Asked after a crash: the till said that it had the money, and that was durable. */
  async query({ number }: Order): Promise<QueryAnswer> {
    return { kind: 'paid', transaction: number }
  }

  async undo(): Promise<UndoAnswer> {
    return { kind: 'undone' }
  }

  async refund(): Promise<RefundAnswer> {
    return { kind: 'refunded' }
  }
}
