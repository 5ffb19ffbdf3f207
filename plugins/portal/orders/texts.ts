/** What the page of an order says, in every language the portal speaks. */
import type { Language } from '../pages/language.ts'

const en = {
  pay: (amount: string) => `Pay ${amount}`,
  order: 'Order',
  preparing: 'The code is being made…',
  waiting: 'Waiting for your payment',
  scan: (app: string) => `Scan it with ${app} on another phone.`,
  qrLabel: 'QR code to pay this order',
  anyApp: 'your payment app',
  onThisPhone: 'Pay on this phone',
  onThisPhoneHelp:
    'Opens the payment app’s own page. If it does not open from this window, open it in your browser, or ask at the till to pay another way.',
  otherwise: 'No other phone? Ask at the till to pay another way.',
  good: (minutes: number) => `The code is good for ${minutes} min.`,
  checkingTitle: 'One moment',
  checking: 'Your payment is being checked. Please do not pay again; ask at the till if it takes long.',
  paidTitle: 'Paid',
  paid: 'Thank you. You can close this page.',
  endedTitle: 'Not paid',
  ended: 'The code is no longer good. If money was taken for it, it comes back by itself. Please ask at the till.',
  noneTitle: 'Nothing to pay',
  none: 'There is no order of yours to pay just now.',
  refreshes: 'This page refreshes by itself.',
  stop: 'Stop refreshing',
  again: 'Check again',
  more: 'WiFi, offers and codes',
  toPay: 'Order to pay',
}

type OrderTexts = typeof en

const zh: OrderTexts = {
  pay: (amount) => `支付 ${amount}`,
  order: '订单',
  preparing: '正在生成付款码…',
  waiting: '等待付款',
  scan: (app) => `请用另一部手机的${app}扫码付款。`,
  qrLabel: '本订单的付款二维码',
  anyApp: '支付应用',
  onThisPhone: '在本机付款',
  onThisPhoneHelp: '将打开支付应用的页面。若此窗口无法打开，请在浏览器中打开，或到收银台改用其他方式付款。',
  otherwise: '没有另一部手机？请到收银台改用其他方式付款。',
  good: (minutes) => `付款码 ${minutes} 分钟内有效。`,
  checkingTitle: '请稍候',
  checking: '正在确认付款结果，请勿重复付款。如等待较久，请询问店员。',
  paidTitle: '已付款',
  paid: '谢谢惠顾，您可以关闭本页。',
  endedTitle: '未付款',
  ended: '付款码已失效。如已扣款，将自动退回。请询问店员。',
  noneTitle: '没有待付订单',
  none: '您目前没有待付的订单。',
  refreshes: '本页会自动刷新。',
  stop: '停止刷新',
  again: '再次查询',
  more: 'WiFi、优惠和专属码',
  toPay: '待付订单',
}

export const ORDER_TEXTS: Record<Language, OrderTexts> = { zh, en }

/** Names of the apps that scan a channel's codes. */
export const APPS: Record<string, Record<Language, string>> = {
  alipay: { zh: '支付宝', en: 'Alipay' },
  wechat: { zh: '微信', en: 'WeChat' },
  unionpay: { zh: '云闪付', en: 'UnionPay' },
}
