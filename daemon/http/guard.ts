/** The door of the TCP listener: which hosts, which origins, which credentials. The unix socket's callers pass: its file mode let them in. */
import { hostname } from 'node:os'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { parseListen } from '../config.ts'
import { Failure } from '../contract/errors.ts'
import type { Credentials } from './credentials.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Answered to anyone who reaches the listener. */
    open?: boolean
    /** A page for people: without credentials they are led to the login form. */
    page?: boolean
    /** Only over the unix socket. */
    socketOnly?: boolean
  }
}

export const CONTENT_POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

/**
 * Not helmet's defaults: `upgrade-insecure-requests` and HSTS would break a box that is reached by plain HTTP, and under
 * `no-referrer` a browser names `null` as the origin of the login form (Fetch, "serializing a request origin").
 */
const HEADERS: Record<string, string> = {
  'content-security-policy': CONTENT_POLICY,
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'cache-control': 'no-store',
}

export interface GuardParts {
  listen: string
  credentials: Credentials | undefined
  /** Whether the request came over the unix socket. */
  trusted: (request: FastifyRequest) => boolean
}

export class Guard {
  readonly #parts: GuardParts
  readonly #hosts: Set<string>

  constructor(parts: GuardParts) {
    this.#parts = parts
    const own = hostname().toLowerCase()
    this.#hosts = new Set([
      'localhost',
      '127.0.0.1',
      '::1',
      'shopwire.local',
      own,
      `${own}.local`,
      parseListen(parts.listen).host.toLowerCase(),
    ])
  }

  /** `onRequest` hook. Throws a `Failure`, or sends a redirect to the login form. */
  async check(request: FastifyRequest, reply: FastifyReply): Promise<void> {
    for (const [name, value] of Object.entries(HEADERS)) reply.header(name, value)
    if (this.#parts.trusted(request)) return
    this.#checkHost(request)
    const { open = false, page = false, socketOnly = false } = request.routeOptions.config
    const reads = request.method === 'GET' || request.method === 'HEAD'
    // Only a page may be reached from elsewhere, by a link that is followed.
    if (!(reads && (page || open))) checkOrigin(request)
    if (!open && !this.authenticated(request)) {
      if (page && reads) return reply.redirect(loginAddress(request.query), 303)
      reply.header('www-authenticate', 'Bearer realm="shopwire"')
      throw new Failure('unauthorized', 'a bearer token or a login is needed')
    }
    if (socketOnly)
      throw new Failure(
        'forbidden',
        'code is loaded and unloaded on the box itself only: shopwire plugin load|unload, over its unix socket',
      )
  }

  /** Whether this caller may see more than `/healthz` tells anyone. */
  authenticated(request: FastifyRequest): boolean {
    const { credentials, trusted } = this.#parts
    if (credentials === undefined || trusted(request)) return true
    return credentials.admits(request.headers, request.ip)
  }

  /**
   * DNS rebinding: a foreign page whose name is made to point at 127.0.0.1 still names itself in `Host`. With
   * credentials it gains nothing (it has neither cookie nor token), and the box may be reached by any name.
   */
  #checkHost(request: FastifyRequest): void {
    if (this.#parts.credentials !== undefined) return
    const host = hostOf(request.headers.host)
    if (host === undefined || !this.#hosts.has(host))
      throw new Failure('forbidden', `the Host header must name this machine: ${[...this.#hosts].join(', ')}`)
  }
}

/** The form in the language the page was asked for. */
function loginAddress(query: unknown): string {
  const { lang } = query as { lang?: unknown }
  return lang === 'zh' || lang === 'en' ? `/login?lang=${lang}` : '/login'
}

/** Cross-site requests: browsers send `Sec-Fetch-Site` and, on what changes things, `Origin`; tills and scripts send neither. */
function checkOrigin(request: FastifyRequest): void {
  const site = request.headers['sec-fetch-site']
  const { origin, host } = request.headers
  const foreign =
    (site !== undefined && site !== 'same-origin' && site !== 'none') ||
    (origin !== undefined && origin.replace(/^https?:\/\//, '') !== host)
  if (foreign) throw new Failure('forbidden', 'requests from other web pages are refused')
}

/** The host without port and brackets, in lower case. */
function hostOf(header: string | undefined): string | undefined {
  const [, v6, name] = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9.-]+))(?::\d{1,5})?$/.exec(header ?? '') ?? []
  return (v6 ?? name)?.toLowerCase()
}
