/** `plugins.beacon` of the config, as plugin.json's schema has filled it in. */
import { Failure, type Problem } from '../../daemon/contract/errors.ts'
import { eddystoneKey, proximityKey, urlKey } from './frames/frames.ts'
import { type BroadcastSpec, WECHAT_UUID } from './frames/payload.ts'
import type { Zone } from './presence/presence.machine.ts'

export type Kind = 'fixed' | 'staff' | 'cart' | 'tag' | 'member'

export interface BeaconEntry {
  kind: Kind
  uuid?: string
  major?: number
  minor?: number
  namespace?: string
  instance?: string
  url?: string
  zone?: string
  /** dBm at 1 m. */
  p1m?: number
  /** Whose tag it is. */
  member?: string
  silentSeconds?: number
}

export interface BeaconConfig {
  adapter: string
  beacons: Record<string, BeaconEntry>
  unknown: 'count' | 'report'
  zones: Zone[]
  range?: number
  exponent: number
  hysteresis: number
  zoneSeconds: number
  enter: { sightings: number; withinSeconds: number }
  leaveSeconds: number
  health: { silentSeconds: number; lowBatteryMv: number; everyMinutes: number }
  broadcast?: {
    on: boolean
    preset?: 'wechat'
    uuid?: string
    major: number
    minor: number
    power: number
    intervalMs: number
  }
  watchdogSeconds: number
}

/** What identifies a beacon, as events show it. */
export interface Identity {
  uuid?: string
  major?: number
  minor?: number
  namespace?: string
  instance?: string
  url?: string
}

export interface Registered {
  name: string
  entry: BeaconEntry
  identity: Identity
}

/** Key of a beacon -> what is configured of it. Rejects two names for one beacon, and a beacon without an identity. */
export function registered(config: BeaconConfig): Map<string, Registered> {
  const known = new Map<string, Registered>()
  const problems: Problem[] = []
  for (const [name, entry] of Object.entries(config.beacons)) {
    const path = `plugins.beacon.beacons.${name}`
    const found = identify(entry)
    if (!found) {
      problems.push({ path, message: 'must be told apart by uuid, major and minor, or by namespace and instance, or by url' })
      continue
    }
    const other = known.get(found.key)
    if (other) problems.push({ path, message: `is the same beacon as ${other.name}` })
    else known.set(found.key, { name, entry, identity: found.identity })
  }
  if (problems.length > 0) throw new Failure('config-invalid', problems.map((one) => `${one.path} ${one.message}`).join('; '), problems)
  return known
}

function identify(entry: BeaconEntry): { key: string; identity: Identity } | undefined {
  const { uuid, major, minor, namespace, instance, url } = entry
  if (uuid !== undefined && major !== undefined && minor !== undefined)
    return { key: proximityKey(uuid, major, minor), identity: { uuid: uuid.toLowerCase(), major, minor } }
  if (namespace !== undefined && instance !== undefined)
    return { key: eddystoneKey(namespace, instance), identity: { namespace: namespace.toLowerCase(), instance: instance.toLowerCase() } }
  return url === undefined ? undefined : { key: urlKey(url), identity: { url } }
}

/** Undefined: nothing is to be broadcast. */
export function broadcastSpec(config: BeaconConfig): BroadcastSpec | undefined {
  const { broadcast } = config
  if (!broadcast?.on) return undefined
  const uuid = broadcast.uuid ?? (broadcast.preset === 'wechat' ? WECHAT_UUID : undefined)
  if (uuid === undefined) {
    const problem = { path: 'plugins.beacon.broadcast', message: 'needs a uuid, or preset: wechat' }
    throw new Failure('config-invalid', `${problem.path} ${problem.message}`, [problem])
  }
  const { major, minor, power, intervalMs } = broadcast
  return { uuid, major, minor, power, intervalMs }
}
