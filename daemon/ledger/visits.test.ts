import t, { type Test } from 'tap'
import { testFolder } from '../testing/folder.ts'
import { HandClock } from '../testing/hand-clock.ts'
import { Counter, type CounterOptions, DAY, HOUR, MINUTE, openJournalIn } from './testing/counter.ts'

async function shop(t: Test, options: CounterOptions = {}): Promise<Counter> {
  const counter = await Counter.open(testFolder(t), options)
  t.teardown(() => counter.close())
  return counter
}

t.test('a shopper joins the WiFi, stays 20 minutes and leaves: arrived at once, departed after the grace', async (t) => {
  const it = await shop(t)
  await it.present('ann')
  t.match(await it.told('visit.arrived'), [{ visitor: 'ann', by: 'wifi', role: 'guest', first: true, returning: false }])
  await it.pass(20 * MINUTE)
  await it.absent('ann')
  await it.pass(4 * MINUTE)
  t.equal((await it.told('visit.departed')).length, 0, 'still within the grace')
  await it.pass(2 * MINUTE)
  const [arrived] = await it.told('visit.arrived')
  t.strictSame(await it.told('visit.departed'), [{ visit: arrived?.visit, visitor: 'ann', dwellSeconds: 1_200 }])
})

t.test('a phone that sleeps and wakes within the grace is one visit', async (t) => {
  const it = await shop(t)
  await it.present('ann')
  for (let nap = 0; nap < 10; nap++) {
    await it.pass(3 * MINUTE)
    await it.absent('ann')
    await it.pass(4 * MINUTE)
    await it.present('ann')
  }
  t.equal((await it.told('visit.arrived')).length, 1)
  t.equal((await it.told('visit.departed')).length, 0)
})

t.test('a member seen by WiFi, by a beacon and at the till is one visit, which ends when the last of them is silent', async (t) => {
  const it = await shop(t)
  await it.present('mia', { by: 'beacon', role: 'member' }, 'beacon')
  await it.present('mia')
  await it.present('mia', { by: 'member', stays: false }, 'payment')
  await it.pass(MINUTE)
  await it.absent('mia', 'beacon')
  await it.absent('mia')
  await it.pass(10 * MINUTE)
  t.equal((await it.told('visit.departed')).length, 0, 'the card at the till holds for a quarter of an hour')
  await it.pass(12 * MINUTE)
  t.match(await it.told('visit.arrived'), [{ by: 'beacon', role: 'member' }])
  t.match(await it.told('visit.departed'), [{ dwellSeconds: 60 }])
})

t.test('a phone that turns out to be a member keeps its visit under the new name', async (t) => {
  const it = await shop(t)
  await it.present('mia', { by: 'member', stays: false }, 'payment')
  await it.pass(40 * DAY)
  await it.present('station-7')
  await it.present('mia', { was: 'station-7', role: 'member', by: 'portal' })
  const arrived = await it.told('visit.arrived')
  t.equal(arrived.length, 2)
  t.match(await it.told('visit.identified'), [
    { visit: arrived[1]?.visit, visitor: 'mia', was: 'station-7', first: false, returning: true, sleepingDays: 40 },
  ])
  await it.absent('station-7')
  await it.pass(6 * MINUTE)
  t.match((await it.told('visit.departed')).at(-1), { visit: arrived[1]?.visit, visitor: 'mia' })
})

t.test('two visits that turn out to be one person’s become one: the older goes on', async (t) => {
  const it = await shop(t)
  await it.present('station-7')
  await it.pass(MINUTE)
  await it.present('mia', { by: 'beacon', role: 'member' }, 'beacon')
  await it.present('mia', { was: 'station-7', role: 'member', by: 'portal' })
  const [first, second] = await it.told('visit.arrived')
  t.match(await it.told('visit.identified'), [{ visit: first?.visit, visitor: 'mia', was: 'station-7' }])
  t.match(await it.told('visit.departed'), [{ visit: second?.visit, into: first?.visit }])
  await it.pass(MINUTE)
  await it.absent('mia', 'beacon')
  await it.pass(6 * MINUTE)
  t.equal((await it.told('visit.departed')).length, 1, 'her phone is still here')
  await it.absent('mia')
  await it.pass(6 * MINUTE)
  t.match((await it.told('visit.departed'))[1], { visit: first?.visit, dwellSeconds: 480 })
  const { rows } = await it.ledger.visits({ limit: 9 })
  t.match(rows, [{ visitor: 'mia', role: 'member', was: ['station-7'] }])
  t.match((await it.ledger.stats({})).total.visits, { count: 1, first: 1 })
})

t.test('who comes again is returning; after 30 days, sleeping no more', async (t) => {
  const it = await shop(t)
  for (const away of [0, 1, 29, 31]) {
    it.clock.jump(away * DAY)
    await it.present('ann')
    await it.absent('ann')
    await it.pass(6 * MINUTE)
  }
  t.strictSame(
    (await it.told('visit.arrived')).map(({ first, sleepingDays }) => [first, sleepingDays]),
    [
      [true, undefined],
      [false, undefined],
      [false, undefined],
      [false, 31],
    ],
  )
})

t.test('staff are counted apart', async (t) => {
  const it = await shop(t)
  await it.present('bo', { by: 'beacon', role: 'staff' }, 'beacon')
  await it.present('ann')
  t.match((await it.ledger.stats({})).total.visits, { count: 1, staff: 1 })
  t.equal(it.ledger.trade().arrivals, 1)
})

t.test('a box whose clock is set in the middle of a visit, or jumps back, still tells how long it was', async (t) => {
  const clock = new HandClock('1970-01-01T00:00:10Z')
  const it = await shop(t, { clock })
  it.unsync()
  await it.present('ann')
  await it.pass(3 * MINUTE)
  clock.set('2026-11-22T08:00:00Z')
  it.sync()
  await it.pass(7 * MINUTE)
  clock.set('2026-11-22T07:00:00Z')
  await it.absent('ann')
  await it.pass(6 * MINUTE)
  t.match(await it.told('visit.departed'), [{ dwellSeconds: 600 }])
  t.equal((await it.told('visit.arrived'))[0]?.sleepingDays, undefined)
})

t.test('a restart in the middle: the visit goes on, and the grace that has run counts', async (t) => {
  const it = await shop(t)
  await it.present('ann')
  await it.present('ben')
  await it.pass(10 * MINUTE)
  await it.absent('ann')
  await it.settle()
  it.clock.jump(3 * MINUTE)
  await it.restart()
  await it.pass(MINUTE)
  t.equal((await it.told('visit.departed')).length, 0)
  await it.pass(2 * MINUTE)
  t.match(await it.told('visit.departed'), [{ visitor: 'ann', dwellSeconds: 600 }])
  await it.present('ben')
  await it.absent('ben')
  await it.pass(6 * MINUTE)
  t.match((await it.told('visit.departed'))[1], { visitor: 'ben', dwellSeconds: 960 })
  t.equal((await it.told('visit.arrived')).length, 2)
})

t.test('an unset clock after a restart: no duration below what was certain, none negative', async (t) => {
  const it = await shop(t)
  await it.present('ann')
  await it.pass(10 * MINUTE)
  await it.present('ann')
  await it.settle()
  it.unsync()
  it.clock.set('1970-01-01T00:01:00Z')
  await it.restart()
  await it.pass(MINUTE)
  await it.absent('ann')
  await it.pass(6 * MINUTE)
  t.match(await it.told('visit.departed'), [{ visitor: 'ann', dwellSeconds: 660 }])
})

t.test('a visit that nobody ends is ended, with the stay that was seen', async (t) => {
  const it = await shop(t)
  await it.present('ann')
  await it.pass(HOUR)
  await it.present('ann', {}, 'beacon')
  await it.pass(17 * HOUR)
  t.match(await it.told('visit.departed'), [{ dwellSeconds: 3_600 }])
})

t.test('signs of the wrong shape are no signs', async (t) => {
  const it = await shop(t)
  for (const data of [
    {},
    { visitor: '' },
    { visitor: 'x', by: 'radar' },
    { visitor: 7, by: 'wifi' },
    { visitor: 'x'.repeat(300), by: 'wifi' },
  ])
    await it.tell('portal', 'present', data)
  await it.tell('portal', 'absent', { visitor: 'nobody', lastSeen: 'yesterday' })
  await it.tell('payment', 'paid', { payment: 'p', amount: -1 })
  t.equal((await it.told('visit.arrived')).length, 0)
  t.equal((await it.ledger.payments({ limit: 9 })).rows.length, 0)
  t.equal(it.lines.filter((one) => one.level !== 'info').length, 0)
})

t.test('a ledger that finds a journal of the past ends its visits in their order, not all at its end', async (t) => {
  const dir = testFolder(t)
  const clock = new HandClock('2026-11-22T02:00:00Z')
  const { journal } = await openJournalIn(dir, clock)
  for (let hour = 0; hour < 3; hour++) {
    const visitor = `v-${hour}`
    const at = (minute: number) => new Date(Date.parse('2026-11-20T02:00:00Z') + hour * HOUR + minute * MINUTE).toISOString()
    await journal.commit({
      events: [
        { plugin: 'portal', device: '-', event: 'present', data: { visitor, by: 'wifi' }, time: at(0) },
        { plugin: 'portal', device: '-', event: 'absent', data: { visitor, lastSeen: at(20) }, time: at(20) },
      ],
    })
  }
  await journal.close()
  const counter = await Counter.open(dir, { clock })
  t.teardown(() => counter.close())
  await counter.settle()
  const told = (await counter.journal.read(0, { events: 1_000 })).filter(({ plugin }) => plugin === 'visit')
  t.same(
    told.map(({ event, text }) => `${event} ${(JSON.parse(text) as { data: { visitor: string } }).data.visitor}`),
    ['arrived v-0', 'departed v-0', 'arrived v-1', 'departed v-1', 'arrived v-2', 'departed v-2'],
  )
})
