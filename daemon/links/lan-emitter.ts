/**
 * What aedes delivers through, in place of its own emitter, for two reasons. It can tell cheaply whether anybody listens to a
 * topic, so that an event nobody wants costs a map look-up. And it does not wait for the listeners: with the usual one a
 * subscriber that stops reading holds up everybody else's messages once a hundred are under way.
 */
import { matches } from './lan-filters.ts'

/** The packet as aedes passes it. */
export interface EmittedPacket {
  topic: string
  brokerCounter?: number
}

export type Deliver<Packet extends EmittedPacket> = (packet: Packet, done: () => void) => void

/** Topics of a shop are few and come again and again; a client that makes up new ones must not fill the memory. */
const CACHED_TOPICS = 10_000

export class LanEmitter<Packet extends EmittedPacket = EmittedPacket> {
  readonly #listeners = new Map<string, Set<Deliver<Packet>>>()
  readonly #cache = new Map<string, readonly Deliver<Packet>[]>()
  #closed = false
  #emitted = 0

  /** How many listeners `topic` has. */
  listeners(topic: string): number {
    return this.#find(topic).length
  }

  on(filter: string, deliver: Deliver<Packet>, done?: () => void): this {
    const set = this.#listeners.get(filter) ?? new Set()
    this.#listeners.set(filter, set.add(deliver))
    this.#cache.clear()
    if (done) setImmediate(done)
    return this
  }

  removeListener(filter: string, deliver: Deliver<Packet>, done?: () => void): this {
    const set = this.#listeners.get(filter)
    set?.delete(deliver)
    if (set?.size === 0) this.#listeners.delete(filter)
    this.#cache.clear()
    if (done) setImmediate(done)
    return this
  }

  removeAllListeners(filter: string, done?: () => void): this {
    this.#listeners.delete(filter)
    this.#cache.clear()
    if (done) setImmediate(done)
    return this
  }

  emit(packet: Packet, done: (error?: Error) => void = () => {}): this {
    if (this.#closed) {
      done(new Error('the broker is closed'))
      return this
    }
    // aedes tells duplicates by a counter that only grows, but counts a packet when its publish begins: a retained or QoS 1
    // one takes longer than the QoS 0 one after it, and would be taken for a duplicate. What counts is the order of delivery.
    packet.brokerCounter = ++this.#emitted
    for (const deliver of this.#find(packet.topic)) deliver(packet, noop)
    setImmediate(done)
    return this
  }

  close(done: () => void): void {
    this.#closed = true
    setImmediate(done)
  }

  #find(topic: string): readonly Deliver<Packet>[] {
    let found = this.#cache.get(topic)
    if (!found) {
      found = [...this.#listeners].flatMap(([filter, set]) => (matches(filter, topic) ? [...set] : []))
      if (this.#cache.size >= CACHED_TOPICS) this.#cache.clear()
      this.#cache.set(topic, found)
    }
    return found
  }
}

function noop(): void {}
