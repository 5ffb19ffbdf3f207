/** What people and HQ may ask of the radio. */
import type { Command } from '../../daemon/contract/command.ts'
import { Failure } from '../../daemon/contract/errors.ts'
import type { Json } from '../../daemon/contract/json.ts'
import type { DeviceState, PluginContext } from '../../daemon/contract/plugin.ts'
import { mendOf } from './condition.ts'
import { type Known, type NetworkConfig, ssidOf, type WifiConfig } from './config.ts'
import { isTooLong, type Networks } from './networks.ts'
import { NmcliFault } from './nmcli/fault.ts'
import type { AccessPoint } from './nmcli/radio.ts'
import { shownPoint } from './site/survey.ts'
import type { SiteWatch } from './site/watch.ts'
import { quoted, type SsidHex, shown } from './ssid.ts'
import type { Settled, Uplink } from './uplink.ts'

interface Parts {
  context: PluginContext<WifiConfig>
  networks: Networks
  uplink: Uplink
  site: SiteWatch
  now(): { condition: DeviceState; iface: string | undefined; point: AccessPoint | undefined; wired: boolean; config: WifiConfig }
}

interface Named {
  ssid?: string
  ssidHex?: string
}

const WHY: Readonly<Record<string, string>> = {
  'wrong-password': 'the password is missing or not the one',
  'not-found': 'it is not in reach',
  'no-address': 'it gave no address in time',
  unreachable: 'it gave an address, but what `verify` names cannot be reached through it',
  timeout: 'it did not come up in time',
  'nmcli-silent': 'NetworkManager did not answer in time',
}

export class Commands {
  readonly #parts: Parts
  readonly #waiting = new Map<SsidHex, (how: Settled) => void>()
  #connecting = false

  constructor(parts: Parts) {
    this.#parts = parts
  }

  /** A trial that somebody may be waiting for is over. What was asked for and works comes first from now on. */
  async settled(how: Settled): Promise<void> {
    if (!how.asked) return
    const { networks, uplink } = this.#parts
    if (how.up && networks.order[0] !== how.network) {
      await networks.prefer([how.network]).catch(() => {})
      // Not awaited: this is part of an event that the next one waits for.
      void uplink.send({ kind: 'networks', networks: networks.order, changed: [] })
    }
    this.#waiting.get(how.network)?.(how)
    this.#waiting.delete(how.network)
  }

  async handle({ command, args }: Command, signal: AbortSignal): Promise<Json> {
    switch (command) {
      case 'status':
        return this.#status()
      case 'self-check':
        return this.#selfCheck()
      case 'scan':
        return { accessPoints: (await this.#heard(() => this.#parts.site.scan())).map(shownPoint) }
      case 'survey':
        return (await this.#heard(() => this.#parts.site.survey())) as unknown as Json
      case 'connect':
        return this.#connect(args as Named & { password?: string; hidden?: boolean; security?: NetworkConfig['security'] }, signal)
      case 'forget':
        return this.#forget(args as Named, signal)
      case 'prefer':
        return this.#prefer(args as { ssids: string[] })
      default:
        throw new Failure('command-unknown', `wifi knows connect, forget, prefer, scan, self-check, status and survey, not "${command}"`)
    }
  }

  /** For `shopwire doctor`. */
  #selfCheck(): Json {
    const { condition, iface, point, wired, config } = this.#parts.now()
    const name = iface ?? config.interface ?? 'the radio'
    if (condition.state !== 'online' && condition.detail !== undefined) {
      const fix = mendOf(condition.detail)
      return { findings: [{ state: wired ? 'warn' : 'fail', fact: `${name}: ${condition.detail}`, ...(fix === undefined ? {} : { fix }) }] }
    }
    if (!point) return { findings: [{ state: 'ok', fact: `${name} is not connected${wired ? '; the uplink is a cable' : ''}` }] }
    const weak = point.quality < config.weakBelow
    const fact = `${name} is on ${quoted(point.ssid)}, ${point.quality} %`
    return {
      findings: [weak ? { state: 'warn', fact: `${fact}: weak`, fix: 'move the box or the access point nearer' } : { state: 'ok', fact }],
    }
  }

  #status(): Json {
    const { networks, uplink, now } = this.#parts
    const { condition, iface, point, wired, config } = now()
    const { state } = uplink
    const mono = this.#parts.context.clock.mono()
    return {
      ...condition,
      interface: iface ?? config.interface ?? null,
      wired,
      uplink: point ? shownPoint(point) : null,
      trial: state.task?.mode === 'trial' ? shown(state.task.network) : null,
      networks: networks.all.map((network) => {
        const refused = state.refused.get(network.ssid)
        return {
          ...shown(network.ssid),
          from: network.from,
          priority: network.priority,
          hidden: network.hidden,
          active: state.working && state.active === network.ssid,
          proven: uplink.profiles.proven(network.ssid) !== undefined,
          ...(refused ? { failed: refused.reason, notBeforeSeconds: Math.max(0, Math.ceil((refused.until - mono) / 1_000)) } : {}),
        }
      }),
    }
  }

  async #heard<Result>(work: () => Promise<Result>): Promise<Result> {
    this.#needRadio()
    try {
      return await work()
    } catch (error) {
      if (error instanceof NmcliFault) throw new Failure('device-fault', `the radio could not scan: ${error.kind}`)
      throw error
    }
  }

  #needRadio(): void {
    const { iface, condition } = this.#parts.now()
    if (iface === undefined) throw new Failure('device-offline', `the radio cannot be used: ${condition.detail ?? condition.state}`)
  }

  async #connect(
    args: Named & { password?: string; hidden?: boolean; security?: NetworkConfig['security'] },
    signal: AbortSignal,
  ): Promise<Json> {
    const { networks } = this.#parts
    const ssid = named(args)
    if (networks.find(ssid)?.from === 'config' && args.password !== undefined)
      throw new Failure('args-invalid', `network ${quoted(ssid)} stands in the config: its password is changed there`)
    this.#needRadio()
    if (this.#connecting) throw new Failure('queue-full', `another network is being tried; try ${quoted(ssid)} again later`)
    this.#connecting = true
    try {
      return await this.#try(ssid, args, signal)
    } finally {
      this.#connecting = false
      networks.tryOut(undefined)
    }
  }

  async #try(
    ssid: SsidHex,
    args: { password?: string; hidden?: boolean; security?: NetworkConfig['security'] },
    signal: AbortSignal,
  ): Promise<Json> {
    const { networks, uplink, context, now } = this.#parts
    const known = networks.find(ssid)
    await uplink.idle(signal)
    const { wired } = now()
    const { task, active, working } = uplink.state
    if (task === undefined && args.password === undefined && working && active === ssid) return { ...shown(ssid), connected: true }
    const given: Known = {
      ssid,
      hidden: args.hidden ?? known?.hidden ?? false,
      security: args.security ?? known?.security ?? 'auto',
      priority: known?.priority ?? 0,
      from: 'command',
      ...(args.password === undefined ? {} : { password: args.password }),
    }
    if (known?.from !== 'config') networks.tryOut(given)
    const ended = new Promise<Settled>((resolve) => this.#waiting.set(ssid, resolve))
    await uplink.send({ kind: 'asked', network: ssid, wired, now: context.clock.mono() })
    const how = await ended
    if (how.up) return { ...shown(ssid), connected: true }
    throw this.#failed(how)
  }

  #failed({ network, reason, back }: Settled): Failure {
    const name = `network ${quoted(network)}`
    if (reason === 'busy') return new Failure('queue-full', `another network is being tried; try ${name} again later`)
    if (reason === 'not-authorized')
      return new Failure(
        'network-denied',
        'polkit does not let this user control the network: see the polkit rule in plugins/wifi/README.md',
      )
    const where = back === undefined ? 'there was none to go back to' : `back on ${quoted(back)}`
    return new Failure('device-fault', `${name} did not come up: ${WHY[reason] ?? reason}; ${where}`)
  }

  async #forget(args: Named, signal: AbortSignal): Promise<Json> {
    const { networks, uplink, now } = this.#parts
    const ssid = named(args)
    const known = networks.find(ssid)
    if (known?.from === 'config') throw new Failure('args-invalid', `network ${quoted(ssid)} stands in the config: it is removed there`)
    if (!known && uplink.profiles.proven(ssid) === undefined)
      throw new Failure(
        'args-invalid',
        `network ${quoted(ssid)} is not known; known are ${networks.order.map(quoted).join(', ') || 'none'}`,
      )
    await uplink.idle(signal)
    if (uplink.state.active === ssid && uplink.state.working && !now().wired)
      throw new Failure('device-fault', `network ${quoted(ssid)} is the box's way out: connect to another one first`)
    try {
      await uplink.profiles.forget(ssid)
    } catch (error) {
      throw error instanceof NmcliFault
        ? new Failure('device-fault', `network ${quoted(ssid)} could not be forgotten: ${error.kind}`)
        : error
    }
    await networks.forget(ssid)
    await uplink.send({ kind: 'forgotten', network: ssid })
    return { ...shown(ssid), forgotten: true }
  }

  async #prefer({ ssids }: { ssids: string[] }): Promise<Json> {
    const { networks, uplink } = this.#parts
    const wanted = ssids.map((ssid) => ssidOf({ ssid }))
    const unknown = wanted.find((ssid) => !networks.order.includes(ssid))
    if (unknown !== undefined)
      throw new Failure(
        'args-invalid',
        `network ${quoted(unknown)} is not known; known are ${networks.order.map(quoted).join(', ') || 'none'}`,
      )
    await networks.prefer(wanted)
    await uplink.send({ kind: 'networks', networks: networks.order, changed: wanted.slice(0, 1) })
    return { order: networks.order.map((ssid) => shown(ssid).ssid) }
  }
}

function named(args: Named): SsidHex {
  const ssid = ssidOf(args)
  if (isTooLong(ssid))
    throw new Failure('args-invalid', 'ssid: has more than 32 bytes in UTF-8, the most a network name can have', [
      { path: 'ssid', message: 'has more than 32 bytes in UTF-8, the most a network name can have' },
    ])
  return ssid
}
