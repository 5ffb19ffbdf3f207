/** The offline list: what HQ signs so that a shop can take codes while HQ is away. It names codes only by slow salted hashes. */
import { createPublicKey, type KeyObject, pbkdf2, verify } from 'node:crypto'
import { Failure } from '../../../daemon/contract/errors.ts'
import type { JsonObject } from '../../../daemon/contract/json.ts'
import { type CodeKind, codeKey, KINDS, type Worth } from './redemption.ts'

export const LIST_BYTES = 4 * 1024 * 1024
const CODES_MOST = 40_000
const ITERATIONS_MOST = 200_000
const HASH_BYTES = 16
/** A list older than this is no basis for giving things away, whatever it says of itself. */
const LIFE_MOST_MS = 90 * 86_400_000

export interface ListedCode {
  kind: CodeKind
  worth: Worth
  from?: number
  until?: number
  stores?: readonly string[]
}

export interface CodeList {
  version: number
  /** Wall, ms. */
  issuedAt: number
  expiresAt: number
  salt: Buffer
  iterations: number
  /** By hash, base64url. */
  codes: ReadonlyMap<string, ListedCode>
}

/** Ed25519 public keys: a PEM text with one or more, or the 32 bytes of one as base64. Throws `config-invalid`. */
export function readPublicKeys(text: string): KeyObject[] {
  const blocks = text.match(/-----BEGIN PUBLIC KEY-----[\s\S]+?-----END PUBLIC KEY-----/g)
  try {
    const keys = blocks ? blocks.map((pem) => createPublicKey(pem)) : [rawKey(text.trim())]
    if (keys.every((key) => key.asymmetricKeyType === 'ed25519')) return keys
  } catch {
    // Told below: Node’s own words would not help anybody.
  }
  throw new Failure('config-invalid', 'redeem: the public key must be an Ed25519 key, as PEM or as 32 bytes in base64')
}

function rawKey(base64: string): KeyObject {
  // RFC 8037: an Ed25519 key as JWK is its 32 bytes.
  return createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: Buffer.from(base64, 'base64').toString('base64url') }, format: 'jwk' })
}

export interface Expected {
  keys: readonly KeyObject[]
  gateway: string
  store: string
  /** Wall, ms. */
  wall: number
}

/** The signature first, then everything else. Throws `args-invalid` or `payload-too-large`, which name the member and what is wrong. */
export function readCodeList(payload: string, signature: string, { keys, gateway, store, wall }: Expected): CodeList {
  if (Buffer.byteLength(payload) > LIST_BYTES) throw new Failure('payload-too-large', `list: is larger than ${LIST_BYTES} bytes`)
  const signed = Buffer.from(payload)
  const mark = Buffer.from(signature, 'base64')
  if (!keys.some((key) => mark.length === 64 && verify(null, signed, key, mark)))
    throw wrong('signature', 'is not HQ’s over this payload (Ed25519, base64, over the UTF-8 bytes of the joined payload)')
  const list = asObject(payload)
  const { codes: _codes, ...head } = list
  if (list.gateway !== undefined && list.gateway !== gateway) throw wrong('gateway', `is ${short(list.gateway)}; this one is ${gateway}`)
  if (list.stores !== undefined && !strings(list.stores, 'stores').includes(store))
    throw wrong('stores', `does not name this shop, "${store}"`)
  const issuedAt = instant(head, 'issuedAt')
  const expiresAt = instant(head, 'expiresAt')
  if (expiresAt <= issuedAt || expiresAt - issuedAt > LIFE_MOST_MS) throw wrong('expiresAt', 'must come after issuedAt, within 90 days')
  if (wall >= expiresAt) throw wrong('expiresAt', `the list has expired: ${short(list.expiresAt)}`)
  const currency = list.currency
  if (currency !== undefined && (typeof currency !== 'string' || !/^[A-Z]{3}$/.test(currency)))
    throw wrong('currency', 'must be three capital letters, like CNY')
  return {
    version: whole(list, 'version', 1, Number.MAX_SAFE_INTEGER),
    issuedAt,
    expiresAt,
    salt: bytes(list.salt, 'salt', 16, 64),
    iterations: whole(list, 'iterations', 1, ITERATIONS_MOST),
    codes: readCodes(list.codes, currency),
  }
}

function asObject(payload: string): JsonObject {
  try {
    const value: unknown = JSON.parse(payload)
    if (value !== null && typeof value === 'object' && !Array.isArray(value)) return value as JsonObject
  } catch {
    // Told below.
  }
  throw wrong('payload', 'is not a JSON object; the parts may be in the wrong order')
}

function readCodes(value: unknown, currency: string | undefined): Map<string, ListedCode> {
  if (!Array.isArray(value) || value.length > CODES_MOST) throw wrong('codes', `must be an array of at most ${CODES_MOST}`)
  const codes = new Map<string, ListedCode>()
  value.forEach((one: unknown, index) => {
    const at = `codes.${index}`
    if (one === null || typeof one !== 'object' || Array.isArray(one)) throw wrong(at, 'must be an object')
    const entry = one as JsonObject
    const kind = KINDS.find((known) => known === entry.kind)
    if (!kind) throw wrong(`${at}.kind`, `must be one of ${KINDS.join(', ')}`)
    const hash = bytes(entry.hash, `${at}.hash`, HASH_BYTES, HASH_BYTES).toString('base64url')
    if (codes.has(hash)) throw wrong(`${at}.hash`, 'stands in the list twice')
    const { label, terms } = entry
    codes.set(hash, {
      kind,
      worth: {
        value: whole(entry, 'value', 0, Number.MAX_SAFE_INTEGER, at),
        ...(currency === undefined ? {} : { currency }),
        ...(typeof label === 'string' ? { label: label.slice(0, 200) } : {}),
        ...(terms !== null && typeof terms === 'object' && !Array.isArray(terms) ? { terms } : {}),
      },
      ...(entry.from === undefined ? {} : { from: instant(entry, 'from', at) }),
      ...(entry.until === undefined ? {} : { until: instant(entry, 'until', at) }),
      ...(entry.stores === undefined ? {} : { stores: strings(entry.stores, `${at}.stores`) }),
    })
  })
  return codes
}

/** PBKDF2-HMAC-SHA-256 (RFC 8018) of `{kind}:{code}`, 16 bytes, off the main thread. */
export function hashCode(kind: CodeKind, code: string, { salt, iterations }: Pick<CodeList, 'salt' | 'iterations'>): Promise<string> {
  return new Promise((resolve, reject) => {
    pbkdf2(codeKey(kind, code), salt, iterations, HASH_BYTES, 'sha256', (error, key) =>
      error ? reject(error) : resolve(key.toString('base64url')),
    )
  })
}

const wrong = (path: string, message: string): Failure =>
  new Failure('args-invalid', `list.${path}: ${message}`, [{ path: `list.${path}`, message }])

const short = (value: unknown): string => JSON.stringify(value)?.slice(0, 60) ?? 'missing'

function whole(from: JsonObject, key: string, least: number, most: number, at = ''): number {
  const value = from[key]
  if (!Number.isSafeInteger(value) || (value as number) < least || (value as number) > most)
    throw wrong(at === '' ? key : `${at}.${key}`, `must be a whole number from ${least} to ${most}`)
  return value as number
}

function instant(from: JsonObject, key: string, at = ''): number {
  const value = from[key]
  const parsed = typeof value === 'string' && /^\d{4}-\d\d-\d\dT.*(Z|[+-]\d\d:\d\d)$/.test(value) ? Date.parse(value) : Number.NaN
  if (Number.isNaN(parsed)) throw wrong(at === '' ? key : `${at}.${key}`, 'must be an RFC 3339 instant, like 2026-11-22T08:15:30Z')
  return parsed
}

function bytes(value: unknown, path: string, least: number, most: number): Buffer {
  const out = typeof value === 'string' && /^[A-Za-z0-9_-]+$/.test(value) ? Buffer.from(value, 'base64url') : Buffer.alloc(0)
  if (out.length < least || out.length > most)
    throw wrong(path, `must be ${least === most ? least : `${least} to ${most}`} bytes in base64url`)
  return out
}

function strings(value: unknown, path: string): string[] {
  if (Array.isArray(value) && value.every((one) => typeof one === 'string')) return value
  throw wrong(path, 'must be an array of strings')
}
