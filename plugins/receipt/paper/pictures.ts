/** Bit images and codes of ESC/POS as dots. Source: Epson ESC/POS Command Reference, clause of the command's name. */
import qrcode from 'qrcode-generator'
import { barcode } from 'receiptline'
import type { Modes } from '../capture/modes.ts'
import { ESC } from '../capture/shapes.ts'
import type { Token } from '../capture/tokenizer.ts'
import type { Picture, Symbol2d } from './layout.ts'

type Drawn = Omit<Picture, 'x'>
type CommandToken = Extract<Token, { kind: 'command' }>

const u16 = (bytes: Buffer, at: number): number => (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8)

/** Undefined where there is nothing to draw: data that was not kept, or a code that cannot be. */
export function pictureOf(token: CommandToken, modes: Modes, symbol?: Symbol2d): Drawn | undefined {
  if (symbol) return qrPicture(symbol)
  if (token.body.length === 0) return undefined
  if (token.lead === ESC) return columns(token)
  switch (token.letter) {
    case 'v':
      return raster(token)
    case 'k':
      return bars(token, modes)
    default:
      return graphics(token.body)
  }
}

/** `GS v 0 m xL xH yL yH d…`. A picture whose end was not kept is as high as what was. */
function raster({ head, body }: CommandToken): Drawn {
  const mode = (head[3] ?? 0) % 48
  const stride = u16(head, 4)
  const height = Math.min(u16(head, 6), Math.ceil(body.length / Math.max(1, stride)))
  return { kind: 'raster', width: stride * 8, height, scaleX: (mode & 1) + 1, scaleY: ((mode >> 1) & 1) + 1, data: body }
}

/** `GS ( L` function 112: `m fn a bx by c xL xH yL yH d…`. */
function graphics(body: Buffer): Drawn | undefined {
  if (body.length <= 10 || body[1] !== 112) return undefined
  const width = u16(body, 6)
  const data = body.subarray(10)
  const height = Math.min(u16(body, 8), Math.ceil(data.length / Math.max(1, (width + 7) >> 3)))
  return { kind: 'raster', width, height, scaleX: body[3] || 1, scaleY: body[4] || 1, data }
}

/** `ESC * m nL nH`: columns of 8 or 24 dots, turned into rows. */
function columns({ head, body }: CommandToken): Drawn {
  const mode = head[2] ?? 0
  const width = u16(head, 3)
  const deep = mode >= 32 ? 3 : 1
  const stride = (width + 7) >> 3
  const data = Buffer.alloc(stride * deep * 8)
  for (let x = 0; x < width; x += 1)
    for (let y = 0; y < deep * 8; y += 1) if (((body[x * deep + (y >> 3)] ?? 0) & (0x80 >> (y & 7))) !== 0) ink(data, stride, x, y)
  return { kind: 'raster', width, height: deep * 8, scaleX: mode === 0 || mode === 32 ? 2 : 1, scaleY: deep === 1 ? 3 : 1, data }
}

function qrPicture({ data: content, cell, level }: Symbol2d): Drawn | undefined {
  const modules = qrModules(content, (['L', 'M', 'Q', 'H'] as const)[level - 48] ?? 'L')
  if (!modules) return undefined
  return { kind: 'qr', width: modules.size, height: modules.size, scaleX: cell, scaleY: cell, data: modules.data }
}

export interface Modules {
  size: number
  /** As a picture's `data`. */
  data: Buffer
}

/** Undefined for what is too long for any QR code. */
export function qrModules(content: Buffer, level: 'L' | 'M' | 'Q' | 'H'): Modules | undefined {
  if (content.length === 0) return undefined
  try {
    const qr = qrcode(0, level)
    qr.addData(content.toString('latin1'), 'Byte')
    qr.make()
    const size = qr.getModuleCount()
    const stride = (size + 7) >> 3
    const data = Buffer.alloc(stride * size)
    for (let y = 0; y < size; y += 1) for (let x = 0; x < size; x += 1) if (qr.isDark(y, x)) ink(data, stride, x, y)
    return { size, data }
  } catch {
    // The library throws a string for content that is too long.
    return undefined
  }
}

type BarType = 'upc' | 'ean' | 'code39' | 'itf' | 'codabar' | 'code93' | 'code128'
const BARS: Readonly<Record<number, BarType>> = {
  65: 'upc',
  66: 'upc',
  67: 'ean',
  68: 'ean',
  69: 'code39',
  70: 'itf',
  71: 'codabar',
  72: 'code93',
  73: 'code128',
}

/** `GS k`, both forms. */
function bars({ head, body }: CommandToken, modes: Modes): Drawn | undefined {
  const m = head[2] ?? 0
  const type = BARS[m < 65 ? m + 65 : m]
  if (!type) return undefined
  const content = type === 'code128' ? code128Text(body) : body.toString('latin1')
  const { height, width, text } = modes.barcode
  const form: object = barcode.generate({ data: content, type, width, height, hri: false })
  if (!('widths' in form) || !Array.isArray(form.widths)) return undefined
  const widths = form.widths as number[]
  const total = widths.reduce((sum, one) => sum + one, 0)
  const stride = (total + 7) >> 3
  const row = Buffer.alloc(stride)
  let x = 0
  widths.forEach((one, index) => {
    for (let dot = 0; dot < one; dot += 1, x += 1) if (index % 2 === 1) ink(row, stride, x, 0)
  })
  const data = Buffer.concat(Array.from({ length: height }, () => row))
  return { kind: 'barcode', ...(text > 0 ? { content, captions: text } : {}), width: total, height, scaleX: 1, scaleY: 1, data }
}

/** `{A`, `{B`, `{C` choose the code set, `{{` is a brace; in set C a byte stands for two digits. */
function code128Text(body: Buffer): string {
  let text = ''
  let pairs = false
  for (let at = 0; at < body.length; at += 1) {
    const byte = body[at] ?? 0
    if (byte === 0x7b) {
      at += 1
      const next = body[at]
      if (next === 0x7b) text += '{'
      else pairs = next === 0x43
    } else text += pairs ? String(byte).padStart(2, '0') : String.fromCharCode(byte)
  }
  return text
}

function ink(data: Buffer, stride: number, x: number, y: number): void {
  const at = y * stride + (x >> 3)
  data[at] = (data[at] ?? 0) | (0x80 >> (x & 7))
}
