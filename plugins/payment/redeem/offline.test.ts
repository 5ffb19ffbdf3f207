/** HQ is away: codes are taken by the signed list it pushed, remembered as used, and told to HQ when it is back. */

import t from 'tap'
import type { Json, JsonObject } from '../../../daemon/contract/json.ts'
import type { Clock, WallMs } from '../../../daemon/contract/plugin.ts'
import { HeldTimers } from '../../../daemon/testing/held-timers.ts'
import { LIST_BYTES } from './code-list.ts'
import { Hq, ListMaker } from './testing/hq.ts'
import { Till, type TillOptions } from './testing/till.ts'

const maker = new ListMaker()
const COUPON = { kind: 'coupon' as const, code: 'CPN-TENOFF-0001', value: 500 }
const OTHER = { kind: 'coupon' as const, code: 'CPN-TENOFF-0002', value: 600 }
const offline = (more: JsonObject = {}): JsonObject => ({ offline: { publicKey: maker.publicKey, ...more } })

type Teardown = Pick<typeof import('tap').default, 'teardown'>

async function shop(t: Teardown, options: TillOptions = {}, hq = new Hq()): Promise<{ till: Till; hq: Hq }> {
  hq.faults.away = true
  for (const one of [COUPON, OTHER]) if (!hq.codes.has(`coupon:${one.code}`)) hq.add(one.kind, one.code, one.value)
  const till = await Till.start({ ask: hq.ask, redeem: offline(), ...options })
  t.teardown(() => till.stop())
  return { till, hq }
}

const ask = (till: Till, code: string, at = 'till-1') => till.command('redeem', { till: at, kind: 'coupon', code })

t.test('a listed coupon is taken while HQ is away, is used up here even after a restart, and HQ hears of it later', async (t) => {
  const { till, hq } = await shop(t)
  await till.command('code-list', await maker.list(1, [COUPON]))
  await till.opens('p-1')
  await till.scan('coupon', COUPON.code)
  t.match(await till.heard('redemption-reserved'), { offline: true, value: 500, currency: 'CNY', payment: 'p-1' })
  await till.settles('p-1', 'paid')
  t.match(await till.heard('redeemed'), { offline: true })
  const disk = till.disk()
  await till.stop()
  const { till: after } = await shop(t, { store: disk }, hq)
  await t.rejects(ask(after, COUPON.code), { code: 'code-used' }, 'the spent list is as durable as the yes was')
  hq.faults.away = false
  await after.harness.until(() => hq.commits.length === 1, 'HQ hears of it')
  t.match(hq.heard.find((one) => one.request === 'commit')?.args, {
    code: COUPON.code,
    payment: 'p-1',
    offline: { list: 1 },
    store: '0001',
  })
})

t.test('the till hears yes only when the spent list is durable', async (t) => {
  const { till } = await shop(t)
  await till.command('code-list', await maker.list(1, [COUPON]))
  till.harness.hold()
  const answered = ask(till, COUPON.code)
  await till.harness.until(() => JSON.stringify([...till.disk()]).includes('"phase":"reserved"'), 'stored')
  t.same(till.events('redemption-reserved'), [])
  till.harness.resume()
  t.match(await answered, { state: 'reserved', offline: true })
})

t.test('the same coupon in two shops while both are cut off: both say yes, and the second to come back finds the conflict', async (t) => {
  const hq = new Hq()
  const one = await shop(t, {}, hq)
  const two = await shop(t, {}, hq)
  for (const { till } of [one, two]) {
    await till.command('code-list', await maker.list(1, [COUPON]))
    await till.opens('p-1')
    await till.scan('coupon', COUPON.code)
    await till.heard('redemption-reserved')
    await till.settles('p-1', 'paid')
    await till.heard('redeemed')
  }
  hq.faults.away = false
  await one.till.harness.until(() => hq.commits.length === 2, 'both have told HQ')
  await one.till.harness.until(
    () => one.till.events('redemption-conflict').length + two.till.events('redemption-conflict').length === 1,
    'one conflict',
  )
  const [conflict] = [...one.till.events('redemption-conflict'), ...two.till.events('redemption-conflict')]
  t.match(conflict, { value: 500, payment: 'p-1', offline: true, other: { shop: 'another', redemption: String } })
  t.match(hq.commits.map((commit) => commit.conflict).sort(), [false, true])
})

t.test('HQ takes the question and never answers: the list speaks, and HQ’s reservation is not lost by it', async (t) => {
  const { till, hq } = await shop(t, { redeem: { ...offline(), reserveSeconds: 0.2 } })
  await till.command('code-list', await maker.list(1, [COUPON]))
  Object.assign(hq.faults, { away: false, dropAnswer: true })
  await till.opens('p-1')
  t.match(await ask(till, COUPON.code), { state: 'reserved', offline: true })
  hq.faults.dropAnswer = false
  await till.settles('p-1', 'paid')
  await till.harness.until(() => hq.commits.length === 1, 'committed')
  t.match(hq.commits, [{ conflict: false }])
})

t.test('called off while HQ is away, and scanned again: HQ hears in the right order, so there is no false conflict', async (t) => {
  const { till, hq } = await shop(t)
  hq.faults.away = false
  await till.command('code-list', await maker.list(1, [COUPON]))
  await till.opens('p-1')
  t.match(await ask(till, COUPON.code), { offline: false })
  hq.faults.away = true
  await till.settles('p-1', 'cancelled')
  await till.opens('p-2')
  t.match(await ask(till, COUPON.code), { state: 'reserved', offline: true, payment: 'p-2' })
  await till.settles('p-2', 'paid')
  hq.faults.away = false
  await till.harness.until(() => hq.commits.length === 1, 'committed')
  t.match(hq.commits, [{ payment: 'p-2', conflict: false }])
  t.same(till.events('redemption-conflict'), [])
})

t.test('what may be redeemed without HQ is limited, by code and by day, restarts included', async (t) => {
  const limits = offline({ valuePerCode: 600, valuePerDay: 1000 })
  // All of it on one day.
  const now = Date.now() as WallMs
  const clock: Clock = { ...new HeldTimers().clock, wall: () => now }
  const { till, hq } = await shop(t, { redeem: limits, clock })
  await till.command(
    'code-list',
    await maker.list(1, [COUPON, OTHER, { ...COUPON, code: 'CPN-RICH', value: 601 }, { ...COUPON, code: 'CPN-3', value: 500 }]),
  )
  await t.rejects(ask(till, 'CPN-RICH'), { code: 'hq-unreachable', message: /offline-limit.*601|offline-limit.*600/ })
  const first = await ask(till, COUPON.code)
  await t.rejects(ask(till, OTHER.code), { message: /offline-limit/ }, '500 + 600 are over 1000')
  const disk = till.disk()
  await till.stop()
  const { till: after } = await shop(t, { redeem: limits, store: disk, clock }, hq)
  await t.rejects(ask(after, OTHER.code), { message: /offline-limit/ })
  await after.command('release', { redemption: first.redemption as string })
  t.match(await ask(after, OTHER.code), { state: 'reserved' }, 'what was taken back does not count')
})

t.test('codes of the list that do not count here and now', async (t) => {
  const { till } = await shop(t)
  await t.rejects(ask(till, COUPON.code), { code: 'hq-unreachable', message: /no offline list/ })
  await till.command(
    'code-list',
    await maker.list(1, [
      { ...COUPON, code: 'elsewhere', stores: ['0002'] },
      { ...COUPON, code: 'over', until: '2020-01-01T00:00:00Z' },
      { ...COUPON, code: 'soon', from: '2099-01-01T00:00:00Z' },
    ]),
  )
  await t.rejects(ask(till, 'elsewhere'), { code: 'code-invalid', message: /wrong-shop/ })
  await t.rejects(ask(till, 'over'), { code: 'code-invalid', message: /expired/ })
  await t.rejects(ask(till, 'soon'), { code: 'code-invalid', message: /not-yet/ })
  await t.rejects(ask(till, 'unheard-of'), { code: 'hq-unreachable', message: /not on its offline list/ })
  await t.rejects(
    till.command('redeem', { till: 'till-1', kind: 'pickup', code: 'soon' }),
    { code: 'hq-unreachable' },
    'the kind is part of the code',
  )
})

t.test(
  'a list that is not HQ’s, not for this shop, too old, or broken is refused with the reason; the one that counts stays',
  async (t) => {
    const { till } = await shop(t)
    t.match(await till.command('code-list', {}), { version: 0, usable: false })
    const good = await maker.list(5, [COUPON])
    t.match(await till.command('code-list', good), { version: 5, complete: true, codes: 1 })
    const forged = await new ListMaker().list(6, [COUPON])
    const changed = { ...(await maker.list(6, [COUPON])), payload: String((await maker.list(6, [COUPON])).payload).replace('500', '900') }
    const entry = JSON.parse(String(good.payload)).codes[0] as JsonObject
    const bad: [string, JsonObject, RegExp][] = [
      ['signed by somebody else', forged, /signature/],
      ['changed on the way', changed, /signature/],
      ['an older one', await maker.list(4, [COUPON]), /version: is 4; 5 is here/],
      ['the same number, other content', await maker.list(5, [OTHER]), /5 is here with other content/],
      ['expired', await maker.list(6, [COUPON], { issuedAt: '2020-01-01T00:00:00Z', expiresAt: '2020-01-02T00:00:00Z' }), /expired/],
      ['good for years', await maker.list(6, [COUPON], { expiresAt: '2099-01-01T00:00:00Z' }), /within 90 days/],
      ['for another shop', await maker.list(6, [COUPON], { stores: ['0002'] }), /stores: does not name this shop, "0001"/],
      ['for another gateway', await maker.list(6, [COUPON], { gateway: 'shop-002' }), /gateway: is "shop-002"; this one is shop-001/],
      ['another number inside', { ...(await maker.list(6, [COUPON])), version: 7 }, /is 7, but the list says 6/],
      ['a code twice', await maker.list(6, [COUPON, COUPON]), /codes\.1\.hash: stands in the list twice/],
      ['a negative value', await maker.list(6, [{ ...COUPON, value: -1 }]), /codes\.0\.value/],
      [
        'a kind of its own',
        await maker.list(6, [], { codes: [{ ...entry, kind: 'voucher' }] }),
        /codes\.0\.kind: must be one of coupon, pickup, claim/,
      ],
      ['half a hash', await maker.list(6, [], { codes: [{ ...entry, hash: 'AAAA' }] }), /codes\.0\.hash: must be 16 bytes/],
      ['a million iterations', await maker.list(6, [], { iterations: 1_000_000 }), /iterations: must be a whole number from 1 to 200000/],
      ['no salt', await maker.list(6, [], { salt: '' }), /salt/],
      ['no times', await maker.list(6, [], { issuedAt: 'yesterday' }), /issuedAt: must be an RFC 3339 instant/],
      ['part 3 of 2', { ...(await maker.list(6, [])), part: 3, parts: 2 }, /part: is 3 of 2/],
      ['a part without its place', { payload: 'x', version: 6 }, /args\.part: is missing/],
    ]
    for (const [what, args, why] of bad) await t.rejects(till.command('code-list', args), { message: why }, what)
    t.match(await till.command('code-list', {}), { version: 5, codes: 1, usable: true })
    t.match(await till.command('code-list', good), { version: 5, complete: true }, 'the same again is fine')
    t.match(await ask(till, COUPON.code), { state: 'reserved' })
  },
)

t.test('a list in parts, in any order, over a restart; one without an end is dropped', async (t) => {
  const { till, hq } = await shop(t)
  const payload = await maker.payload(1, [COUPON, OTHER])
  const signature = maker.sign(payload)
  const third = Math.ceil(payload.length / 3)
  const part = (number: number): JsonObject => ({
    version: 1,
    part: number,
    parts: 3,
    signature,
    payload: payload.slice((number - 1) * third, number * third),
  })
  t.match(await till.command('code-list', part(3)), { complete: false, missing: [1, 2] })
  t.match(await till.command('code-list', part(1)), { complete: false, missing: [2] })
  const disk = till.disk()
  await till.stop()
  const { till: after } = await shop(t, { store: disk }, hq)
  t.match(await after.command('code-list', part(2)), { complete: true, codes: 2 })
  t.notMatch(payload, /TENOFF/, 'the list does not name its codes')
  const huge = 'x'.repeat(190_000)
  const parts = Math.ceil(LIST_BYTES / huge.length)
  for (let number = 1; number < parts; number++)
    await after.command('code-list', { ...part(1), version: 2, part: number, parts, payload: huge })
  await t.rejects(after.command('code-list', { ...part(1), version: 2, part: parts, parts, payload: huge }), { code: 'payload-too-large' })
  t.ok(JSON.stringify([...after.disk()]).length < 50_000, 'nothing of it stays')
  await t.rejects(after.command('code-list', { ...part(1), payload: 'x'.repeat(200_001) }), { code: 'args-invalid' })
  t.match(await ask(after, OTHER.code), { state: 'reserved' })
})

t.test('the list runs out while HQ is away, or the clock was never set: no code is taken', async (t) => {
  let wall = Date.now()
  const clock: Clock = { ...new HeldTimers().clock, wall: () => wall as WallMs }
  const { till } = await shop(t, { clock })
  await till.command('code-list', await maker.list(1, [COUPON]))
  wall += 2 * 86_400_000
  await t.rejects(ask(till, COUPON.code), { code: 'hq-unreachable', message: /the offline list has expired/ })
  wall = 1_000
  await t.rejects(ask(till, COUPON.code), { code: 'hq-unreachable', message: /clock is older than the offline list/ })
  t.match(await till.command('code-list', {}), { usable: false, version: 1 })
})

t.test('a key that is none, or none at all: redemption with HQ goes on, offline does not, and says why', async (t) => {
  for (const wrong of [{ offline: { publicKeyFile: '/nonexistent' } }, { offline: { publicKey: 'A'.repeat(44) } }, {}]) {
    const { till, hq } = await shop(t, { redeem: wrong })
    await t.rejects(till.command('code-list', await maker.list(1, [COUPON])), { message: /no public key/ })
    await t.rejects(ask(till, COUPON.code), { message: /no public key/ })
    hq.faults.away = false
    t.match(await ask(till, COUPON.code), { state: 'reserved', offline: false })
  }
})

t.test('HQ changes its key: the stored list does not count any more', async (t) => {
  const { till, hq } = await shop(t)
  await till.command('code-list', await maker.list(1, [COUPON]))
  const store: Map<string, Json> = till.disk()
  await till.stop()
  const { till: after } = await shop(t, { store, redeem: { offline: { publicKey: new ListMaker().publicKey } } }, hq)
  await t.rejects(ask(after, COUPON.code), { message: /no offline list/ })
  t.match(after.harness.logs, [{ level: 'warn', message: /does not count/ }])
})
