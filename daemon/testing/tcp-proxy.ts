/** A TCP proxy that does what networks do: cut, stall, refuse, accept and drop at once. */
import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { freePort } from './free-port.ts'

export class TcpProxy {
  /** `drop`: accepts a connection and ends it at once. */
  mode: 'pass' | 'drop' = 'pass'
  /** Connections that were made to it. */
  connections = 0
  readonly #target: number
  readonly #server: Server
  readonly #pairs = new Set<{ near: Socket; far: Socket | undefined }>()
  /** Nobody else gets it while nothing listens on it. */
  readonly port: number
  #stalled = false

  private constructor(target: number, port: number) {
    this.#target = target
    this.port = port
    this.#server = createServer((near) => this.#accept(near))
  }

  /** In front of `target` on loopback. */
  static async open(target: number): Promise<TcpProxy> {
    const proxy = new TcpProxy(target, await freePort())
    await proxy.listen()
    return proxy
  }

  /** Takes connections (again, on the same port). */
  async listen(): Promise<void> {
    this.#server.listen(this.port, '127.0.0.1')
    await once(this.#server, 'listening')
  }

  /** Ends all connections. */
  cut(): void {
    for (const { near, far } of this.#pairs) {
      near.destroy()
      far?.destroy()
    }
  }

  /** Nothing listens any more. */
  async refuse(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve))
    this.cut()
    await closed
  }

  /** Bytes stop in both directions while the connections stay: a router that died without a word. */
  stall(): void {
    this.#stalled = true
    for (const { near, far } of this.#pairs) {
      near.pause()
      far?.pause()
    }
  }

  resume(): void {
    this.#stalled = false
    for (const { near, far } of this.#pairs) {
      near.resume()
      far?.resume()
    }
  }

  /** Forgets the shop's side only: the broker goes on believing in the connection. */
  abandon(): void {
    for (const { near, far } of this.#pairs) {
      far?.removeAllListeners('close')
      near.removeAllListeners('close')
      near.destroy()
    }
  }

  async close(): Promise<void> {
    await this.refuse()
  }

  #accept(near: Socket): void {
    this.connections += 1
    near.on('error', () => {})
    if (this.mode === 'drop') {
      near.destroy()
      return
    }
    const far = connect(this.#target, '127.0.0.1')
    far.on('error', () => {})
    const pair = { near, far }
    this.#pairs.add(pair)
    near.pipe(far)
    far.pipe(near)
    if (this.#stalled) this.stall()
    near.once('close', () => {
      far.destroy()
      this.#pairs.delete(pair)
    })
    far.once('close', () => near.destroy())
  }
}
