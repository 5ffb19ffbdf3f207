/** Presence told: sightings of the network in, `present` and `absent` out. */
import type { JsonObject } from '../../../daemon/contract/json.ts'
import type { PluginContext } from '../../../daemon/contract/plugin.ts'
import type { Mac, Sighting } from '../network/api.ts'
import type { Outbox } from '../sessions/outbox.ts'
import type { Session } from '../sessions/session.ts'
import { newPresence, type PresenceEvent, type PresenceLimits, type PresenceState, presenceMachine, type Role } from './presence.machine.ts'

export class Presence {
  readonly #context: PluginContext<unknown>
  readonly #outbox: Outbox
  readonly #state: PresenceState
  /** Whose session a station has, if it has one: who was known before a restart is not a stranger after it. */
  readonly #sessionOf: (mac: Mac) => Session | undefined
  #wakeAt = Number.POSITIVE_INFINITY
  #cancel = (): void => {}

  constructor(context: PluginContext<unknown>, outbox: Outbox, limits: PresenceLimits, sessionOf: (mac: Mac) => Session | undefined) {
    this.#context = context
    this.#outbox = outbox
    this.#state = newPresence(limits)
    this.#sessionOf = sessionOf
  }

  get count(): number {
    return this.#state.here.size
  }

  get ignored(): number {
    return this.#state.ignored
  }

  /** The station's pseudonym, the same for its whole stay though the key of pseudonyms may change meanwhile. */
  station(mac: Mac): string {
    return this.#state.here.get(mac)?.station ?? this.#context.pseudonym('station', mac)
  }

  sighting(sighting: Pick<Sighting, 'kind' | 'mac'>): void {
    const { mac } = sighting
    const known = this.#state.here.get(mac)
    const session = known ? undefined : this.#sessionOf(mac)
    const as = known
      ? { station: known.station }
      : {
          station: session?.station ?? this.#context.pseudonym('station', mac),
          ...(session ? { visitor: session.visitor, session: session.id } : {}),
        }
    this.#step({ kind: 'sighting', sighting, as, ...this.#now() })
  }

  identified(session: Session, role: Role): void {
    const { mac, station, visitor, id } = session
    this.#step({ kind: 'identified', mac, station, visitor, session: id, role, ...this.#now() })
  }

  erased(visitor: string): void {
    this.#step({ kind: 'erased', visitor })
  }

  setLimits(limits: PresenceLimits): void {
    this.#step({ kind: 'limits', limits })
  }

  stop(): void {
    this.#cancel()
  }

  #now(): { now: number; iso: string } {
    const { clock } = this.#context
    return { now: clock.mono(), iso: new Date(clock.wall()).toISOString() }
  }

  #step(event: PresenceEvent): void {
    for (const effect of presenceMachine.step(this.#state, event)) {
      if (effect.kind === 'wake') this.#wake(effect.at)
      else {
        const { kind, ...data } = effect
        this.#outbox.send(kind, data as JsonObject, 'presence')
      }
    }
  }

  /** A timer that is early already stays: it finds out when the next one is due. */
  #wake(at: number): void {
    if (at >= this.#wakeAt) return
    const { clock } = this.#context
    this.#cancel()
    this.#wakeAt = at
    this.#cancel = clock.timer(Math.max(50, at - clock.mono()), () => {
      this.#wakeAt = Number.POSITIVE_INFINITY
      this.#step({ kind: 'tick', now: clock.mono() })
    })
  }
}
