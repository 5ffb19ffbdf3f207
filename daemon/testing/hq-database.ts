/** What HQ's sink has stored, read beside it while it works. */
import sqlite3 from 'sqlite3'
import type { CloudEvent } from '../contract/event.ts'

/** None while the sink has not made its database yet. */
export function hqRows<Row>(file: string, sql: string, values: readonly string[] = []): Promise<Row[]> {
  return new Promise((resolve) => {
    const db = new sqlite3.Database(file, sqlite3.OPEN_READONLY, (missing) => {
      if (missing) return resolve([])
      db.all<Row>(sql, values, (failed, rows) => db.close(() => resolve(failed ? [] : rows)))
    })
  })
}

/** In order; of one type (without `shopwire.`), or all. */
export async function hqEvents(file: string, type?: string): Promise<CloudEvent[]> {
  const [where, values] = type === undefined ? ['', []] : ['WHERE type = ?', [`shopwire.${type}`]]
  const rows = await hqRows<{ event: string }>(file, `SELECT event FROM gateway_events ${where} ORDER BY epoch, sequence`, values)
  return rows.map(({ event }) => JSON.parse(event) as CloudEvent)
}

export async function hqCount(file: string): Promise<number> {
  return (await hqRows<{ count: number }>(file, 'SELECT count(*) AS count FROM gateway_events'))[0]?.count ?? 0
}
