/** From facts and a match to what people see: a device name, whether it is configured already, YAML to paste. Pure. */
import { stringify } from 'yaml'
import type { JsonObject } from '../contract/json.ts'
import type { Manifest } from '../contract/plugin.ts'
import type { Found } from './api.ts'
import { bestMatch, type Facts, type Matched } from './match.ts'

type Sections = Readonly<Record<string, JsonObject>>

/** A found thing together with the device name its snippet proposes. */
export interface Proposal extends Found {
  device?: string
}

/** All facts as proposals, sorted by kind and port; names never clash with configured devices or each other. */
export function propose(facts: readonly Facts[], manifests: readonly Manifest[], sections: Sections): Proposal[] {
  const taken = new Map(Object.entries(sections).map(([plugin, section]) => [plugin, new Set(Object.keys(devicesOf(section)))]))
  return recognised(facts, manifests).map(({ one, matched }) => {
    // What a device or the LAN says of itself ends up on terminals and in YAML.
    const label = (matched?.name ?? one.label).replace(/\p{Cc}+/gu, ' ').trim() || one.port
    const base = { id: `${one.kind}:${one.port}`, kind: one.kind, port: one.port, label }
    const configuredAs = configuredDevice(one, sections)
    const known = configuredAs === undefined ? {} : { configuredAs }
    if (!matched) return { ...base, ...known }
    const { plugin, confidence, config } = matched
    if (configuredAs !== undefined) return { ...base, plugin, confidence, ...known }
    const names = taken.get(plugin) ?? new Set<string>()
    taken.set(plugin, names)
    const device = freeName(label, plugin, names)
    names.add(device)
    return { ...base, plugin, confidence, config, device, snippet: snippet(plugin, device, config, label) }
  })
}

interface Recognised {
  one: Facts
  matched?: Matched
}

/**
 * A printer announces the same instance under several service types (RFC 6763 4.1.1: one name for one thing); of those that
 * one plugin knows, the surest is kept.
 */
function recognised(facts: readonly Facts[], manifests: readonly Manifest[]): Recognised[] {
  const surest = new Map<string, Recognised>()
  for (const one of [...facts].sort(byKindAndPort)) {
    const matched = bestMatch(one, manifests)
    const key = one.kind === 'network' ? `${one.label} ${hostOf(one.port)} ${matched?.plugin ?? ''}` : `${one.kind} ${one.port}`
    const other = surest.get(key)?.matched
    if (!other || (matched && matched.confidence > other.confidence)) surest.set(key, matched ? { one, matched } : { one })
  }
  return [...surest.values()].sort((a, b) => byKindAndPort(a.one, b.one))
}

const hostOf = (port: string): string => port.replace(/:\d+$/, '')

/** `plugin/device` whose config names this port in any of its spellings, under whatever key. */
function configuredDevice(facts: Facts, sections: Sections): string | undefined {
  const spellings = [facts.port, ...facts.aliases].map(canonical)
  // A plugin may know its usual port: `tcp://192.168.1.50` alone is that host.
  const ports = new Set([...spellings, ...spellings.filter((one) => one.includes('://')).map(hostOf)])
  for (const [plugin, section] of Object.entries(sections))
    for (const [device, config] of Object.entries(devicesOf(section)))
      if (Object.values(asObject(config)).some((value) => typeof value === 'string' && ports.has(canonical(value))))
        return `${plugin}/${device}`
  return undefined
}

/** `hid:` and `file:` say how to read the node, not which node it is; host names know no case and may end in a dot. */
function canonical(port: string): string {
  if (/^[a-z]+:\/\//i.test(port)) return port.toLowerCase().replace(/\.?(:\d+)?\/?$/, '$1')
  return port.replace(/^(hid|file):/, '')
}

/**
 * A device name out of a label: lower case, words joined by `-`, `-2` and so on where it is taken.
 * Always one that the config's rules allow.
 */
export function freeName(label: string, plugin: string, taken: ReadonlySet<string>): string {
  const words = label
    .normalize('NFKD')
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-+|-+$/g, '')
  const base = (words === '' ? plugin : words).slice(0, LONGEST).replace(/-+$/, '')
  for (let number = 1; ; number += 1) {
    const name = number === 1 ? base : `${base}-${number}`
    if (!taken.has(name)) return name
  }
}

/** Room for `-999` within the 48 characters a device name may have, and short enough for a topic people type. */
const LONGEST = 32

/** Goes below the line `plugins:` as it is. */
export function snippet(plugin: string, device: string, config: JsonObject, label: string): string {
  const text = stringify({ [plugin]: { devices: { [device]: config } } }, { lineWidth: 0 })
  return `  # ${label}\n${text.replace(/^(?=.)/gm, '  ')}`
}

const KINDS = ['serial', 'usb-printer', 'hid', 'network']

function byKindAndPort(a: Facts, b: Facts): number {
  return KINDS.indexOf(a.kind) - KINDS.indexOf(b.kind) || (a.port < b.port ? -1 : a.port > b.port ? 1 : 0)
}

function devicesOf(section: JsonObject): JsonObject {
  return asObject(section.devices)
}

function asObject(value: unknown): JsonObject {
  return value !== null && typeof value === 'object' && !Array.isArray(value) ? (value as JsonObject) : {}
}
