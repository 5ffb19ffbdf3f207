/** A signed-in conversation with a controller's HTTP API: cookie, CSRF token, one certificate that is trusted, signed in again when it must be. */
import { request as httpRequest, type IncomingMessage, type RequestOptions } from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import { type ConnectionOptions, type TLSSocket, connect as tlsConnect } from 'node:tls'
import { Failure } from '../../../daemon/contract/errors.ts'
import type { Json, JsonObject } from '../../../daemon/contract/json.ts'
import type { HttpControllerConfig } from '../config.ts'
import { secretOf } from '../files.ts'

const TIMEOUT_MS = 8_000
const ANSWER_MOST = 8 * 1024 * 1024

interface Answer {
  status: number
  headers: IncomingMessage['headers']
  body: string
}

export class HttpSession {
  readonly #config: HttpControllerConfig
  readonly #signal: AbortSignal
  readonly #agent: HttpsAgent | undefined
  #cookie = ''
  #csrf = ''
  #signingIn: Promise<void> | undefined

  /** Throws `secret-unreadable` for a CA file that cannot be read. */
  constructor(config: HttpControllerConfig, signal: AbortSignal) {
    this.#config = config
    this.#signal = signal
    this.#agent = config.url.startsWith('https:') ? trusting(config) : undefined
  }

  /** The `data` of the answer. Rejects with `device-offline` (no answer), `unauthorized` (password), or `device-fault` (5xx, or not what it should be). */
  async ask(method: 'GET' | 'POST', path: string, body?: JsonObject): Promise<Json> {
    if (this.#cookie === '') await this.#signIn()
    const cookie = this.#cookie
    let answer = await this.#send(method, this.#apiPath(path), body)
    if (answer.status === 401 || answer.status === 403) {
      // The controller ended the session, or was restarted. Who hears of it last finds that another has signed in already.
      if (this.#signingIn || this.#cookie === cookie) await this.#signIn()
      answer = await this.#send(method, this.#apiPath(path), body)
    }
    if (answer.status === 401 || answer.status === 403)
      throw new Failure('unauthorized', `the controller does not let "${this.#config.username}" do this`)
    return dataOf(answer)
  }

  close(): void {
    this.#agent?.destroy()
  }

  #apiPath(path: string): string {
    return `${this.#config.api === 'os' ? '/proxy/network' : ''}/api/s/${this.#config.site}${path}`
  }

  /** Whoever needs it waits for the one that is under way. */
  #signIn(): Promise<void> {
    this.#signingIn ??= this.#login().finally(() => {
      this.#signingIn = undefined
    })
    return this.#signingIn
  }

  async #login(): Promise<void> {
    const { username } = this.#config
    this.#cookie = ''
    this.#csrf = ''
    const password = secretOf('plugins.portal.http.passwordFile', this.#config.password, this.#config.passwordFile) ?? ''
    const answer = await this.#send('POST', this.#config.api === 'os' ? '/api/auth/login' : '/api/login', { username, password })
    if (answer.status === 400 || answer.status === 401 || answer.status === 403)
      throw new Failure(
        'unauthorized',
        `the controller refused the user "${username}"; check plugins.portal.http.username and its password`,
      )
    if (answer.status !== 200) throw new Failure('device-fault', `the controller answered the login with ${answer.status}`)
    if (this.#cookie === '')
      throw new Failure('device-fault', 'the controller gave no session cookie; is plugins.portal.http.url its address?')
  }

  #send(method: 'GET' | 'POST', path: string, body?: JsonObject): Promise<Answer> {
    const url = new URL(path, this.#config.url)
    const text = body === undefined ? undefined : JSON.stringify(body)
    const options: RequestOptions = {
      method,
      timeout: TIMEOUT_MS,
      signal: AbortSignal.any([AbortSignal.timeout(TIMEOUT_MS), this.#signal]),
      headers: {
        accept: 'application/json',
        ...(this.#cookie === '' ? {} : { cookie: this.#cookie }),
        ...(this.#csrf === '' ? {} : { 'x-csrf-token': this.#csrf }),
        ...(text === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }),
      },
    }
    return new Promise((resolve, reject) => {
      const failed = (error: Error): void =>
        reject(
          error instanceof Failure
            ? error
            : new Failure('device-offline', `the controller at ${url.host} cannot be reached: ${error.message}`),
        )
      const sent = this.#agent ? httpsRequest(url, { ...options, agent: this.#agent }) : httpRequest(url, options)
      sent.on('error', failed)
      sent.on('response', (response) => {
        const chunks: Buffer[] = []
        let size = 0
        response.on('data', (chunk: Buffer) => {
          size += chunk.length
          if (size > ANSWER_MOST) sent.destroy(new Failure('device-fault', 'the controller answered with more than 8 MB'))
          chunks.push(chunk)
        })
        response.on('error', failed)
        response.on('end', () => {
          this.#remember(response.headers)
          resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks).toString() })
        })
      })
      sent.end(text)
    })
  }

  /** `unifises` and `csrf_token` of a Network server, `TOKEN` and the X-CSRF-Token header of a UniFi OS console. */
  #remember(headers: IncomingMessage['headers']): void {
    const cookies = (headers['set-cookie'] ?? []).map((one) => one.split(';')[0] ?? '')
    if (cookies.length > 0) this.#cookie = cookies.join('; ')
    const csrf =
      headers['x-updated-csrf-token'] ??
      headers['x-csrf-token'] ??
      cookies.find((one) => one.startsWith('csrf_token='))?.slice('csrf_token='.length)
    if (typeof csrf === 'string') this.#csrf = csrf
  }
}

function dataOf({ status, body }: Answer): Json {
  let parsed: unknown
  try {
    parsed = JSON.parse(body)
  } catch {
    parsed = undefined
  }
  const { meta, data } = (parsed ?? {}) as { meta?: { rc?: string; msg?: string }; data?: Json }
  if (status !== 200 || meta?.rc !== 'ok' || data === undefined)
    throw new Failure('device-fault', `the controller answered ${status}${meta?.msg ? ` ${meta.msg.slice(0, 60)}` : ''}`)
  return data
}

/**
 * Controllers sign their own certificates. Either the issuer is given, or the certificate's fingerprint, which is then looked at before the
 * first byte, the password among them, is sent. Neither: the system's authorities decide.
 */
function trusting({ fingerprint, caFile, url }: HttpControllerConfig): HttpsAgent {
  const ca = secretOf('plugins.portal.http.caFile', undefined, caFile)
  if (fingerprint === undefined) return new HttpsAgent({ keepAlive: true, maxSockets: 4, ...(ca === undefined ? {} : { ca }) })
  const agent = new HttpsAgent({ keepAlive: true, maxSockets: 4 })
  const create = (options: ConnectionOptions, done: (error: Error | null, socket?: TLSSocket) => void): undefined => {
    const socket = tlsConnect({ ...options, rejectUnauthorized: false })
    socket.once('error', done)
    socket.once('secureConnect', () => {
      socket.removeListener('error', done)
      const shown = socket.getPeerX509Certificate()?.fingerprint256
      if (shown?.toUpperCase() === fingerprint.toUpperCase()) return done(null, socket)
      socket.destroy()
      return done(
        new Failure(
          'device-fault',
          `${new URL(url).host} shows another certificate (SHA-256 ${shown ?? 'none'}) than plugins.portal.http.fingerprint`,
        ),
      )
    })
    return undefined
  }
  return Object.assign(agent, { createConnection: create })
}
