/**
 * Makes `visit.*` and `payment.linked` of what plugins tell. What comes of an event, what is remembered because of it and how
 * far the ledger has read are one commit: a crash at any point neither loses nor repeats any of it. What is only remembered
 * waits for the next such commit, since it can be read again.
 */
import { iso } from '../clock.ts'
import type { ClockState, Sequence } from '../contract/event.ts'
import type { Json, JsonObject } from '../contract/json.ts'
import type { Clock, WallMs } from '../contract/plugin.ts'
import type { Cursor, Draft, Journal, Put, StoredEvent } from '../journal/api.ts'
import type { Log } from '../log.ts'
import { Backoff } from './backoff.ts'
import type { Calendar } from './calendar.ts'
import { compact, concerns, type Fact, PAYMENT, Timeline, VISIT } from './facts.ts'
import { type LinkingEffect, newLinking, type Payment } from './linking/state.ts'
import { type LinkingEvent, linking, nextCount, RULE } from './linking.machine.ts'
import { type Memory, readMemory, SPACE, VISITORS } from './memory.ts'
import {
  type Known,
  type Moment,
  newVisits,
  nextDeadline,
  storable,
  type VisitSettings,
  type VisitsEffect,
  type VisitsEvent,
  visits,
} from './visits.machine.ts'

const READ = { events: 1_000, bytes: 2_000_000 }
/** So much may be remembered in memory alone: it is read again after a crash. */
const DIRTY_MOST = 500
/** So many events at most wait for the end of a batch: the journal takes no commit of any size. */
const EVENTS_MOST = 1_000
/** Events that did not concern the ledger may be passed over again. */
const PASSED_MOST = 2_000
const CURSOR = 'ledger'

/** What the ledger's tables know of payments that are not remembered any more. Asked only when everything before is in them. */
export interface Older {
  payment(payment: string, upTo: Sequence): Promise<Payment | undefined>
  linkedTo(visitor: string, upTo: Sequence): Promise<Payment[]>
}

export interface DeciderParts {
  journal: Journal
  clock: Clock
  clockState: () => ClockState
  calendar: Calendar
  settings: VisitSettings
  older: Older
  /** Hears how far everything has been decided. */
  decided: (upTo: Sequence) => void
  log: Log
}

export class Decider {
  readonly #parts: DeciderParts
  readonly #backoff: Backoff
  readonly #cursor: Cursor
  readonly #visits
  readonly #linking = newLinking()
  #timeline: Timeline
  /** Read up to here, in memory. */
  #position: Sequence = 0
  #lastEvent = ''
  /** After a journal was salvaged: events up to this id were dealt with in the old one. */
  #skipThrough = ''
  /** What is read up to here was journaled before this start: its monotonic time is nobody's. */
  #liveFrom: Sequence = 0
  #live = false
  #idle = false
  #events: Draft[] = []
  readonly #dirty = new Map<string, Put>()
  #must = false
  #wake: () => void = () => undefined
  #cancelTimer: () => void = () => undefined
  #stopped = false
  #running: Promise<void> = Promise.resolve()
  #unfollow: () => void = () => undefined
  #factMono = 0

  constructor(parts: DeciderParts) {
    this.#parts = parts
    this.#cursor = parts.journal.cursor(CURSOR)
    this.#visits = newVisits(parts.settings)
    this.#timeline = new Timeline(0, parts.calendar)
    this.#backoff = new Backoff(parts.clock, parts.log)
  }

  /** Resolves once what was remembered is there; reading goes on by itself. */
  async start(): Promise<void> {
    const { journal } = this.#parts
    const memory: Memory = await readMemory(journal, this.#visits, this.#linking)
    this.#timeline.last = memory.timeline
    this.#lastEvent = memory.event
    if (memory.epoch === journal.epoch) this.#position = Math.max(memory.position, this.#cursor.position)
    else this.#skipThrough = memory.event
    this.#liveFrom = journal.head + 1
    this.#unfollow = journal.follow((events) => this.#followed(events))
    this.#parts.decided(this.#position)
    this.#running = this.#run()
  }

  configure(settings: VisitSettings): void {
    this.#visits.settings = settings
    // A shorter grace may be over already.
    this.#visits.due = this.#parts.clock.mono()
    this.#wake()
  }

  /** All that is journaled has been decided, and nothing is due. */
  get idle(): boolean {
    return this.#idle && this.#position >= this.#parts.journal.head
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#backoff.stop()
    this.#unfollow()
    this.#cancelTimer()
    this.#wake()
    await this.#running
    if (this.#dirty.size > 0 || this.#events.length > 0) await this.#commit().catch(() => undefined)
  }

  /** Forgets visitors of whom nothing is kept any more, unless they have been back since. */
  async forget(visitors: readonly string[], before: number): Promise<void> {
    for (const visitor of visitors) {
      const known = await this.#known(visitor)
      if (known && known.last < before && !this.#visits.open.has(visitor)) this.#put(VISITORS, visitor, undefined)
    }
  }

  #followed(events: readonly StoredEvent[]): void {
    const last = events.at(-1)
    if (!this.#idle || !last) return
    if (events.some(concerns)) this.#wake()
    else this.#passed(last.sequence)
  }

  /** Nothing of these concerned the ledger. */
  #passed(sequence: Sequence): void {
    if (sequence <= this.#position) return
    this.#position = sequence
    this.#advanced()
  }

  #advanced(): void {
    // Read again after a crash unless everything up to here is stored; each note is a write to the card.
    const cursor = this.#cursor
    if (this.#dirty.size === 0 && this.#events.length === 0 && this.#position - cursor.position >= PASSED_MOST)
      cursor.advance(this.#position)
    this.#parts.decided(this.#position)
  }

  async #run(): Promise<void> {
    const { journal } = this.#parts
    while (!this.#stopped) {
      try {
        const events = journal.head > this.#position ? await journal.read(this.#position, READ) : []
        if (events.length === 0) {
          this.#goLive()
          this.#passTime()
          if (this.#events.length > 0 || this.#dirty.size >= DIRTY_MOST) {
            await this.#commit()
            continue
          }
          await this.#sleep()
          continue
        }
        for (const event of events) await this.#take(event)
        if (this.#events.length > 0 || this.#dirty.size >= DIRTY_MOST) await this.#commit()
        else this.#advanced()
        this.#backoff.well()
      } catch (error) {
        await this.#backoff.wait(error, 'the ledger cannot go on')
      }
    }
  }

  async #take(stored: StoredEvent): Promise<void> {
    if (stored.sequence >= this.#liveFrom) this.#goLive()
    if (concerns(stored)) {
      const fact = this.#timeline.read(stored)
      if (fact && !(this.#skipThrough !== '' && fact.event <= this.#skipThrough)) {
        await this.#decide(fact)
        this.#lastEvent = fact.event
      }
    }
    this.#position = stored.sequence
    if (this.#must || this.#events.length >= EVENTS_MOST) await this.#commit()
  }

  async #decide(fact: Fact): Promise<void> {
    const now: Moment = { wall: fact.wall, synced: fact.synced, ...(this.#live ? { mono: this.#parts.clock.mono() } : {}) }
    // All that must be asked for is asked for before anything changes: a question that fails is asked again.
    if (!this.#live && fact.synced && this.#visits.dueWall <= fact.wall) {
      // What is read of the past passes time, too: else all its visits would end at once, and too late, when it has been read.
      this.#visited(visits.step(this.#visits, { type: 'time', now }), fact)
    }
    const event = await this.#visitsEvent(fact, now)
    const link = await this.#linkingEvent(fact)
    if (event) this.#visited(visits.step(this.#visits, event), fact)
    const count = nextCount(this.#linking)
    if (count !== undefined && count <= fact.wall)
      this.#linked(linking.step(this.#linking, { type: 'time', wall: fact.wall, event: fact.event }))
    if (link) this.#linked(linking.step(this.#linking, link))
    this.#factMono = this.#parts.clock.mono()
  }

  async #visitsEvent({ told, event, source }: Fact, now: Moment): Promise<VisitsEvent | undefined> {
    switch (told.kind) {
      case 'present': {
        const { visitor, was } = told
        const known = await this.#unlessHere(visitor)
        const knownWas = was === undefined ? undefined : await this.#unlessHere(was)
        return { type: 'present', event, source, sign: told, now, known, knownWas }
      }
      case 'absent':
        return { type: 'absent', source, visitor: told.visitor, silent: told.silent, now }
      case 'erased':
        return { type: 'erased', visitor: told.visitor, now }
      default:
        return undefined
    }
  }

  async #linkingEvent({ told, wall, event, sequence }: Fact): Promise<LinkingEvent | undefined> {
    const at = { wall, event }
    switch (told.kind) {
      case 'session-started':
        return { ...at, type: 'session', fact: told }
      case 'session-ended':
        return { ...at, type: 'session-ended', session: told.session }
      case 'receipt':
        return { ...at, type: 'receipt', fact: told }
      case 'claimed':
        return { ...at, type: 'claimed', fact: told }
      case 'erased': {
        const older = await this.#asked(() => this.#parts.older.linkedTo(told.visitor, sequence - 1))
        return { ...at, type: 'erased', visitor: told.visitor, older }
      }
      case 'refunded':
      case 'reversed': {
        const forgotten = !this.#linking.payments.has(told.payment)
        const older = forgotten ? await this.#asked(() => this.#parts.older.payment(told.payment, sequence - 1)) : undefined
        return { ...at, type: 'payment', fact: told, older }
      }
      case 'opened':
      case 'paid':
      case 'failed':
      case 'unknown':
        return { ...at, type: 'payment', fact: told }
      default:
        return undefined
    }
  }

  /** The tables must have got to right before this event, and not beyond it before its consequences are stored. */
  async #asked<Answer>(ask: () => Promise<Answer>): Promise<Answer> {
    if (this.#events.length > 0) await this.#commit()
    this.#parts.decided(this.#position)
    const answer = await ask()
    this.#must = true
    return answer
  }

  /** Not asked of somebody who is here under that name: should the visit end first, its end tells it. */
  async #unlessHere(visitor: string): Promise<Known | undefined> {
    const { open, visits: all } = this.#visits
    return all.get(open.get(visitor) ?? '')?.visitor === visitor ? undefined : this.#known(visitor)
  }

  async #known(visitor: string): Promise<Known | undefined> {
    const waiting = this.#dirty.get(`${VISITORS}\n${visitor}`)
    if (waiting) return waiting.value as unknown as Known | undefined
    return (await this.#parts.journal.space(VISITORS).get(visitor)) as unknown as Known | undefined
  }

  #visited(effects: readonly VisitsEffect[], fact: Fact | undefined): void {
    const wall = fact?.wall ?? this.#wall()
    const at = { wall, event: fact?.event ?? '' }
    for (const effect of effects) {
      switch (effect.do) {
        case 'arrived': {
          const { visit, visitor, by, role, first, sleepingDays } = effect
          const data = compact<JsonObject>({ visit, visitor, by, role, first, returning: !first, sleepingDays })
          this.#emit(VISIT, 'arrived', data, fact?.synced ? fact.wall : undefined)
          this.#linked(linking.step(this.#linking, { ...at, type: 'arrived', visit, visitor }))
          break
        }
        case 'departed': {
          const { visit, visitor, dwellSeconds, into } = effect
          this.#emit(VISIT, 'departed', compact<JsonObject>({ visit, visitor, dwellSeconds, into }))
          const event: LinkingEvent =
            into === undefined ? { ...at, type: 'departed', visitor } : { ...at, type: 'arrived', visit: into, visitor }
          this.#linked(linking.step(this.#linking, event))
          break
        }
        case 'identified': {
          const { visit, visitor, was, role, first, sleepingDays } = effect
          this.#emit(VISIT, 'identified', compact<JsonObject>({ visit, visitor, was, role, first, returning: !first, sleepingDays }))
          this.#linked(linking.step(this.#linking, { ...at, type: 'identified', visit, visitor, was }))
          break
        }
        case 'keep':
          this.#put(SPACE, `visit:${effect.visit}`, effect.value && storable(effect.value))
          break
        case 'know':
          this.#put(VISITORS, effect.visitor, effect.known)
          break
      }
    }
  }

  #linked(effects: readonly LinkingEffect[]): void {
    for (const effect of effects) {
      if (effect.do === 'keep') this.#put(SPACE, `${effect.kind}:${effect.key}`, effect.value)
      else
        this.#emit(PAYMENT, 'linked', compact<JsonObject>({ payment: effect.payment, ...effect.link, rule: RULE, revoked: effect.revoked }))
    }
  }

  #emit(plugin: string, event: string, data: JsonObject, wall?: number): void {
    this.#events.push({
      plugin,
      device: '-',
      event,
      data: structuredClone(data),
      ...(wall === undefined ? {} : { time: iso(wall as WallMs) }),
    })
  }

  #put(space: string, key: string, value: object | undefined): void {
    this.#dirty.set(`${space}\n${key}`, { space, key, value: value === undefined ? undefined : (structuredClone(value) as Json) })
  }

  async #commit(): Promise<void> {
    const { journal } = this.#parts
    const position = {
      epoch: journal.epoch,
      position: this.#position,
      event: this.#lastEvent,
      timeline: this.#timeline.last,
    }
    const taken = [...this.#dirty]
    const events = this.#events
    await journal.commit({ events, puts: [...taken.map(([, put]) => put), { space: SPACE, key: 'position', value: position }] })
    this.#events = this.#events.slice(events.length)
    for (const [key, put] of taken) if (this.#dirty.get(key) === put) this.#dirty.delete(key)
    this.#must = false
    this.#advanced()
  }

  /** From here on monotonic time counts; what was restored takes part in it. */
  #goLive(): void {
    if (this.#live) return
    this.#live = true
    this.#passTime(true)
  }

  #passTime(always = false): void {
    const { clock, clockState } = this.#parts
    const count = nextCount(this.#linking)
    if (!always && nextDeadline(this.#visits) > clock.mono() && (count === undefined || count > this.#wall())) return
    const now: Moment = { wall: clock.wall(), synced: clockState() === 'synced', mono: clock.mono() }
    this.#visited(visits.step(this.#visits, { type: 'time', now }), undefined)
    this.#linked(linking.step(this.#linking, { type: 'time', wall: this.#wall(), event: '' }))
  }

  /** The wall clock, or where it is not set the last good time and what has passed since. */
  #wall(): number {
    const { clock, clockState } = this.#parts
    return clockState() === 'synced' ? clock.wall() : this.#timeline.last + Math.max(0, clock.mono() - this.#factMono)
  }

  async #sleep(): Promise<void> {
    const { clock } = this.#parts
    const deadline = nextDeadline(this.#visits)
    const count = nextCount(this.#linking)
    const waits = [
      ...(deadline === Number.POSITIVE_INFINITY ? [] : [deadline - clock.mono()]),
      ...(count === undefined ? [] : [count - this.#wall()]),
    ]
    if (this.#stopped || this.#parts.journal.head > this.#position) return
    this.#idle = true
    await new Promise<void>((resolve) => {
      const wake = () => {
        this.#idle = false
        resolve()
      }
      this.#wake = wake
      if (waits.length > 0) this.#cancelTimer = clock.timer(Math.min(3_600_000, Math.max(1, Math.ceil(Math.min(...waits)))), wake)
      if (this.#stopped) wake()
    })
    this.#cancelTimer()
  }
}
