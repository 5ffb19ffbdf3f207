/** Redemption as a till lives it: the real shell, schemas and store; HQ and the payment side are played. */

import { existsSync, readFileSync } from 'node:fs'
import t from 'tap'
import type { Json, JsonObject, JsonSchema } from '../../../daemon/contract/json.ts'
import type { Clock, KeyValue, Manifest, WallMs } from '../../../daemon/contract/plugin.ts'
import { HandClock } from '../../../daemon/testing/hand-clock.ts'
import { HeldTimers } from '../../../daemon/testing/held-timers.ts'
import { PastShelf } from './past-shelf.ts'
import { Hq } from './testing/hq.ts'
import { PART_URL, Till, type TillOptions } from './testing/till.ts'

async function shop(
  t: Pick<typeof import('tap').default, 'teardown'>,
  options: TillOptions = {},
  hq = new Hq(),
): Promise<{ till: Till; hq: Hq }> {
  hq.add('coupon', 'CPN-TENOFF-0001', 500)
  hq.add('pickup', 'PU-7788-4321', 0)
  const till = await Till.start({ ask: hq.ask, ...options })
  t.teardown(() => till.stop())
  return { till, hq }
}

t.test('a coupon is scanned, the payment opened and paid: reserved, then used, and HQ knows', async (t) => {
  const { till, hq } = await shop(t)
  await till.scan('coupon', 'CPN-TENOFF-0001')
  const reserved = await till.heard('redemption-reserved')
  t.match(reserved, { kind: 'coupon', value: 500, label: '500 off', offline: false, code: '***********0001', till: 'till-1' })
  t.type(reserved.heldUntil, 'string', 'held for the till until a payment is opened')
  await till.opens('p-1')
  await till.settles('p-1', 'paid')
  t.match(await till.heard('redeemed'), { redemption: reserved.redemption, payment: 'p-1', order: 'order-p-1', value: 500 })
  await till.harness.until(() => hq.commits.length === 1, 'HQ hears of it')
  t.match(hq.commits, [{ code: 'coupon:CPN-TENOFF-0001', payment: 'p-1', conflict: false }])
  t.notMatch(JSON.stringify([till.harness.events, till.harness.logs]), /CPN-TENOFF/, 'the code stands in no event and no log')
})

t.test('the payment falls through: the coupon is free again and can be used on the next one', async (t) => {
  const { till, hq } = await shop(t)
  for (const [index, outcome] of (['failed', 'cancelled', 'reversed'] as const).entries()) {
    await till.opens(`p-${index}`)
    await till.scan('coupon', 'CPN-TENOFF-0001')
    await till.heard('redemption-reserved', index + 1)
    await till.settles(`p-${index}`, outcome)
    t.match(await till.heard('released', index + 1), { reason: outcome, payment: `p-${index}` })
  }
  await till.opens('p-last')
  await till.scan('coupon', 'CPN-TENOFF-0001')
  await till.heard('redemption-reserved', 4)
  await till.settles('p-last', 'paid')
  await till.harness.until(() => hq.commits.length === 1, 'the commit')
  t.match(hq.commits, [{ payment: 'p-last' }])
})

t.test('no payment comes: the coupon does not stay held for ever', async (t) => {
  const clock = new HandClock()
  const { till, hq } = await shop(t, { clock })
  await till.scan('coupon', 'CPN-TENOFF-0001', 'till-1', clock.now)
  await till.heard('redemption-reserved')
  await clock.pass(119_000)
  t.same(till.events('released'), [], 'two minutes it is held')
  await clock.pass(1_000)
  t.match(await till.heard('released'), { reason: 'expired' })
  await till.harness.until(() => hq.heard.some((one) => one.request === 'release'), 'HQ is told')
})

t.test('the same coupon twice on one sale counts once; at two tills at once one wins; a used one is refused', async (t) => {
  const { till } = await shop(t)
  await Promise.all([till.scan('coupon', 'CPN-TENOFF-0001', 'till-1'), till.scan('coupon', 'CPN-TENOFF-0001', 'till-2')])
  t.match(await till.heard('redemption-refused'), { reason: 'in-use', till: 'till-2' })
  t.match(await till.heard('redemption-reserved'), { till: 'till-1' })
  await till.scan('coupon', 'CPN-TENOFF-0001', 'till-1')
  t.match(await till.heard('redemption-refused', 2), { reason: 'already-here', till: 'till-1' })
  t.match(
    await till.command('redeem', { till: 'till-1', kind: 'coupon', code: 'CPN-TENOFF-0001' }),
    { state: 'reserved' },
    'asked for: the one that is there',
  )
  await till.opens('p-1')
  await till.settles('p-1', 'paid')
  await till.heard('redeemed')
  await t.rejects(till.command('redeem', { till: 'till-2', kind: 'coupon', code: 'CPN-TENOFF-0001' }), {
    code: 'code-used',
    message: /used/,
  })
})

t.test('a pick-up of what is paid already is completed by the till; a coupon is not', async (t) => {
  const { till, hq } = await shop(t)
  const pickup = await till.command('redeem', { till: 'till-1', kind: 'pickup', code: 'PU-7788-4321' })
  t.match(pickup, { state: 'reserved', value: 0 })
  t.match(await till.command('redeem', { redemption: pickup.redemption as string }), { state: /committ/ })
  await till.harness.until(() => hq.commits.length === 1, 'HQ hears of it')
  const coupon = await till.command('redeem', { till: 'till-1', kind: 'coupon', code: 'CPN-TENOFF-0001' })
  await t.rejects(till.command('redeem', { redemption: coupon.redemption as string }), { code: 'payment-state' })
  t.match(await till.command('release', { till: 'till-1' }), { released: [{ state: /releas/, reason: 'till' }] })
  await t.rejects(till.command('release', { redemption: pickup.redemption as string }), { code: 'payment-state' })
  await t.rejects(till.command('release', { redemption: 'nobody' }), { code: 'not-found' })
  await t.rejects(till.command('release', {}), { code: 'args-invalid' })
  await t.rejects(till.command('redeem', { till: 'till-1' }), { code: 'args-invalid' })
  await t.rejects(till.command('redeem', { till: 'till-1', kind: 'member', code: 'x' }), { code: 'args-invalid' })
})

t.test('the money goes back: HQ decides whether the coupon may be used again', async (t) => {
  for (const reusable of [true, false]) {
    const { till, hq } = await shop(t)
    hq.reusable = reusable
    await till.opens('p-1')
    await till.scan('coupon', 'CPN-TENOFF-0001')
    await till.heard('redemption-reserved')
    await till.settles('p-1', 'paid')
    await till.settles('p-1', 'refunded')
    await till.harness.until(() => hq.heard.some((one) => one.request === 'unredeem'), 'HQ is asked')
    if (reusable) {
      t.match(await till.heard('released'), { reason: 'refunded' })
      t.match(await till.command('redeem', { till: 'till-1', kind: 'coupon', code: 'CPN-TENOFF-0001' }), { state: 'reserved' })
    } else await t.rejects(till.command('redeem', { till: 'till-1', kind: 'coupon', code: 'CPN-TENOFF-0001' }), { code: 'code-used' })
  }
})

t.test('the money goes back two months later, when memory has forgotten the coupon: HQ hears of it all the same, once', async (t) => {
  let wall = Date.now()
  // Timers run 50 times faster: the shop looks round once a minute.
  const real = new HeldTimers().clock
  const clock: Clock = { ...real, wall: () => wall as WallMs, timer: (ms, run) => real.timer(ms / 50, run) }
  const { till, hq } = await shop(t, { clock })
  for (const payment of ['p-1', 'p-2']) {
    await till.opens(payment)
    if (payment === 'p-1') await till.scan('coupon', 'CPN-TENOFF-0001', 'till-1', new Date(wall).toISOString())
    if (payment === 'p-1') await till.heard('redemption-reserved')
    await till.settles(payment, 'paid')
  }
  await till.harness.until(() => hq.commits.length === 1, 'HQ knows')
  await till.harness.until(() => JSON.stringify([...till.disk()]).includes('"phase":"committed"'), 'confirmed')
  wall += 61 * 86_400_000
  // Anything that happens makes the shop look round; a restart does so, too.
  const disk = till.disk()
  await till.stop()
  const after = await Till.start({ ask: hq.ask, store: disk, clock })
  t.teardown(() => after.stop())
  await after.scan('coupon', 'CPN-OTHER-0002', 'till-1', new Date(wall).toISOString())
  await after.harness.until(
    () => [...after.disk().keys()].some((key) => key.startsWith('redeem/past/p-1/')),
    'forgotten, and kept by its payment',
  )
  t.match(await after.command('redemptions', { payment: 'p-1' }), { total: 0 })
  const disk2 = after.disk()
  await after.stop()
  const later = await Till.start({ ask: hq.ask, store: disk2, clock })
  t.teardown(() => later.stop())
  await later.settles('p-2', 'refunded')
  t.notOk(
    hq.heard.some((one) => one.request === 'unredeem'),
    'a payment without a coupon',
  )
  await later.settles('p-1', 'refunded')
  await later.settles('p-1', 'refunded')
  await later.harness.until(() => hq.heard.some((one) => one.request === 'unredeem'), 'HQ hears of it')
  t.match(hq.heard.find((one) => one.request === 'unredeem')?.args, { code: 'CPN-TENOFF-0001', payment: 'p-1', reason: 'refunded' })
  t.match(await later.heard('released'), { reason: 'refunded', payment: 'p-1' })
  t.notOk([...later.disk().keys()].some((key) => key.startsWith('redeem/past/p-1/')))
  t.equal(new Set(hq.heard.filter((one) => one.request === 'unredeem').map((one) => one.id)).size, 1)
})

t.test('what is kept of a used code goes with its payment', async (t) => {
  const store = new MapStore()
  const past = new PastShelf(store)
  const record = {
    id: 'r-1',
    till: 'till-1',
    kind: 'coupon' as const,
    code: 'CPN-1',
    at: 0,
    phase: 'committed' as const,
    payment: 'p-1',
    news: [],
  }
  const day = 86_400_000
  await past.put(record, 100 * day)
  await past.put({ ...record, id: 'r-2', payment: 'p-2' }, 150 * day)
  await past.prune(270 * day, 180)
  t.equal((await past.of('p-1')).length, 1, 'not yet')
  await past.prune(300 * day, 180)
  t.same(await past.of('p-1'), [])
  t.equal((await past.of('p-2')).length, 1)
  await past.drop({ ...record, id: 'r-2', payment: 'p-2' })
  t.same(await past.of('p-2'), [])
})

class MapStore implements KeyValue {
  readonly #map = new Map<string, Json>()
  async get(key: string): Promise<Json | undefined> {
    return this.#map.get(key)
  }
  async put(key: string, value: Json): Promise<void> {
    this.#map.set(key, value)
  }
  async delete(key: string): Promise<void> {
    this.#map.delete(key)
  }
  async list(prefix: string): Promise<{ key: string; value: Json }[]> {
    return [...this.#map].filter(([key]) => key.startsWith(prefix)).map(([key, value]) => ({ key, value }))
  }
}

t.test('HQ is away when the payment is paid, and the box restarts: HQ hears of it afterwards, once', async (t) => {
  const { till, hq } = await shop(t)
  await till.opens('p-1')
  await till.scan('coupon', 'CPN-TENOFF-0001')
  await till.heard('redemption-reserved')
  hq.faults.away = true
  await till.settles('p-1', 'paid')
  await till.heard('redeemed')
  const disk = till.disk()
  await till.stop()
  hq.faults.away = false
  hq.faults.dropAnswer = true
  const after = await Till.start({ ask: hq.ask, store: disk })
  t.teardown(() => after.stop())
  await after.harness.until(() => hq.commits.length === 1, 'HQ has it, and its answer is lost')
  hq.faults.dropAnswer = false
  await after.harness.until(() => JSON.stringify([...after.disk()]).includes('"phase":"committed"'), 'confirmed')
  t.equal(hq.commits.length, 1)
  t.ok(new Set(hq.heard.filter((one) => one.request === 'commit').map((one) => one.id)).size === 1, 'always under the same id')
})

t.test('HQ reserved and its answer was lost: the till hears no in time, and HQ is told to let go', async (t) => {
  const { till, hq } = await shop(t, { redeem: { reserveSeconds: 2 } })
  hq.faults.dropAnswer = true
  await t.rejects(till.command('redeem', { till: 'till-1', kind: 'coupon', code: 'CPN-TENOFF-0001' }), { code: 'hq-no-answer' })
  t.match(await till.heard('redemption-refused'), { reason: 'hq-no-answer' })
  hq.faults.dropAnswer = false
  await till.harness.until(() => hq.codes.get('coupon:CPN-TENOFF-0001')?.by === undefined, 'HQ has let go')
  t.match(await till.command('redeem', { till: 'till-1', kind: 'coupon', code: 'CPN-TENOFF-0001' }), { state: 'reserved' })
})

t.test('a scan that the journal delivers again is one redemption; one from before a long outage is not for this customer', async (t) => {
  const { till, hq } = await shop(t)
  const scan = { scan: 'event-1', till: 'till-1', kind: 'coupon' as const, code: 'CPN-TENOFF-0001', at: new Date().toISOString() }
  await till.redemptions.scanned(scan)
  await till.redemptions.scanned(scan)
  await till.heard('redemption-reserved')
  const disk = till.disk()
  await till.stop()
  const after = await Till.start({ ask: hq.ask, store: disk })
  t.teardown(() => after.stop())
  await after.redemptions.scanned(scan)
  t.match(await after.command('redemptions', {}), { total: 1, redemptions: [{ state: 'reserved', code: '***********0001' }] })
  await after.scan('coupon', 'CPN-OTHER-0002', 'till-1', new Date(Date.now() - 600_000).toISOString())
  t.match(await after.heard('redemption-refused'), { reason: 'late' })
})

t.test('the box dies between the opening of a payment and our hearing of it: the held coupon finds its payment', async (t) => {
  const clock = new HandClock()
  const { till, hq } = await shop(t, { clock })
  await till.scan('coupon', 'CPN-TENOFF-0001', 'till-1', clock.now)
  await till.heard('redemption-reserved')
  till.open.set('till-1', { payment: 'p-1', order: 'o-1', till: 'till-1', amount: 500, currency: 'CNY' })
  await clock.pass(120_000)
  await till.harness.until(() => JSON.stringify([...till.disk()]).includes('"payment":"p-1"'), 'attached when its hold ends')
  await till.settles('p-1', 'paid')
  await till.harness.until(() => hq.commits.length === 1, 'committed')
})

t.test('who guesses codes is locked out, without HQ being asked; other tills go on', async (t) => {
  const { till, hq } = await shop(t, { redeem: { lock: { wrong: 3, windowSeconds: 60, lockSeconds: 60 } } })
  for (let guess = 0; guess < 3; guess++)
    await t.rejects(till.command('redeem', { till: 'till-1', kind: 'coupon', code: `guess-${guess}` }), { code: 'code-invalid' })
  const asked = hq.heard.length
  await t.rejects(till.command('redeem', { till: 'till-1', kind: 'coupon', code: 'CPN-TENOFF-0001' }), { code: 'code-locked' })
  await t.rejects(till.command('member', { till: 'till-1', code: 'VIP1' }), { code: 'code-locked' })
  t.equal(hq.heard.length, asked)
  t.match(await till.command('redeem', { till: 'till-2', kind: 'coupon', code: 'CPN-TENOFF-0001' }), { state: 'reserved' })
  const disk = till.disk()
  await till.stop()
  const after = await Till.start({ ask: hq.ask, store: disk, redeem: { lock: { wrong: 3, windowSeconds: 60, lockSeconds: 60 } } })
  t.teardown(() => after.stop())
  await t.rejects(
    after.command('redeem', { till: 'till-1', kind: 'coupon', code: 'x' }),
    { code: 'code-locked' },
    'a restart does not help',
  )
  for (let guess = 0; guess < 12; guess++)
    await after.command('redeem', { till: `fake-${guess}`, kind: 'coupon', code: `g-${guess}` }).catch(() => {})
  await t.rejects(
    after.command('redeem', { till: 'till-3', kind: 'coupon', code: 'x' }),
    { code: 'code-locked' },
    'nor does another till’s name',
  )
})

t.test('HQ answers what nobody can read: no to the till, and HQ is told to let go', async (t) => {
  for (const answer of [null, 'yes', {}, { value: -1 }, { value: 1.5 }, { value: '500' }, { value: 2 ** 53 }]) {
    const asked: string[] = []
    const till = await Till.start({
      ask: async (request) => {
        asked.push(request)
        return request === 'reserve' ? answer : {}
      },
    })
    t.teardown(() => till.stop())
    await t.rejects(
      till.command('redeem', { till: 'till-1', kind: 'coupon', code: 'CPN-1' }),
      { code: 'hq-refused' },
      JSON.stringify(answer),
    )
    await till.harness.until(() => asked.includes('release'), 'released')
  }
})

/** What plugin.json takes over from manifest-part.json. */
interface Part {
  config: Record<string, JsonSchema>
  events: Record<string, JsonSchema>
  commands: NonNullable<Manifest['commands']>
  permissions: string[]
}

const part = JSON.parse(readFileSync(PART_URL, 'utf8')) as Part

t.test('a config that is wrong is told where; codes are secrets of their commands', async (t) => {
  const wrong: [JsonObject, RegExp][] = [
    [{ holdSeconds: 0 }, /redeem\.holdSeconds/],
    [{ offline: { valuePerDay: -1 } }, /redeem\.offline\.valuePerDay/],
    [{ withoutPayment: ['member'] }, /redeem\.withoutPayment\.0: must be one of "coupon", "pickup", "claim"/],
    [{ lock: { wrong: 1 } }, /redeem\.lock\.wrong/],
    [{ colour: 1 }, /redeem\.colour: is not known here/],
  ]
  for (const [redeem, message] of wrong)
    await t.rejects(Till.start({ redeem }), { code: 'config-invalid', message }, JSON.stringify(redeem))
  for (const command of ['redeem', 'member']) {
    const properties = part.commands[command]?.args?.properties as Record<string, JsonSchema>
    t.equal(properties.code?.['x-secret'], true, command)
    t.not(part.commands[command]?.repeatable, true, `${command}: its code is masked in what a crash leaves, so it is not run again`)
  }
})

const whole = new URL('../plugin.json', PART_URL)
t.test('plugin.json has the part as it stands here', { skip: existsSync(whole) ? false : 'there is no plugin.json yet' }, async (t) => {
  const manifest = JSON.parse(readFileSync(whole, 'utf8')) as Manifest
  t.match(manifest.config?.properties, part.config)
  t.match(manifest.events, part.events)
  t.match(manifest.commands, part.commands)
  for (const permission of part.permissions)
    t.ok(
      manifest.permissions?.some((one) => one === permission),
      permission,
    )
})
