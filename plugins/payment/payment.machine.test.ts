/** The machine in simulated shops: crashes, full disks, lost and late messages, providers that hesitate. */
import t from 'tap'
import { BUGS, explore } from './simulation-runs.testing.ts'

const RUNS = 2_500
/** A bug that no such number of runs finds makes the build fail: the simulation has gone blind. */
const BUG_RUNS = 4_000

t.test(`${RUNS} shops: never charged twice, never paid without the provider's word, always final or UNKNOWN and shown`, async (t) => {
  const reached = explore(RUNS)
  for (const rare of [
    'crash-after-save',
    'crash-before-told',
    'disk-failed',
    'request-lost',
    'answer-lost',
    'unsent',
    'charge-repeated',
    'undo-refused',
    'late-charge',
    'alarm',
    'unknown',
    'end-paid',
    'end-failed',
    'end-cancelled',
    'end-reversed',
    'end-partly-refunded',
  ])
    t.ok(reached.has(rare), `somewhere: ${rare}`)
})

for (const bug of BUGS)
  t.test(`planted: ${bug} is caught`, async (t) => {
    t.throws(() => explore(BUG_RUNS, bug, 7))
  })
