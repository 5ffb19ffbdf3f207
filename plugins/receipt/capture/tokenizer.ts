/** A till's bytes to tokens, in pieces as they arrive and in constant memory: data is passed over by its declared length. */
import { DC2, DLE, ESC, FS, GS, HEAD_MOST, type Shape, shapeOf } from './shapes.ts'

export type Token =
  /** A run of bytes from 0x20 on, or what of it has arrived. */
  | { kind: 'text'; at: number; bytes: Buffer }
  /** One byte below 0x20 that begins no command: LF, CR, HT, FF, … */
  | { kind: 'control'; at: number; byte: number }
  /** Lead, letter and parameters of a command whose head is complete; `data`: what follows it, `body` the first bytes of that, if kept. */
  | { kind: 'command'; at: number; lead: number; letter: string; head: Buffer; data: number; body: Buffer; known: boolean }

export interface TokenizerOptions {
  /** Bytes of a command's data that are kept for its token; the rest is counted only. A token with kept data comes when the data is all there. */
  keep: (lead: number, letter: string, data: number) => number
}

type Pending = Extract<Token, { kind: 'command' }>

const NOTHING = Buffer.alloc(0)

export class Tokenizer {
  readonly #keep: TokenizerOptions['keep']
  /** Bytes fed so far. */
  #fed = 0
  #head: number[] = []
  #headAt = 0
  /** Data of the current command still to come; with `#toNul` it may end sooner. */
  #skip = 0
  #toNul = false
  #groups: { left: number; head: number; data: (head: Uint8Array) => number } | undefined
  #groupHead: number[] = []
  #pending: Pending | undefined
  #kept: Buffer[] = []
  #keepLeft = 0

  constructor(options: Partial<TokenizerOptions> = {}) {
    this.#keep = options.keep ?? (() => 0)
  }

  /** Bytes fed so far: the place of the next one. */
  get place(): number {
    return this.#fed
  }

  /** Place of the first byte of a command whose head is not all there yet. */
  get openHead(): { at: number; bytes: readonly number[] } | undefined {
    return this.#head.length > 0 ? { at: this.#headAt, bytes: this.#head } : undefined
  }

  /** In the middle of a command or its data. */
  get inside(): boolean {
    return this.#head.length > 0 || this.#skip > 0 || this.#groups !== undefined
  }

  feed(chunk: Buffer): Token[] {
    const tokens: Token[] = []
    const start = this.#fed
    let at = 0
    while (at < chunk.length) {
      if (this.#skip > 0) at = this.#pass(chunk, at, tokens)
      else if (this.#groups) at = this.#group(chunk, at, tokens)
      else if (this.#head.length > 0) {
        this.#head.push(chunk[at] ?? 0)
        at += 1 - this.#measure(tokens)
      } else at = this.#plain(chunk, at, start, tokens)
    }
    this.#fed = start + chunk.length
    return tokens
  }

  /** The command whose data did not come to its end, as far as it was kept. */
  finish(): Token[] {
    const tokens: Token[] = []
    this.#complete(tokens)
    return tokens
  }

  #plain(chunk: Buffer, at: number, start: number, tokens: Token[]): number {
    const first = chunk[at] ?? 0
    if (first >= 0x20) {
      let end = at + 1
      while (end < chunk.length && (chunk[end] ?? 0) >= 0x20) end += 1
      tokens.push({ kind: 'text', at: start + at, bytes: chunk.subarray(at, end) })
      return end
    }
    if (first === ESC || first === FS || first === GS || first === DLE || first === DC2) {
      this.#head = [first]
      this.#headAt = start + at
    } else tokens.push({ kind: 'control', at: start + at, byte: first })
    return at + 1
  }

  /** Returns how many of the last bytes did not belong to it after all. */
  #measure(tokens: Token[]): number {
    const head = Buffer.from(this.#head)
    const shape = shapeOf(head)
    if ('more' in shape) return 0
    if (head.length < shape.head && head.length < HEAD_MOST) return 0
    this.#begin(head, shape, tokens)
    return shape.known ? 0 : head.length - shape.head
  }

  #begin(head: Buffer, shape: Exclude<Shape, { more: number }>, tokens: Token[]): void {
    const [lead = 0, second = 0] = head
    const letter = String.fromCharCode(second)
    this.#head = []
    // Data that was read only to learn its length.
    const early = head.subarray(shape.head)
    const token: Pending = {
      kind: 'command',
      at: this.#headAt,
      lead,
      letter,
      head: head.subarray(0, shape.head),
      data: shape.data,
      body: NOTHING,
      known: shape.known,
    }
    this.#skip = Math.max(0, shape.data - early.length)
    this.#toNul = shape.ends === 0
    this.#groups =
      shape.groups !== undefined && shape.groups > 0 && shape.groupData
        ? { left: shape.groups, head: shape.groupHead ?? 1, data: shape.groupData }
        : undefined
    this.#keepLeft = this.#keep(lead, letter, shape.data)
    this.#kept = []
    if (this.#keepLeft > 0) {
      this.#pending = token
      if (early.length > 0) this.#retain(early)
      if (this.#skip === 0 && !this.#groups) this.#complete(tokens)
    } else tokens.push(token)
  }

  #pass(chunk: Buffer, at: number, tokens: Token[]): number {
    const end = Math.min(chunk.length, at + this.#skip)
    if (this.#toNul) {
      const nul = chunk.indexOf(0, at)
      if (nul >= 0 && nul < end) {
        this.#retain(chunk.subarray(at, nul))
        this.#skip = 0
        this.#toNul = false
        this.#complete(tokens)
        return nul + 1
      }
    }
    this.#retain(chunk.subarray(at, end))
    this.#skip -= end - at
    if (this.#skip === 0) {
      this.#toNul = false
      if (!this.#groups) this.#complete(tokens)
    }
    return end
  }

  #group(chunk: Buffer, at: number, tokens: Token[]): number {
    const groups = this.#groups
    if (!groups) return at
    if (groups.left === 0) {
      this.#groups = undefined
      this.#complete(tokens)
      return at
    }
    this.#groupHead.push(chunk[at] ?? 0)
    if (this.#groupHead.length >= groups.head) {
      this.#skip = groups.data(Uint8Array.from(this.#groupHead))
      this.#groupHead = []
      groups.left -= 1
      if (groups.left === 0 && this.#skip === 0) {
        this.#groups = undefined
        this.#complete(tokens)
      } else if (groups.left === 0) this.#groups = undefined
    }
    return at + 1
  }

  #retain(bytes: Buffer): void {
    if (this.#keepLeft <= 0 || !this.#pending) return
    const part = bytes.subarray(0, this.#keepLeft)
    this.#keepLeft -= part.length
    if (part.length > 0) this.#kept.push(Buffer.from(part))
  }

  #complete(tokens: Token[]): void {
    const token = this.#pending
    this.#pending = undefined
    if (!token) return
    token.body = Buffer.concat(this.#kept)
    this.#kept = []
    this.#keepLeft = 0
    tokens.push(token)
  }
}
