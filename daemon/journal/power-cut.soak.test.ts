/** Thousands of power cuts. `SHOPWIRE_SEED=n npx tap daemon/journal/power-cut.soak.test.ts` takes others. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { programFolder, testFolder } from '../testing/folder.ts'
import { seed } from '../testing/property.ts'
import { inspect } from './testing/after-cut.ts'
import { bundleCommitter } from './testing/committer-program.ts'
import { cutPower, record } from './testing/power-cut.ts'

const committer = bundleCommitter(programFolder(t))

t.setTimeout(30 * 60_000)

async function run(dir: string, powerSafeOverwrite: boolean, cuts: number): Promise<string[]> {
  mkdirSync(dir, { recursive: true })
  const options = { dir, commits: 250, size: 300, reopenEvery: 60, tuning: { checkpointPages: 25, powerSafeOverwrite } }
  const recording = await record(dir, [process.execPath, committer, JSON.stringify(options)], `${dir}.trace`)
  const failures: string[] = []
  await cutPower(recording, `${dir}-cut`, { cuts, seed, spoil: true }, async (cut) => {
    const wrong = await inspect(`${dir}-cut`, cut.acknowledged).catch((error: unknown) => [String(error)])
    if (wrong.length > 0) failures.push(`moment ${cut.moment}, seed ${cut.seed}: ${wrong.slice(0, 3).join('; ')}`)
  })
  return failures
}

t.test('4,000 power cuts lose nothing', async (t) => {
  t.strictSame(await run(join(testFolder(t), 'shop'), false, 4_000), [])
})

t.test('control: believing in psow loses rows on flash that spoils a sector', async (t) => {
  const failures = await run(join(testFolder(t), 'psow'), true, 1_000)
  t.ok(failures.length > 10, `${failures.length} of 1000 cuts lost something`)
})
