/** The last receipts of one till as they came, for people to look at: bounded in number, size and age, and erasable. */
import { promisify } from 'node:util'
import { gunzip, gzip } from 'node:zlib'
import type { Json, JsonObject } from '../../daemon/contract/json.ts'
import type { Clock, KeyValue } from '../../daemon/contract/plugin.ts'
import { Tokenizer } from './capture/tokenizer.ts'
import { maskText } from './template/mask.ts'

/** Bytes kept of one receipt: a strip of pictures some 30 cm long. */
export const KEEP_BYTES = 256 * 1024
/** Packed, of all receipts of a till. */
const ALL_BYTES = 8 * 1024 * 1024
const INDEX = 'kept/'
const BYTES = 'bytes/'
const DAY_MS = 86_400_000

/** What `receipts` lists. */
export interface KeptReceipt {
  receipt: string
  /** Unix ms. */
  at: number
  /** The event's data, without its items. */
  summary: JsonObject
  cutShort: boolean
  /** Characters it takes in the store. */
  size: number
}

export class Kept {
  readonly #store: KeyValue
  readonly #clock: Clock
  readonly #limits: { receipts: number; days: number }
  /** Oldest first. */
  #index: KeptReceipt[] = []

  constructor(store: KeyValue, clock: Clock, limits: { receipts: number; days: number }) {
    this.#store = store
    this.#clock = clock
    this.#limits = limits
  }

  async open(): Promise<void> {
    const found = await this.#store.list(INDEX)
    this.#index = found.flatMap(({ value }) => asKept(value)).sort((a, b) => a.at - b.at)
    const known = new Set(this.#index.map((one) => one.receipt))
    for (const { key } of found) if (!known.has(key.slice(INDEX.length))) await this.#store.delete(key)
    await this.tidy()
  }

  /** Newest first. */
  list(limit: number): KeptReceipt[] {
    return this.#index.slice(-limit).reverse()
  }

  find(receipt: string): KeptReceipt | undefined {
    return this.#index.find((one) => one.receipt === receipt)
  }

  /** Pay codes and phone numbers are masked before anything touches the disk. */
  async add(receipt: Omit<KeptReceipt, 'size'>, bytes: Buffer): Promise<void> {
    if (this.#limits.receipts === 0) return
    const packed = (await promisify(gzip)(maskBytes(bytes))).toString('base64')
    const kept: KeptReceipt = { ...receipt, size: packed.length }
    await this.#store.put(`${BYTES}${kept.receipt}`, packed)
    await this.#store.put(`${INDEX}${kept.receipt}`, { ...kept })
    this.#index.push(kept)
    await this.tidy()
  }

  async annotate(receipt: string, more: JsonObject): Promise<void> {
    const kept = this.find(receipt)
    if (!kept) return
    kept.summary = { ...kept.summary, ...more }
    await this.#store.put(`${INDEX}${receipt}`, { ...kept })
  }

  async bytes(receipt: string): Promise<Buffer | undefined> {
    const packed = await this.#store.get(`${BYTES}${receipt}`)
    return typeof packed === 'string' ? await promisify(gunzip)(Buffer.from(packed, 'base64')) : undefined
  }

  /** One receipt, those before a moment (Unix ms), or all. Returns how many. */
  async erase(which: { receipt?: string; before?: number }): Promise<number> {
    const gone = this.#index.filter(({ receipt, at }) =>
      which.receipt !== undefined ? receipt === which.receipt : which.before === undefined || at < which.before,
    )
    for (const one of gone) await this.#forget(one)
    return gone.length
  }

  async tidy(): Promise<void> {
    const oldest = this.#clock.wall() - this.#limits.days * DAY_MS
    const over = this.#index.length - this.#limits.receipts
    let size = this.#index.reduce((sum, one) => sum + one.size, 0)
    const gone = this.#index.filter((one, place) => {
      const goes = place < over || one.at < oldest || size > ALL_BYTES
      if (goes) size -= one.size
      return goes
    })
    for (const one of gone) await this.#forget(one)
  }

  async #forget(kept: KeptReceipt): Promise<void> {
    this.#index = this.#index.filter((one) => one !== kept)
    await this.#store.delete(`${BYTES}${kept.receipt}`)
    await this.#store.delete(`${INDEX}${kept.receipt}`)
  }
}

/** In place of digits that could be a pay code or a phone number stand stars; no byte more or less, so that columns stay. */
export function maskBytes(bytes: Buffer): Buffer {
  const masked = Buffer.from(bytes)
  for (const token of new Tokenizer().feed(bytes)) {
    if (token.kind !== 'text') continue
    const text = token.bytes.toString('latin1')
    const clean = maskText(text)
    if (clean !== text) masked.write(clean, token.at, 'latin1')
  }
  return masked
}

function asKept(value: Json): KeptReceipt[] {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return []
  const { receipt, at, summary, cutShort, size } = value
  if (typeof receipt !== 'string' || typeof at !== 'number' || typeof summary !== 'object' || summary === null || Array.isArray(summary))
    return []
  return [{ receipt, at, summary, cutShort: cutShort === true, size: typeof size === 'number' ? size : 0 }]
}
