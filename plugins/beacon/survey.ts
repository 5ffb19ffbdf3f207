/** Commands of the set-up: what is on the air now, and what a beacon's level is at one metre. */
import { Failure } from '../../daemon/contract/errors.ts'
import type { Json } from '../../daemon/contract/json.ts'
import type { Clock } from '../../daemon/contract/plugin.ts'
import type { BeaconConfig } from './config.ts'
import type { Frame } from './frames/frames.ts'
import { type Hearing, identityOf } from './hearing.ts'
import { distanceOf } from './presence/filter.ts'

/** Beacons in one answer at most. */
const MOST = 200
/** Readings without which a level is a guess. */
const FEWEST_READINGS = 10

export interface Survey {
  hearing: Hearing
  clock: Clock
  signal: AbortSignal
  config: BeaconConfig
  scanning: boolean
}

interface Found {
  frames: Map<string, Frame>
  readings: number[]
  power: number
}

/** Listens for `seconds` and tells which beacons it heard. Radios that are no beacons do not appear. */
export async function nearby(survey: Survey, { seconds }: { seconds: number }): Promise<Json> {
  const found = new Map<string, Found>()
  await listen(survey, seconds, ({ key, frames, rssi, power }) => {
    if (key === undefined) return
    const known: Found = found.get(key) ?? { frames: new Map(), readings: [], power }
    if (!found.has(key) && found.size < MOST) found.set(key, known)
    for (const frame of frames) known.frames.set(frame.kind, frame)
    known.readings.push(rssi)
  })
  const beacons = [...found].map(([key, one]) => describe(survey, key, one))
  return { seconds, beacons: beacons.sort((a, b) => b.rssi - a.rssi) }
}

function describe({ hearing, config }: Survey, key: string, found: Found) {
  const known = hearing.registered(key)
  const rssi = median(found.readings)
  const power = known?.entry.p1m ?? found.power
  return {
    ...(known ? { name: known.name, kind: known.entry.kind } : {}),
    ...(identityOf([...found.frames.values()]) ?? {}),
    frames: [...found.frames.keys()],
    rssi,
    sightings: found.readings.length,
    power,
    distance: Math.round(distanceOf(rssi, power, config.exponent) * 10) / 10,
  }
}

/** The beacon lies one metre from the antenna, in the open: its median level is its `p1m`. */
export async function calibrate(survey: Survey, { name, seconds }: { name: string; seconds: number }): Promise<Json> {
  if (!(name in survey.config.beacons)) {
    const names = Object.keys(survey.config.beacons)
    throw new Failure(
      'args-invalid',
      `name: no beacon "${name}" is configured; there are ${names.length === 0 ? 'none' : names.join(', ')}`,
    )
  }
  const readings: number[] = []
  await listen(survey, seconds, ({ key, rssi }) => {
    if (key !== undefined && survey.hearing.registered(key)?.name === name) readings.push(rssi)
  })
  if (readings.length < FEWEST_READINGS)
    throw new Failure(
      'device-offline',
      `"${name}" was heard ${readings.length} times in ${seconds} s; ${FEWEST_READINGS} readings are needed: bring it nearer or listen longer`,
    )
  const sorted = readings.sort((a, b) => a - b)
  const quarter = (share: number): number => sorted[Math.floor((sorted.length - 1) * share)] ?? 0
  return { name, p1m: median(sorted), readings: sorted.length, spread: quarter(0.75) - quarter(0.25) }
}

async function listen({ hearing, clock, signal, scanning }: Survey, seconds: number, tap: Parameters<Hearing['tap']>[0]): Promise<void> {
  if (!scanning) throw new Failure('device-offline', 'the adapter does not scan now; see the state of beacon/-')
  const end = hearing.tap((heard) => {
    // "Not available".
    if (heard.rssi !== 127) tap(heard)
  })
  try {
    await clock.sleep(seconds * 1_000, signal)
  } finally {
    end()
  }
}

function median(readings: readonly number[]): number {
  const sorted = [...readings].sort((a, b) => a - b)
  return sorted[sorted.length >> 1] ?? 0
}
