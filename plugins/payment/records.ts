/**
 * Where payments are kept. `payment/{id}` the record, `open/{id}` a mark while something is left to be done for it (what a restart
 * reads), `order/{order}` its id, `till/{till}` the till's last one, `day/{date}/{id}` for throwing away, `payer/{pseudonym}` the
 * payer's first payment here.
 */
import type { Json } from '../../daemon/contract/json.ts'
import type { KeyValue } from '../../daemon/contract/plugin.ts'
import type { Payment } from './payment.ts'

const DAY_MS = 86_400_000
/** A gateway that was off for this long still finds what is too old. */
const PRUNE_BACK_DAYS = 60

export class Records {
  readonly #store: KeyValue

  constructor(store: KeyValue) {
    this.#store = store
  }

  /** A new one: durable with all that finds it again when this resolves. What a crash leaves of it, `unfinished` or `byOrder` picks up. */
  async create(payment: Payment): Promise<void> {
    await Promise.all([
      this.#store.put(`open/${payment.id}`, true),
      this.save(payment),
      this.#store.put(`order/${payment.order}`, payment.id),
      this.#store.put(`till/${payment.till}`, payment.id),
      this.#store.put(`day/${payment.openedAt.slice(0, 10)}/${payment.id}`, payment.order),
    ])
  }

  save(payment: Payment): Promise<void> {
    return this.#store.put(`payment/${payment.id}`, payment as unknown as Json)
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
      if (payment) found.push(payment)
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

  reopen(id: string): Promise<void> {
    return this.#store.put(`open/${id}`, true)
  }

  close(id: string): Promise<void> {
    return this.#store.delete(`open/${id}`)
  }

  /** The payer's first payment here. */
  async firstOf(payer: string): Promise<string | undefined> {
    return (await this.#store.get(`payer/${payer}`)) as string | undefined
  }

  /** Stored in this order: after a crash in between, the payment is still the payer's first. */
  async saveWithPayer(payment: Payment, payer: string): Promise<void> {
    await Promise.all([this.#store.put(`payer/${payer}`, payment.id), this.save(payment)])
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
