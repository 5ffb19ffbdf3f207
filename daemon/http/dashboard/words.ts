/** The two catalogues and how numbers, times and ages are said. Each catalogue is checked against the other by its type. */
import type { EventLabel } from '../api.ts'
import english from './en.json' with { type: 'json' }
import chinese from './zh.json' with { type: 'json' }

export type Lang = 'en' | 'zh'
export type Key = keyof typeof english

const EN: Record<keyof typeof chinese, string> = english
const ZH: Record<keyof typeof english, string> = chinese

const DAY_MS = 86_400_000
/** Before this a clock has not been set. */
const SANE = Date.UTC(2020, 0, 1)

export class Words {
  readonly lang: Lang
  readonly #catalogue: Record<string, string>
  readonly #number: Intl.NumberFormat
  readonly #plural: Intl.PluralRules
  readonly #relative: Intl.RelativeTimeFormat
  readonly #units = new Map<string, Intl.NumberFormat>()
  readonly #clock: Intl.DateTimeFormat
  readonly #minute: Intl.DateTimeFormat
  readonly #day: Intl.DateTimeFormat
  readonly #date: Intl.DateTimeFormat

  constructor(lang: Lang, timeZone: string) {
    const locale = lang === 'zh' ? 'zh-CN' : 'en-GB'
    this.lang = lang
    this.#catalogue = lang === 'zh' ? ZH : EN
    this.#number = new Intl.NumberFormat(locale)
    this.#plural = new Intl.PluralRules(locale)
    this.#relative = new Intl.RelativeTimeFormat(locale, { style: 'narrow' })
    this.#clock = format(locale, timeZone, { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' })
    this.#minute = format(locale, timeZone, { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' })
    this.#day = format('en-CA', timeZone, { year: 'numeric', month: '2-digit', day: '2-digit' })
    this.#date = format(locale, timeZone, { month: 'short', day: 'numeric', hour: '2-digit', minute: '2-digit', hourCycle: 'h23' })
  }

  say(key: Key, values: Record<string, string | number> = {}): string {
    return (this.#catalogue[key] ?? key).replace(/\{(\w+)\}/g, (_all, name: string) => {
      const value = values[name]
      return typeof value === 'number' ? this.#number.format(value) : (value ?? '')
    })
  }

  /** `key.one` or `key.other`. */
  count(key: 'verdict' | 'plugin.restarts', n: number): string {
    return this.say(this.#plural.select(n) === 'one' || n === 1 ? `${key}.one` : `${key}.other`, { n })
  }

  /** A word from the field (`paper-out`), or the word itself where the catalogue has none. */
  field(prefix: 'detail' | 'fix', word: string): string | undefined {
    return this.#catalogue[`${prefix}.${word}`]
  }

  detail(word: string): string {
    return this.field('detail', word) ?? word.replaceAll('-', ' ')
  }

  number(value: number): string {
    return this.#number.format(value)
  }

  bytes(value: number): string {
    const [amount, unit] = value >= 2 ** 30 ? [value / 2 ** 30, 'GB'] : value >= 2 ** 20 ? [value / 2 ** 20, 'MB'] : [value / 2 ** 10, 'KB']
    return `${this.#number.format(Number(amount.toFixed(amount < 10 ? 1 : 0)))} ${unit}`
  }

  /** `14:02:31` */
  clock(ms: number): string {
    return this.#clock.format(ms)
  }

  /** `14:02` */
  minute(ms: number): string {
    return this.#minute.format(ms)
  }

  /** Minor units of ISO 4217: `¥12.50`. */
  money(minor: number, currency: string): string {
    try {
      const format = new Intl.NumberFormat(this.lang === 'zh' ? 'zh-CN' : 'en-GB', {
        style: 'currency',
        currency,
        currencyDisplay: 'narrowSymbol',
      })
      return format.format(minor / 10 ** (format.resolvedOptions().maximumFractionDigits ?? 2))
    } catch {
      return `${this.#number.format(minor / 100)} ${currency}`.trim()
    }
  }

  percent(share: number): string {
    return `${Math.round(share * 100)}\u00a0%`
  }

  /** `14:02`, then `yesterday 21:48`, `21 Nov, 21:48`. */
  time(iso: string, now: number): string {
    const at = Date.parse(iso)
    if (!(at >= SANE)) return this.say('feed.unsynced')
    return this.#dated(at, now, this.#minute)
  }

  /** `14:02:31`, on another day with its date. */
  second(iso: string, now: number): string {
    const at = Date.parse(iso)
    if (!(at >= SANE)) return this.say('feed.unsynced')
    return this.#dated(at, now, this.#clock)
  }

  #dated(at: number, now: number, sameDay: Intl.DateTimeFormat): string {
    const day = this.#day.format(at)
    if (day === this.#day.format(now)) return sameDay.format(at)
    return day === this.#day.format(now - DAY_MS) ? this.say('yesterday', { time: this.#minute.format(at) }) : this.#date.format(at)
  }

  today(iso: string, now: number): boolean {
    return this.#day.format(Date.parse(iso)) === this.#day.format(now)
  }

  /** `12s ago` */
  ago(iso: string, now: number): string {
    const at = Date.parse(iso)
    if (!(at >= SANE)) return this.say('feed.unsynced')
    if (now - at < 3_000) return this.say('now')
    const [amount, unit] = rough(now - at)
    return this.#relative.format(-amount, unit)
  }

  /** `12 s`, without "ago". */
  span(ms: number): string {
    const [amount, unit] = rough(Math.max(0, ms))
    let units = this.#units.get(unit)
    if (!units) {
      units = new Intl.NumberFormat(this.lang === 'zh' ? 'zh-CN' : 'en-GB', { style: 'unit', unit, unitDisplay: 'short' })
      this.#units.set(unit, units)
    }
    return units.format(amount)
  }

  /** What a type of event is called: its plugin's word, the catalogue's for the core's own, or the type itself. */
  type(type: string, labels: Record<string, EventLabel>): string {
    const label = labels[type]
    if (label) return (this.lang === 'zh' ? label.zh : undefined) ?? label.en
    const short = type.replace(/^shopwire\./, '')
    const [plugin = '', event = ''] = short.split('.')
    if (event === 'device') return `${plugin} · ${this.say('type.device')}`
    return this.#catalogue[`type.${short}`] ?? `${plugin} · ${event.replaceAll('-', ' ')}`
  }
}

const made = new Map<string, Words>()

/** Formatters are dear (each loads its locale's data): they are made once for a language and time zone. */
export function wordsFor(lang: Lang, timeZone: string): Words {
  const key = `${lang} ${timeZone}`
  let words = made.get(key)
  if (!words) {
    words = new Words(lang, timeZone)
    made.set(key, words)
  }
  return words
}

function rough(ms: number): [number, 'second' | 'minute' | 'hour' | 'day'] {
  const seconds = Math.round(ms / 1_000)
  if (seconds < 60) return [seconds, 'second']
  if (seconds < 3_600) return [Math.round(seconds / 60), 'minute']
  if (seconds < 36 * 3_600) return [Math.round(seconds / 3_600), 'hour']
  return [Math.round(seconds / 86_400), 'day']
}

/** A browser may not know the shop's time zone by its name: then its own has to do. */
function format(locale: string, timeZone: string, options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  try {
    return new Intl.DateTimeFormat(locale, { ...options, timeZone })
  } catch {
    return new Intl.DateTimeFormat(locale, options)
  }
}
