/** The order QR on paper, in Chinese and English: receipt markdown (receiptline) for the printer. The same payment makes the same slip. */
import type { Payment } from '../payment.ts'

const CHANNELS: Record<string, string> = { alipay: '支付宝 Alipay', wechat: '微信支付 WeChat Pay', unionpay: '云闪付 UnionPay' }

export function slipOf(payment: Payment, shop: string, channel: string, qr: string): string {
  const how = CHANNELS[channel]
  return [
    `^^${word(shop)}`,
    '',
    '"请扫码付款"',
    '"Scan to pay"',
    `^^^${word(money(payment.amount, payment.currency))}`,
    '',
    `{code:${word(qr)};option:qrcode,${cellOf(qr)},m}`,
    // Cameras want the symbol's edge free (ISO/IEC 18004: four modules).
    '',
    ...(how === undefined ? [] : [word(how)]),
    '',
    `订单 Order | ${word(payment.order)}`,
    `有效至 Valid until | ${word(localTime(payment.expiresAt))}`,
    '未付款，不作收据',
    'Not paid yet: not a receipt',
    '',
  ].join('\n')
}

/** Whatever means something to receiptline, in text or in a property, as the hex escape that it knows in both. */
const word = (text: string): string => text.replace(/[\\|{}~_"`^;=-]/g, (sign) => `\\x${sign.charCodeAt(0).toString(16)}`)

/** Full-width yuan sign: GB18030 printers have it, and not the narrow one. Other currencies by their code. */
function money(amount: number, currency: string): string {
  const digits = new Intl.NumberFormat('en', { style: 'currency', currency }).resolvedOptions().maximumFractionDigits ?? 2
  const value = (amount / 10 ** digits).toFixed(digits)
  return currency === 'CNY' ? `￥${value}` : `${currency} ${value}`
}

/** Dots a module: as large as 58 mm paper (384 dots) takes. ISO/IEC 18004, level M: 84 bytes in 37 modules, 213 in 57. */
const cellOf = (qr: string): number => {
  const bytes = Buffer.byteLength(qr)
  return bytes <= 84 ? 8 : bytes <= 213 ? 6 : 4
}

/** `2026-11-22 16:15`, in the shop's time zone. */
function localTime(iso: string): string {
  const at = new Date(iso)
  return new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 16).replace('T', ' ')
}
