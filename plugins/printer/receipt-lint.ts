/**
 * Finds what receiptline would silently leave out, so that a mistake gives an error and not a gap on the paper.
 * Grammar: OFSC ReceiptLine Specification (lines, columns, properties, escapes).
 */
import { barcode, qrcode } from 'receiptline'
import type { Problem } from '../../daemon/contract/errors.ts'

const KEYS = ['align', 'border', 'code', 'image', 'option', 'text', 'width', 'command', 'comment'] as const
const SHORT: Record<string, (typeof KEYS)[number]> = {
  a: 'align',
  b: 'border',
  c: 'code',
  i: 'image',
  o: 'option',
  t: 'text',
  w: 'width',
  x: 'command',
  _: 'comment',
}
const OPTION = /^(upc|ean|jan|code39|itf|codabar|nw7|code93|code128|qrcode|hri|nohri|l|m|q|h|\d{1,3})$/
const VALUES: Partial<Record<string, { pattern: RegExp; allowed: string }>> = {
  align: { pattern: /^(left|center|right)$/i, allowed: 'left, center or right' },
  border: { pattern: /^(line|space|none|[0-2])$/i, allowed: 'line, space, none or 0 to 2' },
  text: { pattern: /^(wrap|nowrap)$/i, allowed: 'wrap or nowrap' },
  width: { pattern: /^(auto|(\*|\d+)([\t ,]+(\*|\d+))*)$/i, allowed: 'auto, or numbers and * with spaces or commas between' },
}
/** Dots; the largest paper is 832 dots wide (4 inch). */
const IMAGE_WIDTH = 832
const IMAGE_HEIGHT = 4096

/** At most 20 problems, each with its line as path. */
export function lintReceipt(receipt: string): Problem[] {
  const problems: Problem[] = []
  let option: readonly string[] = []
  let printable = false
  for (const [index, line] of receipt.split(/\r\n|\n|\r/).entries()) {
    if (problems.length >= 20) break
    const say = (message: string) => problems.push({ path: `receipt line ${index + 1}`, message })
    const columns = split(line)
    for (const column of columns) {
      if (!/[{}]/.test(column)) {
        if (column !== '') printable = true
        continue
      }
      const properties = parse(column)
      if (typeof properties === 'string') {
        say(properties)
        continue
      }
      if (columns.length > 1) say('a {property} must stand alone on its line; write \\{ and \\} for braces in text')
      for (const [key, value] of properties) {
        const fault = valueFault(key, value)
        if (fault) say(fault)
        if (key === 'option') option = value.toLowerCase().split(/[\t ,]+/)
      }
      const code = properties.get('code')
      if (code !== undefined) {
        const fault = codeFault(code, option)
        if (fault) say(fault)
        printable = true
      }
      if (properties.has('image')) printable = true
    }
  }
  if (!printable && problems.length === 0) problems.push({ path: 'receipt', message: 'has nothing to print' })
  return problems
}

/** Columns of a line, trimmed, with escaped `\\`, `\{`, `\|`, `\}` out of the way. */
function split(line: string): string[] {
  return line
    .replace(/\\[\\{|}]/g, '.')
    .replace(/^[\t ]*\|?|\|?[\t ]*$/g, '')
    .split('|')
    .map((column) => column.trim())
}

function parse(column: string): Map<string, string> | string {
  if (!/^\{[^{}]*\}$/.test(column)) return `"${clip(column)}": braces do not match; write \\{ and \\} for braces in text`
  const properties = new Map<string, string>()
  const members = column
    .slice(1, -1)
    .replace(/\\;/g, '\u0000')
    .split(';')
    .map((member) => member.replaceAll('\u0000', ';').trim())
    .filter((member) => member !== '')
  if (members.length === 0) return 'an empty {} prints nothing'
  for (const member of members) {
    const pair = /^([A-Za-z_]\w*)[\t ]*:[\t ]*(.+)$/s.exec(member)
    const name = pair?.[1] ?? ''
    const key = SHORT[name] ?? KEYS.find((one) => one === name)
    if (key === undefined || pair?.[2] === undefined)
      return `"${clip(member)}" is not a property; known are ${KEYS.join(', ')}, written key: value`
    properties.set(key, pair[2].replace(/\\n/g, '\n'))
  }
  return properties
}

function valueFault(key: string, value: string): string | undefined {
  const rule = VALUES[key]
  if (rule && !rule.pattern.test(value)) return `${key}: "${clip(value)}" must be ${rule.allowed}`
  if (key === 'command') return 'printer commands are not allowed in a receipt; send them as raw'
  if (key === 'image') return imageFault(value)
  if (key !== 'option') return undefined
  const odd = value
    .toLowerCase()
    .split(/[\t ,]+/)
    .find((one) => !OPTION.test(one))
  return odd === undefined ? undefined : `option: "${clip(odd)}" is not a bar code type, size, level or hri`
}

function codeFault(data: string, option: readonly string[]): string | undefined {
  const type = option.find((one) => /^(upc|ean|jan|code39|itf|codabar|nw7|code93|code128|qrcode)$/.test(one)) ?? 'code128'
  if (type === 'qrcode') {
    const level = (['l', 'm', 'q', 'h'] as const).find((one) => option.includes(one)) ?? 'l'
    return qrcode.generate({ data, type, cell: 3, level }).length > 0 ? undefined : 'code: too long for a QR code'
  }
  const form: object = barcode.generate({ data, type: type as 'code128', width: 2, height: 72, hri: false })
  return 'length' in form ? undefined : `code: "${clip(data)}" cannot be a ${type} bar code`
}

/** Looks at the PNG header only: the size decides how much memory decoding takes. */
function imageFault(value: string): string | undefined {
  const png = Buffer.from(value, 'base64')
  if (png.length < 33 || png.readUInt32BE(0) !== 0x89504e47 || png.toString('latin1', 12, 16) !== 'IHDR')
    return 'image: must be a PNG as base64'
  const [width, height] = [png.readUInt32BE(16), png.readUInt32BE(20)]
  return width > 0 && height > 0 && width <= IMAGE_WIDTH && height <= IMAGE_HEIGHT
    ? undefined
    : `image: ${width} x ${height} dots; at most ${IMAGE_WIDTH} x ${IMAGE_HEIGHT} fit`
}

const clip = (text: string): string => (text.length > 40 ? `${text.slice(0, 40)}…` : text)
