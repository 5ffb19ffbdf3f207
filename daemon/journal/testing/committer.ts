/** A process of its own that commits and says in a file what was acknowledged: for tests that kill it or its disk. */
import { openSync, writeSync } from 'node:fs'
import { basename, join } from 'node:path'
import { systemClock } from '../../clock.ts'
import type { Tuning } from '../schema.ts'
import { openIn, scan } from './support.ts'

export interface CommitterOptions {
  dir: string
  /** 0: until killed. Of a stubborn one: acknowledged. */
  commits: number
  /** Characters of data in each event. */
  size: number
  /** Closes and opens the journal after so many commits. */
  reopenEvery: number
  /** Notes a refusal, and goes on with the next commit a moment later. */
  stubborn?: boolean
  tuning?: Partial<Tuning>
}

/** Commit `n` holds 1 to 5 events that say `{commit: n, index, of}`, and puts `n` under the key `last`. */
export const eventsOf = (commit: number): number => 1 + ((commit * 7) % 5)

/** While its file is opened again a journal refuses at once: who asks on and on gets nowhere. */
const AFTER_REFUSAL_MS = 50

async function main(): Promise<void> {
  const options = JSON.parse(process.argv[2] ?? '{}') as CommitterOptions
  const acknowledgements = openSync(join(options.dir, 'acknowledged'), 'a')
  const refusals = openSync(join(options.dir, 'refused'), 'a')
  const open = () => openIn(options.dir, options.tuning ? { tuning: options.tuning } : {})
  let journal = await open()
  const first = Number((await journal.space('plugin:test').get('last')) ?? 0)
  let stored = 0
  for (let commit = first + 1; options.commits === 0 || (options.stubborn ? stored : commit - first - 1) < options.commits; ) {
    // Several at a time, so that groups of more than one form.
    const burst = Array.from({ length: 1 + (commit % 4) }, (_, index) => commit + index)
    await Promise.all(
      burst.map(async (number) => {
        const of = eventsOf(number)
        const events = Array.from({ length: of }, (_, index) => scan({ commit: number, index, of, fill: 'x'.repeat(options.size) }))
        try {
          await journal.commit({ events, puts: [{ space: 'plugin:test', key: 'last', value: number }] })
          writeSync(acknowledgements, `${number}\n`)
          stored += 1
        } catch (error) {
          if (!options.stubborn) throw error
          writeSync(refusals, `${number}\n`)
          await systemClock.sleep(AFTER_REFUSAL_MS)
        }
      }),
    )
    commit += burst.length
    if (options.reopenEvery > 0 && commit % options.reopenEvery < burst.length) {
      await journal.close()
      journal = await open()
    }
  }
  await journal.close()
}

if (basename(process.argv[1] ?? '') === 'committer.mjs') await main()
