/** What the journal costs: `node --import=tsx bench/journal.bench.ts [DIR]`; DIR on the disk that is meant (a tmpfs has no syncs to wait for). */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '../daemon/clock.ts'
import type { LimitedJournal } from '../daemon/journal/api.ts'
import { openJournal } from '../daemon/journal/journal.ts'
import { createLog } from '../daemon/log.ts'

/** With the envelope an event is about 500 bytes of JSON. */
const data = { code: '6901234567892', kind: 'product', symbology: 'ean13', gtin: '06901234567892', raw: ']E06901234567892' }
const draft = { plugin: 'scanner', device: 'till-1', event: 'scan', data }

/** Bytes handed to the kernel by this process. */
const written = (): number => Number(/wchar: (\d+)/.exec(readFileSync('/proc/self/io', 'utf8'))?.[1] ?? Number.NaN)

async function fill(journal: LimitedJournal, batch: number, events: number): Promise<void> {
  for (let done = 0; done < events; done += batch) {
    await Promise.all(Array.from({ length: batch }, () => journal.commit({ events: [draft] })))
  }
}

const row = (...cells: (string | number)[]): void => console.log(cells.map((cell) => String(cell).padStart(14)).join(''))

const dir = mkdtempSync(join(process.argv[2] ?? tmpdir(), 'journal-bench-'))
try {
  const journal = await openJournal({
    file: join(dir, 'journal.db'),
    identity: () => ({ gateway: 'shop-001', store: '0001' }),
    clock: systemClock,
    clockState: () => 'synced',
    bootId: '0198c0de-0000-4000-8000-000000000000',
    maxAgeMs: 180 * 86_400_000,
    maxBytes: 2_000_000_000,
    log: createLog({ level: 'warn', clock: systemClock }),
  })
  await fill(journal, 100, 20_000)
  const text = (await journal.read(0, { events: 1 }))[0]?.text ?? ''
  console.log(`one event: ${Buffer.byteLength(JSON.stringify(data))} bytes of data, ${Buffer.byteLength(text)} bytes of CloudEvent`)
  row('batch', 'events/s', 'CPU us/event', 'user', 'system', 'bytes/event')
  for (const [batch, events] of [
    [1, 2_000],
    [10, 10_000],
    [50, 40_000],
    [100, 100_000],
    [1_000, 100_000],
  ] as const) {
    const cpu = process.cpuUsage()
    const bytes = written()
    const start = performance.now()
    await fill(journal, batch, events)
    const seconds = (performance.now() - start) / 1_000
    const used = process.cpuUsage(cpu)
    row(
      batch,
      Math.round(events / seconds),
      ((used.user + used.system) / events).toFixed(1),
      (used.user / events).toFixed(1),
      (used.system / events).toFixed(1),
      Math.round((written() - bytes) / events),
    )
  }
  const cpu = process.cpuUsage()
  const start = performance.now()
  let after = 0
  for (let events = await journal.read(0, { events: 500 }); events.length > 0; events = await journal.read(after, { events: 500 })) {
    after = events.at(-1)?.sequence ?? after
  }
  const used = process.cpuUsage(cpu)
  row('read 500', Math.round(after / ((performance.now() - start) / 1_000)), ((used.user + used.system) / after).toFixed(1))
  const checked = performance.now()
  const { checked: rows } = await journal.verify()
  row('verify', Math.round(rows / ((performance.now() - checked) / 1_000)))
  await journal.close()
} finally {
  rmSync(dir, { recursive: true, force: true })
}
