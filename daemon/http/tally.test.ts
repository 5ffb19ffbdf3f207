import t from 'tap'
import { systemClock } from '../clock.ts'
import type { Clock, WallMs } from '../contract/plugin.ts'
import { createLog } from '../log.ts'
import { MemoryJournal } from '../testing/memory-journal.ts'
import { Tally } from './tally.ts'

const log = createLog({ level: 'error', clock: systemClock, write: () => {} })
const HOUR = 3_600_000

/** Local noon of a day in the shop's own time zone. */
const noon = new Date(2026, 10, 22, 12).getTime()

function shopClock(at: number): Clock & { now: number } {
  const clock = { ...systemClock, now: at, wall: () => clock.now as WallMs }
  return clock
}

async function weigh(journal: MemoryJournal, at: number, count: number): Promise<void> {
  const draft = { plugin: 'scale', device: 'counter', event: 'weighed', data: {}, time: new Date(at).toISOString() }
  await journal.commit({ events: Array.from({ length: count }, () => draft) })
}

t.test('after a restart at noon the morning is counted, yesterday is not, and nothing is counted twice', async (t) => {
  const journal = new MemoryJournal()
  const clock = shopClock(noon)
  await weigh(journal, noon - 30 * HOUR, 3_000)
  await weigh(journal, noon - 3 * HOUR, 2_500)
  const tally = new Tally(journal, clock, log)
  tally.start()
  t.teardown(() => tally.stop())
  t.equal(tally.today().complete, false)
  await weigh(journal, noon, 7)
  await tally.fill()
  t.match(tally.today(), {
    complete: true,
    counts: { 'shopwire.scale.weighed': 2_507 },
    last: { 'shopwire.scale.weighed': new Date(noon).toISOString() },
  })
  t.equal(tally.totals().get('shopwire.scale.weighed'), 7, 'metrics count from the start of the process')
})

t.test('a quiet morning still knows when the last one was', async (t) => {
  const journal = new MemoryJournal()
  await weigh(journal, noon - 14.5 * HOUR, 1)
  const tally = new Tally(journal, shopClock(noon), log)
  tally.start()
  t.teardown(() => tally.stop())
  await tally.fill()
  t.match(tally.today(), { counts: {}, last: { 'shopwire.scale.weighed': new Date(noon - 14.5 * HOUR).toISOString() } })
})

t.test('at midnight the count begins again', async (t) => {
  const journal = new MemoryJournal()
  const clock = shopClock(noon)
  const tally = new Tally(journal, clock, log)
  tally.start()
  t.teardown(() => tally.stop())
  await weigh(journal, noon, 5)
  await tally.fill()
  clock.now = noon + 12 * HOUR + 1_000
  t.strictSame(tally.today().counts, {})
  await weigh(journal, clock.now, 2)
  t.match(tally.today(), { complete: true, counts: { 'shopwire.scale.weighed': 2 } })
})

t.test('a box that boots in 1970 counts right once its clock is set', async (t) => {
  const journal = new MemoryJournal()
  await weigh(journal, noon - 2 * HOUR, 4)
  const clock = shopClock(10_000)
  const tally = new Tally(journal, clock, log)
  tally.start()
  t.teardown(() => tally.stop())
  await weigh(journal, 10_000, 3)
  await tally.fill()
  t.equal(tally.today().counts['shopwire.scale.weighed'], 7, 'by its own clock all of it is not before today')
  clock.now = noon
  t.equal(tally.today().complete, false)
  await tally.fill()
  t.strictSame(tally.today().counts, { 'shopwire.scale.weighed': 4 }, 'what was stored before the clock was set belongs to no day')
})
