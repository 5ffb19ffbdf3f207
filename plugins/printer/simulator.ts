/** The other end of the wire: a receipt printer with a roll, a cover, a cutter, a drawer and a buffer, over TCP or a serial line. */
import { mkdir, writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import type { Encoding } from './config.ts'
import { Paper, type Piece, type Row } from './paper/paper.ts'
import { renderSvg } from './paper/render-svg.ts'
import { renderText } from './paper/render-text.ts'
import { EscposParser, type Op } from './protocol/escpos-parse.ts'
import { systemTime, type Time } from './simulator-time.ts'
import { openFile } from './transports/file.ts'

export interface SimulatorOptions {
  encoding?: Encoding
  /** Characters in a line. */
  width?: number
  /** Lines of text a second; a real one does about 40 (150 mm/s). Infinity unless told. */
  linesPerSecond?: number
  /** Receive buffer; once full nothing is read from the line. */
  bufferBytes?: number
  /** What a second TCP client meets: a reset, or nobody who listens until the first has gone. */
  second?: 'refuse' | 'wait'
  time?: Time
}

/** Switches; each may be changed at any time. Call `changed()` after, so that the printer notices (and tells, with ASB on). */
export interface Faults {
  coverOpen: boolean
  /** Rows of text until the roll is at its end; Infinity for a full one. */
  paperRows: number
  paperLow: boolean
  cutterJam: boolean
  /** Prints, and answers nothing at all. */
  mute: boolean
  /** Answers `DLE EOT`, knows no `GS r`. */
  noMarks: boolean
  /** Answers every question with this byte. */
  garbage: number | undefined
  /** Takes bytes and does nothing with them, and answers nothing. */
  hang: boolean
  /** Does not read the line. */
  deaf: boolean
  /** The line breaks after so many more bytes; what came before is printed. */
  cutLineAfter: number
  /** The power fails after so many more bytes; what was not printed is gone. */
  dieAfter: number
}

export const SOUND: Faults = {
  coverOpen: false,
  paperRows: Number.POSITIVE_INFINITY,
  paperLow: false,
  cutterJam: false,
  mute: false,
  noMarks: false,
  garbage: undefined,
  hang: false,
  deaf: false,
  cutLineAfter: Number.POSITIVE_INFINITY,
  dieAfter: Number.POSITIVE_INFINITY,
}

interface Peer {
  send(bytes: Uint8Array): void
  cut(): void
  pause(paused: boolean): void
}

const LINE_DOTS = 24

export class PrinterSimulator {
  readonly faults: Faults = { ...SOUND }
  /** Drawer kicks so far. */
  kicks = 0
  /** Bytes received so far, and connections taken. */
  received = 0
  connections = 0
  readonly #options: Required<SimulatorOptions>
  #paper: Paper
  #parser = new EscposParser()
  #server: Server | undefined
  readonly #sockets = new Set<Socket>()
  #peer: Peer | undefined
  #waiting: Socket[] = []
  #todo: Buffer[] = []
  #ops: Op[] = []
  #todoBytes = 0
  #tail: number[] = []
  #working = false
  #asb = 0
  #told = ''
  #port = 0
  #closeFile: (() => Promise<void>) | undefined
  #onPiece: (piece: Piece) => void = () => {}

  constructor(options: SimulatorOptions = {}) {
    this.#options = {
      encoding: 'gb18030',
      width: 48,
      linesPerSecond: Number.POSITIVE_INFINITY,
      bufferBytes: 4096,
      second: 'refuse',
      time: systemTime,
      ...options,
    }
    this.#paper = new Paper(this.#options.encoding, this.#options.width)
  }

  /** Takes port 0 for a free one; resolves with the one it listens on. */
  listen(port = 0, host = '127.0.0.1'): Promise<number> {
    const server = createServer((socket) => this.#client(socket))
    this.#server = server
    return new Promise((resolve, reject) => {
      server.once('error', reject)
      server.listen(port, host, () => {
        this.#port = (server.address() as AddressInfo).port
        resolve(this.#port)
      })
    })
  }

  /** One end of a pseudo-terminal or serial line. */
  async attach(path: string): Promise<void> {
    const { signal } = new AbortController()
    const port = await openFile(path, this.#options.time)({ data: (bytes) => this.#take(Buffer.from(bytes)), closed: () => {} }, signal)
    this.#peer = { send: (bytes) => void port.write(bytes).catch(() => {}), cut: () => void port.close(), pause: () => {} }
    this.#closeFile = () => port.close()
  }

  /** A client holds the line. */
  get busy(): boolean {
    return this.#peer !== undefined
  }

  get address(): string {
    return `tcp://127.0.0.1:${this.#port}`
  }

  /** All that came out, as text. */
  get text(): string {
    return renderText(this.#paper)
  }

  get svg(): string {
    return renderSvg(this.#paper)
  }

  /** Receipts that were cut off. */
  get receipts(): string[] {
    return this.#paper.pieces.map((piece) => renderText(this.#strip(piece)))
  }

  /** Told of each receipt as it is cut. */
  onReceipt(tell: (text: string, svg: string) => void): void {
    this.#onPiece = (piece) => {
      const strip = this.#strip(piece)
      tell(renderText(strip), renderSvg(strip))
    }
  }

  #strip(piece: Piece): Paper {
    const strip = new Paper(this.#options.encoding, this.#options.width)
    strip.pieces.push(piece)
    return strip
  }

  /** The line breaks now; what has arrived is printed. */
  cutLine(): void {
    const peer = this.#peer
    this.#peer = undefined
    peer?.cut()
  }

  /** A fault was switched: go on working if that is possible now, and tell. */
  changed(faults: Partial<Faults> = {}): void {
    Object.assign(this.faults, faults)
    this.#peer?.pause(this.#full)
    this.#tellChange()
    this.#work()
  }

  /** The switch at the back: line gone, buffer lost. */
  async powerOff(): Promise<void> {
    this.#todo = []
    this.#ops = []
    this.#todoBytes = 0
    this.#parser = new EscposParser()
    this.#asb = 0
    this.#peer = undefined
    this.#waiting = []
    for (const socket of this.#sockets) reset(socket)
    const server = this.#server
    if (server) await new Promise<void>((resolve) => server.close(() => resolve()))
    this.#server = undefined
  }

  async powerOn(): Promise<void> {
    await this.listen(this.#port)
  }

  async close(): Promise<void> {
    await this.powerOff()
    await this.#closeFile?.()
  }

  #client(socket: Socket): void {
    this.#sockets.add(socket)
    socket.on('error', () => {})
    socket.once('close', () => {
      this.#sockets.delete(socket)
      this.#waiting = this.#waiting.filter((one) => one !== socket)
      if (this.#peer === peer) {
        this.#peer = undefined
        const next = this.#waiting.shift()
        if (next) this.#serve(next, peerOn(next))
      }
    })
    const peer = peerOn(socket)
    if (!this.#peer) this.#serve(socket, peer)
    else if (this.#options.second === 'refuse') reset(socket)
    else this.#waiting.push(socket)
  }

  #serve(socket: Socket, peer: Peer): void {
    this.connections += 1
    this.#peer = peer
    socket.once('close', () => {
      if (this.#peer === peer) this.#peer = undefined
    })
    peer.pause(this.#full)
    socket.on('data', (bytes) => this.#take(bytes))
  }

  get #full(): boolean {
    return this.faults.deaf || this.#todoBytes >= this.#options.bufferBytes
  }

  #take(chunk: Buffer): void {
    const { faults } = this
    let bytes = chunk
    const limit = Math.min(faults.cutLineAfter, faults.dieAfter)
    const breaks = bytes.length >= limit
    if (breaks) bytes = bytes.subarray(0, limit)
    faults.cutLineAfter -= chunk.length
    faults.dieAfter -= chunk.length
    this.received += bytes.length
    this.#realtime(bytes)
    this.#todo.push(Buffer.from(bytes))
    this.#todoBytes += bytes.length
    if (breaks) {
      const died = faults.dieAfter <= 0
      Object.assign(faults, { cutLineAfter: Number.POSITIVE_INFINITY, dieAfter: Number.POSITIVE_INFINITY })
      if (died) {
        this.powerOff().catch(() => {})
        return
      }
      this.cutLine()
    }
    this.#peer?.pause(this.#full)
    this.#work()
  }

  /** Real-time commands act when they arrive, even inside the data of others. */
  #realtime(bytes: Buffer): void {
    for (const byte of bytes) {
      this.#tail = [...this.#tail.slice(-9), byte]
      const [a, b, n] = this.#tail.slice(-3)
      if (a === 0x10 && b === 0x04 && n !== undefined && n >= 1 && n <= 4) this.#answer(this.#statusByte(n))
      if (this.#tail.slice(-5, -2).join() === '16,20,1') this.kicks += 1
      if (this.#tail.join() === '16,20,8,1,3,20,1,6,2,8') {
        this.#todo = []
        this.#ops = []
        this.#todoBytes = 0
        this.#parser = new EscposParser()
        this.#send([0x37, 0x25, 0x00])
      }
    }
  }

  #answer(byte: number): void {
    if (!this.faults.hang) this.#send([this.faults.garbage ?? byte])
  }

  #send(bytes: number[]): void {
    if (!this.faults.mute && !this.faults.hang) this.#peer?.send(Buffer.from(bytes))
  }

  get #paperOut(): boolean {
    return this.faults.paperRows <= 0
  }

  get #online(): boolean {
    return !this.faults.coverOpen && !this.#paperOut && !this.faults.cutterJam
  }

  #statusByte(n: number): number {
    const { coverOpen, cutterJam, paperLow } = this.faults
    switch (n) {
      case 1:
        return 0x12 | (this.#online ? 0 : 0x08)
      case 2:
        return 0x12 | (coverOpen ? 0x04 : 0) | (this.#paperOut ? 0x20 : 0) | (cutterJam ? 0x40 : 0)
      case 3:
        return 0x12 | (cutterJam ? 0x08 : 0)
      default:
        return 0x12 | (paperLow || this.#paperOut ? 0x0c : 0) | (this.#paperOut ? 0x60 : 0)
    }
  }

  /** Automatic Status Back: four bytes whenever one of the watched things has changed. */
  #tellChange(): void {
    const { coverOpen, cutterJam, paperLow } = this.faults
    const bytes = [
      0x10 | (this.#online ? 0 : 0x08) | (coverOpen ? 0x20 : 0),
      cutterJam ? 0x08 : 0,
      (paperLow || this.#paperOut ? 0x03 : 0) | (this.#paperOut ? 0x0c : 0),
      0x0f,
    ]
    if (this.#asb !== 0 && this.#told !== bytes.join()) this.#send(bytes)
    this.#told = bytes.join()
  }

  #work(): void {
    if (this.#working) return
    this.#working = true
    const rest = () => {
      this.#working = false
    }
    this.#run().then(rest, rest)
  }

  async #run(): Promise<void> {
    while (this.#online && !this.faults.hang) {
      const op = this.#ops.shift()
      if (op) {
        await this.#perform(op)
        continue
      }
      const chunk = this.#todo.shift()
      if (!chunk) return
      this.#todoBytes -= chunk.length
      this.#ops.push(...this.#parser.feed(chunk))
      this.#peer?.pause(this.#full)
    }
  }

  async #perform(op: Op): Promise<void> {
    if (op.op === 'ask') {
      if (!this.faults.noMarks) this.#answer(this.faults.paperLow ? 0x03 : 0x00)
      return
    }
    if (op.op === 'asb') {
      this.#asb = op.n
      this.#told = ''
      if (op.n !== 0) this.#tellChange()
      return
    }
    if (op.op === 'pulse') this.kicks += 1
    const cuts = this.#paper.pieces.length
    for (const row of this.#paper.apply(op)) await this.#advance(row)
    const piece = this.#paper.pieces[cuts]
    if (piece) this.#onPiece(piece)
  }

  async #advance(row: Row): Promise<void> {
    const lines = row.height / LINE_DOTS
    if (Number.isFinite(this.#options.linesPerSecond)) await this.#options.time.sleep((lines / this.#options.linesPerSecond) * 1_000)
    this.faults.paperRows -= 1
    if (this.#paperOut) this.#tellChange()
  }
}

/**
 * RST, as a printer that is switched off answers. Not for a socket that is shutting down: libuv refuses that
 * (uv_tcp_close_reset(3): UV_EINVAL), Node 20 never frees the handle, and the process spins at its end.
 */
function reset(socket: Socket): void {
  if (socket.readableEnded || socket.writableEnded) socket.destroy()
  else socket.resetAndDestroy()
}

function peerOn(socket: Socket): Peer {
  return {
    send: (bytes) => {
      if (socket.writable) socket.write(bytes)
    },
    cut: () => reset(socket),
    pause: (paused) => {
      if (paused) socket.pause()
      else socket.resume()
    },
  }
}

const USAGE = `printer [--listen HOST:PORT] [--path TTY] [--width N] [--encoding NAME] [--speed LINES_PER_SECOND]
        [--paper-out-after ROWS] [--cover-open] [--mute] [--no-marks] [--svg DIR] [--text]
`

/** `shopwire sim printer …`: runs until the signal; resolves with the exit code. */
export default async function simulate(args: string[], out: (text: string) => void, signal: AbortSignal): Promise<number> {
  let values: Record<string, string | boolean | undefined>
  try {
    values = parseArgs({
      args,
      options: {
        listen: { type: 'string' },
        path: { type: 'string' },
        width: { type: 'string', default: '48' },
        encoding: { type: 'string', default: 'gb18030' },
        speed: { type: 'string', default: '40' },
        'paper-out-after': { type: 'string' },
        'cover-open': { type: 'boolean' },
        mute: { type: 'boolean' },
        'no-marks': { type: 'boolean' },
        svg: { type: 'string' },
        text: { type: 'boolean' },
      },
    }).values
  } catch (error) {
    out(`${error instanceof Error ? error.message : String(error)}\n${USAGE}`)
    return 2
  }
  const printer = new PrinterSimulator({
    width: Number(values.width),
    encoding: values.encoding as Encoding,
    linesPerSecond: Number(values.speed) > 0 ? Number(values.speed) : Number.POSITIVE_INFINITY,
  })
  printer.changed({
    paperRows: values['paper-out-after'] === undefined ? Number.POSITIVE_INFINITY : Number(values['paper-out-after']),
    coverOpen: values['cover-open'] === true,
    mute: values.mute === true,
    noMarks: values['no-marks'] === true,
  })
  const dir = typeof values.svg === 'string' ? values.svg : undefined
  if (dir) await mkdir(dir, { recursive: true })
  let count = 0
  printer.onReceipt((text, svg) => {
    count += 1
    if (values.text === true || !dir) out(text)
    if (dir) {
      const file = join(dir, `receipt-${String(count).padStart(4, '0')}.svg`)
      writeFile(file, svg).then(
        () => out(`${file}\n`),
        (error: Error) => out(`${file}: ${error.message}\n`),
      )
    }
  })
  try {
    if (typeof values.path === 'string') {
      await printer.attach(values.path)
      out(`printer on ${values.path}\n`)
    } else {
      const [, host = '127.0.0.1', port = '9100'] =
        /^(.*):(\d+)$/.exec(typeof values.listen === 'string' ? values.listen : '127.0.0.1:9100') ?? []
      out(`printer listens on ${host}:${await printer.listen(Number(port), host)}\n`)
    }
  } catch (error) {
    out(`${error instanceof Error ? error.message : String(error)}\n`)
    return 1
  }
  await new Promise<void>((resolve) => {
    if (signal.aborted) return resolve()
    signal.addEventListener('abort', () => resolve(), { once: true })
  })
  await printer.close()
  return 0
}
