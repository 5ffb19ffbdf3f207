/** Payments of the last minutes, remembered over a restart, and the receipts they belong to. */
import type { CloudEvent } from '../../daemon/contract/event.ts'
import type { Json } from '../../daemon/contract/json.ts'
import type { Clock, KeyValue } from '../../daemon/contract/plugin.ts'
import {
  type MatchEffect,
  type MatchEvent,
  type Matched,
  MatchState,
  matchMachine,
  type PaidPayment,
  type PrintedReceipt,
} from './match.machine.ts'

/** No device's name begins so: their keys lie beside these. */
const KEY = '-paid/'

export class Payments {
  readonly #state: MatchState
  readonly #store: KeyValue
  readonly #clock: Clock
  readonly #tills = new Map<string, (matched: Matched) => Promise<void>>()
  readonly #ownerOf = new Map<string, string>()

  constructor(windowMs: number, store: KeyValue, clock: Clock) {
    this.#state = new MatchState(windowMs)
    this.#store = store
    this.#clock = clock
  }

  async open(): Promise<void> {
    for (const { key, value } of await this.#store.list(KEY)) {
      const payment = asPaid(value)
      if (payment) this.#state.payments.push(payment)
      else await this.#store.delete(key)
    }
    await this.#perform(this.#step({ kind: 'time', now: this.#clock.wall() }))
  }

  /** `matched` is told of a payment that came after its receipt. Returns what ends that. */
  till(device: string, matched: (matched: Matched) => Promise<void>): () => void {
    this.#tills.set(device, matched)
    return () => {
      if (this.#tills.get(device) === matched) this.#tills.delete(device)
    }
  }

  /** The payment of a receipt that has just been printed, if it is there already. */
  printed(device: string, receipt: PrintedReceipt): Matched | undefined {
    const effects = this.#step({ kind: 'printed', receipt })
    const matched = effects.find((one) => one.kind === 'matched')
    if (matched === undefined) {
      this.#ownerOf.set(receipt.receipt, device)
      const waiting = new Set(this.#state.receipts.map((one) => one.receipt))
      for (const id of this.#ownerOf.keys()) if (!waiting.has(id)) this.#ownerOf.delete(id)
    }
    this.#forget(effects).catch(() => {})
    return matched?.kind === 'matched' ? matched.matched : undefined
  }

  /** `shopwire.payment.paid`. Idempotent. */
  async paid({ data, time }: CloudEvent): Promise<void> {
    const payment = asPaid({ ...data, at: Date.parse(time) })
    if (!payment) return
    await this.#store.put(`${KEY}${payment.payment}`, { ...payment })
    await this.#perform(this.#step({ kind: 'paid', payment }))
  }

  #step(event: MatchEvent): readonly MatchEffect[] {
    return matchMachine.step(this.#state, event)
  }

  async #perform(effects: readonly MatchEffect[]): Promise<void> {
    for (const effect of effects) {
      if (effect.kind !== 'matched') continue
      const { matched } = effect
      const owner = this.#ownerOf.get(matched.receipt)
      this.#ownerOf.delete(matched.receipt)
      await this.#tills.get(owner ?? '')?.(matched)
    }
    await this.#forget(effects)
  }

  async #forget(effects: readonly MatchEffect[]): Promise<void> {
    for (const effect of effects) if (effect.kind === 'forget') await this.#store.delete(`${KEY}${effect.payment}`)
  }
}

function asPaid(value: Json | undefined): PaidPayment | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
  const { payment, order, till, amount, currency, at } = value
  if (typeof payment !== 'string' || typeof amount !== 'number' || typeof at !== 'number' || !Number.isFinite(at)) return undefined
  return { payment, order: text(order), till: text(till), amount, currency: text(currency), at }
}

const text = (value: Json | undefined): string => (typeof value === 'string' ? value : '')
