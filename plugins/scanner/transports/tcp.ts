/** Scanners behind a serial server, or with a network port of their own: we connect. */
import { connect, type Socket } from 'node:net'
import type { Clock } from '../../../daemon/contract/plugin.ts'
import { asPortFault, type OpenPort, PortFault, type PortSink, type Transport } from './transport.ts'

const CONNECT_MS = 5_000
/** Idle time before the kernel probes; Node asks every second from then on and gives up after ten (libuv uv__tcp_keepalive). */
const KEEPALIVE_MS = 5_000
/** How long the other side may take to send what it had under way when we say goodbye. */
const FINISH_MS = 1_000

export function tcpTransport(url: string): Transport {
  const { hostname, port } = new URL(url)
  const host = hostname.replace(/^\[|\]$/g, '')
  return {
    name: url,
    // The first tries are quick enough for a cable put back; a switched-off server is asked every half minute.
    retry: { waitsMs: [500, 1_000, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000], jitter: 0.2 },
    // Linux sends a lost segment again after 0.2 s at the soonest, then 0.4, 0.8, …: a gap is not yet a cut.
    cutMs: 3_000,
    writable: true,
    open: (sink, clock, signal) => openTcp(host, Number(port), sink, clock, signal),
  }
}

async function openTcp(host: string, port: number, sink: PortSink, clock: Clock, signal: AbortSignal): Promise<OpenPort> {
  const socket = await connected(host, port, clock, signal)
  const open = new TcpPort(socket, sink, clock)
  open.start()
  return open
}

function connected(host: string, port: number, clock: Clock, signal: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, allowHalfOpen: true, noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEPALIVE_MS })
    const settle = (): void => {
      cancel()
      signal.removeEventListener('abort', abort)
      socket.off('connect', done).off('error', fail)
    }
    const done = (): void => {
      settle()
      resolve(socket)
    }
    const fail = (error: Error): void => {
      settle()
      socket.on('error', () => {})
      socket.destroy()
      reject(asPortFault(error))
    }
    const abort = (): void => fail(new PortFault('disconnected', 'stopping'))
    const cancel = clock.patience(CONNECT_MS, () =>
      fail(new PortFault('unreachable', `no answer from ${host}:${port} in ${CONNECT_MS} ms`)),
    )
    socket.on('connect', done).on('error', fail)
    signal.addEventListener('abort', abort, { once: true })
    if (signal.aborted) abort()
  })
}

class TcpPort implements OpenPort {
  readonly #socket: Socket
  readonly #sink: PortSink
  readonly #clock: Clock
  #finishing = false
  #gone = false
  #whenGone: () => void = () => {}

  constructor(socket: Socket, sink: PortSink, clock: Clock) {
    this.#socket = socket
    this.#sink = sink
    this.#clock = clock
  }

  start(): void {
    this.#socket
      .on('data', (chunk) => this.#sink.data(chunk))
      .on('end', () => this.#lose(new PortFault('disconnected', 'the other side closed the connection')))
      .on('error', (error) => this.#lose(asPortFault(error)))
      .on('close', () => this.#lose(new PortFault('disconnected', 'the connection is closed')))
  }

  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    this.#socket.resume()
  }

  write(bytes: Buffer): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#gone) return reject(new PortFault('disconnected', 'the connection is closed'))
      this.#socket.write(bytes, (error) => (error ? reject(asPortFault(error)) : resolve()))
    })
  }

  /** Says that no more is wanted, and reads on until the other side has said the same: what it had sent by then is not lost. */
  async finish(): Promise<void> {
    this.#finishing = true
    if (!this.#gone) {
      const gone = new Promise<void>((resolve) => {
        this.#whenGone = resolve
      })
      this.#socket.resume()
      this.#socket.end()
      const cancel = this.#clock.patience(FINISH_MS, () => this.#whenGone())
      await gone
      cancel()
    }
    this.#gone = true
    this.#socket.destroy()
  }

  #lose(fault: PortFault): void {
    if (this.#gone) return
    this.#gone = true
    this.#whenGone()
    if (this.#finishing) return
    this.#socket.destroy()
    this.#sink.lost(fault)
  }
}
