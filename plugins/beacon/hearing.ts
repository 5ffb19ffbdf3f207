/** From noble's discoveries to decisions: which beacon it is, how far, whether it has come or gone, and whether it is well. */
import type { Peripheral } from '@abandonware/noble'
import type { BeaconConfig, Identity, Registered } from './config.ts'
import { beaconKey, type Frame, framesOf, powerOf } from './frames/frames.ts'
import { believed } from './presence/doubt.ts'
import { attend, type HealthEffect, type HealthState, healthMachine, newHealth, type Patient } from './presence/health.machine.ts'
import {
  follow,
  newPresence,
  type PresenceEffect,
  type PresenceOptions,
  type PresenceState,
  presenceMachine,
  type Tracked,
} from './presence/presence.machine.ts'

/** Beacons that are not registered, followed at once at most. Whoever makes up more is counted only. */
const MOST_UNKNOWN = 256
/** An unknown one that is not here is forgotten after so long without a sighting. */
const FORGET_MS = 60_000
/** "Not available" (Vol 4, Part E, 7.7.65.2). */
const NO_RSSI = 127

export interface HearingEvents {
  presence(effect: PresenceEffect): void
  health(effect: HealthEffect): void
}

interface Followed {
  /** Absent for a fixed beacon. */
  tracked?: Tracked
  /** Absent for one that is not registered. */
  patient?: Patient
  /** The last one it sent from. */
  address: string
}

/** A listener for set-up: hears every frame while it is there. */
export type Tap = (heard: { key: string | undefined; frames: Frame[]; rssi: number; power: number }) => void

export class Hearing {
  readonly #presence: PresenceState
  readonly #health: HealthState
  readonly #on: HearingEvents
  readonly #taps = new Set<Tap>()
  /** Registered beacons by the address they last sent from: telemetry names nobody. */
  readonly #addresses = new Map<string, string>()
  /** Everything of a beacon in one look-up. */
  readonly #followed = new Map<string, Followed>()
  readonly #unknown = new Map<string, Identity>()
  #known: ReadonlyMap<string, Registered>
  #config: BeaconConfig
  readonly counters = { sightings: 0, strangers: 0, telemetry: 0, unreadable: 0 }

  constructor(config: BeaconConfig, known: ReadonlyMap<string, Registered>, now: number, on: HearingEvents) {
    this.#config = config
    this.#known = known
    this.#on = on
    this.#presence = newPresence(presenceOptions(config))
    this.#health = newHealth(healthOptions(config))
    for (const key of known.keys()) this.#take(key, now)
  }

  /** The hot path: once for each report that carries a beacon's frame. */
  discover(peripheral: Peripheral, now: number): void {
    const { advertisement, rssi } = peripheral
    const key = beaconKey(advertisement)
    if (this.#taps.size > 0) this.#tapped(peripheral, key)
    if (key === undefined) this.#nameless(peripheral, now)
    if (key === undefined || rssi === NO_RSSI) return
    const followed = this.#followed.get(key) ?? this.#stranger(key, peripheral, now)
    if (!followed) return
    this.counters.sightings += 1
    const { tracked, patient } = followed
    const power = powerOf(advertisement)
    // Of two devices with one identity nobody can say in which zone "it" is.
    if (tracked) this.#decidePresence({ kind: 'heard', tracked, rssi, power: believed(power), now, torn: patient?.two === true })
    if (!patient) return
    if (followed.address !== peripheral.address) this.#moved(followed, key, peripheral.address)
    this.#decideHealth({ kind: 'heard', patient, rssi, now })
    if (!patient.two) this.#decideHealth({ kind: 'said', patient, address: peripheral.address, rssi, power, now })
    // Telemetry beside the identity, in one advertisement.
    if (advertisement.serviceData.length > 0) this.#measure(key, framesOf(advertisement), now)
  }

  tick(now: number): void {
    this.#decidePresence({ kind: 'tick', now })
    this.#decideHealth({ kind: 'tick', now })
    if (this.#unknown.size > 0) this.#forget(now)
  }

  deaf(since: number): void {
    this.#decidePresence({ kind: 'deaf', since })
    this.#decideHealth({ kind: 'deaf', since })
  }

  /** `sure`: it was deaf indeed. */
  hearing(now: number, sure: boolean): void {
    this.#decidePresence({ kind: 'hearing', now, sure })
    this.#decideHealth(sure ? { kind: 'hearing', now } : { kind: 'quiet' })
  }

  /** The air is empty, and nobody's silence is excused. */
  quiet(): void {
    this.#decidePresence({ kind: 'quiet' })
    this.#decideHealth({ kind: 'quiet' })
  }

  /** Whether a fixed beacon, which always sends, is not known to be silent. */
  get expects(): boolean {
    for (const { silentMs, silent } of this.#health.patients.values()) if (silentMs !== undefined && !silent) return true
    return false
  }

  /** Takes a changed config in place: who is here stays here. */
  configure(config: BeaconConfig, known: ReadonlyMap<string, Registered>, now: number): void {
    const before = this.#known
    for (const key of before.keys())
      if (!known.has(key)) {
        this.#decidePresence({ kind: 'drop', key, now })
        this.#health.patients.delete(key)
        this.#addresses.delete(this.#followed.get(key)?.address ?? '')
        this.#followed.delete(key)
      }
    const sightings = config.enter.sightings
    this.#known = known
    this.#config = config
    this.#presence.options = presenceOptions(config)
    this.#health.options = healthOptions(config)
    if (config.unknown === 'count') for (const key of this.#unknown.keys()) this.#drop(key, now)
    for (const key of known.keys()) {
      const tracked = this.#presence.tracked.get(key)
      if (!tracked || tracked.recent.length !== sightings || before.get(key)?.entry.kind !== known.get(key)?.entry.kind)
        this.#take(key, now)
      else this.#adjust(key)
    }
  }

  /** They were here when the gateway stopped: they have the time of a departure to be heard again. */
  restore(keys: readonly string[], now: number): void {
    for (const key of keys) if (this.#follows(key)) this.#take(key, now, true)
  }

  /** Keys of the registered ones that are here. */
  inside(): string[] {
    return [...this.#presence.tracked.values()].filter((one) => one.inside && this.#known.has(one.key)).map((one) => one.key)
  }

  /** The same, with the monotonic ms of the last sighting, if there was one since the start. */
  here(): { key: string; lastSeen?: number }[] {
    return this.inside().map((key) => {
      const tracked = this.#presence.tracked.get(key)
      return tracked && tracked.signal.count > 0 ? { key, lastSeen: tracked.lastSeen } : { key }
    })
  }

  registered(key: string): Registered | undefined {
    return this.#known.get(key)
  }

  identity(key: string): Identity {
    return this.#known.get(key)?.identity ?? this.#unknown.get(key) ?? {}
  }

  patient(key: string): Patient | undefined {
    return this.#health.patients.get(key)
  }

  /** All registered ones, with their names. */
  patients(): { name: string; patient: Patient }[] {
    return [...this.#health.patients.values()].map((patient) => ({ name: this.#known.get(patient.key)?.name ?? '', patient }))
  }

  /** Every frame heard until the returned function is called. */
  tap(tap: Tap): () => void {
    this.#taps.add(tap)
    return () => this.#taps.delete(tap)
  }

  /** Fixed ones are the shop's furniture: watched, not awaited. */
  #follows(key: string): boolean {
    const known = this.#known.get(key)
    return known !== undefined && known.entry.kind !== 'fixed'
  }

  #take(key: string, now: number, inside = false): void {
    const entry = this.#known.get(key)?.entry
    if (!entry) return
    const was = this.#presence.tracked.get(key)
    const followed: Followed = { address: this.#followed.get(key)?.address ?? '' }
    if (entry.kind !== 'fixed') {
      const here = inside || was?.inside === true
      followed.tracked = follow(this.#presence, key, {
        ...(entry.p1m === undefined ? {} : { power: entry.p1m }),
        ...(entry.zone === undefined ? {} : { zone: entry.zone }),
        ...(here ? { inside: { now: was?.inside ? was.quietFrom : now } } : {}),
      })
    } else if (was) this.#drop(key, now)
    followed.patient = this.#health.patients.get(key) ?? attend(this.#health, key, now)
    this.#followed.set(key, followed)
    this.#adjust(key)
  }

  #adjust(key: string): void {
    const entry = this.#known.get(key)?.entry
    const tracked = this.#presence.tracked.get(key)
    const patient = this.#health.patients.get(key)
    if (tracked) {
      delete tracked.power
      delete tracked.zone
      Object.assign(tracked, entry?.p1m === undefined ? {} : { power: entry.p1m }, entry?.zone === undefined ? {} : { zone: entry.zone })
    }
    if (!patient) return
    patient.measured = entry?.p1m !== undefined
    delete patient.silentMs
    if (entry?.kind === 'fixed') patient.silentMs = (entry.silentSeconds ?? this.#config.health.silentSeconds) * 1_000
  }

  #drop(key: string, now: number): void {
    this.#decidePresence({ kind: 'drop', key, now })
    this.#unknown.delete(key)
    this.#followed.delete(key)
  }

  /** Undefined: it is counted only. */
  #stranger(key: string, peripheral: Peripheral, now: number): Followed | undefined {
    this.counters.strangers += 1
    if (this.#config.unknown === 'count' || this.#unknown.size >= MOST_UNKNOWN) return undefined
    const identity = identityOf(framesOf(peripheral.advertisement))
    if (!identity) return undefined
    const tracked = follow(this.#presence, key, {})
    tracked.lastSeen = now
    const followed: Followed = { tracked, address: peripheral.address }
    this.#unknown.set(key, identity)
    this.#followed.set(key, followed)
    return followed
  }

  #forget(now: number): void {
    for (const key of this.#unknown.keys()) {
      const tracked = this.#presence.tracked.get(key)
      if (!tracked || (!tracked.inside && now - tracked.lastSeen >= FORGET_MS)) this.#drop(key, now)
    }
  }

  #nameless({ advertisement, address }: Peripheral, now: number): void {
    const frames = framesOf(advertisement)
    if (frames.length === 0) this.counters.unreadable += 1
    const key = this.#addresses.get(address)
    if (key !== undefined) this.#measure(key, frames, now)
  }

  #measure(key: string, frames: readonly Frame[], now: number): void {
    for (const frame of frames) {
      if (frame.kind !== 'eddystone-tlm') continue
      this.counters.telemetry += 1
      const { batteryMv, celsius } = frame
      this.#decideHealth({
        kind: 'telemetry',
        key,
        now,
        ...(batteryMv === undefined ? {} : { batteryMv }),
        ...(celsius === undefined ? {} : { celsius }),
      })
    }
  }

  #moved(followed: Followed, key: string, address: string): void {
    this.#addresses.delete(followed.address)
    this.#addresses.set(address, key)
    followed.address = address
  }

  #tapped({ advertisement, rssi }: Peripheral, key: string | undefined): void {
    const heard = { key, frames: framesOf(advertisement), rssi, power: believed(powerOf(advertisement)) }
    for (const tap of this.#taps) tap(heard)
  }

  #decidePresence(event: Parameters<typeof presenceMachine.step>[1]): void {
    for (const effect of presenceMachine.step(this.#presence, event)) this.#on.presence(effect)
  }

  #decideHealth(event: Parameters<typeof healthMachine.step>[1]): void {
    for (const effect of healthMachine.step(this.#health, event)) this.#on.health(effect)
  }
}

export function identityOf(frames: readonly Frame[]): Identity | undefined {
  for (const frame of frames) {
    if (frame.kind === 'ibeacon' || frame.kind === 'altbeacon') return { uuid: frame.uuid, major: frame.major, minor: frame.minor }
    if (frame.kind === 'eddystone-uid') return { namespace: frame.namespace, instance: frame.instance }
    if (frame.kind === 'eddystone-url') return { url: frame.url }
  }
  return undefined
}

function presenceOptions(config: BeaconConfig): PresenceOptions {
  return {
    sightings: config.enter.sightings,
    withinMs: config.enter.withinSeconds * 1_000,
    silentMs: config.leaveSeconds * 1_000,
    exponent: config.exponent,
    ...(config.range === undefined ? {} : { range: config.range }),
    zones: [...config.zones].sort((a, b) => a.within - b.within),
    hysteresis: config.hysteresis,
    dwellMs: config.zoneSeconds * 1_000,
  }
}

function healthOptions(config: BeaconConfig) {
  return { lowBatteryMv: config.health.lowBatteryMv, everyMs: config.health.everyMinutes * 60_000 }
}
