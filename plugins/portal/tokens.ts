/** What stands in the portal's addresses: a form token that binds a page to its station, and the link by which a visitor is known again. */
import type { Mac } from './network/api.ts'
import { type KeyedHash, same } from './secrets.ts'

const HOUR_MS = 3_600_000
const FORM_BYTES = 12
const SIGNATURE_BYTES = 16
/** 22 characters of base64url, as `pseudonym` makes them. */
const VISITOR_BYTES = 16
const VISIT_BYTES = VISITOR_BYTES + 4 + SIGNATURE_BYTES

export class FormTokens {
  readonly #hash: KeyedHash

  constructor(hash: KeyedHash) {
    this.#hash = hash
  }

  make(mac: Mac, wall: number): string {
    return this.#of(mac, Math.floor(wall / HOUR_MS)).toString('base64url')
  }

  /** Good for one to two hours, for this station only. */
  good(token: string, mac: Mac, wall: number): boolean {
    const bytes = Buffer.from(token, 'base64url')
    const hour = Math.floor(wall / HOUR_MS)
    return same(bytes, this.#of(mac, hour)) || same(bytes, this.#of(mac, hour - 1))
  }

  #of(mac: Mac, hour: number): Buffer {
    return this.#hash('form', mac, String(hour)).subarray(0, FORM_BYTES)
  }
}

/**
 * `visitor (16 bytes) | expiry, hours since 1970 (4) | signature (16)`, base64url. The signature covers the station and a key that lies in the
 * visitor's record: the link works on the device it was given to and nowhere else, and not after the record was erased.
 */
export class VisitTokens {
  readonly #hash: KeyedHash

  constructor(hash: KeyedHash) {
    this.#hash = hash
  }

  make(visitor: string, key: string, mac: Mac, expires: number): string {
    const bytes = Buffer.alloc(VISIT_BYTES)
    Buffer.from(visitor, 'base64url').copy(bytes, 0, 0, VISITOR_BYTES)
    bytes.writeUInt32BE(Math.floor(expires / HOUR_MS), VISITOR_BYTES)
    this.#sign(bytes, key, mac).copy(bytes, VISITOR_BYTES + 4)
    return bytes.toString('base64url')
  }

  /** Whose it says it is; nothing is proven yet. */
  claimed(token: string): string | undefined {
    const bytes = Buffer.from(token, 'base64url')
    return bytes.length === VISIT_BYTES ? bytes.subarray(0, VISITOR_BYTES).toString('base64url') : undefined
  }

  /** False for what is forged, expired, erased, or another station's. */
  good(token: string, key: string, mac: Mac, wall: number): boolean {
    const bytes = Buffer.from(token, 'base64url')
    if (bytes.length !== VISIT_BYTES || !same(bytes.subarray(VISITOR_BYTES + 4), this.#sign(bytes, key, mac))) return false
    return bytes.readUInt32BE(VISITOR_BYTES) * HOUR_MS > wall
  }

  #sign(bytes: Buffer, key: string, mac: Mac): Buffer {
    return this.#hash('visit', bytes.subarray(0, VISITOR_BYTES + 4).toString('base64url'), key, mac).subarray(0, SIGNATURE_BYTES)
  }
}
