/** Writes the table of docs/linking.md: `npx tsx daemon/ledger/testing/linking-report.ts`. A week of traffic takes about a minute. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { traffic } from './traffic.ts'
import { score } from './truth-table.ts'
import { runTraffic } from './week.ts'

const FILE = resolve(import.meta.dirname, '../../../docs/linking.md')
const [BEGIN, END] = ['<!-- table -->', '<!-- /table -->']

const dir = mkdtempSync(join(tmpdir(), 'linking-'))
try {
  const given = traffic({ seed: 1, days: 7, visitsADay: 500, paymentsADay: 300, start: Date.parse('2026-11-16T00:00:00+08:00') })
  const { current, counter, visits } = await runTraffic(dir, given)
  await counter.close()
  const { methods, payments, linked, findable } = score(given, current)
  const share = (part: number, of: number): string => (of === 0 ? '–' : `${((part / of) * 100).toFixed(1)} %`)
  const found = (method: string): number =>
    [...given.truth].filter(([id, one]) => !one.refunded && one.possible.has(method) && current.get(id)?.visitor !== undefined).length
  const lines = methods.map(
    (one) =>
      `| \`${one.method}\` | ${one.links} | ${one.wrong} | ${share(one.right, one.links)} | ${one.possible} | ${one.method === 'single_candidate' ? '–' : share(found(one.method), one.possible)} |`,
  )
  const table = [
    BEGIN,
    '| method | links | wrong | precision | payments with its evidence | of those linked |',
    '|---|---|---|---|---|---|',
    ...lines,
    '',
    `${given.events.length} events, ${given.visits} stays (${visits.arrived} visits told), ${payments} payments that were not given back; ${findable} of them can be linked by a proof, ${linked} are.`,
    END,
  ].join('\n')
  const text = readFileSync(FILE, 'utf8')
  writeFileSync(FILE, text.slice(0, text.indexOf(BEGIN)) + table + text.slice(text.indexOf(END) + END.length))
  process.stdout.write(`${table}\n`)
} finally {
  rmSync(dir, { recursive: true, force: true })
}
