/** HQ's side of the simulation: a store with its durable part, and the real sink machine. */
import { type Coverage, cover, NOTHING } from '../../hq/sink/coverage.machine.ts'
import { deadline, newSink, type SinkEffect, type SinkEvent, type SinkState, sinkMachine } from '../../hq/sink/sink.machine.ts'
import type { DownAck } from '../contract/uplink.ts'
import { EPOCH, type EventsMessage, Violation } from './hq-agenda.simulation.ts'
import type { World } from './hq-simulation.ts'

type SinkInput = SinkEvent extends infer One ? (One extends SinkEvent ? Omit<One, 'now'> : never) : never

/** The sink: durable rows and coverage; everything else goes with a crash. */
export class SinkSide {
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
    const at = deadline(this.#state)
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
