/** All pages, rendered from config and a little state. The same for everybody ones are kept as bytes, gzipped too. */
import { createHash } from 'node:crypto'
import { gzipSync } from 'node:zlib'
import type { Offer, PortalConfig } from '../config.ts'
import { type OrderLook, orderPage, SAMPLE } from '../orders/order-page.ts'
import { document, escapeHtml, type Frame, policy, style } from './html.ts'
import { type Language, textIn } from './language.ts'
import { qrSvg } from './qr.ts'
import { TEXTS, type Texts } from './texts.ts'

export interface Page {
  body: Buffer
  gzip?: Buffer
}

/** What a welcome page has to say besides itself; `minutes` and `seconds` where the text has a number. */
export interface Notice {
  text:
    | 'stale'
    | 'codeInvalid'
    | 'codeUsed'
    | 'phoneInvalid'
    | 'phoneAbroad'
    | 'smsMany'
    | 'smsFailed'
    | 'smsGone'
    | 'linkRefused'
    | 'endedOther'
    | 'ended'
    | 'locked'
    | 'smsWait'
  number?: number
}

export interface Visit {
  minutesLeft: number
  /** Absolute path of the visitor's own page, without the language. */
  link?: string
  memberCode?: string
  /** HTML: what is to be paid, or was. */
  order?: string
}

export type NoticePage = 'down' | 'full' | 'busy' | 'guestOnly' | 'notFound' | 'bad' | 'claimed'

/** More than this many kept pages means that something varies that should not. */
const KEPT_MOST = 64

export class Pages {
  readonly csp: string
  readonly #config: PortalConfig
  readonly #css: string
  readonly #logo: string | undefined
  readonly #kept = new Map<string, Page>()

  /** `logo` is a `data:` URI. */
  constructor(config: PortalConfig, logo?: string) {
    this.#config = config
    this.#logo = logo
    this.#css = style({ accent: config.accent, name: '' })
    this.csp = policy(this.#css)
  }

  /** Everything the shopper is shown before agreeing, as it is hashed for the consent. */
  consentText(language: Language): string {
    const texts = TEXTS[language]
    return [this.#collected(language), `${texts.byConnecting} ${texts.terms}`, this.#terms(language)].join('\n\n')
  }

  consentHash(language: Language): string {
    return createHash('sha256').update(this.consentText(language)).digest('hex')
  }

  /**
   * Relative addresses only: the form token is in the path, so that the page is the same for everybody. With `path` it is shown elsewhere, for
   * somebody in particular: `back` is the link the visitor came by.
   */
  welcome(language: Language, notice?: Notice, values: { phone?: string; back?: string; path?: string } = {}): Page {
    const render = (): string => {
      const texts = TEXTS[language]
      const { login, session } = this.#config
      const hidden = values.back ? `<input type="hidden" name="back" value="${escapeHtml(values.back)}">` : ''
      const tap = values.back
        ? `<form method="post" action="${escapeHtml(values.path ?? '')}back">${hidden}<button>${texts.agree}</button></form>`
        : login.tap
          ? `<form method="post" action="connect">${this.#marketing(language, 'm')}<button>${texts.agree}</button></form>`
          : ''
      const open = tap === ''
      const body = [
        `<h1>${values.back ? texts.welcomeBack : texts.freeWifi}</h1>`,
        `<p>${texts.free(session.minutes)}</p>`,
        notice ? `<p class="n" role="alert">${noticeText(texts, notice)}</p>` : '',
        tap,
        `<p class="s">${escapeHtml(this.#collected(language))}${language === 'en' ? ' ' : ''}${texts.byConnecting}${language === 'en' ? ' ' : ''}<a href="${escapeHtml(values.path ?? '')}terms">${texts.terms}</a>${language === 'en' ? '.' : '。'}</p>`,
        login.sms && !values.back
          ? section(
              texts.bySms,
              open || notice?.text.startsWith('sms') || notice?.text.startsWith('phone'),
              this.#smsForm(language, values.phone),
            )
          : '',
        login.code && !values.back
          ? section(texts.byCode, (open && !login.sms) || notice?.text.startsWith('code') || notice?.text === 'locked', codeForm(texts))
          : '',
      ].join('')
      return this.#page(language, texts.freeWifi, body, '../{}/')
    }
    if (values.phone !== undefined || values.back !== undefined) return { body: Buffer.from(render()) }
    return this.#keep(`welcome ${language} ${notice?.text ?? ''} ${notice?.number ?? ''}`, render)
  }

  terms(language: Language): Page {
    return this.#keep(`terms ${language}`, () => {
      const texts = TEXTS[language]
      const paragraphs = this.#terms(language)
        .split(/\n+/)
        .map((one) => `<p>${escapeHtml(one)}</p>`)
      const body = `<h1>${texts.termsTitle}</h1>${paragraphs.join('')}<p class="s">${escapeHtml(this.#collected(language))}</p><a class="b" href="./">${texts.back}</a>`
      return this.#page(language, texts.termsTitle, body, '../{}/terms')
    })
  }

  /** `masked` is the phone number with its middle hidden. */
  smsCode(language: Language, masked: string, wrong: boolean): Page {
    const texts = TEXTS[language]
    const alert = wrong ? `<p class="n" role="alert">${texts.codeInvalid}</p>` : ''
    const body = `<h1>${texts.smsCode}</h1><p>${escapeHtml(texts.sentTo(masked))}</p>${alert}<form method="post" action="verify"><input type="hidden" name="to" value="${escapeHtml(masked)}"><label for="o">${texts.smsCode}</label><input id="o" name="code" required inputmode="numeric" autocomplete="one-time-code" maxlength="12"><button>${texts.connect}</button></form><a href="./">${texts.otherNumber}</a>`
    return { body: Buffer.from(this.#page(language, texts.smsCode, body)) }
  }

  /** The answer to the tap, and the visitor's own page. `today` is `2026-12-31`. */
  connected(language: Language, visit: Visit, today: string): Page {
    const texts = TEXTS[language]
    const offers = this.offers(today)
    const body = [
      `<h1>✓ ${texts.connected}</h1><p>${texts.done}${language === 'en' ? ' ' : ''}${texts.left(visit.minutesLeft)}</p>`,
      visit.order ?? '',
      offers.length > 0 ? `<h2>${texts.offers}</h2><ul>${offers.map((one) => offerItem(one, language, texts)).join('')}</ul>` : '',
      visit.memberCode
        ? `<section class="k"><h2>${texts.memberTitle}</h2><small>${texts.showAtTill}</small>${qrSvg(visit.memberCode, texts.memberQr)}<code>${escapeHtml(visit.memberCode)}</code></section>`
        : '',
      visit.link
        ? `<a class="b" href="${escapeHtml(`${visit.link}${language}/`)}">${texts.openInBrowser}</a><p class="s">${texts.keepLink}</p>`
        : '',
    ].join('')
    return { body: Buffer.from(this.#page(language, texts.connected, body, visit.link ? `${visit.link}{}/` : undefined)) }
  }

  /** `path` of `look` in this language; the other one's is made of it. */
  order(language: Language, look: OrderLook): Page {
    const { title, body, refresh } = orderPage(language, look)
    const switchTo = `${look.path.replace(/[^/]+\/$/, '{}/')}order`
    return { body: Buffer.from(document(this.frame(language), this.#css, language, title, body, switchTo, refresh)) }
  }

  notice(language: Language, what: NoticePage): Page {
    return this.#keep(`notice ${language} ${what}`, () => {
      const texts = TEXTS[language]
      const title = texts[`${what}Title`]
      const again = what === 'down' || what === 'full' || what === 'busy' ? `<a class="b" href="./">${texts.tryAgain}</a>` : ''
      return this.#page(language, title, `<h1>${title}</h1><p>${texts[what]}</p>${again}`)
    })
  }

  offers(today: string): Offer[] {
    return this.#config.offers.filter(({ until }) => until === undefined || until >= today)
  }

  /** Bytes of the largest pages without compression, by page: what a browser that takes none of it gets. */
  size(): Record<string, number> {
    const visit: Visit = {
      minutesLeft: 60,
      link: `/v/${'x'.repeat(48)}/`,
      ...(this.#config.member.prefix ? { memberCode: `${this.#config.member.prefix}${'X'.repeat(12)}` } : {}),
    }
    const most = (page: (language: Language) => Page): number => Math.max(page('zh').body.length, page('en').body.length)
    return {
      welcome: most((language) => this.welcome(language)),
      terms: most((language) => this.terms(language)),
      connected: most((language) => this.connected(language, visit, '')),
      order: most((language) => this.order(language, SAMPLE)),
    }
  }

  frame(language: Language): Frame {
    return { name: textIn(this.#config.name, language), accent: this.#config.accent, ...(this.#logo ? { logo: this.#logo } : {}) }
  }

  #page(language: Language, title: string, body: string, switchTo?: string): string {
    return document(this.frame(language), this.#css, language, title, body, switchTo)
  }

  #keep(key: string, render: () => string): Page {
    let page = this.#kept.get(key)
    if (!page) {
      const body = Buffer.from(render())
      page = { body, gzip: gzipSync(body, { level: 9 }) }
      if (this.#kept.size < KEPT_MOST) this.#kept.set(key, page)
    }
    return page
  }

  #collected(language: Language): string {
    return textIn(this.#config.collected, language) || TEXTS[language].collected
  }

  #terms(language: Language): string {
    return textIn(this.#config.terms.text, language) || TEXTS[language].termsText
  }

  #marketing(language: Language, id: string): string {
    const sentence = textIn(this.#config.marketing, language)
    return sentence
      ? `<label class="c" for="${id}"><input id="${id}" type="checkbox" name="marketing" value="yes">${escapeHtml(sentence)}</label>`
      : ''
  }

  #smsForm(language: Language, phone = ''): string {
    const texts = TEXTS[language]
    return `<form method="post" action="sms"><label for="p">${texts.phone}</label><input id="p" name="phone" type="tel" required autocomplete="tel" maxlength="24" aria-describedby="ph" value="${escapeHtml(phone)}"><p class="s" id="ph">${texts.phoneHelp}</p>${this.#marketing(language, 'ms')}<button>${texts.sendCode}</button></form>`
  }
}

function codeForm(texts: Texts): string {
  return `<form method="post" action="code"><label for="c">${texts.oneTimeCode}</label><input id="c" name="code" required autocomplete="off" autocapitalize="characters" spellcheck="false" maxlength="40" aria-describedby="ch"><p class="s" id="ch">${texts.codeHelp}</p><button>${texts.agree}</button></form>`
}

function section(title: string, open: boolean | undefined, form: string): string {
  return `<details${open ? ' open' : ''}><summary>${title}</summary>${form}</details>`
}

function noticeText(texts: Texts, { text, number = 0 }: Notice): string {
  const found = texts[text]
  return typeof found === 'function' ? found(number) : found
}

function offerItem(offer: Offer, language: Language, texts: Texts): string {
  const title = escapeHtml(textIn(offer.title, language))
  const text = textIn(offer.text, language)
  const until = offer.until ? `<small>${texts.until(escapeHtml(offer.until))}</small>` : ''
  const code = offer.code
    ? `${qrSvg(offer.code, texts.couponQr(title))}<code>${escapeHtml(offer.code)}</code><small>${texts.showAtTill}</small>`
    : ''
  return `<li><h2>${title}</h2>${text ? `<p>${escapeHtml(text)}</p>` : ''}${until}${code}</li>`
}
