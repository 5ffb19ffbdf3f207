/** Events on their way from a plugin's process to the daemon: gathered into batches, bounded at every point. */
import type { ErrorBody } from '../contract/errors.ts'
import { asFailure, Failure } from '../contract/errors.ts'
import type { DeviceEvent, Sequence } from '../contract/event.ts'

export interface EmitLimits {
  /** Events in one message. */
  batch: number
  /** Messages under way before company is waited for. */
  batches: number
  /** Events sent and not yet answered. */
  unanswered: number
  /** Events waiting here; past it `emit` rejects with `queue-full`. */
  waiting: number
}

export const EMIT_LIMITS: EmitLimits = { batch: 500, batches: 2, unanswered: 3_000, waiting: 50_000 }

interface Waiting {
  event: DeviceEvent
  resolve: (sequence: Sequence) => void
  reject: (failure: Failure) => void
}

/**
 * What is emitted in one turn of the event loop, or while earlier batches are under way, goes in one message. So a plugin
 * that emits one by one pays for few messages, and one that emits faster than the disk takes waits here, in its own memory.
 */
export class EmitQueue {
  readonly #send: (batch: number, events: DeviceEvent[]) => void
  readonly #limits: EmitLimits
  readonly #sent = new Map<number, Waiting[]>()
  #waiting: Waiting[] = []
  #unanswered = 0
  #batch = 0
  #scheduled = false
  #idle: (() => void)[] = []

  constructor(send: (batch: number, events: DeviceEvent[]) => void, limits: EmitLimits = EMIT_LIMITS) {
    this.#send = send
    this.#limits = limits
  }

  push(event: DeviceEvent): Promise<Sequence> {
    if (this.#waiting.length >= this.#limits.waiting)
      return Promise.reject(new Failure('queue-full', `${this.#waiting.length} events wait to be stored; await emit before emitting more`))
    return new Promise((resolve, reject) => {
      this.#waiting.push({ event, resolve, reject })
      this.#schedule()
    })
  }

  /** The daemon's answer to one batch: a sequence or an error for each event, in order. */
  answer(batch: number, answers: readonly (Sequence | ErrorBody)[]): void {
    const sent = this.#sent.get(batch)
    if (!sent) return
    this.#sent.delete(batch)
    this.#unanswered -= sent.length
    sent.forEach((one, at) => {
      const answer = answers[at] ?? { code: 'internal', message: 'the daemon gave no answer' }
      if (typeof answer === 'number') one.resolve(answer)
      else one.reject(new Failure(answer.code, answer.message, answer.problems ?? []))
    })
    this.#schedule()
    if (this.#sent.size === 0 && this.#waiting.length === 0) for (const done of this.#idle.splice(0)) done()
  }

  /** Resolves when every event has been answered. */
  async idle(): Promise<void> {
    if (this.#sent.size === 0 && this.#waiting.length === 0) return
    await new Promise<void>((resolve) => this.#idle.push(resolve))
  }

  #schedule(): void {
    if (this.#scheduled || this.#waiting.length === 0) return
    this.#scheduled = true
    setImmediate(() => {
      this.#scheduled = false
      this.#flush()
    })
  }

  #flush(): void {
    const { batch, batches, unanswered } = this.#limits
    while (this.#waiting.length > 0) {
      const room = Math.min(batch, unanswered - this.#unanswered)
      if (room <= 0) return
      // With enough batches under way to keep the disk busy, small ones wait to grow.
      if (this.#sent.size >= batches && this.#waiting.length < Math.min(100, room)) return
      const taken = this.#waiting.splice(0, room)
      this.#sent.set(++this.#batch, taken)
      this.#unanswered += taken.length
      try {
        this.#send(
          this.#batch,
          taken.map((one) => one.event),
        )
      } catch (error) {
        // Not JSON (a cycle, a BigInt): the whole message cannot be made, so each event is tried alone.
        this.#sent.delete(this.#batch)
        this.#unanswered -= taken.length
        this.#alone(taken, error)
      }
    }
  }

  #alone(taken: readonly Waiting[], error: unknown): void {
    if (taken.length === 1) {
      taken[0]?.reject(new Failure('event-invalid', `the event is not plain JSON: ${asFailure(error).message}`))
      return
    }
    for (const one of taken) {
      this.#sent.set(++this.#batch, [one])
      this.#unanswered += 1
      try {
        this.#send(this.#batch, [one.event])
      } catch (fault) {
        this.#sent.delete(this.#batch)
        this.#unanswered -= 1
        this.#alone([one], fault)
      }
    }
  }
}
