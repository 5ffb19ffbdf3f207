/** Events and commits on their way from a plugin's process to the daemon: in order, gathered into batches, bounded at every point. */
import type { ErrorBody } from '../contract/errors.ts'
import { asFailure, Failure } from '../contract/errors.ts'
import type { DeviceEvent, Sequence } from '../contract/event.ts'
import type { PluginCommit } from '../contract/plugin.ts'
import type { FromPlugin, StorePut } from './ipc.ts'

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

interface WaitingEvent {
  event: DeviceEvent
  resolve: (sequence: Sequence) => void
  reject: (failure: Failure) => void
}

interface WaitingCommit {
  commit: Omit<Extract<FromPlugin, { type: 'commit' }>, 'type' | 'batch'>
  resolve: (sequences: Sequence[]) => void
  reject: (failure: Failure) => void
}

type Waiting = WaitingEvent | WaitingCommit

type EmitMessage = Extract<FromPlugin, { type: 'emit' | 'commit' }>

/**
 * What is emitted in one turn of the event loop, or while earlier batches are under way, goes in one message. So a plugin
 * that emits one by one pays for few messages, and one that emits faster than the disk takes waits here, in its own memory.
 * A commit goes at once, with all that was emitted before it.
 */
export class EmitQueue {
  readonly #send: (message: EmitMessage) => void
  readonly #limits: EmitLimits
  readonly #sent = new Map<number, WaitingEvent[] | WaitingCommit>()
  #waiting: Waiting[] = []
  #unanswered = 0
  #batch = 0
  #scheduled = false
  #idle: (() => void)[] = []

  constructor(send: (message: EmitMessage) => void, limits: EmitLimits = EMIT_LIMITS) {
    this.#send = send
    this.#limits = limits
  }

  push(event: DeviceEvent): Promise<Sequence> {
    if (this.#waiting.length >= this.#limits.waiting) return Promise.reject(this.#full())
    return new Promise((resolve, reject) => {
      this.#waiting.push({ event, resolve, reject })
      this.#schedule()
    })
  }

  commit({ events = [], store = [], mayWait = false }: PluginCommit): Promise<Sequence[]> {
    if (this.#waiting.length >= this.#limits.waiting) return Promise.reject(this.#full())
    const puts = store.map(([key, value]): StorePut => (value === undefined ? { key } : { key, value }))
    return new Promise((resolve, reject) => {
      this.#waiting.push({ commit: { events: [...events], puts, mayWait }, resolve, reject })
      this.#flush()
    })
  }

  /** The daemon's answer to one batch: a sequence or an error for each event, in order. */
  answer(batch: number, answers: readonly (Sequence | ErrorBody)[]): void {
    const sent = this.#take(batch)
    if (!sent) return
    if ('commit' in sent) sent.resolve(answers.filter((one) => typeof one === 'number'))
    else
      sent.forEach((one, at) => {
        const answer = answers[at] ?? { code: 'internal', message: 'the daemon gave no answer' }
        if (typeof answer === 'number') one.resolve(answer)
        else one.reject(failureOf(answer))
      })
    this.#answered()
  }

  /** The daemon's answer to a commit of which nothing was stored. */
  refuse(batch: number, error: ErrorBody): void {
    const sent = this.#take(batch)
    if (!sent) return
    for (const one of 'commit' in sent ? [sent] : sent) one.reject(failureOf(error))
    this.#answered()
  }

  /** Resolves when all has been answered. */
  async idle(): Promise<void> {
    if (this.#sent.size === 0 && this.#waiting.length === 0) return
    await new Promise<void>((resolve) => this.#idle.push(resolve))
  }

  #full(): Failure {
    return new Failure('queue-full', `${this.#waiting.length} events wait to be stored; await emit before emitting more`)
  }

  #take(batch: number): WaitingEvent[] | WaitingCommit | undefined {
    const sent = this.#sent.get(batch)
    if (sent) this.#forget(batch, sent)
    return sent
  }

  #answered(): void {
    this.#schedule()
    if (this.#sent.size === 0 && this.#waiting.length === 0) for (const done of this.#idle.splice(0)) done()
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
    for (let first = this.#waiting[0]; first; first = this.#waiting[0]) {
      const room = Math.min(batch, unanswered - this.#unanswered)
      if (room <= 0) return
      if ('commit' in first) {
        this.#waiting.shift()
        this.#sendCommit(first)
        continue
      }
      // With enough batches under way to keep the disk busy, small ones wait to grow; a commit behind them does not.
      const events = this.#leadingEvents(room)
      const alone = events.length === this.#waiting.length
      if (alone && this.#sent.size >= batches && events.length < Math.min(100, room)) return
      this.#waiting.splice(0, events.length)
      this.#sendEvents(events)
    }
  }

  #leadingEvents(most: number): WaitingEvent[] {
    const events: WaitingEvent[] = []
    for (const one of this.#waiting) {
      if ('commit' in one || events.length === most) break
      events.push(one)
    }
    return events
  }

  #sendCommit(one: WaitingCommit): void {
    const batch = this.#remember(one)
    try {
      this.#send({ type: 'commit', batch, ...one.commit })
    } catch (error) {
      this.#forget(batch, one)
      one.reject(new Failure('payload-malformed', `the commit is not plain JSON: ${asFailure(error).message}`))
    }
  }

  /** What is not JSON (a cycle, a BigInt) spoils the whole message: then each event is tried alone. */
  #sendEvents(events: WaitingEvent[]): void {
    const batch = this.#remember(events)
    try {
      this.#send({ type: 'emit', batch, events: events.map((one) => one.event) })
    } catch (error) {
      this.#forget(batch, events)
      if (events.length > 1) for (const one of events) this.#sendEvents([one])
      else events[0]?.reject(new Failure('event-invalid', `the event is not plain JSON: ${asFailure(error).message}`))
    }
  }

  #remember(sent: WaitingEvent[] | WaitingCommit): number {
    this.#sent.set(++this.#batch, sent)
    this.#unanswered += weight(sent)
    return this.#batch
  }

  #forget(batch: number, sent: WaitingEvent[] | WaitingCommit): void {
    this.#sent.delete(batch)
    this.#unanswered -= weight(sent)
  }
}

const weight = (sent: WaitingEvent[] | WaitingCommit): number => ('commit' in sent ? Math.max(1, sent.commit.events.length) : sent.length)

const failureOf = ({ code, message, problems = [] }: ErrorBody): Failure => new Failure(code, message, problems)
