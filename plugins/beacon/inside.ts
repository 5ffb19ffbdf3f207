/** Who is here, kept over restarts and power cuts, with when they were last seen: a visit that the night has ended must not last until morning. */
import type { KeyValue, Logger } from '../../daemon/contract/plugin.ts'

const INSIDE = 'inside'

export interface Here {
  key: string
  /** ISO time of the last sighting; absent: not heard since the start. */
  seen?: string
  /** Pseudonym, where its stay is somebody's visit. */
  visitor?: string
}

export class Inside {
  readonly #store: KeyValue
  readonly #log: Logger
  /** As stored by the run before: when they were last seen. */
  readonly #before = new Map<string, string>()
  readonly #visitors = new Map<string, string>()
  #saving: Promise<void> = Promise.resolve()

  constructor(store: KeyValue, log: Logger) {
    this.#store = store
    this.#log = log
  }

  /** Keys of those who were here when the run before ended. */
  async load(): Promise<string[]> {
    const stored = await this.#store.get(INSIDE)
    if (!Array.isArray(stored)) return []
    return stored.flatMap((one) => {
      const {
        key: hex,
        seen,
        visitor,
      } = typeof one === 'string' ? { key: one } : (one as { key?: unknown; seen?: unknown; visitor?: unknown })
      if (typeof hex !== 'string') return []
      const key = Buffer.from(hex, 'hex').toString('latin1')
      if (typeof seen === 'string') this.#before.set(key, seen)
      if (typeof visitor === 'string') this.#visitors.set(key, visitor)
      return [key]
    })
  }

  /** When one that has not been heard since the start was last seen. */
  seenBefore(key: string): string | undefined {
    return this.#before.get(key)
  }

  /** Whose visit the run before has told of. */
  visitorBefore(key: string): string | undefined {
    return this.#visitors.get(key)
  }

  /** Written one after the other; the last state wins. */
  save(here: readonly Here[]): void {
    const kept = here.map(({ key, seen = this.#before.get(key), visitor }) => ({
      key: Buffer.from(key, 'latin1').toString('hex'),
      ...(visitor === undefined ? {} : { visitor }),
      ...(seen === undefined ? {} : { seen }),
    }))
    this.#saving = this.#saving
      .then(() => this.#store.put(INSIDE, kept))
      .catch((error: unknown) => this.#log.warn({ cause: String(error) }, 'who is here could not be stored'))
  }

  saved(): Promise<void> {
    return this.#saving
  }
}
