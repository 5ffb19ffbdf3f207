/** A member code at the till: display, payment, visit. */
import t from 'tap'
import { HandClock } from '../../../daemon/testing/hand-clock.ts'
import { Hq } from './testing/hq.ts'
import { Till, type TillOptions } from './testing/till.ts'

const LIN = {
  member: 'M-42',
  display: { greeting: 'Welcome back, Ms L.', points: 1280, basket: [{ name: '龙井 100 g', qty: 1, price: 8800 }] },
  private: { name: 'Lin Yueying', phone: '13800138000', balance: 5000 },
}

async function shop(t: Pick<typeof import('tap').default, 'teardown'>, options: TillOptions = {}): Promise<{ till: Till; hq: Hq }> {
  const hq = new Hq()
  hq.members.set('VIP-42', LIN)
  const till = await Till.start({ ask: hq.ask, ...options })
  t.teardown(() => till.stop())
  return { till, hq }
}

t.test('member and basket appear on the till’s display; the payment knows the member; who it is stays out of the journal', async (t) => {
  const { till } = await shop(t)
  await till.opens('p-1')
  await till.scan('member', 'VIP-42')
  const shown = await till.heard('display')
  t.match(shown, { till: 'till-1', offline: false, display: LIN.display })
  t.match(
    till.harness.events.find((one) => one.event === 'display'),
    { device: 'till-1' },
    'shop/payment/till-1/display',
  )
  const present = await till.heard('present')
  t.same(present, { visitor: shown.visitor, by: 'member', role: 'member', stays: false })
  await till.harness.until(() => till.members.length === 1, 'handed to the payment')
  t.same(till.members, [{ payment: 'p-1', visitor: present.visitor }])
  t.match(await till.command('display', { till: 'till-1' }), { shown: true, display: LIN.display, private: LIN.private })
  t.notMatch(JSON.stringify([till.harness.events, till.harness.logs, [...till.disk()]]), /Yueying|13800138000|VIP-42|M-42/)
  await till.settles('p-1', 'paid')
  t.match(await till.heard('display', 2), { till: 'till-1', cleared: true })
  t.same(await till.command('display', { till: 'till-1' }), { till: 'till-1', shown: false })
})

t.test(
  'scanned before the payment is opened: the next payment of this till has the member, over a restart, but not an hour later',
  async (t) => {
    const { till, hq } = await shop(t)
    await till.command('member', { till: 'till-1', code: 'VIP-42' })
    await till.harness.until(() => JSON.stringify([...till.disk()]).includes('visitor'), 'waits')
    const disk = till.disk()
    await till.stop()
    const after = await Till.start({ ask: hq.ask, store: disk })
    t.teardown(() => after.stop())
    await after.opens('p-other', 'till-2')
    await after.opens('p-1')
    await after.opens('p-2')
    t.match(after.members, [{ payment: 'p-1' }])
    t.equal(after.members.length, 1)
    await after.scan('member', 'VIP-42', 'till-1', new Date(Date.now() - 3_600_000).toISOString())
    t.match(await after.heard('redemption-refused'), { kind: 'member', reason: 'late', code: '******' })
  },
)

t.test('HQ is away: the member counts, without name and points, and the display says so', async (t) => {
  const { till, hq } = await shop(t)
  hq.faults.away = true
  await till.opens('p-1')
  await till.scan('member', 'M-42')
  t.match(await till.heard('display'), { offline: true, till: 'till-1' })
  t.equal(till.events('display')[0]?.display, undefined)
  const present = await till.heard('present')
  hq.faults.away = false
  await till.scan('member', 'VIP-42')
  t.equal((await till.heard('present', 2)).visitor, present.visitor, 'the same person as HQ names')
})

t.test('HQ is away and codes are not ids: nobody is named', async (t) => {
  const { till, hq } = await shop(t, { redeem: { member: { codeIsId: false } } })
  hq.faults.away = true
  t.match(await till.command('member', { till: 'till-1', code: '998877' }), { offline: true, shown: true })
  t.same(till.events('present'), [])
})

t.test('an unknown member code, a shop that keeps its journal free of what is shown', async (t) => {
  const { till } = await shop(t, { redeem: { member: { display: 'signal' } } })
  await t.rejects(till.command('member', { till: 'till-1', code: 'nobody' }), { code: 'code-invalid' })
  t.match(await till.heard('redemption-refused'), { kind: 'member', reason: 'invalid' })
  t.match(await till.command('member', { till: 'till-1', code: 'VIP-42' }), { display: LIN.display })
  t.notMatch(JSON.stringify(till.harness.events), /Welcome back/)
})

t.test('the box dies while a payment is open and its member is being handed over: found again after the start', async (t) => {
  const { till, hq } = await shop(t)
  await till.command('member', { till: 'till-1', code: 'VIP-42' })
  const disk = till.disk()
  await till.stop()
  const after = await Till.start({ ask: hq.ask, store: disk })
  t.teardown(() => after.stop())
  after.open.set('till-1', { payment: 'p-1', order: 'o-1', till: 'till-1', amount: 500, currency: 'CNY' })
  await after.harness.until(() => after.members.length === 1, 'handed over')
  t.match(after.members, [{ payment: 'p-1' }])
})

t.test('nobody pays: the display forgets the member by itself', async (t) => {
  const clock = new HandClock()
  const { till } = await shop(t, { clock })
  await till.command('member', { till: 'till-1', code: 'VIP-42' })
  await clock.pass(300_000)
  t.match(await till.heard('display', 2), { till: 'till-1', cleared: true })
  t.match(await till.command('display', { till: 'till-1' }), { shown: false })
})
