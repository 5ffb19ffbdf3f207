/** The radio looked at, over and over: its condition as device state, its uplink as events. The machines decide, this performs. */
import type { Command } from '../../daemon/contract/command.ts'
import { Failure } from '../../daemon/contract/errors.ts'
import type { Json, JsonObject } from '../../daemon/contract/json.ts'
import type { DeviceState, PluginContext, RunningPlugin } from '../../daemon/contract/plugin.ts'
import { Commands } from './commands.ts'
import { Condition } from './condition.ts'
import { configured, readingPolicy, type WifiConfig } from './config.ts'
import { isTooLong, Networks } from './networks.ts'
import { OwnAccessPoints } from './nmcli/access-points.ts'
import { CONNECTED, type Device, devices, hasOtherUplink, UNAVAILABLE, whyNoRadio } from './nmcli/devices.ts'
import { NmcliFault } from './nmcli/fault.ts'
import { type AccessPoint, Radio } from './nmcli/radio.ts'
import { newReading, type ReadingEffect, readingMachine } from './reading.machine.ts'
import { SiteWatch } from './site/watch.ts'
import { quoted, type SsidHex, shown } from './ssid.ts'
import { preferred } from './uplink.machine.ts'
import { type Settled, Uplink } from './uplink.ts'

export class Wifi implements RunningPlugin {
  readonly #context: PluginContext<WifiConfig>
  readonly #condition: Condition
  readonly #networks: Networks
  readonly #radio: Radio
  readonly #own: OwnAccessPoints
  readonly #uplink: Uplink
  readonly #site: SiteWatch
  readonly #commands: Commands
  readonly #reading
  #config: WifiConfig
  #iface: string | undefined
  #point: AccessPoint | undefined
  #wired = false
  #looking: Promise<void> | undefined
  #cancelLook = (): void => {}
  #lookAt = Number.POSITIVE_INFINITY
  /** Asked for while a look was going on. */
  #again: number | undefined

  constructor(context: PluginContext<WifiConfig>) {
    this.#context = context
    this.#config = context.config
    this.#condition = new Condition((state) => context.state('-', state), context.log)
    this.#networks = new Networks(context.store)
    this.#radio = new Radio(context.signal)
    this.#own = new OwnAccessPoints(context.signal)
    this.#reading = newReading(readingPolicy(context.config))
    this.#uplink = new Uplink(context, this.#networks, this.#radio, {
      look: (ms) => this.#lookIn(ms),
      settled: (how) => this.#settled(how),
    })
    this.#site = new SiteWatch(context, this.#radio, {
      iface: () => this.#iface,
      busy: () => this.#uplink.busy,
      bssid: () => this.#point?.bssid,
    })
    this.#commands = new Commands({
      context,
      networks: this.#networks,
      uplink: this.#uplink,
      site: this.#site,
      now: () => ({ condition: this.#condition.state, iface: this.#iface, point: this.#point, wired: this.#wired, config: this.#config }),
    })
  }

  async start(): Promise<void> {
    this.#warnOfNames()
    await this.#networks.load(this.#config)
    await this.#uplink.load()
    this.#site.start()
    this.#lookIn(0)
  }

  handle(command: Command, signal: AbortSignal): Promise<Json> {
    if (command.device !== '-') throw new Failure('device-unknown', `wifi has one device, "-", not "${command.device}"`)
    return this.#commands.handle(command, signal)
  }

  async configure(config: JsonObject): Promise<void> {
    this.#config = config as unknown as WifiConfig
    this.#warnOfNames()
    readingMachine.step(this.#reading, { kind: 'policy', policy: readingPolicy(this.#config) })
    this.#site.configure(this.#config)
    const changed = await this.#networks.configure(this.#config)
    await this.#uplink.configure(this.#config, changed)
    this.#lookIn(0)
  }

  async stop(): Promise<void> {
    this.#cancelLook()
    this.#site.stop()
    await this.#looking
    await this.#uplink.stop()
  }

  #warnOfNames(): void {
    const long = configured(this.#config).filter(({ ssid }) => isTooLong(ssid))
    for (const { ssid } of long)
      this.#context.log.warn({ network: quoted(ssid) }, 'this network is left out: an SSID has 32 bytes at most, in UTF-8')
  }

  /** The earliest look that anybody asks for is the one that comes. */
  #lookIn(ms: number): void {
    const { clock, signal } = this.#context
    if (signal.aborted) return
    if (this.#looking) {
      this.#again = Math.min(this.#again ?? ms, ms)
      return
    }
    const at = clock.mono() + ms
    if (at >= this.#lookAt) return
    this.#cancelLook()
    this.#lookAt = at
    this.#cancelLook = clock.timer(ms, () => {
      this.#lookAt = Number.POSITIVE_INFINITY
      this.#looking = this.#look().then((next) => {
        this.#looking = undefined
        const soonest = Math.min(next, this.#again ?? next)
        this.#again = undefined
        this.#lookIn(soonest)
      })
    })
  }

  /** Resolves with the time to the next look, ms. */
  async #look(): Promise<number> {
    const { signal } = this.#context
    const pollMs = this.#config.pollSeconds * 1_000
    const { ended } = this.#uplink
    try {
      const all = await devices(signal)
      const serving = await this.#own.among(all)
      const radio = this.#choose(all.filter(({ name }) => !serving.has(name)))
      if (!radio || radio.state <= UNAVAILABLE) {
        this.#lost()
        this.#uplink.use(undefined)
        const { interface: named } = this.#config
        const isGuests = !radio && (named === undefined ? serving.size > 0 : serving.has(named))
        const why = isGuests ? 'access-point' : await whyNoRadio(radio, signal)
        return this.#condition.trouble(why, pollMs)
      }
      this.#iface = radio.name
      this.#uplink.use(radio.name)
      this.#wired = hasOtherUplink(all)
      return await this.#see(radio, pollMs, () => this.#uplink.ended !== ended)
    } catch (error) {
      if (signal.aborted) return pollMs
      // The radio is still where it was, for all that is known: a trial under way goes on.
      this.#lost()
      return this.#condition.trouble(error instanceof NmcliFault ? error.kind : 'refused', pollMs)
    }
  }

  /** `isOld`: a try has ended since the look began. What it saw would be taken for the loss of what has just come up: it is made again. */
  async #see(radio: Device, pollMs: number, isOld: () => boolean): Promise<number> {
    const connected = radio.state === CONNECTED
    const working = connected && radio.addresses.length > 0
    this.#point = connected ? await this.#radio.current(radio.name) : undefined
    if (isOld()) return 0
    const active = this.#activeOf(radio)
    if (working && active !== undefined) await this.#uplink.tidy(active, radio)
    const wants = working && !this.#wired && !this.#uplink.busy && preferred({ ...this.#uplink.state, active }).length > 0
    const reach = wants ? await this.#inReach(radio.name) : undefined
    if (isOld()) return 0
    await this.#uplink.send({
      kind: 'seen',
      working: working && active !== undefined,
      wired: this.#wired,
      now: this.#context.clock.mono(),
      ...(active === undefined ? {} : { active }),
      ...(reach ? { reach } : {}),
    })
    if (isOld()) return 0
    this.#read(working ? active : undefined, radio.name)
    if (!working && this.#uplink.denied) return this.#condition.trouble('not-authorized', pollMs)
    this.#condition.usable(this.#stateOf(working))
    return pollMs
  }

  #choose(all: readonly Device[]): Device | undefined {
    const radios = all.filter(({ type }) => type === 'wifi')
    if (this.#config.interface !== undefined) return radios.find(({ name }) => name === this.#config.interface)
    // The one in use stays in use; then whichever is connected; then the first that is ready.
    const ready = radios.filter(({ state }) => state > UNAVAILABLE)
    // A trial, and the way back from it, stay on their radio.
    const held = this.#uplink.busy ? ready.find(({ name }) => name === this.#iface) : undefined
    const connected = ready.find(({ state }) => state === CONNECTED)
    return (
      held ??
      ready.find(({ name, state }) => name === this.#iface && (state === CONNECTED || !connected)) ??
      connected ??
      ready[0] ??
      radios[0]
    )
  }

  #lost(): void {
    this.#iface = undefined
    this.#point = undefined
    readingMachine.step(this.#reading, { kind: 'gone' })
  }

  /** A hidden network's name may be missing from the list: its profile knows it. */
  #activeOf({ connection }: Device): SsidHex | undefined {
    if (this.#point && this.#point.ssid !== '') return this.#point.ssid
    return connection === undefined ? undefined : this.#uplink.profiles.ssidOf(connection)
  }

  async #inReach(iface: string): Promise<Set<SsidHex>> {
    const reach = new Set((await this.#radio.known(iface)).map(({ ssid }) => ssid))
    // Nobody hears a hidden one without calling it, which costs the uplink: once, then only when nothing else works or it is asked for.
    for (const { ssid, hidden } of this.#networks.all) if (hidden && !this.#uplink.state.refused.has(ssid)) reach.add(ssid)
    return reach
  }

  #stateOf(working: boolean): DeviceState {
    if (working) return this.#reading.weak ? { state: 'online', detail: 'weak-signal' } : { state: 'online' }
    if (this.#uplink.busy) return { state: 'offline', detail: 'connecting' }
    return this.#wired || this.#networks.order.length === 0
      ? { state: 'online', detail: 'not-in-use' }
      : { state: 'offline', detail: 'disconnected' }
  }

  #read(active: SsidHex | undefined, iface: string): void {
    const { clock } = this.#context
    if (active === undefined || !this.#point) {
      if (active === undefined) readingMachine.step(this.#reading, { kind: 'gone' })
      return
    }
    const reading = { ...this.#point, ssid: active, interface: iface }
    for (const effect of readingMachine.step(this.#reading, { kind: 'reading', reading, now: clock.mono() })) this.#tell(effect)
  }

  #tell(effect: ReadingEffect): void {
    // Weakness shows as device state, at the end of this look.
    if (effect.kind !== 'report') return
    const { ssid, ...rest } = effect.reading
    if (effect.change === 'connected') this.#context.log.info({ network: quoted(ssid), quality: rest.quality }, 'uplink')
    this.#emit('uplink', { ...shown(ssid), ...rest, change: effect.change }, () => readingMachine.step(this.#reading, { kind: 'gone' }))
  }

  async #settled(how: Settled): Promise<void> {
    await this.#commands.settled(how)
    if (how.up) return
    const network = quoted(how.network)
    this.#context.log.warn(
      { network, reason: how.reason, back: how.back === undefined ? null : quoted(how.back) },
      'a network did not come up',
    )
    const back = how.back === undefined ? {} : { back: shown(how.back).ssid }
    this.#emit('network-failed', { ...shown(how.network), reason: how.reason, ...back }, () => {})
  }

  #emit(event: string, data: JsonObject, failed: () => void): void {
    this.#context.emit({ device: '-', event, data }).catch(failed)
  }
}
