/** The other end of the wire: a scanner with its habits and faults as switches, over TCP, a serial line or a keyboard device. */
import { closeSync, constants, openSync, readFileSync, writeSync } from 'node:fs'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { maskPayCode, payChannel } from './protocol/pay.ts'
import { articleNumber, type SimulatedCode, shopCodes } from './simulator/codes.ts'
import { ENTER, stroke, typed } from './simulator/keyboard.ts'
import { type Behaviour, type Options, readOptions, USAGE } from './simulator/options.ts'

export type { Behaviour }

const USUAL: Behaviour = {
  prefix: '',
  suffix: '\r\n',
  aim: false,
  layout: 'us',
  split: 0,
  double: false,
  silent: false,
  cut: 0,
  keep: true,
}

/** Writes kept while nobody is connected, at most. */
const KEEP_MOST = 100_000

interface Wire {
  write(bytes: Buffer): void
  close(): Promise<void>
}

export class ScannerSimulator {
  readonly behaviour: Behaviour
  /** What the gateway has sent: beeps. */
  readonly heard: Buffer[] = []
  readonly #sockets = new Set<Socket>()
  #server: Server | undefined
  #address: { host: string; port: number } | undefined
  #wire: Wire | undefined
  #kept: Buffer[] = []

  constructor(behaviour: Partial<Behaviour> = {}) {
    this.behaviour = { ...USUAL, ...behaviour }
  }

  get connected(): boolean {
    return this.#sockets.size > 0 || this.#wire !== undefined
  }

  /** Listens as a serial server does; resolves with the port. */
  async listen(host = '127.0.0.1', port = 0): Promise<number> {
    const server = createServer((socket) => this.#accept(socket))
    await new Promise<void>((resolve, reject) => server.once('error', reject).listen(port, host, resolve))
    this.#server = server
    this.#address = { host, port: (server.address() as AddressInfo).port }
    return this.#address.port
  }

  /** Speaks on a serial line, e.g. one end of a pseudo-terminal pair. */
  async openSerial(path: string, baudRate = 9_600): Promise<void> {
    const { SerialPort } = await import('serialport')
    const port = new SerialPort({ path, baudRate, autoOpen: false, lock: false })
    await new Promise<void>((resolve, reject) => port.open((error) => (error ? reject(error) : resolve())))
    port.on('data', (bytes: Buffer) => this.heard.push(bytes))
    port.on('error', () => {})
    this.#attach({
      write: (bytes) => void port.write(bytes),
      close: () => new Promise((resolve) => (port.isOpen ? port.drain(() => port.close(() => resolve())) : resolve())),
    })
  }

  /** Types into an input device's stand-in: a FIFO. */
  openHid(path: string): void {
    // Read-write, so that neither end waits for the other.
    const fd = openSync(path, constants.O_RDWR)
    this.#attach({ write: (bytes) => void writeSync(fd, bytes), close: async () => closeSync(fd) }, true)
  }

  /** Pulls the trigger over a symbol. */
  scan(code: string | SimulatedCode): void {
    const { behaviour } = this
    if (behaviour.silent) return
    const { text, aim } = typeof code === 'string' ? { text: code, aim: '' } : code
    const content = `${behaviour.aim ? aim : ''}${text}`
    const bytes = this.#keyboard
      ? Buffer.concat([typed(content, behaviour.layout), stroke(ENTER)])
      : Buffer.from(`${behaviour.prefix}${content}${behaviour.suffix}`, 'utf8')
    const sent = behaviour.cut > 0 ? bytes.subarray(0, Math.max(0, bytes.length - behaviour.cut)) : bytes
    for (let times = behaviour.double ? 2 : 1; times > 0; times--) this.send(sent)
  }

  /** Puts bytes on the line as they are. */
  send(bytes: Buffer): void {
    const step = this.behaviour.split > 0 ? this.behaviour.split : bytes.length
    for (let at = 0; at < bytes.length; at += step) this.#write(bytes.subarray(at, at + step))
  }

  /** Random bytes: a wrong baud rate, a broken cable. */
  garbage(count: number, seed = 1): void {
    const bytes = Buffer.alloc(count)
    let state = seed
    for (let at = 0; at < count; at++) {
      state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
      bytes[at] = state >>> 16
    }
    this.send(bytes)
  }

  /** The network goes: connections break, nobody listens. */
  async unplug(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    const server = this.#server
    this.#server = undefined
    if (server) await new Promise((resolve) => server.close(resolve))
    await this.#wire?.close()
    this.#wire = undefined
  }

  /** Listens again where it did. */
  async plug(): Promise<void> {
    if (this.#address) await this.listen(this.#address.host, this.#address.port)
  }

  stop(): Promise<void> {
    return this.unplug()
  }

  #keyboard = false

  #attach(wire: Wire, keyboard = false): void {
    this.#wire = wire
    this.#keyboard = keyboard
    this.#flush()
  }

  #accept(socket: Socket): void {
    socket.setNoDelay(true)
    this.#sockets.add(socket)
    const gone = (): void => {
      this.#sockets.delete(socket)
    }
    socket
      .on('data', (bytes) => this.heard.push(bytes))
      .on('end', gone)
      .on('close', gone)
      .on('error', gone)
    this.#flush()
  }

  #flush(): void {
    for (const bytes of this.#kept.splice(0)) this.#write(bytes)
  }

  #write(bytes: Buffer): void {
    if (this.#wire) this.#wire.write(bytes)
    else if (this.#sockets.size > 0) for (const socket of this.#sockets) socket.write(bytes)
    else if (this.behaviour.keep && this.#kept.length < KEEP_MOST) this.#kept.push(Buffer.from(bytes))
  }
}

/**
 * `shopwire sim scanner …`. Resolves with the exit code when `signal` aborts, or when `--count` codes have been sent; 2 for wrong
 * usage.
 */
export default async function simulate(args: string[], out: (line: string) => void, signal: AbortSignal): Promise<number> {
  const options = readOptions(args)
  if (!options) {
    out(USAGE)
    return 2
  }
  const scanner = new ScannerSimulator(options.behaviour)
  const where = await openAs(scanner, options)
  out(`scanner simulator on ${where}`)
  try {
    await (options.rate > 0 ? load(scanner, options, signal) : shop(scanner, options, out, signal))
  } finally {
    await scanner.stop()
  }
  return 0
}

async function openAs(scanner: ScannerSimulator, options: Options): Promise<string> {
  if (options.serial !== undefined) {
    await scanner.openSerial(options.serial)
    return options.serial
  }
  if (options.hid !== undefined) {
    scanner.openHid(options.hid)
    return `hid:${options.hid}`
  }
  const [host = '127.0.0.1', port = '4001'] = (options.listen ?? '127.0.0.1:4001').split(/:(?=\d+$)/)
  return `tcp://${host}:${await scanner.listen(host, Number(port))}`
}

async function shop(scanner: ScannerSimulator, options: Options, out: (line: string) => void, signal: AbortSignal): Promise<void> {
  const codes = options.codes === undefined ? shopCodes(options.scene, options.seed) : listed(options.codes)
  for (let sent = 1; sent <= options.count; sent++) {
    if (!(await pause(options.everyMs, signal))) return
    const code = codes.next().value
    if (!code) return
    // Nobody there: a scan would be lost, or come in a flood later.
    if (!scanner.connected) {
      sent -= 1
      continue
    }
    if (options.garbage > 0 && sent % options.garbage === 0) scanner.garbage(64, sent)
    scanner.scan(code)
    out(`${code.kind} ${payChannel(code.text) ? maskPayCode(code.text) : code.text}`)
  }
}

/** Distinct codes at a rate, sent in small bursts. */
async function load(scanner: ScannerSimulator, options: Options, signal: AbortSignal): Promise<void> {
  scanner.behaviour.keep = false
  const began = performance.now()
  let sent = 0
  while (sent < options.count && (await pause(10, signal))) {
    const due = Math.min(options.count, Math.floor(((performance.now() - began) / 1_000) * options.rate))
    let burst = ''
    for (; sent < due; sent++) burst += `${articleNumber(sent)}${scanner.behaviour.suffix}`
    if (burst !== '') scanner.send(Buffer.from(burst))
  }
}

/** False when `signal` has ended it. */
function pause(ms: number, signal: AbortSignal): Promise<boolean> {
  return sleep(ms, true, { signal }).catch(() => false)
}

/** A file of codes, one a line, over and over. */
function* listed(file: string): Generator<SimulatedCode, undefined> {
  const lines = readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line.trim() !== '')
  while (lines.length > 0) for (const text of lines) yield { text, aim: '', kind: 'unknown' }
  return undefined
}
