/**
 * The guests' listener. It faces everybody in radio range: small limits everywhere, and nobody who holds connections open keeps another out.
 */
import { readFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { Socket } from 'node:net'
import { Failure } from '../../../daemon/contract/errors.ts'

/** A phone opens six connections at most to one host; a few apps probe beside it. */
const CONNECTIONS_EACH = 32
/** All together, below what the daemon's unit lets a process hold open (LimitNOFILE=8192). */
const CONNECTIONS_MOST = 4_000
/** A request's head must be here within. */
const HEAD_MS = 5_000
/** And its body within. */
const REQUEST_MS = 10_000
/** Until the certificate has been talked about. */
const HANDSHAKE_MS = 5_000
/** Without a byte in either direction: who does not read what it asked for is not waited for. Longer than a network takes to let somebody out. */
const STALLED_MS = 30_000
/** Between two requests of one connection. */
const KEEP_ALIVE_MS = 4_000
const HEAD_BYTES = 8 * 1024

export type Answer = (request: IncomingMessage, response: ServerResponse, address: string) => Promise<void>

export interface ServerOptions {
  address: string
  port: number
  tls?: { certFile: string; keyFile: string }
  /** A connection is there; of TLS, the one below it. */
  opened?(socket: Socket): void
  /** Shorter ones for tests. */
  handshakeMs?: number
  stalledMs?: number
}

export class GuestServer {
  readonly #options: ServerOptions
  readonly #answer: Answer
  readonly #failed: (error: unknown) => void
  #server: Server | undefined
  /** Oldest first: those that have not sent a whole request yet stand before those that were just answered. */
  readonly #open = new Set<Socket>()
  readonly #each = new Map<string, number>()
  refused = 0

  constructor(options: ServerOptions, answer: Answer, failed: (error: unknown) => void) {
    this.#options = options
    this.#answer = answer
    this.#failed = failed
  }

  get connections(): number {
    return this.#open.size
  }

  /** Resolves with the port. Rejects with `port-taken`, or with `network-denied` where the right to a low port is missing. */
  async listen(): Promise<number> {
    const { address, port, tls, handshakeMs = HANDSHAKE_MS, stalledMs = STALLED_MS } = this.#options
    const limits = {
      maxHeaderSize: HEAD_BYTES,
      headersTimeout: HEAD_MS,
      requestTimeout: REQUEST_MS,
      keepAliveTimeout: KEEP_ALIVE_MS,
      connectionsCheckingInterval: 1_000,
      // A request without Host gets the portal's address like any other.
      requireHostHeader: false,
      noDelay: true,
    }
    const server = tls ? createTlsServer({ ...limits, ...pair(tls), handshakeTimeout: handshakeMs }) : createServer(limits)
    server.maxHeadersCount = 64
    server.timeout = stalledMs
    server.maxRequestsPerSocket = 100
    server.on('connection', (socket) => this.#connected(socket))
    server.on('request', (request, response) => this.#handle(request, response))
    server.on('clientError', refuse)
    server.on('upgrade', (_request, socket) => socket.destroy())
    server.on('connect', (_request, socket) => socket.destroy())
    server.on('checkContinue', (request, response) => this.#handle(request, response))
    this.#server = server
    await new Promise<void>((resolve, reject) => {
      server.once('error', (error: NodeJS.ErrnoException) => reject(cannotListen(error, address, port)))
      server.listen({ host: address, port, backlog: 1_024 }, resolve)
    })
    const bound = server.address()
    return typeof bound === 'object' && bound ? bound.port : port
  }

  async close(): Promise<void> {
    const server = this.#server
    if (!server) return
    this.#server = undefined
    const closed = new Promise((resolve) => server.close(resolve))
    for (const socket of this.#open) socket.destroy()
    await closed
  }

  #connected(socket: Socket): void {
    const address = socket.remoteAddress ?? ''
    const mine = (this.#each.get(address) ?? 0) + 1
    socket.on('error', () => socket.destroy())
    if (mine > CONNECTIONS_EACH) {
      this.refused += 1
      socket.resetAndDestroy()
      return
    }
    if (this.#open.size >= CONNECTIONS_MOST) {
      // Whoever has been waiting longest without a word makes room.
      const [oldest] = this.#open
      if (oldest) {
        this.refused += 1
        this.#gone(oldest)
        oldest.resetAndDestroy()
      }
    }
    this.#each.set(address, mine)
    this.#open.add(socket)
    this.#options.opened?.(socket)
    // 'connection' of a TLS server has the raw socket; what is counted is the same.
    socket.once('close', () => this.#gone(socket, address))
  }

  #gone(socket: Socket, address = socket.remoteAddress ?? ''): void {
    if (!this.#open.delete(socket)) return
    const left = (this.#each.get(address) ?? 1) - 1
    if (left > 0) this.#each.set(address, left)
    else this.#each.delete(address)
  }

  #handle(request: IncomingMessage, response: ServerResponse): void {
    const { socket } = request
    if (this.#open.delete(socket)) this.#open.add(socket)
    const address = (socket.remoteAddress ?? '').replace(/^::ffff:/, '')
    response.on('error', () => socket.destroy())
    this.#answer(request, response, address).catch((error: unknown) => {
      this.#failed(error)
      if (response.headersSent) socket.destroy()
      else response.writeHead(500, { 'content-length': '0', connection: 'close' }).end()
    })
  }
}

function pair({ certFile, keyFile }: { certFile: string; keyFile: string }): { cert: Buffer; key: Buffer } {
  try {
    return { cert: readFileSync(certFile), key: readFileSync(keyFile) }
  } catch (error) {
    throw new Failure('secret-unreadable', `plugins.portal.https: ${(error as Error).message}`)
  }
}

function cannotListen(error: NodeJS.ErrnoException, address: string, port: number): Failure {
  if (error.code === 'EACCES')
    return new Failure('network-denied', `port ${port} needs CAP_NET_BIND_SERVICE; give it in the systemd unit or choose a port above 1023`)
  if (error.code === 'EADDRNOTAVAIL')
    return new Failure('config-invalid', `plugins.portal.listen.address: ${address} is no address of this machine`)
  return new Failure('port-taken', `another program listens on ${address}:${port}; change plugins.portal.listen`)
}

/** What cannot be parsed gets one clear line, once, and the connection is over. */
function refuse(error: NodeJS.ErrnoException, socket: import('node:stream').Duplex): void {
  // A handshake that failed leaves nothing to answer on: what is written waits for it, and the socket with it.
  const isHttp = error.code?.startsWith('HPE_') || error.code?.startsWith('ERR_HTTP_')
  if (!isHttp || !socket.writable) {
    socket.destroy()
    return
  }
  const status =
    error.code === 'HPE_HEADER_OVERFLOW'
      ? '431 Request Header Fields Too Large'
      : error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
        ? '408 Request Timeout'
        : '400 Bad Request'
  socket.end(`HTTP/1.1 ${status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`, () => socket.destroy())
}
