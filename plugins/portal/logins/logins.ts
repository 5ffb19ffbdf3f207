/** The ways in. Each proves who somebody is as far as it can, and ends in a session. */
import { randomInt } from 'node:crypto'
import { asFailure, Failure } from '../../../daemon/contract/errors.ts'
import type { PluginContext } from '../../../daemon/contract/plugin.ts'
import type { PortalConfig } from '../config.ts'
import type { Station } from '../network/api.ts'
import { type Language, textIn } from '../pages/language.ts'
import type { Role } from '../presence/presence.machine.ts'
import type { Presence } from '../presence/presence.ts'
import type { Secrets } from '../secrets.ts'
import type { Consent, Method, Session } from '../sessions/session.ts'
import type { Sessions } from '../sessions/sessions.ts'
import { VisitTokens } from '../tokens.ts'
import type { Visitors } from '../visitors.ts'
import type { Codes } from './codes.ts'
import { isWithin, maskedPhone, normalPhone } from './phone.ts'
import { newSms, type SmsState, smsLimits, smsMachine } from './sms.machine.ts'
import { createSmsSender, type SmsSender } from './sms-sender.ts'

const CODE_LETTERS = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'
const MEMBER_CODE_LENGTH = 12
const DAY_MS = 86_400_000

export interface LoginParts {
  context: PluginContext<unknown>
  secrets: Secrets
  sessions: Sessions
  presence: Presence
  visitors: Visitors
  codes: Codes
}

interface Proof {
  method: Method
  visitor: string
  role: Role
  /** Pseudonym of a member number. */
  member?: string
  consent?: Consent
  code?: string
  seconds?: number
}

export class Logins {
  readonly #parts: LoginParts
  readonly #links: VisitTokens
  readonly #sms: SmsState
  /** That the day's messages are used up was said. */
  #saidSpent = false
  #config: PortalConfig
  #sender: SmsSender | undefined

  /** Throws `config-invalid` for an SMS login that nobody sends for. */
  constructor(parts: LoginParts, config: PortalConfig) {
    this.#parts = parts
    this.#links = new VisitTokens(parts.secrets.hash)
    this.#config = config
    this.#sms = newSms(smsLimits(config.sms.perDay))
    this.#sender = config.login.sms ? createSmsSender(parts.context, config.sms) : undefined
  }

  configure(config: PortalConfig): void {
    this.#sender = config.login.sms ? createSmsSender(this.#parts.context, config.sms) : undefined
    this.#config = config
    smsMachine.step(this.#sms, { kind: 'limits', limits: smsLimits(config.sms.perDay) })
  }

  async tap(station: Station, consent: Consent): Promise<Session> {
    this.#allowed('tap')
    const { sessions, presence } = this.#parts
    // Who is known better already does not become a stranger by tapping once more.
    const visitor = sessions.of(station.mac)?.visitor ?? presence.station(station.mac)
    return this.#open(station, { method: 'tap', visitor, role: 'guest', consent })
  }

  /** A page is shown: what its tap will need is read meanwhile. */
  expect(station: Station): void {
    const { visitors, presence } = this.#parts
    visitors.get(presence.station(station.mac)).catch(() => {})
  }

  /** The visitor whose link this is, on the station it was made for; undefined for anything else. */
  async visitorOf(link: string, station: Station): Promise<string | undefined> {
    const visitor = this.#links.claimed(link)
    const record = visitor === undefined ? undefined : await this.#parts.visitors.get(visitor)
    const { clock } = this.#parts.context
    return record && this.#links.good(link, record.key, station.mac, clock.wall()) ? visitor : undefined
  }

  /** Rejects with `code-invalid` for a link that is forged, expired, erased, or another station's. */
  async returning(station: Station, link: string, consent: Consent): Promise<Session> {
    this.#allowed('returning')
    const visitor = await this.visitorOf(link, station)
    if (visitor === undefined) throw new Failure('code-invalid', 'the link is not good on this station')
    const before = await this.#parts.visitors.get(visitor)
    return this.#open(station, {
      method: 'returning',
      visitor,
      role: before?.member ? 'member' : 'guest',
      consent: { ...consent, marketing: before?.consent?.marketing ?? false },
      ...(before?.member ? { member: before.member } : {}),
    })
  }

  /** Rejects with `code-invalid`, `code-used` or `code-locked` (message: seconds). */
  async code(station: Station, text: string, consent: Consent): Promise<Session> {
    this.#allowed('code')
    const { codes, presence } = this.#parts
    const issued = await codes.redeem(text, station.mac)
    try {
      return await this.#open(station, {
        method: 'code',
        visitor: issued.person ?? presence.station(station.mac),
        role: issued.role,
        consent,
        code: issued.id,
        ...(issued.person === undefined ? {} : { member: issued.person }),
        ...(issued.seconds === undefined ? {} : { seconds: issued.seconds }),
      })
    } catch (error) {
      await codes.giveBack(issued)
      throw error
    }
  }

  /**
   * Sends a code; resolves with the number as it may be shown. Rejects with `args-invalid`, `device-unsupported` for a number of another country,
   * `queue-full` (message: seconds), or as the sender does.
   */
  async askSms(station: Station, phone: string, marketing: boolean, language: Language): Promise<string> {
    this.#allowed('sms')
    const { context, codes } = this.#parts
    codes.checkOwn(station.mac)
    const { country, countries } = this.#config.sms
    const number = normalPhone(phone, country)
    if (number === undefined) throw new Failure('args-invalid', 'not a mobile number')
    // Messages abroad cost a multiple, and somebody earns it: numbers are made up for that ("SMS pumping").
    if (!isWithin(number, [country, ...countries])) throw new Failure('device-unsupported', 'no messages to that country')
    const code = String(randomInt(1_000_000)).padStart(6, '0')
    const [effect] = smsMachine.step(this.#sms, {
      kind: 'ask',
      station: station.mac,
      phone: this.person(number),
      hash: this.#smsHash(station, code),
      marketing,
      now: context.clock.mono(),
    })
    if (effect?.kind === 'wait') {
      if (effect.spent && !this.#saidSpent)
        context.log.warn(
          { perDay: this.#config.sms.perDay },
          "the day's SMS are used up; more with plugins.portal.sms.perDay, if they were for guests",
        )
      this.#saidSpent = effect.spent
      throw new Failure('queue-full', String(effect.seconds))
    }
    const text = textIn(this.#config.sms.text, language).replaceAll('{code}', code)
    try {
      await this.#sender?.({ phone: number, code, text, language })
    } catch (error) {
      smsMachine.step(this.#sms, { kind: 'not-sent', station: station.mac })
      const { code: why, message } = asFailure(error)
      context.log.warn({ code: why }, why.startsWith('device') ? message : 'an SMS code was not sent')
      throw new Failure('device-fault', 'the message was not sent')
    }
    return maskedPhone(number)
  }

  /** Rejects with `code-invalid`; with `code-used` when a new code must be asked for; with `code-locked` (message: seconds). */
  async verifySms(station: Station, code: string, consent: Consent): Promise<Session> {
    this.#allowed('sms')
    const { codes, context } = this.#parts
    codes.checkOwn(station.mac)
    const hash = this.#smsHash(station, code.replace(/\D/g, ''))
    const [effect] = smsMachine.step(this.#sms, { kind: 'answer', station: station.mac, hash, now: context.clock.mono() })
    if (effect?.kind === 'accepted') {
      const proof: Proof = { method: 'sms', visitor: effect.phone, role: 'guest', consent: { ...consent, marketing: effect.marketing } }
      return this.#open(station, proof)
    }
    if (effect?.kind === 'wrong') codes.wrongOwn(station.mac)
    throw new Failure(effect?.kind === 'wrong' ? 'code-invalid' : 'code-used', 'not the code that was sent')
  }

  /** Somebody of the shop says so: no consent is recorded, since none was given. */
  async grant(station: Station, minutes: number | undefined): Promise<Session> {
    const { sessions, presence } = this.#parts
    const visitor = sessions.of(station.mac)?.visitor ?? presence.station(station.mac)
    return this.#open(station, { method: 'grant', visitor, role: 'guest', ...(minutes === undefined ? {} : { seconds: minutes * 60 }) })
  }

  /** The visitor's own page, as an absolute path without the language. */
  async linkOf(session: Session): Promise<string | undefined> {
    const { returning, returningDays } = this.#config.login
    const record = returning ? await this.#parts.visitors.get(session.visitor) : undefined
    if (!record) return undefined
    return `/v/${this.#links.make(session.visitor, record.key, session.mac, this.#parts.context.clock.wall() + returningDays * DAY_MS)}/`
  }

  /** What the till's scanner reads from the offer page; undefined where the shop shows none. */
  memberCode(visitor: string): string | undefined {
    const { prefix } = this.#config.member
    if (prefix === undefined) return undefined
    const bytes = this.#parts.secrets.hash('member', visitor).subarray(0, MEMBER_CODE_LENGTH)
    return prefix + [...bytes].map((byte) => CODE_LETTERS[byte % CODE_LETTERS.length]).join('')
  }

  /** Pseudonym of a phone number in E.164 digits. */
  person(number: string): string {
    return this.#parts.context.pseudonym('person', `phone:+${number}`)
  }

  forgetPhone(person: string): void {
    smsMachine.step(this.#sms, { kind: 'forget', phone: person })
  }

  async #open(station: Station, proof: Proof): Promise<Session> {
    const { context, sessions, presence, visitors } = this.#parts
    const { session: limits } = this.#config
    const code = this.memberCode(proof.visitor)
    const member = proof.member ?? (code === undefined ? undefined : context.pseudonym('person', code))
    const own = presence.station(station.mac)
    const { record, before } = await visitors.next(
      proof.visitor,
      {
        method: proof.method,
        station: own,
        ...(proof.consent ? { consent: proof.consent } : {}),
        ...(proof.member ? { member: proof.member } : {}),
      },
      context.clock.wall(),
    )
    const opened = sessions.open({
      mac: station.mac,
      ...(station.ip === '' ? {} : { ip: station.ip }),
      visitor: proof.visitor,
      station: own,
      method: proof.method,
      returning: before !== undefined,
      seconds: proof.seconds ?? limits.minutes * 60,
      ...(member === undefined ? {} : { member }),
      ...(proof.consent ? { consent: proof.consent } : {}),
      ...(proof.code === undefined ? {} : { code: proof.code }),
      ...(limits.downKbps === undefined ? {} : { downKbps: limits.downKbps }),
      ...(limits.upKbps === undefined ? {} : { upKbps: limits.upKbps }),
    })
    const session = await opened.catch((error: unknown) => {
      visitors.undo(proof.visitor, record, before)
      throw error
    })
    presence.identified(session, proof.role)
    visitors.keep(proof.visitor, record).catch((error: unknown) => {
      context.log.warn({ code: asFailure(error).code }, 'a visitor could not be kept and will look new next time')
    })
    return session
  }

  #allowed(method: 'tap' | 'sms' | 'code' | 'returning'): void {
    if (!this.#config.login[method]) throw new Failure('forbidden', `this shop has no login by ${method}`)
  }

  #smsHash(station: Station, code: string): string {
    return this.#parts.secrets.hash('sms', station.mac, code).toString('base64url')
  }
}
