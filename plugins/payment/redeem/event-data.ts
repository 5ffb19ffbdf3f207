/** What leaves the box about a code: never the code itself. */

import type { JsonObject } from '../../../daemon/contract/json.ts'
import type { Pseudonym } from '../../../daemon/contract/plugin.ts'
import { DEVICE } from '../../../daemon/contract/topics.ts'
import type { News, Redemption } from './redemption.ts'

/** The last 4 characters of a long code, 2 of a short one, none of a very short one. */
export function maskCode(code: string): string {
  const shown = code.length >= 12 ? 4 : code.length >= 8 ? 2 : 0
  return `${'*'.repeat(Math.min(code.length - shown, 12))}${shown === 0 ? '' : code.slice(-shown)}`
}

/** What HQ says may quote the code. */
export const withoutCode = (message: string, code: string): string => message.replaceAll(code, maskCode(code)).slice(0, 200)

/** Equal for equal codes, in every shop with the same privacy key. A claim link counts by its token, as the portal hashes it. */
export function codeHash(pseudonym: Pseudonym, kind: string, code: string): string {
  const token = kind === 'claim' ? code.slice(code.lastIndexOf('/') + 1) : code
  return pseudonym('person', `${kind}:${token}`)
}

/** A till whose name is a device name has topics of its own. */
export const deviceOf = (till: string): string => (DEVICE.test(till) ? till : '-')

/** The public face of a redemption: in events and in answers to tills. */
export function faceOf(record: Redemption): JsonObject {
  const { id, till, kind, code, payment, order, worth, offline } = record
  return {
    redemption: id,
    kind,
    code: maskCode(code),
    till,
    offline: offline !== undefined,
    ...(payment === undefined ? {} : { payment }),
    ...(order === undefined ? {} : { order }),
    ...(worth as JsonObject | undefined),
  }
}

export function newsData(record: Redemption, news: News, pseudonym: Pseudonym): JsonObject {
  const { event: _event, ...rest } = news
  const { heldUntil } = record
  const held = news.event === 'redemption-reserved' && heldUntil !== undefined ? { heldUntil: new Date(heldUntil).toISOString() } : {}
  return { ...faceOf(record), codeHash: codeHash(pseudonym, record.kind, record.code), ...held, ...rest }
}
