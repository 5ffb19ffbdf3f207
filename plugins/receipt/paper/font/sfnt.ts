/** A font file's tables: OpenType 1.9, ISO/IEC 14496-22. Only what is needed to draw single characters. */
import { cffOutlines } from './cff.ts'
import { glyfOutlines } from './glyf.ts'

/** Closed polygons: x, y, x, y … in font units, y upwards. Curves are already straight pieces. */
export type Outline = number[][]

export interface Font {
  unitsPerEm: number
  /** 0: the font has no such character. */
  glyphOf(codePoint: number): number
  advanceOf(glyph: number): number
  outlineOf(glyph: number): Outline
}

export type Tables = Map<string, Buffer>

/** The face whose name has most of `wishes` in it, the first of them first. Throws a plain error for what is no font. */
export function openFont(file: Buffer, wishes: readonly string[]): Font {
  const offsets =
    file.toString('latin1', 0, 4) === 'ttcf'
      ? Array.from({ length: file.readUInt32BE(8) }, (_one, at) => file.readUInt32BE(12 + at * 4))
      : [0]
  const faces = offsets.map((offset) => tablesAt(file, offset))
  const rank = (tables: Tables) => {
    const name = familyName(tables)
    return wishes.reduce((sum, wish, at) => sum + (name.includes(wish) ? 2 ** (wishes.length - at) : 0), 0)
  }
  const [best] = [...faces].sort((a, b) => rank(b) - rank(a))
  if (!best) throw new Error('the font file has no face')
  return fontOf(best)
}

function tablesAt(file: Buffer, offset: number): Tables {
  const tables: Tables = new Map()
  const count = file.readUInt16BE(offset + 4)
  for (let at = offset + 12; at < offset + 12 + count * 16; at += 16) {
    const start = file.readUInt32BE(at + 8)
    tables.set(file.toString('latin1', at, at + 4), file.subarray(start, start + file.readUInt32BE(at + 12)))
  }
  return tables
}

export function table(tables: Tables, name: string): Buffer {
  const found = tables.get(name)
  if (!found) throw new Error(`the font has no table "${name}"`)
  return found
}

function familyName(tables: Tables): string {
  const names = tables.get('name')
  if (!names) return ''
  const strings = names.readUInt16BE(4)
  for (let at = 6; at < 6 + names.readUInt16BE(2) * 12; at += 12) {
    if (names.readUInt16BE(at) !== 3 || names.readUInt16BE(at + 6) !== 1) continue
    const start = strings + names.readUInt16BE(at + 10)
    return Buffer.from(names.subarray(start, start + names.readUInt16BE(at + 8)))
      .swap16()
      .toString('utf16le')
  }
  return ''
}

function fontOf(tables: Tables): Font {
  const metrics = table(tables, 'hmtx')
  const long = table(tables, 'hhea').readUInt16BE(34)
  return {
    unitsPerEm: table(tables, 'head').readUInt16BE(18),
    glyphOf: characterMap(table(tables, 'cmap')),
    advanceOf: (glyph) => metrics.readUInt16BE(Math.min(glyph, long - 1) * 4),
    outlineOf: tables.has('glyf') ? glyfOutlines(tables) : cffOutlines(table(tables, 'CFF ')),
  }
}

/** Formats 12 (all of Unicode) and 4 (its first plane). */
function characterMap(cmap: Buffer): (codePoint: number) => number {
  const subtables = Array.from({ length: cmap.readUInt16BE(2) }, (_one, at) => {
    const start = cmap.readUInt32BE(4 + at * 8 + 4)
    return { platform: cmap.readUInt16BE(4 + at * 8), start, format: cmap.readUInt16BE(start) }
  }).filter(({ platform }) => platform === 0 || platform === 3)
  const full = subtables.find(({ format }) => format === 12)
  if (full) return (code) => segmented(cmap.subarray(full.start), code)
  const basic = subtables.find(({ format }) => format === 4)
  if (!basic) throw new Error('the font has no Unicode character map')
  return (code) => deltas(cmap.subarray(basic.start), code)
}

function segmented(map: Buffer, code: number): number {
  let low = 0
  let high = map.readUInt32BE(12) - 1
  while (low <= high) {
    const middle = (low + high) >> 1
    const at = 16 + middle * 12
    if (code < map.readUInt32BE(at)) high = middle - 1
    else if (code > map.readUInt32BE(at + 4)) low = middle + 1
    else return map.readUInt32BE(at + 8) + code - map.readUInt32BE(at)
  }
  return 0
}

function deltas(map: Buffer, code: number): number {
  const twice = map.readUInt16BE(6)
  for (let at = 0; at < twice; at += 2) {
    if (code > map.readUInt16BE(14 + at)) continue
    const first = map.readUInt16BE(16 + twice + at)
    if (code < first) return 0
    const delta = map.readUInt16BE(16 + twice * 2 + at)
    const place = 16 + twice * 3 + at
    const range = map.readUInt16BE(place)
    if (range === 0) return (code + delta) & 0xffff
    const glyph = map.readUInt16BE(place + range + (code - first) * 2)
    return glyph === 0 ? 0 : (glyph + delta) & 0xffff
  }
  return 0
}
