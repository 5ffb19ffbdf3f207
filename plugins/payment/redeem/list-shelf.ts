/** The offline list on disk: parts as they come, one whole list that counts, and its word on a code. */
import type { KeyObject } from 'node:crypto'
import { Failure } from '../../../daemon/contract/errors.ts'
import type { Json, JsonObject } from '../../../daemon/contract/json.ts'
import type { PluginContext } from '../../../daemon/contract/plugin.ts'
import { type CodeList, hashCode, LIST_BYTES, readCodeList } from './code-list.ts'
import type { ListWord } from './redeem-state.ts'
import type { CodeKind } from './redemption.ts'

const PARTS = 'redeem/list-part/'
const CURRENT = 'redeem/list'
/** A box without a battery-backed clock starts in the past: then nobody can say what has expired. */
const CLOCK_SLACK_MS = 86_400_000

/** One part of a list, as the command `code-list` brings it. */
export interface ListPart {
  version: number
  part: number
  parts: number
  payload: string
  /** Base64; the same in every part. */
  signature: string
}

export interface ListStatus extends JsonObject {
  version: number
  usable: boolean
}

type ListContext = Pick<PluginContext, 'store' | 'clock' | 'gateway' | 'log'>

interface Kept {
  version: number
  parts: number
  signature: string
}

export class ListShelf {
  readonly #context: ListContext
  readonly #keys: readonly KeyObject[]
  #list: CodeList | undefined
  #kept: Kept | undefined
  /** Parts come one at a time: two lists in the making do not mix. */
  #turn: Promise<unknown> = Promise.resolve()

  constructor(context: ListContext, keys: readonly KeyObject[]) {
    this.#context = context
    this.#keys = keys
  }

  /** What a restart finds. A list that does not pass any more (another key, a damaged disk) is left aside, not an error. */
  async open(): Promise<void> {
    const kept = (await this.#context.store.get(CURRENT)) as Kept | undefined
    if (!kept || this.#keys.length === 0) return
    this.#kept = kept
    const parts = await this.#parts(kept.version)
    try {
      // What has expired meanwhile is refused code by code, with its own words.
      this.#list = this.#read([...parts.values()].join(''), kept.signature, 0)
    } catch (error) {
      this.#context.log.warn({ version: kept.version, cause: (error as Error).message }, 'the stored offline list does not count')
    }
  }

  get issuedAt(): number | undefined {
    return this.#list?.issuedAt
  }

  status(): ListStatus {
    const list = this.#list
    const wall = this.#context.clock.wall()
    if (!list) return { version: 0, usable: false, why: this.#keys.length === 0 ? NO_KEY : 'no list has come yet' }
    const { version, codes, issuedAt, expiresAt } = list
    const why = this.#unusable(list, wall)
    return {
      version,
      codes: codes.size,
      issuedAt: new Date(issuedAt).toISOString(),
      expiresAt: new Date(expiresAt).toISOString(),
      usable: why === undefined,
      ...(why === undefined ? {} : { why }),
    }
  }

  /** Resolves once the part is durable; the last one makes the list count. */
  take(part: ListPart): Promise<Json> {
    const taken = this.#turn.then(() => this.#take(part))
    this.#turn = taken.catch(() => {})
    return taken
  }

  async word(kind: CodeKind, code: string): Promise<ListWord> {
    const list = this.#list
    if (!list) return { is: 'none', why: this.#keys.length === 0 ? NO_KEY : 'there is no offline list' }
    const why = this.#unusable(list, this.#context.clock.wall())
    if (why !== undefined) return { is: 'none', why }
    const found = list.codes.get(await hashCode(kind, code, list))
    if (!found || found.kind !== kind) return { is: 'unlisted' }
    const { worth, from, until, stores } = found
    return {
      is: 'listed',
      list: list.version,
      worth,
      ...(from === undefined ? {} : { from }),
      ...(until === undefined ? {} : { until }),
      ...(stores === undefined ? {} : { stores }),
    }
  }

  #unusable({ issuedAt, expiresAt }: CodeList, wall: number): string | undefined {
    if (wall >= expiresAt) return 'the offline list has expired'
    if (wall < issuedAt - CLOCK_SLACK_MS) return 'this box’s clock is older than the offline list: it is not set'
    return undefined
  }

  async #take(part: ListPart): Promise<Json> {
    const { store, log } = this.#context
    if (this.#keys.length === 0) throw new Failure('device-unsupported', NO_KEY)
    if (part.part > part.parts) throw new Failure('args-invalid', `args.part: is ${part.part} of ${part.parts}`)
    const have = this.#list?.version ?? this.#kept?.version ?? 0
    if (part.version < have)
      throw new Failure('args-invalid', `args.version: is ${part.version}; ${have} is here, only a newer one replaces it`)
    if (part.version === have && this.#list) return this.#again(part)

    await this.#dropOthers(part.version)
    await store.put(keyOf(part.version, part.part), part.payload)
    const parts = await this.#parts(part.version)
    if ([...parts.values()].reduce((sum, text) => sum + Buffer.byteLength(text), 0) > LIST_BYTES) {
      await this.#drop(part.version)
      throw new Failure('payload-too-large', `list: is larger than ${LIST_BYTES} bytes`)
    }
    const missing = Array.from({ length: part.parts }, (_one, index) => index + 1).filter((number) => !parts.has(number))
    if (missing.length > 0) return { version: part.version, complete: false, missing }

    let list: CodeList
    try {
      list = this.#read([...parts.values()].join(''), part.signature, this.#context.clock.wall())
      if (list.version !== part.version)
        throw new Failure('args-invalid', `args.version: is ${part.version}, but the list says ${list.version}`)
    } catch (error) {
      await this.#drop(part.version)
      throw error
    }
    // Durable parts first, then the word that they count: a crash in between leaves the old list.
    const kept: Kept = { version: part.version, parts: part.parts, signature: part.signature }
    await store.put(CURRENT, kept as unknown as Json)
    this.#list = list
    this.#kept = kept
    await this.#dropOthers(part.version)
    log.info({ version: list.version, codes: list.codes.size }, 'a new offline list counts')
    return { version: list.version, complete: true, codes: list.codes.size }
  }

  /** The same list again is fine; another one under the same number is not. */
  async #again(part: ListPart): Promise<Json> {
    const same = (await this.#context.store.get(keyOf(part.version, part.part))) === part.payload && this.#kept?.parts === part.parts
    if (!same) throw new Failure('args-invalid', `args.version: ${part.version} is here with other content; a change needs a higher number`)
    return { version: part.version, complete: true, codes: this.#list?.codes.size ?? 0 }
  }

  #read(payload: string, signature: string, wall: number): CodeList {
    const { gateway } = this.#context
    return readCodeList(payload, signature, { keys: this.#keys, gateway: gateway.id, store: gateway.store, wall })
  }

  async #parts(version: number): Promise<Map<number, string>> {
    const found = await this.#context.store.list(`${PARTS}${pad(version)}/`)
    return new Map(found.map(({ key, value }) => [Number(key.slice(key.lastIndexOf('/') + 1)), String(value)]))
  }

  async #drop(version: number): Promise<void> {
    for (const { key } of await this.#context.store.list(`${PARTS}${pad(version)}/`)) await this.#context.store.delete(key)
  }

  /** All parts but those of this version and of the one that counts. */
  async #dropOthers(version: number): Promise<void> {
    const mine = [version, this.#kept?.version ?? version].map((one) => `${PARTS}${pad(one)}/`)
    for (const { key } of await this.#context.store.list(PARTS))
      if (!mine.some((prefix) => key.startsWith(prefix))) await this.#context.store.delete(key)
  }
}

const NO_KEY = 'no public key for offline lists is configured'
const pad = (version: number): string => String(version).padStart(16, '0')
const keyOf = (version: number, part: number): string => `${PARTS}${pad(version)}/${String(part).padStart(3, '0')}`
