/**
 * Watches the byte stream of one MQTT connection for the length that each packet announces (MQTT 3.1.1 section 2.2.3): the
 * parser collects up to 256 MB before it says a word.
 */
export class PacketGuard {
  readonly #most: number
  /** Bytes of the current packet's body still to come. */
  #body = 0
  #inLength = false
  #length = 0
  #shift = 0

  constructor(most: number) {
    this.#most = most
  }

  /** The announced size of the first packet that is too large, or undefined when all is well. */
  push(chunk: Buffer): number | undefined {
    let at = 0
    while (at < chunk.length) {
      if (this.#body > 0) {
        const taken = Math.min(this.#body, chunk.length - at)
        this.#body -= taken
        at += taken
        continue
      }
      const byte = chunk[at++] ?? 0
      if (!this.#inLength) {
        this.#inLength = true
        this.#length = 0
        this.#shift = 0
        continue
      }
      this.#length += (byte & 0x7f) * 2 ** this.#shift
      this.#shift += 7
      if (byte & 0x80 && this.#shift < 28) continue
      this.#inLength = false
      this.#body = this.#length
      if (this.#length > this.#most) return this.#length
    }
    return undefined
  }
}
