/** Writes the tables of docs/linking.md: `npx tsx daemon/ledger/testing/linking-report.ts`. A week of traffic takes about a minute. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { traffic } from './traffic.ts'
import { type Score, score } from './truth-table.ts'
import { runTraffic } from './week.ts'

const FILE = resolve(import.meta.dirname, '../../../docs/linking.md')
const [BEGIN, END] = ['<!-- table -->', '<!-- /table -->']
const SEEDS = [1, 2, 3]

const share = (part: number, of: number): string => (of === 0 ? '–' : `${((part / of) * 100).toFixed(1)} %`)

async function week(seed: number): Promise<string> {
  const dir = mkdtempSync(join(tmpdir(), 'linking-'))
  try {
    const given = traffic({ seed, days: 7, visitsADay: 500, paymentsADay: 300, start: Date.parse('2026-11-16T00:00:00+08:00') })
    const { current, counter, visits } = await runTraffic(dir, given)
    await counter.close()
    const { methods, payments, linked, provable }: Score = score(given, current)
    return [
      `Seed ${seed}: ${given.events.length} events, ${given.visits} stays (${visits.arrived} visits told), ${payments} payments that were not given back; for ${provable} there is a proof, ${linked} are linked by one (${share(linked, payments)} of all).`,
      '',
      '| method | links | wrong | precision | provable | found | recall | another person than the payer |',
      '|---|---|---|---|---|---|---|---|',
      ...methods.map((one) =>
        [
          `| \`${one.method}\` | ${one.links} | ${one.wrong} | ${share(one.links - one.wrong, one.links)}`,
          `${one.provable} | ${one.found} | ${share(one.found, one.provable)} | ${one.method === 'single_candidate' ? '–' : one.otherPerson} |`,
        ].join(' | '),
      ),
    ].join('\n')
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

const tables: string[] = []
for (const seed of SEEDS) tables.push(await week(seed))
const table = [BEGIN, tables.join('\n\n'), END].join('\n')
const text = readFileSync(FILE, 'utf8')
writeFileSync(FILE, text.slice(0, text.indexOf(BEGIN)) + table + text.slice(text.indexOf(END) + END.length))
process.stdout.write(`${table}\n`)
