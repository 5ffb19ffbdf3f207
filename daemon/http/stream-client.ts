/** The two kinds of stream client: one that gets every event, one for people that gets a digest. Shells around a response. */
import type { ServerResponse } from 'node:http'
import type { Sequence } from '../contract/event.ts'
import type { Clock } from '../contract/plugin.ts'
import type { Journal, StoredEvent } from '../journal/api.ts'
import type { Log } from '../log.ts'
import type { HttpLimits } from './api.ts'
import type { TypeFilter } from './journal-pages.ts'
import { newStream, type StreamEffect, type StreamEvent, type StreamState, stream } from './stream.machine.ts'

const READ = { events: 200, bytes: 131_072 }
const MOST_BEHIND = 20_000
const DIGEST_MS = 500
const DIGEST_EVENTS = 20

export interface ClientParts {
  response: ServerResponse
  journal: Journal
  clock: Clock
  log: Log
  limits: HttpLimits
  wanted: TypeFilter
  /** The whole picture anew, for a client that missed changes. */
  resync: (client: StreamClient) => void
}

export interface StreamClient {
  /** Sends the snapshot and, from then on, what comes after `position`. Until then nothing is written. */
  start(position: Sequence, snapshot: string): void
  committed(events: readonly StoredEvent[]): void
  /** A change of anything but events. A client that cannot take it now gets the whole picture later. */
  changed(name: string, data: string): void
  tick(): void
  /** Writes at once, come what may: the snapshot. */
  write(name: string, data: string): void
  end(): void
}

abstract class Client implements StreamClient {
  protected readonly parts: ClientParts
  protected position: Sequence = 0
  protected started = false
  #missed = false

  constructor(parts: ClientParts) {
    this.parts = parts
  }

  start(position: Sequence, snapshot: string): void {
    this.position = position
    this.started = true
    this.write('snapshot', snapshot)
  }

  abstract committed(events: readonly StoredEvent[]): void
  abstract tick(): void
  protected abstract blocked(): boolean
  protected abstract onBlocked(): void

  changed(name: string, data: string): void {
    if (!this.started) return
    if (this.blocked()) this.#missed = true
    else this.write(name, data)
  }

  write(name: string, data: string): void {
    this.send(`id: ${this.parts.journal.epoch}:${this.position}\nevent: ${name}\ndata: ${data}\n\n`)
  }

  end(): void {
    this.parts.response.end()
  }

  protected send(text: string): void {
    const { response, limits } = this.parts
    if (response.destroyed || response.writableEnded) return
    response.write(text)
    if (response.writableLength > limits.streamBufferBytes && !this.blocked()) this.onBlocked()
  }

  protected drained(): void {
    if (!this.#missed) return
    this.#missed = false
    this.parts.resync(this)
  }

  protected ping(): void {
    this.write('ping', JSON.stringify({ at: new Date(this.parts.clock.wall()).toISOString() }))
  }
}

/** Every event that is wanted, each once and in order; a gap is told. */
export class FullClient extends Client {
  readonly #state: StreamState

  constructor(parts: ClientParts) {
    super(parts)
    this.#state = newStream(parts.journal.head, MOST_BEHIND, parts.limits.stallMs)
  }

  override start(position: Sequence, snapshot: string): void {
    this.parts.response.on('drain', () => {
      if (!this.blocked()) return
      this.#step({ type: 'drained' })
      this.drained()
    })
    super.start(position, snapshot)
    this.#step({ type: 'written', upTo: position })
  }

  committed(events: readonly StoredEvent[]): void {
    const from = events[0]?.sequence
    const to = events.at(-1)?.sequence
    if (from !== undefined && to !== undefined) this.#step({ type: 'committed', from, to }, events)
  }

  tick(): void {
    if (this.started) this.#step({ type: 'tick', mono: this.parts.clock.mono() })
  }

  protected blocked(): boolean {
    return this.#state.blockedSince !== undefined
  }

  protected onBlocked(): void {
    this.#step({ type: 'blocked', mono: this.parts.clock.mono() })
  }

  #step(event: StreamEvent, inHand: readonly StoredEvent[] = []): void {
    for (const effect of stream.step(this.#state, event)) this.#perform(effect, inHand)
  }

  #perform(effect: StreamEffect, inHand: readonly StoredEvent[]): void {
    switch (effect.do) {
      case 'pass-on':
        this.#pass(inHand.filter((one) => one.sequence > effect.after))
        break
      case 'read':
        void this.#read(effect.after)
        break
      case 'tell-gap':
        this.position = effect.to
        this.write('gap', JSON.stringify({ from: effect.from, to: effect.to }))
        break
      case 'ping':
        this.ping()
        break
      case 'cut-off':
        this.parts.log.info({}, 'a stream client that took nothing was cut off')
        this.parts.response.destroy()
    }
  }

  #pass(events: readonly StoredEvent[]): void {
    const { journal, wanted } = this.parts
    let text = ''
    for (const event of events) {
      this.position = event.sequence
      if (wanted(event.type)) text += `id: ${journal.epoch}:${event.sequence}\nevent: event\ndata: ${event.text}\n\n`
    }
    if (text !== '') this.send(text)
  }

  async #read(after: Sequence): Promise<void> {
    try {
      const read = await this.parts.journal.read(after, READ)
      if (this.parts.response.destroyed) return
      this.#pass(read)
      this.#step({ type: 'written', upTo: read.at(-1)?.sequence ?? this.#state.head })
    } catch (error) {
      this.parts.log.warn({ error: String(error) }, 'a stream could not read the journal')
      this.parts.response.destroy()
    }
  }
}

/** For a screen: the newest 20 events of each half second; how many were left out is told. */
export class DigestClient extends Client {
  readonly #ring: StoredEvent[] = []
  #leftOut = 0
  #cancel: (() => void) | undefined
  #blockedSince: number | undefined

  override start(position: Sequence, snapshot: string): void {
    this.parts.response.on('drain', () => {
      if (this.#blockedSince === undefined) return
      this.#blockedSince = undefined
      this.drained()
      this.#flush()
    })
    this.parts.response.on('close', () => this.#cancel?.())
    super.start(position, snapshot)
    // What was committed while the snapshot was made: some of it is in there.
    const seen = this.#ring.findIndex((one) => one.sequence > position)
    this.#ring.splice(0, seen < 0 ? this.#ring.length : seen)
    this.#flush()
  }

  committed(events: readonly StoredEvent[]): void {
    for (const event of events) {
      if (!this.parts.wanted(event.type)) continue
      this.#ring.push(event)
      if (this.#ring.length > DIGEST_EVENTS) {
        this.#ring.shift()
        this.#leftOut += 1
      }
    }
    if (!this.started || this.#ring.length === 0 || this.#cancel || this.#blockedSince !== undefined) return
    // A single event shows at once; the timer then gathers what follows it.
    this.#flush()
    this.#cancel = this.parts.clock.timer(DIGEST_MS, () => {
      this.#cancel = undefined
      this.#flush()
    })
  }

  tick(): void {
    if (!this.started) return
    if (this.#blockedSince === undefined) this.ping()
    else if (this.parts.clock.mono() - this.#blockedSince >= this.parts.limits.stallMs) this.parts.response.destroy()
  }

  protected blocked(): boolean {
    return this.#blockedSince !== undefined
  }

  protected onBlocked(): void {
    this.#blockedSince = this.parts.clock.mono()
  }

  #flush(): void {
    if (this.#blockedSince !== undefined || this.#ring.length === 0) return
    const { journal } = this.parts
    let text = ''
    for (const event of this.#ring) {
      this.position = event.sequence
      text += `id: ${journal.epoch}:${event.sequence}\nevent: event\ndata: ${event.text}\n\n`
    }
    this.#ring.length = 0
    if (this.#leftOut > 0) text += `event: skipped\ndata: ${JSON.stringify({ count: this.#leftOut })}\n\n`
    this.#leftOut = 0
    this.send(text)
  }
}
