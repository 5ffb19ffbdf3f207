/** Up to which date old records go, whatever the clock says. */
import t from 'tap'
import { nextPrune, type Pruned } from './retention.ts'

const DAY = 86_400_000
const NOW = Date.parse('2026-11-25T10:00:00Z')
const prune = (wall: number, last: Pruned): Pruned => nextPrune(wall, last) ?? last

t.test('day by day, up to today', async (t) => {
  let last: Pruned = { at: NOW, upTo: NOW }
  for (let day = 1; day <= 5; day++) last = prune(NOW + day * DAY, last)
  t.same(last, { at: NOW + 5 * DAY, upTo: NOW + 5 * DAY })
  t.equal(nextPrune(NOW + 5 * DAY + 3_600_000, last), undefined, 'a restart is no new day')
})

t.test('a clock that is years ahead, with as many restarts as you like, moves the date by two days, and it comes back', async (t) => {
  const before: Pruned = { at: NOW, upTo: NOW }
  let last = prune(NOW + 9_000 * DAY, before)
  for (let restart = 0; restart < 50; restart++) last = prune(NOW + 9_000 * DAY + restart * 60_000, last)
  t.equal(last.upTo, NOW + 2 * DAY)
  t.same(prune(NOW + DAY, last), { at: NOW + DAY, upTo: NOW + DAY }, 'right again')
})

t.test('a clock that was not set judges nothing', async (t) => {
  t.equal(nextPrune(10_000, undefined), undefined)
  t.equal(nextPrune(10_000, { at: NOW, upTo: NOW }), undefined)
})

t.test('a shop that was closed for a month catches up', async (t) => {
  let last: Pruned = { at: NOW, upTo: NOW }
  for (let day = 30; day < 60; day++) last = prune(NOW + day * DAY, last)
  t.equal(last.upTo, NOW + 59 * DAY)
})
