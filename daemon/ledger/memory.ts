/** What the ledger remembers between starts: small keys beside the events. */
import type { Sequence } from '../contract/event.ts'
import type { Journal } from '../journal/api.ts'
import type { Claim, LinkingState, Payment, Session, Stay } from './linking/state.ts'
import { restore, type Visit, type VisitsState } from './visits.machine.ts'

export const SPACE = 'ledger'
/** Visitor -> what is known of earlier visits. */
export const VISITORS = 'ledger.visitors'

export interface Memory {
  epoch: string
  position: Sequence
  /** Id of the last event that was dealt with. */
  event: string
  timeline: number
}

/** Fills both machines' states. */
export async function readMemory(journal: Journal, visits: VisitsState, linking: LinkingState): Promise<Memory> {
  let memory: Memory = { epoch: journal.epoch, position: 0, event: '', timeline: 0 }
  const payments: Payment[] = []
  const sessions: Session[] = []
  const claims: Claim[] = []
  for (const { key, value } of await journal.space(SPACE).list()) {
    const known = value as unknown
    const [kind, ...rest] = key.split(':')
    const id = rest.join(':')
    if (kind === 'position') memory = known as Memory
    else if (kind === 'visit') restore(visits, known as Visit)
    else if (kind === 'session') sessions.push(known as Session)
    else if (kind === 'payment') payments.push(known as Payment)
    else if (kind === 'claim') claims.push(known as Claim)
    else if (kind === 'left') linking.visits.set(id, known as Stay)
  }
  // In the order of their times, as they came: the oldest are forgotten first.
  for (const one of sessions.sort((a, b) => a.start - b.start)) linking.sessions.set(one.session, one)
  for (const one of payments.sort((a, b) => a.at - b.at)) {
    linking.payments.set(one.payment, one)
    if (one.count !== undefined) linking.counting.add(one.payment)
  }
  for (const one of claims.sort((a, b) => a.at - b.at)) linking.claims.set(one.claim, one)
  for (const [visitor, visit] of visits.open) linking.visits.set(visitor, { visit })
  return memory
}
