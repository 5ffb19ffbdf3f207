/**
 * Signs of a station's life made into "is here" and "has gone". Radios flap and phones sleep with their radio off for minutes, so only a
 * goodbye that nothing follows, or a long silence, is a departure.
 */
import type { Machine } from '../../../daemon/contract/machine.ts'
import type { Mac, Sighting } from '../network/api.ts'

export interface PresenceLimits {
  /** Silent for so long: gone. */
  goneMs: number
  /** Left by the radio's word and not seen since for so long: gone. */
  leftMs: number
  /** Stations followed at once; a flood of made-up addresses is not followed further. */
  most: number
}

export type Role = 'guest' | 'member' | 'staff'

interface Here {
  station: string
  visitor: string
  role: Role
  session?: string
  seenAt: number
  /** Wall clock of the same moment, RFC 3339, for `lastSeen`. */
  seenIso: string
  leftAt?: number
  /** Was erased while here: until it has gone, nothing is said of it that it has not agreed to anew. */
  erased?: true
}

export interface PresenceState {
  limits: PresenceLimits
  readonly here: Map<Mac, Here>
  /** Sightings of stations that were too many. */
  ignored: number
}

export type PresenceEvent =
  /** `as`: who this station is, should it be news; `station` its pseudonym now. */
  | {
      kind: 'sighting'
      sighting: Pick<Sighting, 'kind' | 'mac'>
      as: { station: string; visitor?: string; session?: string }
      now: number
      iso: string
    }
  /** A login told who it is. */
  | { kind: 'identified'; mac: Mac; station: string; visitor: string; session: string; role: Role; now: number; iso: string }
  | { kind: 'erased'; visitor: string }
  | { kind: 'limits'; limits: PresenceLimits }
  | { kind: 'tick'; now: number }

export type PresenceEffect =
  | { kind: 'present'; visitor: string; by: 'wifi' | 'portal'; role: Role; was?: string; session?: string }
  | { kind: 'absent'; visitor: string; lastSeen: string }
  /** The next moment at which somebody may have gone. */
  | { kind: 'wake'; at: number }

export function newPresence(limits: PresenceLimits): PresenceState {
  return { limits, here: new Map(), ignored: 0 }
}

export const presenceMachine: Machine<PresenceState, PresenceEvent, PresenceEffect> = {
  step(state, event) {
    switch (event.kind) {
      case 'sighting':
        return sighted(state, event)
      case 'identified':
        return identified(state, event)
      case 'erased':
        return erased(state, event.visitor)
      case 'limits':
        state.limits = event.limits
        return wake(state)
      case 'tick':
        return tick(state, event.now)
    }
  },
}

function sighted(state: PresenceState, event: Extract<PresenceEvent, { kind: 'sighting' }>): readonly PresenceEffect[] {
  const { sighting, as, now, iso } = event
  const here = state.here.get(sighting.mac)
  switch (sighting.kind) {
    case 'joined':
    case 'seen':
      if (here) {
        here.seenAt = now
        here.seenIso = iso
        if (here.leftAt === undefined) return []
        delete here.leftAt
        return wake(state)
      }
      if (state.here.size >= state.limits.most) {
        state.ignored += 1
        return []
      }
      return arrive(state, sighting.mac, { visitor: as.visitor ?? as.station, role: 'guest', ...as }, 'wifi', now, iso)
    case 'left':
      if (!here || here.leftAt !== undefined) return []
      here.leftAt = now
      return wake(state)
    case 'silent':
      // The kernel gives a sleeping phone up after seconds: that it does not answer now is no departure, its silence will be.
      return []
  }
}

function arrive(
  state: PresenceState,
  mac: Mac,
  who: { station: string; visitor: string; role: Role; session?: string },
  by: 'wifi' | 'portal',
  now: number,
  iso: string,
): readonly PresenceEffect[] {
  state.here.set(mac, { ...who, seenAt: now, seenIso: iso })
  const session = who.session === undefined ? {} : { session: who.session }
  return [{ kind: 'present', visitor: who.visitor, by, role: who.role, ...session }, ...wake(state)]
}

function identified(state: PresenceState, event: Extract<PresenceEvent, { kind: 'identified' }>): readonly PresenceEffect[] {
  const { mac, station, visitor, session, role, now, iso } = event
  const here = state.here.get(mac)
  if (!here || here.erased) {
    if (!here && state.here.size >= state.limits.most) state.ignored += 1
    else return arrive(state, mac, { station, visitor, session, role }, 'portal', now, iso)
    return []
  }
  const was = here.visitor
  const known = was === visitor && here.session === session
  Object.assign(here, { visitor, session, role, seenAt: now, seenIso: iso })
  delete here.leftAt
  if (known) return []
  return [{ kind: 'present', visitor, by: 'portal', role, session, ...(was === visitor ? {} : { was }) }, ...wake(state)]
}

/** Nothing more is said of who was erased: not that they left, and not, at their phone's next sign, that they came. */
function erased(state: PresenceState, visitor: string): readonly PresenceEffect[] {
  for (const here of state.here.values()) if (here.visitor === visitor || here.station === visitor) here.erased = true
  return []
}

const goesAt = (here: Here, limits: PresenceLimits): number =>
  Math.min(here.seenAt + limits.goneMs, here.leftAt === undefined ? Number.POSITIVE_INFINITY : here.leftAt + limits.leftMs)

function tick(state: PresenceState, now: number): readonly PresenceEffect[] {
  const effects: PresenceEffect[] = []
  for (const [mac, here] of state.here) {
    if (goesAt(here, state.limits) > now) continue
    state.here.delete(mac)
    if (!here.erased) effects.push({ kind: 'absent', visitor: here.visitor, lastSeen: here.seenIso })
  }
  return [...effects, ...wake(state)]
}

function wake(state: PresenceState): readonly PresenceEffect[] {
  let at = Number.POSITIVE_INFINITY
  for (const here of state.here.values()) at = Math.min(at, goesAt(here, state.limits))
  return at === Number.POSITIVE_INFINITY ? [] : [{ kind: 'wake', at }]
}
