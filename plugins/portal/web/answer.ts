/** How answers are written. */
import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http'
import type { Page } from '../pages/pages.ts'

const BODY_MOST = 4 * 1024
const FIELDS_MOST = 16
/** What of a body that is too large is still taken and thrown away: a connection that is closed on unread bytes is reset, and the answer with it (RFC 9112, 9.6). */
const THROWN_AWAY_MOST = 256 * 1024
/** Without another piece of it. */
const THROWN_AWAY_MS = 1_000

export interface Extra {
  /** The connection ends with this answer: a phone must not go on using it once it is let out. */
  close?: boolean
  retryAfter?: number
}

export function sendPage(
  request: IncomingMessage,
  response: ServerResponse,
  status: number,
  page: Page,
  csp: string,
  extra: Extra = {},
): void {
  const zipped = page.gzip !== undefined && /\bgzip\b/.test(request.headers['accept-encoding'] ?? '')
  const body = zipped && page.gzip ? page.gzip : page.body
  const headers: OutgoingHttpHeaders = {
    'content-type': 'text/html; charset=utf-8',
    'content-length': body.length,
    'cache-control': 'no-store',
    'content-security-policy': csp,
    'referrer-policy': 'no-referrer',
    'x-content-type-options': 'nosniff',
  }
  if (page.gzip) headers.vary = 'accept-encoding'
  if (zipped) headers['content-encoding'] = 'gzip'
  if (extra.retryAfter !== undefined) headers['retry-after'] = String(extra.retryAfter)
  if (extra.close) headers.connection = 'close'
  response.writeHead(status, headers)
  response.end(request.method === 'HEAD' ? undefined : body)
}

/** Always the end of the connection: kept alive, it would stay on the portal after the login. 303 after a form, 302 else. */
export function redirect(request: IncomingMessage, response: ServerResponse, location: string): void {
  response.writeHead(request.method === 'POST' ? 303 : 302, {
    location,
    'cache-control': 'no-store',
    'content-length': 0,
    connection: 'close',
  })
  response.end()
}

export function sendText(request: IncomingMessage, response: ServerResponse, status: number, type: string, body: string): void {
  response.writeHead(status, {
    ...(body === '' ? {} : { 'content-type': type }),
    ...(status === 204 ? {} : { 'content-length': Buffer.byteLength(body) }),
    'cache-control': 'no-store',
    connection: 'close',
  })
  response.end(request.method === 'HEAD' ? undefined : body)
}

/** A form's fields; undefined for what is no small urlencoded form. Either way the sender can be answered. */
export async function readForm(request: IncomingMessage): Promise<Map<string, string> | undefined> {
  const isForm = /^application\/x-www-form-urlencoded\b/i.test(request.headers['content-type'] ?? '')
  const body = await readBody(request, isForm ? BODY_MOST : 0)
  if (!isForm || body === undefined) return undefined
  const fields = new Map<string, string>()
  for (const [key, value] of new URLSearchParams(body.toString('utf8'))) {
    if (fields.size >= FIELDS_MOST || fields.has(key)) return undefined
    fields.set(key, value)
  }
  return fields
}

/** Undefined for more than `most` bytes, and for a body that was cut off. A stream left by `for await` would be destroyed, and its socket with it. */
function readBody(request: IncomingMessage, most: number): Promise<Buffer | undefined> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = []
    let size = 0
    let patience: NodeJS.Timeout | undefined
    const done = (body: Buffer | undefined): void => {
      clearTimeout(patience)
      resolve(body)
    }
    request.on('data', (chunk: Buffer) => {
      size += chunk.length
      if (size <= most) {
        chunks.push(chunk)
        return
      }
      chunks.length = 0
      // Mostly its end is on its way; who goes on and on, or stops, is answered and cut off.
      if (patience) patience.refresh()
      else patience = setTimeout(() => done(undefined), THROWN_AWAY_MS)
      if (size > most + THROWN_AWAY_MOST) done(undefined)
    })
    request.once('end', () => done(size <= most ? Buffer.concat(chunks) : undefined))
    request.once('close', () => done(undefined))
    request.on('error', () => done(undefined))
  })
}
