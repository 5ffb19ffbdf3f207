/**
 * Who is in the shop. Signs of presence from any plugin become visits: one a person, however many radios see it. A visit ends
 * when no sign has been there for the leave grace. Durations come from monotonic time; what is known from before a restart has
 * wall time only, and where the clock was not set not even that: then only what was certain counts, never less than nothing.
 */
import type { Machine } from '../contract/machine.ts'
import type { By, Role } from './facts.ts'

/** `mono` where this process saw it happen. Both in ms. */
export interface Moment {
  wall: number
  synced: boolean
  mono?: number
}

/** What is known of a visitor from earlier visits. */
export interface Known {
  visits: number
  /** Wall ms of the last sign; 0 when no clock was set. */
  last: number
}

/** One plugin's word that somebody is here. */
export interface Sign {
  at: Moment
  by: By
  /** A moment's sign holds for so long, then is gone by itself. */
  momentary: boolean
}

export interface Visit {
  visit: string
  visitor: string
  /** Names the same person had earlier in this visit; signs may still come under them. */
  aliases: string[]
  role: Role
  by: By
  /** The how-manieth of this person, and what it was told as. */
  count: number
  first: boolean
  since: Moment
  /** Last sign of any kind. */
  seen: Moment
  /** From the arrival to the last sign, ms, as far as is certain. */
  dwell: number
  signs: Record<string, Sign>
  /** Since when there is no sign. */
  gone?: Moment
}

/** All ms but `sleepingDays`. */
export interface VisitSettings {
  leaveGrace: number
  momentHold: number
  longest: number
  sleepingDays: number
}

export interface VisitsState {
  settings: VisitSettings
  visits: Map<string, Visit>
  /** Visitor -> visit. */
  open: Map<string, string>
  /** Not later than the next deadline, monotonic ms: a visit that was renewed leaves it as it was until it comes. */
  due: number
  /** The same in wall ms, for what is read from before this start. */
  dueWall: number
}

export interface Seen {
  visitor: string
  by: By
  role: Role
  was?: string
  stays: boolean
}

export type VisitsEvent =
  /** `event` names the visit, should one begin; `known` and `knownWas`: of `visitor` and `was`, where they have no open visit. */
  | { type: 'present'; event: string; source: string; sign: Seen; now: Moment; known?: Known | undefined; knownWas?: Known | undefined }
  | { type: 'absent'; source: string; visitor: string; silent: number; now: Moment }
  | { type: 'erased'; visitor: string; now: Moment }
  /** A deadline may have come; also once all that was read from before the start is in. */
  | { type: 'time'; now: Moment }

export type VisitsEffect =
  | {
      do: 'arrived'
      visit: string
      visitor: string
      by: By
      role: Role
      first: boolean
      sleepingDays?: number
    }
  | { do: 'departed'; visit: string; visitor: string; dwellSeconds: number; into?: string }
  | { do: 'identified'; visit: string; visitor: string; was: string; role: Role; first: boolean; sleepingDays?: number }
  /** The visit's state is to be stored; undefined: it is over. */
  | { do: 'keep'; visit: string; value: Visit | undefined }
  | { do: 'know'; visitor: string; known: Known | undefined }

export const newVisits = (settings: VisitSettings): VisitsState => ({
  settings,
  visits: new Map(),
  open: new Map(),
  due: Number.POSITIVE_INFINITY,
  dueWall: Number.POSITIVE_INFINITY,
})

/** A visit from before the restart. Its monotonic times belong to another process. */
export function restore(state: VisitsState, visit: Visit): void {
  state.visits.set(visit.visit, visit)
  for (const visitor of [visit.visitor, ...visit.aliases]) state.open.set(visitor, visit.visit)
  date(state, visit)
}

/** For storage: without what means nothing to another process. */
export function storable(visit: Visit): Visit {
  const still = ({ wall, synced }: Moment): Moment => ({ wall, synced })
  return {
    ...visit,
    since: still(visit.since),
    seen: still(visit.seen),
    signs: Object.fromEntries(Object.entries(visit.signs).map(([source, sign]) => [source, { ...sign, at: still(sign.at) }])),
    ...(visit.gone ? { gone: still(visit.gone) } : {}),
  }
}

export const visits: Machine<VisitsState, VisitsEvent, VisitsEffect> = {
  step(state, event) {
    switch (event.type) {
      case 'present':
        return dated(state, onPresent(state, event))
      case 'absent':
        return dated(state, onAbsent(state, event))
      case 'erased': {
        const visit = openVisit(state, event.visitor)
        const closed = visit ? depart(state, visit, event.now) : []
        const names = new Set([event.visitor, ...(visit ? [visit.visitor, ...visit.aliases] : [])])
        return [
          ...closed.filter((one) => one.do !== 'know'),
          ...[...names].map((visitor): VisitsEffect => ({ do: 'know', visitor, known: undefined })),
        ]
      }
      case 'time': {
        const effects = [...state.visits.values()].flatMap((visit) => {
          anchor(visit, event.now)
          return elapse(state, visit, event.now)
        })
        state.due = Number.POSITIVE_INFINITY
        state.dueWall = Number.POSITIVE_INFINITY
        for (const visit of state.visits.values()) date(state, visit)
        return effects
      }
    }
  },
}

/** Monotonic ms at which to look what time alone has brought about; infinite without any visit. */
export const nextDeadline = ({ due }: VisitsState): number => due

/** Looking at all visits for each sign would make a full shop slow: only the visits that changed are looked at. */
function dated(state: VisitsState, effects: VisitsEffect[]): VisitsEffect[] {
  for (const effect of effects) if (effect.do === 'keep' && effect.value) date(state, effect.value)
  return effects
}

function date(state: VisitsState, { gone, seen, signs }: Visit): void {
  const { leaveGrace, momentHold, longest } = state.settings
  const at = ({ mono, synced, wall }: Moment, ms: number): void => {
    if (mono !== undefined) state.due = Math.min(state.due, mono + ms)
    if (synced) state.dueWall = Math.min(state.dueWall, wall + ms)
  }
  if (gone) at(gone, leaveGrace)
  at(seen, longest)
  for (const source in signs) {
    const sign = signs[source]
    if (sign?.momentary) at(sign.at, momentHold)
  }
}

type PresentEvent = Extract<VisitsEvent, { type: 'present' }>

function onPresent(state: VisitsState, event: PresentEvent): VisitsEffect[] {
  const { sign, now } = event
  const effects: VisitsEffect[] = []
  // What ended before this sign came ends first.
  for (const visitor of sign.was === undefined ? [sign.visitor] : [sign.was, sign.visitor]) {
    const visit = openVisit(state, visitor)
    if (visit) effects.push(...elapse(state, visit, now))
  }
  const learnt = (visitor: string, before: Known | undefined): Known | undefined => {
    for (const effect of effects) if (effect.do === 'know' && effect.visitor === visitor) return effect.known
    return before
  }
  const known = learnt(sign.visitor, event.known)
  const knownWas = sign.was === undefined ? undefined : learnt(sign.was, event.knownWas)

  const before = sign.was === undefined ? undefined : openVisit(state, sign.was)
  let visit = openVisit(state, sign.visitor)
  if (before && visit && before !== visit) {
    effects.push(...merge(state, visit, before, now))
    visit = openVisit(state, sign.visitor)
  } else if (before && before.visitor !== sign.visitor) {
    effects.push(...identify(state, before, sign, known, now))
    visit = before
  }
  if (!visit) return [...effects, ...arrive(state, event, joined(known, knownWas))]

  visit.signs[event.source] = { at: now, by: sign.by, momentary: !sign.stays && visit.signs[event.source]?.momentary !== false }
  delete visit.gone
  visit.role = strongest(visit.role, sign.role)
  see(visit, now, 0)
  return [...effects, { do: 'keep', visit: visit.visit, value: visit }]
}

function arrive(state: VisitsState, { event, source, sign, now }: PresentEvent, known: Known | undefined): VisitsEffect[] {
  const told = news(state, known, now)
  const visit: Visit = {
    visit: event,
    visitor: sign.visitor,
    aliases: [],
    role: sign.role,
    by: sign.by,
    count: (known?.visits ?? 0) + 1,
    first: told.first,
    since: now,
    seen: now,
    dwell: 0,
    signs: { [source]: { at: now, by: sign.by, momentary: !sign.stays } },
  }
  restore(state, visit)
  const { visitor, by, role } = sign
  return [
    { do: 'arrived', visit: event, visitor, by, role, ...told },
    { do: 'keep', visit: event, value: visit },
    { do: 'know', visitor, known: { visits: visit.count, last: now.synced ? now.wall : (known?.last ?? 0) } },
  ]
}

/** A clock that is not set cannot tell how long somebody was away. */
function news({ settings }: VisitsState, known: Known | undefined, now: Moment): { first: boolean; sleepingDays?: number } {
  const days = known && known.last > 0 && now.synced ? Math.floor((now.wall - known.last) / 86_400_000) : 0
  return { first: known === undefined, ...(days >= settings.sleepingDays ? { sleepingDays: days } : {}) }
}

/** The phone turned out to be somebody: the visit goes on under that name. */
function identify(state: VisitsState, visit: Visit, sign: Seen, known: Known | undefined, now: Moment): VisitsEffect[] {
  const was = visit.visitor
  const told = news(state, known, now)
  visit.aliases.push(was)
  visit.visitor = sign.visitor
  visit.role = strongest(visit.role, sign.role)
  visit.count = (known?.visits ?? 0) + 1
  visit.first = told.first
  restore(state, visit)
  return [
    { do: 'identified', visit: visit.visit, visitor: sign.visitor, was, role: visit.role, ...told },
    { do: 'know', visitor: sign.visitor, known: { visits: visit.count, last: now.synced ? now.wall : (known?.last ?? 0) } },
  ]
}

/** Two visits turn out to be one person's: the older one goes on, with the signs of both. Ids grow, so the older one's is smaller. */
function merge(state: VisitsState, named: Visit, other: Visit, now: Moment): VisitsEffect[] {
  const [visitor, was] = [named.visitor, other.visitor]
  const [stays, ends] = named.visit < other.visit ? [named, other] : [other, named]
  stays.signs = { ...ends.signs, ...stays.signs }
  stays.role = strongest(named.role, other.role)
  stays.aliases = [...new Set([...stays.aliases, ...ends.aliases, was])].filter((one) => one !== visitor)
  stays.visitor = visitor
  stays.count = named.count
  stays.first = named.first
  see(stays, now, 0)
  state.visits.delete(ends.visit)
  restore(state, stays)
  return [
    { do: 'identified', visit: other.visit, visitor, was, role: stays.role, first: named.first },
    { do: 'departed', visit: ends.visit, visitor, dwellSeconds: Math.round(ends.dwell / 1000), into: stays.visit },
    { do: 'keep', visit: ends.visit, value: undefined },
  ]
}

function onAbsent(state: VisitsState, { source, visitor, silent, now }: Extract<VisitsEvent, { type: 'absent' }>): VisitsEffect[] {
  const visit = openVisit(state, visitor)
  if (!visit?.signs[source]) return []
  const effects = elapse(state, visit, now)
  if (!state.visits.has(visit.visit)) return effects
  delete visit.signs[source]
  see(visit, now, silent)
  if (Object.keys(visit.signs).length === 0) visit.gone ??= now
  return [...effects, { do: 'keep', visit: visit.visit, value: visit }]
}

/** What time has brought about for one visit: signs that have run out, the end of the grace, a visit that nobody ends. */
function elapse(state: VisitsState, visit: Visit, now: Moment): VisitsEffect[] {
  const { leaveGrace, momentHold, longest } = state.settings
  let kept = false
  for (const [source, sign] of Object.entries(visit.signs)) {
    if (!sign.momentary || !past(sign.at, momentHold, now)) continue
    delete visit.signs[source]
    kept = true
    if (Object.keys(visit.signs).length === 0) visit.gone ??= later(sign.at, momentHold)
  }
  if ((visit.gone && past(visit.gone, leaveGrace, now)) || past(visit.seen, longest, now)) return depart(state, visit, now)
  return kept ? [{ do: 'keep', visit: visit.visit, value: visit }] : []
}

function depart(state: VisitsState, visit: Visit, now: Moment): VisitsEffect[] {
  state.visits.delete(visit.visit)
  for (const visitor of [visit.visitor, ...visit.aliases]) state.open.delete(visitor)
  const { seen } = visit
  return [
    { do: 'departed', visit: visit.visit, visitor: visit.visitor, dwellSeconds: Math.round(visit.dwell / 1000) },
    { do: 'keep', visit: visit.visit, value: undefined },
    { do: 'know', visitor: visit.visitor, known: { visits: visit.count, last: seen.synced ? seen.wall : now.synced ? now.wall : 0 } },
  ]
}

const openVisit = (state: VisitsState, visitor: string): Visit | undefined => state.visits.get(state.open.get(visitor) ?? '')

/** A sign `silent` ms before `now`: the stay reaches at least to there. */
function see(visit: Visit, now: Moment, silent: number): void {
  visit.seen = later(now, -silent)
  visit.dwell = Math.max(visit.dwell, elapsed(visit.since, visit.seen) ?? 0)
}

/** Ms from one moment to another, at least 0; undefined where no clock tells. */
function elapsed(from: Moment, to: Moment): number | undefined {
  if (from.mono !== undefined && to.mono !== undefined) return Math.max(0, to.mono - from.mono)
  return from.synced && to.synced ? Math.max(0, to.wall - from.wall) : undefined
}

const past = (from: Moment, ms: number, now: Moment): boolean => (elapsed(from, now) ?? -1) >= ms

const later = ({ wall, synced, mono }: Moment, ms: number): Moment => ({
  wall: wall + ms,
  synced,
  ...(mono === undefined ? {} : { mono: mono + ms }),
})

/** Moments from before the restart get a monotonic time: by the wall clock where it can tell, else as if they were now. */
function anchor(visit: Visit, now: Moment): void {
  const { mono } = now
  if (mono === undefined || visit.since.mono !== undefined) return
  const fix = (at: Moment, least = 0): Moment =>
    at.mono !== undefined ? at : { ...at, mono: mono - Math.max(least, elapsed(at, now) ?? 0) }
  visit.since = fix(visit.since, visit.dwell)
  visit.seen = fix(visit.seen)
  for (const sign of Object.values(visit.signs)) sign.at = fix(sign.at)
  if (visit.gone) visit.gone = fix(visit.gone)
}

const RANK: readonly Role[] = ['guest', 'member', 'staff']
const strongest = (one: Role, other: Role): Role => (RANK.indexOf(one) >= RANK.indexOf(other) ? one : other)

function joined(one: Known | undefined, other: Known | undefined): Known | undefined {
  if (!one || !other) return one ?? other
  return { visits: one.visits + other.visits, last: Math.max(one.last, other.last) }
}
