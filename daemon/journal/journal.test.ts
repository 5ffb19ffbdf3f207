import { spawn } from 'node:child_process'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import t from 'tap'
import { systemClock } from '../clock.ts'
import { Failure } from '../contract/errors.ts'
import type { CloudEvent } from '../contract/event.ts'
import type { JsonObject } from '../contract/json.ts'
import type { WallMs } from '../contract/plugin.ts'
import { programFolder, testFolder } from '../testing/folder.ts'
import { fc } from '../testing/property.ts'
import { until } from '../testing/until.ts'
import type { StoredEvent } from './api.ts'
import { Connection } from './connection.ts'
import { inspect } from './testing/after-cut.ts'
import { bundleCommitter } from './testing/committer-program.ts'
import { beacon, dataOf, type LogLine, opened, openIn, paid, scan } from './testing/support.ts'
import { Uuid7 } from './uuid7.ts'

t.test('a scan becomes a CloudEvent with a sequence, and is there after a restart', async (t) => {
  const dir = testFolder(t)
  const journal = await opened(t, dir)
  const heard: StoredEvent[] = []
  journal.follow((events) => heard.push(...events))
  t.strictSame(await journal.commit({ events: [scan({ code: '6901234567892', name: '可乐 "大"\u0000\ud800' }), paid()] }), [1, 2])
  const { epoch } = journal
  await journal.close()
  await t.rejects(journal.commit({ events: [scan()] }), { code: 'stopping' })

  const again = await opened(t, dir)
  t.equal(again.epoch, epoch)
  t.equal(again.head, 2)
  const events = await again.read(0, { events: 10 })
  t.strictSame(events, heard, 'from the disk exactly as from memory')
  const event = JSON.parse(events[0]?.text ?? '') as CloudEvent
  t.match(event, {
    specversion: '1.0',
    id: /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
    type: 'shopwire.scanner.scan',
    source: '/shop-001/scanner/till-1',
    time: /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/,
    datacontenttype: 'application/json',
    sequence: '1',
    sequencetype: 'Integer',
    epoch,
    store: '0001',
    clock: 'synced',
    bootid: 'boot-1',
  })
  t.strictSame(event.data, { code: '6901234567892', name: '可乐 "大"\u0000\ud800' })
  t.strictSame(await again.commit({ events: [scan()] }), [3], 'no sequence is left out or used twice')
  t.strictSame(await again.verify(), { checked: 3 })
  await again.close()
})

t.test('any JSON comes back as it was, from the cache and from the file', async (t) => {
  const dir = testFolder(t)
  const journal = await opened(t, dir)
  // fast-check's own unit for this, `binary`, takes seconds to make.
  const unit = fc
    .integer({ min: 0, max: 0x10_ffff })
    .filter((code) => code < 0xd800 || code > 0xdfff)
    .map((code) => String.fromCodePoint(code))
  const data = fc.dictionary(fc.string({ unit, maxLength: 12 }), fc.jsonValue({ maxDepth: 3, stringUnit: unit }), { maxKeys: 6 })
  const samples = fc.sample(data, 100) as JsonObject[]
  const given = samples.map((data) => JSON.parse(JSON.stringify(data)) as JsonObject)
  await Promise.all(
    given.map((data, index) => journal.commit({ events: [scan(data)], puts: [{ space: 's', key: `k${index}`, value: data }] })),
  )
  t.ok(isDeepStrictEqual((await journal.read(0, { events: 1_000 })).map(dataOf), given), 'from the cache')
  await journal.close()
  const again = await opened(t, dir)
  t.ok(isDeepStrictEqual((await again.read(0, { events: 1_000 })).map(dataOf), given), 'from the file')
  t.ok(isDeepStrictEqual(await Promise.all(given.map((_, index) => again.space('s').get(`k${index}`))), given), 'and the keys')
  t.strictSame(await again.verify(), { checked: 100 })
  await again.close()
})

t.test('what cannot be stored is refused alone, and spoils nobody else in its group', async (t) => {
  const journal = await opened(t, testFolder(t))
  const good = journal.commit({ events: [scan()] })
  const circle: JsonObject = {}
  circle.self = circle
  const bad = [
    journal.commit({ events: [scan(circle)] }),
    journal.commit({ events: [{ ...scan(), device: 'till\u0000' }] }),
    journal.commit({ events: [{ ...scan(), device: 'till\n1' }] }),
    journal.commit({ puts: [{ space: 's', key: 'a\u0000b', value: 1 }] }),
    journal.commit({ puts: [{ space: 's', key: '\ud800', value: 1 }] }),
  ]
  const also = journal.commit({ events: [scan()] })
  for (const one of bad) await t.rejects(one, { code: 'event-invalid' })
  await t.rejects(journal.commit({ events: [scan({ image: 'x'.repeat(17 * 1024 * 1024) })] }), { code: 'payload-too-large' })
  await t.rejects(journal.commit({ puts: [{ space: 'journal', key: 'epoch', value: 'x' }] }), { code: 'internal' })
  t.strictSame([await good, await also], [[1], [2]])
  t.strictSame(await journal.commit({}), [])
  await journal.close()
})

t.test('while the disk is busy commits gather into one transaction, in order; each is whole', async (t) => {
  const journal = await opened(t, testFolder(t))
  const batches: number[] = []
  journal.follow((events) => batches.push(events.length))
  const sequences = await Promise.all(
    Array.from({ length: 2_500 }, (_, index) => journal.commit({ events: index % 2 === 0 ? [scan()] : [scan(), paid()] })),
  )
  t.strictSame(
    sequences.flat(),
    Array.from({ length: 3_750 }, (_, index) => index + 1),
  )
  t.equal(batches[0], 1, 'the first one did not wait')
  t.ok(journal.stats().commits < 20, `${journal.stats().commits} transactions`)
  t.ok(Math.max(...batches) <= 1_000, 'groups are bounded')
  t.equal(journal.stats().pending, 0)
  await journal.close()
})

t.test('beacons wait for company; a payment takes them along at once', async (t) => {
  const timers: { ms: number; run: () => void }[] = []
  const clock = {
    ...systemClock,
    timer: (ms: number, run: () => void) => {
      const one = { ms, run }
      timers.push(one)
      return () => timers.splice(timers.indexOf(one), 1)
    },
  }
  const journal = await opened(t, testFolder(t), { clock })
  const bulk = [journal.commit({ events: [beacon()] }), journal.commit({ events: [beacon()] })]
  const group = timers.find((one) => one.ms > 50 && one.ms <= 100)
  t.ok(group, 'they wait 50 to 100 ms')
  t.equal(journal.stats().pending, 2)
  t.strictSame(await journal.commit({ events: [paid()] }), [3])
  t.strictSame(await Promise.all(bulk), [[1], [2]])
  t.equal(journal.stats().commits, 1, 'one transaction')

  const later = journal.commit({ events: [beacon()] })
  timers.filter((one) => one.ms > 50 && one.ms <= 100).forEach((one) => void one.run())
  const last = journal.commit({ events: [beacon()] })
  await journal.close()
  t.strictSame([await later, await last], [[4], [5]], 'closing waits for nobody to keep it company')
})

t.test('keys: put, replace, delete, list by prefix; a commit moves events and keys together', async (t) => {
  const dir = testFolder(t)
  const journal = await opened(t, dir)
  const jobs = journal.space('plugin:printer')
  await Promise.all([jobs.put('job/2', { copies: 1 }), jobs.put('job/1', { copies: 2 }), jobs.put('jobs', 0), jobs.put('打印/1', null)])
  await journal.space('plugin:scanner').put('job/3', 'not yours')
  t.strictSame(await jobs.list('job/'), [
    { key: 'job/1', value: { copies: 2 } },
    { key: 'job/2', value: { copies: 1 } },
  ])
  await journal.commit({
    events: [paid()],
    puts: [
      { space: 'plugin:printer', key: 'job/1', value: undefined },
      { space: 'plugin:printer', key: 'job/2', value: 1 },
      { space: 'plugin:printer', key: 'job/2', value: 2 },
    ],
  })
  await jobs.delete('never there')
  t.equal(await jobs.get('job/1'), undefined)
  await journal.close()
  const again = await opened(t, dir)
  t.strictSame(await again.space('plugin:printer').list(), [
    { key: 'job/2', value: 2 },
    { key: 'jobs', value: 0 },
    { key: '打印/1', value: null },
  ])
  await again.close()
})

t.test('cursors never go back or beyond the head, and are durable within a second or at the close', async (t) => {
  const dir = testFolder(t)
  const journal = await opened(t, dir)
  await journal.commit({ events: [scan(), scan(), scan()] })
  const hq = journal.cursor('hq')
  hq.advance(2)
  hq.advance(1)
  hq.advance(Number.NaN)
  t.equal(hq.position, 2)
  const before = journal.stats().commits
  await until(() => journal.stats().commits > before, 'the position is on the disk')
  hq.advance(99)
  t.equal(journal.cursor('hq').position, 3)
  await journal.close()
  const again = await opened(t, dir)
  t.equal(again.cursor('hq').position, 3)
  t.equal(again.cursor('ledger').position, 0)
  await again.close()
})

t.test('a reader that keeps up reads from memory, one that is far behind from the file, with the same answer', async (t) => {
  const journal = await opened(t, testFolder(t))
  for (let round = 0; round < 5; round += 1) {
    await Promise.all(Array.from({ length: 1_000 }, (_, index) => journal.commit({ events: [scan({ number: round * 1_000 + index })] })))
  }
  const all = await journal.read(0, { events: 10_000 })
  t.equal(all.length, 5_000)
  t.ok(all.every((event, index) => event.sequence === index + 1 && dataOf(event).number === index))
  t.strictSame(await journal.read(4_990, { events: 5 }), all.slice(4_990, 4_995))
  t.strictSame(await journal.read(10, { events: 5 }), all.slice(10, 15))
  const bytes = Buffer.byteLength(all[0]?.text ?? '')
  t.equal((await journal.read(0, { events: 100, bytes: bytes * 3 + 10 })).length, 3)
  t.equal((await journal.read(0, { events: 100, bytes: 1 })).length, 1, 'one at least, or a reader would be stuck')
  t.strictSame(await journal.read(5_000, { events: 5 }), [])
  await journal.close()
})

t.test('kill -9 in the middle of it, again and again', async (t) => {
  const dir = testFolder(t)
  const committer = bundleCommitter(programFolder(t))
  const acknowledged = () => {
    try {
      return readFileSync(join(dir, 'acknowledged'), 'utf8').split('\n').slice(0, -1).map(Number)
    } catch {
      return []
    }
  }
  for (let round = 0; round < 3; round += 1) {
    const before = acknowledged().length
    const child = spawn(process.execPath, [committer, JSON.stringify({ dir, commits: 0, size: 300, reopenEvery: 0 })], {
      stdio: 'inherit',
    })
    t.teardown(() => void child.kill('SIGKILL'))
    const ended = new Promise((resolve) => child.once('exit', resolve))
    await until(() => acknowledged().length > before + 20 + round * 7, 'commits of the other process')
    if (round === 0) await t.rejects(openIn(dir), { code: 'journal-failed', message: /in use by another process/ })
    child.kill('SIGKILL')
    await ended
    t.strictSame(await inspect(dir, acknowledged()), [])
  }
})

t.test('a box without a clock boots in 1970: order is by sequence, and nothing is old', async (t) => {
  const dir = testFolder(t)
  let wall = 86_400_000
  let synced = false
  const options = {
    clock: { ...systemClock, wall: () => wall as WallMs },
    clockState: () => (synced ? ('synced' as const) : ('unsynced' as const)),
    maxAgeMs: 3_600_000,
  }
  const journal = await opened(t, dir, options)
  await journal.commit({ events: [scan({ n: 1 })] })
  wall = Date.UTC(2026, 10, 22)
  synced = true
  await journal.commit({ events: [scan({ n: 2 })] })
  wall -= 40 * 86_400_000
  await journal.commit({ events: [scan({ n: 3 })] })
  const events = (await journal.read(0, { events: 10 })).map((one) => JSON.parse(one.text) as CloudEvent)
  t.strictSame(
    events.map((one) => [one.sequence, one.clock, one.time.slice(0, 10)]),
    [
      ['1', 'unsynced', '1970-01-02'],
      ['2', 'synced', '2026-11-22'],
      ['3', 'synced', '2026-10-13'],
    ],
  )
  t.strictSame(await journal.verify(), { checked: 3 })
  await journal.close()
})

t.test('a disk that lies is found by the chain', async (t) => {
  const dir = testFolder(t)
  const journal = await opened(t, dir)
  for (let n = 0; n < 20; n += 1) await journal.commit({ events: [paid({ n })] })
  await journal.close()
  const file = join(dir, 'journal.db')
  const db = await Connection.open(file)
  await db.exec(`UPDATE event SET row = replace(row, '"amount":1234', '"amount":0') WHERE seq = 7`)
  await db.close()
  const changed = await opened(t, dir)
  t.strictSame(await changed.verify(), { checked: 6, broken: 7 })
  await changed.close()
  const again = await Connection.open(file)
  await again.exec('DELETE FROM event WHERE seq = 12; UPDATE event SET row = replace(row, \'"amount":0\', \'"amount":1234\') WHERE seq = 7')
  await again.close()
  const missing = await opened(t, dir)
  t.strictSame(await missing.verify(), { checked: 11, broken: 13 }, 'a row that is gone without a trace')
  await missing.close()
})

t.test('sequences are exact up to 2^53, and stop there', async (t) => {
  const dir = testFolder(t)
  const first = await opened(t, dir)
  await first.commit({ events: [scan()] })
  await first.close()
  const db = await Connection.open(join(dir, 'journal.db'))
  await db.exec(`INSERT INTO gap SELECT 2, ${Number.MAX_SAFE_INTEGER - 2}, substr(row, 1, 43) FROM event WHERE seq = 1`)
  await db.close()
  const journal = await opened(t, dir)
  t.strictSame(await journal.commit({ events: [scan()] }), [Number.MAX_SAFE_INTEGER - 1])
  t.strictSame(await journal.commit({ events: [scan()] }), [Number.MAX_SAFE_INTEGER])
  await t.rejects(journal.commit({ events: [scan()] }), { code: 'journal-failed' })
  await journal.close()
  const again = await opened(t, dir)
  t.equal(again.head, Number.MAX_SAFE_INTEGER)
  t.equal((await again.read(Number.MAX_SAFE_INTEGER - 1, { events: 9 }))[0]?.sequence, Number.MAX_SAFE_INTEGER)
  t.strictSame(await again.verify(), { checked: 3 })
  await again.close()
})

t.test('a file that is no journal, or cannot be one, gives one clear failure', async (t) => {
  const foreign = testFolder(t)
  const db = await Connection.open(join(foreign, 'journal.db'))
  await db.exec('CREATE TABLE orders (id INTEGER)')
  await db.close()
  await t.rejects(openIn(foreign), { code: 'journal-failed', message: /another program/ })
  t.strictSame(readdirSync(foreign), ['journal.db'], 'and is left alone')

  const newer = testFolder(t, { n: {} })
  await (await openIn(newer)).close()
  const ours = await Connection.open(join(newer, 'journal.db'))
  await ours.exec('PRAGMA user_version = 99')
  await ours.close()
  await t.rejects(openIn(newer), { code: 'journal-failed', message: /newer shopwire/ })

  const blocked = testFolder(t, { data: 'a file where the folder should be' })
  await t.rejects(openIn(join(blocked, 'data')), { code: 'journal-failed' })
})

t.test('ids sort by time, and within a millisecond by order, whatever the clock does', (t) => {
  const ids = new Uuid7()
  const made: string[] = []
  for (let n = 0; n < 10_000; n += 1) made.push(ids.next(1_000_000 + Math.floor(n / 6_000)))
  made.push(ids.next(999_500))
  t.strictSame(made, [...made].sort())
  t.equal(new Set(made).size, made.length)
  t.ok(ids.next(2_000_000_000_000) > (made.at(-1) ?? ''))
  t.ok(ids.next(5) < (made[0] ?? ''), 'a clock set back by years is believed')
  t.end()
})

t.test('a file of garbage is set aside: a new epoch begins, says so, and the next start is quiet', async (t) => {
  const dir = testFolder(t, { 'journal.db': 'not a database at all, '.repeat(1_000) })
  writeFileSync(join(dir, 'journal.db-wal'), 'nor is this')
  const lines: LogLine[] = []
  const journal = await opened(t, dir, { lines })
  t.ok(lines.some((line) => line.level === 'error'))
  t.match(JSON.parse((await journal.read(0, { events: 1 }))[0]?.text ?? ''), {
    type: 'shopwire.journal.dropped',
    source: '/shop-001/journal/-',
    data: { reason: 'corrupt', fromSeq: 0, toSeq: 0 },
  })
  t.ok(readdirSync(dir).includes('journal.corrupt-1'))
  await journal.commit({ events: [scan()] })
  const { epoch } = journal
  await journal.close()
  const quiet: LogLine[] = []
  const again = await opened(t, dir, { lines: quiet })
  t.equal(again.epoch, epoch)
  t.strictSame(quiet, [])
  await again.close()
})

t.test('a follower that throws stops neither the journal nor the others', async (t) => {
  const lines: LogLine[] = []
  const journal = await opened(t, testFolder(t), { lines })
  const heard: number[] = []
  journal.follow(() => {
    throw new Failure('internal', 'a defect')
  })
  const stop = journal.follow((events) => heard.push(events.length))
  await journal.commit({ events: [scan()] })
  stop()
  await journal.commit({ events: [scan()] })
  t.strictSame(heard, [1])
  t.match(lines, [{ level: 'error' }, { level: 'error' }])
  await journal.close()
})
