/** A whole shop: the built gateway with guest WiFi, scanner, printer, captured receipts and payments, HQ with its broker, sink and desk. */

import { writeFileSync } from 'node:fs'
import { type IncomingHttpHeaders, request } from 'node:http'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import type { CloudEvent } from '../contract/event.ts'
import type { JsonObject } from '../contract/json.ts'
import type { Status } from '../http/api.ts'
import { freePort } from './free-port.ts'
import { hqCount, hqEvents } from './hq-database.ts'
import { type GatewayProcess, Shopfloor } from './processes.ts'
import { until } from './until.ts'

export const ZONE = 'Asia/Shanghai'

export class WholeShop {
  readonly floor = new Shopfloor()
  readonly gateway: GatewayProcess
  readonly db: string
  readonly #portal: number
  readonly #printer: { output: string }
  #scanner: Socket | undefined

  /** Everything around the gateway runs; the gateway itself does not yet. */
  static async build(): Promise<WholeShop> {
    const floor = new Shopfloor()
    try {
      return await WholeShop.#on(floor)
    } catch (error) {
      await floor.end()
      throw error
    }
  }

  static async #on(floor: Shopfloor): Promise<WholeShop> {
    const [hq, scanner, printer, receipt, portal] = [
      await freePort(),
      await freePort(),
      await freePort(),
      await freePort(),
      await freePort(),
    ]
    await floor.mosquitto(hq)
    const db = join(floor.dir, 'hq.sqlite')
    floor.sink(hq, db)
    const book = join(floor.dir, 'book.json')
    writeFileSync(book, JSON.stringify({ members: { 'VIP*': { name: 'Li **', points: 120 } } }))
    floor.shopwire(['hq', 'desk', '--broker', `mqtt://127.0.0.1:${hq}`, '--book', book])
    const roll = floor.shopwire(['sim', 'printer', '--listen', `127.0.0.1:${printer}`, '--speed', '10000', '--text'])
    await until(() => roll.output.includes(String(printer)), 'the printer')
    const gateway = await floor.gateway({
      config: {
        gateway: { id: 'shop-001', store: '0001', timeZone: ZONE },
        hq: { url: `mqtt://127.0.0.1:${hq}` },
        plugins: {
          scanner: {
            prefixes: { member: ['VIP'] },
            route: { pay: { plugin: 'payment', device: '-', command: 'code' } },
            devices: { 'till-1': { port: `tcp://127.0.0.1:${scanner}`, till: 'till-1', repeatMs: 0 } },
          },
          payment: { hq: {} },
          printer: { devices: { receipt: { port: `tcp://127.0.0.1:${receipt}` } } },
          receipt: {
            devices: {
              'till-1': {
                listen: `127.0.0.1:${receipt}`,
                printer: `tcp://127.0.0.1:${printer}`,
                template: { item: ['{name} ¥{amount}'], total: ['合计 TOTAL ¥{amount}'], order: ['订单 Order {order}'] },
                append: { claim: { portal: `http://127.0.0.1:${portal}`, text: '扫码领积分 Scan for your points' } },
              },
            },
          },
          portal: { controller: 'simulated', name: 'Lotus Tea', login: { code: true }, listen: { address: '127.0.0.1', port: portal } },
        },
      },
    })
    const shop = new WholeShop(floor, gateway, db, portal, roll)
    await floor.serialServer(scanner, (socket) => {
      shop.#scanner = socket
    })
    return shop
  }

  private constructor(floor: Shopfloor, gateway: GatewayProcess, db: string, portal: number, printer: { output: string }) {
    this.floor = floor
    this.gateway = gateway
    this.db = db
    this.#portal = portal
    this.#printer = printer
  }

  /** Resolves when every device works and HQ is reached. */
  async open(): Promise<void> {
    this.#scanner = undefined
    await this.gateway.start()
    const wanted = ['scanner/till-1', 'printer/receipt', 'receipt/till-1', 'portal/-', 'payment/-']
    await until(
      async () => {
        const { devices, links } = await this.status()
        const online = new Set(devices.filter((one) => one.state === 'online').map((one) => `${one.plugin}/${one.device}`))
        return wanted.every((one) => online.has(one)) && links.some((one) => one.name === 'hq' && one.state === 'online')
      },
      'the shop to be open',
      300_000,
    )
    await until(() => this.#scanner !== undefined, 'the scanner')
  }

  status(): Promise<Status> {
    return this.gateway.client.get<Status>('/api/v1/status')
  }

  scan(code: string): void {
    this.#scanner?.write(`${code}\r\n`)
  }

  async command(plugin: string, device: string, name: string, args: JsonObject = {}, id?: string): Promise<JsonObject> {
    const body = { args, ...(id === undefined ? {} : { id }) }
    const answer = await this.gateway.client.call<{ result?: JsonObject }>('POST', `/api/v1/cmd/${plugin}/${device}/${name}`, body)
    return answer.result ?? {}
  }

  /** The phone at a loopback address joins, is sent to the page, and logs in: by a tap, or by a code. Rejects when it is not let in. */
  async join(address: string, code?: string): Promise<void> {
    const probe = await this.#ask(address, '/generate_204', { host: 'connectivitycheck.gstatic.com' })
    if (probe.status === 204) return
    const page = new URL(probe.location)
    const form = code === undefined ? 'marketing=yes' : new URLSearchParams({ code, marketing: 'yes' }).toString()
    const answer = await this.#ask(address, `${page.pathname}${code === undefined ? 'connect' : 'code'}`, { form })
    if (answer.status !== 200) throw new Error(`the phone at ${address} was answered ${answer.status}`)
  }

  /** Opens a link of the portal on a phone; resolves with the HTTP status. */
  async openLink(address: string, link: string): Promise<number> {
    return (await this.#ask(address, new URL(link).pathname)).status
  }

  #ask(
    localAddress: string,
    path: string,
    { host, form }: { host?: string; form?: string } = {},
  ): Promise<{ status: number; location: string; headers: IncomingHttpHeaders }> {
    return new Promise((resolve, reject) => {
      const sent = request(
        {
          host: '127.0.0.1',
          port: this.#portal,
          localAddress,
          path,
          method: form === undefined ? 'GET' : 'POST',
          agent: false,
          timeout: 60_000,
          headers: {
            host: host ?? `127.0.0.1:${this.#portal}`,
            'accept-language': 'en',
            ...(form === undefined
              ? {}
              : { 'content-type': 'application/x-www-form-urlencoded', 'content-length': Buffer.byteLength(form) }),
          },
        },
        (response) => {
          response.resume()
          response.on('error', reject)
          response.on('end', () =>
            resolve({ status: response.statusCode ?? 0, location: response.headers.location ?? '', headers: response.headers }),
          )
        },
      )
      sent.on('timeout', () => sent.destroy(new Error('the portal does not answer')))
      sent.on('error', reject)
      sent.end(form)
    })
  }

  /** The links on the paper that has come out, oldest first. */
  printedLinks(): string[] {
    // With what comes after it: the last one may not be all here yet.
    return [...this.#printer.output.matchAll(/http:\/\/127\.0\.0\.1:\d+\/c\/[\w-]+(?=[^\w-])/g)].map(([link]) => link)
  }

  /** What HQ holds of a type, in order. */
  atHq(type: string): Promise<CloudEvent[]> {
    return hqEvents(this.db, type)
  }

  /** Resolves when HQ holds all of the journal. What staff are shown of the backlog may be a second old. */
  async settled(): Promise<void> {
    await until(async () => (await hqCount(this.db)) === Number((await this.status()).journal.head), 'HQ to have all of the journal')
  }

  /** What the gateway's journal holds of a type, in order. */
  async journaled(type: string): Promise<CloudEvent[]> {
    const found: CloudEvent[] = []
    for (let since = 0; ; ) {
      const page = await this.gateway.client.get<{ events: CloudEvent[]; next?: number }>(
        `/api/v1/events?since=${since}&limit=1000&type=${type}`,
      )
      found.push(...page.events)
      if (page.next === undefined || page.next <= since) return found
      since = page.next
    }
  }

  /** The first such event at HQ. */
  async hears(type: string, where: JsonObject = {}): Promise<CloudEvent> {
    let found: CloudEvent | undefined
    const look = async () => {
      found = (await this.atHq(type)).find(({ data }) => Object.entries(where).every(([key, value]) => data[key] === value))
      return found !== undefined
    }
    await until(look, `${type} ${JSON.stringify(where)} at HQ`)
    if (!found) throw new Error(type)
    return found
  }
}
