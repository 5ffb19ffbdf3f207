/**
 * Alipay's gateway, from its documentation: form parameters signed RSA2 (SHA256withRSA over the sorted `key=value` pairs,
 * common/02kf5q), answers `{"alipay_trade_pay_response":{…},"sign":"…"}` with the signature over the inner text as it stands.
 */
import { createSign, createVerify } from 'node:crypto'
import type { Op } from './faults.ts'
import type { Trade } from './ledger.ts'
import { type Incoming, ProviderServer, type Reply, type Work } from './provider-server.ts'

export interface AlipayKeys {
  /** PEM. The merchant's app key signs requests; Alipay's signs answers. */
  appPublic: string
  alipayPrivate: string
  strangerPrivate: string
  /** Certificate mode: serial numbers of the app's certificate and of Alipay's roots, as common/056zub has them computed. */
  certificates?: { app: string; root: string }
}

type Fields = Record<string, string>

const OPS: Record<string, Op> = {
  'alipay.trade.pay': 'pay',
  'alipay.trade.precreate': 'show',
  'alipay.trade.query': 'query',
  'alipay.trade.cancel': 'cancel',
  'alipay.trade.refund': 'refund',
  'alipay.trade.fastpay.refund.query': 'query',
}

export class AlipaySimulator extends ProviderServer {
  readonly #keys: AlipayKeys
  readonly #appId: string

  constructor(keys: AlipayKeys, appId: string) {
    super('20')
    this.#keys = keys
    this.#appId = appId
  }

  protected understand({ target, body }: Incoming): Work | Reply {
    const url = new URL(target, 'http://gateway')
    const params = new Map([...url.searchParams, ...new URLSearchParams(body)])
    const method = params.get('method') ?? ''
    const op = OPS[method]
    const answer = (fields: Fields, forge = false) => this.#signed(method, fields, forge)
    if (!op) return answer({ code: '40002', msg: 'Invalid Arguments', sub_code: 'isv.invalid-method' })
    if (params.get('app_id') !== this.#appId) return answer({ code: '40002', msg: 'Invalid Arguments', sub_code: 'isv.invalid-app-id' })
    if (!this.#isSigned(params)) return answer({ code: '40002', msg: 'Invalid Arguments', sub_code: 'isv.invalid-signature' })
    const { certificates } = this.#keys
    if (certificates && (params.get('app_cert_sn') !== certificates.app || params.get('alipay_root_cert_sn') !== certificates.root))
      return answer({ code: '40002', msg: 'Invalid Arguments', sub_code: 'isv.app-cert-sn-invalid' })
    const biz = JSON.parse(params.get('biz_content') ?? '{}') as Fields
    if (!biz.out_trade_no) return answer({ code: '40001', msg: 'Missing Required Arguments', sub_code: 'isv.missing-out-trade-no' })
    return {
      op,
      run: () => {
        const fields = this.#act(method, biz)
        return (forge) => answer(fields, forge)
      },
      systemError: (forge) => answer({ code: '20000', msg: 'Service Currently Unavailable', sub_code: 'aop.ACQ.SYSTEM_ERROR' }, forge),
      comeAgain: (forge) =>
        answer(
          { code: '40004', msg: 'Business Failed', sub_code: 'ACQ.SYSTEM_ERROR', retry_flag: 'Y', out_trade_no: biz.out_trade_no ?? '' },
          forge,
        ),
    }
  }

  #act(method: string, biz: Fields): Fields {
    const now = this.now()
    const number = biz.out_trade_no ?? ''
    switch (method) {
      case 'alipay.trade.pay':
        return this.#pay(number, biz, now)
      case 'alipay.trade.precreate': {
        const shown = this.ledger.show(number, fen(biz.total_amount), `https://qr.alipay.com/bax${number}`)
        if (shown === 'other-amount') return failed('ACQ.CONTEXT_INCONSISTENT')
        return shown.state === 'waiting' ? { ...ok, out_trade_no: number, qr_code: shown.qr ?? '' } : failed('ACQ.TRADE_HAS_SUCCESS')
      }
      case 'alipay.trade.query':
        return this.#query(number, now)
      case 'alipay.trade.cancel': {
        const before = this.ledger.find(number, now)?.state
        const trade = this.ledger.cancel(number, now)
        if (!trade) return { ...ok, out_trade_no: number, retry_flag: 'N' }
        return { ...ok, out_trade_no: number, trade_no: trade.transaction, retry_flag: 'N', action: before === 'paid' ? 'refund' : 'close' }
      }
      case 'alipay.trade.refund': {
        const done = this.ledger.refund(number, biz.out_request_no ?? number, fen(biz.refund_amount), now)
        if (done === 'too-much') return failed('ACQ.REASON_TRADE_REFUND_FEE_ERR')
        if (done === 'other-amount') return failed('ACQ.DISCORDANT_REPEAT_REQUEST')
        if (done === 'not-paid') return failed('ACQ.TRADE_STATUS_ERROR')
        return { ...ok, out_trade_no: number, fund_change: done === 'done' ? 'Y' : 'N', refund_fee: biz.refund_amount ?? '' }
      }
      default: {
        const amount = this.ledger.trades.get(number)?.refunds.get(biz.out_request_no ?? '')
        if (amount === undefined) return { ...ok }
        return {
          ...ok,
          out_trade_no: number,
          out_request_no: biz.out_request_no ?? '',
          refund_amount: yuan(amount),
          refund_status: 'REFUND_SUCCESS',
        }
      }
    }
  }

  #pay(number: string, biz: Fields, now: number): Fields {
    const result = this.ledger.pay(number, fen(biz.total_amount), biz.auth_code ?? '', this.faults, now)
    const trade = this.ledger.trades.get(number)
    switch (result) {
      case 'paid':
        return trade ? { ...ok, ...this.#paidFields(trade), gmt_payment: beijing(trade.paidAt ?? now) } : failed('ACQ.SYSTEM_ERROR')
      case 'waiting':
        return { code: '10003', msg: 'order success pay inprocess', out_trade_no: number, trade_no: trade?.transaction ?? '' }
      case 'already-paid':
        return failed('ACQ.TRADE_HAS_SUCCESS')
      case 'closed':
        return failed('ACQ.TRADE_HAS_CLOSE')
      case 'other-amount':
        return failed('ACQ.CONTEXT_INCONSISTENT')
      case 'code-expired':
      case 'code-used':
        return failed('ACQ.PAYMENT_AUTH_CODE_INVALID')
      case 'no-funds':
        return failed('ACQ.BUYER_BALANCE_NOT_ENOUGH')
    }
  }

  #query(number: string, now: number): Fields {
    const trade = this.ledger.find(number, now)
    // An order QR that nobody has scanned is no trade yet.
    if (!trade || (trade.qr !== undefined && trade.state === 'waiting')) return failed('ACQ.TRADE_NOT_EXIST')
    const status = { waiting: 'WAIT_BUYER_PAY', paid: 'TRADE_SUCCESS', closed: 'TRADE_CLOSED', reversed: 'TRADE_CLOSED' }[trade.state]
    const whole = trade.state === 'paid' && this.ledger.net(trade) === 0 ? 'TRADE_CLOSED' : status
    return { ...ok, ...this.#paidFields(trade), trade_status: whole, send_pay_date: beijing(trade.paidAt ?? now) }
  }

  #paidFields({ number, transaction, amount, payer }: Trade): Fields {
    return { out_trade_no: number, trade_no: transaction, total_amount: yuan(amount), buyer_user_id: payer, buyer_logon_id: '159****5620' }
  }

  #isSigned(params: Map<string, string>): boolean {
    const text = [...params]
      .filter(([key, value]) => key !== 'sign' && value !== '')
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, value]) => `${key}=${value}`)
      .join('&')
    return createVerify('RSA-SHA256')
      .update(text, 'utf8')
      .verify(this.#keys.appPublic, params.get('sign') ?? '', 'base64')
  }

  #signed(method: string, fields: Fields, forge: boolean): Reply {
    const key = method === '' ? 'error_response' : `${method.replaceAll('.', '_')}_response`
    // The real gateway escapes slashes, and signs what it sends.
    const text = JSON.stringify(fields).replaceAll('/', '\\/')
    const sign = createSign('RSA-SHA256')
      .update(text, 'utf8')
      .sign(forge ? this.#keys.strangerPrivate : this.#keys.alipayPrivate, 'base64')
    return { status: 200, headers: { 'content-type': 'text/html;charset=utf-8' }, body: `{"${key}":${text},"sign":"${sign}"}` }
  }
}

const ok: Fields = { code: '10000', msg: 'Success' }
const failed = (sub: string): Fields => ({ code: '40004', msg: 'Business Failed', sub_code: sub })
const yuan = (fen: number): string => (fen / 100).toFixed(2)
const fen = (yuan: string | undefined): number => Math.round(Number(yuan) * 100)
const beijing = (at: number): string => new Date(at + 8 * 3_600_000).toISOString().slice(0, 19).replace('T', ' ')
