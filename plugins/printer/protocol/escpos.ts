/** The ESC/POS commands this plugin itself sends. Source: Epson ESC/POS Command Reference, clause of the same name. */
import iconv from 'iconv-lite'
import type { Encoding } from '../config.ts'

const bytes = (...values: number[]): Buffer => Buffer.from(values)

export const ESCPOS = {
  /** `ESC @`: forgets modes and what is left in the print buffer. */
  init: bytes(0x1b, 0x40),
  /** `DLE EOT n`, 1 to 4: answered at once, whatever is in the buffer. */
  askStatus: (n: 1 | 2 | 3 | 4): Buffer => bytes(0x10, 0x04, n),
  /** `GS r 1`: "executed when the data is processed in the receive buffer", so its answer marks that what came before it is done. */
  mark: bytes(0x1d, 0x72, 0x01),
  /** `GS a n`: report changes of drawer, on/off-line, error and paper (bits 0-3) unasked. */
  autoStatus: (on: boolean): Buffer => bytes(0x1d, 0x61, on ? 0x0f : 0x00),
  /** `GS V 66 0`: feeds to the cutter, then a partial cut. */
  cut: bytes(0x1d, 0x56, 0x42, 0x00),
  /** `ESC p m t1 t2`: on and off times in units of 2 ms. */
  drawer: (pin: 2 | 5, onMs: number, offMs: number): Buffer =>
    bytes(0x1b, 0x70, pin === 2 ? 0 : 1, Math.min(255, Math.round(onMs / 2)), Math.min(255, Math.round(offMs / 2))),
  /** `DLE DC4 1 m t`: in real time, in units of 100 ms (1 to 8). */
  drawerNow: (pin: 2 | 5, onMs: number): Buffer =>
    bytes(0x10, 0x14, 0x01, pin === 2 ? 0 : 1, Math.max(1, Math.min(8, Math.round(onMs / 100)))),
  /** `ESC d n`. */
  feed: (lines: number): Buffer => bytes(0x1b, 0x64, lines),
  /** `DLE DC4 8`: clears receive and print buffers; its own fixed parameters guard against accidents. */
  clearBuffers: bytes(0x10, 0x14, 0x08, 0x01, 0x03, 0x14, 0x01, 0x06, 0x02, 0x08),
  /** Outside a command NUL is ignored; inside one it completes what a cut line left open. */
  padding: (length: number): Buffer => Buffer.alloc(length),
} as const

const CHINESE: readonly string[] = ['gb18030', 'cp936', 'big5', 'cp950']
const HAN: readonly string[] = [...CHINESE, 'shiftjis', 'cp932', 'ksc5601', 'cp949']

/** The lines that tell a reprint from the original, as bytes that stand before any job, receipt or raw. */
export function reprintMark(of: { id: string; at: string }, encoding: Encoding): Buffer {
  const title = CHINESE.includes(encoding) ? '重印 / REPRINT' : 'REPRINT'
  const kanji = HAN.includes(encoding)
  const text = (value: string) => iconv.encode(value, kanji ? encoding : 'ascii')
  return Buffer.concat([
    ESCPOS.init,
    kanji ? bytes(0x1c, 0x26) : bytes(),
    bytes(0x1b, 0x61, 1, 0x1d, 0x21, 0x11),
    kanji ? bytes(0x1c, 0x21, 0x0c) : bytes(),
    text(`${title}\n`),
    kanji ? bytes(0x1c, 0x21, 0x00) : bytes(),
    bytes(0x1d, 0x21, 0x00),
    text(`${of.id}\n${of.at}\n\n`),
    bytes(0x1b, 0x61, 0),
    ESCPOS.init,
  ])
}
