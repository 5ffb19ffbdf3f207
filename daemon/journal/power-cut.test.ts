import { spawnSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { programFolder, testFolder } from '../testing/folder.ts'
import type { Tuning } from './schema.ts'
import { inspect } from './testing/after-cut.ts'
import { bundleCommitter } from './testing/committer-program.ts'
import { cutPower, type Recording, record } from './testing/power-cut.ts'

const skip = spawnSync('strace', ['-qq', '-o', '/dev/null', 'true']).status === 0 ? false : 'strace cannot trace here'
const committer = bundleCommitter(programFolder(t))

/** Small WALs, so that checkpoints and restarts of the WAL come up often. */
function recordCommitter(dir: string, tuning: Partial<Tuning>, commits: number): Promise<Recording> {
  mkdirSync(dir, { recursive: true })
  const options = { dir, commits, size: 300, reopenEvery: 45, tuning: { checkpointPages: 25, ...tuning } }
  return record(dir, [process.execPath, committer, JSON.stringify(options)], `${dir}.trace`)
}

async function lose(recording: Recording, dir: string, cuts: { cuts: number; seed: number; spoil: boolean; keepAll?: boolean }) {
  const failures: string[] = []
  let acknowledged = 0
  await cutPower(recording, dir, cuts, async (cut) => {
    acknowledged = Math.max(acknowledged, cut.acknowledged.length)
    const wrong = await inspect(dir, cut.acknowledged).catch((error: unknown) => [String(error)])
    if (wrong.length > 0) failures.push(`moment ${cut.moment}, seed ${cut.seed}: ${wrong.slice(0, 3).join('; ')}`)
  })
  return { failures, acknowledged }
}

t.test('the power goes at any moment: nothing that was acknowledged is lost', { skip }, async (t) => {
  const dir = testFolder(t)
  const recording = await recordCommitter(join(dir, 'shop'), {}, 90)
  t.ok(recording.filter((one) => one.do === 'sync').length > 50, 'commits were synced')
  t.ok(
    recording.some((one) => one.do === 'write' && one.file === 'journal.db' && one.at > 0),
    'a checkpoint wrote the database',
  )
  const { failures, acknowledged } = await lose(recording, join(dir, 'cut'), { cuts: 120, seed: 1, spoil: true })
  t.strictSame(failures, [])
  t.ok(acknowledged >= 90, 'the cuts reached to the end')
})

t.test('control: the same cuts with less careful settings lose acknowledged events', { skip }, async (t) => {
  const dir = testFolder(t)
  for (const synchronous of ['NORMAL', 'OFF'] as const) {
    const recording = await recordCommitter(join(dir, synchronous), { synchronous }, 40)
    const cut = await lose(recording, join(dir, 'cut'), { cuts: 30, seed: 2, spoil: false })
    t.ok(cut.failures.length > 5, `${synchronous}: ${cut.failures.length} of 30 cuts lost something`)
    const killed = await lose(recording, join(dir, 'cut'), { cuts: 10, seed: 3, spoil: false, keepAll: true })
    t.strictSame(killed.failures, [], `${synchronous}: kill -9 alone shows nothing`)
  }
})
