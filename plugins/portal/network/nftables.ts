/**
 * The guest network made to obey by this box itself: nftables, tc and dnsmasq. The machines decide what the kernel is to be told and who is here;
 * this tells and listens.
 */
import { Failure } from '../../../daemon/contract/errors.ts'
import type { Clock, Logger } from '../../../daemon/contract/plugin.ts'
import { type AccessEffect, type AccessEvent, AccessState, accessMachine, nextEnd, usageOf } from './access.machine.ts'
import type { Grant, Mac, NetworkConfig, NetworkController, NetworkEvents, Station, Usage } from './api.ts'
import { isMac, wrongGrant } from './check-grant.ts'
import { checkNetwork } from './check-network.ts'
import { Chores } from './chores.ts'
import { Dnsmasq } from './dnsmasq.ts'
import { giveBack } from './give-back.ts'
import { GuestInterface } from './guest-interface.ts'
import { type GuestSubnet, guestSubnet } from './guest-subnet.ts'
import { GuestTables } from './guest-tables.ts'
import { HealthBoard } from './health-board.ts'
import { Hostapd } from './hostapd.ts'
import { KernelWatch } from './kernel-watch.ts'
import { readCounters, removeTables } from './nft.ts'
import { Presence } from './presence.ts'
import { checkRights, denied, missingFeatures } from './rights.ts'
import { Shaping } from './shaping.ts'
import { Signs } from './signs.ts'
import { findUplink, type Uplink } from './uplink.ts'

/** Counters are read this often: who moved bytes is here, and what a power cut costs is at most this much of a count. */
const READ_EVERY_MS = 20_000
const DROPS_EVERY_MS = 60_000
/** After a sign that rules, routes or links changed, until it is looked at: changes come in bursts. */
const SETTLE_MS = 50

export interface NftablesPorts {
  /** The portal's own listeners on this box. */
  http: number
  https?: number
  /** The RFC 8908 API, an https URL: announced by DHCP option 114 (RFC 8910). */
  captiveApiUrl?: string
}

export interface NftablesParts {
  clock: Clock
  log: Logger
  /** Aborted when the plugin is to stop: nothing new is begun from then on; `stop` does the rest. */
  signal: AbortSignal
  /**
   * For leases, process ids, generated scripts, and what it takes to put the machine back: this user's alone, and one that outlives the
   * service and its private `/tmp`.
   */
  folder: string
}

/** Throws `config-invalid` for an address or network that cannot be; does nothing else yet. */
export function createNftablesController(config: NetworkConfig, ports: NftablesPorts, parts: NftablesParts): NetworkController {
  checkNetwork(config)
  return new NftablesController(config, ports, parts)
}

class NftablesController implements NetworkController {
  readonly #config: NetworkConfig
  readonly #clock: Clock
  readonly #log: Logger
  readonly #dir: string
  readonly #subnet: GuestSubnet
  readonly #access = new AccessState()
  readonly #interface: GuestInterface
  readonly #shaping: Shaping
  readonly #tables: GuestTables
  readonly #signs: Signs
  readonly #dnsmasq: Dnsmasq
  readonly #hostapd: Hostapd
  readonly #kernel: KernelWatch
  readonly #presence: Presence
  readonly #board: HealthBoard
  readonly #tickets = new Map<number, { resolve: () => void; reject: (error: Error) => void }>()
  readonly #chores: Chores
  #events: NetworkEvents | undefined
  #lastTicket = 0
  #uplink: Uplink = { uplink: undefined, protect: [], up: false }
  #working: Promise<void> = Promise.resolve()
  #stopped = false

  constructor(config: NetworkConfig, ports: NftablesPorts, parts: NftablesParts) {
    const { clock, log } = parts
    this.#config = config
    this.#clock = clock
    this.#log = log
    this.#dir = parts.folder
    this.#subnet = guestSubnet(config.address, config.dhcp)
    this.#interface = new GuestInterface(config, this.#dir, log)
    this.#shaping = new Shaping(config.interface, config, log)
    this.#signs = new Signs(this.#dir)
    const script = this.#signs.dhcpScript
    const api = ports.captiveApiUrl
    this.#dnsmasq = new Dnsmasq(
      { network: config, subnet: this.#subnet, script, ...(api === undefined ? {} : { captiveApiUrl: api }) },
      this.#dir,
      parts,
    )
    this.#hostapd = new Hostapd(config.hostapd, this.#signs.hostapdScript, this.#dir, parts)
    this.#kernel = new KernelWatch(config.interface, parts)
    this.#presence = new Presence(config.interface, this.#subnet, { ...parts, probe: (stations) => this.#kernel.probe(stations) })
    this.#board = new HealthBoard((health) => this.#events?.health(health))
    this.#chores = new Chores(parts)
    this.#tables = new GuestTables({
      config,
      subnet: this.#subnet,
      ports,
      shaping: this.#shaping,
      board: this.#board,
      log,
      uplink: () => this.#uplink,
      addressesOf: (mac) => this.#presence.addressesOf(mac),
      beforeReset: () => this.#read(),
      // What stood for the names of the garden went with the old tables.
      loaded: () => this.#dnsmasq.forgetNames(),
    })
  }

  async start(events: NetworkEvents, online: readonly Grant[]): Promise<void> {
    await checkRights(this.#config)
    this.#events = events
    this.#presence.listen(events)
    try {
      await this.#signs.open((sign) => this.#presence.heard(sign))
      const left = GuestInterface.leftIn(this.#dir)
      if (left && !this.#interface.goesOnWith(left)) await giveBack(this.#dir, this.#log)
      this.#interface.load()
      await this.#letGoOn(online)
      await this.#takeHold()
      await this.#follow()
    } catch (error) {
      await this.stop(false)
      throw error
    }
  }

  /** Helpers that tell what happens, and names and addresses for guests. */
  async #follow(): Promise<void> {
    this.#kernel.start({
      neighbour: (ip, mac, isFresh) => this.#presence.neighbour(ip, mac, isFresh),
      failed: (ip) => this.#presence.failed(ip),
      port: (mac, port) => this.#presence.seen('neighbour', mac, port),
      changed: () => this.#chores.later('look', SETTLE_MS, () => this.#look()),
      rules: () => this.#chores.later('check', SETTLE_MS, () => this.#checkRules()),
    })
    this.#hostapd.start((mac) => this.#presence.seen('hostapd', mac))
    await this.#dnsmasq.start((reason) => {
      if (reason !== undefined) this.#log.warn({ reason }, 'dnsmasq does not run: guests get no addresses and no names')
      this.#board.set('dnsmasq-down', reason)
    })
    this.#chores.every('read', READ_EVERY_MS, () => this.#read())
    // A chain without rules comes and goes unannounced.
    this.#chores.every('drops', DROPS_EVERY_MS, () => this.#tables.lookForDrops())
    await this.#look()
    this.#board.tell()
  }

  authorise(grants: readonly Grant[]): Promise<void> {
    const problems = grants.flatMap(wrongGrant)
    if (problems.length > 0) return Promise.reject(new Failure('args-invalid', problems.join('; ')))
    if (grants.length === 0) return Promise.resolve()
    return this.#wish((ticket) => ({ kind: 'authorise', grants, ticket, now: this.#clock.mono() }))
  }

  revoke(macs: readonly Mac[]): Promise<void> {
    const known = macs.filter(isMac)
    if (known.length === 0) return Promise.resolve()
    return this.#wish((ticket) => ({ kind: 'revoke', macs: known, ticket, now: this.#clock.mono() }))
  }

  async usage(): Promise<Usage[]> {
    if (!(await this.#read())) throw new Failure('device-fault', 'the counters of the guest network cannot be read')
    return usageOf(this.#access)
  }

  stationAt(address: string): Promise<Station | undefined> {
    return this.#presence.stationAt(address)
  }

  async stop(again: boolean): Promise<void> {
    if (this.#stopped) return
    this.#stopped = true
    this.#presence.listen(undefined)
    this.#chores.stop()
    await Promise.all([this.#kernel.stop(), this.#hostapd.stop(), this.#dnsmasq.stop(again)])
    await this.#working
    // Who is looking just now may still set what is taken back below.
    await this.#chores.ended()
    await this.#signs.close(again)
    if (!again) {
      await removeTables()
      await this.#shaping.remove()
      await this.#interface.restore()
    }
    for (const { resolve } of this.#tickets.values()) resolve()
    this.#tickets.clear()
  }

  /**
   * Who was let out by a predecessor stays so from the first rule on. Its tables, where they are still there, have counted since it last wrote
   * anything down.
   */
  async #letGoOn(grants: readonly Grant[]): Promise<void> {
    const counted = await readCounters()
    const used = new Map(counted?.usage.filter(({ mac }) => counted.online.has(mac)).map((one) => [one.mac, one]))
    const known = grants
      .filter((grant) => wrongGrant(grant).length === 0)
      .map((grant) => ({
        ...grant,
        bytesUp: Math.max(grant.bytesUp ?? 0, used.get(grant.mac)?.bytesUp ?? 0),
        bytesDown: Math.max(grant.bytesDown ?? 0, used.get(grant.mac)?.bytesDown ?? 0),
      }))
    this.#decide({ kind: 'online', grants: known, now: this.#clock.mono() })
  }

  /** Interface, tables, uplink; the first load tells whether this kernel can do it all. */
  async #takeHold(): Promise<void> {
    if (!this.#interface.isThere) {
      this.#log.warn({ interface: this.#config.interface }, 'the guest interface is not there; it is waited for')
      this.#board.set('no-interface', `there is no interface ${this.#config.interface}`)
      return
    }
    const problem = await this.#interface.prepare()
    if (problem !== undefined) throw denied([{ path: this.#config.interface, message: problem }])
    this.#uplink = await findUplink(this.#config)
    const [first] = accessMachine.step(this.#access, { kind: 'interface', present: true, now: this.#clock.mono() })
    if (first?.kind === 'apply') {
      const outcome = await this.#tables.apply(first.change)
      if (outcome.kind === 'failed') {
        const missing = await missingFeatures(this.#config.interface)
        throw denied(missing.length > 0 ? missing : [{ path: 'nft', message: `nft refused the ruleset: ${outcome.message}` }])
      }
      this.#decide({ kind: 'done', now: this.#clock.mono() })
    }
    this.#followUplink(this.#uplink)
  }

  #wish(event: (ticket: number) => AccessEvent): Promise<void> {
    return new Promise((resolve, reject) => {
      const ticket = ++this.#lastTicket
      this.#tickets.set(ticket, { resolve, reject })
      this.#decide(event(ticket))
    })
  }

  #decide(event: AccessEvent): void {
    if (this.#stopped) return
    for (const effect of accessMachine.step(this.#access, event)) this.#act(effect)
    const ms = nextEnd(this.#access, this.#clock.mono())
    if (ms !== undefined) this.#chores.later('end', ms, () => this.#decide({ kind: 'wake', now: this.#clock.mono() }))
  }

  #act(effect: AccessEffect): void {
    switch (effect.kind) {
      case 'apply':
        this.#working = this.#tables
          .apply(effect.change)
          .then(
            (outcome): AccessEvent => ({ ...outcome, now: this.#clock.mono() }),
            (error: unknown): AccessEvent => ({ kind: 'failed', message: String(error), now: this.#clock.mono() }),
          )
          .then((event) => this.#decide(event))
        return
      case 'wake':
        this.#chores.later('wake', effect.ms, () => this.#decide({ kind: 'wake', now: this.#clock.mono() }))
        return
      case 'settle':
        for (const ticket of effect.tickets) {
          const { resolve, reject } = this.#tickets.get(ticket) ?? {}
          this.#tickets.delete(ticket)
          if (effect.error === undefined) resolve?.()
          else reject?.(denied([{ path: 'nft', message: `nft refused the change: ${effect.error}` }]))
        }
        return
      case 'loaded':
        this.#board.set('rules-lost', undefined)
        return
      case 'broken':
        this.#log.warn({ reason: effect.message }, 'the guest rules could not be loaded; tried again in 5 s')
        this.#board.set('rules-lost', effect.message)
    }
  }

  /** Whether there was something to read. */
  async #read(): Promise<boolean> {
    const counted = await readCounters()
    if (!counted || this.#stopped) return false
    const now = this.#clock.mono()
    const before = new Map(usageOf(this.#access).map((one) => [one.mac, one.bytesUp]))
    this.#decide({ kind: 'read', ...counted, now })
    for (const { mac, bytesUp } of counted.usage)
      if (bytesUp > (before.get(mac) ?? Number.POSITIVE_INFINITY)) this.#presence.seen('counter', mac)
    this.#presence.tick()
    return true
  }

  /** Interface, uplink and bridge ports as they are now. */
  async #look(): Promise<void> {
    const isThere = this.#interface.isThere
    const wasThere = this.#access.present
    if (isThere) {
      if (!wasThere || !(await this.#interface.hasAddress())) {
        const problem = await this.#interface.prepare()
        this.#board.set('no-interface', problem)
      } else await this.#interface.isolatePorts()
    } else if (wasThere) {
      this.#log.warn({ interface: this.#config.interface }, 'the guest interface has gone; it is waited for')
      this.#board.set('no-interface', `there is no interface ${this.#config.interface}`)
    }
    const uplink = await findUplink(this.#config)
    if (this.#stopped) return
    const isOther = JSON.stringify([uplink.uplink, uplink.protect]) !== JSON.stringify([this.#uplink.uplink, this.#uplink.protect])
    this.#followUplink(uplink)
    if (isThere !== wasThere) this.#decide({ kind: 'interface', present: isThere, now: this.#clock.mono() })
    else if (isThere && isOther) {
      const problem = await this.#tables.followUplink()
      if (problem !== undefined) this.#decide({ kind: 'reload', now: this.#clock.mono() })
    }
    await this.#tables.lookForDrops()
  }

  #followUplink(uplink: Uplink): void {
    if (uplink.uplink !== this.#uplink.uplink) this.#log.info({ uplink: uplink.uplink ?? null }, 'guests go out by another interface')
    this.#uplink = uplink
    if (uplink.uplink !== undefined) {
      const problem = this.#interface.forward(uplink.uplink)
      if (problem !== undefined) this.#log.warn({ reason: problem }, 'the uplink does not forward')
    }
    this.#board.set('uplink-down', uplink.up ? undefined : `no way out by ${uplink.uplink ?? 'any interface'}`)
  }

  async #checkRules(): Promise<void> {
    // Without the interface there are no rules to lose; they are loaded when it comes.
    if (!this.#access.present) return
    if (this.#access.sending || this.#access.reload) {
      this.#chores.later('check', SETTLE_MS * 4, () => this.#checkRules())
      return
    }
    const isOurs = await this.#tables.areAsLoaded()
    if (this.#access.sending || this.#access.reload || isOurs || !this.#interface.isThere) return this.#tables.lookForDrops()
    this.#log.warn({}, 'somebody changed or flushed the guest rules; they are loaded anew')
    this.#board.set('rules-lost', 'somebody changed or flushed the rules')
    this.#decide({ kind: 'reload', now: this.#clock.mono() })
  }
}
