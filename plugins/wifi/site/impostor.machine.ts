/**
 * Access points that imitate the shop's: its SSID, or one that looks the same, from an address that is not the shop's, or
 * from the shop's address with less protection. Seen in two scans in a row it is reported, once, until it has been away for a while.
 */
import type { Machine } from '../../../daemon/contract/machine.ts'

export interface ShopNetwork {
  /** SSID's hex. */
  ssid: string
  /** `lookOf` the SSID. */
  look: string
  /** Addresses (`aa:bb:cc:dd:ee:ff`) or their beginnings (`aa:bb:cc`), lower case. */
  bssids: readonly string[]
  /** What the shop's own access points have at least. */
  security?: 'open' | 'wpa' | 'wpa2' | 'wpa3'
}

export interface Sighting {
  ssid: string
  look: string
  bssid: string
  channel: number
  signal: number
  security: string
}

export type ImpostorReason = 'unknown-bssid' | 'weaker-security' | 'look-alike'

export interface ImpostorPolicy {
  shops: readonly ShopNetwork[]
  /** Away for this long, it is a new appearance when it comes back, ms. */
  goneMs: number
  /** A first sighting is looked at again after this time, ms. */
  confirmMs: number
}

interface Suspect {
  scans: number
  reported: boolean
  lastSeen: number
}

export interface ImpostorState {
  policy: ImpostorPolicy
  readonly suspects: Map<string, Suspect>
}

export type ImpostorEvent =
  | { kind: 'scan'; points: readonly Sighting[]; now: number }
  /** A report could not be stored: it is due again when the access point is next seen. */
  | { kind: 'not-reported'; point: Sighting }
  | { kind: 'policy'; policy: ImpostorPolicy }

export type ImpostorEffect =
  | { kind: 'report'; point: Sighting; reason: ImpostorReason }
  /** Scan again after this time. */
  | { kind: 'confirm'; ms: number }

/** A hostile neighbour can make up addresses for ever. */
const MOST_SUSPECTS = 64

export function newImpostors(policy: ImpostorPolicy): ImpostorState {
  return { policy, suspects: new Map() }
}

export const impostorMachine: Machine<ImpostorState, ImpostorEvent, ImpostorEffect> = {
  step(state, event) {
    if (event.kind === 'policy') {
      state.policy = event.policy
      return []
    }
    if (event.kind === 'not-reported') {
      const suspect = state.suspects.get(keyOf(event.point))
      if (suspect) suspect.reported = false
      return []
    }
    const { now, points } = event
    const effects: ImpostorEffect[] = []
    const seen = new Set<string>()
    let confirm = false
    for (const point of points) {
      const reason = imitates(point, state.policy.shops, points)
      const key = keyOf(point)
      if (!reason || seen.has(key)) continue
      seen.add(key)
      let suspect = state.suspects.get(key)
      if (!suspect && state.suspects.size >= MOST_SUSPECTS) continue
      if (!suspect || now - suspect.lastSeen > state.policy.goneMs) suspect = { scans: 0, reported: false, lastSeen: now }
      suspect.scans += 1
      suspect.lastSeen = now
      state.suspects.set(key, suspect)
      if (suspect.reported) continue
      if (suspect.scans < 2) confirm = true
      else {
        suspect.reported = true
        effects.push({ kind: 'report', point, reason })
      }
    }
    for (const [key, suspect] of state.suspects) {
      if (now - suspect.lastSeen > state.policy.goneMs) state.suspects.delete(key)
      // In a row: one that is not there this time begins again.
      else if (!seen.has(key) && !suspect.reported) suspect.scans = 0
    }
    return confirm ? [...effects, { kind: 'confirm', ms: state.policy.confirmMs }] : effects
  },
}

function keyOf({ bssid, ssid }: Sighting): string {
  return `${bssid} ${ssid}`
}

function imitates(point: Sighting, shops: readonly ShopNetwork[], all: readonly Sighting[]): ImpostorReason | undefined {
  const own = (bssid: string) => shops.some(({ bssids }) => isOneOf(bssid, bssids))
  const same = shops.find(({ ssid }) => ssid === point.ssid)
  if (!same) {
    const alike = point.look !== '' && shops.some(({ look }) => look === point.look)
    return alike && !own(point.bssid) ? 'look-alike' : undefined
  }
  const known = (bssid: string) => isOneOf(bssid, same.bssids)
  if (!known(point.bssid)) return 'unknown-bssid'
  // Not told what to expect: WPA2 beside WPA3 is usual, an open one beside a protected one is not.
  const protectedToo = all.some(({ ssid, bssid, security }) => ssid === same.ssid && known(bssid) && strength(security) >= LEAST.wpa)
  const least = same.security === undefined ? (protectedToo ? LEAST.wpa : LEAST.open) : LEAST[same.security]
  return strength(point.security) < least ? 'weaker-security' : undefined
}

/** "Locally administered" (IEEE 802-2014, 8.2.2). */
const LOCAL = 0x02

/**
 * Addresses, or how they begin. An access point makes the addresses of its further networks, of its mesh links and of the guests' network
 * from its own: with the local bit set, and often a few more bits of the first byte. So where a maker's beginning is given, that byte does not count.
 */
export function isOneOf(bssid: string, bssids: readonly string[]): boolean {
  const derived = (Number.parseInt(bssid.slice(0, 2), 16) & LOCAL) !== 0
  return bssids.some((one) => bssid.startsWith(one) || (derived && one.length < WHOLE && bssid.startsWith(one.slice(2), 2)))
}

/** Characters of a whole address. */
const WHOLE = 17

const LEAST = { open: 0, wpa: 2, wpa2: 3, wpa3: 4 }

/** By nmcli's words. */
function strength(security: string): number {
  if (/WPA3/.test(security)) return 4
  if (/WPA2|802\.1X/.test(security)) return 3
  if (/WPA/.test(security)) return 2
  if (/WEP/.test(security)) return 1
  return 0
}
