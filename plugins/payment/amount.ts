import { Failure } from '../../daemon/contract/errors.ts'
import type { Json } from '../../daemon/contract/json.ts'

/** 100 million yuan: what Alipay's `total_amount` takes at most; far from where numbers stop being exact. */
const MOST = 10_000_000_000

/** Rejects with `amount-invalid`. */
export function checkAmount(value: Json | undefined, name: string): asserts value is number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= MOST) return
  throw new Failure('amount-invalid', `${name} is ${JSON.stringify(value)}; it must be a whole number of minor units from 1 to ${MOST}`)
}
