/** sqlite3's callbacks as promises; statements are prepared once and kept. The only importer of `sqlite3`. */
import { pathToFileURL } from 'node:url'
import sqlite3 from 'sqlite3'

export type Param = string | number | Buffer | null

/** What SQLite answered; `code` is its name, e.g. `SQLITE_FULL`. */
export class SqlError extends Error {
  readonly code: string

  constructor(code: string, message: string) {
    super(message)
    this.name = 'SqlError'
    this.code = code
  }
}

const sqlError = (error: Error): SqlError => {
  const code = (error as Error & { code?: unknown }).code
  return new SqlError(typeof code === 'string' ? code : 'SQLITE_ERROR', error.message)
}

/** The code of a thrown `SqlError`, empty for anything else. */
export const sqlCode = (error: unknown): string => (error instanceof SqlError ? error.code : '')

/** The content of the file cannot be trusted, as opposed to the disk or the call. */
export const isCorrupt = (error: unknown): boolean => ['SQLITE_CORRUPT', 'SQLITE_NOTADB'].includes(sqlCode(error))

const BUSY_MS = 3_000

export class Connection {
  readonly #database: sqlite3.Database
  readonly #statements = new Map<string, Promise<sqlite3.Statement>>()

  /**
   * `psow=0`: without it SQLite believes that an interrupted write leaves the rest of its sector intact ("power-safe
   * overwrite"), which flash with 4 KiB sectors does not keep; committed rows were lost that way.
   */
  static open(file: string, powerSafeOverwrite = false): Promise<Connection> {
    return new Promise((resolve, reject) => {
      const mode = sqlite3.OPEN_READWRITE | sqlite3.OPEN_CREATE | sqlite3.OPEN_URI | sqlite3.OPEN_FULLMUTEX
      const database = new sqlite3.Database(`${pathToFileURL(file).href}?psow=${powerSafeOverwrite ? 1 : 0}`, mode, (error) => {
        if (error) return reject(sqlError(error))
        database.configure('busyTimeout', BUSY_MS)
        resolve(new Connection(database))
      })
    })
  }

  private constructor(database: sqlite3.Database) {
    this.#database = database
  }

  /** Several statements without parameters. */
  exec(sql: string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#database.exec(sql, (error) => (error ? reject(sqlError(error)) : resolve()))
    })
  }

  async run(sql: string, ...params: Param[]): Promise<void> {
    const statement = await this.#statement(sql)
    return new Promise((resolve, reject) => {
      statement.run(params, (error: Error | null) => (error ? reject(sqlError(error)) : resolve()))
    })
  }

  /** Always read to the end: a statement left half-read would pin the WAL. */
  async all<Row>(sql: string, ...params: Param[]): Promise<Row[]> {
    const statement = await this.#statement(sql)
    return new Promise((resolve, reject) => {
      statement.all<Row>(params, (error, rows) => (error ? reject(sqlError(error)) : resolve(rows)))
    })
  }

  /** The single value of a query with one row and one column. */
  async value(sql: string, ...params: Param[]): Promise<unknown> {
    const [row] = await this.all<Record<string, unknown>>(sql, ...params)
    return row && Object.values(row)[0]
  }

  /** A handle with statements left cannot be closed, so they go first, whatever they answer. */
  async close(): Promise<void> {
    const statements = await Promise.allSettled(this.#statements.values())
    this.#statements.clear()
    for (const one of statements) {
      if (one.status === 'fulfilled') await new Promise<void>((resolve) => one.value.finalize(() => resolve()))
    }
    await new Promise<void>((resolve, reject) => this.#database.close((error) => (error ? reject(sqlError(error)) : resolve())))
  }

  #statement(sql: string): Promise<sqlite3.Statement> {
    let known = this.#statements.get(sql)
    if (!known) {
      known = new Promise((resolve, reject) => {
        const statement = this.#database.prepare(sql, (error: Error | null) => (error ? reject(sqlError(error)) : resolve(statement)))
      })
      known.catch(() => this.#statements.delete(sql))
      this.#statements.set(sql, known)
    }
    return known
  }
}
