/** Who is here, and where: from sightings to entered and left. */
import type { Machine } from '../../../daemon/contract/machine.ts'
import { clearSignal, distanceOf, filterSignal, newSignal, type Signal } from './filter.ts'

/** A badge sends at least once in this time, even where packets are lost. */
const MOMENT_MS = 5_000

export interface Zone {
  name: string
  /** Metres; the last zone reaches as far as the radio. */
  within: number
}

export interface PresenceOptions {
  /** So many sightings within so long are an arrival. */
  sightings: number
  withinMs: number
  /** Silence that is a departure. */
  silentMs: number
  /** Path loss exponent. */
  exponent: number
  /** Farther than this, metres, a sighting counts for nothing; absent: the radio's reach. */
  range?: number
  /** By distance, nearest first. Empty: a beacon's own zone. */
  zones: readonly Zone[]
  /** Share by which a zone's edge must be passed, both ways. */
  hysteresis: number
  /** A new zone must hold for so long. */
  dwellMs: number
}

export interface Tracked {
  readonly key: string
  /** dBm at 1 m where it was measured here; else the beacon's own claim. */
  power?: number
  /** Where no zones by distance are set. */
  zone?: string
  inside: boolean
  /** Times of the last sightings in range, a ring of `sightings`. */
  recent: Float64Array
  seen: number
  readonly signal: Signal
  distance: number
  rssi: number
  /** Monotonic ms, any sighting. */
  lastSeen: number
  /** Monotonic ms; silence counts from here, which deafness of the adapter's own pushes on. */
  quietFrom: number
  where: string
  /** The zone it seems to have gone to, and since when. */
  towards: string
  towardsAt: number
}

export interface PresenceState {
  options: PresenceOptions
  readonly tracked: Map<string, Tracked>
  /** Monotonic ms since when nothing can be heard. */
  deafSince: number | undefined
}

export type PresenceEvent =
  /** `tracked`: of this state; looked up once for each report. `power`: the beacon's own claim. */
  /** `torn`: two devices say they are this one, so that where it is cannot be told. */
  | { kind: 'heard'; tracked: Tracked; rssi: number; power: number; now: number; torn?: boolean }
  | { kind: 'tick'; now: number }
  | { kind: 'deaf'; since: number }
  /** `sure`: what was silent meanwhile is excused; else the air may have been quiet, and whoever is still here has a moment to say so. */
  | { kind: 'hearing'; now: number; sure: boolean }
  /** Nothing could be heard because nothing was there: the silence counts. */
  | { kind: 'quiet' }
  /** It is no longer followed: it leaves, if it was here. */
  | { kind: 'drop'; key: string; now: number }

export interface Place {
  key: string
  /** Metres, to the decimetre; absent, like `rssi`, where it has not been heard since a restart. */
  distance?: number
  zone?: string
  rssi?: number
  /** Monotonic ms. */
  lastSeen: number
}

export type PresenceEffect =
  /** `from`: the zone it came from, when it was here already. */
  | ({ kind: 'entered'; from?: string } & Place)
  /** `to`: the zone it went to, when it is still here. */
  | ({ kind: 'left'; to?: string } & Place)

export function newPresence(options: PresenceOptions): PresenceState {
  return { options, tracked: new Map(), deafSince: undefined }
}

/** Starts to follow a beacon. `inside`: it was here before a restart, and has until now been silent for no time. */
export function follow(state: PresenceState, key: string, how: { power?: number; zone?: string; inside?: { now: number } }): Tracked {
  const now = how.inside?.now ?? 0
  const tracked: Tracked = {
    key,
    ...(how.power === undefined ? {} : { power: how.power }),
    ...(how.zone === undefined ? {} : { zone: how.zone }),
    inside: how.inside !== undefined,
    recent: new Float64Array(state.options.sightings),
    seen: 0,
    signal: newSignal(),
    distance: 0,
    rssi: 0,
    lastSeen: now,
    quietFrom: now,
    where: how.zone ?? '',
    towards: '',
    towardsAt: 0,
  }
  state.tracked.set(key, tracked)
  return tracked
}

const NOTHING: readonly PresenceEffect[] = []

export const presenceMachine: Machine<PresenceState, PresenceEvent, PresenceEffect> = {
  step(state, event) {
    switch (event.kind) {
      case 'heard':
        return heard(state, event.tracked, event.rssi, event.power, event.now, event.torn)
      case 'tick':
        return state.deafSince === undefined ? silent(state, event.now) : NOTHING
      case 'deaf':
        state.deafSince ??= event.since
        return NOTHING
      case 'quiet':
        state.deafSince = undefined
        return NOTHING
      case 'hearing':
        if (state.deafSince !== undefined) {
          if (event.sure) excuse(state, state.deafSince, event.now)
          else grant(state, event.now)
        }
        state.deafSince = undefined
        return NOTHING
      case 'drop': {
        const tracked = state.tracked.get(event.key)
        state.tracked.delete(event.key)
        return tracked?.inside ? [{ kind: 'left', ...place(tracked) }] : NOTHING
      }
    }
  },
}

function heard(state: PresenceState, tracked: Tracked, rssi: number, power: number, now: number, torn = false): readonly PresenceEffect[] {
  const { options } = state
  filterSignal(tracked.signal, rssi, now)
  tracked.distance = distanceOf(tracked.signal.level, tracked.power ?? power, options.exponent)
  tracked.rssi = rssi
  tracked.lastSeen = now
  const { range } = options
  if (range !== undefined && tracked.distance > (tracked.inside ? range * (1 + options.hysteresis) : range)) return NOTHING
  tracked.quietFrom = now
  if (tracked.inside) return options.zones.length === 0 || torn ? NOTHING : moved(options, tracked, now)
  const { recent } = tracked
  recent[tracked.seen % recent.length] = now
  tracked.seen += 1
  // The slot after the newest holds the oldest.
  if (tracked.seen < recent.length || now - (recent[tracked.seen % recent.length] as number) > options.withinMs) return NOTHING
  tracked.inside = true
  tracked.where = options.zones.length === 0 ? (tracked.zone ?? '') : zoneAt(options, tracked.distance)
  tracked.towards = tracked.where
  return [{ kind: 'entered', ...place(tracked) }]
}

function moved(options: PresenceOptions, tracked: Tracked, now: number): readonly PresenceEffect[] {
  // Here since before a restart: where, shows now.
  if (tracked.where === '') tracked.where = zoneAt(options, tracked.distance)
  const zone = zoneAt(options, tracked.distance, tracked.where)
  if (zone === tracked.where) {
    tracked.towards = zone
    return NOTHING
  }
  if (zone !== tracked.towards) {
    tracked.towards = zone
    tracked.towardsAt = now
  }
  if (now - tracked.towardsAt < options.dwellMs) return NOTHING
  const left: PresenceEffect = { kind: 'left', ...place(tracked), to: zone }
  const from = tracked.where
  tracked.where = zone
  return [left, { kind: 'entered', ...place(tracked), from }]
}

/** The edges of the zone it is in lie farther off than those of the others. */
function zoneAt(options: PresenceOptions, distance: number, where?: string): string {
  const { zones, hysteresis } = options
  const at = zones.findIndex((zone) => zone.name === where)
  for (const [index, zone] of zones.entries()) {
    const edge = at === -1 ? zone.within : index < at ? zone.within * (1 - hysteresis) : zone.within * (1 + hysteresis)
    if (distance <= edge) return zone.name
  }
  return zones.at(-1)?.name ?? ''
}

function silent(state: PresenceState, now: number): readonly PresenceEffect[] {
  let gone: PresenceEffect[] | undefined
  for (const tracked of state.tracked.values()) {
    if (!tracked.inside || now - tracked.quietFrom < state.options.silentMs) continue
    gone ??= []
    gone.push({ kind: 'left', ...place(tracked) })
    tracked.inside = false
    tracked.seen = 0
    clearSignal(tracked.signal)
  }
  return gone ?? NOTHING
}

/** The time in which nothing could be heard is nobody's silence. */
function excuse(state: PresenceState, since: number, now: number): void {
  for (const tracked of state.tracked.values()) if (tracked.inside) tracked.quietFrom = now - Math.max(0, since - tracked.quietFrom)
}

/** Nobody leaves in the moment in which the adapter may just have been mended; and nobody stays for ever because it is doubted over and over. */
function grant(state: PresenceState, now: number): void {
  for (const tracked of state.tracked.values())
    if (tracked.inside) tracked.quietFrom = Math.max(tracked.quietFrom, now - Math.max(0, state.options.silentMs - MOMENT_MS))
}

function place(tracked: Tracked): Place {
  return {
    key: tracked.key,
    ...(tracked.signal.count === 0 ? {} : { distance: Math.round(tracked.distance * 10) / 10, rssi: tracked.rssi }),
    ...(tracked.where === '' ? {} : { zone: tracked.where }),
    lastSeen: tracked.lastSeen,
  }
}
