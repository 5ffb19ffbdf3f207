/** A guest network in memory, and the portal of a shop on it, for the tests. Stations are known by the loopback address they come from. */
import { request as httpRequest, type IncomingHttpHeaders } from 'node:http'
import type { Json, JsonObject } from '../../daemon/contract/json.ts'
import type { MonoMs, StartPlugin } from '../../daemon/contract/plugin.ts'
import { HandClock } from '../../daemon/testing/hand-clock.ts'
import { PluginHarness } from '../../daemon/testing/plugin-harness.ts'
import type { Grant, Mac, NetworkController, NetworkEvents, Sighting, Station, Usage } from './network/api.ts'
import { startPortal } from './plugin.ts'

export { HandClock }

export class FakeNetwork implements NetworkController {
  readonly granted = new Map<Mac, Grant>()
  readonly used = new Map<Mac, Usage>()
  readonly batches: number[] = []
  events: NetworkEvents | undefined
  /** Requests so far: each asks whose address it comes from. */
  asked = 0
  starts = 0
  stops = 0
  /** Held back while set: a network that takes its time. */
  gate: Promise<void> | undefined
  fault: Error | undefined

  async start(events: NetworkEvents): Promise<void> {
    this.starts += 1
    this.events = events
  }

  async authorise(grants: readonly Grant[]): Promise<void> {
    this.batches.push(grants.length)
    await this.gate
    if (this.fault) throw this.fault
    for (const grant of grants) {
      this.granted.set(grant.mac, grant)
      if (!this.used.has(grant.mac))
        this.used.set(grant.mac, { mac: grant.mac, bytesUp: grant.bytesUp ?? 0, bytesDown: grant.bytesDown ?? 0 })
    }
  }

  async revoke(macs: readonly Mac[]): Promise<void> {
    if (this.fault) throw this.fault
    for (const mac of macs) {
      this.granted.delete(mac)
      this.used.delete(mac)
    }
  }

  async usage(): Promise<Usage[]> {
    return [...this.used.values()].map((one) => ({ ...one }))
  }

  async stationAt(ip: string): Promise<Station | undefined> {
    this.asked += 1
    const parts = /^127\.66\.(\d+)\.(\d+)$/.exec(ip)
    return parts ? { mac: macOf(Number(parts[1]) * 256 + Number(parts[2])), ip } : undefined
  }

  async stop(): Promise<void> {
    this.stops += 1
    this.granted.clear()
    this.used.clear()
  }

  uses(mac: Mac, up: number, down: number): void {
    this.used.set(mac, { mac, bytesUp: up, bytesDown: down })
  }

  sighting(kind: Sighting['kind'], mac: Mac, more: Partial<Sighting> = {}): void {
    this.events?.sighting({ kind, mac, by: 'hostapd', at: 0 as MonoMs, ...more })
  }
}

export const macOf = (number: number): Mac =>
  `02:aa:00:00:${(number >> 8).toString(16).padStart(2, '0')}:${(number & 255).toString(16).padStart(2, '0')}`
export const ipOf = (number: number): string => `127.66.${number >> 8}.${number & 255}`

export interface Answer {
  status: number
  headers: IncomingHttpHeaders
  body: string
}

export interface Ask {
  method?: string
  host?: string
  form?: Record<string, string> | string
  headers?: Record<string, string>
}

/** One shop's portal, its fake network, and phones that ask it. */
export class Shop {
  readonly network: FakeNetwork
  readonly clock: HandClock
  readonly harness: PluginHarness
  readonly port: number

  static async open(
    options: {
      config?: JsonObject
      network?: FakeNetwork
      clock?: HandClock
      store?: Map<string, Json>
      call?: (plugin: string, device: string, command: string, args: Json) => Promise<Json>
      ask?: (request: string, args: Json) => Promise<Json>
    } = {},
  ): Promise<Shop> {
    const network = options.network ?? new FakeNetwork()
    const clock = options.clock ?? new HandClock()
    const harness = await PluginHarness.start({
      start: ((context) => startPortal(context as never, () => network)) as StartPlugin,
      manifestUrl: new URL('./', import.meta.url),
      config: shopConfig(options.config),
      clock,
      ...(options.store ? { store: options.store } : {}),
      ...(options.call ? { call: options.call } : {}),
      ...(options.ask ? { ask: options.ask } : {}),
    })
    const url = harness.logs.find((one) => one.message === 'the guest portal is open')?.fields.url
    return new Shop(network, clock, harness, Number(new URL(String(url)).port))
  }

  private constructor(network: FakeNetwork, clock: HandClock, harness: PluginHarness, port: number) {
    this.network = network
    this.clock = clock
    this.harness = harness
    this.port = port
  }

  /** What the phone with this number is answered. */
  ask(phone: number, path: string, ask: Ask = {}): Promise<Answer> {
    return send(this.port, ipOf(phone), path, ask)
  }

  /** Joins, is redirected, and stands before the page: its path. */
  async arrive(phone: number, language = 'en'): Promise<string> {
    const { headers } = await this.ask(phone, '/', { host: 'neverssl.example', headers: { 'accept-language': language } })
    return new URL(String(headers.location)).pathname
  }

  async tap(phone: number, form: Record<string, string> = {}): Promise<Answer> {
    return this.ask(phone, `${await this.arrive(phone)}connect`, { form })
  }

  events(name: string): JsonObject[] {
    return this.harness.events.filter((one) => one.event === name).map((one) => one.data)
  }

  async close(): Promise<void> {
    await this.harness.stop()
  }
}

export function shopConfig(config: JsonObject = {}): JsonObject {
  return { controller: 'simulated', name: 'Lotus Tea', listen: { port: 0 }, ...config }
}

export function send(port: number, localAddress: string, path: string, { method, host, form, headers = {} }: Ask = {}): Promise<Answer> {
  const body = form === undefined ? undefined : typeof form === 'string' ? form : new URLSearchParams(form).toString()
  return new Promise((resolve, reject) => {
    const sent = httpRequest(
      {
        host: '127.0.0.1',
        port,
        localAddress,
        path,
        method: method ?? (body === undefined ? 'GET' : 'POST'),
        agent: false,
        headers: {
          host: host ?? `127.0.0.1:${port}`,
          ...(body === undefined
            ? {}
            : { 'content-type': 'application/x-www-form-urlencoded', 'content-length': String(Buffer.byteLength(body)) }),
          ...headers,
        },
      },
      (response) => {
        const chunks: Buffer[] = []
        response.on('data', (chunk: Buffer) => chunks.push(chunk))
        response.on('error', reject)
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks).toString() }),
        )
      },
    )
    sent.on('error', reject)
    sent.end(body)
  })
}
