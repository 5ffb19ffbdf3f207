/** The real machine in simulated shops: random faults, then healing, then everything must have come right. */

import t from 'tap'
import type { MonoMs, WallMs } from '../../../daemon/contract/plugin.ts'
import { fc } from '../../../daemon/testing/property.ts'
import { boot, redeemMachine } from './redeem.machine.ts'
import type { Redemption } from './redemption.ts'
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

const DAY = 86_400_000
const settings = { store: '0001', holdMs: 1, reserveMs: 1, withoutPayment: [], offline: { valuePerCode: 1, valuePerDay: 1 } }
const limits = { wrong: 10, windowMs: 1, lockMs: 1 }

/** What a tick forgets of these, `days` after the beginning. */
function forgotten(stored: Redemption[], days: number, listIssuedAt?: number): string[] {
  const now = 1 as MonoMs
  const wall = (days * DAY) as WallMs
  const { state } = boot(settings, limits, stored, now, wall)
  const effects = redeemMachine.step(state, { type: 'tick', payments: [], listIssuedAt, now, wall })
  return effects.flatMap((one) => (one.do === 'forget' ? [one.id] : one.do === 'shelve' ? [one.redemption.id] : []))
}

const ended = (id: string, phase: Redemption['phase'], more: Partial<Redemption> = {}): Redemption => ({
  ...{ id, till: 'till-1', kind: 'coupon', code: id, at: 0, phase, news: [] },
  ...more,
})

t.test('a used code is remembered until HQ has made a list without it; what came to nothing is not kept for long', async (t) => {
  const used = ended('used', 'committed', { confirmedAt: DAY })
  t.same(forgotten([used], 20), [], 'not within 30 days')
  t.same(forgotten([used], 60, DAY / 2), [], 'the list is older than HQ’s confirmation: it may still have the code')
  t.same(forgotten([used], 60, 2 * DAY), ['used'])
  t.same(
    forgotten([ended('clash', 'committed', { confirmedAt: DAY, conflict: {} })], 60, 2 * DAY),
    [],
    'somebody may still have to look at it',
  )
  t.same(forgotten([ended('no', 'refused'), ended('back', 'released'), ended('open', 'reserved', { payment: 'p' })], 2), ['no', 'back'])
  t.same(
    forgotten([ended('untold', 'refused', { news: [{ event: 'released', reason: 'till' }] })], 2),
    [],
    'not before the till has been told',
  )
  const flood = Array.from({ length: 2_010 }, (_one, index) => ended(`guess-${index}`, 'refused', { at: index }))
  t.same(
    forgotten(flood, 0),
    flood.slice(0, 10).map((one) => one.id),
    'a flood of wrong codes does not fill the disk',
  )
})
