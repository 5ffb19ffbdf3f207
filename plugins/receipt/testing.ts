/** A real-TCP printer, the plugin before it, and tills, for the tests of this folder. */
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import type { Test } from 'tap'
import type { Json, JsonObject } from '../../daemon/contract/json.ts'
import type { Clock, StartPlugin } from '../../daemon/contract/plugin.ts'
import { freePort } from '../../daemon/testing/free-port.ts'
import { PluginHarness } from '../../daemon/testing/plugin-harness.ts'
import start from './plugin.ts'
import { TillSimulator } from './simulator.ts'

/** Keeps every byte it gets, one job a connection, answers `DLE EOT`; one client at a time, as port 9100 does. */
export class BytePrinter {
  readonly jobs: Buffer[][] = []
  /** Answers `DLE EOT`. */
  answers = true
  /** Does not read. */
  deaf = false
  /** Takes a job whole and resets the line in place of an end. */
  resets = false
  /** A second client is reset, as many printers do. */
  clients = 0
  mostClients = 0
  port = 0
  received = 0
  /** Keeps the bytes; off for streams that are only counted. */
  keep = true
  #server: Server | undefined
  readonly #sockets = new Set<Socket>()

  async listen(port = this.port): Promise<this> {
    const server = createServer({ allowHalfOpen: true }, (socket) => this.#client(socket)).listen(port, '127.0.0.1')
    await new Promise<void>((resolve, reject) => server.once('listening', resolve).once('error', reject))
    this.#server = server
    this.port = (server.address() as AddressInfo).port
    return this
  }

  /** What job `index` sent. */
  job(index: number): Buffer {
    return Buffer.concat(this.jobs[index] ?? [])
  }

  get all(): Buffer {
    return Buffer.concat(this.jobs.flat())
  }

  say(bytes: number[]): void {
    for (const socket of this.#sockets) socket.write(Buffer.from(bytes))
  }

  hear(): void {
    this.deaf = false
    for (const socket of this.#sockets) socket.resume()
  }

  async off(): Promise<void> {
    const server = this.#server
    this.#server = undefined
    for (const socket of this.#sockets) {
      if (socket.readableEnded || socket.writableEnded) socket.destroy()
      else socket.resetAndDestroy()
    }
    if (server) await new Promise<void>((resolve) => server.close(() => resolve()))
  }

  #client(socket: Socket): void {
    socket.on('error', () => {})
    if (this.clients > 0) {
      socket.resetAndDestroy()
      return
    }
    const job: Buffer[] = []
    this.jobs.push(job)
    this.clients += 1
    this.mostClients = Math.max(this.mostClients, this.clients)
    this.#sockets.add(socket)
    if (this.deaf) socket.pause()
    socket.on('data', (bytes: Buffer) => {
      this.received += bytes.length
      if (this.keep) job.push(bytes)
      if (this.answers && bytes.includes(Buffer.from([0x10, 0x04]))) socket.write(Buffer.from([0x12]))
    })
    if (this.deaf) socket.pause()
    socket.once('end', () => {
      if (this.resets) socket.resetAndDestroy()
      else socket.end()
    })
    socket.once('close', () => {
      this.clients -= 1
      this.#sockets.delete(socket)
    })
  }
}

export interface Counter {
  printer: BytePrinter
  shop: PluginHarness
  till: (options?: { split?: number }) => TillSimulator
  captured: () => JsonObject[]
  /** Durable keys, for a restart. */
  store: Map<string, Json>
}

export interface CounterOptions {
  device?: JsonObject
  shared?: JsonObject
  store?: Map<string, Json>
  printer?: BytePrinter
  listen?: string
  clock?: Clock
}

export const MARKET_TEMPLATE: JsonObject = {
  from: ['品名'],
  item: ['{name} {qty} {price} {amount}'],
  total: ['合计 {amount}'],
  order: ['单号:{order}'],
  payment: { wechat: ['微信支付'], cash: ['现金'] },
}

export async function counter(t: Test, options: CounterOptions = {}): Promise<Counter> {
  const printer = options.printer ?? (await new BytePrinter().listen())
  const store = options.store ?? new Map<string, Json>()
  const launch = (port: number) =>
    PluginHarness.start({
      start: start as unknown as StartPlugin,
      manifestUrl: new URL('./', import.meta.url),
      store,
      ...(options.clock ? { clock: options.clock } : {}),
      config: {
        devices: { 'till-1': { listen: `127.0.0.1:${port}`, printer: `tcp://127.0.0.1:${printer.port}`, ...options.device } },
        ...options.shared,
      },
    })
  let port = options.listen === undefined ? await freePort() : Number(options.listen.split(':')[1])
  let shop = await launch(port)
  // A port that was free a moment ago may be somebody else's by now.
  while (options.listen === undefined && shop.logs.some(({ fields }) => fields.code === 'port-taken')) {
    await shop.stop()
    port = await freePort()
    shop = await launch(port)
  }
  const tills: TillSimulator[] = []
  t.teardown(async () => {
    for (const till of tills) till.cut()
    await shop.stop()
    await printer.off()
  })
  return {
    printer,
    shop,
    store,
    till: ({ split = 0 } = {}) => {
      const till = new TillSimulator({ host: '127.0.0.1', port, split })
      tills.push(till)
      return till
    },
    captured: () => shop.events.filter(({ event }) => event === 'captured').map(({ data }) => data),
  }
}

/** Prints one job over a connection of its own. */
export async function printJob(till: TillSimulator, bytes: Buffer): Promise<void> {
  await till.connect()
  await till.print(bytes)
  await till.end()
}
