/** Cuts a byte stream into HCI packets (Core 5.4, Vol 4, Part A, "UART Transport Layer"). */
import { PACKET } from './packets.ts'

/** Bytes of header behind the type byte, and where in it the length stands. */
const HEADERS: Record<number, { bytes: number; length(header: Buffer): number }> = {
  [PACKET.command]: { bytes: 3, length: (header) => header[2] ?? 0 },
  [PACKET.acl]: { bytes: 4, length: (header) => header.readUInt16LE(2) },
  [PACKET.sco]: { bytes: 3, length: (header) => header[2] ?? 0 },
  [PACKET.event]: { bytes: 2, length: (header) => header[1] ?? 0 },
  [PACKET.iso]: { bytes: 4, length: (header) => header.readUInt16LE(2) & 0x3fff },
}

export class H4Stream {
  #rest: Buffer = Buffer.alloc(0)
  readonly #packet: (packet: Buffer) => void

  constructor(packet: (packet: Buffer) => void) {
    this.#packet = packet
  }

  /** False when the stream has lost its step: H4 has no way to find it again, so the line must be closed. */
  push(chunk: Buffer): boolean {
    let bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    while (bytes.length > 0) {
      const header = HEADERS[bytes[0] as number]
      if (!header) return false
      if (bytes.length < 1 + header.bytes) break
      const total = 1 + header.bytes + header.length(bytes.subarray(1, 1 + header.bytes))
      if (bytes.length < total) break
      this.#packet(bytes.subarray(0, total))
      bytes = bytes.subarray(total)
    }
    this.#rest = bytes
    return true
  }
}
