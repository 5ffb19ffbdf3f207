/** A real journal on a real file, for tests. */
import { join } from 'node:path'
import { systemClock } from '../../clock.ts'
import type { JsonObject } from '../../contract/json.ts'
import type { Log } from '../../log.ts'
import type { Draft, LimitedJournal, StoredEvent } from '../api.ts'
import { type JournalOptions, openJournal } from '../journal.ts'

export interface LogLine {
  level: string
  fields: JsonObject
  message: string
}

/** Keeps what was said, so that a test can ask for it. */
export function keepLog(lines: LogLine[]): Log {
  const at = (level: string) => (fields: JsonObject, message: string) => {
    lines.push({ level, fields, message })
  }
  const log: Log = { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error'), child: () => log }
  return log
}

export const DAY_MS = 86_400_000

/** `options.lines` hears the log. */
export function openIn(dir: string, options: Partial<JournalOptions> & { lines?: LogLine[] } = {}): Promise<LimitedJournal> {
  const { lines = [], ...rest } = options
  return openJournal({
    file: join(dir, 'journal.db'),
    identity: () => ({ gateway: 'shop-001', store: '0001' }),
    clock: systemClock,
    clockState: () => 'synced',
    bootId: 'boot-1',
    maxAgeMs: 180 * DAY_MS,
    maxBytes: 2_000_000_000,
    log: keepLog(lines),
    ...rest,
  })
}

/** The same; closed when the test is over, also when something in the middle of it throws. Ask for its folder first. */
export async function opened(
  t: { teardown(done: () => Promise<void>): unknown },
  dir: string,
  options: Partial<JournalOptions> & { lines?: LogLine[] } = {},
): Promise<LimitedJournal> {
  const journal = await openIn(dir, options)
  t.teardown(() => journal.close())
  return journal
}

export const scan = (data: JsonObject = { code: '6901234567892', kind: 'product' }): Draft => ({
  plugin: 'scanner',
  device: 'till-1',
  event: 'scan',
  data,
})

export const paid = (data: JsonObject = {}): Draft => ({ plugin: 'payment', device: '-', event: 'paid', data: { amount: 1234, ...data } })

export const beacon = (data: JsonObject = {}): Draft => ({
  plugin: 'beacon',
  device: '-',
  event: 'health',
  bulk: true,
  data: { uuid: 'FDA50693-A4E2-4FB1-AFCF-C6EB07647825', rssi: -61, ...data },
})

export const dataOf = (event: StoredEvent | undefined): JsonObject =>
  (JSON.parse(event?.text ?? '{"data":{}}') as { data: JsonObject }).data
