/** The whole `Journal` in memory: for tests of what stands on it. Durability and chaining are the real one's own tests. */
import { randomUUID } from 'node:crypto'
import { type ErrorCode, Failure } from '../contract/errors.ts'
import type { CloudEvent, Sequence } from '../contract/event.ts'
import { TYPE_PREFIX } from '../contract/event.ts'
import type { Json } from '../contract/json.ts'
import type { KeyValue } from '../contract/plugin.ts'
import type { Commit, Cursor, Draft, Journal, JournalStats, StoredEvent } from '../journal/api.ts'

export interface MemoryJournalOptions {
  gateway?: string
  store?: string
  epoch?: string
}

/** Besides the interface: `block` and `unblock` are a disk that takes its time, `break` and `mend` one that refuses. */
export class MemoryJournal implements Journal {
  readonly epoch: string
  readonly events: StoredEvent[] = []
  /** Every commit made, as it was given. */
  readonly commits: Commit[] = []
  readonly #gateway: string
  readonly #store: string
  readonly #spaces = new Map<string, Map<string, Json>>()
  readonly #cursors = new Map<string, MemoryCursor>()
  readonly #followers = new Set<(events: readonly StoredEvent[]) => void>()
  readonly #bootid = randomUUID()
  #head = 0
  #gate: Promise<void> | undefined
  #open: (() => void) | undefined
  #fault: ErrorCode | undefined
  #pending = 0
  #closed = false
  #queue: Promise<unknown> = Promise.resolve()

  constructor(options: MemoryJournalOptions = {}) {
    this.epoch = options.epoch ?? randomUUID()
    this.#gateway = options.gateway ?? 'shop-001'
    this.#store = options.store ?? '0001'
  }

  get head(): Sequence {
    return this.#head
  }

  get tail(): Sequence {
    return this.events[0]?.sequence ?? this.#head + 1
  }

  /** Commits wait from now on, until `unblock`. */
  block(): void {
    this.#gate ??= new Promise((resolve) => {
      this.#open = resolve
    })
  }

  unblock(): void {
    this.#open?.()
    this.#gate = undefined
    this.#open = undefined
  }

  /** Commits are refused with `code` from now on, until `mend`. */
  break(code: ErrorCode = 'journal-full'): void {
    this.#fault = code
  }

  mend(): void {
    this.#fault = undefined
  }

  commit(commit: Commit): Promise<Sequence[]> {
    if (this.#closed) return Promise.reject(new Failure('journal-failed', 'the journal is closed'))
    this.#pending += 1
    const kept = structuredClone(commit)
    const done = this.#queue
      .then(() => this.#commit(kept))
      .finally(() => {
        this.#pending -= 1
      })
    this.#queue = done.catch(() => {})
    return done
  }

  async #commit(commit: Commit): Promise<Sequence[]> {
    while (this.#gate) await this.#gate
    if (this.#fault) throw new Failure(this.#fault, 'the test broke the journal')
    const stored = (commit.events ?? []).map((draft) => this.#append(draft))
    for (const put of commit.puts ?? []) this.#put(put.space, put.key, put.value)
    this.commits.push(commit)
    if (stored.length > 0) for (const listener of this.#followers) listener(stored)
    return stored.map((one) => one.sequence)
  }

  #append(draft: Draft): StoredEvent {
    this.#head += 1
    const type = `${TYPE_PREFIX}${draft.plugin}.${draft.event}`
    const event: CloudEvent = {
      specversion: '1.0',
      id: randomUUID(),
      type,
      source: `/${this.#gateway}/${draft.plugin}/${draft.device}`,
      time: draft.time ?? new Date().toISOString(),
      datacontenttype: 'application/json',
      sequence: String(this.#head),
      sequencetype: 'Integer',
      epoch: this.epoch,
      store: this.#store,
      clock: 'synced',
      bootid: this.#bootid,
      data: draft.data,
    }
    const stored: StoredEvent = {
      sequence: this.#head,
      type,
      plugin: draft.plugin,
      device: draft.device,
      event: draft.event,
      bulk: draft.bulk ?? false,
      text: JSON.stringify(event),
    }
    this.events.push(stored)
    return stored
  }

  async read(after: Sequence, limit: { events: number; bytes?: number }): Promise<StoredEvent[]> {
    const found: StoredEvent[] = []
    let bytes = 0
    const first = this.events.findIndex((one) => one.sequence > after)
    if (first < 0) return found
    for (let at = first; at < this.events.length && found.length < limit.events; at++) {
      const one = this.events[at]
      if (!one) break
      bytes += one.text.length
      if (limit.bytes !== undefined && bytes > limit.bytes && found.length > 0) break
      found.push(one)
    }
    return found
  }

  follow(listener: (events: readonly StoredEvent[]) => void): () => void {
    this.#followers.add(listener)
    return () => this.#followers.delete(listener)
  }

  cursor(name: string): Cursor {
    let cursor = this.#cursors.get(name)
    if (!cursor) {
      cursor = new MemoryCursor()
      this.#cursors.set(name, cursor)
    }
    return cursor
  }

  space(name: string): KeyValue {
    const keys = () => this.#spaces.get(name) ?? new Map<string, Json>()
    return {
      get: async (key) => structuredClone(keys().get(key)),
      put: async (key, value) => {
        await this.commit({ puts: [{ space: name, key, value }] })
      },
      delete: async (key) => {
        await this.commit({ puts: [{ space: name, key, value: undefined }] })
      },
      list: async (prefix = '') =>
        [...keys()]
          .filter(([key]) => key.startsWith(prefix))
          .sort(([a], [b]) => (a < b ? -1 : 1))
          .map(([key, value]) => ({ key, value: structuredClone(value) })),
    }
  }

  hold(): void {}

  /** What retention does: everything up to `sequence` is gone. */
  drop(sequence: Sequence): void {
    while (this.events[0] && this.events[0].sequence <= sequence) this.events.shift()
  }

  stats(): JournalStats {
    return {
      epoch: this.epoch,
      head: this.#head,
      tail: this.tail,
      events: this.events.length,
      bytes: this.events.reduce((sum, one) => sum + one.text.length, 0),
      freeBytes: Number.MAX_SAFE_INTEGER,
      dropped: 0,
      commits: this.commits.length,
      lastCommitMono: performance.now(),
      pending: this.#pending,
      ...(this.#fault ? { fault: this.#fault } : {}),
    }
  }

  async verify(): Promise<{ checked: number; broken?: Sequence }> {
    return { checked: this.events.length }
  }

  async close(): Promise<void> {
    this.unblock()
    await this.#queue
    this.#closed = true
  }

  #put(space: string, key: string, value: Json | undefined): void {
    const keys = this.#spaces.get(space) ?? new Map<string, Json>()
    this.#spaces.set(space, keys)
    if (value === undefined) keys.delete(key)
    else keys.set(key, structuredClone(value))
  }
}

class MemoryCursor implements Cursor {
  #position = 0

  get position(): Sequence {
    return this.#position
  }

  advance(to: Sequence): void {
    if (to > this.#position) this.#position = to
  }
}
