import type { Sequence } from '../contract/event.ts'
import type { Json, JsonObject } from '../contract/json.ts'
import type { KeyValue } from '../contract/plugin.ts'

/** An event before it has a sequence. Already validated, already masked. */
export interface Draft {
  /** The `{plugin}` of the type and of the source: a plugin's name, or `plugin`, `command`, `journal` for the core's own. */
  plugin: string
  device: string
  event: string
  data: JsonObject
  /** RFC 3339; the moment of the commit when absent. */
  time?: string
  /** May wait 50-100 ms for company, and goes first when the journal is full. */
  bulk?: boolean
}

/** One durable write: all of it or nothing. */
export interface Commit {
  events?: readonly Draft[]
  puts?: readonly Put[]
  /** Waits 50-100 ms for company, as bulk events do, unless somebody is in a hurry before. Never refused for it. */
  mayWait?: boolean
}

/** A key of one `space`; `undefined` deletes it. */
export interface Put {
  space: string
  key: string
  value: Json | undefined
}

export interface StoredEvent {
  sequence: Sequence
  /** `shopwire.{plugin}.{event}` */
  type: string
  plugin: string
  device: string
  event: string
  bulk: boolean
  /** The CloudEvent as JSON text, ready to send; parse it only where a field is needed. */
  text: string
}

/** How far one reader has got. A lost advance only means that events are read again. */
export interface Cursor {
  readonly position: Sequence
  /** Never goes back, never beyond the head. Made durable within a second, with a commit that is due anyway where there is one. */
  advance(to: Sequence): void
}

export interface JournalStats {
  epoch: string
  head: Sequence
  /** Oldest sequence kept; head + 1 when empty. */
  tail: Sequence
  events: number
  bytes: number
  freeBytes: number
  /** Bulk events dropped unacknowledged, since the epoch began. Each drop is also a `journal.dropped` event. */
  dropped: number
  commits: number
  /** Monotonic ms of the last durable commit. */
  lastCommitMono: number
  pending: number
  /** Set while commits fail, or while one does not come back from the disk: what is wrong. The watchdog is not fed meanwhile. */
  fault?: string
}

/** The append-only local log. The file has one connection, ever; others ask the daemon. */
export interface Journal {
  readonly epoch: string
  /** Last durable sequence; 0 when there is none. */
  readonly head: Sequence
  readonly tail: Sequence
  /**
   * Resolves once all of it is durable, with the sequence of each event, in order.
   * Rejects with `journal-full` or `journal-failed` when nothing of it was stored, and never leaves that in doubt:
   * an error from COMMIT is settled by reopening and reading back before it answers.
   */
  commit(commit: Commit): Promise<Sequence[]>
  /** Events after `after`, oldest first. A hole in the sequences is what retention dropped. */
  read(after: Sequence, limit: { events: number; bytes?: number }): Promise<StoredEvent[]>
  /** Called after each commit, in order, with what became durable. Must not throw or block. */
  follow(listener: (events: readonly StoredEvent[]) => void): () => void
  /** A named reader's position, 0 when new. */
  cursor(name: string): Cursor
  /** A durable key-value space; `plugin:{name}` for plugins. */
  space(name: string): KeyValue
  /**
   * Names the cursor behind which unacknowledged events are kept (`hq`); none: all may go. Remembered over restarts, so
   * that nothing goes before it is said anew.
   */
  hold(cursor: string | undefined): void
  stats(): JournalStats
  /** Recomputes the hash chain; the first sequence that does not fit, if any. */
  verify(): Promise<{ checked: number; broken?: Sequence }>
  close(): Promise<void>
}

/** One kind of row that a reader makes of the events. */
export interface TableSpec {
  /** Members of a row that a query may name. */
  fields: readonly string[]
  /** Lists of fields by which rows are found quickly. */
  indexes: readonly (readonly string[])[]
}

export interface TablesOptions {
  /** Of what the rows mean. Rows of another one are there until `reset`. */
  version: string
  tables: Readonly<Record<string, TableSpec>>
}

export interface RowChange {
  table: string
  key: string
  /** The whole row; undefined takes it away. */
  row: JsonObject | undefined
}

export interface Condition {
  field: string
  is: '=' | '>=' | '<' | '<=' | '>'
  value: string | number
}

export interface RowQuery {
  where?: readonly Condition[]
  /** By this field, then by key; by key alone when absent. */
  orderBy?: string
  descending?: boolean
  /** The last row of the page before: its key, and its value of `orderBy`. */
  after?: { key: string; value?: string | number }
  limit: number
}

export interface KeyedRow {
  key: string
  row: JsonObject
}

/**
 * What one reader makes of the events, as rows of JSON beside them in the same file. Everything in here can be made again from
 * the journal, so writes are lazy: a power cut may take the newest ones, and then `position` with them.
 */
export interface Tables {
  /** The rows are what came of the events up to this one. */
  readonly position: Sequence
  /** Of the rows that are there; another one than was asked for, or none, wants a `reset`. */
  readonly version: string | undefined
  /** Rows and position in one transaction: all of it or nothing. Rejects as `commit` does. */
  apply(changes: readonly RowChange[], position: Sequence): Promise<void>
  /** The rows there are of these keys. */
  get(table: string, keys: readonly string[]): Promise<Map<string, JsonObject>>
  select(table: string, query: RowQuery): Promise<KeyedRow[]>
  /** Empties all tables but those in `keep`, and begins at position 0 under the version that was asked for. */
  reset(keep: readonly string[]): Promise<void>
}

/** A journal with room for what its readers make of it. */
export interface TabledJournal extends Journal {
  /** Made where they are missing. Rejects with `journal-failed`. `name` and the tables' names are lower-case words. */
  tables(name: string, options: TablesOptions): Promise<Tables>
}

/** What the composition root holds: limits are config, and HQ may change them. */
export interface LimitedJournal extends TabledJournal {
  /** Takes effect at once. */
  setLimits(limits: { maxAgeMs: number; maxBytes: number }): void
}
