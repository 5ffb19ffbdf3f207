/** A whole till: the built gateway with scanner, printer and payment, a till on the LAN, simulated providers. For the kill test and the bench. */
import { once } from 'node:events'
import type { Socket } from 'node:net'
import type { JsonObject } from '../../daemon/contract/json.ts'
import { freePort, type GatewayProcess, Shopfloor, until } from '../../daemon/testing/processes.ts'
import { AlipaySimulator } from './simulators/alipay.ts'
import { testKeys } from './testing.ts'

type Mqtt = Awaited<ReturnType<Shopfloor['mqtt']>>

/** What the till hears on `shop/payment/till-1/#` and `shop/scanner/till-1/scan`. */
export interface Heard {
  event: string
  data: JsonObject
  at: number
}

export class PayingShop {
  readonly floor = new Shopfloor()
  readonly alipay: AlipaySimulator
  readonly heard: Heard[] = []
  gateway: GatewayProcess | undefined
  /** Called at once with all that is heard. */
  onHeard: (heard: Heard) => void = () => {}
  #scanner: Socket | undefined
  #printer: { output: string } | undefined
  #mqtt: Mqtt | undefined
  #asked = 0

  constructor() {
    const keys = testKeys()
    this.alipay = new AlipaySimulator(keys.alipay, keys.appId)
  }

  /** `linesPerSecond`: of the printer's paper; 0 prints in no time. */
  async start(timing: JsonObject = {}, linesPerSecond = 40): Promise<void> {
    const [scannerPort, printerPort, alipayPort] = [await freePort(), await freePort(), await this.alipay.listen()]
    await this.floor.serialServer(scannerPort, (socket) => {
      this.#scanner = socket
    })
    this.#printer = this.floor.shopwire([
      'sim',
      'printer',
      '--listen',
      `127.0.0.1:${printerPort}`,
      '--speed',
      String(linesPerSecond),
      '--text',
    ])
    await until(() => this.#printer?.output.includes(String(printerPort)) ?? false, 'the printer')
    this.gateway = await this.floor.gateway({
      config: {
        plugins: {
          scanner: { devices: { 'till-1': { port: `tcp://127.0.0.1:${scannerPort}`, repeatMs: 0 } }, route: { pay: {} } },
          printer: { devices: { receipt: { port: `tcp://127.0.0.1:${printerPort}` } } },
          payment: { alipay: { ...testKeys().config.alipay, gateway: `http://127.0.0.1:${alipayPort}/gateway.do`, ...timing } },
        },
      },
    })
    await this.run()
  }

  /** Starts the gateway, again after a kill, and the till's connection with it. */
  async run(): Promise<void> {
    const { gateway } = this
    if (!gateway) throw new Error('not started')
    this.#scanner = undefined
    await gateway.start()
    await until(async () => {
      this.#mqtt = await this.floor.mqtt(gateway.lanPort).catch(() => undefined)
      return this.#mqtt !== undefined
    }, 'the LAN')
    const { mqtt } = this
    mqtt.on('message', (topic, payload) => {
      const [, plugin, , event = ''] = topic.split('/')
      const { data } = JSON.parse(payload.toString()) as { data: JsonObject }
      const heard = { event: `${plugin}.${event}`, data, at: performance.now() }
      this.heard.push(heard)
      this.onHeard(heard)
    })
    for (const event of ['opened', 'waiting', 'paid', 'failed', 'unknown', 'reversed', 'cancelled', 'unclaimed'])
      await mqtt.subscribeAsync(`shop/payment/till-1/${event}`, { qos: 1 })
    await mqtt.subscribeAsync('shop/scanner/till-1/scan', { qos: 1 })
    await mqtt.subscribeAsync('shop/printer/receipt/printed', { qos: 1 })
    await until(() => this.#scanner !== undefined, 'the scanner')
    await until(
      () =>
        this.command('payment', '-', 'status').then(
          () => true,
          () => false,
        ),
      'the payment plugin',
    )
  }

  get mqtt(): Mqtt {
    if (!this.#mqtt) throw new Error('the till is not connected')
    return this.#mqtt
  }

  scan(code: string): void {
    this.#scanner?.write(`${code}\r\n`)
  }

  /** Over HTTP; rejects with the failure's message. */
  async command(plugin: string, device: string, command: string, args: JsonObject = {}): Promise<JsonObject> {
    const response = await fetch(`http://127.0.0.1:${this.gateway?.httpPort}/api/v1/cmd/${plugin}/${device}/${command}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ id: `t-${process.pid}-${this.#asked++}`, args }),
      signal: AbortSignal.timeout(20_000),
    })
    const body = (await response.json()) as { status?: string; result?: JsonObject; error?: JsonObject }
    if (body.status !== 'done') throw new Error(JSON.stringify(body.error ?? body))
    return body.result ?? {}
  }

  /**
   * The job's id is made of the payment's, so that a receipt is printed once, whoever asks how often. Each try is a command of its own: one that
   * was cut off before its job was stored is answered `unknown` for ever.
   */
  print(payment: JsonObject): void {
    const receipt = `Order <${String(payment.order)}>\nPaid ${String(payment.amount)}\n`
    const message = { id: `print-${process.pid}-${this.#asked++}`, args: { receipt, jobId: `receipt-${String(payment.payment)}` } }
    this.mqtt.publish('shop/printer/receipt/cmd/print', JSON.stringify(message), { qos: 1 })
  }

  /** What became of a payment's receipt; undefined where the printer knows of none. */
  async receipt(payment: JsonObject): Promise<JsonObject | undefined> {
    const { jobs } = (await this.command('printer', 'receipt', 'jobs')) as { jobs: JsonObject[] }
    return jobs.find(({ jobId }) => jobId === `receipt-${String(payment.payment)}`)
  }

  /** Resolves when nothing has come out of the printer for a second. */
  async quiet(): Promise<void> {
    for (let still = 0, before = ''; still < 10; ) {
      await new Promise((wake) => setTimeout(wake, 100))
      const now = this.#printer?.output ?? ''
      still = now === before ? still + 1 : 0
      before = now
    }
  }

  /** Receipts of an order on the printer's roll. */
  printed(order: string): number {
    return (this.#printer?.output.split(`Order <${order}>`).length ?? 1) - 1
  }

  async payment(order: string): Promise<JsonObject> {
    const { payments } = (await this.command('payment', '-', 'payments', { order })) as { payments: JsonObject[] }
    return payments[0] ?? {}
  }

  async kill(): Promise<void> {
    const child = this.gateway?.child
    const ended = child ? once(child, 'exit') : undefined
    await this.gateway?.kill('SIGKILL')
    await ended?.catch(() => {})
    this.#mqtt?.end(true)
  }

  async end(): Promise<void> {
    await this.floor.end()
    await this.alipay.close()
  }
}
