/** Which payment a receipt belongs to: never a guess between two. Pure. */
import t from 'tap'
import { type MatchEffect, MatchState, matchMachine, type PaidPayment, type PrintedReceipt } from './match.machine.ts'

const MINUTE = 60_000
const paid = (payment: string, more: Partial<PaidPayment> = {}): PaidPayment => ({
  payment,
  order: `o-${payment}`,
  till: 'till-1',
  amount: 1000,
  currency: 'CNY',
  at: 0,
  ...more,
})
const receipt = (id: string, more: Partial<PrintedReceipt> = {}): PrintedReceipt => ({
  receipt: id,
  till: 'till-1',
  total: 1000,
  currency: 'CNY',
  at: 1_000,
  ...more,
})
const matches = (effects: readonly MatchEffect[]) => effects.flatMap((one) => (one.kind === 'matched' ? [one.matched] : []))

function shop() {
  const state = new MatchState(10 * MINUTE)
  return {
    pays: (payment: PaidPayment) => matches(matchMachine.step(state, { kind: 'paid', payment })),
    prints: (one: PrintedReceipt) => matches(matchMachine.step(state, { kind: 'printed', receipt: one })),
    state,
  }
}

t.test('the order number decides, whatever the amount and the till', async (t) => {
  const { pays, prints } = shop()
  pays(paid('p1', { order: 'A1', till: 'other' }))
  pays(paid('p2'))
  t.same(prints(receipt('r1', { order: 'A1' })), [{ receipt: 'r1', payment: 'p1', by: 'order' }])
  t.same(prints(receipt('r2', { order: 'A1' })), [{ receipt: 'r2', payment: 'p1', by: 'order' }], 'a copy for the shop')
})

t.test('one payment of that till and amount is its receipt’s; of two, none is', async (t) => {
  const { pays, prints } = shop()
  pays(paid('p1'))
  pays(paid('p2', { amount: 2000 }))
  pays(paid('p3', { till: 'till-2' }))
  t.same(prints(receipt('r1')), [{ receipt: 'r1', payment: 'p1', by: 'amount' }])
  t.same(prints(receipt('r2')), [], 'used up')
  const twins = shop()
  twins.pays(paid('p1'))
  twins.pays(paid('p2'))
  t.same(twins.prints(receipt('r1')), [])
})

t.test('a receipt with another order number is another order', async (t) => {
  const { pays, prints } = shop()
  pays(paid('p1', { order: 'A1' }))
  t.same(prints(receipt('r1', { order: 'B7' })), [])
  t.same(prints(receipt('r2')), [{ receipt: 'r2', payment: 'p1', by: 'amount' }])
})

t.test('a payment that comes after its receipt finds it, but not among two', async (t) => {
  const { pays, prints } = shop()
  t.same(prints(receipt('r1')), [])
  t.same(pays(paid('p1', { at: 5_000 })), [{ receipt: 'r1', payment: 'p1', by: 'amount' }])
  t.same(pays(paid('p1', { at: 5_000 })), [], 'told twice')
  prints(receipt('r2', { at: 6_000 }))
  prints(receipt('r3', { at: 7_000 }))
  t.same(pays(paid('p2', { at: 8_000 })), [])
})

t.test('far apart in time is not together, and is forgotten', async (t) => {
  const { pays, prints, state } = shop()
  pays(paid('p1', { order: 'A1' }))
  t.same(prints(receipt('r1', { at: 11 * MINUTE, order: 'A1' })), [])
  t.same(state.payments, [])
  t.same(matchMachine.step(state, { kind: 'time', now: 60 * MINUTE }), [])
  t.same(state.receipts, [])
})
