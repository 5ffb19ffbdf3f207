/**
 * How long each ESC/POS command is. Source: Epson ESC/POS Command Reference, the clause of the command's name. Enough to walk over
 * a till's bytes without knowing what each command does; data is skipped by the length the command declares.
 */

export const ESC = 0x1b
export const FS = 0x1c
export const GS = 0x1d
export const DLE = 0x10
/** Not Epson's: Seiko's `DC2 q n`, and what small print units of other makes know. */
export const DC2 = 0x12

/**
 * `more`: the head is not all there yet, at least this many bytes of it are needed. `head`: its length, and that of the data after
 * it; `ends: 0` for data up to a NUL, at most `data` bytes. `groups`: after the head so many sub-heads of `groupHead` bytes, each
 * with data of its own. `known: false`: no such command; the length is a guess.
 */
export type Shape =
  | { more: number }
  | { head: number; data: number; known: boolean; ends?: 0; groups?: number; groupHead?: number; groupData?: (head: Uint8Array) => number }

const whole = (head: number): Shape => ({ head, data: 0, known: true })
const withData = (head: number, data: number): Shape => ({ head, data, known: true })
const unknown = (head: number): Shape => ({ head, data: 0, known: false })
const more = (bytes: number): Shape => ({ more: bytes })

/** Bytes of the longest head. */
export const HEAD_MOST = 16
/** Of data that ends with NUL; bar codes hold 255 at most. */
const TO_NUL = 255
/** `ESC D` takes 32 tab stops. */
const TABS = 33

const u16 = (bytes: Uint8Array, at: number): number => (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8)
const u32 = (bytes: Uint8Array, at: number): number => u16(bytes, at) + u16(bytes, at + 2) * 0x10000

/** Total length of commands whose length never varies, by lead byte and letter. */
const FIXED: Readonly<Record<number, Readonly<Record<string, number>>>> = {
  [ESC]: {
    ...lengths(2, '@2im<LSv\f'),
    ...lengths(3, ' !%-3=?AEGJKMRTUVadertu{'),
    ...lengths(4, '$\\cf'),
    p: 5,
    W: 10,
    // Buzzers of Chinese makes: `ESC B n t`, `ESC C m t n`.
    B: 4,
    C: 5,
  },
  [FS]: { ...lengths(2, '&.'), ...lengths(3, '!-CW'), S: 4, '?': 4, p: 4 },
  [GS]: { ...lengths(2, ':E'), ...lengths(3, '!/BHIabfhrwTcj#'), ...lengths(4, '$LWP\\'), '^': 5, z: 4 },
}

function lengths(length: number, letters: string): Record<string, number> {
  return Object.fromEntries([...letters].map((letter) => [letter, length]))
}

/** `head` begins with DLE, DC2, ESC, FS or GS. */
export function shapeOf(head: Uint8Array): Shape {
  const [lead, second] = head
  if (second === undefined) return more(2)
  if (lead === DLE) return realtime(head, second)
  const letter = String.fromCharCode(second)
  if (lead === DC2) return unitShape(head, letter)
  if (lead === GS) return groupShape(head, letter) ?? fixedShape(GS, letter)
  if (lead === FS) return kanjiShape(head, letter) ?? fixedShape(FS, letter)
  return escapeShape(head, letter) ?? fixedShape(ESC, letter)
}

function fixedShape(lead: number, letter: string): Shape {
  const length = FIXED[lead]?.[letter]
  // What is not known is taken for lead and letter; its parameters, if any, come out as text of a byte or two.
  return length === undefined ? unknown(2) : whole(length)
}

function realtime(head: Uint8Array, second: number): Shape {
  const third = head[2]
  switch (second) {
    case 0x04:
      // n = 7, 8 and 18 have a second parameter.
      if (third === undefined) return more(3)
      return whole(third === 7 || third === 8 || third === 18 ? 4 : 3)
    case 0x05:
      return whole(3)
    case 0x14:
      if (third === undefined) return more(3)
      return whole(third === 8 ? 10 : 5)
    default:
      return unknown(1)
  }
}

function unitShape(head: Uint8Array, letter: string): Shape {
  switch (letter) {
    case 'q':
    case '#':
      return whole(3)
    case '*':
      // Bit image: rows, bytes across.
      return head.length < 4 ? more(4) : withData(4, (head[2] ?? 0) * (head[3] ?? 0))
    default:
      return unknown(1)
  }
}

function escapeShape(head: Uint8Array, letter: string): Shape | undefined {
  switch (letter) {
    case '*': {
      if (head.length < 5) return more(5)
      const deep = (head[2] ?? 0) >= 32 ? 3 : 1
      return withData(5, u16(head, 3) * deep)
    }
    case 'D':
      return { head: 2, data: TABS, known: true, ends: 0 }
    case '&': {
      if (head.length < 5) return more(5)
      const [height = 0, first = 0, last = 0] = head.subarray(2)
      return {
        head: 5,
        data: 0,
        known: true,
        groups: Math.max(0, last - first + 1),
        groupHead: 1,
        groupData: (one) => (one[0] ?? 0) * height,
      }
    }
    case '(':
      return head.length < 5 ? more(5) : withData(5, u16(head, 3))
    default:
      return undefined
  }
}

function kanjiShape(head: Uint8Array, letter: string): Shape | undefined {
  switch (letter) {
    case '(':
      return head.length < 5 ? more(5) : withData(5, u16(head, 3))
    case 'q':
      // NV bit images: each says its size in bytes across and down, 8 x 8 dots a unit.
      if (head.length < 3) return more(3)
      return { head: 3, data: 0, known: true, groups: head[2] ?? 0, groupHead: 4, groupData: (one) => u16(one, 0) * u16(one, 2) * 8 }
    case '2':
      // A character of 24 x 24 dots.
      return head.length < 4 ? more(4) : withData(4, 72)
    case 'g':
      // `FS g 1 m a1-a4 nL nH d…` writes user memory, `FS g 2 m a1-a4 nL nH` reads it.
      if (head.length < 3) return more(3)
      if (head[2] === 0x32) return whole(10)
      return head.length < 10 ? more(10) : withData(10, u16(head, 8))
    default:
      return undefined
  }
}

function groupShape(head: Uint8Array, letter: string): Shape | undefined {
  const third = head[2]
  switch (letter) {
    case '(':
      return head.length < 5 ? more(5) : withData(5, u16(head, 3))
    case '8':
      return head.length < 7 ? more(7) : withData(7, u32(head, 3))
    case 'V':
      if (third === undefined) return more(3)
      return whole([65, 66, 97, 98, 103, 104].includes(third) ? 4 : 3)
    case 'v':
      return head.length < 8 ? more(8) : withData(8, u16(head, 4) * u16(head, 6))
    case '*':
      return head.length < 4 ? more(4) : withData(4, (head[2] ?? 0) * (head[3] ?? 0) * 8)
    case 'Q':
      // `GS Q 0 m xL xH yL yH d…`, variable vertical size bit image.
      return head.length < 8 ? more(8) : withData(8, u16(head, 4) * u16(head, 6))
    case 'D':
      // `GS D m fn a kc1 kc2 b xL…`: down-loads a Windows BMP, whose own header holds its size.
      return head.length < 13 ? more(13) : withData(7, Math.max(6, u32(head, 9)))
    case 'k':
      if (third === undefined) return more(3)
      if (third < 65) return { head: 3, data: TO_NUL + 1, known: true, ends: 0 }
      return head.length < 4 ? more(4) : withData(4, head[3] ?? 0)
    case 'C':
      // Counter: `GS C 0 n m`, `GS C 1 aL aH bL bH n r`, `GS C 2 nL nH`.
      if (third === undefined) return more(3)
      return third % 48 === 1 ? whole(9) : whole(5)
    default:
      return undefined
  }
}
