/** Receipts as tills of the field print them, in bytes. Made up, but in the forms real tills use; each says what is on it. */
import iconv from 'iconv-lite'
import { rasterLogo } from './logo.ts'

export interface SimulatedReceipt {
  form: ReceiptForm
  bytes: Buffer
  order: string
  /** Minor units. */
  total: number
  items: { name: string; qty: number; price: number; amount: number }[]
}

export const FORMS = ['market', 'cafe', 'english', 'bitmap', 'drawer'] as const
export type ReceiptForm = (typeof FORMS)[number]

export type CutForm = 'feed' | 'full' | 'esc-i' | 'esc-m' | 'none'

const ESC = 0x1b
const GS = 0x1d
const bytes = (...values: number[]): Buffer => Buffer.from(values)
const INIT = bytes(ESC, 0x40)
const align = (n: 0 | 1 | 2): Buffer => bytes(ESC, 0x61, n)
const size = (n: number): Buffer => bytes(GS, 0x21, n)
const bold = (n: 0 | 1): Buffer => bytes(ESC, 0x45, n)
const CUTS: Readonly<Record<CutForm, Buffer>> = {
  feed: bytes(GS, 0x56, 0x42, 0x00),
  full: bytes(ESC, 0x64, 5, GS, 0x56, 0x00),
  'esc-i': bytes(ESC, 0x64, 5, ESC, 0x69),
  'esc-m': bytes(ESC, 0x64, 5, ESC, 0x6d),
  none: bytes(ESC, 0x64, 6),
}
export const DRAWER = bytes(ESC, 0x70, 0, 50, 100)
/** `GS ( k`: model 2, size 5, level M, store, print. */
function qr(content: string): Buffer {
  const size = content.length + 3
  return Buffer.concat([
    bytes(GS, 0x28, 0x6b, 4, 0, 0x31, 0x41, 0x32, 0, GS, 0x28, 0x6b, 3, 0, 0x31, 0x43, 5, GS, 0x28, 0x6b, 3, 0, 0x31, 0x45, 0x31),
    bytes(GS, 0x28, 0x6b, size & 0xff, size >> 8, 0x31, 0x50, 0x30),
    Buffer.from(content, 'latin1'),
    bytes(GS, 0x28, 0x6b, 3, 0, 0x31, 0x51, 0x30),
  ])
}
/** `GS k 73`: CODE128, code set B. */
const barcode = (content: string): Buffer =>
  Buffer.concat([bytes(GS, 0x68, 60, GS, 0x77, 2, GS, 0x48, 2, GS, 0x6b, 73, content.length + 2), Buffer.from(`{B${content}`, 'latin1')])

const GOODS: readonly { zh: string; en: string; price: number; sku: string }[] = [
  { zh: '农夫山泉550ml', en: 'Mineral Water 550ml', price: 200, sku: '6921168509256' },
  { zh: '康师傅红烧牛肉面', en: 'Beef Noodles', price: 450, sku: '6900873042272' },
  { zh: '伊利纯牛奶250ml', en: 'Milk 250ml', price: 350, sku: '6907992500133' },
  { zh: '奥利奥饼干97g', en: 'Oreo 97g', price: 690, sku: '6901668005144' },
  { zh: '关东煮(萝卜)', en: 'Oden Radish', price: 250, sku: '2100001' },
  { zh: '现磨咖啡 大杯', en: 'Coffee Large', price: 1800, sku: '3300012' },
  { zh: '苹果', en: 'Apple', price: 1298, sku: '2200045' },
]

/** The same numbers in, the same receipt out. */
export function simulatedReceipt(form: ReceiptForm, number: number, cut: CutForm = 'feed'): SimulatedReceipt {
  const order = `20261125${String(number).padStart(6, '0')}`
  const items = Array.from({ length: 1 + (number % 4) }, (_one, index) => {
    const goods = GOODS[(number * 3 + index * 2) % GOODS.length] ?? { zh: '', en: '', price: 100, sku: '' }
    const qty = 1 + ((number + index) % 3)
    return { goods, qty, amount: goods.price * qty }
  })
  const total = items.reduce((sum, one) => sum + one.amount, 0)
  const shown = (zh: boolean) =>
    items.map(({ goods, qty, amount }) => ({ name: zh ? goods.zh : goods.en, qty, price: goods.price, amount }))
  const end = CUTS[cut]
  switch (form) {
    case 'market':
      return { form, order, total, items: shown(true), bytes: Buffer.concat([market(order, total, items), end]) }
    case 'cafe':
      return { form, order, total, items: shown(true), bytes: Buffer.concat([cafe(order, total, items), end]) }
    case 'english':
      return { form, order, total, items: shown(false), bytes: Buffer.concat([english(order, total, items), end]) }
    case 'bitmap':
      return { form, order, total, items: [], bytes: Buffer.concat([INIT, rasterLogo(48, 400), end]) }
    case 'drawer':
      return { form, order, total: 0, items: [], bytes: Buffer.concat([INIT, DRAWER]) }
  }
}

type Line = { goods: (typeof GOODS)[number]; qty: number; amount: number }

const yuan = (minor: number): string => (minor / 100).toFixed(2)
const gb = (text: string): Buffer => iconv.encode(text, 'gb18030')
/** Wide characters take two columns. */
const columns = (text: string): number => gb(text).length
const pad = (text: string, width: number): string => text + ' '.repeat(Math.max(1, width - columns(text)))
const lead = (text: string, width: number): string => ' '.repeat(Math.max(0, width - columns(text))) + text

/** Columns in one line, a raster logo before and a QR code after: a supermarket. */
function market(order: string, total: number, items: readonly Line[]): Buffer {
  const lines = items.map(
    ({ goods, qty, amount }) => `${pad(goods.zh, 24)}${lead(String(qty), 6)}${lead(yuan(goods.price), 8)}${lead(yuan(amount), 10)}\n`,
  )
  return Buffer.concat([
    INIT,
    align(1),
    rasterLogo(24, 64),
    size(0x11),
    gb('好邻居超市\n'),
    size(0),
    gb('欢迎光临  客服 13812345678\n'),
    align(0),
    gb(`单号：${order}\n收银员：0007   2026-11-25 12:31:07\n`),
    gb(`${'-'.repeat(48)}\n`),
    gb(`${pad('品名', 24)}${lead('数量', 6)}${lead('单价', 8)}${lead('金额', 10)}\n`),
    gb(lines.join('')),
    gb(`${'-'.repeat(48)}\n`),
    bold(1),
    gb(`${pad('合计', 20)}${lead(`￥${yuan(total)}`, 28)}\n`),
    bold(0),
    gb(`微信支付 ${yuan(total)}\n交易号 4200002611202611251234567890\n`),
    align(1),
    qr(`https://fapiao.example/i/${order}`),
    gb('\n扫码开发票  谢谢惠顾\n'),
    DRAWER,
  ])
}

/** Name above, figures below, placed with ESC $ and a tab: a café. */
function cafe(order: string, total: number, items: readonly Line[]): Buffer {
  const at = (dots: number): Buffer => bytes(ESC, 0x24, dots & 0xff, dots >> 8)
  return Buffer.concat([
    INIT,
    bytes(0x1c, 0x26),
    align(1),
    bytes(ESC, 0x21, 0x30),
    gb(`取餐号 ${order.slice(-3)}\n`),
    bytes(ESC, 0x21, 0),
    align(0),
    gb(`订单号:${order}\r\n`),
    ...items.flatMap(({ goods, qty, amount }) => [
      gb(`${goods.zh}\r\n`),
      gb(`    ${qty} x ${yuan(goods.price)}`),
      at(396),
      gb(`${yuan(amount)}\r\n`),
    ]),
    gb('==============================\r\n'),
    gb('应付'),
    at(396),
    gb(`${yuan(total)}\r\n`),
    gb('支付宝\r\n'),
    barcode(order),
  ])
}

/** Code page text with ESC t, a discount, tax shown: a till in English. */
function english(order: string, total: number, items: readonly Line[]): Buffer {
  const row = (left: string, right: string): Buffer => Buffer.from(`${left.padEnd(30)}${right.padStart(12)}\n`, 'latin1')
  return Buffer.concat([
    INIT,
    bytes(0x1c, 0x2e),
    bytes(ESC, 0x74, 16),
    align(1),
    Buffer.from('CORNER CAF\u00c9\n', 'latin1'),
    align(0),
    Buffer.from(`Order No. ${order}\n`, 'latin1'),
    ...items.map(({ goods, qty, amount }) => row(`${qty} x ${goods.en}`, yuan(amount))),
    row('SUBTOTAL', yuan(total)),
    row('TOTAL', yuan(total)),
    row('CASH', yuan(total)),
    DRAWER,
  ])
}
