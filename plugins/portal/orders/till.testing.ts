/** A till with the payment plugin behind it, as the portal hears of it. */
import type { JsonObject } from '../../../daemon/contract/json.ts'
import type { Shop } from '../testing.ts'

export const QR = 'https://qr.alipay.com/bax0123456789abcdef0123'
export const PAYMENT = 'f00dfacef00dfacef00d'

/** What the payment plugin tells of one payment, in its words. */
export class Till {
  readonly #shop: Shop
  readonly #head: JsonObject
  readonly #expiresAt: string

  constructor(one: Shop, payment = PAYMENT, order = '4711') {
    this.#shop = one
    this.#head = { payment, order, till: 'till-1', amount: 1_250, currency: 'CNY' }
    this.#expiresAt = new Date(one.clock.wall() + 300_000).toISOString()
  }

  opened(session: string, more: JsonObject = {}): Promise<void> {
    return this.says('opened', { session, show: 'qr', expiresAt: this.#expiresAt, ...more })
  }

  waiting(qr = QR, channel = 'alipay'): Promise<void> {
    return this.says('waiting', { attempt: 'a-1', channel, qr })
  }

  says(event: string, data: JsonObject = {}): Promise<void> {
    return this.#shop.harness.deliver('payment', 'till-1', event, { ...this.#head, ...data })
  }
}

export async function sessionOf(one: Shop): Promise<string> {
  const { sessions } = (await one.harness.command('-', 'sessions')) as { sessions: { session: string }[] }
  return sessions.at(-1)?.session ?? ''
}
