/** Whether the shop's beacons are alive: heard, how often, and how full their batteries are. */
import type { Machine } from '../../../daemon/contract/machine.ts'
import { type Doubt, isPossible, isTwo, newDoubt } from './doubt.ts'

/** Gaps kept for the estimate of the interval. Lost packets make gaps of twice and three times: the lower quartile is the interval. */
const GAPS = 16
/** Battery must rise by so much before it is called full again. */
const BATTERY_BACK_MV = 100
/** Reports of one transmission, by a controller that forwards each channel, are one. */
const SAME_MS = 10

export type HealthStatus = 'ok' | 'silent' | 'back' | 'low-battery' | 'impossible-power' | 'two-devices'

export interface HealthOptions {
  lowBatteryMv: number
  /** A sound beacon is told of so often. */
  everyMs: number
}

export interface Patient {
  readonly key: string
  /** Silence that is a fault; absent: this one comes and goes (a tag), only its battery is watched. */
  silentMs?: number
  heardAt?: number
  /** Silence counts from here: the start, the last sighting, or the end of the adapter's own deafness. */
  quietFrom: number
  silent: boolean
  readonly gaps: Float64Array
  count: number
  rssi: number
  batteryMv?: number
  celsius?: number
  low: boolean
  /** Its level at 1 m was measured here: what it claims does not matter. */
  measured: boolean
  /** Told once for each start. */
  impossible: boolean
  two: boolean
  readonly doubt: Doubt
  toldAt: number
}

export interface HealthState {
  options: HealthOptions
  readonly patients: Map<string, Patient>
  deafSince: number | undefined
}

export type HealthEvent =
  | { kind: 'heard'; patient: Patient; rssi: number; now: number }
  /** What it said and where from; `power`: its own claim, dBm at 1 m. */
  | { kind: 'said'; patient: Patient; address: string; power: number; rssi: number; now: number }
  | { kind: 'telemetry'; key: string; batteryMv?: number; celsius?: number; now: number }
  | { kind: 'tick'; now: number }
  | { kind: 'deaf'; since: number }
  | { kind: 'hearing'; now: number }
  /** Nothing could be heard because nothing was there: the silence counts. */
  | { kind: 'quiet' }

export type HealthEffect = { kind: 'health'; key: string; status: HealthStatus }

export function newHealth(options: HealthOptions): HealthState {
  return { options, patients: new Map(), deafSince: undefined }
}

export function attend(state: HealthState, key: string, now: number, silentMs?: number): Patient {
  const patient: Patient = {
    key,
    ...(silentMs === undefined ? {} : { silentMs }),
    quietFrom: now,
    silent: false,
    gaps: new Float64Array(GAPS),
    count: 0,
    rssi: 0,
    low: false,
    measured: false,
    impossible: false,
    two: false,
    doubt: newDoubt(),
    toldAt: now,
  }
  state.patients.set(key, patient)
  return patient
}

const NOTHING: readonly HealthEffect[] = []

export const healthMachine: Machine<HealthState, HealthEvent, HealthEffect> = {
  step(state, event) {
    switch (event.kind) {
      case 'heard':
        return heard(event.patient, event.rssi, event.now)
      case 'said':
        return doubted(event.patient, event.address, event.power, event.rssi, event.now)
      case 'telemetry': {
        const patient = state.patients.get(event.key)
        return patient ? measured(state.options, patient, event) : NOTHING
      }
      case 'tick':
        return state.deafSince === undefined ? look(state, event.now) : NOTHING
      case 'deaf':
        state.deafSince ??= event.since
        return NOTHING
      case 'quiet':
        state.deafSince = undefined
        return NOTHING
      case 'hearing': {
        const since = state.deafSince
        state.deafSince = undefined
        if (since !== undefined)
          for (const patient of state.patients.values()) patient.quietFrom = event.now - Math.max(0, since - patient.quietFrom)
        return NOTHING
      }
    }
  },
}

function heard(patient: Patient, rssi: number, now: number): readonly HealthEffect[] {
  const { heardAt } = patient
  if (heardAt !== undefined && now - heardAt >= SAME_MS && !patient.silent) {
    patient.gaps[patient.count % GAPS] = now - heardAt
    patient.count += 1
  }
  patient.heardAt = now
  patient.quietFrom = now
  patient.rssi = rssi
  if (!patient.silent) return NOTHING
  patient.silent = false
  patient.toldAt = now
  return [{ kind: 'health', key: patient.key, status: 'back' }]
}

function doubted(patient: Patient, address: string, power: number, rssi: number, now: number): readonly HealthEffect[] {
  if (!patient.impossible && !patient.measured && !isPossible(power)) {
    patient.impossible = true
    return [{ kind: 'health', key: patient.key, status: 'impossible-power' }]
  }
  if (patient.two || !isTwo(patient.doubt, address, rssi, now)) return NOTHING
  patient.two = true
  return [{ kind: 'health', key: patient.key, status: 'two-devices' }]
}

function measured(
  options: HealthOptions,
  patient: Patient,
  told: { batteryMv?: number; celsius?: number; now: number },
): readonly HealthEffect[] {
  if (told.celsius !== undefined) patient.celsius = told.celsius
  if (told.batteryMv === undefined) return NOTHING
  patient.batteryMv = told.batteryMv
  if (patient.low) {
    if (told.batteryMv >= options.lowBatteryMv + BATTERY_BACK_MV) patient.low = false
    return NOTHING
  }
  if (told.batteryMv >= options.lowBatteryMv) return NOTHING
  patient.low = true
  patient.toldAt = told.now
  return [{ kind: 'health', key: patient.key, status: 'low-battery' }]
}

function look(state: HealthState, now: number): readonly HealthEffect[] {
  let told: HealthEffect[] | undefined
  for (const patient of state.patients.values()) {
    const status = news(state.options, patient, now)
    if (status === undefined) continue
    patient.toldAt = now
    told ??= []
    told.push({ kind: 'health', key: patient.key, status })
  }
  return told ?? NOTHING
}

function news(options: HealthOptions, patient: Patient, now: number): HealthStatus | undefined {
  if (patient.silentMs === undefined || patient.silent) return undefined
  if (now - patient.quietFrom >= patient.silentMs) {
    patient.silent = true
    return 'silent'
  }
  return patient.heardAt !== undefined && now - patient.toldAt >= options.everyMs ? 'ok' : undefined
}

/** Estimated milliseconds between two transmissions; undefined before there are enough. */
export function intervalOf(patient: Patient): number | undefined {
  const known = Math.min(patient.count, GAPS)
  if (known < 4) return undefined
  const sorted = patient.gaps.slice(0, known).sort()
  return Math.round(sorted[known >> 2] as number)
}
