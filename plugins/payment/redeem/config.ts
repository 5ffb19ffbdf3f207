import type { KeyObject } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { Failure } from '../../../daemon/contract/errors.ts'
import { readPublicKeys } from './code-list.ts'
import type { CodeKind } from './redemption.ts'

/** `plugins.payment.redeem`, defaults filled in from plugin.json, which says what each means. */
export interface RedeemConfig {
  holdSeconds: number
  reserveSeconds: number
  withoutPayment: CodeKind[]
  lock: { wrong: number; windowSeconds: number; lockSeconds: number }
  offline: { publicKey?: string; publicKeyFile?: string; valuePerCode: number; valuePerDay: number }
  member: { codeIsId: boolean; display: 'event' | 'signal'; displaySeconds: number }
}

/** The keys that offline lists may be signed with; none: no codes are taken offline. Throws `config-invalid` or `secret-unreadable`. */
export function publicKeysOf({ publicKey, publicKeyFile }: RedeemConfig['offline']): KeyObject[] {
  if (publicKey !== undefined) return readPublicKeys(publicKey)
  if (publicKeyFile === undefined) return []
  let text: string
  try {
    text = readFileSync(publicKeyFile, 'utf8')
  } catch (error) {
    throw new Failure('secret-unreadable', `redeem.offline.publicKeyFile: ${publicKeyFile} cannot be read: ${(error as Error).message}`)
  }
  return readPublicKeys(text)
}
