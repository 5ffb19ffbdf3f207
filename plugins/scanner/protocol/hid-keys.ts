/** `struct input_event` records into text, as a keyboard driver would make it (linux/input.h, Documentation/input/event-codes). */
import { COMBINING, KEYS, LAYOUTS, type Layout, type LayoutName } from './hid-layout.ts'

const EV_SYN = 0
const EV_KEY = 1
const SYN_DROPPED = 3
const UP = 0
const DOWN = 1

const ENTER = 28
const TAB = 15
const SPACE = 57
const CAPS = 58
const KP_ENTER = 96
const LEFT_CTRL = 29
const RIGHT_CTRL = 97
const LEFT_SHIFT = 42
const RIGHT_SHIFT = 54
const LEFT_ALT = 56
const RIGHT_ALT = 100

/** The numeric pad, as with Num Lock on: scanners that use it mean digits. */
const PAD: Readonly<Record<number, string>> = {
  71: '7',
  72: '8',
  73: '9',
  75: '4',
  76: '5',
  77: '6',
  79: '1',
  80: '2',
  81: '3',
  82: '0',
  55: '*',
  74: '-',
  78: '+',
  83: '.',
  98: '/',
}

/** Bytes of one record: two `long`s of time, then type, code (16 bits each) and value (32 bits). */
export function eventBytes(arch: string): 16 | 24 {
  return ['arm', 'ia32', 'mips', 'mipsel', 'ppc', 's390'].includes(arch) ? 16 : 24
}

export interface Keyed {
  /** CR ends each code, whatever key the scanner ends it with. */
  text: string
  /** The kernel's queue ran over: key strokes are missing. */
  dropped: boolean
}

export class KeyReader {
  readonly #layout: Layout
  readonly #bytes: number
  readonly #index = new Map(KEYS.map((key, index) => [key, index]))
  readonly #down = new Set<number>()
  /** A record cut by the end of a read. */
  #rest: Buffer = Buffer.alloc(0)
  #caps = false
  /** A dead key waits for what it goes on. */
  #dead = ''
  /** Digits typed on the pad while Alt is down: a character's code. */
  #altCode = ''

  constructor(layout: LayoutName, bytes: 16 | 24 = eventBytes(process.arch)) {
    this.#layout = LAYOUTS[layout]
    this.#bytes = bytes
  }

  push(chunk: Buffer): Keyed {
    const all = this.#rest.length > 0 ? Buffer.concat([this.#rest, chunk]) : chunk
    let text = ''
    let dropped = false
    let at = 0
    for (; at + this.#bytes <= all.length; at += this.#bytes) {
      const type = all.readUInt16LE(at + this.#bytes - 8)
      const code = all.readUInt16LE(at + this.#bytes - 6)
      if (type === EV_KEY) text += this.#key(code, all.readInt32LE(at + this.#bytes - 4))
      else if (type === EV_SYN && code === SYN_DROPPED) {
        dropped = true
        text = ''
        this.#forget()
      }
    }
    this.#rest = Buffer.from(all.subarray(at))
    return { text, dropped }
  }

  /** Which keys are down is unknown after a loss. */
  #forget(): void {
    this.#down.clear()
    this.#dead = ''
    this.#altCode = ''
  }

  #key(code: number, value: number): string {
    if (value === UP) {
      this.#down.delete(code)
      return code === LEFT_ALT ? this.#endAltCode() : ''
    }
    // Autorepeat (2) is a slow reader's artefact: the scanner pressed once.
    if (value !== DOWN) return ''
    this.#down.add(code)
    if (code === CAPS) this.#caps = !this.#caps
    if (code === ENTER || code === KP_ENTER || code === TAB) return `${this.#flushDead()}\r`
    const pad = PAD[code]
    if (pad !== undefined) {
      if (!this.#down.has(LEFT_ALT)) return this.#compose(pad)
      this.#altCode += pad
      return ''
    }
    if (code === SPACE) return this.#compose(' ')
    const index = this.#index.get(code)
    return index === undefined ? '' : this.#typed(index)
  }

  #typed(index: number): string {
    const plain = this.#layout.plain.charAt(index)
    if (this.#down.has(LEFT_CTRL) || this.#down.has(RIGHT_CTRL)) {
      // AltGr is Ctrl+Alt to scanners made for Windows.
      if (!this.#down.has(LEFT_ALT)) return control(plain)
      return this.#compose(this.#layout.altgr[plain] ?? '', true)
    }
    if (this.#down.has(RIGHT_ALT)) return this.#compose(this.#layout.altgr[plain] ?? '', true)
    const shift = this.#layout.shift.charAt(index)
    const letter = plain.toUpperCase() === shift && plain !== shift
    const shifted = (this.#down.has(LEFT_SHIFT) || this.#down.has(RIGHT_SHIFT)) !== (this.#caps && letter)
    const typed = shifted ? shift : plain
    return typed === ' ' ? '' : this.#compose(typed)
  }

  #compose(typed: string, level3 = false): string {
    if (this.#dead !== '') {
      const waiting = this.#dead
      this.#dead = ''
      if (typed === ' ') return waiting
      const composed = (typed + (COMBINING[waiting] ?? '')).normalize('NFC')
      return [...composed].length === 1 ? composed : waiting + typed
    }
    // What AltGr types is the character itself, even where the same one is a dead key elsewhere.
    if (typed !== '' && !level3 && this.#layout.dead.includes(typed)) {
      this.#dead = typed
      return ''
    }
    return typed
  }

  #flushDead(): string {
    const waiting = this.#dead
    this.#dead = ''
    return waiting
  }

  /** Alt+029 is GS: scanners send what their layout has no key for this way. Up to 255 windows-1252, above it Unicode. */
  #endAltCode(): string {
    const digits = this.#altCode
    this.#altCode = ''
    if (!/^\d{1,6}$/.test(digits)) return ''
    const code = Number(digits)
    if (code === 0 || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) return ''
    return code < 256 ? new TextDecoder('windows-1252').decode(Uint8Array.of(code)) : String.fromCodePoint(code)
  }
}

/** Ctrl+] is GS, Ctrl+M is CR (ECMA-48, columns 4 and 5 down to 0 and 1). */
function control(plain: string): string {
  const code = plain.toUpperCase().charCodeAt(0)
  return code >= 0x40 && code <= 0x5f ? String.fromCharCode(code & 0x1f) : ''
}
