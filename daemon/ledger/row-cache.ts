/** Rows in hand: those of the batch, and the latest ones before it. */
import type { JsonObject } from '../contract/json.ts'
import type { RowChange, Tables } from '../journal/api.ts'
import type { Rows, RowTypes, Table } from './projection.ts'

const KEPT = 20_000

export class RowCache implements Rows {
  readonly #tables: Tables
  /** Null: the table has no such row. */
  readonly #rows = new Map<string, JsonObject | null>()
  readonly #dirty = new Map<string, { table: Table; key: string }>()

  constructor(tables: Tables) {
    this.#tables = tables
  }

  get dirty(): number {
    return this.#dirty.size
  }

  /** Brings in those that are not in hand. */
  async load(keys: readonly (readonly [Table, string])[]): Promise<void> {
    const missing = new Map<Table, Set<string>>()
    for (const [table, key] of keys) {
      if (this.#rows.has(`${table} ${key}`)) continue
      const of = missing.get(table)
      if (of) of.add(key)
      else missing.set(table, new Set([key]))
    }
    for (const [table, wanted] of missing) {
      const found = await this.#tables.get(table, [...wanted])
      for (const key of wanted) this.#rows.set(`${table} ${key}`, found.get(key) ?? null)
    }
  }

  get<Name extends Table>(table: Name, key: string): RowTypes[Name] | undefined {
    const row = this.#rows.get(`${table} ${key}`)
    if (row === undefined) throw new Error(`the ledger folds without its row ${table} ${key}`)
    return row === null ? undefined : (row as unknown as RowTypes[Name])
  }

  put<Name extends Table>(table: Name, key: string, row: RowTypes[Name] | undefined): void {
    this.#rows.set(`${table} ${key}`, row === undefined ? null : (row as unknown as JsonObject))
    this.#dirty.set(`${table} ${key}`, { table, key })
  }

  /** What is to be written; in hand it counts as written from now on. */
  take(): RowChange[] {
    const changes = [...this.#dirty].map(([id, { table, key }]): RowChange => ({ table, key, row: this.#rows.get(id) ?? undefined }))
    this.#dirty.clear()
    return changes
  }

  /** Lets go of the oldest. Between batches only. */
  trim(): void {
    if (this.#rows.size <= KEPT) return
    let over = this.#rows.size - KEPT / 2
    for (const id of this.#rows.keys()) {
      if (over-- <= 0) return
      this.#rows.delete(id)
    }
  }

  /** A write has failed: what the tables hold is the truth. */
  clear(): void {
    this.#rows.clear()
    this.#dirty.clear()
  }
}
