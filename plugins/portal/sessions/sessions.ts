/** Sessions kept: the machine decides, this speaks to the network, the store and the journal. */
import { randomBytes } from 'node:crypto'
import { asFailure, Failure } from '../../../daemon/contract/errors.ts'
import type { Json, JsonObject } from '../../../daemon/contract/json.ts'
import type { PluginContext } from '../../../daemon/contract/plugin.ts'
import type { Grant, Mac, NetworkController } from '../network/api.ts'
import type { Secrets } from '../secrets.ts'
import { Grants } from './grants.ts'
import type { Outbox } from './outbox.ts'
import {
  newSessions,
  type SessionEffect,
  type SessionEvent,
  type SessionLimits,
  type SessionState,
  secondsLeft,
  sessionMachine,
} from './session.machine.ts'
import type { EndReason, Kept, KeptUsage, Login, Session } from './session.ts'

const PREFIX = 'session/'
const USAGE_KEY = 'usage'
/** Counters are read so often; expiry is found so often. */
const POLL_MS = 5_000
/** Time and bytes used are written so often: what a power cut costs at most, and what an SD card bears. */
const SAVE_MS = 180_000
/** Sooner while starts were told since: what a crash forgets of that is told twice. */
const TOLD_SAVE_MS = 60_000
/** How many that ended lately are told why they see the page again. */
const ENDED_MOST = 1_024

export interface Ended {
  reason: EndReason
  minutes: number
}

export interface SessionHooks {
  /** A session is over and the network has taken it in. */
  ended(session: Session, reason: EndReason, seconds: number): void
  started(session: Session): void
}

export class Sessions {
  readonly #context: PluginContext<unknown>
  readonly #network: NetworkController
  readonly #secrets: Secrets
  readonly #outbox: Outbox
  readonly #hooks: SessionHooks
  readonly #grants: Grants
  readonly #state: SessionState
  readonly #ended = new Map<Mac, Ended>()
  #loaded: readonly SessionEffect[] = []
  #cancel = (): void => {}
  #scheduled = false
  #stopped = false
  #savedAt = 0
  #busy = false
  /** Whether the network did as told the last time; one log line a change. */
  #obeys = true
  /** Work that `stop` waits for. */
  readonly #pending = new Set<Promise<unknown>>()

  constructor(parts: {
    context: PluginContext<unknown>
    network: NetworkController
    secrets: Secrets
    outbox: Outbox
    limits: SessionLimits
    hooks: SessionHooks
  }) {
    this.#context = parts.context
    this.#network = parts.network
    this.#secrets = parts.secrets
    this.#outbox = parts.outbox
    this.#hooks = parts.hooks
    this.#grants = new Grants(parts.network)
    this.#state = newSessions(parts.limits)
  }

  /** Reads who was online when the last process ended, and what lets them out again: for the network to begin with. `restore` follows. */
  async load(): Promise<Grant[]> {
    const { store, clock, log } = this.#context
    const usage = ((await store.get(USAGE_KEY)) ?? {}) as unknown as Record<string, KeptUsage>
    const kept: Kept[] = []
    for (const { key, value } of await store.list(PREFIX)) {
      const record = value as unknown as Kept
      const mac = this.#secrets.open(record.mac)
      if (mac !== undefined) kept.push({ ...record, mac })
      else {
        log.warn({ session: key.slice(PREFIX.length) }, 'a kept session was sealed with another key and is forgotten')
        await store.delete(key)
      }
    }
    this.#savedAt = clock.mono()
    this.#loaded = sessionMachine.step(this.#state, { kind: 'restore', kept, usage, now: clock.mono() })
    return this.#loaded.flatMap((effect) => (effect.kind === 'grant' ? [effect.grant] : []))
  }

  /** Lets them out; resolves with how many there are. What the network refuses now is tried again with every poll. */
  async restore(): Promise<number> {
    const effects = this.#loaded
    this.#loaded = []
    this.#schedule()
    await this.#perform(effects).catch(() => {})
    return this.#state.sessions.size
  }

  get count(): number {
    return this.#state.sessions.size
  }

  get full(): boolean {
    return this.#state.sessions.size >= this.#state.limits.capacity
  }

  list(): Session[] {
    return [...this.#state.sessions.values()]
  }

  /** One that is online now. */
  of(mac: Mac): Session | undefined {
    const session = this.#state.sessions.get(mac)
    return session?.phase === 'online' ? session : undefined
  }

  byId(id: string): Session | undefined {
    return this.list().find((one) => one.id === id)
  }

  secondsLeft(session: Session): number {
    return secondsLeft(session, this.#context.clock.mono())
  }

  /** Why a station that is captive was online until lately. */
  endedOf(mac: Mac): Ended | undefined {
    return this.#ended.get(mac)
  }

  setLimits(limits: SessionLimits): void {
    void this.#step({ kind: 'limits', limits })
  }

  seen(mac: Mac): void {
    void this.#step({ kind: 'seen', mac, now: this.#context.clock.mono() })
  }

  /** Resolves when the station is online. Rejects with `queue-full` when all places are taken, or with what the network says. */
  async open(login: Login): Promise<Session> {
    const { clock } = this.#context
    let full = false
    await this.#step(
      { kind: 'login', login, id: randomBytes(12).toString('base64url'), at: new Date(clock.wall()).toISOString(), now: clock.mono() },
      () => {
        full = true
      },
    )
    if (full) throw new Failure('queue-full', `all ${this.#state.limits.capacity} places are taken`)
    const session = this.#state.sessions.get(login.mac)
    if (session?.phase !== 'online') throw new Failure('stopping', 'the session was ended while it was being opened')
    this.#ended.delete(login.mac)
    return session
  }

  async end(which: (session: Session) => boolean, reason: EndReason): Promise<number> {
    const macs = this.list()
      .filter(which)
      .map((one) => one.mac)
    if (macs.length === 0) return 0
    await this.#readUsage()
    await this.#step({ kind: 'end', macs, reason })
    // A power cut does not bring back who was revoked.
    await Promise.all(this.#pending)
    return macs.length
  }

  /** Keeps what was used; the sessions themselves go on in the next process. */
  async stop(): Promise<void> {
    this.#stopped = true
    this.#cancel()
    await Promise.allSettled(this.#pending)
    await this.#readUsage()
    await this.#step({ kind: 'save', now: this.#context.clock.mono() })
    await Promise.allSettled(this.#pending)
  }

  async #step(event: SessionEvent, full: () => void = () => {}): Promise<void> {
    const effects = sessionMachine.step(this.#state, event)
    this.#schedule()
    await this.#perform(effects, full)
  }

  async #perform(effects: readonly SessionEffect[], full: () => void = () => {}): Promise<void> {
    const { store, log } = this.#context
    const grants: Promise<void>[] = []
    const revokes: Mac[] = []
    for (const effect of effects) {
      switch (effect.kind) {
        case 'grant':
          grants.push(this.#grant(effect.grant.mac, this.#grants.add(effect.grant)))
          break
        case 'revoke':
          revokes.push(effect.mac)
          break
        case 'keep':
          this.#background(store.put(PREFIX + effect.session.id, this.#kept(effect.session)))
          break
        case 'forget':
          this.#background(store.delete(PREFIX + effect.session.id))
          break
        case 'keep-usage':
          this.#background(store.put(USAGE_KEY, effect.usage as unknown as Json))
          break
        case 'started':
          this.#announce(effect.session)
          break
        case 'ended':
          this.#sayEnded(effect.session, effect.reason, effect.seconds)
          break
        case 'full':
          full()
      }
    }
    const done = await Promise.allSettled([...grants, ...(revokes.length > 0 ? [this.#revoke(revokes)] : [])])
    const failed = done.find((one) => one.status === 'rejected')
    if (done.length > 0 && !failed) this.#obeys = true
    if (!failed) return
    const { code, message } = asFailure(failed.reason)
    if (this.#obeys) log.warn({ code }, `the network does not obey: ${message}`)
    this.#obeys = false
    throw failed.reason
  }

  async #grant(mac: Mac, granted: Promise<void>): Promise<void> {
    try {
      await granted
    } catch (error) {
      // That it cannot be taken back either is no news.
      await this.#step({ kind: 'grant-failed', macs: [mac] }).catch(() => {})
      throw error
    }
    await this.#step({ kind: 'granted', macs: [mac] })
  }

  async #revoke(macs: Mac[]): Promise<void> {
    await this.#network.revoke(macs)
    await this.#step({ kind: 'revoked', macs, now: this.#context.clock.mono() })
  }

  #announce(session: Session): void {
    const { id, visitor, station, method, returning, consent, member } = session
    const data: JsonObject = {
      session: id,
      visitor,
      station,
      method,
      returning,
      ...(consent ? { consent: { ...consent } } : {}),
      ...(member === undefined ? {} : { member }),
    }
    this.#outbox.send('session-started', data, id, () => void this.#step({ kind: 'announced', id }))
    this.#hooks.started(session)
  }

  #sayEnded(session: Session, reason: EndReason, seconds: number): void {
    const { id, visitor, station, bytesUp, bytesDown, mac } = session
    this.#outbox.send('session-ended', { session: id, visitor, station, reason, bytesUp, bytesDown, seconds }, id)
    this.#ended.delete(mac)
    this.#ended.set(mac, { reason, minutes: Math.max(1, Math.round(seconds / 60)) })
    const oldest = this.#ended.keys().next()
    if (this.#ended.size > ENDED_MOST && !oldest.done) this.#ended.delete(oldest.value)
    this.#hooks.ended(session, reason, seconds)
  }

  /** A MAC address is sealed wherever it rests. */
  #kept(session: Session): Json {
    const { id, mac, ip, visitor, station, method, returning, member, consent, code, downKbps, upKbps, startedAt, baseUp, baseDown } =
      session
    const seconds = this.secondsLeft(session)
    return JSON.parse(
      JSON.stringify({
        id,
        mac: this.#secrets.seal(mac),
        ip,
        visitor,
        station,
        method,
        returning,
        member,
        consent,
        code,
        downKbps,
        upKbps,
        startedAt,
        baseUp,
        baseDown,
        seconds,
      }),
    ) as Json
  }

  /** Nobody online: nothing to wake up for. */
  #schedule(): void {
    if (this.#scheduled || this.#stopped || (this.#state.sessions.size === 0 && !this.#state.unsaved)) return
    this.#scheduled = true
    this.#cancel = this.#context.clock.timer(POLL_MS, () => {
      this.#scheduled = false
      this.#background(this.#poll())
      this.#schedule()
    })
  }

  async #poll(): Promise<void> {
    if (this.#busy || (this.#state.sessions.size === 0 && !this.#state.unsaved)) return
    this.#busy = true
    try {
      const now = this.#context.clock.mono()
      await this.#readUsage()
      await this.#step({ kind: 'tick', now }).catch(() => {})
      if (now - this.#savedAt < (this.#state.told ? TOLD_SAVE_MS : SAVE_MS)) return
      this.#savedAt = now
      await this.#step({ kind: 'save', now })
    } finally {
      this.#busy = false
    }
  }

  async #readUsage(): Promise<void> {
    if (this.#state.sessions.size === 0) return
    const usage = await this.#network.usage().catch(() => undefined)
    if (usage) await this.#step({ kind: 'usage', usage, now: this.#context.clock.mono() })
  }

  #background(work: Promise<unknown>): void {
    const kept = work
      .catch((error: unknown) => {
        const { code, message } = asFailure(error)
        this.#context.log.warn({ code }, `not done: ${message}`)
      })
      .finally(() => this.#pending.delete(kept))
    this.#pending.add(kept)
  }
}
