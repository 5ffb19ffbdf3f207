/** The desk to try a shop against keeps the promises that an HQ must keep. */
import t from 'tap'
import type { Json, JsonObject } from '../../daemon/contract/json.ts'
import { Book } from './book.ts'

const cny = (amount: number): JsonObject => ({ amount, currency: 'CNY' })

function openBook() {
  const messages: string[] = []
  const book = new Book(
    { codes: { coupon: { 'CPN-*': { value: 500, label: '5.00 off' } } }, members: { VIP1: { name: 'Li', points: 12 } } },
    (phone, code) => void messages.push(`${phone} ${code}`),
  )
  const ask = (request: string, args: JsonObject, gateway = 'shop-001'): Promise<Json> =>
    book.answer({ gateway, plugin: 'payment', request, args })
  return { ask, messages }
}

t.test('a charge: once under one number, asked about, given back in parts, never more than was paid', async (t) => {
  const { ask } = openBook()
  t.same(await ask('query', { number: 'n1' }), { status: 'not-found' })
  const paid = await ask('charge', { number: 'n1', ...cny(1_000), show: 'code', code: '28…' })
  t.match(paid, { status: 'paid', number: 'n1', amount: 1_000, transaction: /^[0-9a-f]{20}$/ })
  t.same(await ask('charge', { number: 'n1', ...cny(1_000), show: 'code' }), paid, 'a repeat moves no money')
  t.same(await ask('refund', { number: 'n1', refund: 'r1', refundAmount: 600 }), { status: 'refunded' })
  t.same(await ask('refund', { number: 'n1', refund: 'r1', refundAmount: 600 }), { status: 'refunded' }, 'the same refund again')
  t.match(
    await ask('refund', { number: 'n1', refund: 'r1', refundAmount: 1 }),
    { status: 'refused' },
    'under one number with another amount',
  )
  t.match(await ask('refund', { number: 'n1', refund: 'r2', refundAmount: 401 }), { status: 'refused' })
  for (const refundAmount of [0, -600, 0.5, 2 ** 53, null])
    await t.rejects(ask('refund', { number: 'n1', refund: 'r2', refundAmount }), { code: 'args-invalid' }, String(refundAmount))
  for (const amount of [0, -1, 1.5, 2 ** 53, '5'])
    await t.rejects(
      ask('charge', { number: 'n9', amount, currency: 'CNY', show: 'code', code: '28…' }),
      { code: 'args-invalid' },
      String(amount),
    )
  t.same(await ask('refund', { number: 'n1', refund: 'r3', refundAmount: 400 }), { status: 'refunded' })
  t.same(await ask('cancel', { number: 'n2' }), { status: 'not-found' })
  t.match(await ask('charge', { number: 'n3', ...cny(5), show: 'code' }), { status: 'failed' })
})

t.test(
  'a coupon: for one sale at a time, used once; released, it is free; a reservation that comes after its release is refused',
  async (t) => {
    const { ask } = openBook()
    const coupon = (redemption: string, code = 'CPN-1') => ({ redemption, kind: 'coupon', code })
    t.match(await ask('reserve', coupon('a')), { value: 500 })
    await t.rejects(ask('reserve', coupon('b')), { code: 'code-used' })
    await ask('release', coupon('a'))
    t.match(await ask('reserve', coupon('b')), { value: 500 })
    await t.rejects(ask('reserve', coupon('a')), { code: 'code-invalid' })
    t.same(await ask('commit', coupon('b')), {})
    t.match(await ask('commit', coupon('c'), 'shop-002'), { conflict: { redemption: 'b', shop: 'shop-001' } })
    t.same(await ask('unredeem', coupon('c'), 'shop-002'), { reusable: false }, 'b has it')
    await ask('release', coupon('b'))
    await t.rejects(ask('reserve', coupon('d')), { code: 'code-used' }, 'what was used stays used')
    await t.rejects(ask('reserve', coupon('e', 'XYZ')), { code: 'code-invalid' })
    t.same(await ask('unredeem', coupon('b')), { reusable: true }, 'the money of b went back')
    t.match(await ask('reserve', coupon('f')), { value: 500 })
  },
)

t.test('members, text messages, and what nobody knows', async (t) => {
  const { ask, messages } = openBook()
  t.same(await ask('member', { code: 'VIP1' }), { member: 'VIP1', display: { name: 'Li', points: 12 } })
  await t.rejects(ask('member', { code: 'VIP2' }), { code: 'code-invalid' })
  await ask('sms', { phone: '13800000000', code: '123456' })
  t.same(messages, ['13800000000 123456'])
  await t.rejects(ask('teleport', {}), { code: 'command-unknown' })
  await t.rejects(ask('reserve', { redemption: 'a' }), { code: 'args-invalid' })
})
