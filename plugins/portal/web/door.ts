/** What a guest's request is answered with. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import { asFailure, type Failure } from '../../../daemon/contract/errors.ts'
import type { PluginContext } from '../../../daemon/contract/plugin.ts'
import type { PortalConfig } from '../config.ts'
import type { Logins } from '../logins/logins.ts'
import type { NetworkController, Station } from '../network/api.ts'
import { orderCard } from '../orders/order-page.ts'
import { isFinal } from '../orders/orders.machine.ts'
import type { Orders } from '../orders/orders.ts'
import { type Language, preferred } from '../pages/language.ts'
import type { Notice, NoticePage, Page, Pages } from '../pages/pages.ts'
import type { Outbox } from '../sessions/outbox.ts'
import type { Consent, Session } from '../sessions/session.ts'
import type { Sessions } from '../sessions/sessions.ts'
import type { FormTokens } from '../tokens.ts'
import { type Extra, readForm, redirect, sendPage, sendText } from './answer.ts'
import { ClaimLimit } from './claims.ts'
import { probeAnswer } from './probes.ts'
import { FULL, refusalOf } from './refusals.ts'
import { type Action, type Route, routeOf } from './routes.ts'

const URL_MOST = 2_048

export interface DoorParts {
  context: PluginContext<unknown>
  network: NetworkController
  sessions: Sessions
  logins: Logins
  orders: Pick<Orders, 'of'>
  forms: FormTokens
  outbox: Outbox
  /** A station asked for something: a sign that it is here. */
  seen(station: Station): void
  online(): boolean
}

/** The parts that change with the config. */
export interface Front {
  config: PortalConfig
  pages: Pages
  /** `http://10.66.0.1:8880` */
  base: string
  /** `https://wifi.shop.example:8843`, where there is a certificate. */
  secure?: string
  /** Address the guests' listener is bound to. */
  bind: string
  /** Host header values that mean the portal itself, lower case, without port. */
  hosts: ReadonlySet<string>
}

interface Visit {
  request: IncomingMessage
  response: ServerResponse
  address: string
  station: Station | undefined
}

type Guest = Visit & { station: Station }

interface Target {
  /** Lower case, without port. */
  host: string
  path: string
  query: string
  /** All of it, as it was asked for. */
  url: string
}

export class Door {
  readonly #parts: DoorParts
  readonly #claims = new ClaimLimit()
  /** Forms of one station are answered one after the other: a second tap finds what the first one did. */
  readonly #forms = new Map<string, Promise<unknown>>()
  /** When each connection was opened, monotonic. */
  readonly #since = new WeakMap<Socket, number>()
  front: Front
  pageCount = 0

  constructor(parts: DoorParts, front: Front) {
    this.#parts = parts
    this.front = front
  }

  opened(socket: Socket): void {
    this.#since.set(socket, this.#parts.context.clock.mono())
  }

  async answer(request: IncomingMessage, response: ServerResponse, address: string): Promise<void> {
    const target = targetOf(request)
    if (!target) return sendText(request, response, 400, 'text/plain', 'Bad request\n')
    const { method } = request
    if (method !== 'GET' && method !== 'HEAD' && method !== 'POST')
      return sendText(request, response, 405, 'text/plain', 'GET, HEAD or POST\n')
    const station = await this.#parts.network.stationAt(address)
    if (station) this.#parts.seen(station)
    const visit = { request, response, address, station }
    if (!this.front.hosts.has(target.host)) return this.#elsewhere(visit, target)
    const route = routeOf(target.path)
    if (method === 'POST' && route.kind !== 'action') return sendText(request, response, 405, 'text/plain', 'Nothing to send here\n')
    return this.#route(visit, route, target.query)
  }

  /** A request for somebody else's server. HTTPS never comes here: it is refused, not intercepted. */
  #elsewhere(visit: Visit, { host, path, url }: Target): void {
    const { request, response, station } = visit
    const session = station && this.#parts.online() ? this.#parts.sessions.of(station.mac) : undefined
    const probe = session ? probeAnswer(host, path) : undefined
    if (probe) sendText(request, response, probe.status, probe.type, probe.body)
    // A spare connection, opened before the tap, ends here for good: the same again over a new one goes past us.
    else if (session && host !== '' && request.method !== 'POST' && this.#isOlder(request.socket, session)) redirect(request, response, url)
    else if (station) redirect(request, response, this.#welcomeUrl({ ...visit, station }))
    else this.#notice(visit, 403, 'guestOnly')
  }

  #isOlder(socket: Socket, session: Session): boolean {
    return (this.#since.get(socket) ?? session.openedAt) < session.openedAt
  }

  async #route(visit: Visit, route: Route, query: string): Promise<void> {
    const { request, response, station } = visit
    switch (route.kind) {
      case 'api':
        return this.#api(visit)
      case 'icon':
        return sendText(request, response, 204, '', '')
      case 'claim':
        return this.#claim(visit, route.token)
      case 'nothing':
        return this.#notice(visit, 404, 'notFound')
      case 'terms':
        return this.#page(visit, 200, this.front.pages.terms(route.language))
    }
    if (!station) return this.#notice(visit, 403, 'guestOnly')
    const guest: Guest = { ...visit, station }
    if (route.kind === 'home') return redirect(request, response, this.#welcomeUrl(guest))
    if (route.kind === 'visit') return this.#ownPage(guest, route.link, route.language)
    if (!this.#parts.forms.good(route.token, station.mac, this.#parts.context.clock.wall())) {
      // Too old, or another station's: the same page again, with a token of its own.
      return redirect(request, response, this.#welcomeUrl(guest, route.language, route.kind === 'action' ? 'stale' : undefined))
    }
    if (route.kind === 'welcome') return this.#welcome(guest, route.language, query)
    if (route.kind === 'order') return this.#orderPage(guest, route.language, query === 'n=still')
    return this.#form(guest, route.action, route.language)
  }

  async #welcome(guest: Guest, language: Language, query: string): Promise<void> {
    const { sessions } = this.#parts
    const session = sessions.of(guest.station.mac)
    if (!this.#parts.online()) return this.#notice(guest, 503, 'down', language)
    if (session) return this.#connected(guest, session, language, query === 'n=more')
    if (sessions.full) return this.#notice(guest, FULL.status, 'full', language, { retryAfter: FULL.retryAfter ?? 0 })
    this.#parts.logins.expect(guest.station)
    const ended = sessions.endedOf(guest.station.mac)
    const notice: Notice | undefined =
      query === 'n=stale'
        ? { text: 'stale' }
        : query === 'n=link'
          ? { text: 'linkRefused' }
          : ended
            ? endedNotice(ended.reason, ended.minutes)
            : undefined
    this.#page(guest, 200, this.front.pages.welcome(language, notice))
  }

  /** The visitor's own page: offers while online, a greeting while not. Opening it changes nothing: links are opened by previews, too. */
  async #ownPage(guest: Guest, link: string, language: Language): Promise<void> {
    const session = this.#parts.sessions.of(guest.station.mac)
    if (!this.#parts.online()) return this.#notice(guest, 503, 'down', language)
    if (session) return this.#connected(guest, session, language)
    const known = this.front.config.login.returning && (await this.#parts.logins.visitorOf(link, guest.station)) !== undefined
    if (!known) return redirect(guest.request, guest.response, this.#welcomeUrl(guest, language, 'link'))
    const path = this.#formPath(guest.station, language)
    this.#page(guest, 200, this.front.pages.welcome(language, undefined, { back: link, path }))
  }

  async #form(guest: Guest, action: Action, language: Language): Promise<void> {
    const form = guest.request.method === 'POST' ? await readForm(guest.request) : undefined
    if (guest.request.method !== 'POST') return redirect(guest.request, guest.response, this.#welcomeUrl(guest, language))
    if (!form) return this.#notice(guest, 400, 'bad', language, { close: true })
    if (!this.#parts.online()) return this.#notice(guest, 503, 'down', language)
    const { mac } = guest.station
    const turn = (this.#forms.get(mac) ?? Promise.resolve()).then(() => this.#act(guest, action, language, form))
    const settled = turn
      .catch(() => {})
      .finally(() => {
        if (this.#forms.get(mac) === settled) this.#forms.delete(mac)
      })
    this.#forms.set(mac, settled)
    return turn
  }

  async #act(guest: Guest, action: Action, language: Language, form: Map<string, string>): Promise<void> {
    const { logins, sessions } = this.#parts
    const { station } = guest
    const consent = this.#consent(language, form.get('marketing') === 'yes')
    const field = (name: string): string => form.get(name) ?? ''
    const online = sessions.of(station.mac)
    try {
      switch (action) {
        case 'connect':
          return await this.#connected(guest, await logins.tap(station, consent), language)
        case 'back':
          return await this.#connected(guest, await logins.returning(station, field('back'), consent), language)
        case 'code':
          return await this.#connected(
            guest,
            online?.method === 'code' ? online : await logins.code(station, field('code'), consent),
            language,
          )
        case 'verify':
          return await this.#connected(
            guest,
            online?.method === 'sms' ? online : await logins.verifySms(station, field('code'), consent),
            language,
          )
        case 'sms':
          return this.#page(
            guest,
            200,
            this.front.pages.smsCode(language, await logins.askSms(station, field('phone'), consent.marketing, language), false),
          )
      }
    } catch (error) {
      this.#refused(guest, action, language, asFailure(error), field)
    }
  }

  /** The form again, with what was wrong. */
  #refused(guest: Guest, action: Action, language: Language, failure: Failure, field: (name: string) => string): void {
    const { pages } = this.front
    const refusal = refusalOf(action, failure)
    const values = action === 'sms' ? { phone: field('phone').slice(0, 24) } : {}
    const page =
      refusal.form === 'welcome'
        ? pages.welcome(language, refusal.notice, values)
        : refusal.form === 'sms-code'
          ? pages.smsCode(language, field('to').slice(0, 24), true)
          : pages.notice(language, refusal.page)
    this.#page(guest, refusal.status, page, refusal.retryAfter === undefined ? {} : { retryAfter: refusal.retryAfter })
  }

  /** The visitor's page: an order that is to be paid comes first, unless it is `more` that is asked for. */
  async #connected(guest: Guest, session: Session, language: Language, more = false): Promise<void> {
    const { logins, sessions, context } = this.#parts
    const order = this.#parts.orders.of(session.id)
    if (order && !isFinal(order) && !more) return this.#orderPage(guest, language, false)
    const link = await logins.linkOf(session)
    const memberCode = logins.memberCode(session.visitor)
    const visit = {
      minutesLeft: Math.max(1, Math.round(sessions.secondsLeft(session) / 60)),
      ...(link === undefined ? {} : { link }),
      ...(memberCode === undefined ? {} : { memberCode }),
      ...(order ? { order: orderCard(language, order, this.#formPath(guest.station, language)) } : {}),
    }
    const today = new Date(context.clock.wall()).toISOString().slice(0, 10)
    // The phone's next probe must take a new way: through the network, not to the portal.
    this.#page(guest, 200, this.front.pages.connected(language, visit, today), { close: true })
  }

  async #orderPage(guest: Guest, language: Language, still: boolean): Promise<void> {
    const session = this.#parts.sessions.of(guest.station.mac)
    if (!session) return redirect(guest.request, guest.response, this.#welcomeUrl(guest, language))
    const look = {
      order: this.#parts.orders.of(session.id),
      path: this.#formPath(guest.station, language),
      still,
      wall: this.#parts.context.clock.wall(),
    }
    this.#page(guest, 200, this.front.pages.order(language, look), { close: true })
  }

  /** RFC 8908, section 5. */
  #api(visit: Visit): void {
    const { request, response, station } = visit
    const { sessions } = this.#parts
    const session = station && sessions.of(station.mac)
    const body = {
      captive: station !== undefined && !session,
      // "MUST be accessed over TLS": section 5.
      'user-portal-url': `${this.front.secure ?? this.front.base}/`,
      'venue-info-url': `${this.front.secure ?? this.front.base}/`,
      ...(session ? { 'seconds-remaining': sessions.secondsLeft(session), 'can-extend-session': true } : {}),
    }
    // "Cache-Control: private" or "no-store": section 4.
    sendText(request, response, 200, 'application/captive+json', JSON.stringify(body))
  }

  #claim(visit: Visit, token: string): void {
    const { context, sessions, outbox } = this.#parts
    const { station, request, address } = visit
    const session = station && sessions.of(station.mac)
    const claim = context.pseudonym('person', `claim:${token}`)
    if (request.method === 'GET' && this.#claims.news(address, claim, context.clock.mono())) {
      const who = session ? { session: session.id, visitor: session.visitor } : {}
      outbox.send('claimed', { claim, network: station ? 'guest' : 'other', ...who }, 'claims')
    }
    this.#notice(visit, 200, 'claimed')
  }

  #consent(language: Language, marketing: boolean): Consent {
    return { version: this.front.config.terms.version, hash: this.front.pages.consentHash(language), language, marketing }
  }

  #formToken(station: Station): string {
    return this.#parts.forms.make(station.mac, this.#parts.context.clock.wall())
  }

  #formPath(station: Station, language: Language): string {
    return `/t/${this.#formToken(station)}/${language}/`
  }

  /** Who came over TLS stays there. */
  #welcomeUrl(guest: Guest, language = preferred(guest.request.headers['accept-language']), notice?: string): string {
    const { base, secure } = this.front
    const at = guest.request.socket instanceof TLSSocket ? (secure ?? base) : base
    return `${at}${this.#formPath(guest.station, language)}${notice ? `?n=${notice}` : ''}`
  }

  #notice(
    visit: Visit,
    status: number,
    what: NoticePage,
    language = preferred(visit.request.headers['accept-language']),
    extra: Extra = {},
  ): void {
    this.#page(visit, status, this.front.pages.notice(language, what), extra)
  }

  #page({ request, response }: Visit, status: number, page: Page, extra: Extra = {}): void {
    this.pageCount += 1
    sendPage(request, response, status, page, this.front.pages.csp, extra)
  }
}

function endedNotice(reason: string, minutes: number): Notice {
  return reason === 'expired' ? { text: 'ended', number: minutes } : { text: 'endedOther' }
}

/** Host and path, whichever way the request names them. X-Forwarded-For and its like are never looked at. */
function targetOf(request: IncomingMessage): Target | undefined {
  let url = request.url ?? '/'
  let authority = request.headers.host ?? ''
  if (url.length > URL_MOST || authority.length > 255) return undefined
  const absolute = /^https?:\/\/([^/?#]*)(.*)$/i.exec(url)
  if (absolute) {
    authority = absolute[1] ?? ''
    url = absolute[2] || '/'
  }
  if (!url.startsWith('/')) return undefined
  const host = authority.toLowerCase().replace(/:\d*$/, '').replace(/\.$/, '')
  const [path = '/', query = ''] = url.split(/\?(.*)/s)
  return { host, path, query, url: `http://${authority}${url}` }
}
