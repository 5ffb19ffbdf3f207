/**
 * What a printer says about itself: bytes to meaning, pure.
 * Source: Epson ESC/POS Command Reference, `DLE EOT n`, `GS a n` (Automatic Status Back), `GS r n`.
 */
import type { DeviceState } from '../../../daemon/contract/plugin.ts'

export type Paper = 'ok' | 'low' | 'out' | 'unknown'

export interface StatusReport {
  online: boolean
  coverOpen: boolean
  paper: Paper
  /** The paper feed button is held down. */
  feeding: boolean
  /** Cutter jammed, mends only by hand (`error`), or by itself when the head has cooled (`overheated`). */
  error?: 'cutter-error' | 'overheated' | 'error'
  /** Drawer kick-out connector pin 3 is high; whether that means open depends on the drawer. */
  drawerPin: boolean
}

/** The answers to `DLE EOT` 1 to 4, each with its fixed bits checked by `isRealtime`. */
export type StatusBytes = readonly [printer: number, offline: number, error: number, paper: number]

/** `DLE EOT` answers are 0xx1xx10. */
export const isRealtime = (byte: number): boolean => (byte & 0x93) === 0x12
/** The first of four ASB bytes is 0xx1xx00. */
const isAsbHead = (byte: number): boolean => (byte & 0x93) === 0x10
/** The other three, and the answer to `GS r`, are 0xx0xxxx. */
const isPlain = (byte: number): boolean => (byte & 0x90) === 0x00

export function decodeStatus([printer, offline, error, paper]: StatusBytes): StatusReport {
  return report({
    online: (printer & 0x08) === 0,
    drawerPin: (printer & 0x04) !== 0,
    coverOpen: (offline & 0x04) !== 0,
    feeding: (offline & 0x08) !== 0,
    paper: (paper & 0x60) !== 0 || (offline & 0x20) !== 0 ? 'out' : (paper & 0x0c) !== 0 ? 'low' : 'ok',
    cutter: (error & 0x08) !== 0,
    unrecoverable: (error & 0x20) !== 0,
    heat: (error & 0x40) !== 0,
    other: (error & 0x04) !== 0 || (offline & 0x40) !== 0,
  })
}

export function decodeAsb([first, second, third]: readonly [number, number, number, number]): StatusReport {
  return report({
    online: (first & 0x08) === 0,
    drawerPin: (first & 0x04) !== 0,
    coverOpen: (first & 0x20) !== 0,
    feeding: (first & 0x40) !== 0,
    paper: (third & 0x0c) !== 0 ? 'out' : (third & 0x03) !== 0 ? 'low' : 'ok',
    cutter: (second & 0x08) !== 0,
    unrecoverable: (second & 0x20) !== 0,
    heat: (second & 0x40) !== 0,
    other: (second & 0x04) !== 0,
  })
}

/** The answer to `GS r 1`. */
export const decodePaperSensor = (byte: number): Paper => ((byte & 0x0c) !== 0 ? 'out' : (byte & 0x03) !== 0 ? 'low' : 'ok')

interface Flags {
  online: boolean
  drawerPin: boolean
  coverOpen: boolean
  feeding: boolean
  paper: Paper
  cutter: boolean
  unrecoverable: boolean
  heat: boolean
  other: boolean
}

function report(flags: Flags): StatusReport {
  const error = flags.cutter
    ? 'cutter-error'
    : flags.unrecoverable
      ? 'error'
      : flags.heat
        ? 'overheated'
        : flags.other
          ? 'error'
          : undefined
  const { online, coverOpen, paper, feeding, drawerPin } = flags
  return { online, coverOpen, paper, feeding, drawerPin, ...(error === undefined ? {} : { error }) }
}

/** Whether a job may start, and what to show. The most useful word first: an open cover also reads as missing paper. */
export function verdict(status: StatusReport): { ready: boolean; state: DeviceState } {
  const fault = (detail: string) => ({ ready: false, state: { state: 'fault', detail } as DeviceState })
  if (status.coverOpen) return fault('cover-open')
  if (status.error === 'cutter-error') return fault('cutter-error')
  if (status.paper === 'out') return fault('paper-out')
  if (status.error) return fault(status.error)
  if (status.feeding) return fault('feeding')
  if (!status.online) return fault('not-ready')
  return { ready: true, state: status.paper === 'low' ? { state: 'online', detail: 'paper-low' } : { state: 'online' } }
}

export type Reply =
  | { kind: 'realtime'; byte: number }
  | { kind: 'asb'; report: StatusReport }
  /** The answer to `GS r`: everything sent before it has been worked off. */
  | { kind: 'mark'; paper: Paper }
  | { kind: 'garbage'; byte: number }

/** Blocks for people (`GS I` 65 on, the answer to `DLE DC4 8`) start with one of these and end with NUL; nothing in them is a status. */
const BLOCK_HEADS: readonly number[] = [0x37, 0x3d, 0x53, 0x5f]
const LONGEST_BLOCK = 80

const XON = 0x11
const XOFF = 0x13

/** Tells the printer's answers apart by their fixed bits, whatever chunks they come in. */
export class ReplyReader {
  #asb: number[] = []
  #block = 0

  feed(chunk: Uint8Array): Reply[] {
    const replies: Reply[] = []
    for (const byte of chunk) {
      if (byte === XON || byte === XOFF) continue
      if (this.#block > 0) {
        this.#block = byte === 0 ? 0 : this.#block + 1
        if (this.#block > LONGEST_BLOCK) {
          this.#block = 0
          replies.push({ kind: 'garbage', byte })
        }
        continue
      }
      if (this.#asb.length > 0) {
        if (isPlain(byte)) {
          this.#asb.push(byte)
          const [first, second, third, fourth] = this.#asb
          if (first !== undefined && second !== undefined && third !== undefined && fourth !== undefined) {
            this.#asb = []
            replies.push({ kind: 'asb', report: decodeAsb([first, second, third, fourth]) })
          }
          continue
        }
        // An ASB block is never interrupted by anything but flow control: what was collected was none.
        replies.push(...this.#asb.map((odd): Reply => ({ kind: 'garbage', byte: odd })))
        this.#asb = []
      }
      if (BLOCK_HEADS.includes(byte)) this.#block = 1
      else if (isRealtime(byte)) replies.push({ kind: 'realtime', byte })
      else if (isAsbHead(byte)) this.#asb = [byte]
      else if (isPlain(byte)) replies.push({ kind: 'mark', paper: decodePaperSensor(byte) })
      else replies.push({ kind: 'garbage', byte })
    }
    return replies
  }
}
