/**
 * Bytes from the line into frames, one code each. Pure: time is told by `quiet`, never read.
 *
 * A terminator (CR, LF, ETX) resynchronises whatever came before it, so a cut line or a burst of garbage costs at most the
 * line it is in. Memory is bounded by `MAX_FRAME` whatever arrives.
 */

export const FRAMINGS = ['auto', 'cr', 'lf', 'crlf', 'stx-etx', 'idle'] as const
export type Framing = (typeof FRAMINGS)[number]

/** The longest symbol there is: QR 40-L holds 7,089 digits (ISO/IEC 18004). Longer is garbage. */
export const MAX_FRAME = 8_192

const STX = 0x02
const ETX = 0x03
const LF = 0x0a
const CR = 0x0d

/** Hears what the framer finds, synchronously. `bytes` may be a view of the chunk: copy what is kept. */
export interface FrameSink {
  frame(bytes: Buffer): void
  /** A frame grew past `MAX_FRAME` (told once); the rest of it is thrown away up to the next terminator or silence. */
  overlong(): void
  /** An unfinished line of this many bytes was thrown away: it was cut. */
  cut(bytes: number): void
}

export interface FramerOptions {
  framing: Framing
  /** Silence, in ms, that ends a code of a scanner without a suffix. */
  idleMs: number
  /** Silence, in ms, after which an unfinished line with a suffix counts as cut. */
  cutMs: number
}

export class Framer {
  readonly #options: FramerOptions
  readonly #held = Buffer.allocUnsafe(MAX_FRAME)
  #length = 0
  /** Throwing bytes away until the next terminator. */
  #discarding = false
  /** Between STX and ETX. */
  #inside = false
  /** `auto` has seen this scanner end a code with a terminator: from then on silence does not end one. */
  #terminated: boolean
  /** The byte before this chunk. */
  #last = 0
  /** Bytes outside STX-ETX since the last frame. */
  #stray = 0

  constructor(options: FramerOptions) {
    this.#options = options
    this.#terminated = options.framing !== 'auto' && options.framing !== 'idle'
  }

  /** How long the line must be silent before `quiet` is to be called, in ms; 0 when there is nothing to wait for. */
  get waitMs(): number {
    if (this.#length === 0 && !this.#discarding) return 0
    return this.#terminated && !this.#discarding ? this.#options.cutMs : this.#options.idleMs
  }

  /** A line has begun and not ended. */
  get unfinished(): boolean {
    return this.#length > 0 && this.#terminated
  }

  push(chunk: Buffer, sink: FrameSink): void {
    const { framing } = this.#options
    if (framing === 'idle') {
      this.#hold(chunk, 0, chunk.length, sink)
      return
    }
    let start = 0
    for (let at = 0; at < chunk.length; at++) {
      const byte = chunk[at] as number
      // Everything that steers is at or below CR: one comparison passes the printable rest.
      if (byte > CR) continue
      const sign = this.#sign(byte, chunk, at)
      if (sign === 'content') continue
      if (sign === 'begin') {
        if (framing === 'auto') this.#drop(sink, at - start)
        else this.#count(at - start, sink)
        this.#inside = true
        this.#discarding = false
      } else this.#end(chunk, start, framing === 'crlf' ? at - 1 : at, sink)
      start = at + 1
    }
    if (framing === 'stx-etx' && !this.#inside) this.#count(chunk.length - start, sink)
    else this.#hold(chunk, start, chunk.length, sink)
    this.#last = chunk.at(-1) ?? this.#last
  }

  /** The line has been silent for `waitMs`. */
  quiet(sink: FrameSink): void {
    if (this.#discarding) this.#discarding = false
    else if (this.#terminated) this.#drop(sink, 0)
    else if (this.#length > 0) this.#flush(sink)
    this.#length = 0
    this.#inside = false
    this.#stray = 0
  }

  /** The line is gone. A code without a suffix is whole by now as far as anyone can tell; one that lacks its suffix is not. */
  lost(sink: FrameSink): void {
    this.quiet(sink)
  }

  /** Bytes were lost in between (an input queue ran over): nothing up to the next terminator can be trusted. */
  damaged(sink: FrameSink): void {
    this.#drop(sink, 0)
    this.#discarding = true
  }

  #sign(byte: number, chunk: Buffer, at: number): 'content' | 'begin' | 'end' {
    switch (this.#options.framing) {
      case 'cr':
        return byte === CR ? 'end' : 'content'
      case 'lf':
        return byte === LF ? 'end' : 'content'
      case 'crlf': {
        const before = at > 0 ? chunk[at - 1] : this.#last
        return byte === LF && before === CR ? 'end' : 'content'
      }
      case 'stx-etx':
        return byte === STX ? 'begin' : byte === ETX && this.#inside ? 'end' : 'content'
      default:
        return byte === STX ? 'begin' : byte === CR || byte === LF || byte === ETX ? 'end' : 'content'
    }
  }

  #end(chunk: Buffer, start: number, end: number, sink: FrameSink): void {
    const wasDiscarding = this.#discarding
    const empty = this.#length === 0 && end <= start
    this.#discarding = false
    this.#inside = false
    this.#stray = 0
    if (!empty) this.#terminated = true
    if (wasDiscarding || empty) {
      this.#length = 0
      return
    }
    if (this.#length === 0 && end - start <= MAX_FRAME) {
      sink.frame(chunk.subarray(start, end))
      return
    }
    // With crlf split between two chunks the CR is the last held byte, and `end` lies one before `start`.
    if (end < start) this.#length = Math.max(0, this.#length + end - start)
    else this.#hold(chunk, start, end, sink)
    if (this.#discarding) this.#discarding = false
    else if (this.#length > 0) this.#flush(sink)
    this.#length = 0
  }

  #flush(sink: FrameSink): void {
    const bytes = this.#held.subarray(0, this.#length)
    this.#length = 0
    sink.frame(bytes)
  }

  #hold(chunk: Buffer, start: number, end: number, sink: FrameSink): void {
    if (end <= start || this.#discarding) return
    if (this.#length + end - start > MAX_FRAME) {
      this.#length = 0
      this.#discarding = true
      sink.overlong()
      return
    }
    chunk.copy(this.#held, this.#length, start, end)
    this.#length += end - start
  }

  #drop(sink: FrameSink, more: number): void {
    if (this.#length + more > 0) sink.cut(this.#length + more)
    this.#length = 0
  }

  /** Bytes outside STX-ETX: an LRC or a CR LF are normal, kilobytes are not. */
  #count(bytes: number, sink: FrameSink): void {
    if (this.#inside) {
      this.#drop(sink, bytes)
      return
    }
    const before = this.#stray
    this.#stray += bytes
    if (before <= MAX_FRAME && this.#stray > MAX_FRAME) sink.overlong()
  }
}
