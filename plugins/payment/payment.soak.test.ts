/** The same shops as in payment.machine.test.ts, 100,000 of them. `SOAK_RUNS` for more. */
import t from 'tap'
import { explore } from './simulation-runs.testing.ts'

const RUNS = Math.max(100_000, Number(process.env.SOAK_RUNS ?? 0))

t.test(`${RUNS} shops`, { timeout: 7_200_000 }, async (t) => {
  const reached = explore(RUNS)
  t.ok(reached.has('end-refunded'), 'somewhere all the money went back')
})
