/**
 * When the gateway ran with a set clock: what tells a quiet shop from a box that was off. Noted every five minutes, so a power
 * cut costs at most that.
 */
import type { ClockState } from '../contract/event.ts'
import type { Json } from '../contract/json.ts'
import type { Clock } from '../contract/plugin.ts'
import type { Journal } from '../journal/api.ts'
import { SPACE } from './memory.ts'

const NOTE_MS = 300_000
const KEPT_MS = 25 * 3_600_000
const KEY = 'running'

export interface Run {
  /** Unix ms. */
  from: number
  to: number
}

export class Running {
  readonly #journal: Journal
  readonly #clock: Clock
  readonly #clockState: () => ClockState
  readonly #startMono: number
  #runs: Run[] = []
  #from: number | undefined
  #cancel: () => void = () => undefined

  constructor(journal: Journal, clock: Clock, clockState: () => ClockState) {
    this.#journal = journal
    this.#clock = clock
    this.#clockState = clockState
    this.#startMono = clock.mono()
  }

  async start(): Promise<void> {
    const known = await this.#journal.space(SPACE).get(KEY)
    if (Array.isArray(known)) this.#runs = known as unknown as Run[]
    this.#later()
  }

  async stop(): Promise<void> {
    this.#cancel()
    await this.#note()
  }

  /** Those before this start, and the one that goes on. */
  runs(): readonly Run[] {
    const now = this.#now()
    return now ? [...this.#runs, now] : this.#runs
  }

  #later(): void {
    this.#cancel = this.#clock.timer(NOTE_MS, () => {
      this.#later()
      void this.#note()
    })
  }

  #now(): Run | undefined {
    if (this.#clockState() !== 'synced') return undefined
    const wall = this.#clock.wall()
    this.#from ??= wall - (this.#clock.mono() - this.#startMono)
    return { from: Math.min(this.#from, wall), to: wall }
  }

  async #note(): Promise<void> {
    const now = this.#now()
    if (!now) return
    const kept = [...this.#runs, now].filter((run) => run.to > now.to - KEPT_MS)
    this.#runs = kept.slice(0, -1)
    // A full journal has its own alarm; a note less is a gap in a chart.
    await this.#journal.commit({ puts: [{ space: SPACE, key: KEY, value: kept as unknown as Json }] }).catch(() => undefined)
  }
}
