/** Whose visit a tag's stay is: settled when the tag comes, so that it ends for whom it began, whatever the config says by then. */
import type { JsonObject } from '../../daemon/contract/json.ts'
import type { PluginContext } from '../../daemon/contract/plugin.ts'
import type { Registered } from './config.ts'

interface Visitor {
  /** Pseudonym. */
  visitor: string
  role: 'member' | 'staff'
}

export class Visits {
  readonly #pseudonym: PluginContext['pseudonym']
  readonly #send: (event: 'present' | 'absent', data: JsonObject) => void
  /** By the tag's key. */
  readonly #open = new Map<string, string>()

  constructor(pseudonym: PluginContext['pseudonym'], send: (event: 'present' | 'absent', data: JsonObject) => void) {
    this.#pseudonym = pseudonym
    this.#send = send
  }

  /** Pseudonym of the visitor whose tag is here. */
  visitor(key: string): string | undefined {
    return this.#open.get(key)
  }

  /** The run before has told of this one. */
  resume(key: string, visitor: string | undefined): void {
    if (visitor !== undefined) this.#open.set(key, visitor)
  }

  /** The same, where it is not known of whom. */
  assume(key: string, known: Registered): void {
    this.resume(key, this.#whose(known)?.visitor)
  }

  came(key: string, known: Registered | undefined): void {
    const who = this.#whose(known)
    if (!who) return
    this.#open.set(key, who.visitor)
    this.#send('present', { visitor: who.visitor, by: 'beacon', role: who.role })
  }

  left(key: string, lastSeen: string): void {
    const visitor = this.#open.get(key)
    if (visitor === undefined) return
    this.#open.delete(key)
    this.#send('absent', { visitor, lastSeen })
  }

  /** The tag is here and has been given to somebody else, or is nobody's any more. */
  passOn(key: string, known: Registered | undefined, lastSeen: string): void {
    if (this.#whose(known)?.visitor === this.#open.get(key)) return
    this.left(key, lastSeen)
    this.came(key, known)
  }

  /** A member's or an employee's tag is a visit's beginning and end. */
  #whose(known: Registered | undefined): Visitor | undefined {
    if (!known) return undefined
    const { name, entry } = known
    if (entry.kind !== 'member' && entry.kind !== 'staff') return undefined
    return { visitor: this.#pseudonym('person', entry.member ?? `tag:${name}`), role: entry.kind }
  }
}
