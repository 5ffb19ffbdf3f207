/** An MQTT 3.1.1 publisher that costs next to nothing: packets made beforehand, written to a raw socket, PUBACKs counted. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

/** MQTT 3.1.1, 2.2.3: seven bits a byte, low first. */
function remaining(length: number): Buffer {
  const bytes: number[] = []
  do {
    bytes.push((length % 128) | (length >= 128 ? 128 : 0))
    length = Math.floor(length / 128)
  } while (length > 0)
  return Buffer.from(bytes)
}

const text = (value: string): Buffer => Buffer.concat([Buffer.from([value.length >> 8, value.length & 0xff]), Buffer.from(value)])

export class RawPublisher {
  readonly #socket: Socket
  acknowledged = 0
  #id = 0

  static async open(port: number): Promise<RawPublisher> {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true })
    await once(socket, 'connect')
    const body = Buffer.concat([text('MQTT'), Buffer.from([4, 2, 0, 0]), text('load')])
    socket.write(Buffer.concat([Buffer.from([0x10]), remaining(body.length), body]))
    await once(socket, 'data')
    return new RawPublisher(socket)
  }

  private constructor(socket: Socket) {
    this.#socket = socket
    let odd = 0
    // PUBACK is 4 bytes; nothing else comes.
    socket.on('data', (chunk) => {
      odd += chunk.length
      this.acknowledged += Math.floor(odd / 4)
      odd %= 4
    })
    socket.on('error', () => {})
  }

  /** QoS 1; the payloads go out back to back, at most `window` of them unacknowledged. */
  async publish(topic: string, payloads: Iterable<string>, window = 20_000): Promise<void> {
    const head = text(topic)
    let sent = this.acknowledged
    let batch: Buffer[] = []
    for (const payload of payloads) {
      this.#id = (this.#id % 65_535) + 1
      const body = Buffer.from(payload)
      batch.push(Buffer.from([0x32]), remaining(head.length + 2 + body.length), head, Buffer.from([this.#id >> 8, this.#id & 0xff]), body)
      sent += 1
      if (batch.length < 1_000) continue
      if (!this.#socket.write(Buffer.concat(batch))) await once(this.#socket, 'drain')
      batch = []
      while (sent - this.acknowledged > window && !this.#socket.destroyed) await new Promise((wake) => setTimeout(wake, 1))
    }
    this.#socket.write(Buffer.concat(batch))
  }

  close(): void {
    this.#socket.destroy()
  }
}
