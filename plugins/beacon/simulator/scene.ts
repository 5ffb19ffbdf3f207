/** Scenes: who is on the air and what the adapter does, as a file says it. */
import { readFileSync } from 'node:fs'
import { parse } from 'yaml'
import badge from '../scenes/badge.json' with { type: 'json' }
import battery from '../scenes/battery.json' with { type: 'json' }
import crowd from '../scenes/crowd.json' with { type: 'json' }
import hang from '../scenes/hang.json' with { type: 'json' }
import shop from '../scenes/shop.json' with { type: 'json' }
import type { Faults } from './controller.ts'

export interface SceneBeacon {
  uuid?: string
  major?: number
  minor?: number
  /** Sent as AltBeacon instead of iBeacon. */
  altbeacon?: boolean
  namespace?: string
  instance?: string
  /** dBm at 1 m. */
  power: number
  everyMs: number
  /** [ms, metres] points; one point: it stays there. */
  path: [at: number, metres: number][]
  battery?: { mv: number; mvPerMinute: number }
}

export interface SceneFault {
  atMs: number
  forMs: number
  /** A switch of the controller, or: the adapter is pulled and put back, resets itself, or another program takes it. */
  fault: keyof Faults | 'unplugged' | 'resets-itself' | 'scan-taken' | 'advertising-taken'
}

export interface Scene {
  seed: number
  /** The paths begin again after so long; 0: never. */
  loopMs: number
  beacons: SceneBeacon[]
  phones: { count: number; everyMs: number; rotateMs: number }
  radio: { exponent: number; shadow: number; fading: number; loss: number; floor: number }
  adapter: SceneFault[]
}

const SCENES: Record<string, unknown> = { badge, battery, crowd, hang, shop }
export const SCENE_NAMES = Object.keys(SCENES)

/** A scene of ours by its name, or a YAML or JSON file. Throws with what is wrong and what is allowed. */
export function loadScene(name: string): Scene {
  return readScene(SCENES[name] ?? parse(readFileSync(name, 'utf8')), name)
}

type Raw = Record<string, unknown>

export function readScene(value: unknown, name: string): Scene {
  const raw = object(value, name)
  only(raw, name, ['about', 'seed', 'loop', 'beacons', 'phones', 'radio', 'adapter'])
  const phones = object(raw.phones ?? {}, `${name}: phones`)
  const radio = object(raw.radio ?? {}, `${name}: radio`)
  return {
    seed: number(raw.seed ?? 1, `${name}: seed`),
    loopMs: duration(raw.loop ?? 0, `${name}: loop`),
    beacons: list(raw.beacons ?? [], `${name}: beacons`).map((one, at) => beaconOf(one, `${name}: beacons[${at}]`)),
    phones: {
      count: number(phones.count ?? 0, `${name}: phones.count`),
      everyMs: duration(phones.every ?? 300, `${name}: phones.every`),
      rotateMs: duration(phones.rotate ?? '15m', `${name}: phones.rotate`),
    },
    radio: {
      exponent: number(radio.exponent ?? 2.2, `${name}: radio.exponent`),
      shadow: number(radio.shadow ?? 3, `${name}: radio.shadow`),
      fading: number(radio.fading ?? 4, `${name}: radio.fading`),
      loss: number(radio.loss ?? 0.2, `${name}: radio.loss`),
      floor: number(radio.floor ?? -95, `${name}: radio.floor`),
    },
    adapter: list(raw.adapter ?? [], `${name}: adapter`).map((one, at) => faultOf(one, `${name}: adapter[${at}]`)),
  }
}

function beaconOf(value: unknown, where: string): SceneBeacon {
  const raw = object(value, where)
  only(raw, where, ['name', 'uuid', 'major', 'minor', 'altbeacon', 'namespace', 'instance', 'power', 'every', 'at', 'path', 'battery'])
  const path =
    raw.path === undefined
      ? [[0, number(raw.at ?? 3, `${where}.at`)] as [number, number]]
      : list(raw.path, `${where}.path`).map((point, at) => {
          const [when, metres] = list(point, `${where}.path[${at}]`)
          return [duration(when, `${where}.path[${at}]`), number(metres, `${where}.path[${at}]`)] as [number, number]
        })
  const battery = raw.battery === undefined ? undefined : object(raw.battery, `${where}.battery`)
  const eddystone = raw.namespace !== undefined
  if (!eddystone && typeof raw.uuid !== 'string') throw new Error(`${where}: needs uuid, major and minor, or namespace and instance`)
  return {
    ...(eddystone
      ? { namespace: hex(raw.namespace, 10, `${where}.namespace`), instance: hex(raw.instance, 6, `${where}.instance`) }
      : {
          uuid: hex(String(raw.uuid).replaceAll('-', ''), 16, `${where}.uuid`),
          major: number(raw.major ?? 0, `${where}.major`),
          minor: number(raw.minor ?? 0, `${where}.minor`),
          altbeacon: raw.altbeacon === true,
        }),
    power: number(raw.power ?? -59, `${where}.power`),
    everyMs: Math.max(20, duration(raw.every ?? 300, `${where}.every`)),
    path,
    ...(battery
      ? {
          battery: {
            mv: number(battery.mv ?? 3_000, `${where}.battery.mv`),
            mvPerMinute: number(battery.perMinute ?? 0, `${where}.battery.perMinute`),
          },
        }
      : {}),
  }
}

const FAULTS: readonly SceneFault['fault'][] = [
  'refusesAdvertisingWhileScanning',
  'refusesAdvertising',
  'silent',
  'scanStuckUntilReset',
  'hung',
  'hangsOnReset',
  'malformed',
  'unplugged',
  'resets-itself',
  'scan-taken',
  'advertising-taken',
]

function faultOf(value: unknown, where: string): SceneFault {
  const raw = object(value, where)
  only(raw, where, ['at', 'for', 'fault'])
  const fault = FAULTS.find((one) => one === raw.fault)
  if (!fault) throw new Error(`${where}.fault: "${String(raw.fault)}" is none of ${FAULTS.join(', ')}`)
  return { atMs: duration(raw.at ?? 0, `${where}.at`), forMs: duration(raw.for ?? 0, `${where}.for`), fault }
}

function only(raw: Raw, where: string, allowed: readonly string[]): void {
  for (const key of Object.keys(raw))
    if (!allowed.includes(key)) throw new Error(`${where}: unknown key "${key}"; allowed: ${allowed.join(', ')}`)
}

function object(value: unknown, where: string): Raw {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Error(`${where}: must be a mapping`)
  return value as Raw
}

function list(value: unknown, where: string): unknown[] {
  if (!Array.isArray(value)) throw new Error(`${where}: must be a list`)
  return value
}

function number(value: unknown, where: string): number {
  if (typeof value !== 'number' || !Number.isFinite(value)) throw new Error(`${where}: must be a number, not ${JSON.stringify(value)}`)
  return value
}

function hex(value: unknown, bytes: number, where: string): string {
  if (typeof value !== 'string' || !/^[0-9a-f]*$/i.test(value) || value.length !== bytes * 2)
    throw new Error(`${where}: must be ${bytes} bytes of hex`)
  return value.toLowerCase()
}

/** Milliseconds, or "500ms", "10s", "2m". */
function duration(value: unknown, where: string): number {
  if (typeof value === 'number' && value >= 0) return value
  const [, amount, unit] = /^(\d+(?:\.\d+)?)(ms|s|m)$/.exec(String(value)) ?? []
  if (amount === undefined) throw new Error(`${where}: must be a time like 500ms, 10s or 2m, not ${JSON.stringify(value)}`)
  return Number(amount) * (unit === 'm' ? 60_000 : unit === 's' ? 1_000 : 1)
}
