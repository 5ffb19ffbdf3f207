/** What a provider really did with whose money: the truth that tests compare with. Both simulated providers keep one. */
import type { Faults } from './faults.ts'

export interface Trade {
  number: string
  amount: number
  state: 'waiting' | 'paid' | 'closed' | 'reversed'
  transaction: string
  payer: string
  code?: string
  qr?: string
  paidAt?: number
  confirmAt: number
  /** Refund number -> amount. */
  refunds: Map<string, number>
  /** How often money was taken. */
  captures: number
}

export type PayResult = 'paid' | 'waiting' | 'code-expired' | 'code-used' | 'no-funds' | 'already-paid' | 'closed' | 'other-amount'

/** Codes that end so behave so, with every simulated provider: for trying by hand. */
export const MAGIC = { expired: '990001', poor: '990002', password: '990003' } as const

export class ProviderLedger {
  readonly trades = new Map<string, Trade>()
  readonly #usedCodes = new Map<string, string>()
  readonly #prefix: string
  #next = 1

  constructor(prefix: string) {
    this.#prefix = prefix
  }

  /** Net of what was given back, minor units. */
  get captured(): number {
    let sum = 0
    for (const trade of this.trades.values()) sum += this.net(trade)
    return sum
  }

  net(trade: Trade): number {
    return trade.state === 'paid' ? trade.amount - [...trade.refunds.values()].reduce((sum, one) => sum + one, 0) : 0
  }

  /** The trade as it is now: a shopper may have confirmed meanwhile. */
  find(number: string, now: number): Trade | undefined {
    const trade = this.trades.get(number)
    if (trade?.state === 'waiting' && now >= trade.confirmAt) this.#capture(trade, trade.confirmAt)
    return trade
  }

  pay(number: string, amount: number, code: string, faults: Faults, now: number): PayResult {
    const known = this.find(number, now)
    if (known) {
      if (known.amount !== amount) return 'other-amount'
      if (known.state === 'paid') return 'already-paid'
      return known.state === 'waiting' ? 'waiting' : 'closed'
    }
    if (code.endsWith(MAGIC.expired)) return 'code-expired'
    if (this.#usedCodes.has(code)) return 'code-used'
    if (code.endsWith(MAGIC.poor) || faults.insufficientFunds > 0) {
      faults.insufficientFunds = Math.max(0, faults.insufficientFunds - 1)
      return 'no-funds'
    }
    this.#usedCodes.set(code, number)
    const password = code.endsWith(MAGIC.password)
    const asks = password || faults.userPaying > 0
    if (faults.userPaying > 0) faults.userPaying -= 1
    const trade = this.#open(number, amount, asks ? now + (password ? 3_000 : faults.confirmMs) : now)
    trade.code = code
    trade.payer = `2088${code.slice(2, 14)}`
    if (!asks) this.#capture(trade, now)
    return asks ? 'waiting' : 'paid'
  }

  /** An order QR. Somebody scans and pays it by `scan`. */
  show(number: string, amount: number, qr: string): Trade | 'other-amount' {
    const known = this.trades.get(number)
    if (known) return known.amount === amount ? known : 'other-amount'
    const trade = this.#open(number, amount, Number.POSITIVE_INFINITY)
    trade.qr = qr
    return trade
  }

  /** A shopper scans an order QR and pays; false: it is closed or paid already. */
  scan(qr: string, now: number): boolean {
    for (const trade of this.trades.values()) {
      if (trade.qr !== qr || trade.state !== 'waiting') continue
      this.#capture(trade, now)
      return true
    }
    return false
  }

  /** Closes it unpaid, gives it back paid. */
  cancel(number: string, now: number): Trade | undefined {
    const trade = this.find(number, now)
    if (trade?.state === 'waiting') trade.state = 'closed'
    if (trade?.state === 'paid') trade.state = 'reversed'
    return trade
  }

  /** Once for each refund number. */
  refund(number: string, refund: string, amount: number, now: number): 'done' | 'again' | 'too-much' | 'not-paid' | 'other-amount' {
    const trade = this.find(number, now)
    if (!trade) return 'not-paid'
    const known = trade.refunds.get(refund)
    if (known !== undefined) return known === amount ? 'again' : 'other-amount'
    if (trade.state !== 'paid') return 'not-paid'
    if (amount > this.net(trade)) return 'too-much'
    trade.refunds.set(refund, amount)
    return 'done'
  }

  #open(number: string, amount: number, confirmAt: number): Trade {
    const trade: Trade = {
      number,
      amount,
      state: 'waiting',
      transaction: `${this.#prefix}${String(this.#next++).padStart(12, '0')}`,
      payer: `payer-of-${number.slice(0, 6)}`,
      confirmAt,
      refunds: new Map(),
      captures: 0,
    }
    this.trades.set(number, trade)
    return trade
  }

  #capture(trade: Trade, at: number): void {
    trade.state = 'paid'
    trade.paidAt = at
    trade.captures += 1
  }
}
