/**
 * What a desk to try a shop against knows and does: codes, members, charges, text messages. In memory, so that a restart begins anew; a real HQ
 * keeps each of these in its database. The requests are those of the plugins' READMEs.
 */
import { createHash } from 'node:crypto'
import { Failure } from '../../daemon/contract/errors.ts'
import type { Json, JsonObject } from '../../daemon/contract/json.ts'
import type { Asked } from './desk.ts'

/** The file of `shopwire hq desk --book`. A code that ends in `*` stands for all that begin so. */
export interface BookFile {
  /** By kind (coupon, pickup, claim) and code. */
  codes?: Record<string, Record<string, JsonObject>>
  /** By member code: what the till may show. */
  members?: Record<string, JsonObject>
  /** False: this HQ charges nothing. */
  charges?: boolean
}

interface Charge {
  number: string
  /** Minor units. */
  amount: number
  currency: string
  transaction: string
  status: 'paid' | 'cancelled'
  refunds: Map<string, number>
}

interface Redeemed {
  /** Which redemption holds a code, and whether for good. */
  by: string
  shop: string
  used: boolean
}

export class Book {
  readonly #file: BookFile
  /** What a text message says; nothing is sent. */
  readonly #sms: (phone: string, code: string) => void
  readonly #charges = new Map<string, Charge>()
  readonly #held = new Map<string, Redeemed>()
  readonly #released = new Set<string>()

  constructor(file: BookFile, sms: (phone: string, code: string) => void) {
    this.#file = file
    this.#sms = sms
  }

  /** Rejects with the refusal that the shop is to hear. */
  async answer({ gateway, request, args }: Asked): Promise<Json> {
    const asked = args !== null && typeof args === 'object' && !Array.isArray(args) ? args : {}
    switch (request) {
      case 'charge':
        return this.#charge(asked)
      case 'query':
        return this.#view(asked)
      case 'cancel':
        return this.#cancel(asked)
      case 'refund':
        return this.#refund(asked)
      case 'reserve':
        return this.#reserve(asked, gateway)
      case 'commit':
        return this.#commit(asked, gateway)
      case 'release':
        return this.#release(asked)
      case 'unredeem':
        return this.#unredeem(asked)
      case 'member':
        return this.#member(asked)
      case 'sms':
        this.#sms(text(asked, 'phone'), text(asked, 'code'))
        return {}
      default:
        throw new Failure('command-unknown', `this desk does not know "${request}"`)
    }
  }

  #charge(asked: JsonObject): Json {
    if (this.#file.charges === false) return { status: 'failed', reason: 'this HQ charges nothing' }
    const number = text(asked, 'number')
    const known = this.#charges.get(number)
    if (!known && asked.show === 'code' && typeof asked.code !== 'string') return { status: 'failed', reason: 'no code' }
    const charge: Charge = known ?? {
      number,
      amount: whole(asked, 'amount'),
      currency: text(asked, 'currency'),
      transaction: transactionOf(number),
      status: 'paid',
      refunds: new Map(),
    }
    this.#charges.set(number, charge)
    return this.#view(asked)
  }

  #view(asked: JsonObject): Json {
    const charge = this.#charges.get(text(asked, 'number'))
    if (!charge) return { status: 'not-found' }
    const { number, amount, currency, transaction, status } = charge
    return { status, number, amount, currency, transaction }
  }

  #cancel(asked: JsonObject): Json {
    const charge = this.#charges.get(text(asked, 'number'))
    if (!charge) return { status: 'not-found' }
    charge.status = 'cancelled'
    return { status: 'cancelled' }
  }

  #refund(asked: JsonObject): Json {
    const charge = this.#charges.get(text(asked, 'number'))
    if (charge?.status !== 'paid') return { status: 'refused', reason: 'there is no such paid charge' }
    const [refund, amount] = [text(asked, 'refund'), whole(asked, 'refundAmount')]
    const known = charge.refunds.get(refund)
    if (known !== undefined) return known === amount ? { status: 'refunded' } : { status: 'refused', reason: `this refund was of ${known}` }
    const back = [...charge.refunds.values()].reduce((sum, one) => sum + one, amount)
    if (back > charge.amount) return { status: 'refused', reason: `more than the ${charge.amount} that were paid` }
    charge.refunds.set(refund, amount)
    return { status: 'refunded' }
  }

  #reserve(asked: JsonObject, shop: string): Json {
    const redemption = text(asked, 'redemption')
    const worth = find(this.#file.codes?.[text(asked, 'kind')], text(asked, 'code'))
    if (!worth) throw new Failure('code-invalid', 'there is no such code')
    if (this.#released.has(redemption)) throw new Failure('code-invalid', 'this redemption was released')
    const held = this.#held.get(keyOf(asked))
    if (held && held.by !== redemption) throw new Failure('code-used', 'it is used, or on another sale')
    this.#held.set(keyOf(asked), { by: redemption, shop, used: held?.used ?? false })
    return worth
  }

  #commit(asked: JsonObject, gateway: string): Json {
    const redemption = text(asked, 'redemption')
    const held = this.#held.get(keyOf(asked))
    if (held && held.by !== redemption) return { conflict: { redemption: held.by, shop: held.shop } }
    this.#held.set(keyOf(asked), { by: redemption, shop: gateway, used: true })
    return {}
  }

  /** The money went back: this desk lets the code be used again, unless somebody else has it by now. */
  #unredeem(asked: JsonObject): Json {
    const held = this.#held.get(keyOf(asked))
    if (held && held.by !== text(asked, 'redemption')) return { reusable: false }
    this.#held.delete(keyOf(asked))
    return { reusable: true }
  }

  #release(asked: JsonObject): Json {
    const redemption = text(asked, 'redemption')
    const held = this.#held.get(keyOf(asked))
    // A reservation that the network held back must not come to life after this.
    if (!held?.used) this.#released.add(redemption)
    if (held?.by === redemption && !held.used) this.#held.delete(keyOf(asked))
    return {}
  }

  #member(asked: JsonObject): Json {
    const code = text(asked, 'code')
    const known = find(this.#file.members, code)
    if (!known) throw new Failure('code-invalid', 'there is no such member')
    return { member: code, display: known }
  }
}

function text(asked: JsonObject, name: string): string {
  const value = asked[name]
  if (typeof value !== 'string' || value === '') throw new Failure('args-invalid', `"${name}" must be text`)
  return value
}

function whole(asked: JsonObject, name: string): number {
  const value = asked[name]
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 1)
    throw new Failure('args-invalid', `"${name}" must be a whole number of minor units from 1 on`)
  return value
}

const keyOf = (asked: JsonObject): string => `${text(asked, 'kind')}:${text(asked, 'code')}`

/** The same for every repeat of the same number. */
const transactionOf = (number: string): string => createHash('sha256').update(number).digest('hex').slice(0, 20)

function find(entries: Record<string, JsonObject> | undefined, code: string): JsonObject | undefined {
  if (!entries) return undefined
  if (Object.hasOwn(entries, code)) return entries[code]
  const pattern = Object.keys(entries).find((one) => one.endsWith('*') && code.startsWith(one.slice(0, -1)))
  return pattern === undefined ? undefined : entries[pattern]
}
