/** Performs what the retention machine decides, in slices between commits, and keeps an eye on the disk. */

import { iso } from '../clock.ts'
import { Failure } from '../contract/errors.ts'
import type { ClockState, Sequence } from '../contract/event.ts'
import type { Clock } from '../contract/plugin.ts'
import type { Log } from '../log.ts'
import { type Ballast, freeBytes } from './ballast.ts'
import { mergeGaps } from './chain.ts'
import type { Connection } from './connection.ts'
import type { Cursors } from './cursors.ts'
import type { Lane } from './lane.ts'
import {
  IDLE_MS,
  type Limits,
  type Mark,
  newRetention,
  PRESSED_MS,
  PRESSED_ROOM_BYTES,
  type RetentionEffect,
  type RetentionState,
  retention,
  SLICE_ROWS,
} from './retention.machine.ts'
import { ROW_HASH, ROW_ORIGIN } from './row.ts'
import { SPACE } from './schema.ts'
import type { KeyRow, Store } from './store.ts'
import type { Line, Writer } from './writer.ts'

export interface RetentionDeps {
  store: Store
  writer: Writer
  lane: Lane
  cursors: Cursors
  ballast: Ballast
  clock: Clock
  clockState: () => ClockState
  log: Log
  limits: Limits
}

/** Fewer dropped rows than this cost less room than the event that tells of them. */
const DROP_LEAST = 4
const FIRST_LOOK_MS = 1_000
/** Slices in a row while a commit waits for room. */
const PRESSED_SLICES = 40

interface DropRow {
  seq: Sequence
  hash: string
}

export class Retention {
  readonly #deps: RetentionDeps
  readonly #state: RetentionState
  #holder: string | undefined
  #pressed = false
  #appended = 0
  #cancel: (() => void) | undefined
  #dueMono = Number.POSITIVE_INFINITY
  #stopped = false
  #breathing: Promise<unknown> = Promise.resolve()
  /** Unacknowledged events dropped since the epoch began. */
  dropped = 0

  constructor(deps: RetentionDeps) {
    this.#deps = deps
    this.#state = newRetention(deps.limits)
  }

  /** `known` are the journal's own keys, as JSON text. */
  start(known: ReadonlyMap<string, string>): void {
    this.#state.marks = JSON.parse(known.get('marks') ?? '[]') as Mark[]
    this.dropped = JSON.parse(known.get('dropped') ?? '0') as number
    this.#holder = JSON.parse(known.get('hold') ?? 'null') ?? undefined
    this.#schedule(FIRST_LOOK_MS)
  }

  /** Resolves when the ballast, which is written outside the lane, is not touched any more. */
  async stop(): Promise<void> {
    this.#stopped = true
    this.#cancel?.()
    await this.#breathing
  }

  get refusing(): boolean {
    return this.#state.refusing
  }

  get pressed(): boolean {
    return this.#pressed
  }

  /** The new holder's key, to be made durable, or nothing when it is the old one. */
  hold(cursor: string | undefined): KeyRow[] {
    if (cursor === this.#holder) return []
    this.#holder = cursor
    this.#state.scanned = 0
    return [{ space: SPACE, key: 'hold', value: cursor === undefined ? undefined : JSON.stringify(cursor) }]
  }

  get holder(): string | undefined {
    return this.#holder
  }

  setLimits(limits: Limits): void {
    this.#perform(retention.step(this.#state, { type: 'limits', limits })).catch(() => undefined)
  }

  /** So much was stored: what fills the file quickly is looked at sooner than at the next minute. */
  appended(bytes: number): void {
    this.#appended += bytes
    const { maxBytes } = this.#state.limits
    const often = this.#pressed ? PRESSED_ROOM_BYTES / 4 : Math.max(64 * 1024, Math.min(8 * 1024 * 1024, maxBytes / 32))
    if (this.#appended < often) return
    this.#appended = 0
    this.#schedule(0)
  }

  /** The holder has advanced: what could not go before may go now. */
  moved(name: string): void {
    if (name === this.#holder && this.#state.refusing) this.#schedule(1_000)
  }

  /** Inside the lane: a commit found the disk full. Gives up the ballast and makes room inside the file. */
  async press(): Promise<void> {
    const { ballast, log } = this.#deps
    await ballast.release().catch(() => undefined)
    if (!this.#pressed) {
      this.#pressed = true
      log.error({ free: freeBytes(this.#deps.store.file) }, 'journal: the disk is full; bulk events are refused until there is room')
    }
    for (let slice = 0; slice < PRESSED_SLICES; slice += 1) {
      if (!(await this.#look())) return
    }
  }

  #schedule(ms: number): void {
    const { clock, lane } = this.#deps
    const due = clock.mono() + ms
    if (this.#stopped || due >= this.#dueMono) return
    this.#cancel?.()
    this.#dueMono = due
    this.#cancel = clock.timer(ms, () => {
      this.#dueMono = Number.POSITIVE_INFINITY
      const breathing = this.#breathe()
      this.#breathing = breathing.catch(() => undefined)
      breathing
        .then(() =>
          lane.run(async () => {
            if (!this.#stopped) await this.#look()
          }),
        )
        .catch((error: unknown) => {
          const message = error instanceof Error ? error.message : String(error)
          this.#deps.log.warn({ error: message }, 'journal: retention failed; trying again in a minute')
          this.#schedule(IDLE_MS)
        })
    })
  }

  /** Outside the lane: the ballast takes a slow card a while. */
  async #breathe(): Promise<void> {
    if (this.#stopped || !(await this.#deps.ballast.restore()) || !this.#pressed) return
    this.#deps.log.info({ free: freeBytes(this.#deps.store.file) }, 'journal: the disk has room again')
    this.#pressed = false
  }

  /** True when something was dropped. */
  async #look(): Promise<boolean> {
    const { store, cursors, clock, clockState } = this.#deps
    const room = await store.room()
    const effects = retention.step(this.#state, {
      type: 'look',
      ...(clockState() === 'synced' ? { wall: clock.wall() } : {}),
      ...room,
      tail: store.tail,
      head: store.head,
      rows: store.head - store.gone,
      acknowledged: this.#holder === undefined ? store.head : cursors.position(this.#holder),
      pressed: this.#pressed,
    })
    return this.#perform(effects)
  }

  async #perform(effects: readonly RetentionEffect[]): Promise<boolean> {
    const { log } = this.#deps
    let dropped = false
    try {
      for (const effect of effects) {
        switch (effect.do) {
          case 'mark':
            await this.#write([], [{ space: SPACE, key: 'marks', value: JSON.stringify(effect.marks) }])
            break
          case 'trim':
            await this.#trim(effect.upTo)
            dropped = true
            break
          case 'drop-bulk':
            await this.#dropBulk(effect)
            dropped = true
            break
          case 'vacuum':
            await this.#write([], [], (db) => db.exec(`PRAGMA incremental_vacuum(${effect.pages})`))
            break
          case 'checkpoint':
            await this.#deps.store.connection.exec('PRAGMA wal_checkpoint(TRUNCATE)')
            break
          case 'refuse-bulk':
            if (!this.#pressed || !effect.on)
              log.warn(
                { refuse: effect.on },
                effect.on
                  ? 'journal: full of events HQ has not acknowledged; bulk events are refused'
                  : 'journal: bulk events are taken again',
              )
            break
          case 'look-again':
            this.#schedule(effect.ms)
            break
        }
      }
    } catch (error) {
      // On a full disk a slice may find no room for itself; the commit that asked for it tells its caller.
      if (!(error instanceof Failure && error.code === 'journal-full')) throw error
      this.#schedule(PRESSED_MS)
      await this.#deps.ballast.release().catch(() => undefined)
      this.#pressed = true
      return false
    }
    return dropped
  }

  async #write(lines: Line[], keys: KeyRow[], also?: (db: Connection) => Promise<void>): Promise<void> {
    const cursorRows = this.#deps.cursors.take()
    try {
      this.#deps.writer.publish(await this.#deps.writer.append(lines, [...keys, ...cursorRows], also))
    } catch (error) {
      this.#deps.cursors.restore(cursorRows)
      throw error
    }
  }

  async #trim(upTo: Sequence): Promise<void> {
    const { store, writer } = this.#deps
    await this.#write([], [], async (db) => {
      const rows = await db.all<DropRow>(
        `SELECT seq, ${ROW_HASH} AS hash FROM event WHERE seq <= ?1 ORDER BY seq LIMIT ?2`,
        upTo,
        SLICE_ROWS,
      )
      await store.dropRows(db, rows)
    })
    await store.refreshTail()
    writer.cache.forget((sequence) => sequence <= upTo)
  }

  async #dropBulk(effect: Extract<RetentionEffect, { do: 'drop-bulk' }>): Promise<void> {
    const { store, writer, log } = this.#deps
    const rows = await store.connection.all<DropRow>(
      `SELECT seq, ${ROW_HASH} AS hash FROM event WHERE seq > ?1 AND seq <= ?2
        AND ${ROW_ORIGIN} IN (SELECT id FROM origin WHERE bulk = 1) ORDER BY seq LIMIT ?3`,
      effect.after,
      effect.upTo,
      effect.rows,
    )
    if (rows.length >= DROP_LEAST) {
      const total = this.dropped + rows.length
      await this.#write([this.#tombstone(rows, effect.reason)], [{ space: SPACE, key: 'dropped', value: String(total) }], (db) =>
        store.dropRows(db, rows),
      )
      this.dropped = total
      await store.refreshTail()
      const gone = new Set(rows.map((row) => row.seq))
      writer.cache.forget((sequence) => gone.has(sequence))
      log.warn({ events: rows.length, reason: effect.reason }, 'journal: dropped bulk events that HQ has not acknowledged')
    }
    const through = rows.length === effect.rows ? (rows.at(-1)?.seq ?? effect.upTo) : effect.upTo
    retention.step(this.#state, { type: 'scanned', through })
  }

  /** `ranges` when events in between stay: then those alone are gone, and not all of `fromSeq`-`toSeq`. */
  #tombstone(rows: readonly DropRow[], reason: string): Line {
    const runs = mergeGaps(
      [],
      rows.map((row) => ({ first: row.seq, last: row.seq, hash: '' })),
    )
    const data = {
      fromSeq: runs[0]?.first ?? 0,
      toSeq: runs.at(-1)?.last ?? 0,
      reason,
      events: rows.length,
      ...(runs.length > 1 ? { ranges: runs.map((run) => [run.first, run.last]) } : {}),
    }
    return droppedLine(this.#deps.store, this.#deps.clock, JSON.stringify(data))
  }
}

/** A `journal.dropped` event; `data` is JSON text. */
export function droppedLine(store: Store, clock: Clock, data: string): Line {
  const wall = clock.wall()
  return { origin: store.origins.find('journal', '-', 'dropped', false), time: `"${iso(wall)}"`, data, wall }
}
