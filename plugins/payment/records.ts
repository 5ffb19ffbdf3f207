/**
 * Where payments are kept. `payment/{id}` the record, `open/{id}` a mark while something is left to be done for it (what a restart
 * reads), `order/{order}` its id, `till/{till}` the till's last one, `day/{date}/{id}` for throwing away, `payer/{pseudonym}` the
 * payer's first payment here.
 */
import type { Json } from '../../daemon/contract/json.ts'
import type { KeyValue, StoreChange } from '../../daemon/contract/plugin.ts'
import { isAtRest, type Payment } from './payment.ts'

const DAY_MS = 86_400_000
/** A gateway that was off for this long still finds what is too old. */
const PRUNE_BACK_DAYS = 60

export class Records {
  readonly #store: KeyValue

  constructor(store: KeyValue) {
    this.#store = store
  }

  async get(id: string): Promise<Payment | undefined> {
    return (await this.#store.get(`payment/${id}`)) as Payment | undefined
  }

  async byOrder(order: string): Promise<Payment | undefined> {
    const id = await this.#store.get(`order/${order}`)
    return typeof id === 'string' ? this.get(id) : undefined
  }

  /** Those for which something is left to be done. */
  async unfinished(): Promise<Payment[]> {
    const found: Payment[] = []
    for (const { key } of await this.#store.list('open/')) {
      const payment = await this.get(key.slice('open/'.length))
      if (payment && !isAtRest(payment)) found.push(payment)
      else await this.#store.delete(key)
    }
    return found
  }

  async lastOfTills(): Promise<Payment[]> {
    const found: Payment[] = []
    for (const { value } of await this.#store.list('till/')) {
      const payment = typeof value === 'string' ? await this.get(value) : undefined
      if (payment) found.push(payment)
    }
    return found
  }

  /** The payer's first payment here. */
  async firstOf(payer: string): Promise<string | undefined> {
    return (await this.#store.get(`payer/${payer}`)) as string | undefined
  }

  /** The payments of one day, `YYYY-MM-DD`. */
  async ofDay(date: string): Promise<Payment[]> {
    const found: Payment[] = []
    for (const { key } of await this.#store.list(`day/${date}/`)) {
      const payment = await this.get(key.slice(`day/${date}/`.length))
      if (payment) found.push(payment)
    }
    return found
  }

  /** Throws away what is older than `keepDays` and finished. The number thrown away. */
  async prune(wall: number, keepDays: number): Promise<number> {
    const unfinished = new Set((await this.#store.list('open/')).map(({ key }) => key.slice('open/'.length)))
    let gone = 0
    for (let back = keepDays + 1; back <= keepDays + PRUNE_BACK_DAYS; back++) {
      const prefix = `day/${new Date(wall - back * DAY_MS).toISOString().slice(0, 10)}/`
      for (const { key, value } of await this.#store.list(prefix)) {
        const id = key.slice(prefix.length)
        if (unfinished.has(id)) continue
        if ((await this.#store.get(`order/${String(value)}`)) === id) await this.#store.delete(`order/${String(value)}`)
        await this.#store.delete(`payment/${id}`)
        await this.#store.delete(key)
        gone += 1
      }
    }
    return gone
  }
}

/** What finds a new one again. */
export const findable = (payment: Payment): StoreChange[] => [
  [`order/${payment.order}`, payment.id],
  [`till/${payment.till}`, payment.id],
  [`day/${payment.openedAt.slice(0, 10)}/${payment.id}`, payment.order],
]

/** The payment as it is now, and the mark by which a restart finds it while something is left to be done for it. */
export const recordOf = (payment: Payment): StoreChange[] => [
  [`payment/${payment.id}`, payment as unknown as Json],
  [`open/${payment.id}`, isAtRest(payment) ? undefined : true],
]

/** The payer's first payment here. */
export const firstPaymentOf = (payer: string, payment: Payment): StoreChange => [`payer/${payer}`, payment.id]
