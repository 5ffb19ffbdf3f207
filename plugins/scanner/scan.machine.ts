/**
 * One scanner's stream, decided: frames into scans, repeats folded, garbage held back. The shell feeds it bytes and silence with
 * the monotonic time, and emits what it says.
 */
import type { Machine } from '../../daemon/contract/machine.ts'
import { Framer, type FramerOptions, type FrameSink } from './protocol/framing.ts'
import type { PayChannel } from './protocol/pay.ts'
import { type OwnPrefixes, type Routed, route } from './protocol/route.ts'
import { decodeText, type Encoding } from './protocol/text.ts'

export interface ScanOptions extends FramerOptions {
  encoding: Encoding
  prefixes: OwnPrefixes
  /** The same code again within this many ms is the same scan; 0: never. */
  repeatMs: number
  /** Shorter texts are noise. */
  minLength: number
}

export type ScanEvent =
  | { kind: 'bytes'; chunk: Buffer; now: number }
  /** Nothing has come for the time the last `wake` named. */
  | { kind: 'quiet'; now: number }
  /** The port is gone: a half line is dropped, a code of a scanner without suffix is let through. */
  | { kind: 'lost'; now: number }
  /** Input was lost below us. */
  | { kind: 'damaged' }
  /** One whole code, as `simulate` gives it. */
  | { kind: 'code'; text: string; now: number }

/** Data of `scanner.scan`, without the till. */
export interface ScanData extends Routed {
  /** Hex of the bytes, at most 256 of them, where `code` cannot show what they were. Never of anything masked. */
  raw?: string
}

export type ScanEffect =
  | { kind: 'scan'; data: ScanData; pay?: { code: string; channel: PayChannel } }
  /** The line brings nothing readable (wrong speed, a broken cable), or does so again. */
  | { kind: 'garbage'; on: boolean }
  /** Tell me `quiet` after this much silence, in ms; 0: no need. */
  | { kind: 'wake'; ms: number }

export interface ScanCounters {
  scans: number
  repeats: number
  /** Frames held back as garbage, and lines that were cut. */
  garbage: number
  cut: number
}

/** Unreadable frames closer together than this are one burst of garbage, of which the first is shown. */
const BURST_MS = 250
/** So many unreadable frames with no good one in between: the line itself is wrong, however slowly they come. */
const BAD_LINE = 3
const RAW_BYTES = 256
/** Codes remembered for folding, at most, in each of two generations. */
const REMEMBER = 2_048

export class ScanState {
  readonly options: ScanOptions
  readonly framer: Framer
  readonly counters: ScanCounters = { scans: 0, repeats: 0, garbage: 0, cut: 0 }
  /** Code -> when it was taken: since `turned`, and before it. */
  young: Map<string, number> = new Map()
  old: Map<string, number> = new Map()
  turned = Number.NEGATIVE_INFINITY
  garbage = false
  /** The last terminator ended an overlong frame: the line is in step again. */
  resynced = false
  /** Unreadable frames in a row. */
  unreadable = 0
  lastUnreadable = Number.NEGATIVE_INFINITY
  wakeMs = 0

  constructor(options: ScanOptions) {
    this.options = options
    this.framer = new Framer(options)
  }
}

export const scanMachine: Machine<ScanState, ScanEvent, ScanEffect> = {
  step(state, event) {
    const effects: ScanEffect[] = []
    if (event.kind === 'code') {
      take(state, event.text, undefined, event.now, effects)
      return effects
    }
    const sink = sinkOf(state, 'now' in event ? event.now : 0, effects)
    if (event.kind === 'bytes') state.framer.push(event.chunk, sink)
    else if (event.kind === 'quiet') state.framer.quiet(sink)
    else if (event.kind === 'lost') state.framer.lost(sink)
    else state.framer.damaged(sink)
    const ms = state.framer.waitMs
    // While bytes come the wait starts anew with each chunk; otherwise only a change is news.
    if (ms !== state.wakeMs || (ms > 0 && event.kind === 'bytes')) effects.push({ kind: 'wake', ms })
    state.wakeMs = ms
    return effects
  },
}

function sinkOf(state: ScanState, now: number, effects: ScanEffect[]): FrameSink {
  return {
    frame(bytes) {
      const { text, clean } = decodeText(bytes, state.options.encoding)
      if (text.length < state.options.minLength) return
      if (clean) readable(state, text, now, effects)
      else unreadable(state, text, bytes, now, effects)
    },
    overlong() {
      state.counters.garbage += 1
      state.resynced = true
      setGarbage(state, true, effects)
    },
    cut() {
      state.counters.cut += 1
    },
  }
}

function readable(state: ScanState, text: string, now: number, effects: ScanEffect[]): void {
  if (state.garbage) {
    // Random bytes hold short printable runs: inside a burst only what proves itself counts.
    const burst = now - state.lastUnreadable < BURST_MS && !state.resynced
    if (burst && route(text, state.options.prefixes).routed.kind === 'unknown') {
      state.counters.garbage += 1
      return
    }
    setGarbage(state, false, effects)
  }
  state.unreadable = 0
  // A good code shows that the line is in step: what is unreadable after it is no burst.
  if (now - state.lastUnreadable < BURST_MS && route(text, state.options.prefixes).routed.kind !== 'unknown')
    state.lastUnreadable = Number.NEGATIVE_INFINITY
  take(state, text, undefined, now, effects)
}

function unreadable(state: ScanState, text: string, bytes: Buffer, now: number, effects: ScanEffect[]): void {
  const burst = now - state.lastUnreadable < BURST_MS
  state.lastUnreadable = now
  state.unreadable += 1
  state.resynced = false
  if (burst || state.unreadable >= BAD_LINE) setGarbage(state, true, effects)
  if (burst) state.counters.garbage += 1
  else take(state, text, bytes, now, effects)
}

function setGarbage(state: ScanState, on: boolean, effects: ScanEffect[]): void {
  if (!on) {
    state.resynced = false
    state.lastUnreadable = Number.NEGATIVE_INFINITY
  }
  if (state.garbage === on) return
  state.garbage = on
  effects.push({ kind: 'garbage', on })
}

function take(state: ScanState, text: string, bytes: Buffer | undefined, now: number, effects: ScanEffect[]): void {
  const { routed, payCode, redacted } = route(text, state.options.prefixes)
  // An identifier with nothing behind it.
  if (routed.code === '') return
  if (isRepeat(state, text, payCode !== undefined, now)) {
    state.counters.repeats += 1
    return
  }
  state.counters.scans += 1
  const data: ScanData = bytes && !redacted ? { ...routed, raw: bytes.subarray(0, RAW_BYTES).toString('hex') } : routed
  if (payCode !== undefined && routed.channel) effects.push({ kind: 'scan', data, pay: { code: payCode, channel: routed.channel } })
  else effects.push({ kind: 'scan', data })
}

/**
 * A product counts from its last accepted scan, so that the third of three equal cans is not lost to a cashier who is quick. A
 * pay code counts from when it was last seen: a phone lying under a presentation scanner is one payment however long it lies.
 */
function isRepeat(state: ScanState, text: string, pay: boolean, now: number): boolean {
  const { repeatMs } = state.options
  if (repeatMs === 0) return false
  // Two generations instead of one list by age: nothing is ever walked through, and both are dropped whole.
  if (now - state.turned >= repeatMs || state.young.size >= REMEMBER) {
    state.old = state.young
    state.young = new Map()
    state.turned = now
  }
  const at = state.young.get(text) ?? state.old.get(text)
  const repeated = at !== undefined && now - at < repeatMs
  if (!repeated || pay) state.young.set(text, now)
  return repeated
}
