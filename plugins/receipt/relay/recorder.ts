/** The bytes of the receipt that is on its way, up to a limit: what can be looked at later. */

export interface Recorded {
  bytes: Buffer
  /** The receipt had more bytes than are kept. */
  cutShort: boolean
}

export class Recorder {
  readonly #most: number
  #parts: Buffer[] = []
  #kept = 0
  #from = 0
  #last: { at: number; bytes: Buffer } = { at: 0, bytes: Buffer.alloc(0) }

  constructor(most: number) {
    this.#most = most
  }

  add(at: number, chunk: Buffer): void {
    this.#last = { at, bytes: chunk }
    this.#keep(chunk)
  }

  /** What was kept of the places up to `to`; what comes after is the next receipt's. */
  take(to: number): Recorded {
    const length = to - this.#from
    const bytes = Buffer.concat(this.#parts).subarray(0, length)
    this.#parts = []
    this.#kept = 0
    this.#from = to
    this.#keep(this.#last.bytes.subarray(Math.max(0, to - this.#last.at)))
    return { bytes, cutShort: bytes.length < length }
  }

  /** The chunk was forwarded and looked at: it is needed no more. */
  settle(): void {
    this.#last = { at: this.#last.at + this.#last.bytes.length, bytes: Buffer.alloc(0) }
  }

  #keep(chunk: Buffer): void {
    const part = chunk.subarray(0, Math.max(0, this.#most - this.#kept))
    if (part.length === 0) return
    // A copy: a part of it would hold the whole chunk in memory.
    this.#parts.push(Buffer.from(part))
    this.#kept += part.length
  }
}
