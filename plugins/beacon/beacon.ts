/** The plugin's one instance: a radio, what it hears, what it sends, and the events and commands of both. */
import { randomBytes } from 'node:crypto'
import type { Command } from '../../daemon/contract/command.ts'
import { Failure } from '../../daemon/contract/errors.ts'
import type { Json, JsonObject } from '../../daemon/contract/json.ts'
import type { DeviceState, MonoMs, PluginContext, RunningPlugin } from '../../daemon/contract/plugin.ts'
import { linkFor } from './adapter/link.ts'
import { Radio } from './adapter/radio.ts'
import { Broadcast } from './broadcast.ts'
import { type BeaconConfig, broadcastSpec, type Registered, registered } from './config.ts'
import { Hearing } from './hearing.ts'
import { HeldUp } from './held-up.ts'
import { Inside } from './inside.ts'
import { Outbox } from './outbox.ts'
import { Crowd, HOUR_MS } from './presence/crowd.ts'
import { type HealthEffect, intervalOf } from './presence/health.machine.ts'
import type { PresenceEffect } from './presence/presence.machine.ts'
import { selfCheck } from './self-check.ts'
import { calibrate, nearby } from './survey.ts'
import { Visits } from './visits.ts'

/** A departure must be told within its silence and a second. */
const TICK_MS = 500
/** A CR2032 under this is in its last weeks. */
const WEAK_MV = 2_400
/** A power cut must not cost a visit more than this of its end. */
const SEEN_MS = 300_000
const QUIET = 'broadcast-off'

export class Beacon implements RunningPlugin {
  readonly #context: PluginContext<BeaconConfig>
  readonly #outbox: Outbox
  readonly #broadcast: Broadcast
  readonly #hearing: Hearing
  readonly #crowd: Crowd
  #lastHour: number | undefined
  #config: BeaconConfig
  #radio: Radio
  #state: DeviceState = { state: 'offline', detail: 'starting' }
  #adapter: DeviceState = { state: 'offline', detail: 'starting' }
  #cancelTick = (): void => {}
  readonly #heldUp = new HeldUp()
  readonly #inside: Inside
  readonly #visits: Visits
  #savedAt = 0
  /** The command `broadcast` has turned it off. */
  #quiet = false

  constructor(context: PluginContext<BeaconConfig>) {
    const { clock, config, log } = context
    const known = registered(config)
    broadcastSpec(config)
    this.#context = context
    this.#config = config
    this.#outbox = new Outbox(context)
    this.#inside = new Inside(context.store, log)
    this.#visits = new Visits(context.pseudonym, (event, data) => this.#outbox.send(event, data))
    this.#hearing = new Hearing(config, known, clock.mono(), {
      presence: (effect) => this.#presence(effect),
      health: (effect) => this.#health(effect),
    })
    this.#broadcast = new Broadcast(
      clock,
      log,
      () => this.#radio,
      () => this.#say(),
    )
    this.#crowd = new Crowd(salt(), clock.mono())
    this.#radio = this.#newRadio()
  }

  async start(): Promise<void> {
    const { store, clock } = this.#context
    const before = await this.#inside.load()
    this.#hearing.restore(before, clock.mono())
    this.#resume(before)
    if (before.length > 0) this.#save()
    this.#savedAt = clock.mono()
    this.#quiet = (await store.get(QUIET)) === true
    this.#want()
    // Until the scan runs, silence is nobody's departure.
    this.#hearing.deaf(clock.mono())
    this.#radio.start()
    this.#tick()
  }

  async handle(command: Command): Promise<Json> {
    if (command.device !== '-') throw new Failure('device-unknown', `beacon has one device, "-", not "${command.device}"`)
    switch (command.command) {
      case 'status':
        return this.#status()
      case 'self-check':
        return this.#selfCheck()
      case 'nearby':
        return nearby(this.#survey(), command.args as { seconds: number })
      case 'calibrate':
        return calibrate(this.#survey(), command.args as { name: string; seconds: number })
      case 'broadcast':
        return this.#switch((command.args as { on: boolean }).on)
      default:
        throw new Failure('command-unknown', `beacon knows broadcast, calibrate, nearby, self-check and status, not "${command.command}"`)
    }
  }

  /** In place: only another adapter makes a new start of the radio. Who is here stays here. */
  async configure(changed: JsonObject): Promise<void> {
    const config = changed as unknown as BeaconConfig
    const known = registered(config)
    broadcastSpec(config)
    const before = this.#config
    const owners = new Map(this.#hearing.inside().map((key) => [key, ownerOf(this.#hearing.registered(key))]))
    this.#config = config
    this.#hearing.configure(config, known, this.#context.clock.mono())
    for (const { key, lastSeen } of this.#hearing.here())
      if (owners.get(key) !== ownerOf(known.get(key))) this.#visits.passOn(key, known.get(key), this.#seen(key, lastSeen))
    this.#save()
    if (config.adapter !== before.adapter) {
      // The one it leaves must not go on being the store.
      await this.#broadcast.stop()
      this.#broadcast.moved()
      this.#radio.stop()
      this.#hearing.deaf(this.#context.clock.mono())
      this.#radio = this.#newRadio()
      this.#radio.start()
    } else this.#radio.configure(config.watchdogSeconds * 1_000)
    // A new broadcast in the config is meant to be heard.
    if (this.#quiet && JSON.stringify(before.broadcast) !== JSON.stringify(config.broadcast)) await this.#setQuiet(false)
    this.#want()
  }

  async stop(): Promise<void> {
    this.#cancelTick()
    await this.#broadcast.stop()
    this.#radio.stop()
    if (this.#hearing.inside().length > 0) this.#save()
    await this.#inside.saved()
    await this.#outbox.drained()
  }

  #newRadio(): Radio {
    const { clock, log } = this.#context
    const radio: Radio = new Radio(linkFor(this.#config.adapter), clock, log, this.#config.watchdogSeconds * 1_000, {
      discover: (peripheral, now) => this.#hearing.discover(peripheral, now),
      other: (packet, at) => this.#crowd.add(packet, at),
      malformed: () => {},
      state: (state) => {
        this.#adapter = state
        this.#say()
      },
      deaf: (since) => this.#hearing.deaf(since),
      hearing: (sure) => this.#hearing.hearing(clock.mono(), sure),
      quiet: () => this.#hearing.quiet(),
      expected: () => this.#hearing.expects,
      ready: () => this.#broadcast.decide({ kind: 'ready' }),
      gone: () => this.#broadcast.decide({ kind: 'gone' }),
      disturbed: () => this.#broadcast.decide({ kind: 'disturbed' }),
    })
    return radio
  }

  #tick(): void {
    const { clock } = this.#context
    const due = clock.mono() + TICK_MS
    this.#cancelTick = clock.timer(TICK_MS, () => {
      const now = clock.mono()
      if (!this.#heldUp.at(now, due)) this.#hearing.tick(now)
      if (now - this.#savedAt >= SEEN_MS && this.#hearing.inside().length > 0) this.#save()
      if (now - this.#crowd.since >= HOUR_MS) {
        this.#lastHour = this.#crowd.count()
        this.#crowd.renew(salt(), now)
      }
      this.#tick()
    })
  }

  #want(): void {
    this.#broadcast.decide({ kind: 'want', spec: this.#quiet ? undefined : broadcastSpec(this.#config) })
  }

  async #switch(on: boolean): Promise<Json> {
    if (on && !broadcastSpec(this.#config))
      throw new Failure('device-unsupported', 'nothing to broadcast: plugins.beacon.broadcast is not configured, or its "on" is false')
    await this.#setQuiet(!on)
    this.#want()
    return { on, mode: this.#broadcast.mode }
  }

  async #setQuiet(quiet: boolean): Promise<void> {
    this.#quiet = quiet
    await (quiet ? this.#context.store.put(QUIET, true) : this.#context.store.delete(QUIET))
  }

  #say(): void {
    const next = this.#combined()
    if (next.state === this.#state.state && next.detail === this.#state.detail) return
    this.#state = next
    this.#context.state('-', next)
  }

  /** The adapter's state; where that is well, the broadcast's. */
  #combined(): DeviceState {
    if (this.#adapter.state !== 'online') return this.#adapter
    const { mode } = this.#broadcast
    if (mode === 'failed') return { state: 'fault', detail: 'broadcast-failed' }
    if (mode === 'on') return { state: 'online', detail: 'broadcasting' }
    return mode === 'time-slicing' ? { state: 'online', detail: 'time-slicing' } : { state: 'online' }
  }

  #presence(effect: PresenceEffect): void {
    const known = this.#hearing.registered(effect.key)
    const { key, kind, lastSeen, ...place } = effect
    // Not heard since a restart: the run before knows.
    const seen = this.#seen(key, effect.rssi === undefined ? undefined : lastSeen, lastSeen)
    this.#outbox.send(kind, { ...this.#who(key, known), ...place, lastSeen: seen } as JsonObject)
    const stays = effect.kind === 'entered' ? effect.from !== undefined : effect.to !== undefined
    if (!known || stays) return
    if (kind === 'entered') this.#visits.came(key, known)
    else this.#visits.left(key, seen)
    this.#save()
  }

  /** Visits that the run before has told of; a tag may have been given to somebody else, or taken from the config, meanwhile. */
  #resume(keys: readonly string[]): void {
    for (const key of keys) {
      const known = this.#hearing.registered(key)
      const visitor = this.#inside.visitorBefore(key)
      this.#visits.resume(key, visitor)
      // An older version stored nobody: whose it is now.
      if (visitor === undefined && known) this.#visits.assume(key, known)
      else this.#visits.passOn(key, known, this.#seen(key))
    }
  }

  #health({ key, status }: HealthEffect): void {
    const patient = this.#hearing.patient(key)
    const known = this.#hearing.registered(key)
    if (!patient || !known) return
    const intervalMs = intervalOf(patient)
    this.#outbox.send('health', {
      ...this.#who(key, known),
      status,
      ...(known.entry.zone === undefined ? {} : { zone: known.entry.zone }),
      ...(patient.heardAt === undefined ? {} : { lastSeen: this.#wallOf(patient.heardAt), rssi: patient.rssi }),
      ...(intervalMs === undefined ? {} : { intervalMs }),
      ...(patient.batteryMv === undefined ? {} : { batteryMv: patient.batteryMv }),
      ...(patient.celsius === undefined ? {} : { celsius: patient.celsius }),
    })
    if (status === 'silent') this.#context.log.warn({ beacon: known.name }, 'a beacon of the shop is silent')
  }

  #who(key: string, known: Registered | undefined): JsonObject {
    return { ...(known ? { name: known.name, kind: known.entry.kind } : { kind: 'unknown' }), ...this.#hearing.identity(key) } as JsonObject
  }

  #wallOf(mono: number): string {
    const { clock } = this.#context
    return new Date(clock.wall() - (clock.mono() - (mono as MonoMs))).toISOString()
  }

  /** When it was last seen; where this run has not heard it, the run before knows. */
  #seen(key: string, lastSeen?: number, otherwise: number = this.#context.clock.mono()): string {
    return (lastSeen === undefined ? this.#inside.seenBefore(key) : undefined) ?? this.#wallOf(lastSeen ?? otherwise)
  }

  #save(): void {
    this.#savedAt = this.#context.clock.mono()
    this.#inside.save(
      this.#hearing.here().map(({ key, lastSeen }) => {
        const visitor = this.#visits.visitor(key)
        return {
          key,
          ...(lastSeen === undefined ? {} : { seen: this.#wallOf(lastSeen) }),
          ...(visitor === undefined ? {} : { visitor }),
        }
      }),
    )
  }

  #survey() {
    return {
      hearing: this.#hearing,
      clock: this.#context.clock,
      signal: this.#context.signal,
      config: this.#config,
      scanning: this.#radio.scanningNow,
    }
  }

  #selfCheck(): Json {
    const patients = this.#hearing.patients()
    return selfCheck({
      adapter: this.#config.adapter,
      state: this.#state,
      fixed: patients.length,
      silent: patients.filter(({ patient }) => patient.silent).map(({ name }) => name),
      weak: patients.flatMap(({ patient: { batteryMv }, name }) =>
        batteryMv !== undefined && batteryMv < WEAK_MV ? [{ name, batteryMv }] : [],
      ),
      impossible: patients.filter(({ patient }) => patient.impossible).map(({ name }) => name),
      two: patients.filter(({ patient }) => patient.two).map(({ name }) => name),
      addresses: this.#crowd.count(),
    })
  }

  #status(): Json {
    const { clock } = this.#context
    const { mode, detail, spec } = this.#broadcast
    return {
      ...this.#state,
      adapter: this.#config.adapter,
      radio: { ...this.#radio.counters },
      heard: { ...this.#hearing.counters },
      inside: this.#hearing.inside().map((key) => this.#hearing.registered(key)?.name ?? ''),
      beacons: this.#hearing.patients().map(({ patient, name }) => ({
        name,
        silent: patient.silent,
        ...(patient.heardAt === undefined ? {} : { lastSeen: this.#wallOf(patient.heardAt), rssi: patient.rssi }),
        ...(intervalOf(patient) === undefined ? {} : { intervalMs: intervalOf(patient) as number }),
        ...(patient.batteryMv === undefined ? {} : { batteryMv: patient.batteryMv }),
      })),
      broadcast: { mode, ...(detail === '' ? {} : { detail }), ...(spec ? { uuid: spec.uuid, major: spec.major, minor: spec.minor } : {}) },
      others: {
        addresses: this.#crowd.count(),
        sinceMinutes: Math.floor((clock.mono() - this.#crowd.since) / 60_000),
        ...(this.#lastHour === undefined ? {} : { hourBefore: this.#lastHour }),
      },
      waiting: this.#outbox.waiting,
    }
  }
}

/** Whose the tag is, as the config says it: pseudonyms may change with the day. */
function ownerOf(known: Registered | undefined): string {
  return JSON.stringify(known && [known.entry.kind, known.entry.member ?? `tag:${known.name}`])
}

function salt(): Uint32Array {
  const bytes = randomBytes(8)
  return Uint32Array.of(bytes.readUInt32LE(0), bytes.readUInt32LE(4))
}
