/** Events and keys into the file, one batch at a time, with a definite answer for each. Everything here runs inside the lane. */
import { writeFile } from 'node:fs/promises'
import { Failure } from '../contract/errors.ts'
import type { ClockState, Sequence } from '../contract/event.ts'
import type { Clock, MonoMs } from '../contract/plugin.ts'
import type { Log } from '../log.ts'
import type { StoredEvent } from './api.ts'
import { link } from './chain.ts'
import { type Connection, isCorrupt, sqlCode } from './connection.ts'
import { cloudEvent, type Origin, trailer } from './envelope.ts'
import { suspectFile } from './file.ts'
import { type Batch, type KeyRow, type NewRow, type Store, stored } from './store.ts'
import { TailCache } from './tail-cache.ts'
import { Uuid7 } from './uuid7.ts'

/** An event on its way into a batch: JSON texts, no sequence yet. */
export interface Line {
  origin: Origin
  time: string
  data: string
  wall: number
}

export interface WriterDeps {
  store: Store
  clock: Clock
  clockState: () => ClockState
  identity: () => { gateway: string; store: string }
  bootId: string
  log: Log
  /** Gives up what was kept for the day the disk is full. */
  makeRoom: () => Promise<void>
}

const REOPEN_FIRST_MS = 250
const REOPEN_MOST_MS = 10_000

export class Writer {
  readonly #deps: WriterDeps
  readonly #ids = new Uuid7()
  readonly #followers = new Set<(events: readonly StoredEvent[]) => void>()
  readonly #closing = new AbortController()
  cache: TailCache
  commits = 0
  lastCommitMono: MonoMs
  /** Since when a batch has been at the disk; undefined while none is. */
  #writingSince: MonoMs | undefined
  /** What is wrong while batches fail, and from a damaged page on until the next start. */
  fault: string | undefined
  #damage: string | undefined
  /** The file cannot be opened, and the fate of a batch is not known yet. */
  unsettled = false
  /** Hears when `unsettled` begins. */
  onUnsettled: () => void = () => undefined

  constructor(deps: WriterDeps) {
    this.#deps = deps
    this.cache = new TailCache(deps.store.head)
    this.lastCommitMono = deps.clock.mono()
  }

  /** How long the batch that is at the disk has been there, in ms; 0 while none is. A disk that hangs fails nothing: it just does not answer. */
  get writingForMs(): number {
    return this.#writingSince === undefined ? 0 : this.#deps.clock.mono() - this.#writingSince
  }

  follow(listener: (events: readonly StoredEvent[]) => void): () => void {
    this.#followers.add(listener)
    return () => this.#followers.delete(listener)
  }

  /** From now on a file that cannot be opened again is given up instead of tried on. */
  stop(): void {
    this.#closing.abort()
  }

  /** Resolves with what is now durable; rejects when nothing of it was stored. */
  async append(
    lines: readonly Line[],
    keys: readonly KeyRow[],
    also?: (connection: Connection) => Promise<void>,
    lazy = false,
  ): Promise<StoredEvent[]> {
    const batch: Batch = { rows: this.#rows(lines), keys, lazy, ...(also ? { also } : {}) }
    // `also` may be long work of its own (a ledger made anew), and says nothing of the disk.
    if (!also) this.#writingSince = this.#deps.clock.mono()
    try {
      await this.#deps.store.write(batch)
    } catch (error) {
      if (error instanceof Failure) throw error
      if (!(await this.#settle(batch, error))) throw this.#failure(error)
    } finally {
      this.#writingSince = undefined
    }
    // That these pages were whole says nothing of a damaged one.
    this.fault = this.#damage
    this.commits += 1
    this.lastCommitMono = this.#deps.clock.mono()
    const events = batch.rows.map((row) => stored(row.origin, row.sequence, row.text))
    this.cache.push(events)
    return events
  }

  /** Tells the followers; after the callers have been answered. */
  publish(events: readonly StoredEvent[]): void {
    if (events.length === 0) return
    for (const listener of this.#followers) {
      try {
        listener(events)
      } catch (error) {
        this.#deps.log.error({ error: error instanceof Error ? error.message : String(error) }, 'a journal follower threw')
      }
    }
  }

  /** A read that failed: what it means, and the marker for the next start. */
  async readFailure(error: unknown): Promise<Failure> {
    if (error instanceof Failure) return error
    if (isCorrupt(error)) await this.#suspect(error)
    return this.#failure(error)
  }

  #rows(lines: readonly Line[]): NewRow[] {
    const { store, clockState, identity, bootId } = this.#deps
    const who = identity()
    const end = trailer({ gateway: who.gateway, store: who.store, epoch: store.epoch, clock: clockState(), bootid: bootId })
    let sequence: Sequence = store.head
    let hash = store.hash
    return lines.map(({ origin, time, data, wall }) => {
      sequence += 1
      const text = cloudEvent(origin, who.gateway, this.#ids.next(wall), time, sequence, end, data)
      hash = link(hash, text)
      return { sequence, origin, text, hash }
    })
  }

  /**
   * An error, above all one from COMMIT, leaves open what the disk holds. The handle is given up (after a failed sync
   * its idea of what is on the disk is worth nothing), the file is opened again and asked.
   */
  async #settle(batch: Batch, cause: unknown): Promise<boolean> {
    const { store, clock, log, makeRoom } = this.#deps
    if (sqlCode(cause) === 'SQLITE_FULL') await makeRoom().catch(() => undefined)
    const news = this.fault === undefined
    this.fault = cause instanceof Error ? cause.message : String(cause)
    for (let wait = REOPEN_FIRST_MS; ; wait = Math.min(REOPEN_MOST_MS, wait * 2)) {
      try {
        await store.reopen(sqlCode(cause) !== 'SQLITE_FULL')
        this.cache = new TailCache(store.head)
        this.unsettled = false
        const there = await store.contains(batch)
        if (news) log.warn({ error: this.fault, stored: there }, 'journal: a commit failed; the file was opened again and asked')
        return there
      } catch (error) {
        this.fault = error instanceof Error ? error.message : String(error)
        if (isCorrupt(error)) await this.#suspect(error)
        if (!this.unsettled) {
          log.error({ error: this.fault }, 'journal: the file cannot be opened again after an error; trying on')
          this.unsettled = true
          this.onUnsettled()
        }
      }
      try {
        await clock.sleep(wait, this.#closing.signal)
      } catch {
        throw new Failure('journal-failed', `stopped before the journal could tell whether this was stored (${this.fault})`, [], cause)
      }
    }
  }

  /** The daemon is restarted by its watchdog; the start then checks the whole file. */
  async #suspect(error: unknown): Promise<void> {
    const message = error instanceof Error ? error.message : String(error)
    this.#damage = `damaged: ${message}`
    this.fault = this.#damage
    this.#deps.log.error({ error: message }, 'journal: the file is damaged; the next start will set it aside and save what it can')
    await writeFile(suspectFile(this.#deps.store.file), `${message}\n`).catch(() => undefined)
  }

  #failure(error: unknown): Failure {
    const message = error instanceof Error ? error.message : String(error)
    if (sqlCode(error) === 'SQLITE_FULL') return new Failure('journal-full', 'the disk is full; nothing was stored', [], error)
    if (isCorrupt(error)) return new Failure('journal-corrupt', `the journal file is damaged: ${message}`, [], error)
    return new Failure('journal-failed', `the journal could not store: ${message}`, [], error)
  }
}
