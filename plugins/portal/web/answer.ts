/** How answers are written. */
import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http'
import type { Page } from '../pages/pages.ts'

const BODY_MOST = 4 * 1024
const FIELDS_MOST = 16

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

/** A form's fields; undefined for what is no small urlencoded form. */
export async function readForm(request: IncomingMessage): Promise<Map<string, string> | undefined> {
  const type = request.headers['content-type'] ?? ''
  if (!/^application\/x-www-form-urlencoded\b/i.test(type)) return undefined
  if (Number(request.headers['content-length'] ?? 0) > BODY_MOST) return undefined
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > BODY_MOST) return undefined
    chunks.push(chunk)
  }
  const fields = new Map<string, string>()
  for (const [key, value] of new URLSearchParams(Buffer.concat(chunks).toString('utf8'))) {
    if (fields.size >= FIELDS_MOST || fields.has(key)) return undefined
    fields.set(key, value)
  }
  return fields
}
