/**
 * Who is to be online, and what of it the kernel has been told. One change is on its way at a time; what comes meanwhile goes with the next.
 * A change that fails is answered by loading everything anew; when that fails, too, those who wait are told.
 */
import type { Machine } from '../../../daemon/contract/machine.ts'
import type { MonoMs } from '../../../daemon/contract/plugin.ts'
import type { Grant, Mac, Usage } from './api.ts'

/** How long a burst is waited for: less than a person notices, enough for what one HTTP server answers in one go. */
const BURST_MS = 3
const RETRY_MS = 5_000
/** What a client had used stays readable this long after its end: the portal asks when it writes the session off. */
const KEEP_MS = 120_000
/** Minors of tc classes: 1 is the whole net, 2 those without a limit of their own. */
const FIRST_MINOR = 0x10
const LAST_MINOR = 0xfff0

export interface Held {
  mac: Mac
  until: MonoMs
  downKbps?: number
  upKbps?: number
  /** As last read, or as granted. */
  bytesUp: number
  bytesDown: number
  /** Its tc class, while it has a limit. */
  minor?: number
  /** Set when its time is over or was taken: it only keeps its counters. */
  ended?: MonoMs
}

/** What the kernel was told of one client. */
interface Told {
  online: boolean
  minor?: number
  down: boolean
  up: boolean
}

export interface AccessChange {
  /** Everything from the start: the tables are made anew first. */
  whole: boolean
  /** `fresh`: its counters are set; else they are left alone. */
  online: { mac: Mac; seconds: number; fresh: boolean; bytesUp: number; bytesDown: number }[]
  offline: Mac[]
  /** Counters that nobody needs any more. */
  purge: Mac[]
  classes: { minor: number; downKbps?: number; upKbps?: number }[]
  /** Which MACs belong to a class, and did before: a map's element cannot be changed, only replaced. */
  sort: { direction: 'down' | 'up'; mac: Mac; before?: number; after?: number }[]
  dropClasses: { direction: 'down' | 'up'; minor: number }[]
}

export class AccessState {
  readonly held = new Map<Mac, Held>()
  readonly told = new Map<Mac, Told>()
  readonly dirty = new Set<Mac>()
  readonly fresh = new Set<Mac>()
  readonly minors = new Set<number>()
  nextMinor = FIRST_MINOR
  /** Callers whose wish is not in effect yet. */
  waiting: number[] = []
  sending: number[] | undefined
  sendingWhole = false
  /** Set until everything has been loaded anew. */
  reload = true
  /** Whether there is a network to tell: not while the interface is away. */
  present = false
  woken = false
}

export type AccessEvent =
  | { kind: 'authorise'; grants: readonly Grant[]; ticket: number; now: MonoMs }
  /** Who is to be online from the first load on. */
  | { kind: 'online'; grants: readonly Grant[]; now: MonoMs }
  | { kind: 'revoke'; macs: readonly Mac[]; ticket: number; now: MonoMs }
  /** What was counted; `lost` names none of the clients that are online in the kernel, too. */
  | { kind: 'read'; usage: readonly Usage[]; online: ReadonlySet<Mac>; now: MonoMs }
  | { kind: 'wake'; now: MonoMs }
  | { kind: 'done'; now: MonoMs }
  | { kind: 'failed'; message: string; now: MonoMs }
  /** Nothing was told yet: it takes everything anew. */
  | { kind: 'again'; now: MonoMs }
  /** The rules are not what was loaded, or are to change: everything anew. */
  | { kind: 'reload'; ticket?: number; now: MonoMs }
  | { kind: 'interface'; present: boolean; now: MonoMs }

export type AccessEffect =
  | { kind: 'apply'; change: AccessChange }
  | { kind: 'wake'; ms: number }
  | { kind: 'settle'; tickets: number[]; error?: string }
  | { kind: 'loaded' }
  | { kind: 'broken'; message: string }

export const accessMachine: Machine<AccessState, AccessEvent, AccessEffect> = {
  step(state, event) {
    switch (event.kind) {
      case 'authorise':
        for (const grant of event.grants) authorise(state, grant, event.now)
        state.waiting.push(event.ticket)
        return soon(state)
      case 'online':
        for (const grant of event.grants) authorise(state, grant, event.now)
        return []
      case 'revoke':
        for (const mac of event.macs) end(state, mac, event.now)
        state.waiting.push(event.ticket)
        return soon(state)
      case 'read':
        return read(state, event)
      case 'wake':
        state.woken = false
        expire(state, event.now)
        return next(state, event.now)
      case 'done':
        return done(state, event.now)
      case 'failed':
        return failed(state, event)
      case 'again':
        return again(state, event.now)
      case 'reload':
        state.reload = true
        if (event.ticket !== undefined) state.waiting.push(event.ticket)
        return soon(state)
      case 'interface':
        return changePresence(state, event.present, event.now)
    }
  },
}

/** Milliseconds until the next client's time is over, or its counters may go; undefined: nothing is due. */
export function nextEnd(state: AccessState, now: MonoMs): number | undefined {
  let soonest: number | undefined
  for (const { until, ended } of state.held.values()) {
    const due = ended === undefined ? until : ended + KEEP_MS
    if (soonest === undefined || due < soonest) soonest = due
  }
  return soonest === undefined ? undefined : Math.max(0, soonest - now)
}

/** What is counted of those who are online, or were a moment ago. */
export function usageOf(state: AccessState): Usage[] {
  return [...state.held.values()].map(({ mac, bytesUp, bytesDown }) => ({ mac, bytesUp, bytesDown }))
}

function authorise(state: AccessState, grant: Grant, now: MonoMs): void {
  const before = state.held.get(grant.mac)
  const goesOn = before !== undefined && before.ended === undefined && before.until > now
  const held: Held = {
    mac: grant.mac,
    until: (now + Math.max(0, grant.seconds) * 1000) as MonoMs,
    bytesUp: goesOn ? before.bytesUp : (grant.bytesUp ?? 0),
    bytesDown: goesOn ? before.bytesDown : (grant.bytesDown ?? 0),
  }
  if (grant.downKbps !== undefined) held.downKbps = grant.downKbps
  if (grant.upKbps !== undefined) held.upKbps = grant.upKbps
  if (grant.downKbps !== undefined || grant.upKbps !== undefined) {
    const minor = before?.minor ?? takeMinor(state)
    if (minor !== undefined) held.minor = minor
  }
  if (!goesOn) state.fresh.add(grant.mac)
  state.held.set(grant.mac, held)
  state.dirty.add(grant.mac)
}

function end(state: AccessState, mac: Mac, now: MonoMs): void {
  const held = state.held.get(mac)
  if (!held || held.ended !== undefined) return
  held.ended = now
  delete held.minor
  state.dirty.add(mac)
}

function expire(state: AccessState, now: MonoMs): void {
  for (const held of state.held.values()) {
    if (held.ended === undefined) {
      if (held.until <= now) end(state, held.mac, now)
    } else if (held.ended + KEEP_MS <= now) {
      state.held.delete(held.mac)
      state.dirty.add(held.mac)
    }
  }
}

function read(state: AccessState, { usage, online, now }: Extract<AccessEvent, { kind: 'read' }>): AccessEffect[] {
  for (const { mac, bytesUp, bytesDown } of usage) {
    const held = state.held.get(mac)
    // A fresh grant is not in the kernel yet; and rules made anew by somebody else start at zero: what was counted stays counted.
    if (!held || state.fresh.has(mac)) continue
    held.bytesUp = Math.max(held.bytesUp, bytesUp)
    held.bytesDown = Math.max(held.bytesDown, bytesDown)
  }
  if (state.sending || state.reload) return []
  // Somebody emptied the set: those who paid nothing attention to it are let in again. A second's grace for the kernel's own clock.
  const missing = [...state.held.values()].filter(
    ({ mac, until, ended }) => ended === undefined && until > now + 1000 && state.told.get(mac)?.online && !online.has(mac),
  )
  for (const { mac } of missing) {
    state.dirty.add(mac)
    state.fresh.add(mac)
  }
  return missing.length > 0 ? soon(state) : []
}

function soon(state: AccessState): AccessEffect[] {
  if (state.sending || state.woken) return []
  state.woken = true
  return [{ kind: 'wake', ms: BURST_MS }]
}

function next(state: AccessState, now: MonoMs): AccessEffect[] {
  if (state.sending) return []
  if (!state.present) {
    // Nobody can be on a network that is not there; it is told when it comes back.
    return settle(state, takeWaiting(state))
  }
  if (!state.reload && state.dirty.size === 0) return settle(state, takeWaiting(state))
  const change = state.reload ? wholeChange(state, now) : smallChange(state, now)
  state.sending = takeWaiting(state)
  state.sendingWhole = state.reload
  state.reload = false
  return [{ kind: 'apply', change }]
}

function done(state: AccessState, now: MonoMs): AccessEffect[] {
  const tickets = state.sending ?? []
  const whole = state.sendingWhole
  state.sending = undefined
  return [...settle(state, tickets), ...(whole ? [{ kind: 'loaded' } as const] : []), ...goOn(state, now)]
}

function failed(state: AccessState, { message, now }: Extract<AccessEvent, { kind: 'failed' }>): AccessEffect[] {
  if (!state.sendingWhole) return again(state, now)
  const tickets = state.sending ?? []
  state.sending = undefined
  state.reload = true
  const effects: AccessEffect[] = [...settle(state, [...tickets, ...takeWaiting(state)], message), { kind: 'broken', message }]
  if (!state.woken) {
    state.woken = true
    effects.push({ kind: 'wake', ms: RETRY_MS })
  }
  return effects
}

function again(state: AccessState, now: MonoMs): AccessEffect[] {
  state.waiting.unshift(...(state.sending ?? []))
  state.sending = undefined
  state.reload = true
  return next(state, now)
}

function goOn(state: AccessState, now: MonoMs): AccessEffect[] {
  if (state.dirty.size === 0 && !state.reload && state.waiting.length === 0) return []
  return next(state, now)
}

function changePresence(state: AccessState, present: boolean, now: MonoMs): AccessEffect[] {
  if (present === state.present) return []
  state.present = present
  state.reload = true
  return present ? next(state, now) : settle(state, takeWaiting(state))
}

function wholeChange(state: AccessState, now: MonoMs): AccessChange {
  state.told.clear()
  state.dirty.clear()
  state.fresh.clear()
  const change = emptyChange(true)
  for (const held of state.held.values()) tell(state, change, held, true, now)
  state.minors.clear()
  for (const { minor } of state.held.values()) if (minor !== undefined) state.minors.add(minor)
  return change
}

function smallChange(state: AccessState, now: MonoMs): AccessChange {
  const change = emptyChange(false)
  for (const mac of state.dirty) {
    const held = state.held.get(mac)
    if (held) tell(state, change, held, state.fresh.has(mac), now)
    else {
      change.purge.push(mac)
      state.told.delete(mac)
    }
  }
  state.dirty.clear()
  state.fresh.clear()
  return change
}

/** Adds to `change` what brings the kernel from what it was told of this client to what holds now. */
function tell(state: AccessState, change: AccessChange, held: Held, fresh: boolean, now: MonoMs): void {
  const { mac, minor, downKbps, upKbps, bytesUp, bytesDown } = held
  const before = state.told.get(mac)
  const online = held.ended === undefined && held.until > now
  if (online) change.online.push({ mac, seconds: Math.ceil((held.until - now) / 1000), fresh, bytesUp, bytesDown })
  else change.offline.push(mac)
  const told: Told = { online, down: false, up: false }
  if (online && minor !== undefined) {
    told.minor = minor
    told.down = downKbps !== undefined
    told.up = upKbps !== undefined
    change.classes.push({
      minor,
      ...(downKbps === undefined ? {} : { downKbps }),
      ...(upKbps === undefined ? {} : { upKbps }),
    })
  }
  for (const direction of ['down', 'up'] as const) {
    const was = before?.[direction] ? before.minor : undefined
    const is = told[direction] ? told.minor : undefined
    if (was !== undefined && was !== is) change.dropClasses.push({ direction, minor: was })
    if (was !== is)
      change.sort.push({ direction, mac, ...(was === undefined ? {} : { before: was }), ...(is === undefined ? {} : { after: is }) })
  }
  if (before?.minor !== undefined && before.minor !== told.minor) state.minors.delete(before.minor)
  state.told.set(mac, told)
}

const emptyChange = (whole: boolean): AccessChange => ({
  whole,
  online: [],
  offline: [],
  purge: [],
  classes: [],
  sort: [],
  dropClasses: [],
})

function takeMinor(state: AccessState): number | undefined {
  for (let tries = FIRST_MINOR; tries <= LAST_MINOR; tries++) {
    const minor = state.nextMinor
    state.nextMinor = minor >= LAST_MINOR ? FIRST_MINOR : minor + 1
    if (state.minors.has(minor)) continue
    state.minors.add(minor)
    return minor
  }
  return undefined
}

function takeWaiting(state: AccessState): number[] {
  const tickets = state.waiting
  state.waiting = []
  return tickets
}

function settle(_state: AccessState, tickets: number[], error?: string): AccessEffect[] {
  if (tickets.length === 0) return []
  return [{ kind: 'settle', tickets, ...(error === undefined ? {} : { error }) }]
}
