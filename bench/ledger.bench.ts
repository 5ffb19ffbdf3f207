/**
 * What the ledger costs: `npx tsx bench/ledger.bench.ts [EVENTS] [DIR]`. A journal of EVENTS (1,000,000) of shop traffic, scans and
 * beacons between the payments; the tables made anew from it; the cost of one more event while it runs; a start.
 */
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '../daemon/clock.ts'
import type { Draft, LimitedJournal } from '../daemon/journal/api.ts'
import { openJournal } from '../daemon/journal/journal.ts'
import { createLedger, type RunningLedger } from '../daemon/ledger/ledger.ts'
import { PROJECTION, TABLES } from '../daemon/ledger/projection.ts'
import { traffic } from '../daemon/ledger/testing/traffic.ts'
import { createLog } from '../daemon/log.ts'

const EVENTS = Number(process.argv[2] ?? 1_000_000)
const ZONE = 'Asia/Shanghai'
const dir = mkdtempSync(join(process.argv[3] ?? tmpdir(), 'ledger-bench-'))
const log = createLog({ level: 'warn', clock: systemClock })
const say = (what: string, value: string): void => console.log(`${what.padEnd(46)} ${value}`)

const open = (): Promise<LimitedJournal> =>
  openJournal({
    file: join(dir, 'journal.db'),
    identity: () => ({ gateway: 'shop-001', store: '0001' }),
    clock: systemClock,
    clockState: () => 'synced',
    bootId: 'bench',
    maxAgeMs: 3_650 * 86_400_000,
    maxBytes: 20_000_000_000,
    log,
  })

const ledgerOf = (journal: LimitedJournal): RunningLedger =>
  createLedger({
    journal,
    clock: systemClock,
    clockState: () => 'synced',
    timeZone: ZONE,
    settings: { leaveGrace: 300_000, momentHold: 900_000, longest: 57_600_000, sleepingDays: 30 },
    keepMs: () => 3_650 * 86_400_000,
    log,
  })

async function until(done: () => boolean): Promise<void> {
  while (!done()) await new Promise((wake) => setTimeout(wake, 5))
}

async function measure(what: string, events: number, work: () => Promise<void>): Promise<void> {
  const cpu = process.cpuUsage()
  const begun = performance.now()
  await work()
  const seconds = (performance.now() - begun) / 1_000
  const used = process.cpuUsage(cpu)
  say(what, `${seconds.toFixed(2)} s, ${((used.user + used.system) / Math.max(1, events)).toFixed(1)} us CPU an event`)
}

try {
  let journal = await open()
  const filler: Draft = { plugin: 'scanner', device: 'till-1', event: 'scan', data: { code: '6901234567892', kind: 'product' } }
  const filling = performance.now()
  const started = Date.now() - 200 * 86_400_000
  let facts = 0
  for (let month = 0; journal.head < EVENTS; month++) {
    const { events } = traffic({ seed: month + 1, days: 5, visitsADay: 500, paymentsADay: 300, start: started + month * 5 * 86_400_000 })
    for (let at = 0; at < events.length && journal.head < EVENTS; at += 400) {
      const part = events.slice(at, at + 400).map(({ at: _at, ...draft }) => draft)
      facts += part.length
      // Three scans, prints and the like to each event of the ledger's.
      await journal.commit({ events: part.flatMap((one) => [one, filler, filler, filler]) })
    }
  }
  say(
    'journal',
    `${journal.head} events, ${facts} of them the ledger's, ${Math.round(statSync(join(dir, 'journal.db')).size / 2 ** 20)} MB, filled in ${Math.round((performance.now() - filling) / 1_000)} s`,
  )

  let ledger = ledgerOf(journal)
  const read = journal.head
  await measure('first run: decide and fold', read, async () => {
    await ledger.start()
    await until(() => ledger.idle)
  })
  say('events decided', `${journal.head - read}`)
  await ledger.stop()

  const tables = await journal.tables('ledger', { version: `${PROJECTION} ${ZONE}`, tables: TABLES })
  await tables.reset([])
  await journal.close()
  journal = await open()
  ledger = ledgerOf(journal)
  await measure(`rebuild of all tables, ${journal.head} events`, journal.head, async () => {
    await ledger.start()
    await until(() => ledger.idle)
  })
  await ledger.stop()
  ledger = ledgerOf(journal)
  await measure('start with this journal', 1, async () => {
    await ledger.start()
    await until(() => ledger.idle)
  })

  const COUNT = 3_000
  const scans = async () => {
    for (let at = 0; at < COUNT; at += 10) await Promise.all(Array.from({ length: 10 }, () => journal.commit({ events: [filler] })))
  }
  await measure('live, 3,000 scans beside a running ledger', COUNT, scans)
  const delays: number[] = []
  await measure('live, 300 arrivals one after the other', 300, async () => {
    for (let at = 0; at < 300; at++) {
      const begun = performance.now()
      const heard = new Promise<void>((resolve) => {
        const stop = journal.follow((events) => {
          if (!events.some((one) => one.type === 'shopwire.visit.arrived')) return
          stop()
          resolve()
        })
      })
      await journal.commit({ events: [{ plugin: 'portal', device: '-', event: 'present', data: { visitor: `live-${at}`, by: 'wifi' } }] })
      await heard
      delays.push(performance.now() - begun)
    }
  })
  delays.sort((a, b) => a - b)
  say('sign of presence to visit.arrived on the disk', `p50 ${delays[150]?.toFixed(1)} ms, p99 ${delays[297]?.toFixed(1)} ms`)
  await ledger.stop()
  await measure('the same 3,000 scans without a ledger', COUNT, scans)
  await journal.close()
} finally {
  rmSync(dir, { recursive: true, force: true })
}
