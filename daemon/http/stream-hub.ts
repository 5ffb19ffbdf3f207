/** All open streams: follows the journal, the shop and discovery once for all of them, and only while there are any. */
import type { ServerResponse } from 'node:http'
import { Failure } from '../contract/errors.ts'
import type { Sequence } from '../contract/event.ts'
import type { HttpLimits, HttpOptions } from './api.ts'
import type { TypeFilter } from './journal-pages.ts'
import type { StatusView } from './status.ts'
import { type ClientParts, DigestClient, FullClient, type StreamClient } from './stream-client.ts'

/** Vitals change with every event; a screen needs them this often. */
const VITALS_MS = 1_000

export interface StreamRequest {
  /** `Last-Event-ID`: `{epoch}:{sequence}`. */
  lastEventId: string | undefined
  wanted: TypeFilter
  digest: boolean
}

export class StreamHub {
  readonly #options: HttpOptions
  readonly #limits: HttpLimits
  readonly #status: StatusView
  readonly #clients = new Set<StreamClient>()
  #stopFollowing: (() => void) | undefined
  #cancelVitals: (() => void) | undefined
  #cancelPing: (() => void) | undefined
  #stopped = false

  constructor(options: HttpOptions, limits: HttpLimits, status: StatusView) {
    this.#options = options
    this.#limits = limits
    this.#status = status
  }

  get size(): number {
    return this.#clients.size
  }

  /** Throws `queue-full` when there are enough streams. To be asked in the same turn as `open`, before the response is taken over. */
  admit(): void {
    if (this.#stopped) throw new Failure('stopping', 'the daemon is stopping')
    if (this.#clients.size >= this.#limits.streams)
      throw new Failure('queue-full', `${this.#limits.streams} streams are open already; close one`)
  }

  /** Takes over `response` until either side ends it. */
  async open(response: ServerResponse, request: StreamRequest): Promise<void> {
    const { journal, clock, log } = this.#options
    try {
      response.writeHead(200, {
        'content-type': 'text/event-stream; charset=utf-8',
        'cache-control': 'no-store',
        'x-accel-buffering': 'no',
      })
      response.write('retry: 2000\n\n')
      const parts: ClientParts = {
        response,
        journal,
        clock,
        log,
        limits: this.#limits,
        wanted: request.wanted,
        resync: (client) => void this.#resync(client),
      }
      const client = request.digest ? new DigestClient(parts) : new FullClient(parts)
      this.#add(client)
      response.on('close', () => this.#remove(client))
      const recent = await this.#status.recent()
      if (response.destroyed || this.#stopped) return
      const shown = recent.at(-1)?.sequence ?? journal.head
      const after = request.digest ? undefined : resumeFrom(request.lastEventId, journal.epoch, journal.head)
      client.start(after ?? shown, JSON.stringify(this.#status.snapshot(recent)))
    } catch (error) {
      log.warn({ error: String(error) }, 'a stream could not be opened')
      response.destroy()
    }
  }

  stop(): void {
    this.#stopped = true
    for (const client of [...this.#clients]) {
      client.end()
      this.#remove(client)
    }
  }

  async #resync(client: StreamClient): Promise<void> {
    try {
      const recent = await this.#status.recent()
      if (this.#clients.has(client)) client.write('snapshot', JSON.stringify(this.#status.snapshot(recent)))
    } catch (error) {
      // Without the whole picture the client would show an old one for good: it comes back by itself.
      this.#options.log.warn({ error: String(error) }, 'a stream could not be brought up to date')
      client.end()
    }
  }

  #add(client: StreamClient): void {
    this.#clients.add(client)
    if (this.#stopFollowing) return
    const { journal, shop, discovery } = this.#options
    const unfollow = [
      journal.follow((events) => {
        for (const one of this.#clients) one.committed(events)
        this.#vitalsSoon()
      }),
      shop.follow((change) => {
        this.#tell('change', JSON.stringify(change))
        this.#vitalsSoon()
      }),
      discovery.follow(() => this.#tell('found', JSON.stringify(discovery.found()))),
    ]
    this.#stopFollowing = () => {
      for (const stop of unfollow) stop()
    }
    this.#pingLater()
  }

  #remove(client: StreamClient): void {
    if (!this.#clients.delete(client) || this.#clients.size > 0) return
    this.#stopFollowing?.()
    this.#cancelVitals?.()
    this.#cancelPing?.()
    this.#stopFollowing = undefined
    this.#cancelVitals = undefined
    this.#cancelPing = undefined
  }

  #tell(name: string, data: string): void {
    for (const client of this.#clients) client.changed(name, data)
  }

  #vitalsSoon(): void {
    this.#cancelVitals ??= this.#options.clock.timer(VITALS_MS, () => {
      this.#cancelVitals = undefined
      this.#tell('vitals', JSON.stringify(this.#status.vitals()))
    })
  }

  #pingLater(): void {
    this.#cancelPing = this.#options.clock.timer(this.#limits.pingMs, () => {
      // Health may turn without any event: a plugin that hangs says nothing.
      this.#tell('vitals', JSON.stringify(this.#status.vitals()))
      for (const client of [...this.#clients]) client.tick()
      if (this.#clients.size > 0) this.#pingLater()
    })
  }
}

function resumeFrom(lastEventId: string | undefined, epoch: string, head: Sequence): Sequence | undefined {
  if (lastEventId === undefined) return undefined
  const at = lastEventId.lastIndexOf(':')
  const sequence = Number(lastEventId.slice(at + 1))
  return lastEventId.slice(0, at) === epoch && Number.isSafeInteger(sequence) && sequence >= 0 && sequence <= head ? sequence : undefined
}
