/** The guest portal of one shop: network, sessions, presence and pages put together, and kept so while the config changes. */
import { isDeepStrictEqual } from 'node:util'
import type { Command } from '../../daemon/contract/command.ts'
import { asFailure, Failure } from '../../daemon/contract/errors.ts'
import type { Json, JsonObject } from '../../daemon/contract/json.ts'
import type { PluginContext, RunningPlugin, Stopping } from '../../daemon/contract/plugin.ts'
import { runCommand } from './commands.ts'
import { ConnectionLog } from './compliance/connection-log.ts'
import { fixedPart, type PortalConfig } from './config.ts'
import { logoOf } from './files.ts'
import { Codes } from './logins/codes.ts'
import { Logins } from './logins/logins.ts'
import type { NetworkController, NetworkHealth, Sighting, Suspicion } from './network/api.ts'
import { Orders } from './orders/orders.ts'
import { Pages } from './pages/pages.ts'
import { Presence } from './presence/presence.ts'
import { nextPrune, type Pruned } from './retention.ts'
import { createSecrets, type Secrets } from './secrets.ts'
import { selfCheck } from './self-check.ts'
import { Outbox } from './sessions/outbox.ts'
import type { EndReason, Session } from './sessions/session.ts'
import { Sessions } from './sessions/sessions.ts'
import { StationNames } from './station-names.ts'
import { FormTokens } from './tokens.ts'
import { Visitors } from './visitors.ts'
import { Door, type Front } from './web/door.ts'
import { GuestServer } from './web/server.ts'

const STATIONS_MOST = 8_192
const FIRST_PRUNE_MS = 60_000
const PRUNE_MS = 24 * 3_600_000
const PRUNED_KEY = 'pruned'
/** What a page may weigh with everything: ten packets, the first flight of a TCP connection (RFC 6928). */
const PAGE_MOST = 14 * 1024

const sessionLimits = ({ session }: PortalConfig) => ({ capacity: session.capacity, idleMs: session.idleMinutes * 60_000 })
const presenceLimits = ({ presence }: PortalConfig) => ({
  goneMs: presence.goneSeconds * 1_000,
  leftMs: presence.leftSeconds * 1_000,
  most: STATIONS_MOST,
})
const lockoutLimits = ({ lockout }: PortalConfig) => ({
  perClient: lockout.perClient,
  total: lockout.total,
  windowMs: lockout.minutes * 60_000,
  lockMs: lockout.minutes * 60_000,
})

export class Portal implements RunningPlugin {
  readonly context: PluginContext<PortalConfig>
  readonly network: NetworkController
  readonly sessions: Sessions
  readonly presence: Presence
  readonly visitors: Visitors
  readonly codes: Codes
  readonly logins: Logins
  readonly outbox: Outbox
  readonly #orders: Orders
  readonly #secrets: Secrets
  readonly #names: StationNames
  readonly #door: Door
  readonly #servers: GuestServer[] = []
  #config: PortalConfig
  #log: ConnectionLog | undefined
  #health: NetworkHealth = { state: 'online' }
  #cancelPrune = (): void => {}
  /** The guests' listener. */
  #port = 0

  /** `address`: of the guests' listener. Nothing is done yet; throws `config-invalid` or `secret-unreadable` for a config that cannot be. */
  constructor(context: PluginContext<PortalConfig>, network: NetworkController, address: string) {
    const { config } = context
    this.context = context
    this.network = network
    this.#config = config
    this.#secrets = createSecrets(context)
    this.outbox = new Outbox(context)
    this.visitors = new Visitors(context.store)
    this.codes = new Codes(context, this.#secrets, lockoutLimits(config))
    this.sessions = new Sessions({
      context,
      network,
      secrets: this.#secrets,
      outbox: this.outbox,
      limits: sessionLimits(config),
      hooks: {
        started: (session) => this.#record('started', session),
        ended: (session, reason, seconds) => this.#ended(session, reason, seconds),
      },
    })
    this.presence = new Presence(context, this.outbox, presenceLimits(config), (mac) => this.sessions.of(mac))
    this.#orders = new Orders(context, (id) => this.sessions.byId(id) !== undefined)
    this.#names = new StationNames()
    this.logins = new Logins({ ...this, secrets: this.#secrets, context }, config)
    this.#log = config.compliance.enabled ? new ConnectionLog(config.compliance) : undefined
    this.#door = new Door(
      {
        context,
        network,
        sessions: this.sessions,
        logins: this.logins,
        orders: this.#orders,
        forms: new FormTokens(this.#secrets.hash),
        outbox: this.outbox,
        seen: ({ mac }) => this.presence.sighting({ kind: 'seen', mac }),
        online: () => this.#health.detail !== 'uplink-down',
      },
      frontOf(config, address),
    )
  }

  get config(): PortalConfig {
    return this.#config
  }

  get log(): ConnectionLog | undefined {
    return this.#log
  }

  /** Page sizes in bytes, as sent. */
  status(): JsonObject {
    const { pages } = this.#door.front
    return {
      ...this.#health,
      sessions: this.sessions.count,
      here: this.presence.count,
      notFollowed: this.presence.ignored,
      connections: this.#servers.reduce((sum, one) => sum + one.connections, 0),
      refused: this.#servers.reduce((sum, one) => sum + one.refused, 0),
      pages: this.#door.pageCount,
      waiting: this.outbox.waiting,
      lost: this.outbox.lost,
      pageBytes: pages.size(),
    }
  }

  selfCheck(): Promise<JsonObject> {
    return selfCheck({
      health: this.#health,
      controller: this.#config.controller,
      bind: this.front.bind,
      port: this.#port,
      sessions: this.sessions.count,
      capacity: this.#config.session.capacity,
      pageBytes: this.#heaviest(),
      pageMost: PAGE_MOST,
      lost: this.outbox.lost,
    })
  }

  get front(): Front {
    return this.#door.front
  }

  async start(): Promise<void> {
    const { context } = this
    const online = await this.sessions.load()
    await this.network.start(
      {
        sighting: (sighting) => this.#sighted(sighting),
        health: (health) => this.#healthy(health),
        suspect: (suspicion) => this.#suspect(suspicion),
      },
      online,
    )
    try {
      const restored = await this.sessions.restore()
      await this.codes.restore()
      await this.#listen()
      await this.#orders.start(new Set(this.sessions.list().map((one) => one.id)))
      context.state('-', { ...this.#health })
      context.log.info({ url: this.front.base, sessions: restored }, 'the guest portal is open')
    } catch (error) {
      await this.stop()
      throw error
    }
    this.#weigh()
    this.#prune(FIRST_PRUNE_MS)
  }

  async handle(command: Command): Promise<Json> {
    return runCommand(this, command)
  }

  /** Offers, texts, colours, limits: in place. Another network or listener needs a new start, and this throws then. */
  async configure(next: JsonObject): Promise<void> {
    const config = next as unknown as PortalConfig
    if (!isDeepStrictEqual(fixedPart(config), fixedPart(this.#config)))
      throw new Failure('config-invalid', 'the network or the listener changed, which takes a restart')
    const log = config.compliance.enabled ? new ConnectionLog(config.compliance) : undefined
    const front = { ...this.front, config, pages: new Pages(config, logoOf(config.logo, config.logoFile)) }
    this.logins.configure(config)
    if (!isDeepStrictEqual(config.compliance, this.#config.compliance)) this.#log = log
    this.#config = config
    this.#door.front = front
    this.sessions.setLimits(sessionLimits(config))
    this.presence.setLimits(presenceLimits(config))
    this.codes.setLimits(lockoutLimits(config))
    this.#weigh()
  }

  async stop(stopping?: Stopping): Promise<void> {
    this.#cancelPrune()
    this.codes.stop()
    this.presence.stop()
    await Promise.all(this.#servers.map((server) => server.close()))
    await this.sessions.stop()
    await this.network.stop(stopping?.again ?? false)
    await this.outbox.drained()
  }

  async #listen(): Promise<void> {
    const { listen, https } = this.#config
    const address = this.front.bind
    const open = async (port: number, tls?: { certFile: string; keyFile: string }): Promise<number> => {
      const server = new GuestServer(
        { address, port, opened: (socket) => this.#door.opened(socket), ...(tls ? { tls } : {}) },
        (request, response, from) => this.#door.answer(request, response, from),
        (error) => this.context.log.warn({ code: asFailure(error).code }, `a request was not answered: ${asFailure(error).message}`),
      )
      this.#servers.push(server)
      return server.listen()
    }
    const port = await open(listen.port)
    this.#port = port
    const securePort = https ? await open(https.port, https) : undefined
    if (https && securePort !== undefined)
      this.#door.front = { ...this.front, secure: `https://${https.name}${securePort === 443 ? '' : `:${securePort}`}` }
    // Port 0, in tests and demos: the address is known only now.
    if (this.#config.url === undefined) this.#door.front = { ...this.front, base: `http://${hostOf(address)}:${port}` }
  }

  #sighted(sighting: Sighting): void {
    const { mac, hostname } = sighting
    this.presence.sighting(sighting)
    const session = this.sessions.of(mac)
    if (!session || !this.#names.changed(mac, hostname)) return
    // Phones keep their name; two that take turns under one address are most likely two.
    this.context.log.warn(
      { station: session.station, session: session.id },
      'a station that is online goes by another name now; its address may be copied',
    )
  }

  /** Nobody is cut off for it: the one who is in the right would be, too. */
  #suspect({ mac, why }: Suspicion): void {
    const session = this.sessions.of(mac)
    const who = session ? { station: session.station, session: session.id } : { station: this.context.pseudonym('station', mac) }
    this.context.log.warn({ ...who, why }, 'two seem to use one hardware address; one of them may be a copy')
  }

  #healthy(health: NetworkHealth): void {
    this.#health = health
    this.context.state('-', { ...health })
  }

  #ended(session: Session, reason: EndReason, seconds: number): void {
    this.#names.forget(session.mac)
    this.#orders.sessionEnded(session.id)
    if (reason !== 'erased' || this.#config.compliance.erase === 'keep') this.#record('ended', session, seconds)
  }

  #record(what: 'started' | 'ended', session: Session, seconds?: number): void {
    if (!this.#log) return
    const { id, visitor, mac, ip, method, bytesUp, bytesDown } = session
    this.#log
      .append({
        at: new Date(this.context.clock.wall()).toISOString(),
        what,
        session: id,
        visitor,
        mac,
        ...(ip === undefined ? {} : { ip }),
        ...(what === 'started' ? { method } : { bytesUp, bytesDown, seconds: seconds ?? 0 }),
      })
      .catch((error: unknown) =>
        this.context.log.error({ code: asFailure(error, 'journal-failed').code }, 'the connection log could not be written'),
      )
  }

  #heaviest(): number {
    return Math.max(...Object.values(this.front.pages.size()))
  }

  #weigh(): void {
    const bytes = this.#heaviest()
    if (bytes > PAGE_MOST)
      this.context.log.warn({ bytes, most: PAGE_MOST }, 'a portal page is larger than one round trip; make logo, offers or terms smaller')
  }

  #prune(inMs: number): void {
    const { clock, log } = this.context
    this.#cancelPrune = clock.timer(inMs, () => {
      this.#removeOld().catch((error: unknown) =>
        log.warn({ code: asFailure(error).code }, `old records were not removed: ${asFailure(error).message}`),
      )
      this.#prune(PRUNE_MS)
    })
  }

  async #removeOld(): Promise<void> {
    const { clock, store, signal } = this.context
    const wall = clock.wall()
    const last = (await store.get(PRUNED_KEY)) as unknown as Pruned | undefined
    const next = nextPrune(wall, last)
    if (!next) return
    // Before anything goes: a crash in the middle is no second step.
    await store.put(PRUNED_KEY, { ...next })
    if (!last) return
    await Promise.all([
      this.visitors.prune(this.#config.visitorDays, next.upTo, signal),
      this.#log?.prune(this.#config.compliance.days, next.upTo, wall),
    ])
  }
}

function frontOf(config: PortalConfig, bind: string): Front {
  const base = config.url ?? `http://${hostOf(bind)}:${config.listen.port}`
  const names = [new URL(base).hostname, hostOf(bind), config.https?.name, config.network?.address.split('/')[0]]
  return {
    config,
    pages: new Pages(config, logoOf(config.logo, config.logoFile)),
    base,
    bind,
    hosts: new Set(names.flatMap((name) => (name === undefined ? [] : name.toLowerCase()))),
  }
}

const hostOf = (address: string): string => (address.includes(':') ? `[${address}]` : address)
