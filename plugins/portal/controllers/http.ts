/**
 * An access point's own controller in the network's place: it redirects its guests here with `?id={mac}&ap=…&ssid=…&url=…`, and lets out whom
 * its API is told to (UniFi Network, "External Portal Server"). The client's id in the redirect is never believed: who a request comes from is
 * looked up, by address, in the controller's list of clients.
 */
import { asFailure, Failure } from '../../../daemon/contract/errors.ts'
import type { Json, JsonObject } from '../../../daemon/contract/json.ts'
import type { PluginContext } from '../../../daemon/contract/plugin.ts'
import type { HttpControllerConfig } from '../config.ts'
import type { Grant, Mac, NetworkController, NetworkEvents, NetworkHealth, Station, Usage } from '../network/api.ts'
import { ClientBytes } from './client-bytes.ts'
import { HttpSession } from './http-session.ts'

/** An address that was listed so lately is still whose it was; a stranger's, or a lapsed one, is listed anew. */
const FRESH_MS = 2_000
/** A stranger's request has the list read anew, but not more often than this: a crowd at opening time asks once, together. */
const LIST_MIN_MS = 500
/** Calls at once: small controllers are slow. */
const PARALLEL = 8

interface Client {
  station: Station
  bytesUp: number
  bytesDown: number
  authorized: boolean
}

export function createHttpController(
  context: Pick<PluginContext, 'clock' | 'log' | 'signal'>,
  config: HttpControllerConfig,
): NetworkController {
  return new HttpController(context, config)
}

class HttpController implements NetworkController {
  readonly #context: Pick<PluginContext, 'clock' | 'log' | 'signal'>
  readonly #config: HttpControllerConfig
  readonly #session: HttpSession
  readonly #bytes = new ClientBytes()
  /** Orders about one client go one after the other: a revoke that is slow must not end the grant that came after it. */
  readonly #turns = new Map<Mac, Promise<void>>()
  #clients = new Map<Mac, Client>()
  #byIp = new Map<string, Client>()
  #listedAt = Number.NEGATIVE_INFINITY
  #listing: Promise<void> | undefined
  #isListed = false
  #events: NetworkEvents | undefined
  #health: NetworkHealth = { state: 'online' }
  #cancel = (): void => {}

  constructor(context: Pick<PluginContext, 'clock' | 'log' | 'signal'>, config: HttpControllerConfig) {
    this.#context = context
    this.#config = config
    this.#session = new HttpSession(config, context.signal)
  }

  /** A controller that is away now comes back later; a password it refuses does not get better, and is told. */
  async start(events: NetworkEvents): Promise<void> {
    this.#events = events
    await this.#list().catch((error: unknown) => {
      if (asFailure(error).code === 'unauthorized') throw error
    })
    this.#schedule()
  }

  async authorise(grants: readonly Grant[]): Promise<void> {
    await inParallel(grants, async ({ mac, seconds, downKbps, upKbps, bytesUp = 0, bytesDown = 0 }) => {
      await this.#command(mac, {
        cmd: 'authorize-guest',
        mac,
        // Whole minutes is what it knows: never less than was granted, and the portal's own end comes first.
        minutes: Math.ceil(seconds / 60),
        ...(upKbps === undefined ? {} : { up: upKbps }),
        ...(downKbps === undefined ? {} : { down: downKbps }),
      })
      const client = this.#clients.get(mac)
      if (client) client.authorized = true
      this.#bytes.granted(mac, { bytesUp, bytesDown }, client)
    })
  }

  async revoke(macs: readonly Mac[]): Promise<void> {
    await inParallel(macs, async (mac) => {
      await this.#command(mac, { cmd: 'unauthorize-guest', mac })
      this.#bytes.revoked(mac)
      const client = this.#clients.get(mac)
      if (client) client.authorized = false
    })
  }

  async usage(): Promise<Usage[]> {
    if (!this.#isListed) throw new Failure('device-offline', 'the controller does not list its clients')
    return this.#bytes.usage()
  }

  async stationAt(ip: string): Promise<Station | undefined> {
    const age = this.#context.clock.mono() - this.#listedAt
    if (age > FRESH_MS || !this.#byIp.has(ip)) await this.#listFresh().catch(() => {})
    return this.#byIp.get(ip)?.station
  }

  /** Who is online stays so until the controller's own time-out: a restart of this process cuts nobody. */
  async stop(): Promise<void> {
    this.#cancel()
    await this.#listing?.catch(() => {})
    this.#session.close()
  }

  #command(mac: Mac, body: JsonObject): Promise<void> {
    const turn = (this.#turns.get(mac) ?? Promise.resolve()).then(() => this.#post(body))
    const settled = turn
      .catch(() => {})
      .finally(() => {
        if (this.#turns.get(mac) === settled) this.#turns.delete(mac)
      })
    this.#turns.set(mac, settled)
    return turn
  }

  async #post(body: JsonObject): Promise<void> {
    try {
      await this.#session.ask('POST', '/cmd/stamgr', body)
      this.#say({ state: 'online' })
    } catch (error) {
      this.#failed(error)
      throw error
    }
  }

  async #listFresh(): Promise<void> {
    const { clock } = this.#context
    const wait = this.#listedAt + LIST_MIN_MS - clock.mono()
    if (this.#listing) await this.#listing
    else if (wait <= 0) await this.#list()
  }

  #list(): Promise<void> {
    this.#listing ??= this.#readClients().finally(() => {
      this.#listing = undefined
    })
    return this.#listing
  }

  async #readClients(): Promise<void> {
    const { clock } = this.#context
    this.#listedAt = clock.mono()
    let data: Json
    try {
      data = await this.#session.ask('GET', '/stat/sta')
      if (!Array.isArray(data)) throw new Failure('device-fault', 'the controller listed no clients')
    } catch (error) {
      this.#isListed = false
      this.#failed(error)
      throw error
    }
    this.#isListed = true
    this.#say({ state: 'online' })
    const before = this.#clients
    const clients = data.flatMap((one) => clientOf(one) ?? [])
    this.#clients = new Map(clients.map((one) => [one.station.mac, one]))
    this.#byIp = new Map(clients.filter((one) => one.station.ip !== '').map((one) => [one.station.ip, one]))
    this.#bytes.listed(this.#clients)
    const at = clock.mono()
    for (const { station, bytesUp, bytesDown } of clients) {
      const last = before.get(station.mac)
      const moved = !last || last.bytesUp !== bytesUp || last.bytesDown !== bytesDown
      // The controller itself lists who is associated; a phone that sleeps among them is here.
      this.#events?.sighting({ kind: last ? 'seen' : 'joined', by: moved ? 'counter' : 'controller', at, ...station })
    }
    for (const mac of before.keys()) if (!this.#clients.has(mac)) this.#events?.sighting({ kind: 'left', mac, by: 'controller', at })
  }

  #schedule(): void {
    this.#cancel = this.#context.clock.timer(this.#config.pollSeconds * 1_000, () => {
      this.#list()
        .catch(() => {})
        .finally(() => {
          if (!this.#context.signal.aborted) this.#schedule()
        })
    })
  }

  #failed(error: unknown): void {
    const { code, message } = asFailure(error, 'device-offline')
    if (this.#context.signal.aborted) return
    if (this.#health.state === 'online') this.#context.log.warn({ code }, message)
    this.#say({ state: 'fault', detail: code === 'unauthorized' ? 'controller-refuses' : 'controller-unreachable' })
  }

  #say(health: NetworkHealth): void {
    if (health.state === this.#health.state && health.detail === this.#health.detail) return
    this.#health = health
    this.#events?.health(health)
  }
}

/** Directions as the access point has them: what it received is what the client sent. */
function clientOf(one: Json): Client | undefined {
  if (one === null || typeof one !== 'object' || Array.isArray(one)) return undefined
  const { mac, ip, hostname, authorized, rx_bytes: received, tx_bytes: sent } = one
  if (typeof mac !== 'string' || !/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/i.test(mac)) return undefined
  const count = (value: Json | undefined): number => (typeof value === 'number' && value >= 0 ? Math.floor(value) : 0)
  return {
    station: { mac: mac.toLowerCase(), ip: typeof ip === 'string' ? ip : '', ...(typeof hostname === 'string' ? { hostname } : {}) },
    bytesUp: count(received),
    bytesDown: count(sent),
    authorized: authorized === true,
  }
}

async function inParallel<Item>(items: readonly Item[], work: (item: Item) => Promise<void>): Promise<void> {
  const waiting = [...items]
  const worker = async (): Promise<void> => {
    for (let item = waiting.shift(); item !== undefined; item = waiting.shift()) await work(item)
  }
  await Promise.all(Array.from({ length: Math.min(PARALLEL, items.length) }, worker))
}
