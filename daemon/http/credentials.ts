/** Who may come in beyond loopback: a bearer token, or a password turned into a signed session cookie. */
import { createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import { type Config, readSecret } from '../config.ts'
import { Failure } from '../contract/errors.ts'
import type { Clock } from '../contract/plugin.ts'
import { verifyPassword } from '../password.ts'
import { newThrottle, type ThrottleState, throttle } from './throttle.machine.ts'

const SESSION_COOKIE = 'shopwire_session'
const SESSION_MS = 12 * 3_600_000
/** scrypt takes tens of megabytes and a good part of a second of a Pi: one at a time, few waiting. */
const MOST_WAITING = 8

export class Credentials {
  readonly #token: string | undefined
  readonly #passwordHash: string | undefined
  readonly #clock: Clock
  readonly #key: Buffer
  readonly #throttle: ThrottleState = newThrottle()
  /** Sessions logged out before their time, with the moment they end by themselves. */
  readonly #revoked = new Map<string, number>()
  #turn: Promise<unknown> = Promise.resolve()
  #waiting = 0

  /** Rejects with `secret-unreadable`. Undefined when nothing is configured: the listener is open, on loopback only. */
  static load(config: Config['http'], clock: Clock): Credentials | undefined {
    const token = readSecret(config.token, config.tokenFile, 'http.tokenFile')
    if (token === undefined && config.passwordHash === undefined) return undefined
    if (token !== undefined && token.length < 16)
      throw new Failure('secret-unreadable', 'http.tokenFile: holds a token of fewer than 16 characters')
    return new Credentials(token, config.passwordHash, clock)
  }

  private constructor(token: string | undefined, passwordHash: string | undefined, clock: Clock) {
    this.#token = token
    this.#passwordHash = passwordHash
    this.#clock = clock
    // Derived, so that a session outlives a restart of the daemon and ends with a change of the secret.
    this.#key = createHash('sha256')
      .update(`shopwire session\0${passwordHash ?? ''}\0${token ?? ''}`)
      .digest()
  }

  /** Whether the request's bearer token or session cookie is good. A wrong token counts against its address. */
  admits(headers: { authorization?: string | undefined; cookie?: string | undefined }, address: string): boolean {
    const bearer = /^Bearer +(\S+) *$/i.exec(headers.authorization ?? '')?.[1]
    if (bearer !== undefined) {
      // A right token is never throttled: it is too long to be guessed, and a till must not stop because someone else tries.
      if (this.#token !== undefined && sameText(bearer, this.#token)) return true
      this.#attempt(address)
      return false
    }
    const session = sessionOf(headers.cookie)
    return session !== undefined && this.#holds(session)
  }

  /** The cookie to set, for the password or the token. Rejects with `unauthorized` or `too-many-attempts`. */
  async login(secret: string, address: string): Promise<string> {
    if (this.#waiting >= MOST_WAITING) throw new TooManyAttempts(1_000)
    this.#attempt(address)
    this.#waiting += 1
    const checked = this.#turn.then(() => this.#right(secret))
    this.#turn = checked.catch(() => {})
    const right = await checked.finally(() => {
      this.#waiting -= 1
    })
    if (!right) throw new Failure('unauthorized', 'this password is not right')
    throttle.step(this.#throttle, { type: 'right', address })
    const body = `${randomBytes(16).toString('base64url')}.${(this.#clock.wall() + SESSION_MS).toString(36)}`
    return cookie(`${body}.${this.#sign(body)}`, SESSION_MS / 1_000)
  }

  /** The cookie that ends the session. */
  logout(cookieHeader: string | undefined): string {
    const session = sessionOf(cookieHeader)
    if (session !== undefined && this.#holds(session)) {
      const now = this.#clock.wall()
      for (const [id, end] of this.#revoked) if (end < now) this.#revoked.delete(id)
      this.#revoked.set(session.split('.')[0] ?? '', now + SESSION_MS)
    }
    return cookie('', 0)
  }

  async #right(secret: string): Promise<boolean> {
    if (this.#token !== undefined && sameText(secret, this.#token)) return true
    return this.#passwordHash !== undefined && (await verifyPassword(secret, this.#passwordHash))
  }

  #attempt(address: string): void {
    const [effect] = throttle.step(this.#throttle, { type: 'attempt', address, mono: this.#clock.mono() })
    if (effect?.do === 'refuse') throw new TooManyAttempts(effect.retryInMs)
  }

  #sign(body: string): string {
    return createHmac('sha256', this.#key).update(body).digest('base64url')
  }

  #holds(session: string): boolean {
    const [id = '', end = '', signature = ''] = session.split('.')
    if (!sameText(signature, this.#sign(`${id}.${end}`))) return false
    return Number.parseInt(end, 36) > this.#clock.wall() && !this.#revoked.has(id)
  }
}

export class TooManyAttempts extends Failure {
  readonly retrySeconds: number

  constructor(retryInMs: number) {
    const seconds = Math.max(1, Math.ceil(retryInMs / 1_000))
    super('too-many-attempts', `too many wrong passwords or tokens: try again in ${seconds} s`)
    this.retrySeconds = seconds
  }
}

/** No `Secure`: the box serves plain HTTP in the shop's own network. */
const cookie = (value: string, maxAge: number): string => `${SESSION_COOKIE}=${value}; Path=/; HttpOnly; SameSite=Strict; Max-Age=${maxAge}`

function sessionOf(header: string | undefined): string | undefined {
  for (const part of header?.split(';') ?? []) {
    const [name, value] = part.trim().split('=')
    if (name === SESSION_COOKIE && value !== undefined && value !== '') return value
  }
  return undefined
}

/** Equal texts, in a time that tells nothing of where or how much they differ. */
function sameText(a: string, b: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest()
  return timingSafeEqual(digest(a), digest(b))
}
