/** A whole till: the built gateway with scanner, printer and payment, a till on the LAN, simulated providers. For the kill test and the bench. */
import type { Socket } from 'node:net'
import type { JsonObject } from '../../daemon/contract/json.ts'
import { freePort } from '../../daemon/testing/free-port.ts'
import { type GatewayProcess, Shopfloor } from '../../daemon/testing/processes.ts'
import { until } from '../../daemon/testing/until.ts'
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
      signal: AbortSignal.timeout(100_000),
    })
    const body = (await response.json()) as { status?: string; result?: JsonObject; error?: JsonObject }
    if (body.status !== 'done') throw new Error(JSON.stringify(body.error ?? body))
    return body.result ?? {}
  }

  /** Has it printed under a job's id that is made of the payment's, so that a receipt is printed once, whoever asks how often. */
  print(payment: JsonObject): void {
    this.#print(jobOf(payment), `Order <${String(payment.order)}>\nPaid ${String(payment.amount)}\n`)
  }

  /** Each try is a command of its own: one that was cut off before its job was stored is answered `unknown` for ever. */
  #print(jobId: string, receipt: string): void {
    const message = { id: `print-${process.pid}-${this.#asked++}`, args: { receipt, jobId } }
    this.mqtt.publish('shop/printer/receipt/cmd/print', JSON.stringify(message), { qos: 1 })
  }

  /** What became of a payment's receipt; undefined where the printer knows of none. */
  receipt(payment: JsonObject): Promise<JsonObject | undefined> {
    return this.#job(jobOf(payment))
  }

  async #job(id: string): Promise<JsonObject | undefined> {
    const { jobs } = (await this.command('printer', 'receipt', 'jobs')) as { jobs: JsonObject[] }
    return jobs.find(({ jobId }) => jobId === id)
  }

  /** Looks at the paper: has a slip printed, and when that is there, so is all that came before it. */
  async look(): Promise<void> {
    const slip = `look-${process.pid}-${this.#asked++}`
    await until(async () => {
      if (this.#printer?.output.includes(`Slip <${slip}>`)) return true
      const known = await this.#job(slip).catch(() => undefined)
      if (known === undefined) this.#print(slip, `Slip <${slip}>\n`)
      return false
    }, 'a slip to look at')
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
    await this.gateway?.kill('SIGKILL')
    this.#mqtt?.end(true)
  }

  async end(): Promise<void> {
    await this.floor.end()
    await this.alipay.close()
  }
}

const jobOf = (payment: JsonObject): string => `receipt-${String(payment.payment)}`
