/** One-time codes by SMS: one waiting for each station, a few tries, no way to make the shop pay for a thousand messages. */
import type { Machine } from '../../../daemon/contract/machine.ts'

export interface SmsLimits {
  codeMs: number
  /** Wrong codes before a new one must be asked for. */
  tries: number
  /** Between two messages to one station or one phone. */
  againMs: number
  /** Messages to one phone in an hour and in a day. */
  phoneHour: number
  phoneDay: number
  /** Asked for by one station in an hour. */
  stationHour: number
  /** To all in a minute, and in a day: stations and phones are made up as fast as somebody likes, and each message is paid for. */
  allMinute: number
  allDay: number
}

interface Waiting {
  /** Pseudonym of the phone number. */
  phone: string
  /** Keyed hash of the code. */
  hash: string
  endsAt: number
  tries: number
  marketing: boolean
}

export interface SmsState {
  limits: SmsLimits
  /** By station. */
  readonly waiting: Map<string, Waiting>
  readonly sent: { phone: string; station: string; at: number }[]
}

export type SmsEvent =
  | { kind: 'ask'; station: string; phone: string; hash: string; marketing: boolean; now: number }
  /** The message could not be sent: nothing is waited for. */
  | { kind: 'not-sent'; station: string }
  | { kind: 'answer'; station: string; hash: string; now: number }
  | { kind: 'forget'; phone: string }
  | { kind: 'limits'; limits: SmsLimits }

export type SmsEffect =
  | { kind: 'send' }
  /** `spent`: the messages of the whole day are used up. */
  | { kind: 'wait'; seconds: number; spent: boolean }
  | { kind: 'accepted'; phone: string; marketing: boolean }
  | { kind: 'wrong' }
  /** None is waited for: too late, too many tries, or never asked for. */
  | { kind: 'gone' }

const DAY_MS = 86_400_000
const HOUR_MS = 3_600_000
const MINUTE_MS = 60_000

export const smsLimits = (allDay: number): SmsLimits => ({
  codeMs: 5 * MINUTE_MS,
  tries: 5,
  againMs: MINUTE_MS,
  phoneHour: 5,
  phoneDay: 10,
  stationHour: 10,
  allMinute: 60,
  allDay,
})

export const newSms = (limits: SmsLimits): SmsState => ({ limits, waiting: new Map(), sent: [] })

export const smsMachine: Machine<SmsState, SmsEvent, SmsEffect> = {
  step(state, event) {
    switch (event.kind) {
      case 'ask':
        return ask(state, event)
      case 'not-sent':
        state.waiting.delete(event.station)
        return []
      case 'answer':
        return answer(state, event)
      case 'forget':
        for (const [station, one] of state.waiting) if (one.phone === event.phone) state.waiting.delete(station)
        return []
      case 'limits':
        state.limits = event.limits
        return []
    }
  },
}

function ask(state: SmsState, event: Extract<SmsEvent, { kind: 'ask' }>): readonly SmsEffect[] {
  const { limits, sent } = state
  const { station, phone, now } = event
  while (sent[0] && now - sent[0].at >= DAY_MS) sent.shift()
  for (const [who, one] of state.waiting) if (one.endsAt <= now) state.waiting.delete(who)
  const byStation = sent.filter((one) => one.station === station)
  const toPhone = sent.filter((one) => one.phone === phone)
  const spent = within(sent, limits.allDay, DAY_MS, now)
  const wait = Math.max(
    within(byStation, 1, limits.againMs, now),
    within(byStation, limits.stationHour, HOUR_MS, now),
    within(toPhone, 1, limits.againMs, now),
    within(toPhone, limits.phoneHour, HOUR_MS, now),
    within(toPhone, limits.phoneDay, DAY_MS, now),
    within(sent, limits.allMinute, MINUTE_MS, now),
    spent,
  )
  if (wait > 0) return [{ kind: 'wait', seconds: Math.ceil(wait / 1000), spent: spent > 0 }]
  sent.push({ phone, station, at: now })
  state.waiting.set(station, { phone, hash: event.hash, endsAt: now + limits.codeMs, tries: 0, marketing: event.marketing })
  return [{ kind: 'send' }]
}

/** ms until one more may be sent, `most` being allowed in `windowMs`. */
function within(sent: readonly { at: number }[], most: number, windowMs: number, now: number): number {
  const first = sent[sent.length - most]
  return first ? Math.max(0, first.at + windowMs - now) : 0
}

function answer(state: SmsState, event: Extract<SmsEvent, { kind: 'answer' }>): readonly SmsEffect[] {
  const waiting = state.waiting.get(event.station)
  if (!waiting || waiting.endsAt <= event.now) {
    state.waiting.delete(event.station)
    return [{ kind: 'gone' }]
  }
  if (waiting.hash === event.hash) {
    state.waiting.delete(event.station)
    return [{ kind: 'accepted', phone: waiting.phone, marketing: waiting.marketing }]
  }
  waiting.tries += 1
  if (waiting.tries < state.limits.tries) return [{ kind: 'wrong' }]
  state.waiting.delete(event.station)
  return [{ kind: 'gone' }]
}
