/** The real machine in simulated shops: random faults, then healing, then everything must have come right. */
import fc from 'fast-check'
import t from 'tap'
import { actions, live } from './testing/world.ts'

t.test(
  'whatever fails and dies: one payment a code at most, never without payment, nothing granted is forgotten, all of it ends',
  async (t) => {
    const seen = new Map<string, number>()
    fc.assert(
      fc.property(actions, (steps) => {
        for (const what of live(steps).seen) seen.set(what, (seen.get(what) ?? 0) + 1)
      }),
      { numRuns: 300 },
    )
    const rare = [
      'died',
      'offline',
      'unlisted',
      'hq-unreachable',
      'hq-no-answer',
      'code-used',
      'redemption-reserved',
      'redemption-refused',
      'redeemed',
      'released',
      'redemption-conflict',
    ]
    for (const what of rare) t.ok((seen.get(what) ?? 0) > 0, `${what} was reached (${seen.get(what) ?? 0} runs)`)
  },
)

t.test('bugs planted on purpose are caught', async (t) => {
  for (const planted of [
    'tell-before-durable',
    'hq-forgets-releases',
    'new-id-each-attempt',
    'commit-without-payment',
    'spent-list-in-memory',
  ] as const) {
    const found = fc.check(
      fc.property(actions, (steps) => {
        live(steps, planted)
      }),
      { numRuns: 2_000, endOnFailure: true },
    )
    t.ok(found.failed, `${planted}: after ${found.numRuns} runs: ${String((found.errorInstance as Error | null)?.message).slice(0, 120)}`)
  }
})
