/**
 * Rows that readers make of the events. A row is JSON text; the members that queries name are computed columns, which cost
 * nothing until they are asked for, and a page in each index that has them.
 */
import { Failure } from '../contract/errors.ts'
import type { Sequence } from '../contract/event.ts'
import type { JsonObject } from '../contract/json.ts'
import type { KeyedRow, RowChange, RowQuery, Tables, TablesOptions } from './api.ts'
import type { Connection, Param } from './connection.ts'
import { TABLES } from './schema.ts'
import type { KeyRow } from './store.ts'

/** What the journal lends: its lane, and a transaction of it. */
export interface TablesDeps {
  connection: () => Connection
  ask: <Result>(query: () => Promise<Result>) => Promise<Result>
  write: (keys: readonly KeyRow[], also: (connection: Connection) => Promise<void>) => Promise<void>
}

const WORD = /^[a-z][a-zA-Z]{0,31}$/
const COMPARE = new Set(['=', '>=', '<', '<=', '>'])

export class SqliteTables implements Tables {
  readonly #name: string
  readonly #options: TablesOptions
  readonly #deps: TablesDeps
  #position: Sequence = 0
  #version: string | undefined

  constructor(name: string, options: TablesOptions, deps: TablesDeps) {
    this.#name = name
    this.#options = options
    this.#deps = deps
  }

  get position(): Sequence {
    return this.#position
  }

  get version(): string | undefined {
    return this.#version
  }

  async open(): Promise<void> {
    for (const word of [this.#name, ...Object.keys(this.#options.tables)]) named(word)
    const text = await this.#deps.ask(() =>
      this.#deps.connection().value('SELECT value FROM kv WHERE space = ?1 AND key = ?2', TABLES, this.#name),
    )
    if (text !== undefined) {
      const known = JSON.parse(String(text)) as { position: Sequence; version: string }
      this.#position = known.position
      this.#version = known.version
    }
    if (this.#version !== this.#options.version) return
    await this.#deps.write([], (db) => this.#create(db))
  }

  async apply(changes: readonly RowChange[], position: Sequence): Promise<void> {
    const byTable = new Map<string, Map<string, JsonObject | undefined>>()
    for (const { table, key, row } of changes) {
      let rows = byTable.get(table)
      if (!rows) {
        this.#table(table)
        rows = new Map()
        byTable.set(table, rows)
      }
      rows.set(key, row)
    }
    await this.#deps.write([this.#mark(position)], async (db) => {
      for (const [table, rows] of byTable) await this.#put(db, this.#table(table), rows)
    })
    this.#position = position
  }

  async #put(db: Connection, table: string, rows: ReadonlyMap<string, JsonObject | undefined>): Promise<void> {
    const gone: string[] = []
    const put: [string, JsonObject][] = []
    for (const [key, row] of rows) {
      if (row === undefined) gone.push(key)
      else put.push([key, row])
    }
    if (gone.length > 0) await db.run(`DELETE FROM ${table} WHERE key IN (SELECT value FROM json_each(?1))`, JSON.stringify(gone))
    if (put.length > 0)
      await db.run(`INSERT OR REPLACE INTO ${table} (key, row) SELECT value->>0, value->1 FROM json_each(?1)`, JSON.stringify(put))
  }

  async get(table: string, keys: readonly string[]): Promise<Map<string, JsonObject>> {
    if (keys.length === 0) return new Map()
    const sql = `SELECT json_group_array(json_array(key, json(row))) AS rows FROM ${this.#table(table)} WHERE key IN (SELECT value FROM json_each(?1))`
    const rows = await this.#rows(sql, JSON.stringify(keys))
    return new Map(rows.map(({ key, row }) => [key, row]))
  }

  async select(table: string, query: RowQuery): Promise<KeyedRow[]> {
    const params: Param[] = []
    const bind = (value: string | number): string => `?${params.push(value)}`
    const where = (query.where ?? []).map(({ field, is, value }) => {
      if (!COMPARE.has(is)) throw new Failure('internal', `tables: no comparison "${String(is)}"`)
      return `${this.#field(table, field)} ${is} ${bind(value)}`
    })
    const way = query.descending ? ['<', 'DESC'] : ['>', 'ASC']
    const by = query.orderBy === undefined ? undefined : this.#field(table, query.orderBy)
    if (query.after) {
      const { key, value } = query.after
      where.push(
        by === undefined || value === undefined ? `key ${way[0]} ${bind(key)}` : `(${by}, key) ${way[0]} (${bind(value)}, ${bind(key)})`,
      )
    }
    const order = [...(by === undefined ? [] : [`${by} ${way[1]}`]), `key ${way[1]}`].join(', ')
    const from = `SELECT key, row FROM ${this.#table(table)}${where.length > 0 ? ` WHERE ${where.join(' AND ')}` : ''} ORDER BY ${order} LIMIT ${bind(query.limit)}`
    return this.#rows(`SELECT json_group_array(json_array(key, json(row))) AS rows FROM (${from})`, ...params)
  }

  /** One row with one JSON text: see `SQL.readEvents`. */
  async #rows(sql: string, ...params: Param[]): Promise<KeyedRow[]> {
    const text = await this.#deps.ask(() => this.#deps.connection().value(sql, ...params))
    return (JSON.parse(String(text)) as [string, JsonObject][]).map(([key, row]) => ({ key, row }))
  }

  async reset(keep: readonly string[]): Promise<void> {
    await this.#deps.write([this.#mark(0, this.#options.version)], async (db) => {
      const there = await db.all<{ name: string }>(
        `SELECT name FROM sqlite_schema WHERE type = 'table' AND name LIKE ?1`,
        `table_${this.#name}_%`,
      )
      const kept = new Set(keep.map((table) => this.#table(table)))
      for (const { name } of there) if (!kept.has(name)) await db.exec(`DROP TABLE ${name}`)
      await this.#create(db)
    })
    this.#position = 0
    this.#version = this.#options.version
  }

  async #create(db: Connection): Promise<void> {
    for (const [table, spec] of Object.entries(this.#options.tables)) {
      const name = this.#table(table)
      const columns = spec.fields.map((field) => `, "${named(field)}" ANY GENERATED ALWAYS AS (row->>'$.${field}') VIRTUAL`)
      await db.exec(`CREATE TABLE IF NOT EXISTS ${name} (key TEXT PRIMARY KEY, row TEXT NOT NULL${columns.join('')}) STRICT, WITHOUT ROWID`)
      for (const fields of spec.indexes)
        await db.exec(
          `CREATE INDEX IF NOT EXISTS ${name}_${fields.join('_')} ON ${name} (${fields.map((field) => this.#field(table, field)).join(', ')})`,
        )
    }
  }

  #mark(position: Sequence, version = this.#version): KeyRow {
    return { space: TABLES, key: this.#name, value: JSON.stringify({ position, version }) }
  }

  #table(table: string): string {
    if (!(table in this.#options.tables)) throw new Failure('internal', `tables: there is no table "${table}"`)
    return `table_${this.#name}_${table}`
  }

  #field(table: string, field: string): string {
    if (field === 'key') return 'key'
    if (!this.#options.tables[table]?.fields.includes(field)) throw new Failure('internal', `tables: "${table}" has no field "${field}"`)
    return `"${field}"`
  }
}

/** Names become SQL: words only. */
function named(word: string): string {
  if (!WORD.test(word)) throw new Failure('internal', `tables: "${word}" is no name for a table or field`)
  return word
}
