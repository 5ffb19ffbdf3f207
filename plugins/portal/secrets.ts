/**
 * Keys of this gateway's portal, all derived from the daemon's pseudonym key: it lies in a file of its own, so what stands in the store
 * (sealed MAC addresses, hashes of codes) says nothing to who has the store alone.
 */
import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes, timingSafeEqual } from 'node:crypto'
import type { PluginContext } from '../../daemon/contract/plugin.ts'

const IV_BYTES = 12
const TAG_BYTES = 16

export type KeyedHash = (purpose: string, ...parts: string[]) => Buffer

export interface Secrets {
  /** HMAC-SHA-256, 32 bytes. */
  hash: KeyedHash
  /** AES-256-GCM, base64url. */
  seal(text: string): string
  /** Undefined for what was not sealed here, or under another key. */
  open(sealed: string): string | undefined
}

export function createSecrets(context: Pick<PluginContext, 'pseudonym' | 'gateway'>): Secrets {
  const root = context.pseudonym('person', 'portal:keys')
  const key = (use: string): Buffer => Buffer.from(hkdfSync('sha256', root, context.gateway.id, `shopwire portal ${use}`, 32))
  const hashKey = key('hash')
  const sealKey = key('seal')
  return {
    hash(purpose, ...parts) {
      const hmac = createHmac('sha256', hashKey)
      for (const part of [purpose, ...parts]) hmac.update(`${Buffer.byteLength(part)}:`).update(part)
      return hmac.digest()
    },
    seal(text) {
      const iv = randomBytes(IV_BYTES)
      const cipher = createCipheriv('aes-256-gcm', sealKey, iv)
      const sealed = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()])
      return Buffer.concat([iv, sealed, cipher.getAuthTag()]).toString('base64url')
    },
    open(sealed) {
      const bytes = Buffer.from(sealed, 'base64url')
      if (bytes.length < IV_BYTES + TAG_BYTES) return undefined
      const decipher = createDecipheriv('aes-256-gcm', sealKey, bytes.subarray(0, IV_BYTES))
      decipher.setAuthTag(bytes.subarray(-TAG_BYTES))
      try {
        return Buffer.concat([decipher.update(bytes.subarray(IV_BYTES, -TAG_BYTES)), decipher.final()]).toString('utf8')
      } catch {
        return undefined
      }
    },
  }
}

/** In a time that depends on the lengths only. */
export function same(a: Buffer, b: Buffer): boolean {
  return a.length === b.length && timingSafeEqual(a, b)
}
