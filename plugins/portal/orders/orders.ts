/** Orders kept: heard from the journal, durable before the next is heard, there again after a crash. */
import { asFailure } from '../../../daemon/contract/errors.ts'
import type { CloudEvent } from '../../../daemon/contract/event.ts'
import type { Json } from '../../../daemon/contract/json.ts'
import type { PluginContext } from '../../../daemon/contract/plugin.ts'
import { newOrders, type Order, type OrderEffect, type OrderEvent, orderOf, ordersMachine, type PaymentNews } from './orders.machine.ts'

const PREFIX = 'order/'
const TYPES = ['opened', 'waiting', 'unknown', 'paid', 'failed', 'cancelled', 'reversed'].map((one) => `shopwire.payment.${one}`)

type OrderContext = Pick<PluginContext<unknown>, 'store' | 'clock' | 'log' | 'subscribe'>

export class Orders {
  readonly #context: OrderContext
  readonly #hasSession: (id: string) => boolean
  readonly #state = newOrders()

  constructor(context: OrderContext, hasSession: (id: string) => boolean) {
    this.#context = context
    this.#hasSession = hasSession
  }

  /** After the sessions are there again; from then on it listens. */
  async start(sessions: ReadonlySet<string>): Promise<void> {
    const { store, clock, subscribe } = this.#context
    const orders = (await store.list(PREFIX)).map(({ value }) => value as unknown as Order)
    await this.#take({ kind: 'restore', orders, sessions, wall: clock.wall() })
    subscribe(TYPES, (event) => this.#heard(event))
  }

  /** What the guest of this session is shown. */
  of(session: string): Order | undefined {
    return orderOf(this.#state, session, this.#context.clock.wall())
  }

  /** Erased with it. */
  sessionEnded(session: string): void {
    this.#take({ kind: 'session-ended', session }).catch((error: unknown) =>
      this.#context.log.warn(
        { code: asFailure(error).code },
        'an order of a session that ended was not removed; it is with the next start',
      ),
    )
  }

  async #heard({ type, data }: CloudEvent): Promise<void> {
    const news = newsOf(type.slice(type.lastIndexOf('.') + 1), data)
    if (!news || (news.news === 'opened' && !this.#hasSession(news.session))) return
    await this.#take({ kind: 'told', wall: this.#context.clock.wall(), ...news })
  }

  async #take(event: OrderEvent): Promise<void> {
    await Promise.all(ordersMachine.step(this.#state, event).map((effect) => this.#perform(effect)))
  }

  #perform(effect: OrderEffect): Promise<void> {
    const { store } = this.#context
    if (effect.kind === 'keep') return store.put(PREFIX + effect.order.payment, { ...effect.order } as unknown as Json)
    return store.delete(PREFIX + effect.payment)
  }
}

/** Events of the payment plugin's schema; undefined for what is not shown to a guest. */
function newsOf(event: string, data: CloudEvent['data']): PaymentNews | undefined {
  const { payment, order, session, amount, currency, show, expiresAt, qr, channel, final } = data
  if (typeof payment !== 'string') return undefined
  switch (event) {
    case 'opened': {
      if (typeof session !== 'string' || show !== 'qr' || typeof amount !== 'number') return undefined
      const until = Date.parse(String(expiresAt))
      return {
        news: 'opened',
        payment,
        order: String(order),
        session,
        amount,
        currency: String(currency),
        until: Number.isNaN(until) ? 0 : until,
      }
    }
    case 'waiting':
      return { news: 'waiting', payment, ...(typeof qr === 'string' ? { qr } : {}), ...(typeof channel === 'string' ? { channel } : {}) }
    case 'unknown':
      // Of a refund: the payment stays paid.
      return data.refund === undefined ? { news: 'checking', payment } : undefined
    case 'paid':
      return { news: 'paid', payment }
    case 'failed':
      return final === true ? { news: 'ended', payment } : undefined
    default:
      return { news: 'ended', payment }
  }
}
