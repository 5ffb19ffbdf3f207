/**
 * Used codes that memory has forgotten, on disk by the payment they were used on, for as long as that payment can be refunded: then
 * HQ must hear of it. `redeem/past/{payment}/{redemption}` the record, `redeem/past-day/{date}/…` for throwing away.
 */
import type { Json } from '../../../daemon/contract/json.ts'
import type { KeyValue } from '../../../daemon/contract/plugin.ts'
import type { Redemption } from './redemption.ts'

const PAST = 'redeem/past/'
const DAY = 'redeem/past-day/'
const DAY_MS = 86_400_000
/** A gateway that was off for this long still finds what is too old. */
const PRUNE_BACK_DAYS = 60

const dayOf = (wall: number): string => new Date(wall).toISOString().slice(0, 10)

export class PastShelf {
  readonly #store: KeyValue

  constructor(store: KeyValue) {
    this.#store = store
  }

  async put(record: Redemption, wall: number): Promise<void> {
    const key = `${record.payment ?? ''}/${record.id}`
    await this.#store.put(`${DAY}${dayOf(wall)}/${key}`, true)
    await this.#store.put(`${PAST}${key}`, record as unknown as Json)
  }

  async of(payment: string): Promise<Redemption[]> {
    return (await this.#store.list(`${PAST}${payment}/`)).map(({ value }) => value as unknown as Redemption)
  }

  /** It is in memory again. */
  drop({ payment = '', id }: Redemption): Promise<void> {
    return this.#store.delete(`${PAST}${payment}/${id}`)
  }

  /** Throws away what was put here more than `keepDays` ago. */
  async prune(wall: number, keepDays: number): Promise<void> {
    for (let back = keepDays + 1; back <= keepDays + PRUNE_BACK_DAYS; back++) {
      const prefix = `${DAY}${dayOf(wall - back * DAY_MS)}/`
      for (const { key } of await this.#store.list(prefix)) {
        await this.#store.delete(`${PAST}${key.slice(prefix.length)}`)
        await this.#store.delete(key)
      }
    }
  }
}
