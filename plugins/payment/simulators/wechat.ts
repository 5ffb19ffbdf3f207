/**
 * WeChat Pay v3, from its documentation: `Authorization: WECHATPAY2-SHA256-RSA2048 …` over method, URL, time stamp, nonce and body,
 * answers with `Wechatpay-Signature` over time stamp, nonce and body; requests older than 5 minutes are refused.
 */
import { createCipheriv, createSign, createVerify, randomBytes } from 'node:crypto'
import type { Op } from './faults.ts'
import type { Trade } from './ledger.ts'
import { type Incoming, ProviderServer, type Reply, type Work } from './provider-server.ts'

export interface WechatKeys {
  mchid: string
  appid: string
  /** Of the merchant's certificate. */
  serial: string
  merchantPublic: string
  /** Public key id or platform certificate serial, and what signs with it. */
  platformId: string
  platformPrivate: string
  strangerPrivate: string
  /** For `GET /v3/certificates`: the 32 characters of the APIv3 key, and the platform certificate. */
  apiV3Key?: string
  platformCertificate?: string
}

type Fields = Record<string, unknown>
type Answer = [status: number, body: Fields | undefined]

const OFFSET_SECONDS = 300
/** "支付后 15 秒" before a reverse. */
const REVERSE_AFTER_MS = 15_000

export class WechatSimulator extends ProviderServer {
  readonly #keys: WechatKeys
  readonly #reverseAfterMs: number
  /** The certificates' bytes are not those that were sealed. */
  tampered = false
  /** What a refund that was taken has come to: PROCESSING, SUCCESS, ABNORMAL, CLOSED. */
  refundStatus = 'SUCCESS'
  readonly #chargedAt = new Map<string, number>()

  constructor(keys: WechatKeys, reverseAfterMs = REVERSE_AFTER_MS) {
    super('42')
    this.#keys = keys
    this.#reverseAfterMs = reverseAfterMs
  }

  protected understand(request: Incoming): Work | Reply {
    if (!this.#isSigned(request)) return this.#signed([401, { code: 'SIGN_ERROR', message: '签名错误' }], false)
    const { pathname } = new URL(request.target, 'http://api')
    if (pathname === '/v3/certificates') return this.#signed(this.#certificates(), false)
    const body = (request.body === '' ? {} : JSON.parse(request.body)) as Fields
    const order = /^\/v3\/pay\/transactions\/out-trade-no\/([\w|*-]+)(\/reverse|\/close)?$/.exec(pathname)
    const work = (op: Op, act: () => Answer): Work => ({
      op,
      run: () => {
        const answer = act()
        return (forge) => this.#signed(answer, forge)
      },
      systemError: (forge) => this.#signed([500, { code: 'SYSTEM_ERROR', message: '系统错误' }], forge),
      comeAgain: (forge) => this.#signed([400, { code: 'USERPAYING', message: '用户支付中' }], forge),
    })
    const post = request.method === 'POST'
    if (post && pathname === '/v3/pay/transactions/codepay') return work('pay', () => this.#pay(body))
    if (post && pathname === '/v3/pay/transactions/native') return work('show', () => this.#native(body))
    if (post && pathname === '/v3/refund/domestic/refunds') return work('refund', () => this.#refund(body))
    const number = order?.[1] ?? ''
    if (order && !post) return work('query', () => this.#query(number))
    if (order?.[2] === '/reverse' && post) return work('cancel', () => this.#reverse(number))
    if (order?.[2] === '/close' && post) return work('cancel', () => this.#close(number))
    return this.#signed([404, { code: 'RESOURCE_NOT_EXISTS', message: pathname }], false)
  }

  #pay(body: Fields): Answer {
    const {
      out_trade_no: number,
      amount,
      payer,
    } = body as { out_trade_no?: string; amount?: { total?: number }; payer?: { auth_code?: string } }
    if (!number || !amount?.total || !payer?.auth_code || body.mchid !== this.#keys.mchid) return [400, { code: 'PARAM_ERROR' }]
    const now = this.now()
    this.#chargedAt.set(number, now)
    const result = this.ledger.pay(number, amount.total, payer.auth_code, this.faults, now)
    const trade = this.ledger.trades.get(number)
    switch (result) {
      case 'paid':
        return trade ? [200, this.#order(trade)] : [500, { code: 'SYSTEM_ERROR' }]
      case 'waiting':
        return [400, { code: 'USERPAYING', message: '需要用户输入支付密码' }]
      case 'already-paid':
        return [400, { code: 'ORDERPAID', message: '订单已支付' }]
      case 'closed':
        return [400, { code: 'ORDERCLOSED', message: '订单已关闭' }]
      case 'other-amount':
        return [400, { code: 'OUT_TRADE_NO_USED', message: '商户订单号重复' }]
      case 'code-expired':
        return [400, { code: 'AUTH_CODE_EXPIRED', message: '付款码已过期' }]
      case 'code-used':
        return [400, { code: 'AUTH_CODE_INVALID', message: '付款码已使用' }]
      case 'no-funds':
        return [403, { code: 'NOT_ENOUGH', message: '余额不足' }]
    }
  }

  #native(body: Fields): Answer {
    const { out_trade_no: number, amount } = body as { out_trade_no?: string; amount?: { total?: number } }
    if (!number || !amount?.total || typeof body.notify_url !== 'string') return [400, { code: 'PARAM_ERROR' }]
    const shown = this.ledger.show(number, amount.total, `weixin://wxpay/bizpayurl?pr=${number}`)
    if (shown === 'other-amount') return [400, { code: 'OUT_TRADE_NO_USED' }]
    return shown.state === 'waiting' ? [200, { code_url: shown.qr }] : [400, { code: 'ORDERPAID' }]
  }

  #query(number: string): Answer {
    const trade = this.ledger.find(number, this.now())
    return trade ? [200, this.#order(trade)] : [404, { code: 'ORDER_NOT_EXIST', message: '订单不存在' }]
  }

  #reverse(number: string): Answer {
    const now = this.now()
    if (now - (this.#chargedAt.get(number) ?? 0) < this.#reverseAfterMs)
      return [400, { code: 'FREQUENCY_LIMITED', message: '支付后 15 秒' }]
    return this.ledger.cancel(number, now) ? [200, { out_trade_no: number, mchid: this.#keys.mchid }] : [404, { code: 'ORDER_NOT_EXIST' }]
  }

  #close(number: string): Answer {
    const now = this.now()
    const trade = this.ledger.find(number, now)
    if (!trade) return [404, { code: 'ORDER_NOT_EXIST' }]
    if (trade.state === 'paid') return [400, { code: 'ORDERPAID', message: '订单已支付' }]
    this.ledger.cancel(number, now)
    return [204, undefined]
  }

  #refund(body: Fields): Answer {
    const {
      out_trade_no: number = '',
      out_refund_no: refund = '',
      amount,
    } = body as Record<string, string> & { amount?: { refund?: number } }
    const asked = amount as { refund?: number } | undefined
    const done = this.ledger.refund(number, refund, asked?.refund ?? 0, this.now())
    if (done === 'too-much' || done === 'other-amount') return [400, { code: 'INVALID_REQUEST', message: '退款金额大于可退' }]
    if (done === 'not-paid') return [404, { code: 'RESOURCE_NOT_EXISTS', message: '订单不存在' }]
    return [
      200,
      {
        refund_id: `50${refund}`,
        out_refund_no: refund,
        out_trade_no: number,
        status: this.refundStatus,
        amount: { refund: asked?.refund },
      },
    ]
  }

  #order(trade: Trade): Fields {
    const { appid, mchid } = this.#keys
    const back = trade.state === 'reversed' || (trade.state === 'paid' && trade.refunds.size > 0)
    const state = { waiting: trade.qr === undefined ? 'USERPAYING' : 'NOTPAY', paid: 'SUCCESS', closed: 'REVOKED', reversed: 'REVOKED' }[
      trade.state
    ]
    const common = { appid, mchid, out_trade_no: trade.number, amount: { total: trade.amount, currency: 'CNY' } }
    if (trade.state !== 'paid') return { ...common, trade_state: state }
    return {
      ...common,
      trade_state: back ? 'REFUND' : state,
      trade_type: trade.qr === undefined ? 'MICROPAY' : 'NATIVE',
      transaction_id: trade.transaction,
      success_time: new Date(trade.paidAt ?? 0).toISOString().replace('Z', '+00:00'),
      payer: { openid: trade.payer },
    }
  }

  /** Platform certificates, each AES-256-GCM under the APIv3 key. */
  #certificates(): Answer {
    const { apiV3Key, platformCertificate, platformId } = this.#keys
    if (apiV3Key === undefined || platformCertificate === undefined) return [404, { code: 'RESOURCE_NOT_EXISTS' }]
    const nonce = randomBytes(6).toString('hex')
    const cipher = createCipheriv('aes-256-gcm', Buffer.from(apiV3Key), Buffer.from(nonce)).setAAD(Buffer.from('certificate'))
    const sealed = Buffer.concat([cipher.update(platformCertificate, 'utf8'), cipher.final(), cipher.getAuthTag()])
    if (this.tampered) sealed.writeUInt8(sealed.readUInt8(100) ^ 1, 100)
    const encrypted = { algorithm: 'AEAD_AES_256_GCM', nonce, associated_data: 'certificate', ciphertext: sealed.toString('base64') }
    return [200, { data: [{ serial_no: platformId, encrypt_certificate: encrypted }] }]
  }

  #isSigned({ method, target, headers, body }: Incoming): boolean {
    const [scheme, rest = ''] = (headers.authorization ?? '').split(/ (.*)/s)
    const fields = new Map([...rest.matchAll(/(\w+)="([^"]*)"/g)].map(([, key = '', value = '']) => [key, value]))
    const timestamp = fields.get('timestamp') ?? ''
    if (scheme !== 'WECHATPAY2-SHA256-RSA2048' || fields.get('mchid') !== this.#keys.mchid || fields.get('serial_no') !== this.#keys.serial)
      return false
    if (Math.abs(this.now() / 1_000 - Number(timestamp)) > OFFSET_SECONDS) return false
    const text = `${method}\n${target}\n${timestamp}\n${fields.get('nonce_str') ?? ''}\n${body}\n`
    return createVerify('RSA-SHA256')
      .update(text, 'utf8')
      .verify(this.#keys.merchantPublic, fields.get('signature') ?? '', 'base64')
  }

  #signed([status, fields]: Answer, forge: boolean): Reply {
    const body = fields === undefined ? '' : JSON.stringify(fields)
    const timestamp = String(Math.floor(this.now() / 1_000))
    const nonce = randomBytes(16).toString('hex')
    const { platformPrivate, strangerPrivate, platformId } = this.#keys
    const signature = createSign('RSA-SHA256')
      .update(`${timestamp}\n${nonce}\n${body}\n`)
      .sign(forge ? strangerPrivate : platformPrivate, 'base64')
    return {
      status,
      headers: {
        'content-type': 'application/json; charset=utf-8',
        'wechatpay-timestamp': timestamp,
        'wechatpay-nonce': nonce,
        'wechatpay-serial': platformId,
        'wechatpay-signature': signature,
      },
      body,
    }
  }
}
