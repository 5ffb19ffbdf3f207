/** Who is on the guest network, from every sign there is; when to ask whether somebody still is; and what looks like two behind one MAC. */
import type { Machine } from '../../../daemon/contract/machine.ts'
import type { MonoMs } from '../../../daemon/contract/plugin.ts'
import type { Mac, Sighting, Station, Suspicion } from './api.ts'

/** One `seen` in this time is enough: the portal debounces minutes. */
const SEEN_EVERY_MS = 10_000
/** Silent for so long, and the kernel is asked to ask (ARP); it gives up about 5 s later. */
const PROBE_AFTER_MS = 40_000
/** A station that nobody has heard of for so long is forgotten. */
const FORGET_MS = 24 * 3_600_000
/** Two places within this time and back again are two machines, not one that moved. */
const BOTH_WITHIN_MS = 60_000
const SUSPECT_AGAIN_MS = 3_600_000
/** A flood of made-up MACs must not fill the memory. */
const MOST = 20_000
const FULL_MS = 10_000
/** Asked at a time; the rest is asked with the next tick. */
const MOST_PROBES = 500

interface Known {
  mac: Mac
  /** Its addresses, latest first. */
  ips: string[]
  hostname?: string
  sign: MonoMs
  told: MonoMs | undefined
  here: boolean
  places: Record<'ip' | 'port', { now?: string; before?: string; at: MonoMs }>
  suspected: MonoMs | undefined
}

export class StationsState {
  readonly byMac = new Map<Mac, Known>()
  readonly byIp = new Map<string, Mac>()
  /** Set while it is full of stations that are here: until then nobody is looked for who could make room. */
  fullUntil: MonoMs | undefined
}

export type StationsEvent =
  | { kind: 'sign'; sign: Sighting['kind']; mac: Mac; by: string; now: MonoMs; ip?: string; hostname?: string; port?: string }
  /** The kernel has given up an address. */
  | { kind: 'failed'; ip: string; now: MonoMs }
  | { kind: 'tick'; now: MonoMs }

export type StationsEffect =
  | { kind: 'sighting'; sighting: Sighting }
  | { kind: 'probe'; stations: { mac: Mac; ip: string }[] }
  | { kind: 'suspect'; suspicion: Suspicion }

export const stationsMachine: Machine<StationsState, StationsEvent, StationsEffect> = {
  step(state, event) {
    switch (event.kind) {
      case 'sign':
        return sign(state, event)
      case 'failed':
        return failed(state, event.ip, event.now)
      case 'tick':
        return tick(state, event.now)
    }
  },
}

export function stationOf(state: StationsState, ip: string): Station | undefined {
  const mac = state.byIp.get(ip)
  const known = mac === undefined ? undefined : state.byMac.get(mac)
  if (!known) return undefined
  return { mac: known.mac, ip, ...(known.hostname === undefined ? {} : { hostname: known.hostname }) }
}

export const addressesOf = (state: StationsState, mac: Mac): readonly string[] => state.byMac.get(mac)?.ips ?? []

function sign(state: StationsState, event: Extract<StationsEvent, { kind: 'sign' }>): StationsEffect[] {
  const { mac, ip, hostname, port, now } = event
  const known = state.byMac.get(mac) ?? meet(state, mac, now)
  if (!known) return []
  const effects: StationsEffect[] = []
  const suspect = (why: Suspicion['why']): void => {
    if (known.suspected !== undefined && now - known.suspected < SUSPECT_AGAIN_MS) return
    known.suspected = now
    effects.push({ kind: 'suspect', suspicion: { mac, why, at: now } })
  }
  if (port !== undefined && isBetween(known.places.port, port, now)) suspect('two-ports')
  if (ip !== undefined && isBetween(known.places.ip, ip, now)) suspect('two-addresses')
  // A phone keeps its name; a second name while the first is still here is a second machine, or somebody who renamed it.
  if (hostname !== undefined && known.hostname !== undefined && hostname !== known.hostname && known.here) suspect('two-names')
  if (hostname !== undefined) known.hostname = hostname
  if (ip !== undefined) hold(state, known, ip)
  const isGone = event.sign === 'left' || event.sign === 'silent'
  const isNews = isGone ? known.here : !known.here || event.sign === 'joined'
  if (!isGone) known.sign = now
  known.here = !isGone
  if (!isNews && (isGone || (known.told !== undefined && now - known.told < SEEN_EVERY_MS))) return effects
  known.told = now
  effects.push(sighting(known, event.sign, event.by, now))
  return effects
}

/** Whether it is here, there and here again in short time. Remembers where it was. */
function isBetween(place: Known['places']['ip'], now: string, at: MonoMs): boolean {
  if (place.now === now) return false
  const isBack = place.before === now && at - place.at < BOTH_WITHIN_MS
  if (place.now === undefined) delete place.before
  else place.before = place.now
  place.now = now
  place.at = at
  return isBack
}

function failed(state: StationsState, ip: string, now: MonoMs): StationsEffect[] {
  const mac = state.byIp.get(ip)
  const known = mac === undefined ? undefined : state.byMac.get(mac)
  // An older address of somebody who has a newer one says nothing.
  if (!known?.here || known.ips[0] !== ip) return []
  known.here = false
  known.told = now
  return [sighting(known, 'silent', 'neighbour', now)]
}

function tick(state: StationsState, now: MonoMs): StationsEffect[] {
  const stations: { mac: Mac; ip: string }[] = []
  for (const known of state.byMac.values()) {
    if (now - known.sign > FORGET_MS) forget(state, known)
    else if (known.here && now - known.sign > PROBE_AFTER_MS && known.ips[0] !== undefined && stations.length < MOST_PROBES)
      stations.push({ mac: known.mac, ip: known.ips[0] })
  }
  return stations.length > 0 ? [{ kind: 'probe', stations }] : []
}

function meet(state: StationsState, mac: Mac, now: MonoMs): Known | undefined {
  if (state.byMac.size >= MOST) {
    if (state.fullUntil !== undefined && now < state.fullUntil) return undefined
    const absent = firstAbsent(state)
    if (!absent) {
      state.fullUntil = (now + FULL_MS) as MonoMs
      return undefined
    }
    forget(state, absent)
  }
  const known: Known = {
    mac,
    ips: [],
    sign: now,
    told: undefined,
    here: false,
    places: { ip: { at: now }, port: { at: now } },
    suspected: undefined,
  }
  state.byMac.set(mac, known)
  return known
}

function firstAbsent(state: StationsState): Known | undefined {
  for (const known of state.byMac.values()) if (!known.here) return known
  return undefined
}

function hold(state: StationsState, known: Known, ip: string): void {
  const owner = state.byIp.get(ip)
  if (owner !== undefined && owner !== known.mac) {
    const other = state.byMac.get(owner)
    if (other) other.ips = other.ips.filter((one) => one !== ip)
  }
  state.byIp.set(ip, known.mac)
  if (known.ips[0] === ip) return
  known.ips = [ip, ...known.ips.filter((one) => one !== ip)]
  for (const old of known.ips.splice(4)) state.byIp.delete(old)
}

function forget(state: StationsState, known: Known): void {
  state.byMac.delete(known.mac)
  for (const ip of known.ips) if (state.byIp.get(ip) === known.mac) state.byIp.delete(ip)
}

function sighting({ mac, ips: [ip], hostname }: Known, kind: Sighting['kind'], by: string, at: MonoMs): StationsEffect {
  return {
    kind: 'sighting',
    sighting: { kind, mac, by, at, ...(ip === undefined ? {} : { ip }), ...(hostname === undefined ? {} : { hostname }) },
  }
}
