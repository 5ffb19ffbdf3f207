/**
 * An access point's controller, as far as a portal meets it: login with cookie and CSRF token, clients, authorisation that ends by itself. Speaks
 * HTTP, or HTTPS with a certificate of its own. Faults are switches.
 */
import { randomBytes, timingSafeEqual } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'

export interface ControllerFaults {
  /** ms before every answer. */
  slowMs: number
  /** Sessions end: the next call with an old cookie is answered 401. */
  expireSessions: boolean
  /** Every call but the login is answered 500. */
  broken: boolean
  /** The login is refused. */
  refuse: boolean
  /** 200 with a page instead of JSON, as a box in front of it does. */
  html: boolean
  /** This client cannot be authorised: answered 500. */
  refuseMac?: string
}

interface SimulatedClient {
  mac: string
  ip: string
  hostname: string
  rx_bytes: number
  tx_bytes: number
  authorizedUntil: number
  down?: number
  up?: number
}

export interface ControllerSimulatorOptions {
  site?: string
  username?: string
  password?: string
  /** `os`: a console, with everything under /proxy/network. */
  api?: 'classic' | 'os'
  tls?: { cert: string | Buffer; key: string | Buffer }
  now?: () => number
}

const BODY_MOST = 64 * 1024

export class ControllerSimulator {
  readonly faults: ControllerFaults = { slowMs: 0, expireSessions: false, broken: false, refuse: false, html: false }
  readonly clients = new Map<string, SimulatedClient>()
  /** Method and path of every call, in order. */
  readonly calls: string[] = []
  logins = 0
  readonly #options: Required<Omit<ControllerSimulatorOptions, 'tls'>>
  readonly #server: ReturnType<typeof createServer>
  /** Cookie -> CSRF token. */
  readonly #sessions = new Map<string, string>()

  constructor(options: ControllerSimulatorOptions = {}) {
    this.#options = {
      site: options.site ?? 'default',
      username: options.username ?? 'portal',
      password: options.password ?? 'secret',
      api: options.api ?? 'classic',
      now: options.now ?? Date.now,
    }
    const answer = (request: IncomingMessage, response: ServerResponse): void => void this.#answer(request, response)
    this.#server = options.tls ? createTlsServer(options.tls, answer) : createServer(answer)
  }

  listen(port = 0, host = '127.0.0.1'): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen(port, host, () => resolve((this.#server.address() as AddressInfo).port))
    })
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  /** A phone associates. */
  join(mac: string, ip: string, hostname = ''): void {
    this.clients.set(mac, { mac, ip, hostname, rx_bytes: 0, tx_bytes: 0, authorizedUntil: this.clients.get(mac)?.authorizedUntil ?? 0 })
  }

  leave(mac: string): void {
    this.clients.delete(mac)
  }

  /** `up`: bytes the client sent. */
  traffic(mac: string, up: number, down: number): void {
    const client = this.clients.get(mac)
    if (client) Object.assign(client, { rx_bytes: client.rx_bytes + up, tx_bytes: client.tx_bytes + down })
  }

  /** Whether this client's packets pass now. */
  passes(mac: string): boolean {
    return (this.clients.get(mac)?.authorizedUntil ?? 0) > this.#options.now()
  }

  /** Where it sends a client's browser that asked for `url`. */
  redirect(portal: string, mac: string, url: string): string {
    const query = new URLSearchParams({
      id: mac,
      ap: '02:00:00:00:00:aa',
      t: String(Math.floor(this.#options.now() / 1000)),
      url,
      ssid: 'shop-guest',
    })
    return `${portal}/guest/s/${this.#options.site}/?${query}`
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await readBody(request)
    const { slowMs, html } = this.faults
    if (slowMs > 0) await new Promise((wake) => setTimeout(wake, slowMs))
    this.calls.push(`${request.method} ${request.url}`)
    if (html) response.writeHead(200, { 'content-type': 'text/html' }).end('<h1>Please log in to the firewall</h1>')
    else if (request.url === (this.#options.api === 'os' ? '/api/auth/login' : '/api/login'))
      send(response, this.#login(request, response, body))
    else send(response, this.#api(request, body))
  }

  #login(request: IncomingMessage, response: ServerResponse, body: Record<string, unknown> | undefined): Reply {
    const { username, password, api } = this.#options
    const good = body?.username === username && typeof body.password === 'string' && equal(body.password, password)
    if (request.method !== 'POST' || !good || this.faults.refuse) return reply(api === 'os' ? 403 : 400, 'error', [], 'api.err.Invalid')
    this.logins += 1
    const cookie = randomBytes(16).toString('hex')
    const csrf = randomBytes(16).toString('hex')
    this.#sessions.set(cookie, csrf)
    if (api === 'os') {
      response.setHeader('set-cookie', `TOKEN=${cookie}; path=/; httponly`)
      response.setHeader('x-csrf-token', csrf)
    } else response.setHeader('set-cookie', [`unifises=${cookie}; Path=/; HttpOnly`, `csrf_token=${csrf}; Path=/`])
    return reply(200, 'ok', [])
  }

  #api(request: IncomingMessage, body: Record<string, unknown> | undefined): Reply {
    const { api, site } = this.#options
    if (this.faults.expireSessions) {
      this.#sessions.clear()
      this.faults.expireSessions = false
    }
    const cookie = /(?:TOKEN|unifises)=([0-9a-f]+)/.exec(request.headers.cookie ?? '')?.[1] ?? ''
    const csrf = this.#sessions.get(cookie)
    if (csrf === undefined) return reply(401, 'error', [], 'api.err.LoginRequired')
    if (request.method === 'POST' && request.headers['x-csrf-token'] !== csrf) return reply(403, 'error', [], 'api.err.InvalidCsrf')
    if (this.faults.broken) return reply(500, 'error', [], 'api.err.Internal')
    const base = `${api === 'os' ? '/proxy/network' : ''}/api/s/${site}`
    if (request.method === 'GET' && request.url === `${base}/stat/sta`) return reply(200, 'ok', this.#listed())
    if (request.method === 'POST' && request.url === `${base}/cmd/stamgr`) return this.#command(body ?? {})
    return reply(404, 'error', [], 'api.err.NotFound')
  }

  #command(body: Record<string, unknown>): Reply {
    const { cmd, mac, minutes, up, down } = body
    if (typeof mac !== 'string' || !/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/.test(mac)) return reply(400, 'error', [], 'api.err.InvalidMac')
    if (cmd === 'authorize-guest' && mac === this.faults.refuseMac) return reply(500, 'error', [], 'api.err.Internal')
    const client = this.clients.get(mac)
    if (cmd === 'authorize-guest' && typeof minutes === 'number' && minutes > 0) {
      if (client) {
        client.authorizedUntil = this.#options.now() + minutes * 60_000
        if (typeof up === 'number') client.up = up
        if (typeof down === 'number') client.down = down
      }
      return reply(200, 'ok', [{ mac, minutes }])
    }
    if (cmd !== 'unauthorize-guest') return reply(400, 'error', [], 'api.err.InvalidArgs')
    if (client) client.authorizedUntil = 0
    return reply(200, 'ok', [])
  }

  #listed(): unknown[] {
    return [...this.clients.values()].map(({ mac, ip, hostname, rx_bytes, tx_bytes }) => ({
      mac,
      ip,
      ...(hostname ? { hostname } : {}),
      rx_bytes,
      tx_bytes,
      is_guest: true,
      authorized: this.passes(mac),
    }))
  }
}

interface Reply {
  status: number
  body: string
}

function reply(status: number, rc: 'ok' | 'error', data: unknown[], msg?: string): Reply {
  return { status, body: JSON.stringify({ meta: { rc, ...(msg ? { msg } : {}) }, data }) }
}

function send(response: ServerResponse, { status, body }: Reply): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(body)
}

async function readBody(request: IncomingMessage): Promise<Record<string, unknown> | undefined> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > BODY_MOST) return undefined
    chunks.push(chunk)
  }
  try {
    const parsed: unknown = JSON.parse(Buffer.concat(chunks).toString() || '{}')
    return parsed !== null && typeof parsed === 'object' ? (parsed as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}

function equal(a: string, b: string): boolean {
  const [x, y] = [Buffer.from(a), Buffer.from(b)]
  return x.length === y.length && timingSafeEqual(x, y)
}
