/** A till's stream to receipts: lines of text between two cuts, or up to a silence. Pure; it holds one receipt, whatever comes. */
import { Layout, type Row, rowText } from '../paper/layout.ts'
import type { Encoding } from './encodings.ts'
import type { Modes } from './modes.ts'
import { DLE, ESC, FS, GS } from './shapes.ts'
import { type Token, Tokenizer } from './tokenizer.ts'

export interface CaptureOptions {
  encoding: Encoding
  /** Characters in a line. */
  width: number
}

export interface CapturedPaper {
  lines: string[]
  /** Place in the stream of its first byte, and of the one after its last. */
  from: number
  to: number
  /** Bytes of bit images. */
  raster: number
  /** Stored images and codes printed. */
  symbols: number
  /** Letters and digits among the lines; 0 with raster: nothing that can be read. */
  letters: number
  /** Drawer pulses. */
  drawer: number
  end: 'cut' | 'quiet' | 'closed'
  /** False: the stream ended in the middle of a command, or there were more lines than are kept. */
  whole: boolean
}

export type CaptureEvent =
  | { kind: 'bytes'; chunk: Buffer }
  /** Nothing has come for long enough. */
  | { kind: 'quiet' }
  | { kind: 'closed' }

export type CaptureEffect =
  | { kind: 'receipt'; paper: CapturedPaper; cut?: Cut }
  /** The drawer was opened, in a receipt or without one. */
  | { kind: 'drawer' }

export interface Cut {
  /** Place in the stream of the cut command's first byte. */
  at: number
  /** The printer feeds to its cutter by itself. */
  feeds: boolean
  /** Something stands on a line that was not ended. */
  lineOpen: boolean
  /** Why nothing may be put before this cut: modes and place of the print head are not known for sure. */
  unsafe?: string
  modes: Modes
}

/** Longer receipts are cut short: `whole: false`. */
const LINES_MOST = 500
const COLUMNS_MOST = 160

export class CaptureState {
  readonly tokenizer: Tokenizer
  readonly layout: Layout
  lines: string[] = []
  letters = 0
  raster = 0
  symbols = 0
  drawer = 0
  dropped = false
  unknown = false
  from = 0

  constructor(options: CaptureOptions) {
    this.tokenizer = new Tokenizer({ keep: smallParameters })
    this.layout = new Layout(options.encoding, options.width, (row) => addRow(this, row))
  }

  /** Something of a receipt is on the paper that has not been cut off. */
  get open(): boolean {
    return this.lines.length > 0 || this.raster > 0 || this.symbols > 0 || this.layout.lineOpen
  }
}

export const captureMachine = {
  step(state: CaptureState, event: CaptureEvent): readonly CaptureEffect[] {
    if (event.kind === 'bytes') return bytes(state, event.chunk)
    // A silence in the middle of a command is the line's, not the receipt's end.
    if (event.kind === 'quiet' && state.tokenizer.inside) return []
    state.layout.finish()
    const whole = !state.tokenizer.inside
    const effects: CaptureEffect[] = state.open ? [{ kind: 'receipt', paper: take(state, state.tokenizer.place, event.kind, whole) }] : []
    reset(state, state.tokenizer.place)
    return effects
  },
}

function bytes(state: CaptureState, chunk: Buffer): CaptureEffect[] {
  const effects: CaptureEffect[] = []
  for (const token of state.tokenizer.feed(chunk)) {
    if (token.kind === 'command') command(state, token, effects)
    // Nothing of it would be kept.
    else if (token.kind === 'text' && state.lines.length >= LINES_MOST) state.dropped = true
    else state.layout.apply(token)
  }
  return effects
}

function command(state: CaptureState, token: Extract<Token, { kind: 'command' }>, effects: CaptureEffect[]): void {
  if (!token.known) state.unknown = true
  if (isPulse(token)) {
    state.drawer += 1
    effects.push({ kind: 'drawer' })
    return
  }
  if (!isCut(token)) {
    state.raster += rasterBytes(token)
    if (printsSymbol(token)) state.symbols += 1
    state.layout.apply(token)
    return
  }
  const { layout } = state
  const lineOpen = layout.lineOpen
  const cut: Cut = { at: token.at, feeds: feedsToCutter(token), lineOpen, modes: { ...layout.modes }, ...unsafeReason(state) }
  layout.finish()
  const end = token.at + token.head.length
  if (state.open) effects.push({ kind: 'receipt', paper: take(state, end, 'cut', true), cut })
  reset(state, end)
}

function unsafeReason({ unknown, dropped, layout: { modes } }: CaptureState): { unsafe?: string } {
  if (dropped) return { unsafe: 'too-long' }
  if (unknown) return { unsafe: 'unknown-command' }
  if (modes.pageMode) return { unsafe: 'page-mode' }
  if (modes.macro) return { unsafe: 'macro' }
  if (modes.upsideDown) return { unsafe: 'upside-down' }
  return {}
}

function addRow(state: CaptureState, row: Row): void {
  const all = rowText(row)
  const text = all.slice(0, COLUMNS_MOST)
  if (all.length > COLUMNS_MOST) state.dropped = true
  const letters = countLetters(text)
  state.letters += letters
  // Empty lines before the first line say nothing, and would make a receipt of the feed after a cut.
  if (text === '' && state.lines.length === 0) return
  if (state.lines.length >= LINES_MOST) {
    state.dropped = state.dropped || letters > 0
    return
  }
  state.lines.push(text)
}

function countLetters(text: string): number {
  return text.match(/[\p{L}\p{N}]/gu)?.length ?? 0
}

function take(state: CaptureState, to: number, end: CapturedPaper['end'], whole: boolean): CapturedPaper {
  const { raster, symbols, letters, drawer, from, dropped } = state
  const lines = state.lines
  while (lines.at(-1) === '') lines.pop()
  return { lines, from, to, raster, symbols, letters, drawer, end, whole: whole && !dropped }
}

function reset(state: CaptureState, from: number): void {
  Object.assign(state, { lines: [], letters: 0, raster: 0, symbols: 0, drawer: 0, dropped: false, unknown: false, from })
}

/** Parameters that are read; all other data is passed over. */
function smallParameters(lead: number, letter: string, data: number): number {
  if (lead === ESC && letter === 'D') return 33
  return lead === FS && letter === '(' ? Math.min(data, 4) : 0
}

function isPulse({ lead, letter, head }: Extract<Token, { kind: 'command' }>): boolean {
  return (lead === ESC && letter === 'p') || (lead === DLE && head[1] === 0x14 && head[2] === 1)
}

export function isCut({ lead, letter }: Extract<Token, { kind: 'command' }>): boolean {
  return lead === GS ? letter === 'V' : lead === ESC && (letter === 'i' || letter === 'm')
}

/** `GS V 65/66/97/98/103/104 n`: feeds the paper to the cutting position first. */
function feedsToCutter({ lead, head }: Extract<Token, { kind: 'command' }>): boolean {
  return lead === GS && (head[2] ?? 0) >= 65
}

function rasterBytes({ lead, letter, head, data }: Extract<Token, { kind: 'command' }>): number {
  if (lead === ESC) return letter === '*' ? data : 0
  if (lead !== GS) return 0
  if (letter === 'v' || letter === 'Q') return data
  if (letter === '8' || letter === '(') return String.fromCharCode(head[2] ?? 0) === 'L' && data > 10 ? data : 0
  return 0
}

/** Stored images (`FS p`, `GS /`) and bar codes. A `GS ( k` counts whatever it does: one code is several of them. */
function printsSymbol({ lead, letter, head }: Extract<Token, { kind: 'command' }>): boolean {
  if (lead === FS) return letter === 'p'
  if (lead !== GS) return false
  return letter === 'k' || letter === '/' || (letter === '(' && String.fromCharCode(head[2] ?? 0) === 'k')
}
