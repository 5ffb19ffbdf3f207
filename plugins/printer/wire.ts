/** One open connection to a printer: questions with their answers, copies with their mark. */
import type { Clock } from '../../daemon/contract/plugin.ts'
import type { LineFault } from './jobs/print-state.ts'
import { ESCPOS } from './protocol/escpos.ts'
import { decodeStatus, type Paper, type Reply, ReplyReader, type StatusReport } from './protocol/status.ts'
import { type OpenPort, type Port, PortFault } from './transports/port.ts'

/** A printer answers `DLE EOT` within milliseconds; over a slow line or a busy print server it may take longer. */
const ANSWER_MS = 1_500
/** After an uncertain job the printer may still be printing the rest of it. */
const FENCE_MS = 2_500
/** A slow serial line carries about this many bytes of padding in a millisecond. */
const SLOWEST_BYTES_PER_MS = 1
const MOST_PADDING = 65_536
const QUIET_MS = 400

export interface WireEvents {
  unasked(report: StatusReport): void
  marked(paper: Paper): void
  closed(fault: LineFault): void
}

export class Wire {
  readonly #clock: Clock
  readonly #events: WireEvents
  readonly #reader = new ReplyReader()
  #port: Port | undefined
  #closed = false
  /** Set while an answer is awaited. */
  #onReply: ((reply: Reply) => void) | undefined
  /** Answers to `GS r` that belong to commands inside the job itself, before ours. */
  #foreignMarks = 0

  constructor(clock: Clock, events: WireEvents) {
    this.#clock = clock
    this.#events = events
  }

  /** Rejects with a `PortFault`. */
  async open(openPort: OpenPort, signal: AbortSignal, autoStatus: boolean): Promise<void> {
    const port = await openPort({ data: (bytes) => this.#hear(bytes), closed: (fault) => this.#events.closed(fault) }, signal)
    if (this.#closed) {
      // Given up while it was being opened: a printer has one line, and nobody else would let go of this one.
      await port.close()
      throw new PortFault('unreachable', 'stopping')
    }
    this.#port = port
    if (autoStatus) await port.write(ESCPOS.autoStatus(true))
  }

  async close(): Promise<void> {
    this.#closed = true
    await this.#port?.close()
  }

  #hear(bytes: Uint8Array): void {
    for (const reply of this.#reader.feed(bytes)) {
      if (reply.kind === 'asb') this.#events.unasked(reply.report)
      else if (this.#onReply && (reply.kind !== 'mark' || this.#awaitsMark)) this.#onReply(reply)
      else if (reply.kind === 'mark') this.#mark(reply.paper)
    }
  }

  #awaitsMark = false

  #mark(paper: Paper): void {
    if (this.#foreignMarks > 0) this.#foreignMarks -= 1
    else this.#events.marked(paper)
  }

  /**
   * `DLE EOT` 1 to 4, one after the other: the answers do not say which question they belong to.
   * `silent`: one stayed out. `garbage`: bytes came that cannot be an answer.
   */
  async ask(): Promise<StatusReport | 'silent' | 'garbage'> {
    const answers: number[] = []
    let garbage = false
    for (const n of [1, 2, 3, 4] as const) {
      const byte = await this.#await<number>(ANSWER_MS, ESCPOS.askStatus(n), (reply, done) => {
        if (reply.kind === 'realtime') done(reply.byte)
        else garbage = true
      })
      if (byte === undefined) return garbage ? 'garbage' : 'silent'
      answers.push(byte)
    }
    const [printer = 0, offline = 0, error = 0, paper = 0] = answers
    return decodeStatus([printer, offline, error, paper])
  }

  /** Resolves with the first thing `pick` calls done with, or undefined after `ms`. */
  async #await<T>(ms: number, question: Uint8Array, pick: (reply: Reply, done: (value: T) => void) => void): Promise<T | undefined> {
    const port = this.#port
    if (!port) return undefined
    return new Promise((resolve) => {
      const finish = (value: T | undefined) => {
        cancel()
        this.#onReply = undefined
        resolve(value)
      }
      const cancel = this.#clock.patience(ms, () => finish(undefined))
      this.#onReply = (reply) => pick(reply, finish)
      port.write(question).catch(() => finish(undefined))
    })
  }

  /**
   * Makes sure that nothing of an earlier job is left in the printer: its rest is cleared or worked off, and its mark, which would be
   * taken for the next job's, has come. A command that the cut left open is completed with NULs, which print nothing.
   */
  async fence(clear: boolean, openBytes: number): Promise<boolean> {
    if (clear) await this.#port?.write(ESCPOS.clearBuffers)
    this.#awaitsMark = true
    try {
      for (const length of [0, Math.min(openBytes, MOST_PADDING)]) {
        const question = Buffer.concat([ESCPOS.padding(length), ESCPOS.mark])
        const answered = await this.#await<true>(FENCE_MS + length / SLOWEST_BYTES_PER_MS, question, (reply, done) => {
          if (reply.kind === 'mark') done(true)
        })
        if (!answered) continue
        // Worked off in order: an older mark and this one follow on each other's heels.
        while (
          await this.#await<true>(QUIET_MS, Buffer.alloc(0), (reply, done) => {
            if (reply.kind === 'mark') done(true)
          })
        );
        return true
      }
      return false
    } finally {
      this.#awaitsMark = false
    }
  }

  /** Writes one copy; `wrote` after each piece that was taken. Rejects when the line breaks. `foreignMarks`: `GS r` and the like inside the job. */
  async send(bytes: Uint8Array, mark: boolean, foreignMarks: number, wrote: () => void): Promise<void> {
    const port = this.#port
    if (!port) throw new Error('not open')
    this.#foreignMarks = foreignMarks
    // The mark goes out with the last piece, not in a packet of its own.
    const all = mark ? Buffer.concat([bytes, ESCPOS.mark]) : bytes
    for (let at = 0; at < all.length; at += port.chunk) {
      await port.write(all.subarray(at, at + port.chunk))
      wrote()
    }
  }
}
