/**
 * HQ charges: for shops that hold no keys. Requests over `up/request`, answers over `dn/answer` (`context.ask`); HQ's number for a
 * repeat is the merchant order number. See README.md "The hq provider" for what HQ answers.
 */
import { asFailure } from '../../../daemon/contract/errors.ts'
import type { Json, JsonObject } from '../../../daemon/contract/json.ts'
import type { PluginContext } from '../../../daemon/contract/plugin.ts'
import type { HqConfig } from '../config.ts'
import type { Charge, ChargeAnswer, Order, Paid, Provider, QueryAnswer, RefundAnswer, RefundOrder, Timing, UndoAnswer } from './api.ts'

type Unknown = { kind: 'unknown'; reason: string }
type Asked = { answer: JsonObject } | { unsent: string } | { refused: string } | Unknown

export class HqProvider implements Provider {
  readonly timing: Timing
  readonly scope = 'hq'
  readonly #ask: PluginContext['ask']
  readonly #timeoutMs: number

  constructor(context: Pick<PluginContext, 'ask'>, config: HqConfig) {
    this.#ask = context.ask
    this.#timeoutMs = config.timeoutMs
    this.timing = { ...config, undoAfterMs: 0 }
  }

  async warm(): Promise<void> {}

  async charge({ code, ...order }: Charge): Promise<ChargeAnswer> {
    const asked = await this.#request('charge', { ...orderOf(order), ...(code === undefined ? {} : { code }) }, order.number)
    if ('unsent' in asked) return { kind: 'unsent', reason: asked.unsent }
    // An error is HQ's word that it did not take the charge; whether an earlier one of this number went through, a query tells.
    if ('refused' in asked) return { kind: 'failed', reason: asked.refused, sure: false }
    if ('kind' in asked) return asked
    const { answer } = asked
    switch (answer.status) {
      case 'paid':
        return paidOf(answer, order) ?? mismatch
      case 'waiting':
        if (order.show !== 'qr') return { kind: 'waiting' }
        // An order QR without its content is nothing that a shopper could scan.
        return typeof answer.qr === 'string' && answer.qr !== ''
          ? { kind: 'waiting', qr: answer.qr }
          : { kind: 'unknown', reason: 'malformed-answer' }
      case 'failed':
        return { kind: 'failed', reason: reasonOf(answer), sure: true }
      default:
        return { kind: 'unknown', reason: reasonOf(answer) }
    }
  }

  async query(order: Order): Promise<QueryAnswer> {
    const asked = await this.#request('query', orderOf(order))
    if (!('answer' in asked)) return doubtful(asked)
    const { answer } = asked
    switch (answer.status) {
      case 'paid':
        return paidOf(answer, order) ?? mismatch
      case 'waiting':
        return { kind: 'waiting' }
      case 'failed':
      case 'cancelled':
        return { kind: 'failed', reason: reasonOf(answer) }
      case 'not-found':
        return { kind: 'not-found' }
      default:
        return { kind: 'unknown', reason: reasonOf(answer) }
    }
  }

  async undo(order: Order): Promise<UndoAnswer> {
    const asked = await this.#request('cancel', orderOf(order))
    if (!('answer' in asked)) return { kind: 'again', reason: doubtful(asked).reason }
    const { answer } = asked
    switch (answer.status) {
      case 'cancelled':
        return { kind: 'undone' }
      case 'not-found':
        return { kind: 'not-found' }
      case 'refused':
        return { kind: 'refused', reason: reasonOf(answer) }
      default:
        return { kind: 'again', reason: reasonOf(answer) }
    }
  }

  async refund(order: RefundOrder): Promise<RefundAnswer> {
    const { refund, back, reason } = order
    const asked = await this.#request('refund', {
      ...orderOf(order),
      refund,
      refundAmount: back,
      ...(reason === undefined ? {} : { reason }),
    })
    if (!('answer' in asked)) return doubtful(asked)
    const { answer } = asked
    if (answer.status === 'refunded') return { kind: 'refunded' }
    if (answer.status === 'refused') return { kind: 'refused', reason: reasonOf(answer) }
    return { kind: 'unknown', reason: reasonOf(answer) }
  }

  async #request(request: string, args: JsonObject, id?: string): Promise<Asked> {
    try {
      const answer = await this.#ask(request, args, { timeoutMs: this.#timeoutMs, ...(id === undefined ? {} : { id }) })
      if (!isObject(answer)) return { kind: 'unknown', reason: 'malformed-answer' }
      // Whatever it says, it says it of another order.
      return answer.number === undefined || answer.number === args.number ? { answer } : mismatch
    } catch (error) {
      const { code } = asFailure(error)
      if (code === 'hq-unreachable' || code === 'queue-full') return { unsent: code }
      if (code === 'hq-no-answer' || code === 'internal' || code === 'stopping') return { kind: 'unknown', reason: code }
      return { refused: code }
    }
  }
}

const mismatch: Unknown = { kind: 'unknown', reason: 'answer-of-another-payment' }

/** Only a charge may end by an error; everything else is asked again. */
function doubtful(asked: Exclude<Asked, { answer: JsonObject }>): Unknown {
  if ('unsent' in asked) return { kind: 'unknown', reason: asked.unsent }
  if ('refused' in asked) return { kind: 'unknown', reason: asked.refused }
  return asked
}

const orderOf = ({ number, show, channel, amount, currency, till, order, expiresAt }: Order): JsonObject => ({
  number,
  show,
  channel,
  amount,
  currency,
  till,
  order,
  expiresAt,
})

/** HQ repeats number and amount, and currency if it likes: a paid of something else is no paid. */
function paidOf(answer: JsonObject, order: Order): Paid | undefined {
  if (answer.number !== order.number || answer.amount !== order.amount || (answer.currency ?? order.currency) !== order.currency)
    return undefined
  if (typeof answer.transaction !== 'string' || answer.transaction === '') return undefined
  return {
    kind: 'paid',
    transaction: answer.transaction,
    ...(typeof answer.paidAt === 'string' && !Number.isNaN(Date.parse(answer.paidAt)) ? { paidAt: answer.paidAt } : {}),
    ...(typeof answer.payer === 'string' ? { payer: answer.payer } : {}),
  }
}

const reasonOf = (answer: JsonObject): string => (typeof answer.reason === 'string' ? answer.reason.slice(0, 100) : 'not told')
const isObject = (value: Json): value is JsonObject => value !== null && typeof value === 'object' && !Array.isArray(value)
