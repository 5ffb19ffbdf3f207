/**
 * Pay codes shown by a shopper's phone: bearer secrets for a minute. What is recognised is masked; what is not recognised but
 * may hold one (a lost suffix glues two codes together, a scanner puts a letter in front) is masked as well.
 */

/** `channel` of the payment events. */
export type PayChannel = 'wechat' | 'alipay' | 'unionpay'

/** WeChat: 18 digits, first two 10-15. Alipay: 16-24 digits, first two 25-30. UnionPay: 19 digits, first two 62. */
const WECHAT = /^1[0-5]\d{16}$/
const ALIPAY = /^(?:2[5-9]|30)\d{14,22}$/
const UNIONPAY = /^62\d{17}$/

export function payChannel(text: string): PayChannel | undefined {
  if (text.length < 16 || text.length > 24) return undefined
  if (WECHAT.test(text)) return 'wechat'
  if (ALIPAY.test(text)) return 'alipay'
  return UNIONPAY.test(text) ? 'unionpay' : undefined
}

/** First 2 and last 4 digits. */
export function maskPayCode(code: string): string {
  return `${code.slice(0, 2)}${'*'.repeat(Math.max(0, code.length - 6))}${code.slice(-4)}`
}

/** A pay code that lost its tail on the way: too few digits to be one, enough to guess the rest. */
const CUT_SHORT = /^(?:1[0-5]|2[5-9]|30|62)\d{12,}$/
const LONG_RUN = /\d{16,}/g
/** What may stand between the digits of one code on a bad line. */
const NOISE = /[\u0000-\u0020\u007f-\u00a0\ufffd]/g

/** A digit or two turned into something else still leave nearly all of it to be read. */
const FEW_OTHERS = 3
const LONG = 16

/** An unrecognised text with every run of 16 or more digits masked: no pay code, however framed, is in the result. */
export function redact(text: string): string {
  const joined = text.replace(NOISE, '')
  if (CUT_SHORT.test(joined)) return maskPayCode(joined)
  const digits = joined.replace(/\D/g, '').length
  if (digits < LONG) return text
  if (joined.length - digits <= FEW_OTHERS && joined.length <= LONG * 2) return maskPayCode(joined)
  LONG_RUN.lastIndex = 0
  if (!LONG_RUN.test(joined)) return text
  return joined.replace(LONG_RUN, maskPayCode)
}

const EMBEDDED = /1[0-5]\d{16}|(?:2[5-9]|30)\d{14}|62\d{17}/

/** Whether a run of digits in `text` has the room and the beginnings of a pay code anywhere in it. */
export function mayHoldPayCode(text: string): boolean {
  return text.length >= LONG && EMBEDDED.test(text)
}
