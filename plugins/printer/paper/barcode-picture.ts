/** Bars of a `GS k` command as dots. Source: Epson ESC/POS Command Reference, `GS k` function B. */
import { barcode } from 'receiptline'
import type { Picture } from './paper.ts'

type Kind = 'upc' | 'ean' | 'code39' | 'itf' | 'codabar' | 'code93' | 'code128'

const KINDS: Record<number, Kind> = {
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

/** Undefined for a type or content that cannot be drawn. */
export function barcodePicture(type: number, data: Buffer, width: number, height: number): Omit<Picture, 'x'> | undefined {
  const kind = KINDS[type]
  if (kind === undefined) return undefined
  const content = kind === 'code128' ? code128Text(data) : data.toString('latin1')
  const form: { widths?: number[]; length?: number; text?: string } = barcode.generate({
    data: content,
    type: kind,
    width,
    height,
    hri: false,
  })
  if (!form.widths || !form.length) return undefined
  const stride = (form.length + 7) >> 3
  const bits = Buffer.alloc(stride)
  let at = 0
  form.widths.forEach((wide, index) => {
    if (index % 2 === 1) for (let x = at; x < at + wide; x += 1) bits[x >> 3] = (bits[x >> 3] ?? 0) | (0x80 >> (x & 7))
    at += wide
  })
  return { kind: 'barcode', content: form.text ?? content, width: form.length, height: 1, scaleX: 1, scaleY: height, data: bits }
}

/** `{A`, `{B`, `{C` choose a code set, `{{` is a brace; in set C a byte is two digits. */
function code128Text(data: Buffer): string {
  let text = ''
  let set = 'B'
  for (let at = 0; at < data.length; at += 1) {
    const byte = data[at] ?? 0
    if (byte !== 0x7b) {
      text += set === 'C' ? String(byte).padStart(2, '0') : String.fromCharCode(byte)
      continue
    }
    const next = String.fromCharCode(data[at + 1] ?? 0)
    if (next === 'A' || next === 'B' || next === 'C') set = next
    else if (next === '{') text += '{'
    at += 1
  }
  return text
}
