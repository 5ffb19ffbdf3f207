/** The other end of `hid:`: text as key strokes, `struct input_event` records ready to be written. */
import { eventBytes } from '../protocol/hid-keys.ts'
import { KEYS, LAYOUTS, type Layout, type LayoutName } from '../protocol/hid-layout.ts'

const EV_KEY = 1
const LEFT_SHIFT = 42
const RIGHT_ALT = 100
const LEFT_ALT = 56
const SPACE = 57
export const ENTER = 28
/** Numeric pad 0-9. */
const PAD = [82, 79, 80, 81, 75, 76, 77, 71, 72, 73]

/** A key pressed and released, then the report's end. */
export function stroke(key: number, held: readonly number[] = []): Buffer {
  return Buffer.concat([...held.map((one) => press(one, 1)), press(key, 1), press(key, 0), ...held.map((one) => press(one, 0)), sync()])
}

export function typed(text: string, layoutName: LayoutName): Buffer {
  const layout: Layout = LAYOUTS[layoutName]
  return Buffer.concat([...text].map((one) => character(one, layout)))
}

function character(one: string, layout: Layout): Buffer {
  if (one === ' ') return stroke(SPACE)
  const plain = layout.plain.indexOf(one)
  const dead = layout.dead.includes(one)
  const after = dead ? stroke(SPACE) : Buffer.alloc(0)
  if (plain >= 0) return Buffer.concat([stroke(KEYS[plain] as number), after])
  const shift = layout.shift.indexOf(one)
  if (shift >= 0) return Buffer.concat([stroke(KEYS[shift] as number, [LEFT_SHIFT]), after])
  const base = Object.entries(layout.altgr).find(([, level3]) => level3 === one)?.[0]
  if (base !== undefined) return stroke(KEYS[layout.plain.indexOf(base)] as number, [RIGHT_ALT])
  const code = [...`0${one.codePointAt(0)}`].map((digit) => PAD[Number(digit)] as number)
  return Buffer.concat([press(LEFT_ALT, 1), ...code.flatMap((key) => [press(key, 1), press(key, 0)]), press(LEFT_ALT, 0), sync()])
}

export function press(key: number, value: 0 | 1 | 2): Buffer {
  return record(EV_KEY, key, value)
}

function sync(): Buffer {
  return record(0, 0, 0)
}

/** One record, its time left at zero. */
export function record(type: number, code: number, value: number): Buffer {
  const size = eventBytes(process.arch)
  const bytes = Buffer.alloc(size)
  bytes.writeUInt16LE(type, size - 8)
  bytes.writeUInt16LE(code, size - 6)
  bytes.writeInt32LE(value, size - 4)
  return bytes
}
