import { createHmac } from 'node:crypto'
import type { Pseudonym, WallMs } from '../contract/plugin.ts'
import type { PseudonymKey, Rotation } from '../pseudonyms.ts'

const DAY_MS = 86_400_000

/** `ctx.pseudonym`: HMAC-SHA-256 cut to 128 bits, base64url, 22 characters. */
export function pseudonyms({ key, rotate }: PseudonymKey, wall: () => WallMs): Pseudonym {
  const secret = Buffer.from(key, 'hex')
  return (kind, value) => {
    const period = kind === 'station' ? periodOf(rotate, wall()) : ''
    return createHmac('sha256', secret).update(`${kind}\0${period}\0${value}`).digest().subarray(0, 16).toString('base64url')
  }
}

function periodOf(rotate: Rotation, now: WallMs): string {
  switch (rotate) {
    case 'never':
      return ''
    case 'daily':
      return String(Math.floor(now / DAY_MS))
    case 'weekly':
      return `w${Math.floor(now / (7 * DAY_MS))}`
    case 'monthly':
      return new Date(now).toISOString().slice(0, 7)
  }
}
