/**
 * Days of shop traffic with known truth, as events that plugins would tell: who came, under which pseudonyms, and whose phone paid.
 * Seeded: the same seed gives the same days. What makes linking hard is in it: rotated addresses, phones that two people share,
 * people without a login or consent, cards that are lent, flapping radios, receipts that somebody else picks up, refunds.
 */
import type { JsonObject } from '../../contract/json.ts'
import type { Draft } from '../../journal/api.ts'

export interface TrafficOptions {
  seed: number
  days: number
  visitsADay: number
  paymentsADay: number
  /** Unix ms of the first midnight. */
  start: number
}

export interface Traffic {
  /** In order of time. */
  events: (Draft & { at: number })[]
  /** Payment -> the person whose phone or card paid, as the pseudonym by which a right link names them; undefined: a stranger. */
  truth: Map<string, Truth>
  people: number
  visits: number
}

/** What the shop's owner would have seen, standing beside the till. Nothing of it is read from the rules. */
export interface Truth {
  refunded: boolean
  /** Whose hand and whose wallet; undefined: a passer-by without WiFi. */
  holder: string | undefined
  /** The phone in that hand: its session, and the name that it goes by. */
  session: string | undefined
  phone: string | undefined
  ownPhone: boolean
  /** Whose member card was shown. */
  card?: string
  /** The phone on which the receipt's link was opened first. */
  claimer?: { session: string | undefined; visitor: string; here: boolean }
  /** The payer's phone was on the WiFi, logged in and agreed. */
  inside: boolean
  /** The methods whose evidence there was, from people who had agreed. */
  provable: Set<string>
}

/** mulberry32: small, good enough, the same everywhere. */
export function random(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

interface Person {
  name: string
  /** The portal's login is the wallet's id: the same app. */
  sameApp: boolean
  member: boolean
  consents: boolean
  logsIn: boolean
  /** Whose phone this person holds. */
  phoneOf: string
}

interface Stay {
  person: Person
  from: number
  /** The WiFi is turned off, or the session ends, while its owner is still here. */
  off: number
  to: number
  session: string | undefined
  visitor: string
  consented: boolean
}

const MINUTE = 60_000

export function traffic({ seed, days, visitsADay, paymentsADay, start }: TrafficOptions): Traffic {
  const next = random(seed)
  const chance = (share: number): boolean => next() < share
  const between = (low: number, high: number): number => low + next() * (high - low)
  const pick = <One>(list: readonly One[]): One | undefined => list[Math.floor(next() * list.length)]

  const people: Person[] = Array.from({ length: Math.ceil(visitsADay * 2.5) }, (_, index) => ({
    name: `person-${index}`,
    sameApp: chance(0.3),
    member: chance(0.35),
    consents: chance(0.85),
    logsIn: chance(0.6),
    phoneOf: `person-${index}`,
  }))
  // A phone for two: what it logged in as is its owner, whoever holds it.
  for (const person of people) if (chance(0.05)) person.phoneOf = pick(people)?.name ?? person.name
  const byName = new Map(people.map((one) => [one.name, one]))

  const events: (Draft & { at: number })[] = []
  const truth = new Map<string, Truth>()
  let visits = 0
  let made = 0
  const tell = (at: number, plugin: string, event: string, data: JsonObject): void => {
    events.push({ at, plugin, device: '-', event, data, time: new Date(at).toISOString() })
  }

  for (let day = 0; day < days; day++) {
    const open = start + day * 86_400_000 + 9 * 3_600_000
    const stays: Stay[] = []
    for (let index = 0; index < visitsADay; index++) {
      const person = pick(people)
      if (!person) continue
      const from = open + Math.floor(between(0, 12 * 60)) * MINUTE + Math.floor(between(0, MINUTE))
      const to = from + Math.floor(between(3, 55) * MINUTE)
      if (stays.some((one) => one.person.phoneOf === person.phoneOf && one.from < to + 15 * MINUTE && from < one.to + 15 * MINUTE)) continue
      stays.push(stay(person, from, to))
      visits += 1
    }
    for (let index = 0; index < paymentsADay; index++) pay(stays, open)
  }
  events.sort((a, b) => a.at - b.at)
  return { events, truth, people: people.length, visits }

  function stay(person: Person, from: number, to: number): Stay {
    const owner = byName.get(person.phoneOf) ?? person
    // The address is another one each time: it tells nothing of the person.
    const station = `station-${seed}-${made++}`
    const session = `session-${made++}`
    const visitor = owner.logsIn ? owner.name : station
    tell(from, 'portal', 'present', { visitor: station, by: 'wifi', session })
    const consented = owner.consents
    // One in ten turns the WiFi off and stays.
    const off = chance(0.1) ? Math.floor(from + between(0.3, 0.7) * (to - from)) : to
    const tapped = from + Math.floor(between(5_000, 60_000))
    tell(tapped, 'portal', 'session-started', {
      session,
      visitor,
      station,
      method: owner.logsIn ? 'sms' : 'tap',
      returning: false,
      ...(consented ? { consent: { version: 'v1', hash: 'h', marketing: true } } : {}),
      ...(owner.logsIn && owner.member ? { member: owner.name } : {}),
    })
    if (owner.logsIn)
      tell(tapped + 1, 'portal', 'present', { visitor, by: 'portal', was: station, session, role: owner.member ? 'member' : 'guest' })
    if (person.member && chance(0.3)) {
      tell(from + 2_000, 'beacon', 'present', { visitor: person.name, by: 'beacon', role: 'member' })
      tell(to - 1_000, 'beacon', 'absent', { visitor: person.name, lastSeen: new Date(to - 31_000).toISOString() })
    }
    // Phones sleep: gone and back within the grace.
    for (let at = from + 6 * MINUTE; at < off - 6 * MINUTE; at += Math.floor(between(5, 20) * MINUTE)) {
      if (!chance(0.3)) continue
      tell(at, 'portal', 'absent', { visitor, lastSeen: new Date(at - 20_000).toISOString() })
      tell(at + Math.floor(between(20_000, 4 * MINUTE)), 'portal', 'present', { visitor, by: 'wifi', session })
    }
    tell(off, 'portal', 'absent', { visitor, lastSeen: new Date(off - 15_000).toISOString() })
    tell(off + 5_000, 'portal', 'session-ended', {
      session,
      visitor,
      station,
      reason: 'left',
      bytesUp: 1,
      bytesDown: 2,
      seconds: Math.floor((off - from) / 1_000),
    })
    return { person, from, off, to, session, visitor, consented }
  }

  function pay(stays: readonly Stay[], open: number): void {
    const payment = `payment-${seed}-${made++}`
    const order = `order-${made++}`
    const till = `till-${1 + Math.floor(next() * 3)}`
    const amount = 100 + Math.floor(next() * 20_000)
    const base = { payment, order, till, amount, currency: 'CNY', channel: chance(0.5) ? 'alipay' : 'wechat' }
    // Four in ten pay without ever having been on the WiFi.
    const stay = chance(0.6) ? pick(stays) : undefined
    const at = stay ? Math.floor(between(stay.from + 90_000, stay.to)) : open + Math.floor(between(0, 12 * 60) * MINUTE)
    const reached = stay?.consented === true
    const known: Truth = {
      refunded: chance(0.03),
      holder: stay?.person.name,
      session: stay?.session,
      phone: stay?.visitor,
      ownPhone: stay?.person.phoneOf === stay?.person.name,
      inside: reached && at <= stay.off && !stay.visitor.startsWith('station-'),
      provable: new Set(),
    }
    truth.set(payment, known)
    const more: JsonObject = {}
    if (stay) {
      const { person } = stay
      const sameApp = person.sameApp && known.ownPhone
      more.payer = sameApp ? person.name : `wallet-of-${person.name}`
      if (sameApp && reached && person.logsIn) known.provable.add('payer_identity')
      if (chance(0.15) && at <= stay.off) {
        more.session = stay.session ?? ''
        if (reached) known.provable.add('portal_order')
      }
      // One card in twenty is a friend's.
      const lent = chance(0.05) ? pick(people.filter((one) => one.member)) : undefined
      const card = lent ?? (person.member ? person : undefined)
      if (card && chance(0.5)) {
        known.card = card.name
        more.member = card.name
        if (card.consents || !card.logsIn) known.provable.add('member_code')
        tell(at - 3_000, 'payment', 'present', { visitor: card.name, by: 'member', stays: false })
      }
    } else if (chance(0.8)) more.payer = `wallet-${made++}`
    tell(at - 2_000, 'payment', 'opened', { ...base, ...more })
    tell(at, 'payment', 'paid', { ...base, ...more, firstPayment: chance(0.2) })
    if (chance(0.4)) {
      const claim = `claim-${payment}`
      tell(at + 1_500, 'receipt', 'captured', {
        receipt: `receipt-${payment}`,
        till,
        lines: [],
        total: amount,
        payment,
        parsed: true,
        claim,
      })
      if (stay && chance(0.4)) {
        // One paper in twenty is left at the till, and the next one takes it.
        const found = chance(0.05) ? stays.find((one) => one !== stay && one.from < at - 90_000 && one.to > at + 10 * MINUTE) : undefined
        const by = found ?? stay
        const soon = found !== undefined || chance(0.7)
        const opened = at + Math.floor(between(10_000, soon ? 4 * MINUTE : 20 * 3_600_000))
        const here = soon && opened <= by.off
        known.claimer = { session: by.session, visitor: by.visitor, here }
        tell(opened, 'portal', 'claimed', {
          claim,
          visitor: by.visitor,
          network: here ? 'guest' : 'other',
          ...(here ? { session: by.session ?? '' } : {}),
        })
        if (by.consented) known.provable.add('claim_code')
      }
    }
    if (known.refunded) {
      const back = at + Math.floor(between(1, 60) * MINUTE)
      if (chance(0.5)) tell(back, 'payment', 'refunded', { ...base, refund: `${payment}R01`, refundAmount: amount, refundedTotal: amount })
      else tell(back, 'payment', 'reversed', base)
    }
  }
}
