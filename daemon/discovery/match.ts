/** Found things against the plugins' `match` data: pure, so that a catalogue can be tried without hardware. */
import type { Json, JsonObject } from '../contract/json.ts'
import type { Manifest, Match } from '../contract/plugin.ts'
import type { FoundKind } from './api.ts'

/** What is known of a thing before anybody says what it is. */
export interface Facts {
  kind: FoundKind
  /** What a device's `port` takes. */
  port: string
  /** What it says of itself (USB strings, mDNS instance name), else its node's name. */
  label: string
  /** `vid:pid`, four lower-case hex digits each, of whatever carries it. */
  usb?: string
  /** mDNS service type. */
  mdns?: string
  /** Other names of the same port: `/dev/ttyUSB0`, a by-path link, `tcp://name.local:9100`. */
  aliases: string[]
}

export interface Matched {
  plugin: string
  confidence: number
  /** The catalogue's name of it. */
  name?: string
  /** The rule's device config with `{port}` filled in. */
  config: JsonObject
}

/** Of a rule that does not say how sure it is. */
const UNSTATED = 50

/** The best rule of all manifests. Ties go to the rule that says more, then to the plugin's name, so that the answer is stable. */
export function bestMatch(facts: Facts, manifests: readonly Manifest[]): Matched | undefined {
  let best: { matched: Matched; weight: number } | undefined
  for (const manifest of [...manifests].sort((a, b) => (a.name < b.name ? -1 : 1)))
    for (const rule of manifest.match ?? []) {
      if (!matches(rule, facts)) continue
      const confidence = rule.confidence ?? UNSTATED
      const weight = confidence * 1_000 + specificity(rule)
      if (best && best.weight >= weight) continue
      best = {
        weight,
        matched: {
          plugin: manifest.name,
          confidence,
          ...(rule.name === undefined ? {} : { name: rule.name }),
          config: withPort(rule.config ?? { port: '{port}' }, facts.port),
        },
      }
    }
  return best?.matched
}

/** All given keys must match; a rule without any matches nothing. */
export function matches(rule: Match, facts: Facts): boolean {
  const wanted: [string | undefined, string | undefined][] = [
    [rule.usb, facts.kind === 'serial' || facts.kind === 'usb-printer' ? facts.usb : undefined],
    [rule.hid, facts.kind === 'hid' ? facts.usb : undefined],
    [rule.mdns, facts.mdns],
    [rule.kind, facts.kind],
  ]
  const given = wanted.filter(([pattern]) => pattern !== undefined)
  return given.length > 0 && given.every(([pattern, value]) => value !== undefined && like(pattern ?? '', value))
}

/** The mDNS service types that the manifests name: what is worth asking the network for. */
export function browsedTypes(manifests: readonly Manifest[]): string[] {
  const types = manifests.flatMap((manifest) => (manifest.match ?? []).flatMap((rule) => (rule.mdns === undefined ? [] : [rule.mdns])))
  return [...new Set(types.map((type) => type.toLowerCase()))].filter((type) => /^_[a-z0-9-]+\._(tcp|udp)$/.test(type)).sort()
}

function like(pattern: string, value: string): boolean {
  const wanted = pattern.toLowerCase()
  const got = value.toLowerCase()
  return wanted.endsWith('*') ? got.startsWith(wanted.slice(0, -1)) : got === wanted
}

function specificity(rule: Match): number {
  return [rule.usb, rule.hid, rule.mdns, rule.kind].reduce(
    (sum, one) => sum + (one === undefined ? 0 : 10 + one.replace('*', '').length),
    0,
  )
}

function withPort(config: JsonObject, port: string): JsonObject {
  const fill = (value: Json): Json => {
    if (typeof value === 'string') return value.replaceAll('{port}', () => port)
    if (Array.isArray(value)) return value.map(fill)
    if (value !== null && typeof value === 'object') return withPort(value, port)
    return value
  }
  return Object.fromEntries(Object.entries(config).map(([key, value]) => [key, fill(value)]))
}
