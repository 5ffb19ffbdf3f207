/**
 * Shops, their payments, a network that loses, delays and repeats, an HQ: all simulated, around the real machine. A gateway dies
 * between any two effects and starts again from what was durable.
 */

import type { ErrorCode } from '../../../../daemon/contract/errors.ts'
import { Failure } from '../../../../daemon/contract/errors.ts'
import type { Json, JsonObject } from '../../../../daemon/contract/json.ts'
import type { MonoMs, WallMs } from '../../../../daemon/contract/plugin.ts'
import { fc } from '../../../../daemon/testing/property.ts'
import type { OpenPayment, PaymentOutcome } from '../api.ts'
import { boot, mayComplete, nextDue, redeemMachine } from '../redeem.machine.ts'
import type { Question, RedeemEffect, RedeemEvent, RedeemState, Settings } from '../redeem-state.ts'
import { type CodeKind, occupies, type Redemption } from '../redemption.ts'
import { Hq } from './hq.ts'

/** Bugs that the checks must catch, so that we know they can. */
export type Planted =
  | 'tell-before-durable'
  | 'hq-forgets-releases'
  | 'new-id-each-attempt'
  | 'commit-without-payment'
  | 'spent-list-in-memory'

export const CODES: { kind: CodeKind; code: string; listed: boolean }[] = [
  { kind: 'coupon', code: 'A', listed: true },
  { kind: 'coupon', code: 'B', listed: false },
  { kind: 'pickup', code: 'C', listed: true },
]
const TILLS = ['till-1', 'till-2']
const SETTINGS: Settings = {
  store: '0001',
  holdMs: 120_000,
  reserveMs: 6_000,
  withoutPayment: ['pickup'],
  offline: { valuePerCode: 1_000, valuePerDay: 1_000_000 },
}
const LIMITS = { wrong: 1_000, windowMs: 60_000, lockMs: 60_000 }
const ASK_MS = 3_000

interface Letter {
  gateway: number
  /** Answers to a process that is gone reach nobody. */
  life: number
  id: string
  question: Question
  args: JsonObject
  sentAt: number
  answered: boolean
  deliveries: number
}

interface Gateway {
  state: RedeemState
  life: number
  disk: Map<string, Redemption>
  /** What must be called again after a crash, until it has been done. */
  owed: (() => RedeemEvent)[]
  open: Map<string, OpenPayment>
  /** The payment before, which a scan may still take for the open one. */
  last: Map<string, OpenPayment>
  told: { id: string; event: string; payment: string | undefined }[]
  /** Effects until it dies. */
  fuse: number
}

class Died extends Error {}

/** An action of the simulation: `[what, gateway, till or letter, which]`. */
export type Action = readonly [number, number, number, number]

export class World {
  now = 1_000_000
  readonly hq = new Hq()
  readonly gateways: Gateway[] = []
  readonly outcomes = new Map<string, PaymentOutcome>()
  readonly completed = new Set<string>()
  readonly letters: Letter[] = []
  readonly seen = new Set<string>()
  away = false
  readonly #planted: Planted | undefined
  #names = 0
  /** The network brings everything at once. */
  #healed = false

  constructor(planted?: Planted) {
    this.#planted = planted
    this.hq.tombstones = planted !== 'hq-forgets-releases'
    for (const { kind, code } of CODES) this.hq.add(kind, code, 100)
    for (let index = 0; index < 2; index++) {
      const { state } = boot(SETTINGS, LIMITS, [], this.now as MonoMs, this.now as WallMs)
      this.gateways.push({ state, life: 0, disk: new Map(), owed: [], open: new Map(), last: new Map(), told: [], fuse: Infinity })
    }
  }

  scan(gateway: number, till: number, code: number): void {
    const crossing = code > 24
    const { kind, code: text } = CODES[code % CODES.length] ?? CODES[0] ?? { kind: 'coupon', code: 'A' }
    const at = this.now
    const name = ++this.#names
    const shop = this.#shop(gateway)
    const where = TILLS[till % TILLS.length] ?? 'till-1'
    this.#owe(shop, () => {
      return {
        type: 'scanned',
        id: `r${name}`,
        till: where,
        kind,
        code: text,
        at,
        open: shop.open.get(where) ?? (crossing ? shop.last.get(where) : undefined),
        ...this.#clocks(),
      }
    })
  }

  opens(gateway: number, till: number): void {
    const shop = this.#shop(gateway)
    const where = TILLS[till % TILLS.length] ?? 'till-1'
    if (shop.open.has(where)) return
    const payment = { payment: `p${++this.#names}`, order: 'o', till: where, amount: 1_000, currency: 'CNY' }
    shop.open.set(where, payment)
    this.#feed(shop, () => ({ type: 'opened', payment, ...this.#clocks() }))
  }

  settles(gateway: number, till: number, outcome: PaymentOutcome): void {
    const shop = this.#shop(gateway)
    const where = TILLS[till % TILLS.length] ?? 'till-1'
    const open = shop.open.get(where)
    if (!open || outcome === 'refunded') return
    shop.open.delete(where)
    shop.last.set(where, open)
    this.#outcome(shop, open.payment, outcome)
  }

  refunds(gateway: number): void {
    const shop = this.#shop(gateway)
    const paid = shop.told.findLast((one) => one.event === 'redeemed' && one.payment && this.outcomes.get(one.payment) === 'paid')
    if (paid?.payment) this.#outcome(shop, paid.payment, 'refunded')
  }

  /** The till takes back, or completes, the latest it has. */
  till(gateway: number, how: 'released' | 'completed'): void {
    const shop = this.#shop(gateway)
    const live = [...shop.state.redemptions.values()].findLast(({ record }) => record.phase === 'reserved')
    if (!live) return
    if (how === 'completed' && mayComplete(shop.state, live.record)) this.completed.add(live.record.id)
    this.#feed(shop, () => ({ type: how, id: live.record.id, ...this.#clocks() }))
  }

  /** Dies after so many more effects. */
  crash(gateway: number, effects: number): void {
    const shop = this.#shop(gateway)
    if (effects === 0) this.#die(shop)
    else shop.fuse = effects
  }

  /** The network brings the pick-th letter to HQ, perhaps not for the first time, and perhaps brings the answer back. */
  deliver(pick: number, how: 'well' | 'answer-lost' | 'lost'): void {
    const open = this.letters.filter((one) => !one.answered || one.deliveries < 2)
    const letter = open[pick % Math.max(1, open.length)]
    if (letter) this.#bring(letter, how)
  }

  #bring(letter: Letter, how: 'well' | 'answer-lost' | 'lost'): void {
    letter.deliveries += 1
    if (how === 'lost') return
    const answer = this.#hqSays(letter)
    if (how === 'answer-lost' || letter.answered) return
    letter.answered = true
    this.#reply(letter, answer)
  }

  /** Time passes, with everything that falls due on the way. */
  advance(ms: number): void {
    const end = this.now + ms
    for (let round = 0; round < 10_000; round++) {
      const due = Math.min(...this.gateways.map((one) => nextDue(one.state) ?? Infinity), ...this.#timeouts())
      if (due > end) break
      this.now = Math.max(this.now, due)
      this.#expireLetters()
      for (const shop of this.gateways)
        this.#feed(shop, () => ({ type: 'tick', payments: [...shop.open.values()], listIssuedAt: undefined, ...this.#clocks() }))
      this.settleDown()
    }
    this.now = end
  }

  /** All faults end: everything must come right. */
  heal(): void {
    this.away = false
    this.#healed = true
    for (const shop of this.gateways) shop.fuse = Infinity
    this.gateways.forEach((_shop, index) => {
      for (let till = 0; till < TILLS.length; till++) this.settles(index, till, 'cancelled')
    })
    for (let round = 0; round < 20; round++) {
      this.settleDown()
      for (const letter of this.letters) if (!letter.answered) this.#bring(letter, 'well')
      this.settleDown()
      this.advance(60_000)
    }
  }

  #outcome(shop: Gateway, payment: string, outcome: PaymentOutcome): void {
    this.outcomes.set(payment, outcome)
    this.#owe(shop, () => ({ type: 'settled', payment, outcome, ...this.#clocks() }))
  }

  #shop(gateway: number): Gateway {
    const shop = this.gateways[gateway % this.gateways.length]
    if (!shop) throw new Error('no gateways')
    return shop
  }

  #clocks(): { now: MonoMs; wall: WallMs } {
    return { now: this.now as MonoMs, wall: this.now as WallMs }
  }

  #start(shop: Gateway): void {
    const { now, wall } = this.#clocks()
    const { state, effects } = boot(SETTINGS, LIMITS, structuredClone([...shop.disk.values()]), now, wall)
    shop.state = state
    shop.fuse = Infinity
    this.#perform(shop, effects)
  }

  #die(shop: Gateway): void {
    this.seen.add('died')
    shop.life += 1
    shop.last.clear()
    if (this.#planted === 'spent-list-in-memory') for (const [id, one] of shop.disk) if (one.phase === 'committed') shop.disk.delete(id)
    this.#start(shop)
    for (const owed of [...shop.owed]) this.#pay(shop, owed)
  }

  #owe(shop: Gateway, make: () => RedeemEvent): void {
    shop.owed.push(make)
    this.#pay(shop, make)
  }

  #pay(shop: Gateway, make: () => RedeemEvent): void {
    if (this.#feed(shop, make)) shop.owed = shop.owed.filter((one) => one !== make)
  }

  /** False when it died of it. */
  #feed(shop: Gateway, make: () => RedeemEvent): boolean {
    try {
      let event = make()
      if (this.#planted === 'commit-without-payment' && event.type === 'settled' && event.outcome === 'cancelled')
        event = { ...event, outcome: 'paid' }
      this.#perform(shop, redeemMachine.step(shop.state, event))
      return true
    } catch (error) {
      if (!(error instanceof Died)) throw error
      this.#die(shop)
      return false
    }
  }

  #perform(shop: Gateway, effects: readonly RedeemEffect[]): void {
    const first = this.#planted === 'tell-before-durable' ? 'tell' : 'keep'
    const inOrder =
      first === 'keep' ? effects : [...effects.filter((one) => one.do === 'tell'), ...effects.filter((one) => one.do !== 'tell')]
    for (const effect of inOrder) {
      if (shop.fuse-- <= 0) throw new Died()
      if (effect.do === 'keep') shop.disk.set(effect.redemption.id, structuredClone(effect.redemption))
      else if (effect.do === 'forget') shop.disk.delete(effect.id)
      else if (effect.do === 'shelve') shop.disk.delete(effect.redemption.id)
      else if (effect.do === 'ask') this.#send(shop, effect)
      else if (effect.do === 'look-up') this.#lookUp(shop, effect.id, effect.code)
      else this.#tell(shop, effect.id)
    }
  }

  #send(shop: Gateway, { id, question, args: asked }: { id: string; question: Question; args: JsonObject }): void {
    const args = this.#planted === 'new-id-each-attempt' ? { ...asked, redemption: `${id}-${this.letters.length}` } : asked
    const letter: Letter = {
      gateway: this.gateways.indexOf(shop),
      life: shop.life,
      id,
      question,
      args,
      sentAt: this.now,
      answered: false,
      deliveries: 0,
    }
    this.letters.push(letter)
    if (this.#healed) this.#bring(letter, 'well')
    if (!this.away) return
    letter.answered = true
    letter.deliveries = 2
    this.#fail(shop, letter, 'hq-unreachable')
  }

  #lookUp(shop: Gateway, id: string, code: string): void {
    const listed = CODES.some((one) => one.code === code && one.listed)
    this.seen.add(listed ? 'offline' : 'unlisted')
    const word = listed ? ({ is: 'listed', list: 1, worth: { value: 100 } } as const) : ({ is: 'unlisted' } as const)
    this.#then(shop, () => ({ type: 'looked-up', id, word, day: 'today', ...this.#clocks() }))
  }

  #tell(shop: Gateway, id: string): void {
    const { record } = shop.state.redemptions.get(id) ?? {}
    const news = record?.news[0]
    if (!record || !news) return
    shop.told.push({ id, event: news.event, payment: record.payment })
    this.seen.add(news.event)
    if (shop.disk.get(id)?.phase === undefined || (news.event === 'redemption-reserved' && shop.disk.get(id)?.phase === 'reserving'))
      throw new Error(`the till heard ${news.event} of ${id} before it was durable`)
    this.#then(shop, () => ({ type: 'told', id, ...this.#clocks() }))
  }

  /** What an effect brings comes after the effects of this step. */
  #then(shop: Gateway, make: () => RedeemEvent): void {
    this.#later.push({ shop, life: shop.life, make })
  }

  readonly #later: { shop: Gateway; life: number; make: () => RedeemEvent }[] = []

  /** Runs what came of the effects so far. */
  settleDown(): void {
    for (let next = this.#later.shift(); next; next = this.#later.shift()) {
      const { shop, life, make } = next
      if (shop.life === life) this.#feed(shop, make)
    }
  }

  #fail(shop: Gateway, { id, question }: Letter, code: ErrorCode): void {
    this.seen.add(code)
    this.#then(shop, () => ({ type: 'failed', id, question, code, message: code, random: 0.5, ...this.#clocks() }))
  }

  #hqSays(letter: Letter): Json | Failure {
    if (letter.question === 'commit') this.#checkCommit(letter)
    try {
      return this.hq.answer(letter.question, letter.args)
    } catch (error) {
      return error as Failure
    }
  }

  #checkCommit({ args }: Letter): void {
    const payment = args.payment
    if (payment === undefined) {
      if (!this.completed.has(String(args.redemption))) throw new Error(`${args.redemption} is committed without a payment`)
      return
    }
    const outcome = this.outcomes.get(String(payment))
    if (outcome !== 'paid' && outcome !== 'refunded') throw new Error(`${args.redemption} is committed for ${payment}, which is ${outcome}`)
  }

  #reply(letter: Letter, answer: Json | Failure): void {
    const shop = this.gateways[letter.gateway]
    if (!shop || shop.life !== letter.life) return
    const { id, question } = letter
    if (answer instanceof Failure) this.#fail(shop, letter, answer.code)
    else this.#then(shop, () => ({ type: 'answered', id, question, answer, ...this.#clocks() }))
  }

  #timeouts(): number[] {
    return this.letters.filter((one) => this.#waited(one)).map((one) => one.sentAt + ASK_MS)
  }

  #waited(letter: Letter): boolean {
    return !letter.answered && this.gateways[letter.gateway]?.life === letter.life
  }

  #expireLetters(): void {
    for (const letter of this.letters) {
      if (!this.#waited(letter) || letter.sentAt + ASK_MS > this.now) continue
      letter.answered = true
      const shop = this.gateways[letter.gateway]
      if (shop) this.#fail(shop, letter, 'hq-no-answer')
    }
  }

  act([what, gateway, pick, which]: Action): void {
    const outcomes: PaymentOutcome[] = ['paid', 'paid', 'paid', 'failed', 'cancelled', 'reversed']
    const ways = ['well', 'well', 'well', 'answer-lost', 'lost'] as const
    if (what < 20) this.scan(gateway, pick, which)
    else if (what < 30) this.opens(gateway, pick)
    else if (what < 42) this.settles(gateway, pick, outcomes[which % outcomes.length] ?? 'paid')
    else if (what < 45) this.refunds(gateway)
    else if (what < 49) this.till(gateway, which % 2 === 0 ? 'released' : 'completed')
    else if (what < 55) this.crash(gateway, which % 6)
    else if (what < 60) this.away = which % 2 === 0
    else if (what < 85) this.deliver(pick, ways[which % ways.length] ?? 'well')
    else this.advance([200, 1_000, 3_000, 30_000, 150_000][which % 5] ?? 200)
    this.settleDown()
    this.#oneUseEach()
  }

  /** In one shop a code is on one sale at most. */
  #oneUseEach(): void {
    for (const shop of this.gateways) {
      const used = new Set<string>()
      for (const { record } of shop.state.redemptions.values()) {
        if (!occupies(record)) continue
        if (used.has(record.code)) throw new Error(`code ${record.code} is used twice in one shop`)
        used.add(record.code)
      }
    }
  }

  /** What must hold when all faults are over. Throws the first breach. */
  check(): void {
    for (const { code } of CODES) this.#checkCode(code)
    for (const shop of this.gateways) for (const { record } of shop.state.redemptions.values()) this.#checkEnd(shop, record)
  }

  #checkEnd(shop: Gateway, record: Redemption): void {
    const { id, phase, payment, news, conflict } = record
    const told = shop.told.filter((one) => one.id === id).map((one) => one.event)
    const fail = (what: string): never => {
      throw new Error(`${id} (${phase}, payment ${payment}: ${this.outcomes.get(payment ?? '')}, told ${told}): ${what}`)
    }
    if (!['committed', 'released', 'refused', 'returned'].includes(phase)) fail('has no end')
    if (news.length > 0 || told.length === 0) fail('was not told')
    if (told.includes('redeemed') && told.indexOf('redeemed') < told.indexOf('redemption-reserved'))
      fail('was redeemed before the till heard yes')
    if (conflict && !told.includes('redemption-conflict')) fail('has a conflict that nobody was shown')
    const outcome = this.outcomes.get(payment ?? '')
    const granted = told.includes('redemption-reserved') && !told.includes('released')
    if (granted && (outcome === 'paid' || outcome === 'refunded') && !told.includes('redeemed'))
      fail('was granted on a paid sale and never redeemed')
    if (told.includes('redeemed') && !told.includes('released') && phase !== 'committed') fail('was redeemed and is not committed')
    if (told.includes('redeemed') && outcome !== 'paid' && outcome !== 'refunded' && !this.completed.has(id))
      fail('was redeemed without a paid payment')
  }

  #checkCode(code: string): void {
    const records = this.gateways.flatMap((shop) => [...shop.state.redemptions.values()].map((live) => live.record))
    const used = records.filter((one) => one.code === code && one.phase === 'committed' && !one.conflict)
    if (used.length > 1) throw new Error(`code ${code} was used ${used.length} times, and nobody was told`)
    const known = [...this.hq.codes].find(([key]) => key.endsWith(`:${code}`))?.[1]
    if (known?.by !== used[0]?.id) throw new Error(`code ${code}: HQ has ${known?.by}, the shops ${used[0]?.id}`)
  }
}

export const actions = fc.array(
  fc.tuple(fc.nat(99), fc.nat(1), fc.nat(1), fc.nat(30)).map((one): Action => one),
  { minLength: 10, maxLength: 80, size: 'max' },
)

/** One run: faults, then healing, then what must hold. */
export function live(steps: readonly Action[], planted?: Planted): World {
  const world = new World(planted)
  for (const step of steps) world.act(step)
  world.heal()
  world.check()
  return world
}
