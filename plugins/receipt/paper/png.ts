/** One-bit pictures as PNG (ISO/IEC 15948): a palette of paper and ink. */
import { deflateSync } from 'node:zlib'

const SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a])

/** `data`: rows padded to bytes, highest bit left, 1 is ink; missing bytes are paper. `paper`: `clear` lets the ground show through. */
export function encodePng(width: number, height: number, data: Uint8Array, paper: 'white' | 'clear'): Buffer {
  const stride = (width + 7) >> 3
  const rows = Buffer.alloc((stride + 1) * Math.max(1, height))
  // Each row begins with its filter, 0: none.
  for (let y = 0; y < height; y += 1) rows.set(data.subarray(y * stride, (y + 1) * stride), y * (stride + 1) + 1)
  const header = Buffer.alloc(13)
  header.writeUInt32BE(Math.max(1, width), 0)
  header.writeUInt32BE(Math.max(1, height), 4)
  // One bit a dot, colours from the palette.
  header.set([1, 3, 0, 0, 0], 8)
  return Buffer.concat([
    SIGNATURE,
    chunk('IHDR', header),
    chunk('PLTE', Buffer.from([0xff, 0xfd, 0xf8, 0x1c, 0x1b, 0x1a])),
    ...(paper === 'clear' ? [chunk('tRNS', Buffer.from([0x00, 0xff]))] : []),
    chunk('IDAT', deflateSync(rows)),
    chunk('IEND', Buffer.alloc(0)),
  ])
}

function chunk(type: string, body: Buffer): Buffer {
  const length = Buffer.alloc(4)
  length.writeUInt32BE(body.length)
  const named = Buffer.concat([Buffer.from(type, 'latin1'), body])
  const sum = Buffer.alloc(4)
  sum.writeUInt32BE(crc32(named))
  return Buffer.concat([length, named, sum])
}

const TABLE = Uint32Array.from({ length: 256 }, (_one, index) => {
  let value = index
  for (let bit = 0; bit < 8; bit += 1) value = (value >>> 1) ^ ((value & 1) * 0xedb88320)
  return value
})

/** `zlib.crc32` is newer than the oldest Node this runs on. */
function crc32(bytes: Uint8Array): number {
  let sum = 0xffffffff
  for (const byte of bytes) sum = (TABLE[(sum ^ byte) & 0xff] ?? 0) ^ (sum >>> 8)
  return (sum ^ 0xffffffff) >>> 0
}
