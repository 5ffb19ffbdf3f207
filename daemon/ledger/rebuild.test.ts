import { cpSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { openIn } from '../journal/testing/support.ts'
import { testFolder } from '../testing/folder.ts'
import { HandClock } from '../testing/hand-clock.ts'
import { createLedger } from './ledger.ts'
import { PROJECTION, TABLES } from './projection.ts'
import { Counter, type CounterOptions, DAY, dump, MINUTE, openJournalIn, SETTINGS } from './testing/counter.ts'
import { Death, mortal } from './testing/mortal-journal.ts'
import { random, traffic } from './testing/traffic.ts'
import { fill, outcome } from './testing/week.ts'

const ZONE = 'Asia/Shanghai'
const SEED = 1
const ROUNDS = 4
const given = traffic({ seed: SEED, days: 2, visitsADay: 40, paymentsADay: 40, start: Date.parse('2026-11-16T00:00:00+08:00') })
const end = new Date((given.events.at(-1)?.at ?? 0) + 20_000).toISOString()
const half = Math.floor(given.events.length / 2)
// An erasure in the middle of it, of somebody who has paid and is linked.
const erased = given.events
  .slice(0, half)
  .find((one) => one.event === 'paid' && given.truth.get(String(one.data.payment))?.provable.has('payer_identity'))?.data.payer

let template = ''
let whole: Awaited<ReturnType<typeof run>>

t.before(async () => {
  template = join(testFolder(t), 'template')
  mkdirSync(template)
  const journal = await openIn(template)
  await fill(journal, { ...given, events: given.events.slice(0, half) })
  await journal.commit({
    events: [
      {
        plugin: 'portal',
        device: '-',
        event: 'erased',
        data: { visitor: String(erased) },
        time: new Date(given.events[half]?.at ?? 0).toISOString(),
      },
    ],
  })
  await fill(journal, { ...given, events: given.events.slice(half) })
  await journal.close()
  whole = await run(copy())
})

let copies = 0
function copy(): string {
  const dir = join(template, '..', `copy-${copies++}`)
  cpSync(template, dir, { recursive: true })
  return dir
}

async function run(dir: string, options: CounterOptions = {}) {
  const counter = await Counter.open(dir, { clock: new HandClock(end), ...options })
  await counter.pass(MINUTE)
  const result = await outcome(counter)
  const derived = JSON.stringify([
    await counter.told('visit.arrived'),
    await counter.told('visit.departed'),
    await counter.told('visit.identified'),
    result.told,
  ])
  await counter.close()
  return { ...result, derived }
}

t.test(
  'the same rows and the same events, however the journal is cut into batches; made anew from zero they are the same again',
  async (t) => {
    t.ok(whole.told.length > 10 && whole.visits.arrived > 60 && whole.rows.length > 10_000)
    t.ok(
      whole.told.some((one) => one.revoked === 'erased'),
      'an erasure is in it',
    )
    const dir = copy()
    for (const batch of [1, 7]) {
      const again = await run(batch === 1 ? dir : copy(), { batch })
      t.ok(again.rows === whole.rows, `rows of batches of ${batch}`)
      t.ok(again.derived === whole.derived, `events of batches of ${batch}`)
    }
    const journal = await openIn(dir)
    const tables = await journal.tables('ledger', { version: `${PROJECTION} ${ZONE}`, tables: TABLES })
    await tables.reset([])
    t.equal(await dump(journal, ZONE), '')
    await journal.close()
    const anew = await run(dir, { batch: 100 })
    t.ok(anew.rows === whole.rows, 'rows made anew')
    t.ok(anew.derived === whole.derived, 'and nothing is told twice')
  },
)

t.test('a crash after any write neither loses nor repeats anything', async (t) => {
  const next = random(11)
  let deaths = 0
  for (let round = 0; round < ROUNDS; round++) {
    const dir = copy()
    for (let life = 0; life < 6; life++) {
      const { journal, clock } = await openJournalIn(dir, new HandClock(end))
      const death = new Death(1 + Math.floor(next() * 14))
      const ledger = createLedger({
        journal: mortal(journal, death),
        clock,
        clockState: () => 'synced',
        timeZone: ZONE,
        settings: SETTINGS,
        keepMs: () => 180 * DAY,
        log: { debug() {}, info() {}, warn() {}, error() {}, child: () => ({}) as never },
        batch: 40,
      })
      const over = new AbortController()
      const started = ledger.start().catch(() => undefined)
      const finished = (async () => {
        await started
        while (!over.signal.aborted && !ledger.idle) {
          void ledger.visits({ limit: 1 }).catch(() => undefined)
          await new Promise((resolve) => setTimeout(resolve, 2))
        }
      })()
      const died = await Promise.race([death.came.then(() => true), finished.then(() => false)])
      over.abort()
      if (died) deaths += 1
      // The dead ledger waits for ever on its last write; the file is the next one's.
      await journal.close()
    }
    const after = await run(dir)
    if (after.rows !== whole.rows) t.comment(firstDifference(whole.rows, after.rows))
    t.ok(after.rows === whole.rows, `round ${round}: rows`)
    t.ok(after.derived === whole.derived, `round ${round}: events`)
  }
  // The first life of a round has everything to do: it does not live to see the end of it.
  t.ok(deaths >= ROUNDS, `${deaths} deaths`)
})

function firstDifference(expected: string, found: string): string {
  const [wanted, got] = [expected.split('\n'), found.split('\n')]
  const at = wanted.findIndex((line, index) => line !== got[index])
  return `expected ${wanted[at]}\nfound    ${got[at]}`
}
