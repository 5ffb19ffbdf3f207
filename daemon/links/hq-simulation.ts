/**
 * The link's machine and the sink's machine against each other: simulated journal, broker, network and store, with crashes at any
 * step. A seed replays exactly. Randomness is keyed by what it decides about, so muting one fault leaves the others as they were.
 */
import { Agenda, Violation } from './hq-agenda.simulation.ts'
import { Gateway } from './hq-gateway.simulation.ts'
import { SinkSide } from './hq-sink.simulation.ts'

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

export const FAULTS_MS = 600_000
const HEALING_MS = 1_200_000

export function simulate(seed: number, bug?: Bug): Outcome {
  return new World(seed, bug).run()
}

export class World {
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
