/** Runs generated traffic through a real journal and ledger, and gives the links that stand in the end. */
import type { CloudEvent } from '../../contract/event.ts'
import type { LimitedJournal } from '../../journal/api.ts'
import { openIn } from '../../journal/testing/support.ts'
import { HandClock } from '../../testing/hand-clock.ts'
import type { Linked } from '../facts.ts'
import { Counter } from './counter.ts'
import type { Traffic } from './traffic.ts'

export interface Outcome {
  current: Map<string, Linked>
  /** All links that were ever told, revocations included. */
  told: Linked[]
  visits: { arrived: number; departed: number; open: number }
  rows: string
  counter: Counter
}

export async function fill(journal: LimitedJournal, { events }: Traffic): Promise<void> {
  for (let from = 0; from < events.length; from += 500)
    await journal.commit({ events: events.slice(from, from + 500).map(({ at: _at, ...draft }) => draft) })
}

/** The caller closes `counter`. */
export async function runTraffic(dir: string, given: Traffic): Promise<Outcome> {
  const clock = new HandClock(new Date((given.events.at(-1)?.at ?? 0) + 20_000).toISOString())
  const journal = await openIn(dir)
  await fill(journal, given)
  await journal.close()
  const counter = await Counter.open(dir, { clock })
  await counter.pass(3_600_000)
  return { ...(await outcome(counter)), counter }
}

export async function outcome(counter: Counter): Promise<Omit<Outcome, 'counter'>> {
  await counter.settle()
  const current = new Map<string, Linked>()
  const told: Linked[] = []
  const visits = { arrived: 0, departed: 0, open: 0 }
  for (let after = counter.journal.tail - 1; ; ) {
    const read = await counter.journal.read(after, { events: 1_000 })
    if (read.length === 0) break
    for (const { type, text, sequence } of read) {
      after = sequence
      if (type === 'shopwire.visit.arrived') visits.arrived += 1
      if (type === 'shopwire.visit.departed') visits.departed += 1
      if (type !== 'shopwire.payment.linked') continue
      const link = (JSON.parse(text) as CloudEvent).data as unknown as Linked
      told.push(link)
      if (link.revoked === undefined) current.set(link.payment, link)
      else current.delete(link.payment)
    }
  }
  visits.open = visits.arrived - visits.departed
  return { current, told, visits, rows: await counter.rows() }
}
