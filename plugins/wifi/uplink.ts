/** Performs what `uplink.machine.ts` decides: saves its intent, tries networks, keeps or drops their profiles. */
import { Failure } from '../../daemon/contract/errors.ts'
import type { Json } from '../../daemon/contract/json.ts'
import type { PluginContext } from '../../daemon/contract/plugin.ts'
import { isPassword, passwordOf, uplinkPolicy, type WifiConfig } from './config.ts'
import { accessOf, type Networks } from './networks.ts'
import type { Device } from './nmcli/devices.ts'
import { NmcliFault } from './nmcli/fault.ts'
import { Profiles, priorityOf } from './nmcli/profiles.ts'
import { prove } from './nmcli/proof.ts'
import type { Radio } from './nmcli/radio.ts'
import { quoted, type SsidHex } from './ssid.ts'
import { uplinkMachine } from './uplink.machine.ts'
import { type Durable, newUplink, type TryMode, type UplinkEffect, type UplinkEvent, type UplinkState } from './uplink.state.ts'

/** How a trial ended. */
export interface Settled {
  network: SsidHex
  up: boolean
  reason: string
  asked: boolean
  /** What the box is on instead. */
  back?: SsidHex
}

const STORE_KEY = 'uplink'

export class Uplink {
  readonly profiles: Profiles
  readonly #context: PluginContext<WifiConfig>
  readonly #networks: Networks
  readonly #radio: Radio
  readonly #on: { look: (ms: number) => void; settled: (how: Settled) => Promise<void> }
  #config: WifiConfig
  #state: UplinkState
  #iface: string | undefined
  /** Events are taken one by one, each with all its effects. */
  #queue: Promise<void> = Promise.resolve()
  #trying: Promise<void> = Promise.resolve()
  readonly #used = new Map<SsidHex, { uuid: string; iface: string }>()
  #whenIdle: (() => void)[] = []
  #stored = true
  #denied = false
  /** Why a profile could last not be brought in order, said once. */
  #cause = ''
  #ended = 0

  constructor(
    context: PluginContext<WifiConfig>,
    networks: Networks,
    radio: Radio,
    on: { look: (ms: number) => void; settled: (how: Settled) => Promise<void> },
  ) {
    this.#context = context
    this.#config = context.config
    this.#networks = networks
    this.#radio = radio
    this.#on = on
    this.profiles = new Profiles(context.store, context.signal)
    this.#state = newUplink(uplinkPolicy(context.config), {})
  }

  async load(): Promise<void> {
    await this.profiles.load()
    await this.#begin()
  }

  get state(): Readonly<UplinkState> {
    return this.#state
  }

  /** polkit has refused the last try. */
  get denied(): boolean {
    return this.#denied
  }

  get busy(): boolean {
    return this.#state.task !== undefined || this.#state.unfinished
  }

  /** How many tries have ended: what was seen before the last one did is no news any more. */
  get ended(): number {
    return this.#ended
  }

  /** The radio to use from now on. */
  use(iface: string | undefined): void {
    this.#iface = iface
  }

  /** A policy that has changed takes effect when nothing is under trial: the intent on disk is carried over. */
  async configure(config: WifiConfig, changed: readonly SsidHex[]): Promise<void> {
    this.#config = config
    const policy = uplinkPolicy(config)
    if (JSON.stringify(policy) !== JSON.stringify(this.#state.policy)) Object.assign(this.#state.policy, policy)
    await this.send({ kind: 'networks', networks: this.#networks.order, changed })
  }

  send(event: UplinkEvent): Promise<void> {
    const done = this.#queue.then(() => this.#perform(uplinkMachine.step(this.#state, event)))
    this.#queue = done.catch(() => {})
    return done
  }

  /** Resolves when nothing is being tried, or rejects with the signal's reason. */
  async idle(signal: AbortSignal): Promise<void> {
    while (this.busy) {
      signal.throwIfAborted()
      await new Promise<void>((resolve) => {
        this.#whenIdle.push(resolve)
        signal.addEventListener('abort', () => resolve(), { once: true })
      })
    }
  }

  async stop(): Promise<void> {
    await this.#trying
    await this.#queue
  }

  async #begin(): Promise<void> {
    const durable = ((await this.#context.store.get(STORE_KEY)) ?? {}) as Durable
    this.#state = newUplink(uplinkPolicy(this.#config), durable)
    await this.send({ kind: 'networks', networks: this.#networks.order, changed: [] })
  }

  async #perform(effects: readonly UplinkEffect[]): Promise<void> {
    for (const effect of effects) await this.#act(effect)
    if (!this.busy) for (const resolve of this.#whenIdle.splice(0)) resolve()
  }

  async #act(effect: UplinkEffect): Promise<void> {
    switch (effect.kind) {
      case 'save':
        return this.#save(effect.durable, effect.tell)
      case 'try':
        this.#trying = this.#try(effect.network, effect.mode, effect.ms)
        return
      case 'keep': {
        const used = this.#used.get(effect.network)
        await this.#quietly('keep', async () => {
          await this.#networks.keep(effect.network)
          void this.send({ kind: 'networks', networks: this.#networks.order, changed: [] })
          if (used)
            await this.profiles.keep(effect.network, used.uuid, used.iface, priorityOf(this.#networks.order.indexOf(effect.network)))
        })
        return
      }
      case 'drop':
        return this.#quietly('drop', () => this.profiles.drop(effect.network))
      case 'settled':
        return this.#on.settled(effect)
      case 'look':
        this.#on.look(effect.ms)
    }
  }

  async #save(durable: Durable, tell: boolean): Promise<void> {
    let stored = true
    try {
      await this.#context.store.put(STORE_KEY, structuredClone(durable) as unknown as Json)
    } catch {
      stored = false
    }
    if (stored !== this.#stored) {
      this.#stored = stored
      if (!stored) this.#context.log.warn({}, 'the state of the uplink cannot be stored; no network is put on trial')
    }
    // Not awaited: it is the next in the queue that this is the head of.
    if (tell || !stored) void this.send({ kind: stored ? 'saved' : 'not-saved' })
  }

  async #try(network: SsidHex, mode: TryMode, ms: number): Promise<void> {
    const { clock, signal } = this.#context
    const iface = this.#iface
    let reason = ''
    try {
      reason = iface === undefined ? 'no-radio' : await this.#bring(network, mode, iface, clock.mono() + ms)
    } catch (error) {
      if (signal.aborted) return
      reason = error instanceof NmcliFault ? error.kind : error instanceof Failure ? error.code : 'refused'
    }
    this.#denied = reason === 'not-authorized'
    this.#ended += 1
    if (!signal.aborted) void this.send({ kind: 'tried', network, up: reason === '', reason, now: clock.mono() })
  }

  /** Resolves with why it did not come up; empty: it did. */
  async #bring(network: SsidHex, mode: TryMode, iface: string, untilMs: number): Promise<string> {
    const { clock, signal, log } = this.#context
    const known = this.#networks.find(network)
    const proven = this.profiles.proven(network)
    // Its password is NetworkManager's alone: there is nothing to make another profile of.
    const keptThere = known?.from === 'command' && known.password === undefined && known.security !== 'open'
    // Back to what worked, as it was: not with what has just failed.
    const asItWas = proven !== undefined && (mode === 'return' || keptThere)
    if (asItWas) await this.profiles.moveTo(network, iface)
    const access = known && !asItWas ? accessOf(known, this.#password(network), await this.#radio.known(iface)) : undefined
    const uuid = access ? await this.profiles.prepare(access, iface) : proven
    if (uuid === undefined) return 'unknown-network'
    this.#used.set(network, { uuid, iface })
    log.debug({ network: quoted(network), mode }, 'trying a network')
    const seconds = Math.max(1, Math.ceil((untilMs - clock.mono()) / 1_000))
    await this.profiles.up(uuid, iface, seconds, access)
    const missing = await prove(uuid, iface, mode === 'trial' ? this.#config.verify : 'address', untilMs, clock, signal)
    return missing ?? ''
  }

  /** What the box is on, with nothing on trial: its profile is noted, those that nobody wants any more go, and NetworkManager gets our order. */
  async tidy(active: SsidHex, { connection, name }: Device): Promise<void> {
    if (this.busy) return
    const wanted = this.#networks.order
    await this.#quietly('tidy', async () => {
      if (connection !== undefined) await this.profiles.adopt(active, connection, name, priorityOf(Math.max(0, wanted.indexOf(active))))
      for (const ssid of this.profiles.ours) if (ssid !== active && !wanted.includes(ssid)) await this.profiles.forget(ssid)
      await this.profiles.arrange(wanted)
    })
  }

  #password(network: SsidHex): string | undefined {
    const known = this.#networks.find(network)
    let password: string | undefined
    try {
      password = known && passwordOf(known)
    } catch {
      throw new Failure('secret-unreadable', `the passwordFile of network ${quoted(network)} cannot be read`)
    }
    if (password === undefined || isPassword(password)) return password
    throw new Failure('secret-unreadable', `the passwordFile of network ${quoted(network)} holds no WPA password`)
  }

  /** What follows a decision that stands; it is made good at the next occasion. */
  async #quietly(what: string, work: () => Promise<void>): Promise<void> {
    try {
      await work()
      this.#cause = ''
    } catch (error) {
      const cause = error instanceof NmcliFault ? error.kind : 'failed'
      if (this.#context.signal.aborted || this.#cause === cause) return
      this.#cause = cause
      this.#context.log.warn({ what, cause }, 'a network profile could not be brought in order')
    }
  }
}
