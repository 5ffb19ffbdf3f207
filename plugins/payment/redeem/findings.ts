/** Redemption's part of `self-check`. */
import { age, type Findings } from '../findings.ts'
import type { ListStatus } from './list-shelf.ts'
import type { Redemption } from './redemption.ts'

/** HQ may be away for a moment; longer than this a person hears of it. */
const WAITS_LONG_MS = 10 * 60_000
const EXPIRES_SOON_MS = 86_400_000

/** Codes that are spent or free here and of which HQ has not heard yet. */
export function waitingFindings(records: readonly Redemption[], wall: number): Findings {
  const waiting = records.filter(({ phase }) => phase === 'committing' || phase === 'releasing' || phase === 'returning')
  if (waiting.length === 0) return [{ state: 'ok', fact: 'HQ has heard of every code' }]
  const oldest = Math.max(...waiting.map(({ at }) => wall - at))
  const fact = `${waiting.length} ${waiting.length === 1 ? 'code waits' : 'codes wait'} for HQ to hear of ${waiting.length === 1 ? 'it' : 'them'}, the oldest scanned ${age(oldest)} ago`
  if (oldest < WAITS_LONG_MS) return [{ state: 'ok', fact }]
  return [{ state: 'warn', fact, fix: `shopwire cmd payment - redemptions '{"open":true}'   # trouble says why` }]
}

/** `status`: of the shelf; `keyed`: a public key for lists is configured. */
export function listFindings(status: ListStatus, keyed: boolean, wall: number): Findings {
  if (!keyed) return [{ state: 'ok', fact: 'no offline list is used: codes need HQ' }]
  const { usable, why, version, expiresAt } = status
  if (!usable)
    return [
      { state: 'warn', fact: `while HQ is away no code is taken: ${String(why ?? 'no list counts')}`, fix: 'have HQ push a new code-list' },
    ]
  const left = Date.parse(String(expiresAt)) - wall
  const fact = `offline list ${version} counts for ${age(left)} more`
  return left > EXPIRES_SOON_MS ? [{ state: 'ok', fact }] : [{ state: 'warn', fact, fix: 'have HQ push a new code-list' }]
}
