import { randomInt } from 'node:crypto'
import t from 'tap'
import { type Bug, simulate } from './hq-simulation.ts'

/** More of them: SHOPWIRE_SEEDS=20000. One again: SHOPWIRE_SEED=4711. Others: SHOPWIRE_SEED=random. */
const SEEDS = Number(process.env.SHOPWIRE_SEEDS ?? 200)
const RANDOM = process.env.SHOPWIRE_SEED === 'random'
const ONE = RANDOM ? undefined : process.env.SHOPWIRE_SEED

if (SEEDS > 200) t.setTimeout(0)

t.test(
  'whatever network, broker and crashes do to a shop’s day, HQ ends up with all of it, and nothing goes before HQ has it',
  async (t) => {
    const seen: Record<string, number> = {}
    const from = RANDOM ? randomInt(1, 2 ** 31) : Number(ONE ?? 1)
    const to = ONE === undefined ? from + SEEDS - 1 : from
    const failed: string[] = []
    for (let seed = from; seed <= to; seed++) {
      const outcome = simulate(seed)
      if (outcome.violation !== undefined) failed.push(`seed ${seed}: ${outcome.violation}`)
      for (const [what, count] of Object.entries(outcome.seen)) seen[what] = (seen[what] ?? 0) + count
    }
    t.same(failed, [])
    if (ONE !== undefined) return
    for (const rare of [
      'connections lost',
      'gateway crashes',
      'sink crashes',
      'holes told',
      'gaps asked for',
      'no-progress',
      'ack-of-another-epoch',
      'forget',
      'halfOpen',
      'twice',
      'late',
    ])
      t.ok((seen[rare] ?? 0) > 0, `reached: ${rare}`)
  },
)

t.test('a seed replays exactly', async (t) => {
  for (const seed of [3, 17, 42]) t.equal(simulate(seed).trace, simulate(seed).trace)
})

t.test('planted bugs are caught', async (t) => {
  const bugs: Bug[] = ['trim-on-puback', 'ack-before-store', 'no-resend']
  for (const bug of bugs) {
    let caught = 0
    for (let seed = 1; seed <= 60; seed++) if (simulate(seed, bug).violation !== undefined) caught += 1
    t.comment(`${bug}: caught by ${caught} of 60 seeds`)
    t.ok(caught > 0, bug)
  }
})
