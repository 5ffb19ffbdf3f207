/**
 * WeChat Pay's platform certificates, by `GET /v3/certificates`: each AES-256-GCM under the APIv3 key, in an answer that is signed by one
 * of them. A new one is in the list 24 hours before it signs; asking is due at least every 12 hours ("获取平台证书列表", 最佳实践).
 */
import { createDecipheriv, createVerify, type KeyObject, X509Certificate } from 'node:crypto'
import { Failure } from '../../../daemon/contract/errors.ts'
import type { Clock, MonoMs } from '../../../daemon/contract/plugin.ts'

/** Serial number of a certificate, or id of a public key -> what verifies. */
export type PlatformKeys = Readonly<Record<string, string | KeyObject>>

/** An answer as it came. */
export interface Raw {
  body: string
  header: (name: string) => string
}

interface Sealed {
  serial_no?: unknown
  encrypt_certificate?: { algorithm?: unknown; nonce?: unknown; associated_data?: unknown; ciphertext?: unknown }
}

const REFRESH_MS = 10 * 3_600_000
/** An answer under an unknown serial starts a look; a stranger's answers do not start more than one a minute. */
const UNKNOWN_MS = 60_000
const OFFSET_SECONDS = 300
const TAG_BYTES = 16
/** A certificate becomes valid by Beijing's clock, and is handed out before. */
const EARLY_MS = 86_400_000

/** The 32 bytes that a merchant sets at WeChat Pay. Throws `secret-unreadable`, without the key. */
export function checkApiV3Key(text: string, place: string): Buffer {
  const key = Buffer.from(text)
  if (key.length !== 32) throw new Failure('secret-unreadable', `${place}: is ${key.length} bytes long; an APIv3 key has 32`)
  return key
}

export class PlatformCertificates {
  readonly #ask: () => Promise<Raw>
  readonly #use: (keys: PlatformKeys) => void
  readonly #key: Buffer
  readonly #configured: PlatformKeys
  readonly #clock: Clock
  #keys: PlatformKeys
  #asked: MonoMs | undefined
  #asking: Promise<string | undefined> | undefined

  /** `ask` makes the request, signed; `use` hears of every new set of keys. */
  constructor(parts: { ask: () => Promise<Raw>; use: (keys: PlatformKeys) => void; key: Buffer; configured: PlatformKeys; clock: Clock }) {
    this.#ask = parts.ask
    this.#use = parts.use
    this.#key = parts.key
    this.#configured = parts.configured
    this.#keys = parts.configured
    this.#clock = parts.clock
  }

  /** Undefined: there is something to verify answers with. Else why not, in one short word. */
  async ready(): Promise<string | undefined> {
    if (Object.keys(this.#keys).length === 0) return this.#refresh()
    if (this.#age() > REFRESH_MS) void this.#refresh()
    return undefined
  }

  /** An answer came under a serial that is not known here: perhaps a new certificate. */
  unknownSerial(): void {
    if (this.#age() > UNKNOWN_MS) void this.#refresh()
  }

  #age(): number {
    return this.#asked === undefined ? Number.POSITIVE_INFINITY : this.#clock.mono() - this.#asked
  }

  #refresh(): Promise<string | undefined> {
    this.#asking ??= this.#fetch()
      // A key that no library takes: said, and never a rejection that nobody hears.
      .catch(() => 'certificates-malformed')
      .finally(() => {
        this.#asking = undefined
      })
    return this.#asking
  }

  async #fetch(): Promise<string | undefined> {
    this.#asked = this.#clock.mono()
    let raw: Raw
    try {
      raw = await this.#ask()
    } catch {
      return 'certificates-no-answer'
    }
    const wall = this.#clock.wall()
    const fresh = unseal(raw.body, this.#key, wall)
    if (typeof fresh === 'string') return fresh
    const keys = { ...fresh, ...this.#configured }
    // Whoever has the APIv3 key could have sealed it; only WeChat Pay could have signed it, now.
    const wrong = unsigned(raw, keys, wall)
    if (wrong !== undefined) return wrong
    this.#keys = keys
    this.#use(keys)
    return undefined
  }
}

/** The certificates of a list by serial; those that are not valid now are left out. A word when there is none to be had. */
export function unseal(body: string, key: Buffer, wall: number): Record<string, string> | string {
  let list: unknown
  try {
    list = (JSON.parse(body) as { data?: unknown } | null)?.data
  } catch {
    return 'certificates-malformed'
  }
  if (!Array.isArray(list) || list.length === 0) return 'certificates-none'
  const found: Record<string, string> = {}
  for (const sealed of list as Sealed[]) {
    const pem = open(sealed, key)
    if (pem === undefined) return 'certificates-undecryptable'
    let certificate: X509Certificate
    try {
      certificate = new X509Certificate(pem)
    } catch {
      return 'certificates-malformed'
    }
    const serial = String(sealed.serial_no)
    if (certificate.serialNumber.toUpperCase() !== serial.toUpperCase()) return 'certificates-malformed'
    const { validFrom, validTo } = certificate
    if (wall >= Date.parse(validFrom) - EARLY_MS && wall < Date.parse(validTo)) found[serial] = pem
  }
  return Object.keys(found).length === 0 ? 'certificates-expired' : found
}

/** Undefined: another key, or not what was sealed. GCM does not say which. */
function open({ encrypt_certificate: sealed }: Sealed, key: Buffer): string | undefined {
  const { algorithm, nonce, associated_data: aad, ciphertext } = sealed ?? {}
  if (algorithm !== 'AEAD_AES_256_GCM' || typeof nonce !== 'string' || typeof ciphertext !== 'string') return undefined
  const bytes = Buffer.from(ciphertext, 'base64')
  if (bytes.length <= TAG_BYTES) return undefined
  try {
    const decipher = createDecipheriv('aes-256-gcm', key, Buffer.from(nonce), { authTagLength: TAG_BYTES })
    decipher.setAuthTag(bytes.subarray(-TAG_BYTES)).setAAD(Buffer.from(typeof aad === 'string' ? aad : ''))
    return Buffer.concat([decipher.update(bytes.subarray(0, -TAG_BYTES)), decipher.final()]).toString('utf8')
  } catch {
    return undefined
  }
}

function unsigned({ body, header }: Raw, keys: PlatformKeys, wall: number): string | undefined {
  const [timestamp, nonce, serial, signature] = ['timestamp', 'nonce', 'serial', 'signature'].map((name) => header(`wechatpay-${name}`))
  if (!timestamp || !nonce || !serial || !signature) return 'certificates-unsigned'
  if (!(Math.abs(wall / 1_000 - Number(timestamp)) <= OFFSET_SECONDS)) return 'clock'
  const key = Object.hasOwn(keys, serial) ? keys[serial] : undefined
  if (key === undefined) return 'unknown-platform-key'
  const verified = createVerify('RSA-SHA256').update(`${timestamp}\n${nonce}\n${body}\n`).verify(key, signature, 'base64')
  return verified ? undefined : 'bad-signature'
}
