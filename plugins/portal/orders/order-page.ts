/** The page of an order, and what the visitor's own page says of it. No script: the page asks again by `meta refresh`, and can be told not to. */
import { escapeHtml } from '../pages/html.ts'
import type { Language } from '../pages/language.ts'
import { qrSvg } from '../pages/qr.ts'
import { isFinal, type Order, phaseAt } from './orders.machine.ts'
import { APPS, ORDER_TEXTS } from './texts.ts'

const REFRESH_SECONDS = 5

export interface OrderLook {
  order: Order | undefined
  /** `/t/{form token}/{language}/` */
  path: string
  /** The guest does not want the page to refresh (WCAG 2.2, 2.2.1: a time limit can be turned off). */
  still: boolean
  /** Unix ms. */
  wall: number
}

export interface OrderPage {
  title: string
  body: string
  /** Content of `meta refresh`. */
  refresh?: string
}

/** As large as they usually come, to be weighed. */
export const SAMPLE: OrderLook = {
  order: {
    payment: '',
    order: 'x'.repeat(24),
    session: '',
    amount: 123_456,
    currency: 'CNY',
    phase: 'waiting',
    qr: `https://qr.alipay.com/${'x'.repeat(40)}`,
    channel: 'alipay',
    until: 300_000,
    at: 0,
  },
  path: `/t/${'x'.repeat(16)}/zh/`,
  still: false,
  wall: 0,
}

export function orderPage(language: Language, { order, path, still, wall }: OrderLook): OrderPage {
  const texts = ORDER_TEXTS[language]
  const more = `<a class="b" href="${escapeHtml(path)}?n=more">${texts.more}</a>`
  if (!order) return { title: texts.noneTitle, body: `<h1>${texts.noneTitle}</h1><p>${texts.none}</p>${more}` }
  const phase = phaseAt(order, wall)
  const amount = escapeHtml(money(order, language))
  const what = `<p>${texts.order} ${escapeHtml(order.order)}</p>`
  switch (phase) {
    case 'paid':
      return { title: texts.paidTitle, body: `<h1>✓ ${texts.paidTitle} ${amount}</h1>${what}<p role="status">${texts.paid}</p>${more}` }
    case 'ended':
      return {
        title: texts.endedTitle,
        body: `<h1>${texts.endedTitle}: ${amount}</h1>${what}<p class="n" role="status">${texts.ended}</p>${more}`,
      }
    default: {
      const status = { open: texts.preparing, waiting: texts.waiting, checking: texts.checking }[phase]
      const title = phase === 'checking' ? `${texts.checkingTitle}: ${amount}` : texts.pay(amount)
      const code = phase === 'waiting' && order.qr !== undefined ? codePart(language, order, order.qr, wall) : ''
      const here = `${path}order`
      const turn = still
        ? `<p><a href="${escapeHtml(here)}?n=still">${texts.again}</a></p>`
        : `<p class="s">${texts.refreshes} <a href="${escapeHtml(here)}?n=still">${texts.stop}</a></p>`
      return {
        title: texts.toPay,
        body: `<h1>${title}</h1>${what}<p class="n" role="status">${status}</p>${code}${turn}<a href="${escapeHtml(path)}?n=more">${texts.more}</a>`,
        ...(still ? {} : { refresh: `${REFRESH_SECONDS};url=${here}` }),
      }
    }
  }
}

/** A short word on the visitor's own page: a link to what is to be paid, or how the last one ended. */
export function orderCard(language: Language, order: Order, path: string): string {
  const texts = ORDER_TEXTS[language]
  const amount = escapeHtml(money(order, language))
  if (!isFinal(order)) return `<a class="b" href="${escapeHtml(path)}order">${texts.toPay}: ${amount}</a>`
  const word = order.phase === 'paid' ? `✓ ${texts.paidTitle}` : texts.endedTitle
  return `<p class="n">${word}: ${amount}, ${texts.order} ${escapeHtml(order.order)}</p>`
}

/**
 * A code on the phone that is to pay cannot be scanned by it. Where the code is a page of the provider's (https) there is a plain link: it opens
 * the app where the system hands such links to it, and the provider's page in a window that starts no apps. Other schemes fail without a word there.
 */
function codePart(language: Language, order: Order, qr: string, wall: number): string {
  const texts = ORDER_TEXTS[language]
  const app = APPS[order.channel ?? '']?.[language] ?? texts.anyApp
  const here = /^https:\/\//i.test(qr)
    ? `<a class="b" href="${escapeHtml(qr)}" rel="noreferrer">${texts.onThisPhone}</a><p class="s">${texts.onThisPhoneHelp}</p>`
    : `<p class="s">${texts.otherwise}</p>`
  const minutes = Math.max(1, Math.round((order.until - wall) / 60_000))
  return `${qrSvg(qr, texts.qrLabel)}<p>${texts.scan(app)} ${texts.good(minutes)}</p>${here}`
}

function money({ amount, currency }: Order, language: Language): string {
  const locale = language === 'zh' ? 'zh-CN' : 'en'
  const format = new Intl.NumberFormat(locale, { style: 'currency', currency, currencyDisplay: 'narrowSymbol' })
  return format.format(amount / 10 ** (format.resolvedOptions().maximumFractionDigits ?? 2))
}
