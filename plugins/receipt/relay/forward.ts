/**
 * One till's bytes on their way to the printer: handed on first, read after. With something to append before a cut, at most the first
 * bytes of what may be a cut command wait for the rest of it. Whatever goes wrong in reading, the bytes go on.
 */
import {
  type CapturedPaper,
  type CaptureEffect,
  type CaptureOptions,
  CaptureState,
  type Cut,
  captureMachine,
} from '../capture/capture.machine.ts'
import { ESC, GS } from '../capture/shapes.ts'
import { Recorder } from './recorder.ts'

export interface Appended {
  bytes: Buffer
  /** Keyed hash of the claim token on the paper, and the end of its life, RFC 3339. */
  claim?: { hash: string; expires: string }
}

export interface Captured {
  paper: CapturedPaper
  bytes: Buffer
  cutShort: boolean
  appended: Appended | undefined
}

export interface ForwardParts {
  capture: CaptureOptions
  keepBytes: number
  /** Puts bytes on the printer's line. */
  write: (bytes: Buffer) => void
  /** What to print before this cut. Absent: nothing ever is, and no byte waits. */
  append?: (paper: CapturedPaper, cut: Cut) => Appended | undefined
  captured: (captured: Captured) => void
  drawer: () => void
  /** Reading has failed and is given up for this connection. */
  broken: (error: unknown) => void
}

const NOTHING = Buffer.alloc(0)

export class Forward {
  readonly #parts: ForwardParts
  readonly #state: CaptureState
  readonly #recorder: Recorder
  #held: Buffer = NOTHING
  #broken = false

  constructor(parts: ForwardParts) {
    this.#parts = parts
    this.#state = new CaptureState(parts.capture)
    this.#recorder = new Recorder(parts.keepBytes)
  }

  /** Nothing of a receipt is on its way. */
  get between(): boolean {
    return this.#broken || !(this.#state.open || this.#state.tokenizer.inside)
  }

  /** Bytes that wait for the rest of what may be a cut. */
  get holding(): boolean {
    return this.#held.length > 0
  }

  take(chunk: Buffer): void {
    if (this.#parts.append && !this.#broken) this.#look(chunk)
    else {
      this.#parts.write(chunk)
      if (!this.#broken) this.#read(chunk)
    }
  }

  /** The rest did not come: on with what was held. */
  release(): void {
    const held = this.#held
    this.#held = NOTHING
    if (held.length > 0) this.#parts.write(held)
  }

  quiet(): void {
    this.#end('quiet')
  }

  closed(): void {
    this.release()
    this.#end('closed')
  }

  #end(kind: 'quiet' | 'closed'): void {
    if (this.#broken) return
    try {
      this.#tell(captureMachine.step(this.#state, { kind }), new Map())
    } catch (error) {
      this.#fail(error)
    }
  }

  #read(chunk: Buffer): void {
    try {
      this.#tell(this.#step(chunk), new Map())
    } catch (error) {
      this.#fail(error)
    }
  }

  #step(chunk: Buffer): readonly CaptureEffect[] {
    this.#recorder.add(this.#state.tokenizer.place, chunk)
    return captureMachine.step(this.#state, { kind: 'bytes', chunk })
  }

  /** Reads first, because what is appended belongs before the cut. */
  #look(chunk: Buffer): void {
    const start = this.#state.tokenizer.place - this.#held.length
    const waiting = this.#held.length > 0 ? Buffer.concat([this.#held, chunk]) : chunk
    this.#held = NOTHING
    let gone = 0
    const pass = (to: number) => {
      if (to > gone) this.#parts.write(waiting.subarray(gone, to))
      gone = Math.max(gone, to)
    }
    const appended = new Map<CapturedPaper, Appended>()
    try {
      const effects = this.#step(chunk)
      for (const effect of effects) {
        if (effect.kind !== 'receipt' || !effect.cut || effect.cut.at < start) continue
        const extra = this.#parts.append?.(effect.paper, effect.cut)
        if (!extra) continue
        pass(effect.cut.at - start)
        this.#parts.write(extra.bytes)
        appended.set(effect.paper, extra)
      }
      const open = this.#state.tokenizer.openHead
      if (open && open.at >= start && this.#state.open && mayBeCut(open.bytes)) {
        pass(open.at - start)
        this.#held = Buffer.from(waiting.subarray(gone))
      } else pass(waiting.length)
      this.#tell(effects, appended)
    } catch (error) {
      // Held bytes are still part of `waiting`.
      this.#held = NOTHING
      pass(waiting.length)
      this.#fail(error)
    }
  }

  #tell(effects: readonly CaptureEffect[], appended: ReadonlyMap<CapturedPaper, Appended>): void {
    for (const effect of effects) {
      if (effect.kind === 'drawer') this.#parts.drawer()
      else {
        const { paper } = effect
        this.#parts.captured({ paper, ...this.#recorder.take(paper.to), appended: appended.get(paper) })
      }
    }
    this.#recorder.settle()
  }

  #fail(error: unknown): void {
    this.#broken = true
    this.#parts.broken(error)
  }
}

/** `ESC i`, `ESC m`, `GS V m`, `GS V m n`: what has come of one. */
function mayBeCut(head: readonly number[]): boolean {
  const [lead, letter] = head
  if (lead === GS) return letter === undefined || letter === 0x56
  return lead === ESC && letter === undefined
}
