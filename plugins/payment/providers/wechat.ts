/**
 * WeChat Pay v3: code pay for the shopper's code, native for an order QR. WECHATPAY2-SHA256-RSA2048 both ways. The SDK checks the
 * signature of what it takes for a success only; here every status counts as one, so that a refusal, too, is believed only when signed.
 */
import { Agent } from 'node:http'
import { Agent as SecureAgent } from 'node:https'
import { Wechatpay } from 'wechatpay-axios-plugin'
import { Failure } from '../../../daemon/contract/errors.ts'
import type { Clock } from '../../../daemon/contract/plugin.ts'
import type { WechatConfig } from '../config.ts'
import type { Charge, ChargeAnswer, Order, Paid, Provider, QueryAnswer, RefundAnswer, RefundOrder, Timing, UndoAnswer } from './api.ts'
import { readKey } from './keys.ts'
import { troubleOf } from './trouble.ts'
import { checkApiV3Key, PlatformCertificates, type PlatformKeys, type Raw } from './wechat-certificates.ts'

type Fields = Record<string, unknown>
type Said = { status: number; body: Fields }
type Unknown = { kind: 'unknown'; reason: string }
type Unsent = { kind: 'unsent'; reason: string }

interface Client {
  request(
    path: string,
    method: 'get' | 'post',
    data: Fields | undefined,
    config: object,
  ): Promise<{ status: number; data: unknown; headers: Fields }>
}

/** Rejects with `secret-unreadable`, or with what the SDK finds wrong with a key. */
export async function openWechat(config: WechatConfig, description: string, clock: Clock): Promise<Provider> {
  const ids = Object.entries(config.platformKeys ?? {})
  const [privateKey = '', ...keys] = await Promise.all([config.privateKey, ...ids.map(([, place]) => place)].map((place) => readKey(place)))
  const configured = Object.fromEntries(ids.map(([id], index) => [id, keys[index] ?? '']))
  const secret = config.apiV3Key === undefined ? undefined : checkApiV3Key(await readKey(config.apiV3Key), config.apiV3Key)
  const agents = {
    httpAgent: new Agent({ keepAlive: true, maxSockets: 8 }),
    httpsAgent: new SecureAgent({ keepAlive: true, maxSockets: 8 }),
  }
  const connect = (platformKeys: PlatformKeys): Client => {
    const options = {
      mchid: config.mchid,
      serial: config.serial,
      privateKey,
      // The SDK wants one at least: this one verifies nothing.
      certs: Object.keys(platformKeys).length === 0 ? { none: undefined } : { ...platformKeys },
      baseURL: config.endpoint,
      timeout: config.timeoutMs,
      maxRedirects: 0,
      proxy: false,
      validateStatus: () => true,
      ...agents,
    }
    const sdk = new Wechatpay(options as unknown as ConstructorParameters<typeof Wechatpay>[0])
    return (sdk as unknown as { client: Client }).client
  }
  return new WechatProvider(connect, config, { configured, secret, description, clock })
}

interface WechatParts {
  configured: PlatformKeys
  /** The APIv3 key. */
  secret: Buffer | undefined
  description: string
  clock: Clock
}

class WechatProvider implements Provider {
  readonly timing: Timing
  readonly scope: string
  readonly #config: WechatConfig
  readonly #description: string
  readonly #certificates: PlatformCertificates | undefined
  #client: Client

  constructor(connect: (keys: PlatformKeys) => Client, config: WechatConfig, { configured, secret, description, clock }: WechatParts) {
    this.#client = connect(configured)
    this.#config = config
    this.#description = description
    this.timing = config
    this.scope = `wechat:${config.appid}`
    const use = (keys: PlatformKeys) => {
      this.#client = connect(keys)
    }
    if (secret)
      this.#certificates = new PlatformCertificates({ ask: () => this.#listOfCertificates(), use, key: secret, configured, clock })
  }

  async warm(): Promise<void> {
    const why = await this.#certificates?.ready()
    if (why !== undefined) throw new Failure('payment-unknown', `WeChat Pay's platform certificates: ${why}`)
  }

  /** Verified by who asks: what verifies it is in it. */
  async #listOfCertificates(): Promise<Raw> {
    const { data, headers } = await this.#client.request('v3/certificates', 'get', undefined, {
      transformResponse: [(body: unknown) => body],
    })
    return { body: String(data), header: (name) => String(headers[name] ?? '') }
  }

  async charge(charge: Charge): Promise<ChargeAnswer> {
    if (charge.currency !== 'CNY') return { kind: 'failed', reason: 'currency', sure: true }
    const { appid, mchid } = this.#config
    const common = {
      appid,
      mchid,
      description: `${this.#description} ${charge.order}`.slice(0, 127),
      out_trade_no: charge.number,
      amount: { total: charge.amount, currency: charge.currency },
    }
    if (charge.show === 'qr') return this.#native(charge, common)
    const said = await this.#call('post', 'v3/pay/transactions/codepay', {
      ...common,
      payer: { auth_code: charge.code },
      scene_info: { device_id: charge.till.slice(0, 32), store_info: { out_id: charge.till.slice(0, 32) } },
    })
    if ('kind' in said) return said
    if (said.status === 200 && said.body.code === undefined) return this.#stateOfCharge(said.body, charge)
    return refusedOrUnknown(wordOf(said))
  }

  async #native(charge: Charge, common: Fields): Promise<ChargeAnswer> {
    const said = await this.#call('post', 'v3/pay/transactions/native', {
      ...common,
      time_expire: charge.expiresAt.replace(/\.\d+/, ''),
      // Required by the API, and not listened to: an order is asked about until it is final.
      notify_url: 'https://notify.invalid/wechat',
    })
    if ('kind' in said) return said
    if (said.status === 200 && typeof said.body.code_url === 'string') return { kind: 'waiting', qr: said.body.code_url }
    return refusedOrUnknown(wordOf(said))
  }

  #stateOfCharge(body: Fields, order: Order): ChargeAnswer {
    const state = stateOf(body, order)
    // After a charge, "not paid" may still become paid.
    if (state.kind === 'failed') return { kind: 'failed', reason: state.reason, sure: false }
    return state.kind === 'not-found' ? mismatch : state
  }

  async query(order: Order): Promise<QueryAnswer> {
    const said = known(await this.#call('get', pathOf(order), undefined, { params: { mchid: this.#config.mchid } }))
    if ('kind' in said) return said
    if (said.status === 200) return stateOf(said.body, order)
    return isNotFound(said) ? { kind: 'not-found' } : { kind: 'unknown', reason: wordOf(said) }
  }

  async undo(order: Order): Promise<UndoAnswer> {
    return order.show === 'qr' ? this.#close(order) : this.#reverse(order)
  }

  /** Reverses a code payment: closes it unpaid, gives it back paid. Not sooner than 15 s after it (timing.undoAfterMs), within 7 days. */
  async #reverse(order: Order): Promise<UndoAnswer> {
    const { appid, mchid } = this.#config
    const said = known(await this.#call('post', `${pathOf(order)}/reverse`, { appid, mchid }))
    if ('kind' in said) return { kind: 'again', reason: said.reason }
    if (said.status === 200 || said.status === 204) return { kind: 'undone' }
    if (isNotFound(said)) return { kind: 'not-found' }
    const reason = wordOf(said)
    return /OVERDUE|EXPIRE|REVERSE_NOT_ALLOWED|INVALID_REQUEST/.test(reason) ? { kind: 'refused', reason } : { kind: 'again', reason }
  }

  /** Closes an order QR. A paid order is not closed: then its money is there. */
  async #close(order: Order): Promise<UndoAnswer> {
    const said = known(await this.#call('post', `${pathOf(order)}/close`, { mchid: this.#config.mchid }))
    if ('kind' in said) return { kind: 'again', reason: said.reason }
    if (said.status === 204 || said.status === 200) return { kind: 'undone' }
    if (isNotFound(said)) return { kind: 'not-found' }
    const reason = wordOf(said)
    if (reason === 'ORDER_CLOSED' || reason === 'ORDERCLOSED') return { kind: 'undone' }
    if (reason !== 'ORDER_PAID' && reason !== 'ORDERPAID') return { kind: 'again', reason }
    const state = await this.query(order)
    return state.kind === 'paid' ? state : { kind: 'again', reason }
  }

  async refund(order: RefundOrder): Promise<RefundAnswer> {
    const said = known(
      await this.#call('post', 'v3/refund/domestic/refunds', {
        out_trade_no: order.number,
        out_refund_no: order.refund,
        amount: { refund: order.back, total: order.amount, currency: order.currency },
        ...(order.reason === undefined ? {} : { reason: order.reason.slice(0, 80) }),
      }),
    )
    if ('kind' in said) return said
    if (said.status === 200) return refundState(said.body, order)
    const reason = wordOf(said)
    return REFUND_REFUSED.has(reason) ? { kind: 'refused', reason } : { kind: 'unknown', reason }
  }

  /** The signed answer; what is not signed by WeChat Pay is no answer. */
  async #call(method: 'get' | 'post', path: string, data?: Fields, config: object = {}): Promise<Said | Unknown | Unsent> {
    // Without anything to verify the answer with, nothing is asked.
    const why = await this.#certificates?.ready()
    if (why !== undefined) return { kind: 'unsent', reason: why }
    try {
      const { status, data: body } = await this.#client.request(path, method, data, config)
      return { status, body: isFields(body) ? body : {} }
    } catch (error) {
      const trouble = asTrouble(error)
      if (trouble.reason === UNKNOWN_KEY) this.#certificates?.unknownSerial()
      return trouble
    }
  }
}

const UNKNOWN_KEY = 'unknown-platform-key'

const pathOf = ({ number }: Order): string => `v3/pay/transactions/out-trade-no/${number}`
const mismatch: Unknown = { kind: 'unknown', reason: 'answer-of-another-payment' }
const isFields = (value: unknown): value is Fields => value !== null && typeof value === 'object' && !Array.isArray(value)
const wordOf = ({ status, body }: Said): string => String(body.code ?? `http-${status}`).slice(0, 60)
const isNotFound = (said: Said): boolean => ['ORDER_NOT_EXIST', 'ORDERNOTEXIST', 'RESOURCE_NOT_EXISTS'].includes(wordOf(said))

/** Refusals after which no money moves under this number. What is not here is not known. */
const REFUSED = new Set([
  'AUTH_CODE_EXPIRED',
  'AUTHCODEEXPIRE',
  'AUTH_CODE_INVALID',
  'AUTH_CODE_ERROR',
  'NOT_ENOUGH',
  'NOTENOUGH',
  'NOT_SUPPORT_CARD',
  'ORDER_CLOSED',
  'ORDERCLOSED',
  'BUYER_MISMATCH',
  'RULE_LIMIT',
  'RULELIMIT',
  'TRADE_ERROR',
  'PARAM_ERROR',
  'SIGN_ERROR',
  'NO_AUTH',
  'NOAUTH',
  'INVALID_REQUEST',
  'APPID_MCHID_NOT_MATCH',
  'MCH_NOT_EXISTS',
])

const REFUND_REFUSED = new Set([
  'NOT_ENOUGH',
  'INVALID_REQUEST',
  'PARAM_ERROR',
  'RESOURCE_NOT_EXISTS',
  'MCH_NOT_EXISTS',
  'NO_AUTH',
  'USER_ACCOUNT_ABNORMAL',
])

function refusedOrUnknown(code: string): ChargeAnswer {
  if (code === 'USERPAYING') return { kind: 'waiting' }
  return REFUSED.has(code) ? { kind: 'failed', reason: code, sure: true } : { kind: 'unknown', reason: code }
}

/** `trade_state` of an order, as charge and query give it. */
function stateOf(body: Fields, order: Order): QueryAnswer {
  if (body.out_trade_no !== order.number) return mismatch
  switch (body.trade_state) {
    case 'SUCCESS':
      return paidOf(body, order) ?? mismatch
    case 'USERPAYING':
    case 'NOTPAY':
    case 'ACCEPT':
      return { kind: 'waiting' }
    case 'CLOSED':
    case 'REVOKED':
    case 'PAYERROR':
    // Given back, by whom ever: no money is in.
    case 'REFUND':
      return { kind: 'failed', reason: String(body.trade_state) }
    default:
      return { kind: 'unknown', reason: `state ${String(body.trade_state)}`.slice(0, 60) }
  }
}

/** A paid of another number or amount is no paid. */
function paidOf(body: Fields, order: Order): Paid | undefined {
  const amount = isFields(body.amount) ? body.amount : {}
  const payer = isFields(body.payer) ? body.payer.openid : undefined
  if (amount.total !== order.amount || (amount.currency ?? 'CNY') !== order.currency) return undefined
  if (typeof body.transaction_id !== 'string') return undefined
  const at = typeof body.success_time === 'string' ? Date.parse(body.success_time) : Number.NaN
  return {
    kind: 'paid',
    transaction: body.transaction_id,
    ...(Number.isNaN(at) ? {} : { paidAt: new Date(at).toISOString() }),
    ...(typeof payer === 'string' ? { payer } : {}),
  }
}

function refundState(body: Fields, order: RefundOrder): RefundAnswer {
  const amount = isFields(body.amount) ? body.amount : {}
  if (body.out_refund_no !== order.refund || amount.refund !== order.back) return mismatch
  switch (body.status) {
    case 'SUCCESS':
      return { kind: 'refunded' }
    case 'CLOSED':
      return { kind: 'refused', reason: 'CLOSED' }
    // ABNORMAL, too: the money has left the shop and the bank did not take it. The merchant sends it on by hand under this refund
    // ("退款异常的处理"); another refund in its place would give it back twice.
    default:
      return { kind: 'unknown', reason: String(body.status ?? 'not told').slice(0, 60) }
  }
}

/** The SDK's errors hold the request, with the pay code in it: a word is taken out of them, and they go no further. */
function asTrouble(error: unknown): Unknown | Unsent {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  const status = (error as { response?: { status?: number } } | null)?.response?.status
  switch (code) {
    case 'EV3_RES_HEADERS_INCOMPLATE':
      return { kind: 'unknown', reason: status !== undefined && status >= 300 ? `http-${status}` : 'unsigned' }
    case 'EV3_RES_HEADER_TIMESTAMP_OFFSET':
      return { kind: 'unknown', reason: 'clock' }
    case 'EV3_RES_HEADER_PLATFORM_SERIAL':
      return { kind: 'unknown', reason: UNKNOWN_KEY }
    case 'EV3_RES_HEADER_SIGNATURE_DIGEST':
      return { kind: 'unknown', reason: 'bad-signature' }
  }
  const { unsent, reason } = troubleOf(error)
  return { kind: unsent ? 'unsent' : 'unknown', reason }
}

/** Anything but a charge is asked again, whether it was sent or not. */
function known(said: Said | Unknown | Unsent): Said | Unknown {
  return 'kind' in said ? { kind: 'unknown', reason: said.reason } : said
}
