/** Passwords as `scrypt:N:r:p:salt:hash` (base64url), checked in constant time and off the main thread. */
import { createHmac, randomBytes, type ScryptOptions, scrypt, timingSafeEqual } from 'node:crypto'

/** 16 MiB and about a tenth of a second on a Raspberry Pi 4: dear for a guesser, bearable for a box. */
const COST = { N: 16_384, r: 8, p: 1 }
const KEY_BYTES = 32
const SALT_BYTES = 16
/** A hash that asks for more was not made for this box: 64 MiB. */
const MOST_MEMORY = 64 * 2 ** 20

export type VerifyPassword = (password: string, hash: string) => Promise<boolean>

export async function hashPassword(password: string): Promise<string> {
  const salt = randomBytes(SALT_BYTES)
  const key = await derive(password, salt, KEY_BYTES, { ...COST, maxmem: MOST_MEMORY * 2 })
  return ['scrypt', COST.N, COST.r, COST.p, salt.toString('base64url'), key.toString('base64url')].join(':')
}

/** False for a wrong password and for a hash that is not one of ours. Never rejects. */
export async function verifyPassword(password: string, hash: string): Promise<boolean> {
  const parsed = parseHash(hash)
  if (!parsed) return false
  try {
    const key = await derive(password, parsed.salt, parsed.key.length, { ...parsed.cost, maxmem: MOST_MEMORY * 2 })
    return timingSafeEqual(key, parsed.key)
  } catch {
    return false
  }
}

const CACHED = 256
const WAITING = 32

/**
 * `verifyPassword` for a door that is knocked at often: credentials that were right once are recognised by an HMAC under a
 * key that lives in this process only, so a reconnecting till costs no scrypt. One scrypt at a time; when more than 32
 * wait, the answer is false: a flood of guesses must not take the threads the journal needs.
 */
export function createVerifier(): VerifyPassword {
  const secret = randomBytes(32)
  const right = new Set<string>()
  let tail: Promise<unknown> = Promise.resolve()
  let waiting = 0
  return async (password, hash) => {
    const key = createHmac('sha256', secret).update(hash).update('\0').update(password).digest('base64')
    if (right.has(key)) return true
    if (waiting >= WAITING) return false
    waiting += 1
    const checked = tail.then(() => right.has(key) || verifyPassword(password, hash))
    tail = checked
    const ok = await checked
    waiting -= 1
    if (ok) {
      if (right.size >= CACHED) right.clear()
      right.add(key)
    }
    return ok
  }
}

function parseHash(hash: string): { cost: typeof COST; salt: Buffer; key: Buffer } | undefined {
  const [, N, r, p, salt, key] = /^scrypt:(\d{1,7}):(\d{1,2}):(\d{1,2}):([\w-]+):([\w-]+)$/.exec(hash) ?? []
  if (salt === undefined || key === undefined) return undefined
  const cost = { N: Number(N), r: Number(r), p: Number(p) }
  const bytes = Buffer.from(key, 'base64url')
  if (128 * cost.N * cost.r > MOST_MEMORY || cost.p > 16 || bytes.length < 16 || bytes.length > 128) return undefined
  return { cost, salt: Buffer.from(salt, 'base64url'), key: bytes }
}

function derive(password: string, salt: Buffer, length: number, options: ScryptOptions): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    scrypt(password.normalize('NFKC'), salt, length, options, (error, key) => (error ? reject(error) : resolve(key)))
  })
}
