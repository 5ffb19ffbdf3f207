/**
 * The link's machine and the sink's machine against each other: simulated journal, broker, network and store, with crashes at any
 * step. A seed replays exactly. Randomness is keyed by what it decides about, so muting one fault leaves the others as they were.
 */
import { type Coverage, cover, NOTHING } from '../../hq/sink/coverage.machine.ts'
import {
  newSink,
  type SinkEffect,
  type SinkEvent,
  type SinkState,
  deadline as sinkDeadline,
  sinkMachine,
} from '../../hq/sink/sink.machine.ts'
import type { DownAck } from '../contract/uplink.ts'
import type { StoredEvent } from '../journal/api.ts'
import { type Batch, toBatch } from './hq-batch.ts'
import {
  LINK_TUNING,
  type LinkEffect,
  type LinkEvent,
  type LinkState,
  deadline as linkDeadline,
  linkMachine,
  newLink,
} from './hq-link.machine.ts'

/** Defects put in on purpose: a simulator that does not catch them proves nothing. */
export type Bug = 'trim-on-puback' | 'ack-before-store' | 'no-resend' | 'no-sync-answer'

export interface Outcome {
  /** What broke, if anything. */
  violation?: string
  /** Of everything that happened: equal seeds, equal traces. */
  trace: number
  steps: number
  events: number
  /** Rare states that were reached. */
  seen: Record<string, number>
}

const FAULTS_MS = 600_000
const HEALING_MS = 1_200_000
const EPOCH = 'e1'

export function simulate(seed: number, bug?: Bug): Outcome {
  return new World(seed, bug).run()
}

type LinkInput = LinkEvent extends infer One ? (One extends LinkEvent ? Omit<One, 'now' | 'random'> : never) : never
type SinkInput = SinkEvent extends infer One ? (One extends SinkEvent ? Omit<One, 'now'> : never) : never

class Violation extends Error {}

class World {
  readonly seed: number
  readonly bug: Bug | undefined
  now = 0
  trace = 2166136261
  steps = 0
  readonly seen: Record<string, number> = {}
  readonly queue = new Agenda()
  readonly gateway: Gateway
  readonly sink: SinkSide
  /** Of this seed: how often what goes wrong. */
  readonly rates: Record<
    'cut' | 'halfOpen' | 'forget' | 'twice' | 'late' | 'loseAck' | 'wrongEpoch' | 'crash' | 'sinkCrash' | 'drop' | 'refuse',
    number
  >

  constructor(seed: number, bug: Bug | undefined) {
    this.seed = seed
    this.bug = bug
    const some = (kind: string, most: number) => (this.chance(`rate-${kind}`, 0) < 0.4 ? 0 : this.chance(`rate-${kind}`, 1) ** 2 * most)
    this.rates = {
      cut: some('cut', 0.2),
      halfOpen: some('halfOpen', 0.1),
      forget: some('forget', 0.3),
      twice: some('twice', 0.3),
      late: some('late', 0.3),
      loseAck: some('loseAck', 0.6),
      wrongEpoch: some('wrongEpoch', 0.1),
      crash: some('crash', 0.1),
      sinkCrash: some('sinkCrash', 0.1),
      drop: some('drop', 0.2),
      refuse: some('refuse', 0.7),
    }
    this.gateway = new Gateway(this)
    this.sink = new SinkSide(this)
  }

  /** 0 to 1, the same for the same question. */
  chance(kind: string, entity: number, attempt = 0): number {
    let hash = 2166136261 ^ this.seed
    for (let at = 0; at < kind.length; at++) hash = Math.imul(hash ^ kind.charCodeAt(at), 16777619)
    hash = Math.imul(hash ^ (entity | 0), 2246822507)
    hash = Math.imul(hash ^ (hash >>> 13) ^ attempt, 3266489909)
    hash = Math.imul(hash ^ (hash >>> 16), 2246822507)
    return ((hash ^ (hash >>> 13)) >>> 0) / 2 ** 32
  }

  /** A fault, while there are faults. */
  fault(kind: keyof World['rates'], entity: number, attempt = 0): boolean {
    const happens = this.now < FAULTS_MS && this.chance(kind, entity, attempt) < this.rates[kind]
    if (happens) this.saw(kind)
    return happens
  }

  saw(what: string): void {
    this.seen[what] = (this.seen[what] ?? 0) + 1
  }

  note(value: number): void {
    this.trace = Math.imul(this.trace ^ value, 16777619)
  }

  after(ms: number, run: () => void): void {
    this.queue.push(this.now + Math.max(0, ms), run)
  }

  run(): Outcome {
    try {
      this.sink.start()
      this.gateway.boot()
      this.gateway.live()
      this.everySecond(0)
      for (let next = this.queue.pop(); next; next = this.queue.pop()) {
        this.now = next.at
        this.steps += 1
        next.run()
        if (this.steps > 400_000) throw new Violation('it does not come to rest')
        if (this.now > FAULTS_MS && this.converged()) return this.outcome()
        if (this.now > HEALING_MS) throw new Violation(`not healed: ${this.gateway.describe()}, sink ${this.sink.coverage.watermark}`)
      }
      throw new Violation(`nothing more happens: ${this.gateway.describe()}, sink ${this.sink.coverage.watermark}`)
    } catch (error) {
      if (!(error instanceof Violation)) throw error
      return { violation: error.message, ...this.outcome() }
    }
  }

  /** Things that go wrong by themselves. */
  everySecond(second: number): void {
    if (this.now >= FAULTS_MS) return
    if (this.fault('cut', second)) this.gateway.connection?.cut('cut')
    if (this.fault('halfOpen', second)) this.gateway.connection?.freeze()
    if (this.fault('crash', second)) this.gateway.crash(second)
    if (this.fault('sinkCrash', second)) this.sink.crash(second)
    if (this.fault('drop', second)) this.gateway.retain(second)
    if (second % 7 === 0) this.gateway.trim()
    this.after(1_000, () => this.everySecond(second + 1))
  }

  converged(): boolean {
    const { gateway, sink } = this
    if (!gateway.up || gateway.cursor !== gateway.head || sink.coverage.watermark !== gateway.head) return false
    for (let sequence = 1; sequence <= gateway.head; sequence++)
      if (!sink.rows.has(sequence) && !gateway.dropped.has(sequence)) throw new Violation(`${sequence} is lost`)
    return true
  }

  outcome(): Outcome {
    return { trace: this.trace >>> 0, steps: this.steps, events: this.gateway.head, seen: this.seen }
  }
}

/** Things to do, by time, then by order. */
class Agenda {
  readonly #heap: { at: number; order: number; run: () => void }[] = []
  #order = 0

  push(at: number, run: () => void): void {
    const heap = this.#heap
    const entry = { at, order: this.#order++, run }
    let here = heap.length
    heap.push(entry)
    while (here > 0) {
      const up = (here - 1) >> 1
      const parent = heap[up]
      if (!parent || !before(entry, parent)) break
      heap[here] = parent
      here = up
    }
    heap[here] = entry
  }

  pop(): { at: number; run: () => void } | undefined {
    const heap = this.#heap
    const first = heap[0]
    const last = heap.pop()
    if (!first || !last || heap.length === 0) return first
    let here = 0
    for (;;) {
      let down = 2 * here + 1
      const left = heap[down]
      const right = heap[down + 1]
      if (!left) break
      if (right && before(right, left)) down += 1
      const child = heap[down]
      if (!child || !before(child, last)) break
      heap[here] = child
      here = down
    }
    heap[here] = last
    return first
  }
}

function before(a: { at: number; order: number }, b: { at: number; order: number }): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order)
}

interface EventsMessage {
  from: number
  to: number
  events: number[]
}

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

class Gateway {
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
    const at = linkDeadline(this.link)
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

/** The sink: durable rows and coverage; everything else goes with a crash. */
class SinkSide {
  readonly world: World
  readonly rows = new Set<number>()
  coverage: Coverage = NOTHING
  up = false
  #state: SinkState = newSink()
  #waiting: EventsMessage[] = []
  #saving = false
  #lives = 0
  #saves = 0
  #acks = 0
  #tickAt = Number.POSITIVE_INFINITY

  constructor(world: World) {
    this.world = world
  }

  start(): void {
    this.up = true
    this.#lives += 1
    this.#state = newSink()
    this.#waiting = []
    this.#saving = false
    this.#tickAt = Number.POSITIVE_INFINITY
    if (this.coverage.watermark > 0) this.#ack({ epoch: EPOCH, sequence: this.coverage.watermark, resendFrom: this.coverage.watermark + 1 })
  }

  crash(second: number): void {
    if (!this.up) return
    this.world.saw('sink crashes')
    this.up = false
    this.#lives += 1
    this.world.after(1_000 + this.world.chance('sink-start', second) * 60_000, () => this.start())
  }

  receive(message: EventsMessage): void {
    if (!this.up) return
    this.#waiting.push(message)
    this.#work()
  }

  sync(sent: number): void {
    if (!this.up || this.world.bug === 'no-sync-answer') return
    this.#feed({ on: 'sync', gateway: 'shop-001', epoch: EPOCH, watermark: this.coverage.watermark, sent, desiredVersion: 0, latest: 0 })
  }

  #work(): void {
    if (this.#saving || this.#waiting.length === 0) return
    this.#saving = true
    const { world } = this
    const group = this.#waiting.splice(0, 40)
    const life = this.#lives
    const save = ++this.#saves
    if (world.bug === 'ack-before-store') this.#stored(merge(this.coverage, group))
    world.after(3 + world.chance('save', save) ** 8 * 3_000, () => {
      // A crash in the middle of a commit leaves open whether it took effect.
      if (life !== this.#lives && world.chance('torn', save) < 0.5) return
      for (const { events } of group) for (const sequence of events) this.rows.add(sequence)
      this.coverage = merge(this.coverage, group)
      this.#check()
      if (life !== this.#lives) return
      this.#saving = false
      this.#stored(this.coverage)
      this.#work()
    })
  }

  #stored({ watermark, pieces }: Coverage): void {
    this.#feed({ on: 'stored', gateway: 'shop-001', epoch: EPOCH, watermark, highest: pieces.at(-1)?.[1] ?? watermark })
  }

  /** The watermark claims only what is there, or what the gateway had dropped. */
  #check(): void {
    const { watermark } = this.coverage
    for (let sequence = Math.max(1, watermark - 300); sequence <= watermark; sequence++)
      if (!this.rows.has(sequence) && !this.world.gateway.dropped.has(sequence))
        throw new Violation(`the watermark ${watermark} passed ${sequence}`)
  }

  #feed(event: SinkInput): void {
    for (const effect of sinkMachine.step(this.#state, { ...event, now: this.world.now } as SinkEvent)) this.#perform(effect)
    const at = sinkDeadline(this.#state)
    if (at === undefined || !Number.isFinite(at) || at >= this.#tickAt) return
    this.#tickAt = at
    const life = this.#lives
    this.world.after(at - this.world.now, () => {
      if (life !== this.#lives || !this.up) return
      this.#tickAt = Number.POSITIVE_INFINITY
      this.#feed({ on: 'tick' })
    })
  }

  #perform(effect: SinkEffect): void {
    if (effect.do !== 'ack') return
    if (effect.ack.resendFrom !== undefined) this.world.saw('gaps asked for')
    this.#ack(effect.ack)
  }

  /** Down through the broker: may be lost, late, twice, or meant for somebody else. */
  #ack(ack: DownAck): void {
    const { world } = this
    const key = ++this.#acks
    const { resendFrom, ...plain } = ack
    const sent = world.bug === 'no-resend' || resendFrom === undefined ? plain : { ...plain, resendFrom }
    if (world.fault('wrongEpoch', key)) this.#deliver({ ...sent, epoch: 'other' }, key)
    if (world.fault('loseAck', key)) return
    const late = world.fault('late', -key) ? world.chance('ack-late', key) * 8_000 : 0
    world.after(2 + late + world.chance('down', key) * 30, () => this.#deliver(sent, key))
    if (world.fault('twice', -key)) world.after(10 + world.chance('ack-twice', key) * 3_000, () => this.#deliver(sent, key))
  }

  #deliver(ack: DownAck, key: number): void {
    const { gateway } = this.world
    const { connection } = gateway
    if (!connection?.open || connection.frozen || !connection.online) return
    this.world.note(ack.sequence * 31 + key)
    gateway.feed({ on: 'ack', ack })
  }
}

function merge(coverage: Coverage, group: readonly EventsMessage[]): Coverage {
  return group.reduce((sum, { from, to }) => cover(sum, from, to), coverage)
}

function row(sequence: number): StoredEvent {
  return { sequence, type: '', plugin: '', device: '', event: '', bulk: sequence % 3 !== 0, text: '' }
}
