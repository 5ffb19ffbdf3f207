import t from 'tap'
import { traffic } from './testing/traffic.ts'
import { score } from './testing/truth-table.ts'
import { runTraffic } from './testing/week.ts'

t.test('a busy day with known truth: no proof names the wrong person, nearly all that can be found is found', async (t) => {
  const given = traffic({ seed: 7, days: 1, visitsADay: 500, paymentsADay: 300, start: Date.parse('2026-11-16T00:00:00+08:00') })
  const { current, told, visits, counter } = await runTraffic(t.testdir(), given)
  t.teardown(() => counter.close())
  const { methods } = score(given, current)
  for (const one of methods.filter(({ method }) => method !== 'single_candidate')) {
    t.ok(one.links > 0, `${one.method} occurs`)
    t.equal(one.wrong, 0, `${one.method} names the right person, always`)
  }
  for (const one of methods.filter(({ method }) => method !== 'single_candidate'))
    t.ok(one.found >= one.provable * 0.95, `${one.method}: ${one.found} of ${one.provable} that it could prove were found`)
  t.strictSame(
    told.filter((one) => one.method === 'single_candidate' && (one.visitor ?? one.session ?? one.visit) !== undefined),
    [],
  )
  for (const [payment, { refunded }] of given.truth)
    if (refunded && current.has(payment)) t.fail(`${payment} was given back, and is linked`)
  t.equal(visits.open, 0, 'everybody has left')
  const { rows } = await counter.ledger.visits({ limit: 1_000 })
  t.ok(
    Math.abs(rows.filter((one) => one.by !== 'member').length - given.visits) <= given.visits * 0.05,
    `${rows.length} visits of ${given.visits} stays`,
  )
})
