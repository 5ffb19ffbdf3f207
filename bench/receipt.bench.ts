/**
 * What the virtual printer costs a till: the same jobs straight to a printer and through the built gateway, in turn, on one machine.
 * `npx tsx bench/receipt.bench.ts` after `npm run build`; the printer and the till are this process, the gateway is its own.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from '../daemon/testing/free-port.ts'
import { simulatedReceipt } from '../plugins/receipt/simulator/receipts.ts'
import { MARKET_TEMPLATE } from '../plugins/receipt/testing.ts'
import { family, kill, median, percentile, pssMb, root, until } from './parts.ts'

const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 5)
const JOBS = Number(process.env.BENCH_JOBS ?? 300)
const MEGABYTES = 50
const ASK = Buffer.from([0x10, 0x04, 0x01])

/** Answers each `DLE EOT` that ends what it has read; says when so many bytes are there. */
class Printer {
  received = 0
  port = 0
  readonly #waiting: { bytes: number; done: () => void }[] = []
  #server: Server | undefined

  async open(): Promise<this> {
    this.#server = createServer((socket) => {
      socket.setNoDelay(true)
      socket.on('error', () => {})
      socket.on('data', (bytes: Buffer) => {
        this.received += bytes.length
        if (bytes.subarray(-3).equals(ASK)) socket.write(Buffer.from([0x12]))
        for (const one of this.#waiting.splice(0)) {
          if (this.received >= one.bytes) one.done()
          else this.#waiting.push(one)
        }
      })
    }).listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
    this.port = (this.#server.address() as AddressInfo).port
    return this
  }

  until(bytes: number): Promise<void> {
    return new Promise((done) => {
      if (this.received >= bytes) done()
      else this.#waiting.push({ bytes, done })
    })
  }

  close(): void {
    this.#server?.close()
  }
}

interface Route {
  name: string
  port: number
}

const dir = mkdtempSync(join(tmpdir(), 'shopwire-bench-'))
const printer = await new Printer().open()
const [plain, appending, http, lan] = [await freePort(), await freePort(), await freePort(), await freePort()]
const gateway = await startGateway()
const routes: Route[] = [
  { name: 'direct', port: printer.port },
  { name: 'gateway', port: plain },
  { name: 'gateway, appending', port: appending },
]
try {
  const status: Record<string, number[]> = {}
  const whole: Record<string, number[]> = {}
  const speed: Record<string, number[]> = {}
  let peak = 0
  for (const { port } of routes) await jobs(port, 50)
  const idle = gatewayMb()
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const { name, port } of routes) {
      const times = await jobs(port, JOBS)
      const { seconds, mb } = await stream(port)
      status[name] = [...(status[name] ?? []), ...times.status]
      whole[name] = [...(whole[name] ?? []), ...times.whole]
      speed[name] = [...(speed[name] ?? []), MEGABYTES / seconds]
      if (name !== 'direct') peak = Math.max(peak, mb)
    }
  }
  for (const times of [...Object.values(status), ...Object.values(whole)]) times.sort((a, b) => a - b)
  const ms = (values: number[] | undefined, part: number) => percentile(values ?? [], part).toFixed(2)
  for (const { name } of routes) {
    process.stdout.write(
      `${name.padEnd(20)} status asked and answered p50 ${ms(status[name], 50)} p99 ${ms(status[name], 99)} ms` +
        ` | connect, 2 KB receipt, answer p50 ${ms(whole[name], 50)} p99 ${ms(whole[name], 99)} ms | ${median(speed[name] ?? []).toFixed(0)} MB/s of raster\n`,
    )
  }
  const added = (values: Record<string, number[]>, name: string, part: number) =>
    percentile(values[name] ?? [], part) - percentile(values.direct ?? [], part)
  for (const name of ['gateway', 'gateway, appending'])
    process.stdout.write(
      `${name.padEnd(20)} adds p50 ${added(status, name, 50).toFixed(2)} p99 ${added(status, name, 99).toFixed(2)} ms to an answer (goal under 5),` +
        ` p50 ${added(whole, name, 50).toFixed(2)} p99 ${added(whole, name, 99).toFixed(2)} ms to a receipt\n`,
    )
  process.stdout.write(
    `memory of the plugin: ${idle.toFixed(1)} MB idle, ${peak.toFixed(1)} MB at most while ${MEGABYTES} MB of raster pass\n`,
  )
} finally {
  printer.close()
  await kill(gateway, 'SIGTERM')
  rmSync(dir, { recursive: true, force: true })
}

/** Each job: connect, a receipt with a question behind it, the answer, one more question and its answer, close. Milliseconds. */
async function jobs(port: number, count: number): Promise<{ status: number[]; whole: number[] }> {
  const times: { status: number[]; whole: number[] } = { status: [], whole: [] }
  for (let number = 0; number < count; number += 1) {
    const { bytes } = simulatedReceipt('market', number)
    const start = performance.now()
    const socket = await open(port)
    socket.write(Buffer.concat([bytes, ASK]))
    await once(socket, 'data')
    times.whole.push(performance.now() - start)
    const asked = performance.now()
    socket.write(ASK)
    await once(socket, 'data')
    times.status.push(performance.now() - asked)
    socket.end()
    await once(socket, 'close')
  }
  return times
}

async function stream(port: number): Promise<{ seconds: number; mb: number }> {
  const size = MEGABYTES * 1_048_576
  const head = Buffer.alloc(17)
  head.set([0x1d, 0x38, 0x4c])
  head.writeUInt32LE(size + 10, 3)
  head.set([0x30, 0x70, 0x30, 1, 1, 0x31, 0xff, 0xff, 0xff, 0xff], 7)
  const chunk = Buffer.alloc(262_144, 0x41)
  const until = printer.until(printer.received + head.length + size)
  const socket = await open(port)
  const start = performance.now()
  socket.write(head)
  let mb = 0
  for (let sent = 0; sent < size; sent += chunk.length) {
    if (!socket.write(chunk)) await once(socket, 'drain')
    if (sent % (chunk.length * 32) === 0 && port !== printer.port) mb = Math.max(mb, gatewayMb())
  }
  await until
  const seconds = (performance.now() - start) / 1_000
  socket.end()
  await once(socket, 'close')
  return { seconds, mb }
}

async function open(port: number): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true })
  await once(socket, 'connect')
  return socket
}

function gatewayMb(): number {
  const pids = family(gateway.pid ?? 0).filter((pid) => pid !== gateway.pid)
  return pids.reduce((sum, pid) => sum + pssMb(pid), 0)
}

async function startGateway(): Promise<ChildProcess> {
  const file = join(dir, 'shopwire.yaml')
  mkdirSync(join(dir, 'plugins'))
  const till = (port: number) => ({ listen: `127.0.0.1:${port}`, printer: `tcp://127.0.0.1:${printer.port}`, template: MARKET_TEMPLATE })
  writeFileSync(
    file,
    JSON.stringify({
      gateway: { id: 'bench-001', store: '1' },
      dataDir: join(dir, 'data'),
      http: { listen: `127.0.0.1:${http}` },
      lan: { listen: `127.0.0.1:${lan}` },
      pluginDirs: [join(dir, 'plugins')],
      discovery: { announce: false },
      log: { level: 'warn' },
      plugins: {
        receipt: { devices: { plain: till(plain), appending: { ...till(appending), append: { claim: { portal: 'wifi.shop.example' } } } } },
      },
    }),
  )
  const child = spawn(process.execPath, [join(root, 'dist/shopwire.cjs'), 'run', '--config', file], { stdio: 'inherit', detached: true })
  await until(async () => {
    const socket = await open(appending).catch(() => undefined)
    socket?.destroy()
    return socket !== undefined
  }, 'the virtual printer')
  return child
}
