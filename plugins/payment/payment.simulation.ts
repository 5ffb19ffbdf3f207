/**
 * A till, a gateway whose disk, process and line fail, and a provider with a will of its own, all in simulated time. What happens
 * is drawn by identity (`hash(seed, class, entity, n)`), so that a failing run shrinks: muting one fault leaves the others as they are.
 */
import type { MonoMs } from '../../daemon/contract/plugin.ts'
import { initialPayment, notChargeable, paymentMachine } from './payment.machine.ts'
import { isAtRest, isSettled, type Payment, statusOf, type Telling } from './payment.ts'
import { type Call, nextDue, type PaymentEvent, type PaymentState } from './payment-state.ts'
import type { RefundAnswer, Timing } from './providers/api.ts'

export interface Options {
  seed: number
  show: 'code' | 'qr'
  /** Like WeChat's: closing an order QR gives no money back. */
  closes: boolean
  /** Per mille of what it names. */
  loseRequest: number
  slow: number
  loseAnswer: number
  refuse: number
  userPaying: number
  diskFails: number
  crashes: number
  undoFails: number
  undoRefused: number
  /** Charges that arrive long after anybody can expect them. */
  late: number
}

export interface Action {
  kind: 'scan' | 'cancel' | 'look' | 'refund' | 'crash' | 'wait'
  /** ms to let pass before it. */
  after: number
  amount: number
}

/** Planted bugs: the simulation must catch each. */
export type Bug =
  | 'charge-before-intent'
  | 'retry-with-new-number'
  | 'timeout-is-failure'
  | 'refusal-of-repeat-believed'
  | 'not-found-believed-at-once'
  | 'paid-after-undo'
  | 'no-late-look'
  | 'refund-with-new-number'
  | 'unknown-not-told'
  | 'new-code-while-unknown'
  | 'waiting-is-paid'
  | 'told-before-stored'
  | 'stored-before-told'
  | 'settled-with-the-word'

const AMOUNT = 1_000
const TIMEOUT_MS = 10_000
const EXPIRES_MS = 300_000
/** A request arrives this late at most, unless `late` says otherwise. */
const NETWORK_MS = 25_000
const HEALING_MS = 3 * 3_600_000
const STEPS_MOST = 3_000

interface Trade {
  amount: number
  state: 'waiting' | 'paid' | 'closed' | 'reversed'
  confirmAt: number
  qr: boolean
  captures: number
  refunds: Map<string, number>
}

interface Happening {
  at: number
  n: number
  life: number | undefined
  run: () => void
}

export interface Outcome {
  status: string
  paidTold: number
  reached: Set<string>
  trace: string[]
}

export class World {
  readonly #options: Options
  readonly #bug: Bug | undefined
  readonly #trades = new Map<string, Trade>()
  readonly #codes = new Map<string, number>()
  readonly #happenings: Happening[] = []
  /** Events in the journal, by the number of the telling. */
  readonly #events: { n: number; event: Telling['event'] }[] = []
  /** What redemption has heard. */
  readonly #settled = new Set<string>()
  readonly reached = new Set<string>()
  readonly trace: string[] = []
  #now = 0
  #n = 0
  #life = 0
  #code = 0
  #healing = false
  #durable: Payment
  #state: PaymentState
  readonly #timing: Timing

  constructor(options: Options, bug?: Bug) {
    this.#options = options
    this.#bug = bug
    this.#timing = {
      queryMs: 5_000,
      giveUpMs: 45_000,
      undoAfterMs: options.seed % 3 === 0 ? 15_000 : 0,
      settleMs: bug === 'not-found-believed-at-once' ? 0 : 30_000,
    }
    this.#durable = {
      id: 'p',
      order: 'o',
      till: 'till-1',
      amount: AMOUNT,
      currency: 'CNY',
      show: options.show,
      openedAt: stamp(0),
      expiresAt: stamp(EXPIRES_MS),
      attempts: [],
      refunds: [],
      tellings: [],
      told: 0,
    }
    this.#state = initialPayment(structuredClone(this.#durable))
  }

  run(actions: readonly Action[]): Outcome {
    this.#insist(() => ({ kind: 'opened', expiresInMs: EXPIRES_MS }))
    if (this.#options.show === 'qr') this.#insist(() => this.#chargeEvent('qr'))
    for (const action of actions) {
      this.#advance(this.#now + action.after)
      this.#act(action)
    }
    this.#healing = true
    this.#advance(this.#now + HEALING_MS, true)
    this.#judge()
    return {
      status: statusOf(this.#durable),
      paidTold: this.#told.filter((one) => one === 'paid').length,
      reached: this.reached,
      trace: this.trace,
    }
  }

  #act({ kind, amount }: Action) {
    switch (kind) {
      case 'scan': {
        if (this.#bug === 'new-code-while-unknown')
          for (const one of this.#state.payment.attempts) if (!isSettled(one)) one.phase = 'failed'
        if (notChargeable(this.#state.payment) !== undefined) return
        this.#code += 1
        return this.#feed(this.#chargeEvent('code'))
      }
      case 'cancel':
        return this.#feed({ kind: 'cancel' })
      case 'look':
        return this.#feed({ kind: 'look' })
      case 'refund':
        return this.#feed({ kind: 'refund', amount })
      case 'crash':
        return this.#crash()
      case 'wait':
        return
    }
  }

  #chargeEvent(show: 'code' | 'qr'): Loose {
    return { kind: 'charge', provider: 'model', channel: 'alipay', show, timing: this.#timing }
  }

  /** One step as the shell does it: save, then effects; where the save fails, nothing has happened. */
  #feed(event: Loose, again = 0) {
    const next = structuredClone(this.#state)
    this.#spoil(next, event)
    const effects = paymentMachine.step(next, { ...event, now: this.#now as MonoMs, at: stamp(this.#now) } as PaymentEvent)
    if (this.#bug === 'no-late-look') forgetWatches(next)
    this.trace.push(
      `${this.#now} ${event.kind}${event.kind === 'answered' ? ` ${event.number} ${event.to} ${event.answer.kind}` : ''} -> ${effects.map((one) => one.do).join(',')}`,
    )
    const calls = effects.filter((one) => one.do === 'call' || one.do === 'refund')
    if (this.#bug === 'charge-before-intent') for (const one of calls) this.#perform(one, next)
    const [save] = effects
    if (save?.do === 'save') {
      if (this.#bug === 'told-before-stored' && !this.#tellApart(save.tell, next.payment)) return
      if (this.#chance('disk', `${event.kind}`, this.#options.diskFails)) {
        this.reached.add('disk-failed')
        if (this.#chance('disk-crash', `${event.kind}`, 300)) return this.#crash()
        if (event.kind === 'answered' || event.kind === 'refund-answered' || event.kind === 'settled' || event.kind === 'due')
          this.#at(this.#now + 1_000, () => this.#feed(event, again + 1), true)
        return
      }
      // One transaction: the payment and the word of it.
      this.#durable = structuredClone(next.payment)
      if (this.#bug === 'settled-with-the-word') this.#durable.tellings = []
      if (this.#bug === 'stored-before-told' && !this.#tellApart(save.tell, next.payment)) return
      if (this.#bug !== 'told-before-stored' && this.#bug !== 'stored-before-told') this.#journal(save.tell, next.payment)
      if (this.#chance('crash-after-save', `${event.kind}`, this.#options.crashes)) {
        this.reached.add('crash-after-save')
        return this.#crash()
      }
    }
    this.#state = next
    for (const effect of effects) {
      if (effect.do === 'call' || effect.do === 'refund') {
        if (this.#bug !== 'charge-before-intent') this.#perform(effect, next)
      } else if (effect.do === 'settle') this.#settle(effect.n)
      else if (effect.do === 'alarm') this.reached.add('alarm')
    }
    this.#checkShown()
  }

  #insist(event: () => Loose) {
    for (let tries = 0; tries < 20; tries++) {
      const before = this.#durable
      this.#feed(event())
      if (this.#durable !== before) return
    }
  }

  /** Planted bugs that sit in the machine. */
  #spoil(state: PaymentState, event: Loose) {
    if (event.kind !== 'answered') return
    const attempt = state.payment.attempts.find((one) => one.number === event.number)
    const live = state.live[event.number]
    if (this.#bug === 'refusal-of-repeat-believed' && live && event.to === 'charge') live.sends = 1
    if (this.#bug === 'paid-after-undo' && attempt?.phase === 'undoing' && event.to === 'query' && event.answer.kind === 'paid') {
      attempt.phase = 'unknown'
      delete state.payment.cancelAsked
    }
  }

  #perform(effect: { do: string; call?: Call; number?: string; refund?: string }, state: PaymentState) {
    if (effect.do === 'refund') return this.#refund(effect.refund ?? '', state)
    const number = effect.number ?? ''
    const attempt = state.payment.attempts.find((one) => one.number === number)
    if (!attempt) throw new Error(`a call for ${number}, which is no attempt`)
    const call = effect.call ?? 'query'
    if (call === 'charge') this.#checkCharge(number)
    const sends = state.live[number]?.sends ?? 0
    const wire = call === 'charge' && sends > 1 && this.#bug === 'retry-with-new-number' ? `${number}x${sends}` : number
    if (sends > 1 && call === 'charge') this.reached.add('charge-repeated')
    this.#exchange(
      call,
      `${number}/${call}`,
      () => this.#provider(call, wire, attempt.show === 'qr'),
      (answer) => this.#feed({ kind: 'answered', number, to: call, answer } as Loose),
    )
  }

  #refund(refund: string, state: PaymentState) {
    const one = state.payment.refunds.find((each) => each.number === refund)
    const attempt = state.payment.attempts.find((each) => each.phase === 'paid')
    if (!one || !attempt) throw new Error(`refund ${refund} without a paid attempt`)
    if (!this.#durable.refunds.some((each) => each.number === refund)) throw new Error(`refund ${refund} sent before it was durable`)
    const wire = this.#bug === 'refund-with-new-number' ? `${refund}-${this.#n++}` : refund
    this.#exchange(
      'refund',
      refund,
      () => this.#provideRefund(attempt.number, wire, one.amount),
      (answer) => this.#feed({ kind: 'refund-answered', refund, answer: answer as RefundAnswer }),
    )
  }

  /** Intent first; one code a number; a new number only when the old ones are final and unpaid. */
  #checkCharge(number: string) {
    const intent = this.#durable.attempts.find((one) => one.number === number)
    if (!intent) throw new Error(`${number} is charged before its intent is durable`)
    const again = this.#codes.has(number)
    // The same charge again is no new one, even while late money of an older number is on its way back.
    for (const one of again && this.#options.late > 0 ? [] : this.#durable.attempts)
      if (one !== intent && (one.phase === 'paid' || !isSettled(one)))
        throw new Error(`${number} is charged while ${one.number} is ${one.phase}`)
    const code = this.#codes.get(number)
    if (code !== undefined && code !== this.#code) throw new Error(`${number} is used for two codes`)
    this.#codes.set(number, this.#code)
    if (this.#options.late > 0) return
    for (const [other, trade] of this.#trades)
      if (!other.startsWith(number) && (trade.state === 'waiting' || (this.#see(trade).state === 'paid' && net(trade) > 0)))
        throw new Error(`${number} is charged while ${other} may take money`)
  }

  /** A request and its answer on a line that loses either. The client waits `TIMEOUT_MS`; the provider may be slower. */
  #exchange(kind: string, entity: string, act: () => unknown, heard: (answer: unknown) => void) {
    let settled = false
    const answer = (at: number, word: () => unknown) =>
      this.#at(
        at,
        () => {
          if (settled) return
          settled = true
          heard(word())
        },
        true,
      )
    const doubt = kind === 'undo' ? { kind: 'again', reason: 'timeout' } : { kind: 'unknown', reason: 'timeout' }
    const untaken = this.#bug === 'timeout-is-failure' && kind === 'charge' ? { kind: 'failed', reason: 'timeout', sure: true } : doubt
    if (kind === 'charge' && this.#chance('unsent', entity, this.#options.loseRequest / 2)) {
      this.reached.add('unsent')
      return answer(this.#now + 5, () => ({ kind: 'unsent', reason: 'unreachable' }))
    }
    answer(this.#now + TIMEOUT_MS, () => untaken)
    if (this.#chance('lose-request', entity, this.#options.loseRequest)) return void this.reached.add('request-lost')
    const slow = this.#chance('slow', entity, this.#options.slow)
    let arrives = this.#now + 20 + (slow ? this.#draw('delay', entity) % NETWORK_MS : this.#draw('delay', entity) % 300)
    if (kind === 'charge' && this.#chance('late', entity, this.#options.late)) {
      arrives = this.#now + 40_000 + (this.#draw('late-by', entity) % 20_000)
      this.reached.add('late-charge')
    }
    this.#at(arrives, () => {
      const word = act()
      if (this.#chance('lose-answer', entity, this.#options.loseAnswer)) return void this.reached.add('answer-lost')
      answer(this.#now + 10 + (this.#draw('back', entity) % 100), () => word)
    })
  }

  #provider(call: Call, number: string, qr: boolean): unknown {
    if (call === 'charge') return this.#provideCharge(number, qr)
    const trade = this.#trades.get(number)
    if (call === 'pay-back') return this.#provideRefund(number, `${number}U`, AMOUNT)
    if (call === 'query') return this.#provideQuery(number, trade)
    if (this.#chance('undo-fails', number, this.#options.undoFails)) return { kind: 'again', reason: 'busy' }
    if (!trade) return { kind: 'not-found' }
    const state = this.#see(trade).state
    if (qr && this.#options.closes) {
      if (state === 'paid') return { kind: 'paid', transaction: number }
      if (state === 'waiting') trade.state = 'closed'
      return { kind: 'undone' }
    }
    if (state === 'paid' && this.#chance('undo-refused', 'all', this.#options.undoRefused)) {
      this.reached.add('undo-refused')
      return { kind: 'refused', reason: 'too late' }
    }
    if (state === 'paid') trade.state = 'reversed'
    if (state === 'waiting') trade.state = 'closed'
    return { kind: 'undone' }
  }

  #provideCharge(number: string, qr: boolean): unknown {
    const known = this.#trades.get(number)
    if (known) {
      const { state } = this.#see(known)
      // Some look at the code before the number: used, they say, and it was: under this number.
      if (state === 'paid' && this.#options.seed % 2 === 0) return { kind: 'failed', reason: 'code used', sure: true }
      if (state === 'paid') return { kind: 'unknown', reason: 'has success' }
      if (state === 'waiting') return { kind: 'waiting', ...(qr ? { qr: number } : {}) }
      return { kind: 'failed', reason: 'closed', sure: true }
    }
    // A code that was used under another number, or a repeat of a used code that the provider looks at first.
    if (!qr && this.#chance('refuse', number, this.#options.refuse))
      return { kind: 'failed', reason: 'no funds', sure: this.#draw('sure', number) % 2 === 0 }
    const asks = qr || this.#chance('paying', number, this.#options.userPaying)
    const scanned = this.#draw('confirm', number) % (qr ? EXPIRES_MS + 20_000 : 90_000)
    // An order QR ends at the time it was made with, whenever it arrived; clocks differ by some seconds.
    const over = qr && this.#now + scanned > EXPIRES_MS + 20_000
    const confirmAt = over || this.#draw('never', number) % 3 === 0 ? Number.POSITIVE_INFINITY : this.#now + scanned
    const trade: Trade = { amount: AMOUNT, state: 'waiting', confirmAt: asks ? confirmAt : this.#now, qr, captures: 0, refunds: new Map() }
    this.#trades.set(number, trade)
    if (!asks) this.#see(trade)
    if (asks) return { kind: 'waiting', ...(qr ? { qr: number } : {}) }
    return { kind: 'paid', transaction: number }
  }

  #provideQuery(number: string, trade: Trade | undefined): unknown {
    if (!trade) return { kind: 'not-found' }
    const { state } = this.#see(trade)
    if (state === 'waiting') {
      if (this.#bug === 'waiting-is-paid') return { kind: 'paid', transaction: number }
      return trade.qr && !this.#options.closes ? { kind: 'not-found' } : { kind: 'waiting' }
    }
    if (state === 'paid') return net(trade) > 0 ? { kind: 'paid', transaction: number } : { kind: 'failed', reason: 'refunded' }
    return { kind: 'failed', reason: state }
  }

  #provideRefund(number: string, refund: string, amount: number): RefundAnswer {
    const trade = this.#trades.get(number)
    if (!trade || this.#see(trade).state !== 'paid') return { kind: 'refused', reason: 'not paid' }
    if (trade.refunds.get(refund) === amount) return { kind: 'refunded' }
    if (amount > net(trade)) return { kind: 'refused', reason: 'too much' }
    if (this.#chance('refund-unknown', refund, this.#options.undoFails)) return { kind: 'unknown', reason: 'processing' }
    trade.refunds.set(refund, amount)
    return { kind: 'refunded' }
  }

  /** As it is now: the shopper may have confirmed. */
  #see(trade: Trade): Trade {
    if (trade.state === 'waiting' && this.#now >= trade.confirmAt) {
      trade.state = 'paid'
      trade.captures += 1
    }
    return trade
  }

  #journal(tell: readonly Telling[], payment: Payment) {
    for (const { n, event } of tell) {
      if (event === 'unknown' && this.#bug === 'unknown-not-told') continue
      if (event === 'paid') {
        const number = payment.attempts.find((one) => one.phase === 'paid')?.number ?? ''
        const trade = [...this.#trades].find(([key]) => key === number || key.startsWith(`${number}x`))?.[1]
        if (!trade || trade.captures === 0) throw new Error('told paid without the provider having taken money')
      }
      this.#events.push({ n, event })
      this.reached.add(`told-${event}`)
    }
  }

  /** Planted: a transaction of their own for the events, and a crash may come between the two. False: it came. */
  #tellApart(tell: readonly Telling[], payment: Payment): boolean {
    const before = this.#bug === 'told-before-stored'
    if (before) this.#journal(tell, payment)
    if (this.#chance('crash-between', `${tell[0]?.event}`, this.#options.crashes)) {
      this.#crash()
      return false
    }
    if (!before) this.#journal(tell, payment)
    return true
  }

  /** Redemption hears; whether the record says so is another matter. */
  #settle(n: number) {
    const telling = this.#state.payment.tellings.find((one) => one.n === n)
    if (!telling) return
    if (this.#chance('crash-before-settled', telling.event, this.#options.crashes)) {
      this.reached.add('crash-before-settled')
      return this.#crash()
    }
    this.#settled.add(telling.settle ?? telling.event)
    if (!this.#chance('crash-after-settled', telling.event, this.#options.crashes)) return this.#feed({ kind: 'settled', n })
    this.reached.add('crash-after-settled')
    this.#crash()
  }

  /** UNKNOWN is shown: whoever is in doubt has been told, or will be. */
  #checkShown() {
    if (statusOf(this.#durable) !== 'unknown') return
    this.reached.add('unknown')
    if (!this.#told.includes('unknown')) throw new Error('in doubt, and nobody was told')
  }

  #crash() {
    this.reached.add('crash')
    this.trace.push(`${this.#now} crash`)
    this.#life += 1
    this.#state = initialPayment(structuredClone(this.#durable))
    this.#insistBoot()
  }

  #insistBoot() {
    const timings = { model: this.#timing }
    this.#feed({ kind: 'boot', timings, expiresInMs: EXPIRES_MS - this.#now })
  }

  #at(at: number, run: () => void, ours = false) {
    this.#happenings.push({ at, n: this.#n++, life: ours ? this.#life : undefined, run })
  }

  /** Lets time pass: whatever is due happens in order. With `rest`, ends early when nothing is left to happen. */
  #advance(to: number, rest = false) {
    for (let steps = 0; ; steps++) {
      if (steps > STEPS_MOST) throw new Error(`no end in sight:\n${this.trace.slice(-30).join('\n')}`)
      const due = nextDue(this.#state)
      let first: Happening | undefined
      for (const one of this.#happenings) if (!first || one.at < first.at || (one.at === first.at && one.n < first.n)) first = one
      const at = Math.min(due, first?.at ?? Number.POSITIVE_INFINITY)
      if (at > to || (rest && at === Number.POSITIVE_INFINITY)) break
      this.#now = Math.max(this.#now, at)
      if (first && first.at <= due) {
        this.#happenings.splice(this.#happenings.indexOf(first), 1)
        if (first.life === undefined || first.life === this.#life) first.run()
      } else this.#feed({ kind: 'due' })
    }
    if (!rest) this.#now = Math.max(this.#now, to)
  }

  #judge() {
    const payment = this.#durable
    if (!isAtRest(payment)) throw new Error(`healed, and not at rest: ${JSON.stringify(payment)}`)
    let money = 0
    for (const trade of this.#trades.values()) money += this.#see(trade).state === 'paid' ? net(trade) : 0
    const refunded = payment.refunds.reduce((sum, one) => sum + (one.phase === 'done' ? one.amount : 0), 0)
    const due = payment.end === 'paid' ? AMOUNT - refunded : 0
    if (money !== due) throw new Error(`${payment.end}: the provider holds ${money}, it should be ${due}`)
    if (refunded > AMOUNT) throw new Error(`refunded ${refunded}`)
    const numbers = this.#events.map((one) => one.n)
    if (new Set(numbers).size < numbers.length) throw new Error(`told twice: ${this.#told.join(', ')}`)
    if (numbers.some((n, at) => n !== at + 1))
      throw new Error(`a word is missing, or out of order: ${numbers.join(', ')} of ${payment.told}`)
    if (numbers.length < payment.told) throw new Error(`${payment.told} words, told: ${this.#told.join(', ')}`)
    for (const word of ['opened', payment.end ?? 'opened', ...(refunded === AMOUNT ? ['refunded'] : [])])
      if (!this.#settled.has(word)) throw new Error(`redemption never heard of ${word}`)
    const ends = new Set(this.#told.filter((one) => ['paid', 'cancelled'].includes(one)))
    if (ends.size > 1) throw new Error(`told both ${[...ends].join(' and ')}`)
    if (payment.end === 'paid' && !this.#told.includes('paid')) throw new Error('paid, and nobody was told')
    if (payment.end !== 'paid' && this.#told.includes('paid')) throw new Error(`told paid, and it ended ${payment.end}`)
    this.reached.add(`end-${statusOf(payment)}`)
  }

  get #told(): string[] {
    return this.#events.map((one) => one.event)
  }

  #draw(kind: string, entity: string): number {
    const key = `${kind}/${entity}`
    const count = this.#draws.get(key) ?? 0
    this.#draws.set(key, count + 1)
    return hash(this.#options.seed, `${key}/${count}`)
  }
  readonly #draws = new Map<string, number>()

  #chance(kind: string, entity: string, perMille: number): boolean {
    return !this.#healing && this.#draw(kind, entity) % 1_000 < perMille
  }
}

function forgetWatches({ payment, live }: PaymentState): void {
  for (const attempt of payment.attempts) {
    if (attempt.watch !== 'due' || !isSettled(attempt)) continue
    attempt.watch = 'clear'
    const running = live[attempt.number]
    if (running) running.dueAt = Number.POSITIVE_INFINITY
  }
}

type Loose = PaymentEvent extends infer One ? (One extends PaymentEvent ? Omit<One, 'now' | 'at'> : never) : never

const net = (trade: Trade): number => trade.amount - [...trade.refunds.values()].reduce((sum, one) => sum + one, 0)
const stamp = (now: number): string => new Date(Date.UTC(2026, 10, 22) + now).toISOString()

/** FNV-1a with a final mix: 32 bits. */
function hash(seed: number, text: string): number {
  let value = 0x811c9dc5 ^ seed
  for (let index = 0; index < text.length; index++) value = Math.imul(value ^ text.charCodeAt(index), 0x01000193)
  value = Math.imul(value ^ (value >>> 16), 0x45d9f3b)
  value = Math.imul(value ^ (value >>> 13), 0x45d9f3b)
  return (value ^ (value >>> 16)) >>> 0
}
