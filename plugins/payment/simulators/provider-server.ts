/** What both simulated providers do the same way: HTTP, faults, the ledger. How they sign and word it is theirs. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { type Faults, type Op, sound, take } from './faults.ts'
import { ProviderLedger } from './ledger.ts'

export interface Reply {
  status: number
  headers: Record<string, string>
  body: string
}

export interface Incoming {
  method: string
  /** Path with query, as it stands in the request. */
  target: string
  headers: IncomingMessage['headers']
  body: string
}

/** One request, understood. `forge`: the answer is to be signed by a stranger. */
export interface Work {
  op: Op
  run: () => (forge: boolean) => Reply
  systemError: (forge: boolean) => Reply
  comeAgain: (forge: boolean) => Reply
}

export abstract class ProviderServer {
  faults: Faults = sound()
  readonly ledger: ProviderLedger
  /** Requests so far, by kind. */
  readonly seen: Record<Op, number> = { pay: 0, show: 0, query: 0, cancel: 0, refund: 0 }
  /** ms from a request's arrival to its answer, summed: the provider's own time. */
  busyMs = 0
  #server: Server | undefined
  #late: (() => void)[] = []
  #held: Work | undefined

  constructor(prefix: string) {
    this.ledger = new ProviderLedger(prefix)
  }

  /** Reads and checks a request; a `Reply` is a refusal at the door. */
  protected abstract understand(request: Incoming): Work | Reply

  /** The charge that is late arrives now. */
  arriveLate(): void {
    this.#held?.run()
  }

  now(): number {
    return Date.now() + this.faults.skewSeconds * 1_000
  }

  /** Takes port 0 for a free one; resolves with the one it listens on. */
  listen(port = 0, host = '127.0.0.1', tls?: { key: string; cert: string }): Promise<number> {
    const handle = (request: IncomingMessage, response: ServerResponse) => {
      this.#serve(request, response).catch(() => response.destroy())
    }
    const server = tls ? createSecureServer(tls, handle) : createServer(handle)
    server.keepAliveTimeout = 60_000
    this.#server = server
    return new Promise((resolve, reject) => {
      server.once('error', reject)
      server.listen(port, host, () => resolve((server.address() as AddressInfo).port))
    })
  }

  async close(): Promise<void> {
    for (const cancel of this.#late) cancel()
    const server = this.#server
    if (!server) return
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const arrived = performance.now()
    const incoming = {
      method: request.method ?? '',
      target: request.url ?? '',
      headers: request.headers,
      body: Buffer.concat(chunks).toString('utf8'),
    }
    const { faults } = this
    const work = this.understand(incoming)
    if (!('op' in work)) return send(response, work)
    const { op } = work
    this.seen[op] += 1
    if (faults.slowMs > 0) await wait(faults.slowMs)
    if (op === 'pay' && faults.latePayMs > 0) {
      this.#payLate(work, faults.latePayMs)
      return void request.socket.destroy()
    }
    if (take(faults.loseRequest, op)) return void request.socket.destroy()
    if (take(faults.badGateway, op)) return send(response, { status: 502, headers: { 'content-type': 'text/html' }, body: '<h1>502</h1>' })
    if (op === 'cancel' && faults.refuseCancel > 0) {
      faults.refuseCancel -= 1
      return send(response, work.comeAgain(false))
    }
    const answer = work.run()
    if (faults.slowAnswerMs > 0) await wait(faults.slowAnswerMs)
    if (take(faults.loseAnswer, op)) return void request.socket.destroy()
    if (take(faults.serverError, op)) return send(response, { status: 500, headers: {}, body: 'oops' })
    const reply = take(faults.systemError, op) ? work.systemError(false) : answer(take(faults.wrongSignature, op))
    this.busyMs += performance.now() - arrived
    if (take(faults.answerTwice, op)) return sendTwice(request, response, reply)
    send(response, reply)
  }

  #payLate(work: Work, ms: number): void {
    this.faults.latePayMs = 0
    this.#held = work
    if (ms === Number.POSITIVE_INFINITY) return
    const timer = setTimeout(() => work.run(), ms)
    this.#late.push(() => clearTimeout(timer))
  }
}

const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

function send(response: ServerResponse, { status, headers, body }: Reply): void {
  response.writeHead(status, { ...headers, 'content-length': String(Buffer.byteLength(body)) })
  response.end(body)
}

function sendTwice(request: IncomingMessage, response: ServerResponse, { status, headers, body }: Reply): void {
  const lines = Object.entries({ ...headers, 'content-length': String(Buffer.byteLength(body)) }).map(
    ([key, value]) => `${key}: ${value}\r\n`,
  )
  const text = `HTTP/1.1 ${status} OK\r\n${lines.join('')}\r\n${body}`
  response.detachSocket(request.socket)
  request.socket.end(text + text)
}
