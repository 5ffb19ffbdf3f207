/** The long run of redeem.machine.test.ts: `npm run soak`. */

import t from 'tap'
import { fc } from '../../../daemon/testing/property.ts'
import { actions, live } from './testing/world.ts'

t.setTimeout(0)

const RUNS = Number(process.env.REDEEM_RUNS ?? 100_000)

t.test(`${RUNS} simulated days of two shops`, async (t) => {
  fc.assert(
    fc.property(actions, (steps) => {
      live(steps)
    }),
    { numRuns: RUNS },
  )
  t.pass('all of them came right')
})
