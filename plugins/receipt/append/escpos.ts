/** ESC/POS for what is put on the paper after a till's own lines. Source: Epson ESC/POS Command Reference, clauses named. */
import iconv from 'iconv-lite'
import type { Cut } from '../capture/capture.machine.ts'
import { cellsOf, type Encoding, isWideSet } from '../capture/encodings.ts'
import { plainCentred, restoring } from '../capture/modes.ts'
import { qrModules } from '../paper/pictures.ts'

export interface Strip {
  /** Printed above the code, line by line. */
  text: string
  qr?: string
}

export interface StripOptions {
  encoding: Encoding
  width: number
  qr: 'native' | 'raster'
}

/** Blank lines from the print head to the cutter, for cuts that do not feed by themselves. */
const TO_CUTTER = 5
/** A module of the QR code, dots: 5 is 0.6 mm. */
const MODULE = 5

/** What to print before `cut`, with the modes the till had set put back. */
export function strips(all: readonly Strip[], cut: Cut, options: StripOptions): Buffer {
  const text = all.map((one) => one.text).join('')
  const wide = isWideSet(options.encoding) && /[^\u0000-\u007f]/.test(text)
  const parts: Buffer[] = [Buffer.from(cut.lineOpen ? '\n' : ''), plainCentred(cut.modes, wide)]
  for (const { text: words, qr } of all) {
    for (const line of words === '' ? [] : words.split('\n')) {
      for (const piece of wrap(line, options.width)) parts.push(encode(piece, options.encoding), Buffer.from('\n'))
    }
    if (qr !== undefined) parts.push(options.qr === 'native' ? nativeQr(qr) : rasterQr(qr), Buffer.from('\n'))
  }
  if (!cut.feeds) parts.push(Buffer.from([0x1b, 0x64, TO_CUTTER]))
  parts.push(restoring(cut.modes))
  return Buffer.concat(parts)
}

/** No control characters: text from a config must not become commands. */
function encode(line: string, encoding: Encoding): Buffer {
  const plain = line.replace(/[\u0000-\u001f\u007f]/g, '')
  // `¥` is a four-byte code in GB18030 that few printers have.
  return iconv.encode(isWideSet(encoding) ? plain.replaceAll('\u00a5', '\uffe5') : plain, encoding)
}

function wrap(line: string, width: number): string[] {
  const pieces: string[] = []
  let piece = ''
  let cells = 0
  for (const character of line) {
    const wide = cellsOf(character)
    if (cells + wide > width) {
      pieces.push(piece)
      piece = ''
      cells = 0
    }
    piece += character
    cells += wide
  }
  return [...pieces, piece]
}

/** `GS ( k`: model 2 (function 165), module size (167), error correction M (169), store (180), print (181). */
function nativeQr(content: string): Buffer {
  const data = Buffer.from(content, 'utf8')
  const size = data.length + 3
  return Buffer.concat([
    Buffer.from([0x1d, 0x28, 0x6b, 4, 0, 0x31, 0x41, 0x32, 0x00]),
    Buffer.from([0x1d, 0x28, 0x6b, 3, 0, 0x31, 0x43, MODULE]),
    Buffer.from([0x1d, 0x28, 0x6b, 3, 0, 0x31, 0x45, 0x31]),
    Buffer.from([0x1d, 0x28, 0x6b, size & 0xff, size >> 8, 0x31, 0x50, 0x30]),
    data,
    Buffer.from([0x1d, 0x28, 0x6b, 3, 0, 0x31, 0x51, 0x30]),
  ])
}

/** The same as a picture (`GS v 0`), for printers that know no codes. */
function rasterQr(content: string): Buffer {
  const modules = qrModules(Buffer.from(content, 'utf8'), 'M')
  if (!modules) return Buffer.alloc(0)
  const dots = modules.size * MODULE
  const stride = (dots + 7) >> 3
  const from = (modules.size + 7) >> 3
  const data = Buffer.alloc(stride * dots)
  for (let y = 0; y < dots; y += 1) {
    for (let x = 0; x < dots; x += 1) {
      const [mx, my] = [Math.floor(x / MODULE), Math.floor(y / MODULE)]
      if (((modules.data[my * from + (mx >> 3)] ?? 0) & (0x80 >> (mx & 7))) !== 0)
        data[y * stride + (x >> 3)] = (data[y * stride + (x >> 3)] ?? 0) | (0x80 >> (x & 7))
    }
  }
  return Buffer.concat([Buffer.from([0x1d, 0x76, 0x30, 0, stride & 0xff, stride >> 8, dots & 0xff, dots >> 8]), data])
}
