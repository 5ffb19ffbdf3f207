/** The gateway's side of the simulation: a journal with its durable part, a connection that fails, and the real link machine. */
import type { StoredEvent } from '../journal/api.ts'
import { EPOCH, type EventsMessage, Violation } from './hq-agenda.simulation.ts'
import { type Batch, toBatch } from './hq-batch.ts'
import { deadline, LINK_TUNING, type LinkEffect, type LinkEvent, type LinkState, linkMachine, newLink } from './hq-link.machine.ts'
import { FAULTS_MS, type World } from './hq-simulation.ts'

type LinkInput = LinkEvent extends infer One ? (One extends LinkEvent ? Omit<One, 'now' | 'random'> : never) : never

/** One MQTT connection: in order, and whole until it is cut; frozen, nothing passes and nobody notices for a while. */
class Connection {
  readonly world: World
  readonly gateway: Gateway
  readonly number: number
  open = true
  frozen = false
  online = false
  #messages = 0

  constructor(world: World, gateway: Gateway, number: number) {
    this.world = world
    this.gateway = gateway
    this.number = number
  }

  /** Up through the broker to the sink. The broker may acknowledge and forget, send twice, or keep it for a while. */
  publish(deliver: () => void, puback?: () => void): void {
    const { world } = this
    const key = this.number * 100_000 + this.#messages++
    if (this.frozen) return
    world.after(2 + world.chance('up', key) * 30, () => {
      if (!this.open || this.frozen) return
      if (puback)
        world.after(1 + world.chance('puback', key) * 20, () => {
          if (this.open && !this.frozen) puback()
        })
      if (world.fault('forget', key)) return
      const late = world.fault('late', key) ? world.chance('late-by', key) * 8_000 : 0
      world.after(1 + late, deliver)
      if (world.fault('twice', key)) world.after(5 + world.chance('twice-by', key) * 4_000, deliver)
    })
  }

  cut(reason: string): void {
    if (!this.open) return
    this.open = false
    if (this.gateway.connection === this) this.gateway.connection = undefined
    this.world.saw('connections lost')
    this.gateway.feed({ on: 'dropped', reason, kind: 'other' })
  }

  freeze(): void {
    if (!this.open || this.frozen) return
    this.frozen = true
    this.world.after(20_000 + this.world.chance('freeze', this.number) * 25_000, () => this.cut('keepalive'))
  }
}

export class Gateway {
  readonly world: World
  /** Durable: the journal's rows, the cursor on disk. */
  readonly rows = new Map<number, StoredEvent>()
  readonly dropped = new Set<number>()
  head = 0
  cursorOnDisk = 0
  /** Volatile. */
  cursor = 0
  up = false
  link: LinkState
  connection: Connection | undefined
  #boots = 0
  #connections = 0
  #pulled: { batch: number; content: Batch } | undefined
  #tickAt = Number.POSITIVE_INFINITY
  #busy = false
  readonly #inbox: LinkInput[] = []

  constructor(world: World) {
    this.world = world
    this.link = newLink({ epoch: EPOCH, ack: 'hq', cursor: 0, head: 0 })
  }

  describe(): string {
    const { phase, window } = this.link
    return `gateway ${this.up ? phase : 'down'}, head ${this.head}, stored ${window.stored}, sent ${window.sent}`
  }

  boot(): void {
    this.#boots += 1
    this.up = true
    this.cursor = this.cursorOnDisk
    const tuning = { ...LINK_TUNING, ...(this.world.bug === 'no-resend' ? { progressMs: 1e12 } : {}) }
    const ack = this.world.bug === 'trim-on-puback' ? 'broker' : 'hq'
    this.link = newLink({ epoch: EPOCH, ack, cursor: this.cursor, head: this.head }, tuning)
    this.#tickAt = Number.POSITIVE_INFINITY
    this.feed({ on: 'start' })
  }

  crash(second: number): void {
    if (!this.up) return
    this.world.saw('gateway crashes')
    this.up = false
    if (this.connection) this.connection.open = false
    this.connection = undefined
    this.#pulled = undefined
    this.#inbox.length = 0
    this.world.after(500 + this.world.chance('boot', second) * 20_000, () => this.boot())
  }

  /** The shop's day: events in groups, sometimes many at once. */
  live(turn = 0): void {
    const { world } = this
    if (world.now >= FAULTS_MS) return
    if (this.up) {
      const burst = world.chance('burst', turn) < 0.03
      const count = 1 + Math.floor(world.chance('count', turn) * (burst ? 1_500 : 12))
      for (let at = 0; at < count; at++) {
        this.head += 1
        this.rows.set(this.head, row(this.head))
      }
      // The cursor becomes durable with the next commit.
      this.cursorOnDisk = this.cursor
      this.feed({ on: 'appended', head: this.head })
    }
    world.after(100 + world.chance('pause', turn) * 2_500, () => this.live(turn + 1))
  }

  /** Retention: what HQ has acknowledged may go. */
  trim(): void {
    const { watermark } = this.world.sink.coverage
    for (const sequence of this.rows.keys()) {
      if (sequence > this.cursorOnDisk) break
      if (sequence > watermark && !this.dropped.has(sequence)) throw new Violation(`trimmed ${sequence}, HQ has ${watermark}`)
      this.rows.delete(sequence)
    }
  }

  /** The size cap: bulk events go unacknowledged, others stay. */
  retain(second: number): void {
    let left = Math.floor(this.world.chance('retain', second) * 200)
    for (const sequence of this.rows.keys()) {
      if (left <= 0) break
      if (sequence <= this.cursorOnDisk || sequence % 3 === 0 || sequence === this.head) continue
      this.rows.delete(sequence)
      this.dropped.add(sequence)
      left -= 1
    }
  }

  feed(event: LinkInput): void {
    if (!this.up) return
    this.#inbox.push(event)
    if (this.#busy) return
    this.#busy = true
    for (let next = this.#inbox.shift(); next; next = this.#inbox.shift()) {
      const random = this.world.chance('link', this.world.steps, this.#boots)
      for (const effect of linkMachine.step(this.link, { ...next, now: this.world.now, random } as LinkEvent)) this.#perform(effect)
    }
    this.#busy = false
    const { window, tuning } = this.link
    if (window.unacknowledged > tuning.windowEvents) throw new Violation(`${window.unacknowledged} events are in flight`)
    this.#arm()
  }

  #arm(): void {
    const at = deadline(this.link)
    if (at === undefined || at >= this.#tickAt) return
    this.#tickAt = at
    const boot = this.#boots
    this.world.after(at - this.world.now, () => {
      if (boot !== this.#boots || !this.up) return
      this.#tickAt = Number.POSITIVE_INFINITY
      this.feed({ on: 'tick' })
    })
  }

  #perform(effect: LinkEffect): void {
    const { world } = this
    world.note(effect.do.charCodeAt(0) + effect.do.length * 256 + (world.now | 0))
    switch (effect.do) {
      case 'connect':
        this.#connect()
        break
      case 'close':
        if (this.connection) this.connection.open = false
        this.connection = undefined
        this.#pulled = undefined
        break
      case 'pull':
        this.#pull(effect)
        break
      case 'publish':
        this.#publish(effect.batch)
        break
      case 'advance':
        this.#advance(effect.to)
        break
      case 'sync': {
        const sent = effect.sent
        this.connection?.publish(() => world.sink.sync(sent))
        break
      }
      case 'tell':
        world.saw(effect.what)
        break
      default:
    }
  }

  #connect(): void {
    const { world } = this
    const number = ++this.#connections
    const connection = new Connection(world, this, number)
    this.connection = connection
    world.after(5 + world.chance('connect', number) * 200, () => {
      if (!connection.open) return
      if (world.fault('refuse', number)) {
        connection.cut('refused')
        return
      }
      connection.online = true
      this.feed({ on: 'online' })
    })
  }

  #pull({ batch, after, events }: { batch: number; after: number; events: number }): void {
    const { world } = this
    const { head } = this
    const boot = this.#boots
    const found: StoredEvent[] = []
    for (let at = after + 1; at <= head && found.length < events; at++) {
      const one = this.rows.get(at)
      if (one) found.push(one)
    }
    world.after(world.chance('read', batch) * 5, () => {
      if (boot !== this.#boots || !this.up) return
      const content = toBatch(after, found, head)
      this.#pulled = { batch, content }
      this.feed({ on: 'pulled', batch, to: content.to, events: found.length })
    })
  }

  #publish(batch: number): void {
    if (this.#pulled?.batch !== batch) return
    const { content } = this.#pulled
    const message: EventsMessage = { from: content.from, to: content.to, events: content.events.map(({ sequence }) => sequence) }
    if (content.dropped.length > 0) this.world.saw('holes told')
    this.connection?.publish(
      () => this.world.sink.receive(message),
      () => this.feed({ on: 'puback', batch }),
    )
  }

  #advance(to: number): void {
    const { watermark } = this.world.sink.coverage
    if (to > watermark && this.world.bug !== 'trim-on-puback') throw new Violation(`the cursor is at ${to}, HQ has ${watermark}`)
    if (to < this.cursor) throw new Violation(`the cursor went back from ${this.cursor} to ${to}`)
    this.cursor = to
    const boot = this.#boots
    this.world.after(1_000, () => {
      if (boot === this.#boots && this.up) this.cursorOnDisk = Math.max(this.cursorOnDisk, to)
    })
  }
}

function row(sequence: number): StoredEvent {
  return { sequence, type: '', plugin: '', device: '', event: '', bulk: sequence % 3 !== 0, text: '' }
}
