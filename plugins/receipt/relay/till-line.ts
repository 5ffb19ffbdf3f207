/** One till's connection: its bytes to the printer while it has the turn, the printer's answers back, and what becomes of either end. */
import type { Socket } from 'node:net'
import type { Clock, Logger, MonoMs } from '../../../daemon/contract/plugin.ts'
import { LinkError, type LinkEvents, type PrinterLink } from '../printer/link.ts'
import type { Forward, ForwardParts } from './forward.ts'

export interface TillLineParts {
  clock: Clock
  log: Logger
  /** Silence that ends a receipt without a cut. */
  quietMs: number
  forward: (write: ForwardParts['write'], broken: ForwardParts['broken']) => Forward
  /** It had given way, and sends again. */
  spoke: () => void
  /** Its turn is over and the printer's line is free; `keeps`: the till is still there. */
  over: (keeps: boolean) => void
  /** The printer went away without a word. */
  lost: (failure: LinkError) => void
  /** It went away without having the turn. */
  gone: () => void
}

/** How long the first byte or two of what may be a cut wait for the rest. */
const HOLD_MS = 20
/** Answers that a till does not read. A real printer's line would fill up; ours must not. */
const UNREAD_MOST = 64 * 1024

export class TillLine {
  readonly #socket: Socket
  readonly #parts: TillLineParts
  readonly #forward: Forward
  #link: PrinterLink | undefined
  /** `waiting`: not read. `turn`: relayed. `parked`: between receipts, without the printer. `ending`: sees its printer line closed. */
  #phase: 'waiting' | 'turn' | 'parked' | 'ending' | 'over' = 'waiting'
  /** Sent while it had given way. */
  #early: Buffer[] = []
  #tillEnded = false
  #lastAt: MonoMs
  #cancelHold = (): void => {}
  #cancelQuiet = (): void => {}
  #finishing = false
  readonly fromPrinter: LinkEvents

  constructor(socket: Socket, parts: TillLineParts) {
    this.#socket = socket
    this.#parts = parts
    this.#lastAt = parts.clock.mono()
    this.#forward = parts.forward(
      (bytes) => this.#toPrinter(bytes),
      (error) =>
        parts.log.warn(
          { error: error instanceof Error ? error.message : String(error) },
          'a receipt cannot be read; it is printed all the same',
        ),
    )
    this.fromPrinter = {
      data: (bytes) => this.#answer(bytes),
      drained: () => {
        if (this.#phase === 'turn') this.#socket.resume()
      },
      closed: (failure) => this.#printerGone(failure),
    }
  }

  /** A till that is held back by a slow printer is not silent. */
  get silentMs(): number {
    return this.#socket.isPaused() ? 0 : this.#parts.clock.mono() - this.#lastAt
  }

  get between(): boolean {
    return this.#forward.between && this.#socket.readableLength === 0
  }

  get ended(): boolean {
    return this.#socket.destroyed
  }

  start(): void {
    this.#socket.on('data', (chunk: Buffer) => this.#data(chunk))
    this.#socket.on('end', () => this.#end())
    this.#socket.on('error', () => {})
    this.#socket.on('close', () => this.#end())
    // Listening for data has set it flowing, and it is not its turn yet.
    this.#socket.pause()
  }

  /** The printer's line is its own now. */
  begin(link: PrinterLink): void {
    this.#link = link
    this.#phase = 'turn'
    this.#lastAt = this.#parts.clock.mono()
    for (const chunk of this.#early.splice(0)) this.#take(chunk)
    if (this.#tillEnded || this.#socket.destroyed) this.#finish(false)
    else this.#socket.resume()
  }

  /** Gives way to others between two receipts. */
  park(): void {
    if (this.#phase === 'turn') this.#finish(true)
  }

  /** Ends the turn at the end of the receipt that is on its way. */
  finishSoon(): void {
    this.#finishing = true
    this.#finishIfBetween()
  }

  /** The till sees what it would see of a printer that went away. */
  reset(): void {
    const socket = this.#socket
    if (!socket.destroyed) {
      // libuv refuses a reset of a socket that is shutting down.
      if (socket.writableEnded) socket.destroy()
      else socket.resetAndDestroy()
    }
  }

  #data(chunk: Buffer): void {
    if (this.#phase === 'turn') this.#take(chunk)
    else if (this.#phase === 'parked') {
      this.#early.push(chunk)
      this.#socket.pause()
      this.#phase = 'waiting'
      this.#parts.spoke()
    } else if (this.#phase !== 'over') {
      this.#early.push(chunk)
      this.#socket.pause()
    }
  }

  #take(chunk: Buffer): void {
    this.#lastAt = this.#parts.clock.mono()
    this.#cancelHold()
    this.#forward.take(chunk)
    if (this.#forward.holding) this.#cancelHold = this.#parts.clock.timer(HOLD_MS, () => this.#forward.release())
    this.#armQuiet()
    this.#finishIfBetween()
  }

  #toPrinter(bytes: Buffer): void {
    if (this.#link?.write(bytes) === false) this.#socket.pause()
  }

  #answer(bytes: Buffer): void {
    this.#lastAt = this.#parts.clock.mono()
    if (this.#socket.writable && this.#socket.writableLength < UNREAD_MOST) this.#socket.write(bytes)
  }

  /** Looks once in a while instead of setting a timer for every chunk. */
  #armQuiet(ms = this.#parts.quietMs): void {
    this.#cancelQuiet()
    if (this.#forward.between) return
    this.#cancelQuiet = this.#parts.clock.timer(ms, () => {
      const left = this.#parts.quietMs - this.silentMs
      if (left > 0) this.#armQuiet(left)
      else this.#forward.quiet()
    })
  }

  #finishIfBetween(): void {
    if (this.#finishing && this.#phase === 'turn' && this.#forward.between && this.#early.length === 0) this.#finish(false)
  }

  /** The till ended its side, or is gone. */
  #end(): void {
    if (this.#tillEnded) return
    this.#tillEnded = true
    if (this.#phase === 'turn') this.#finish(false)
    else if (this.#phase === 'parked' || (this.#phase === 'waiting' && this.#early.length === 0 && this.#socket.destroyed)) {
      this.#phase = 'over'
      this.#socket.destroy()
      this.#parts.gone()
    }
  }

  /** What was forwarded goes out; then the line is free. */
  #finish(keeps: boolean): void {
    this.#phase = 'ending'
    this.#cancelHold()
    this.#cancelQuiet()
    if (!keeps || !this.#forward.between) this.#forward.closed()
    const link = this.#link
    this.#link = undefined
    if (keeps) this.#socket.resume()
    const done = () => this.#finished(keeps)
    if (link) link.end().then(done, (failure: unknown) => this.#unprinted(failure))
    else done()
  }

  #finished(keeps: boolean): void {
    if (!keeps || this.#socket.destroyed) {
      this.#phase = 'over'
      if (!this.#socket.destroyed) this.#socket.end(() => this.#socket.destroy())
      this.#parts.over(false)
      return
    }
    const spoke = this.#early.length > 0
    this.#phase = spoke ? 'waiting' : 'parked'
    if (!spoke && !this.#tillEnded) this.#socket.resume()
    this.#parts.over(true)
    if (spoke) this.#parts.spoke()
    else if (this.#tillEnded) {
      this.#phase = 'over'
      this.#socket.destroy()
      this.#parts.gone()
    }
  }

  /** Something of what it sent never reached the printer: the till must not take it for printed. */
  #unprinted(failure: unknown): void {
    this.#phase = 'over'
    this.reset()
    this.#lost(failure)
    this.#parts.over(false)
  }

  #lost(failure: unknown): void {
    if (failure instanceof LinkError) this.#parts.lost(failure)
  }

  /** The till must see it, too. */
  #printerGone(failure: Error | undefined): void {
    if (this.#phase !== 'turn') return
    this.#link = undefined
    this.#phase = 'over'
    this.#cancelHold()
    this.#cancelQuiet()
    this.#forward.closed()
    if (failure) this.reset()
    else {
      this.#socket.end()
      this.#socket.destroySoon()
    }
    this.#lost(failure)
    this.#parts.over(false)
  }
}
