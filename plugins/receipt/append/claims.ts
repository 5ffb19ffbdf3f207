/** Claim tokens on paper: random, single-use, with an end. Only their keyed hash is kept and told; the token is on the paper alone. */
import { randomBytes } from 'node:crypto'
import type { Json } from '../../../daemon/contract/json.ts'
import type { Clock, KeyValue, Pseudonym } from '../../../daemon/contract/plugin.ts'

/** 128 bits, base64url: 22 characters. */
const TOKEN_BYTES = 16
const KEY = 'claim/'
/** A claim is remembered for so long after its end, so that a late one is told from a made-up one. */
const AFTER_MS = 7 * 86_400_000

export interface Issued {
  token: string
  /** `pseudonym('person', 'claim:' + token)`, as the portal makes it when the link is opened. */
  hash: string
  /** RFC 3339. */
  expires: string
}

export type ClaimState = { status: 'unknown' } | { status: 'open' | 'used' | 'expired'; receipt: string; expires: string; usedAt?: string }

export class Claims {
  readonly #pseudonym: Pseudonym
  readonly #store: KeyValue
  readonly #clock: Clock

  constructor(pseudonym: Pseudonym, store: KeyValue, clock: Clock) {
    this.#pseudonym = pseudonym
    this.#store = store
    this.#clock = clock
  }

  issue(hours: number): Issued {
    const token = randomBytes(TOKEN_BYTES).toString('base64url')
    const expires = new Date(this.#clock.wall() + hours * 3_600_000).toISOString()
    return { token, hash: this.#pseudonym('person', `claim:${token}`), expires }
  }

  /** Remembers on whose receipt it was printed. */
  async printed(hash: string, receipt: string, expires: string): Promise<void> {
    await this.#store.put(`${KEY}${hash}`, { receipt, expires })
  }

  /** The first use counts; true for it. */
  async use(hash: string, at: string): Promise<boolean> {
    const state = await this.look(hash, at)
    if (state.status !== 'open') return false
    await this.#store.put(`${KEY}${hash}`, { receipt: state.receipt, expires: state.expires, usedAt: at })
    return true
  }

  async look(hash: string, now: string): Promise<ClaimState> {
    const found = asClaim(await this.#store.get(`${KEY}${hash}`))
    if (!found) return { status: 'unknown' }
    if (found.usedAt !== undefined) return { status: 'used', ...found }
    return { status: Date.parse(now) > Date.parse(found.expires) ? 'expired' : 'open', ...found }
  }

  /** Forgets those that ended long ago. */
  async tidy(): Promise<void> {
    const now = this.#clock.wall()
    for (const { key, value } of await this.#store.list(KEY)) {
      const claim = asClaim(value)
      if (!claim || Date.parse(claim.expires) + AFTER_MS < now) await this.#store.delete(key)
    }
  }
}

function asClaim(value: Json | undefined): { receipt: string; expires: string; usedAt?: string } | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
  const { receipt, expires, usedAt } = value
  if (typeof receipt !== 'string' || typeof expires !== 'string') return undefined
  return { receipt, expires, ...(typeof usedAt === 'string' ? { usedAt } : {}) }
}
