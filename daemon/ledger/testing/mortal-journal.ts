/** A journal whose process dies after so many durable writes: from then on nothing is answered. What was written stays. */
import type { Commit, RowChange, TabledJournal, Tables, TablesOptions } from '../../journal/api.ts'

export class Death {
  #left: number
  /** Resolves at the moment of death. */
  readonly came: Promise<void>
  #tell: () => void = () => undefined

  constructor(writes: number) {
    this.#left = writes
    this.came = new Promise((resolve) => {
      this.#tell = resolve
    })
  }

  /** Never resolves once dead. */
  async write<Result>(write: () => Promise<Result>): Promise<Result> {
    if (this.#left <= 0) return new Promise(() => undefined)
    this.#left -= 1
    const result = await write()
    // The write is on the disk, and nobody hears of it.
    if (this.#left > 0) return result
    this.#tell()
    return new Promise(() => undefined)
  }
}

export function mortal(journal: TabledJournal, death: Death): TabledJournal {
  return new Proxy(journal, {
    get(target, name) {
      if (name === 'commit') return (commit: Commit) => death.write(() => target.commit(commit))
      if (name === 'tables')
        return async (table: string, options: TablesOptions) => mortalTables(await target.tables(table, options), death)
      const value: unknown = Reflect.get(target, name)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}

const mortalTables = (tables: Tables, death: Death): Tables =>
  new Proxy(tables, {
    get(target, name) {
      if (name === 'apply') return (changes: readonly RowChange[], position: number) => death.write(() => target.apply(changes, position))
      if (name === 'reset') return (keep: readonly string[]) => death.write(() => target.reset(keep))
      const value: unknown = Reflect.get(target, name)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
