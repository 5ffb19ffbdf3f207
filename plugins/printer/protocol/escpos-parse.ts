/**
 * ESC/POS bytes to operations, in pieces as they arrive. Source: Epson ESC/POS Command Reference.
 * Made for reading what a till or receiptline wrote: what is not known is skipped by its declared length, or byte by byte.
 */

export type Op =
  | { op: 'text'; bytes: Buffer }
  | { op: 'lf' | 'init' | 'cut' | 'tab' }
  | { op: 'feed'; dots?: number; lines?: number }
  | { op: 'pulse'; pin: 2 | 5 }
  | { op: 'set'; what: Setting; value: number }
  | { op: 'raster'; width: number; height: number; scaleX: number; scaleY: number; data: Buffer }
  | { op: 'barcode'; type: number; data: Buffer }
  | { op: 'qr'; data: Buffer; cell: number; level: 'l' | 'm' | 'q' | 'h' }
  /** Asks for an answer, worked off in order. */
  | { op: 'ask'; command: 'GS r' | 'GS I' | 'ESC v' | 'ESC u'; n: number }
  | { op: 'asb'; n: number }
  | { op: 'unknown'; bytes: Buffer }

export type Setting =
  | 'bold'
  | 'underline'
  | 'kanji-underline'
  | 'invert'
  | 'size'
  | 'kanji-mode'
  | 'align'
  | 'codepage'
  | 'kanji'
  | 'line-spacing'
  | 'left'
  | 'area'
  | 'x'
  | 'x-relative'
  | 'font'
  | 'upside-down'
  | 'barcode-height'
  | 'barcode-width'
  | 'barcode-hri'

const ESC = 0x1b
const FS = 0x1c
const GS = 0x1d
const DLE = 0x10

/** Length 0: not all there yet. */
interface Parsed {
  length: number
  ops: Op[]
}
const MORE: Parsed = { length: 0, ops: [] }
/** Longer than any receipt: a length like this is noise, not a command. */
const MOST = 4 * 1024 * 1024

export class EscposParser {
  #pending: Buffer = Buffer.alloc(0)
  #stored: Extract<Op, { op: 'raster' }> | undefined
  #qr: { data: Buffer; cell: number; level: 'l' | 'm' | 'q' | 'h' } = { data: Buffer.alloc(0), cell: 3, level: 'l' }

  /** Bytes of a command that is not all there yet. */
  get pending(): number {
    return this.#pending.length
  }

  feed(chunk: Uint8Array): Op[] {
    const bytes = this.#pending.length > 0 ? Buffer.concat([this.#pending, chunk]) : Buffer.from(chunk)
    const ops: Op[] = []
    let at = 0
    while (at < bytes.length) {
      const text = textLength(bytes, at)
      if (text > 0) {
        ops.push({ op: 'text', bytes: bytes.subarray(at, at + text) })
        at += text
        continue
      }
      const { length, ops: found } = this.#command(bytes, at)
      if (length === 0) break
      ops.push(...found)
      at += length
    }
    this.#pending = bytes.subarray(at)
    return ops
  }

  #command(bytes: Buffer, at: number): Parsed {
    const lead = bytes[at]
    if (lead === 0x0a) return { length: 1, ops: [{ op: 'lf' }] }
    if (lead === 0x09) return { length: 1, ops: [{ op: 'tab' }] }
    if (lead === DLE) return realtime(bytes, at)
    if (lead !== ESC && lead !== FS && lead !== GS) return { length: 1, ops: [] }
    const second = bytes[at + 1]
    if (second === undefined) return MORE
    if (lead === ESC) return escapeCommand(bytes, at, second)
    if (lead === FS) return kanjiCommand(bytes, at, second)
    return this.#group(bytes, at, second)
  }

  #group(bytes: Buffer, at: number, second: number): Parsed {
    const letter = String.fromCharCode(second)
    const n = bytes[at + 2]
    switch (letter) {
      case '!':
        return one(bytes, at, (value) => set('size', value))
      case 'B':
        return one(bytes, at, (value) => set('invert', value & 1))
      case 'H':
        return one(bytes, at, (value) => set('barcode-hri', value % 48))
      case 'h':
        return one(bytes, at, (value) => set('barcode-height', value))
      case 'w':
        return one(bytes, at, (value) => set('barcode-width', value))
      case 'r':
        return one(bytes, at, (value) => ({ op: 'ask', command: 'GS r', n: value % 48 }))
      case 'I':
        return one(bytes, at, (value) => ({ op: 'ask', command: 'GS I', n: value }))
      case 'a':
        return one(bytes, at, (value) => ({ op: 'asb', n: value }))
      case 'L':
        return two(bytes, at, (value) => set('left', value))
      case 'W':
        return two(bytes, at, (value) => set('area', value))
      case '$':
      case '\\':
        return fixed(bytes, at, 4)
      case 'P':
        return fixed(bytes, at, 4)
      case '^':
        return fixed(bytes, at, 5)
      case ':':
        return fixed(bytes, at, 2)
      case 'V':
        if (n === undefined) return MORE
        return fixed(bytes, at, n === 65 || n === 66 || n === 97 || n === 98 || n === 103 || n === 104 ? 4 : 3, [{ op: 'cut' }])
      case 'k':
        return barcode(bytes, at)
      case 'v':
        return oldRaster(bytes, at)
      case '*': {
        const x = n
        const y = bytes[at + 3]
        return x === undefined || y === undefined ? MORE : fixed(bytes, at, 4 + x * y * 8)
      }
      case 'z':
        return fixed(bytes, at, 5)
      case '(':
      case '8':
        return this.#declared(bytes, at, letter)
      default:
        return fixed(bytes, at, 3)
    }
  }

  /** `GS ( X pL pH …` and `GS 8 L p1 p2 p3 p4 …` say how long they are. */
  #declared(bytes: Buffer, at: number, letter: string): Parsed {
    const head = letter === '8' ? 7 : 5
    if (bytes.length < at + head) return MORE
    const size = letter === '8' ? bytes.readUInt32LE(at + 3) : bytes.readUInt16LE(at + 3)
    if (size > MOST) return { length: 2, ops: [{ op: 'unknown', bytes: bytes.subarray(at, at + 2) }] }
    if (bytes.length < at + head + size) return MORE
    const body = bytes.subarray(at + head, at + head + size)
    const kind = String.fromCharCode(bytes[at + 2] ?? 0)
    return { length: head + size, ops: kind === 'k' ? this.#symbol(body) : kind === 'L' ? this.#graphics(body) : [] }
  }

  /** `GS ( L` / `GS 8 L`: function 112 stores a raster, 50 (or 2) prints it. */
  #graphics(body: Buffer): Op[] {
    const fn = body[1]
    if (fn === 112 && body.length >= 10) {
      this.#stored = {
        op: 'raster',
        scaleX: body[3] ?? 1,
        scaleY: body[4] ?? 1,
        width: body.readUInt16LE(6),
        height: body.readUInt16LE(8),
        data: Buffer.from(body.subarray(10)),
      }
      return []
    }
    if ((fn === 50 || fn === 2) && this.#stored) {
      const ops: Op[] = [this.#stored]
      this.#stored = undefined
      return ops
    }
    return []
  }

  /** `GS ( k`, cn 49: QR code. */
  #symbol(body: Buffer): Op[] {
    if (body[0] !== 49) return []
    switch (body[1]) {
      case 67:
        this.#qr = { ...this.#qr, cell: body[2] ?? 3 }
        return []
      case 69:
        this.#qr = { ...this.#qr, level: (['l', 'm', 'q', 'h'] as const)[(body[2] ?? 48) - 48] ?? 'l' }
        return []
      case 80:
        this.#qr = { ...this.#qr, data: Buffer.from(body.subarray(3)) }
        return []
      case 81:
        return [{ op: 'qr', ...this.#qr }]
      default:
        return []
    }
  }
}

function textLength(bytes: Buffer, at: number): number {
  let end = at
  while (end < bytes.length && (bytes[end] ?? 0) >= 0x20) end += 1
  return end - at
}

const set = (what: Setting, value: number): Op => ({ op: 'set', what, value })

function fixed(bytes: Buffer, at: number, length: number, ops?: Op[]): Parsed {
  if (bytes.length < at + length) return MORE
  return { length, ops: ops ?? [{ op: 'unknown', bytes: bytes.subarray(at, at + Math.min(length, 8)) }] }
}

function one(bytes: Buffer, at: number, op: (value: number) => Op): Parsed {
  const value = bytes[at + 2]
  return value === undefined ? MORE : { length: 3, ops: [op(value)] }
}

function two(bytes: Buffer, at: number, op: (value: number) => Op): Parsed {
  return bytes.length < at + 4 ? MORE : { length: 4, ops: [op(bytes.readUInt16LE(at + 2))] }
}

/** Answered when they arrive, not here: only skipped. */
function realtime(bytes: Buffer, at: number): Parsed {
  const second = bytes[at + 1]
  if (second === undefined) return MORE
  if (second === 0x04 || second === 0x05) return fixed(bytes, at, 3, [])
  if (second !== 0x14) return { length: 1, ops: [] }
  const fn = bytes[at + 2]
  if (fn === undefined) return MORE
  return fixed(bytes, at, fn === 8 ? 10 : 5, [])
}

function escapeCommand(bytes: Buffer, at: number, second: number): Parsed {
  const letter = String.fromCharCode(second)
  switch (letter) {
    case '@':
      return { length: 2, ops: [{ op: 'init' }] }
    case '2':
      return { length: 2, ops: [set('line-spacing', 30)] }
    case 'i':
    case 'm':
      return { length: 2, ops: [{ op: 'cut' }] }
    case '<':
    case 'L':
    case 'S':
    case '\f':
      return { length: 2, ops: [] }
    case 'v':
      return { length: 2, ops: [{ op: 'ask', command: 'ESC v', n: 0 }] }
    case 'u':
      return one(bytes, at, (n) => ({ op: 'ask', command: 'ESC u', n }))
    case '!':
      return printMode(bytes, at)
    case 'E':
    case 'G':
      return one(bytes, at, (n) => set('bold', n & 1))
    case '-':
      return one(bytes, at, (n) => set('underline', n % 48))
    case 'a':
      return one(bytes, at, (n) => set('align', n % 48))
    case 't':
      return one(bytes, at, (n) => set('codepage', n))
    case 'M':
      return one(bytes, at, (n) => set('font', n % 48))
    case '3':
      return one(bytes, at, (n) => set('line-spacing', n))
    case '{':
      return one(bytes, at, (n) => set('upside-down', n & 1))
    case 'd':
      return one(bytes, at, (n) => ({ op: 'feed', lines: n }))
    case 'J':
      return one(bytes, at, (n) => ({ op: 'feed', dots: n }))
    case '$':
      return two(bytes, at, (n) => set('x', n))
    case '\\':
      return two(bytes, at, (n) => set('x-relative', n > 0x7fff ? n - 0x10000 : n))
    case 'p':
      return bytes.length < at + 5 ? MORE : { length: 5, ops: [{ op: 'pulse', pin: (bytes[at + 2] ?? 0) % 48 === 0 ? 2 : 5 }] }
    case 'c':
      return fixed(bytes, at, 4, [])
    case 'W':
      return fixed(bytes, at, 10, [])
    case 'D': {
      const end = bytes.indexOf(0, at + 2)
      return end < 0 ? (bytes.length - at > 40 ? { length: 2, ops: [] } : MORE) : { length: end - at + 1, ops: [] }
    }
    case '*':
      return columns(bytes, at)
    default:
      return fixed(bytes, at, 3, [])
  }
}

function printMode(bytes: Buffer, at: number): Parsed {
  const n = bytes[at + 2]
  if (n === undefined) return MORE
  const size = ((n & 0x20) !== 0 ? 0x10 : 0) | ((n & 0x10) !== 0 ? 0x01 : 0)
  const ops = [set('font', n & 1), set('bold', (n >> 3) & 1), set('size', size), set('underline', (n >> 7) & 1)]
  return { length: 3, ops }
}

/** `ESC * m nL nH`: columns of 8 or 24 dots, turned into rows. */
function columns(bytes: Buffer, at: number): Parsed {
  if (bytes.length < at + 5) return MORE
  const mode = bytes[at + 2] ?? 0
  const width = bytes.readUInt16LE(at + 3)
  const deep = mode === 32 || mode === 33 ? 3 : 1
  if (bytes.length < at + 5 + width * deep) return MORE
  const stride = (width + 7) >> 3
  const data = Buffer.alloc(stride * deep * 8)
  for (let x = 0; x < width; x += 1)
    for (let y = 0; y < deep * 8; y += 1)
      if (((bytes[at + 5 + x * deep + (y >> 3)] ?? 0) & (0x80 >> (y & 7))) !== 0)
        data[y * stride + (x >> 3)] = (data[y * stride + (x >> 3)] ?? 0) | (0x80 >> (x & 7))
  const scaleX = mode === 0 || mode === 32 ? 2 : 1
  return { length: 5 + width * deep, ops: [{ op: 'raster', width, height: deep * 8, scaleX, scaleY: deep === 1 ? 3 : 1, data }] }
}

function kanjiCommand(bytes: Buffer, at: number, second: number): Parsed {
  switch (String.fromCharCode(second)) {
    case '&':
      return { length: 2, ops: [set('kanji', 1)] }
    case '.':
      return { length: 2, ops: [set('kanji', 0)] }
    case '!':
      return one(bytes, at, (n) => set('kanji-mode', n))
    case '-':
      return one(bytes, at, (n) => set('kanji-underline', n % 48))
    case 'W':
      return one(bytes, at, (n) => set('kanji-mode', (n & 1) !== 0 ? 0x0c : 0))
    case 'S':
    case 'p':
      return fixed(bytes, at, 4, [])
    case '2':
      return fixed(bytes, at, 4 + 72, [])
    case '(': {
      if (bytes.length < at + 5) return MORE
      return fixed(bytes, at, 5 + bytes.readUInt16LE(at + 3), [])
    }
    default:
      return fixed(bytes, at, 3, [])
  }
}

/** `GS k m …`: up to m 6 ends with NUL, from 65 on says its length. */
function barcode(bytes: Buffer, at: number): Parsed {
  const type = bytes[at + 2]
  const size = bytes[at + 3]
  if (type === undefined || size === undefined) return MORE
  if (type < 65) {
    const end = bytes.indexOf(0, at + 3)
    if (end < 0) return bytes.length - at > 260 ? { length: 3, ops: [] } : MORE
    return { length: end - at + 1, ops: [{ op: 'barcode', type: type + 65, data: Buffer.from(bytes.subarray(at + 3, end)) }] }
  }
  if (bytes.length < at + 4 + size) return MORE
  return { length: 4 + size, ops: [{ op: 'barcode', type, data: Buffer.from(bytes.subarray(at + 4, at + 4 + size)) }] }
}

/** `GS v 0 m xL xH yL yH d…`. */
function oldRaster(bytes: Buffer, at: number): Parsed {
  if (bytes.length < at + 8) return MORE
  const mode = (bytes[at + 3] ?? 0) % 48
  const stride = bytes.readUInt16LE(at + 4)
  const height = bytes.readUInt16LE(at + 6)
  const size = stride * height
  if (size > MOST) return { length: 2, ops: [{ op: 'unknown', bytes: bytes.subarray(at, at + 2) }] }
  if (bytes.length < at + 8 + size) return MORE
  const data = Buffer.from(bytes.subarray(at + 8, at + 8 + size))
  return {
    length: 8 + size,
    ops: [{ op: 'raster', width: stride * 8, height, scaleX: (mode & 1) !== 0 ? 2 : 1, scaleY: (mode & 2) !== 0 ? 2 : 1, data }],
  }
}
