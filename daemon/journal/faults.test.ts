import { execFileSync, spawn, spawnSync } from 'node:child_process'
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { systemClock } from '../clock.ts'
import type { CloudEvent } from '../contract/event.ts'
import type { MonoMs } from '../contract/plugin.ts'
import { programFolder, testFolder } from '../testing/folder.ts'
import { until } from '../testing/until.ts'
import type { LimitedJournal } from './api.ts'
import { BALLAST_BYTES } from './ballast.ts'
import { inspect } from './testing/after-cut.ts'
import { bundleCommitter } from './testing/committer-program.ts'
import { beacon, dataOf, type LogLine, opened, openIn, paid, scan } from './testing/support.ts'

const all = async (journal: LimitedJournal) =>
  (await journal.read(0, { events: 1_000_000 })).map((one) => JSON.parse(one.text) as CloudEvent)
const fill = 'x'.repeat(1_000)

/** Every sequence up to the head is there, or told of as dropped. */
async function accounted(t: Test, journal: LimitedJournal, acknowledged: number): Promise<void> {
  const events = await all(journal)
  const told = new Set<number>()
  for (const event of events) {
    if (event.type !== 'shopwire.journal.dropped') continue
    const { fromSeq, toSeq, ranges } = event.data as { fromSeq: number; toSeq: number; ranges?: [number, number][] }
    for (const [from, to] of ranges ?? [[fromSeq, toSeq]]) for (let one = from; one <= to; one += 1) told.add(one)
  }
  const there = new Set(events.map((one) => Number(one.sequence)))
  const missing: number[] = []
  const both: number[] = []
  for (let one = acknowledged + 1; one <= journal.head; one += 1) {
    if (!there.has(one) && !told.has(one)) missing.push(one)
    if (there.has(one) && told.has(one)) both.push(one)
  }
  t.strictSame({ missing, both }, { missing: [], both: [] }, 'each event is there or said to be dropped')
}

t.test('HQ is away for long: beacons go first, each drop is told, payments stay, and the file shrinks after', async (t) => {
  const dir = testFolder(t)
  const lines: LogLine[] = []
  const maxBytes = 2_000_000
  let journal = await opened(t, dir, { maxBytes, lines })
  journal.hold('hq')
  const payments: number[] = []
  for (let round = 0; round < 40; round += 1) {
    const done = await Promise.all([
      ...Array.from({ length: 30 }, () => journal.commit({ events: [beacon({ fill })] })),
      journal.commit({ events: [paid({ round, fill })] }),
      ...Array.from({ length: 30 }, () => journal.commit({ events: [beacon({ fill })] })),
    ])
    payments.push(...(done[30] ?? []))
  }
  await until(() => journal.stats().dropped > 0 && journal.stats().events * 1_400 < maxBytes, 'beacons dropped')
  // Closed, and opened without a bound, it drops nothing more while it is looked at.
  await journal.close()
  journal = await opened(t, dir, { lines })
  await accounted(t, journal, 0)
  const kept = (await all(journal)).filter((one) => one.type === 'shopwire.payment.paid').map((one) => Number(one.sequence))
  t.strictSame(kept, payments, 'every payment is there')
  const { checked, broken } = await journal.verify()
  t.equal(broken, undefined)
  t.equal(checked, journal.stats().events, 'the chain holds over the holes')

  await journal.close()
  journal = await opened(t, dir, { lines })
  t.strictSame(await journal.verify(), { checked })
  journal.cursor('hq').advance(journal.head)
  journal.setLimits({ maxAgeMs: 1e12, maxBytes: 200_000 })
  await until(() => journal.stats().events * 1_400 < 200_000, 'acknowledged events go')
  await until(() => journal.stats().bytes < 1_000_000, 'the file shrinks')
  t.equal(journal.tail > (payments[0] ?? 0), true)
  t.equal((await journal.verify()).broken, undefined)
  t.strictSame(await journal.commit({ events: [paid()] }), [journal.head])
  await journal.close()
})

t.test('full of payments that HQ does not have: beacons are refused, payments are still taken', async (t) => {
  const journal = await opened(t, testFolder(t), { maxBytes: 300_000 })
  journal.hold('hq')
  for (let n = 0; n < 400; n += 1) await journal.commit({ events: [paid({ n, fill })] })
  let refusal: unknown
  await until(async () => {
    refusal = await journal.commit({ events: [beacon()] }).catch((error: unknown) => error)
    return refusal instanceof Error
  }, 'beacons refused')
  t.match(refusal, { code: 'journal-full', message: /HQ has not acknowledged/ })
  await journal.commit({ events: [paid()] })
  await journal.commit({ events: [beacon()], puts: [{ space: 's', key: 'k', value: 1 }] })
  t.equal((await all(journal)).filter((one) => one.type === 'shopwire.payment.paid').length, 401)
  journal.cursor('hq').advance(journal.head)
  await until(
    async () => Array.isArray(await journal.commit({ events: [beacon()] }).catch(() => 'no')),
    'taken again after the acknowledgement',
  )
  await journal.close()
})

t.test('events that HQ has go after their age, also without HQ at all', async (t) => {
  const journal = await opened(t, testFolder(t), { maxAgeMs: 1_500 })
  journal.hold('hq')
  for (let n = 0; n < 50; n += 1) await journal.commit({ events: [scan({ n })] })
  journal.cursor('hq').advance(30)
  journal.setLimits({ maxAgeMs: 1_500, maxBytes: 1e9 })
  await until(() => {
    journal.setLimits({ maxAgeMs: 1_500, maxBytes: 1e9 })
    return journal.tail > 30
  }, 'old acknowledged events gone')
  t.equal(journal.tail, 31, 'and not one more')
  journal.hold(undefined)
  await until(() => {
    journal.setLimits({ maxAgeMs: 1_500, maxBytes: 1e9 })
    return journal.tail === 51
  }, 'nobody holds: all may go')
  t.strictSame(await journal.read(0, { events: 10 }), [])
  journal.setLimits({ maxAgeMs: 1e12, maxBytes: 1e9 })
  t.strictSame(await journal.commit({ events: [scan()] }), [51])
  t.strictSame(await journal.verify(), { checked: 1 })
  await journal.close()
})

function mountSmall(t: Test, size: string): string | undefined {
  const dir = mkdtempSync(join(tmpdir(), 'shopwire-small-'))
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', dir])
  t.teardown(() => {
    if (mounted.status === 0) spawnSync('umount', ['-l', dir])
    rmSync(dir, { recursive: true, force: true })
  })
  if (mounted.status !== 0) {
    t.comment(`skipped: mount is not permitted here (${String(mounted.stderr).trim()})`)
    return undefined
  }
  return dir
}

/** A file with a file system of its own, which can be frozen. */
function mountFile(t: Test): string | undefined {
  const dir = mkdtempSync(join(tmpdir(), 'shopwire-card-'))
  const image = `${dir}.img`
  t.teardown(() => {
    // A frozen one can neither be unmounted nor left by its writer.
    spawnSync('fsfreeze', ['-u', dir])
    spawnSync('umount', ['-l', dir])
    for (const one of [dir, image]) rmSync(one, { recursive: true, force: true })
  })
  writeFileSync(image, '')
  truncateSync(image, 16 * 2 ** 20)
  for (const [command = '', ...args] of [
    ['mkfs.ext4', '-q', image],
    ['mount', '-o', 'loop', image, dir],
  ]) {
    const done = spawnSync(command, args)
    if (done.status === 0) continue
    t.comment(`skipped: ${command} is not permitted here (${String(done.error ?? done.stderr).trim()})`)
    return undefined
  }
  return dir
}

/** Takes all there is. */
function takeAll(file: string): void {
  const fd = openSync(file, 'w')
  try {
    for (const block of [1_048_576, 4_096]) for (;;) if (writeSync(fd, Buffer.alloc(block, 1)) < block) break
  } catch {
    // Full.
  } finally {
    closeSync(fd)
  }
}

t.test('the disk fills up: refused cleanly, nothing lost, no flood in the log, and it recovers by itself', async (t) => {
  const dir = mountSmall(t, '32m')
  if (!dir) return
  const lines: LogLine[] = []
  const journal = await opened(t, join(dir, 'data'), { lines })
  journal.hold('hq')
  const stored: number[] = []
  for (let n = 0; n < 40; n += 1) {
    stored.push(...(await journal.commit({ events: [paid({ n, fill })] })))
    await journal.commit({ events: Array.from({ length: 100 }, () => beacon({ fill })) })
  }
  await until(
    () =>
      readdirSync(join(dir, 'data')).some((name) => name.endsWith('ballast') && statSync(join(dir, 'data', name)).size >= BALLAST_BYTES),
    'the ballast is on board',
  )
  takeAll(join(dir, 'somebody-elses-log'))

  let refused = 0
  let taken = 0
  for (let n = 0; n < 3_000; n += 1) {
    const one = journal.commit({ events: [paid({ n: 1_000 + n, fill: fill.repeat(10) })] })
    const other = journal.commit({ events: [beacon({ fill })] })
    const results = await Promise.allSettled([one, other])
    for (const result of results) {
      if (result.status === 'rejected' && result.reason?.code !== 'journal-full') t.fail(`not a clean refusal: ${result.reason}`)
    }
    if (results[0].status === 'fulfilled') stored.push(...results[0].value)
    else refused += 1
    if (results[0].status === 'fulfilled' && results[1].status === 'rejected') taken += 1
    if (refused > 3) break
  }
  t.ok(taken > 100, `${taken} payments found room after the disk was full`)
  t.ok(refused > 0, 'and in the end even payments were refused')
  t.ok(journal.stats().fault, 'the fault is said')
  t.ok(lines.length < 400, `${lines.length} lines in the log, before its own limit`)
  await accounted(t, journal, 0)

  rmSync(join(dir, 'somebody-elses-log'))
  await until(async () => Array.isArray(await journal.commit({ events: [beacon()] }).catch(() => 'no')), 'it takes beacons again')
  await until(() => journal.stats().fault === undefined, 'no fault left')
  stored.push(...(await journal.commit({ events: [paid()] })))
  const kept = (await all(journal)).filter((one) => one.type === 'shopwire.payment.paid').map((one) => Number(one.sequence))
  t.strictSame(kept, stored, 'every acknowledged payment, and no other')
  t.equal((await journal.verify()).broken, undefined)
  journal.cursor('hq').advance(journal.head)
  journal.setLimits({ maxAgeMs: 1e12, maxBytes: 500_000 })
  await until(() => journal.stats().bytes < 2_500_000, 'drained, the file shrinks')
  await journal.close()

  takeAll(join(dir, 'somebody-elses-log'))
  await t.rejects(openIn(join(dir, 'other')), { code: 'journal-full' }, 'a new journal on a full disk: one clear failure')
  const started = await opened(t, join(dir, 'data'))
  t.ok((await all(started)).length > 0, 'one that is there starts and can be read')
  await started.close()
})

t.test('a read-only disk at the start gives one clear failure', async (t) => {
  const dir = mountSmall(t, '4m')
  if (!dir) return
  const journal = await opened(t, dir)
  await journal.commit({ events: [paid()] })
  await journal.close()
  execFileSync('mount', ['-o', 'remount,ro', dir])
  await t.rejects(openIn(dir), { code: 'journal-failed', message: /read-only/ })
  execFileSync('mount', ['-o', 'remount,rw', dir])
  const again = await opened(t, dir)
  t.equal(again.head, 1)
  await again.close()
})

t.test('the card hangs in the middle of a write: said while it lasts, and all is stored when it answers again', async (t) => {
  const dir = mountFile(t)
  if (!dir) return
  // No time passes but what the test lets pass.
  let now = 1_000
  const clock = { ...systemClock, mono: () => now as MonoMs }
  const journal = await opened(t, dir, { clock })
  await journal.commit({ events: [paid({ n: 1 })] })
  t.teardown(() => void spawnSync('fsfreeze', ['-u', dir]))
  execFileSync('fsfreeze', ['-f', dir])
  let answers = 0
  const [first, second] = [2, 3].map((n) => journal.commit({ events: [paid({ n })] }).finally(() => (answers += 1)))
  t.equal(journal.stats().fault, undefined, 'a card may take its time')
  await until(() => {
    now += 25_000
    return /^the disk hangs: a write has not come back for \d+ s$/.test(journal.stats().fault ?? '')
  }, 'the fault')
  t.equal(answers, 0, 'nobody was told yes')
  execFileSync('fsfreeze', ['-u', dir])
  t.strictSame(await Promise.all([first, second]), [[2], [3]])
  t.equal(journal.stats().fault, undefined)
  await journal.close()
})

const canTrace = spawnSync('strace', ['-qq', '-o', '/dev/null', 'true']).status === 0

t.test(
  'a sync fails: the answer is not guessed, and what is acknowledged is there',
  { skip: canTrace ? false : 'strace cannot trace here' },
  async (t) => {
    const folder = testFolder(t)
    const program = bundleCommitter(programFolder(t))
    for (const inject of ['fdatasync,fsync:error=EIO:when=20..60+3', 'pwrite64:error=EIO:when=100..400+23']) {
      const dir = join(folder, String(inject.length))
      mkdirSync(dir, { recursive: true })
      const options = JSON.stringify({ dir, commits: 80, size: 300, reopenEvery: 0, stubborn: true, tuning: { checkpointPages: 40 } })
      const child = spawn(
        'strace',
        [
          '-f',
          '-qq',
          '--seccomp-bpf',
          '-o',
          `${dir}.trace`,
          '-e',
          `trace=${inject.split(':')[0]}`,
          '-e',
          `inject=${inject}`,
          process.execPath,
          program,
          options,
        ],
        { stdio: ['ignore', 'inherit', 'inherit'], env: { ...process.env, UV_THREADPOOL_SIZE: '1' } },
      )
      t.teardown(() => void child.kill('SIGKILL'))
      const code = await new Promise((resolve) => child.once('exit', resolve))
      t.equal(code, 0, inject)
      t.ok(readFileSync(`${dir}.trace`, 'utf8').includes('INJECTED'), 'the fault did happen')
      const acknowledged = readFileSync(join(dir, 'acknowledged'), 'utf8').split('\n').slice(0, -1).map(Number)
      const refused = readFileSync(join(dir, 'refused'), 'utf8').split('\n').slice(0, -1).map(Number)
      t.strictSame(await inspect(dir, acknowledged, refused), [])
      t.ok(acknowledged.length >= 80, `${acknowledged.length} acknowledged, ${refused.length} refused`)
    }
  },
)

t.test('a damaged page: keys and what HQ lacks are carried into a new epoch, the file is set aside', async (t) => {
  const dir = testFolder(t)
  let journal = await opened(t, dir)
  journal.hold('hq')
  await journal.space('plugin:payment').put('intent/1', { amount: 1234 })
  for (let n = 1; n <= 300; n += 3) await journal.commit({ events: [paid({ n, fill }), paid({ n: n + 1, fill }), beacon({ n: n + 2 })] })
  journal.cursor('hq').advance(100)
  const ids = new Map((await all(journal)).map((one) => [one.data.n, one.id]))
  const old = journal.epoch
  await journal.close()

  const file = join(dir, 'journal.db')
  const fd = openSync(file, 'r+')
  // A leaf in the middle of the events.
  writeSync(fd, Buffer.alloc(4_096, 0xa5), 0, 4_096, Math.floor(statSync(file).size / 4_096 / 2) * 4_096)
  closeSync(fd)
  const lines: LogLine[] = []
  const running = await opened(t, dir, { lines })
  const problem = await running.read(0, { events: 1_000 }).catch((error: unknown) => error)
  t.match(problem, { code: 'journal-corrupt' }, 'a running journal says so')
  t.match(running.stats().fault, /damaged/)
  await running.space('plugin:printer').put('job/1', {})
  t.match(running.stats().fault, /damaged/, 'also after a commit: the watchdog must hear of it')
  await running.close()

  journal = await opened(t, dir, { lines })
  t.not(journal.epoch, old)
  t.strictSame(await journal.space('plugin:payment').get('intent/1'), { amount: 1234 })
  const events = await all(journal)
  t.strictSame(
    events.map((one) => Number(one.sequence)),
    events.map((_, index) => index + 1),
    'gapless from 1',
  )
  const report = events.at(-1)
  t.match(report, {
    type: 'shopwire.journal.dropped',
    data: { reason: 'corrupt', epoch: old, fromSeq: 101, toSeq: 300, carried: events.length - 1 },
  })
  const carried = events.slice(0, -1)
  t.ok(carried.length > 100, `${carried.length} of 200 events carried over`)
  t.ok(
    carried.every((one) => Number(one.data.n) > 100 && one.epoch === journal.epoch && one.id === ids.get(one.data.n as number)),
    'with their ids',
  )
  t.strictSame(await journal.verify(), { checked: events.length })
  t.equal(journal.cursor('hq').position, 0)
  t.ok(readdirSync(dir).includes('journal.corrupt-1'))
  const { epoch } = journal
  await journal.close()
  const again = await opened(t, dir)
  t.equal(again.epoch, epoch, 'once, and not at each start')
  t.equal(dataOf((await again.read(events.length - 1, { events: 1 }))[0]).reason, 'corrupt')
  await again.close()
})
