/** Alipay: `alipay.trade.pay` for the shopper's bar code, `alipay.trade.precreate` for an order QR. RSA2 both ways. */
import { type AlipaySdk, AlipaySdk as Sdk } from 'alipay-sdk'
import type { Clock } from '../../../daemon/contract/plugin.ts'
import type { AlipayConfig } from '../config.ts'
import type { Charge, ChargeAnswer, Order, Paid, Provider, QueryAnswer, RefundAnswer, RefundOrder, Timing, UndoAnswer } from './api.ts'
import { beijingTime, fromBeijing, yuan } from './format.ts'
import { readKey } from './keys.ts'
import { troubleOf } from './trouble.ts'

type Fields = Record<string, unknown>
/** What came of a call: Alipay's signed word, or none. */
type Said = { fields: Fields }
type Unknown = { kind: 'unknown'; reason: string }
type Unsent = { kind: 'unsent'; reason: string }

/** Rejects with `secret-unreadable`, or with what the SDK finds wrong with a key or certificate. */
export async function openAlipay(config: AlipayConfig, description: string, clock: Clock): Promise<Provider> {
  const key = async (place: string | undefined) => (place === undefined ? undefined : readKey(place))
  const [privateKey = '', alipayPublicKey, appCertContent, alipayPublicCertContent, alipayRootCertContent] = await Promise.all(
    [config.privateKey, config.alipayPublicKey, config.appCert, config.alipayCert, config.alipayRootCert].map(key),
  )
  const sdk = new Sdk({
    appId: config.appId,
    privateKey,
    keyType: config.keyType,
    signType: 'RSA2',
    gateway: config.gateway,
    timeout: config.timeoutMs,
    camelcase: false,
    ...(alipayPublicKey === undefined ? {} : { alipayPublicKey }),
    ...(appCertContent === undefined ? {} : { appCertContent }),
    ...(alipayPublicCertContent === undefined ? {} : { alipayPublicCertContent }),
    ...(alipayRootCertContent === undefined ? {} : { alipayRootCertContent }),
  })
  return new AlipayProvider(sdk, config, description, clock)
}

class AlipayProvider implements Provider {
  readonly timing: Timing
  readonly scope: string
  readonly #sdk: AlipaySdk
  readonly #description: string
  readonly #clock: Clock

  constructor(sdk: AlipaySdk, config: AlipayConfig, description: string, clock: Clock) {
    this.#sdk = sdk
    this.#description = description
    this.#clock = clock
    this.timing = config
    this.scope = `alipay:${config.appId}`
  }

  async warm(): Promise<void> {}

  async charge(charge: Charge): Promise<ChargeAnswer> {
    if (charge.currency !== 'CNY') return { kind: 'failed', reason: 'currency', sure: true }
    const common = {
      out_trade_no: charge.number,
      subject: `${this.#description} ${charge.order}`.slice(0, 256),
      total_amount: yuan(charge.amount),
      terminal_id: charge.till.slice(0, 32),
    }
    const said =
      charge.show === 'qr'
        ? await this.#call('alipay.trade.precreate', { ...common, time_expire: beijingTime(Date.parse(charge.expiresAt)) })
        : await this.#call('alipay.trade.pay', {
            ...common,
            scene: 'bar_code',
            product_code: 'FACE_TO_FACE_PAYMENT',
            auth_code: charge.code,
          })
    if ('kind' in said) return said
    const answer = said.fields
    switch (answer.code) {
      case '10000':
        if (answer.out_trade_no !== charge.number) return mismatch
        if (charge.show === 'qr') return typeof answer.qr_code === 'string' ? { kind: 'waiting', qr: answer.qr_code } : mismatch
        return paidOf(answer, charge) ?? mismatch
      // "等待用户付款": the buyer types the password.
      case '10003':
        return { kind: 'waiting' }
      case '40004':
        return refusedOrUnknown(String(answer.sub_code))
      // The gateway turned the request away before any business was done (common/02km9f): signature, parameters, rights.
      case '40001':
      case '40002':
      case '40006':
        return { kind: 'failed', reason: wordOf(answer), sure: true }
      default:
        return { kind: 'unknown', reason: wordOf(answer) }
    }
  }

  async query(order: Order): Promise<QueryAnswer> {
    const said = known(await this.#call('alipay.trade.query', { out_trade_no: order.number }))
    if ('kind' in said) return said
    const answer = said.fields
    if (answer.code === '40004' && answer.sub_code === 'ACQ.TRADE_NOT_EXIST') return { kind: 'not-found' }
    if (answer.code !== '10000') return { kind: 'unknown', reason: wordOf(answer) }
    if (answer.out_trade_no !== order.number) return mismatch
    switch (answer.trade_status) {
      case 'TRADE_SUCCESS':
      case 'TRADE_FINISHED':
        return paidOf({ ...answer, gmt_payment: answer.send_pay_date }, order) ?? mismatch
      case 'WAIT_BUYER_PAY':
        return { kind: 'waiting' }
      // "未付款交易超时关闭，或支付完成后全额退款"
      case 'TRADE_CLOSED':
        return { kind: 'failed', reason: 'closed' }
      default:
        return { kind: 'unknown', reason: `status ${String(answer.trade_status)}`.slice(0, 60) }
    }
  }

  /** `alipay.trade.cancel`: closes an unpaid trade, gives a paid one back. `retry_flag` Y: not done yet. */
  async undo(order: Order): Promise<UndoAnswer> {
    const said = known(await this.#call('alipay.trade.cancel', { out_trade_no: order.number }))
    if ('kind' in said) return { kind: 'again', reason: said.reason }
    const answer = said.fields
    if (answer.code === '10000') {
      if (answer.retry_flag === 'Y') return { kind: 'again', reason: 'retry_flag' }
      // "Success" for a number it does not know closes nothing: a charge on its way would still be carried out.
      return answer.action === undefined && answer.trade_no === undefined ? { kind: 'not-found' } : { kind: 'undone' }
    }
    if (answer.retry_flag === 'Y') return { kind: 'again', reason: wordOf(answer) }
    switch (answer.sub_code) {
      case 'ACQ.TRADE_NOT_EXIST':
        return { kind: 'not-found' }
      case 'ACQ.TRADE_CANCEL_TIME_OUT':
      case 'ACQ.TRADE_HAS_FINISHED':
      case 'ACQ.CANCEL_NOT_ALLOWED':
      case 'ACQ.REASON_TRADE_REFUND_FEE_ERR':
        return { kind: 'refused', reason: wordOf(answer) }
      default:
        return { kind: 'again', reason: wordOf(answer) }
    }
  }

  async refund(order: RefundOrder): Promise<RefundAnswer> {
    const said = known(
      await this.#call('alipay.trade.refund', {
        out_trade_no: order.number,
        out_request_no: order.refund,
        refund_amount: yuan(order.back),
        ...(order.reason === undefined ? {} : { refund_reason: order.reason.slice(0, 256) }),
      }),
    )
    if ('kind' in said) return said
    const answer = said.fields
    // "fund_change=Y 退款成功; N 表示本次请求没有发生资金变化, 需查询确认": N is what a repeat says.
    if (answer.code === '10000') return answer.fund_change === 'Y' ? { kind: 'refunded' } : this.#refundState(order)
    switch (answer.sub_code) {
      case 'ACQ.SELLER_BALANCE_NOT_ENOUGH':
      case 'ACQ.REFUND_AMT_NOT_EQUAL_TOTAL':
      case 'ACQ.REASON_TRADE_REFUND_FEE_ERR':
      case 'ACQ.TRADE_NOT_EXIST':
      case 'ACQ.TRADE_HAS_FINISHED':
      case 'ACQ.TRADE_HAS_CLOSE':
      case 'ACQ.TRADE_STATUS_ERROR':
      case 'ACQ.TRADE_NOT_ALLOW_REFUND':
      case 'ACQ.DISCORDANT_REPEAT_REQUEST':
        return { kind: 'refused', reason: wordOf(answer) }
      default:
        return { kind: 'unknown', reason: wordOf(answer) }
    }
  }

  async #refundState({ number, refund, back }: RefundOrder): Promise<RefundAnswer> {
    const said = known(await this.#call('alipay.trade.fastpay.refund.query', { out_trade_no: number, out_request_no: refund }))
    if ('kind' in said) return said
    const answer = said.fields
    const done = answer.code === '10000' && answer.refund_status === 'REFUND_SUCCESS' && answer.refund_amount === yuan(back)
    return done ? { kind: 'refunded' } : { kind: 'unknown', reason: wordOf(answer) }
  }

  /** The signed answer's fields; what is not signed by Alipay is no answer. */
  async #call(method: string, biz: Fields): Promise<Said | Unknown | Unsent> {
    try {
      // The gateway reads the time as Beijing's (common/02kf5q); the SDK would send the box's own.
      const params = { bizContent: biz, timestamp: beijingTime(this.#clock.wall()) }
      return { fields: await this.#sdk.exec(method, params, { validateSign: true }) }
    } catch (error) {
      return asTrouble(error)
    }
  }
}

const mismatch: Unknown = { kind: 'unknown', reason: 'answer-of-another-payment' }

/** The SDK's messages are prose, and hold the answer: they are read for what they mean and go no further. */
function asTrouble(error: unknown): Unknown | Unsent {
  const message = error instanceof Error ? error.message : ''
  if (message.includes('验签')) return { kind: 'unknown', reason: 'bad-signature' }
  const status = /status: (\d{3})/.exec(message)?.[1]
  if (status !== undefined) return { kind: 'unknown', reason: `http-${status}` }
  if (message.includes('格式')) return { kind: 'unknown', reason: 'malformed-answer' }
  const { unsent, reason } = troubleOf(error)
  return { kind: unsent ? 'unsent' : 'unknown', reason }
}

/** Anything but a charge is asked again, whether it was sent or not. */
function known(said: Said | Unknown | Unsent): Said | Unknown {
  return 'kind' in said ? { kind: 'unknown', reason: said.reason } : said
}

/** `alipay.trade.pay`, business errors. A refusal is confirmed by a query: the SDK's HTTP client repeats a request whose line broke. */
function refusedOrUnknown(code: string): ChargeAnswer {
  switch (code) {
    case 'ACQ.SYSTEM_ERROR':
    case 'AQC.SYSTEM_ERROR':
    // Paid under this number already: what was paid, a query tells.
    case 'ACQ.TRADE_HAS_SUCCESS':
      return { kind: 'unknown', reason: code }
    default:
      return { kind: 'failed', reason: code, sure: false }
  }
}

/** A paid of another number or amount is no paid. */
function paidOf(answer: Fields, order: Order): Paid | undefined {
  const { out_trade_no: number, total_amount: total, trade_no: transaction } = answer
  if (number !== order.number || total !== yuan(order.amount) || typeof transaction !== 'string') return undefined
  const payer = answer.buyer_open_id ?? answer.buyer_user_id
  const paidAt = typeof answer.gmt_payment === 'string' ? fromBeijing(answer.gmt_payment) : undefined
  return {
    kind: 'paid',
    transaction,
    ...(paidAt === undefined ? {} : { paidAt }),
    ...(typeof payer === 'string' ? { payer } : {}),
  }
}

const wordOf = (answer: Fields): string => String(answer.sub_code ?? answer.code ?? 'not told').slice(0, 100)
