/** The three ways to bring a shop's events to HQ that are measured side by side. */
import type { ChildProcess } from 'node:child_process'
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { DaemonClient } from '../daemon/cli/client.ts'
import { freePort } from '../daemon/testing/free-port.ts'
import { RawPublisher } from './load.ts'
import { kill, MALLOC, mosquitto, NODE_FLAGS, root, run, shopwire, until } from './parts.ts'

export interface Contender {
  name: string
  /** Milliseconds from spawn to ready. */
  start(hqPort: number): Promise<number>
  /** Brings up what only the load needs, after the idle figures were taken. */
  arm(): Promise<void>
  /** What the shop pays for: the gateway process itself, without load generators. */
  pid(): number
  /** Hands over `count` events of about 300 bytes, numbered from `from`; resolves with how many were acknowledged. */
  burst(from: number, count: number): Promise<number>
  /** One event that carries `stamp`, now. */
  one(stamp: string): void
  kill(signal: NodeJS.Signals): Promise<void>
  stop(): Promise<void>
}

/** With the CloudEvent around it, shopwire's event comes to the same 300 bytes that the others carry as a plain payload. */
const PAYLOAD = 300
const payload = (n: number | string): string => `{"n":${n},"pad":"${'x'.repeat(PAYLOAD - 16 - String(n).length)}"}`

export class Shopwire implements Contender {
  readonly name = 'shopwire'
  readonly #dir: string
  #child: ChildProcess | undefined
  #client: DaemonClient | undefined
  #serial: ChildProcess | undefined
  #hqPort = 0

  constructor(dir: string) {
    this.#dir = join(dir, 'shopwire')
  }

  async start(hqPort: number): Promise<number> {
    this.#hqPort = hqPort || this.#hqPort
    const data = join(this.#dir, 'data')
    mkdirSync(data, { recursive: true })
    const [near, far] = [join(this.#dir, 'near'), join(this.#dir, 'far')]
    if (!this.#serial) {
      this.#serial = run('socat', [`pty,raw,echo=0,link=${near}`, `pty,raw,echo=0,link=${far}`])
      await until(() => existsSync(near) && existsSync(far), 'socat')
    }
    const config = join(this.#dir, 'shopwire.yaml')
    const [http, lan] = [await freePort(), await freePort()]
    writeFileSync(
      config,
      JSON.stringify({
        gateway: { id: 'bench', store: '1' },
        dataDir: data,
        log: { level: 'warn' },
        http: { listen: `127.0.0.1:${http}` },
        lan: { listen: `127.0.0.1:${lan}` },
        hq: { url: `mqtt://127.0.0.1:${this.#hqPort}` },
        pluginDirs: [],
        discovery: { announce: false },
        plugins: { scanner: { devices: { 'till-1': { port: far, repeatMs: 0 } } }, printer: { devices: {} } },
      }),
    )
    const began = performance.now()
    this.#child = run(process.execPath, [...NODE_FLAGS, shopwire, 'run', '--config', config], {
      env: MALLOC,
      log: join(this.#dir, 'log'),
    })
    this.#client = new DaemonClient(join(data, 'shopwire.sock'))
    const client = this.#client
    await until(
      () =>
        client.get('/healthz').then(
          () => true,
          () => false,
        ),
      'shopwire to be healthy',
      60_000,
      5,
    )
    return performance.now() - began
  }

  async arm(): Promise<void> {
    await this.#client?.call('POST', '/api/v1/plugins/load', { dir: join(root, 'bench', 'plugins', 'firehose') })
  }

  pid(): number {
    return this.#child?.pid ?? 0
  }

  async burst(from: number, count: number): Promise<number> {
    const answer = await this.#client?.call<{ result?: { acknowledged: number } }>(
      'POST',
      '/api/v1/cmd/firehose/-/burst',
      { args: { from, count, pad: 30 } },
      () => true,
    )
    return answer?.result?.acknowledged ?? 0
  }

  one(stamp: string): void {
    writeFileSync(join(this.#dir, 'near'), `${stamp}\r\n`)
  }

  async kill(signal: NodeJS.Signals): Promise<void> {
    if (this.#child) await kill(this.#child, signal)
  }

  async stop(): Promise<void> {
    await this.kill('SIGTERM')
    if (this.#serial) await kill(this.#serial)
    rmSync(this.#dir, { recursive: true, force: true })
  }
}

/** mosquitto in the shop with a bridge to HQ: what many would set up. */
export class Bridge implements Contender {
  readonly name = 'mosquitto bridge'
  readonly #dir: string
  #child: ChildProcess | undefined
  #publisher: RawPublisher | undefined
  #port = 0
  #hqPort = 0

  constructor(dir: string) {
    this.#dir = join(dir, 'bridge')
  }

  async start(hqPort: number): Promise<number> {
    this.#hqPort = hqPort || this.#hqPort
    mkdirSync(this.#dir, { recursive: true })
    this.#port ||= await freePort()
    const began = performance.now()
    this.#child = await mosquitto(this.#dir, 'bridge', this.#port, [
      'persistence true',
      `persistence_location ${this.#dir}/`,
      'autosave_interval 1',
      'user root',
      'connection hq',
      `address 127.0.0.1:${this.#hqPort}`,
      'topic bench/# out 1',
      'cleansession false',
      'restart_timeout 1',
      'bridge_max_packet_size 0',
    ])
    const took = performance.now() - began
    this.#publisher = await RawPublisher.open(this.#port)
    return took
  }

  async arm(): Promise<void> {}

  pid(): number {
    return this.#child?.pid ?? 0
  }

  async burst(from: number, count: number): Promise<number> {
    const publisher = this.#publisher
    if (!publisher) return 0
    const before = publisher.acknowledged
    await publisher.publish('bench/drop', numbered(from, count))
    await until(() => publisher.acknowledged - before >= count, 'PUBACKs', 20_000).catch(() => {})
    return Math.min(count, publisher.acknowledged - before)
  }

  one(stamp: string): void {
    void this.#publisher?.publish('bench/drop', [payload(`"${stamp}"`)])
  }

  async kill(signal: NodeJS.Signals): Promise<void> {
    this.#publisher?.close()
    if (this.#child) await kill(this.#child, signal)
  }

  async stop(): Promise<void> {
    await this.kill('SIGTERM')
    rmSync(this.#dir, { recursive: true, force: true })
  }
}

/** Node-RED with a TCP input and an MQTT output, installed outside the project. */
export class NodeRed implements Contender {
  readonly name = 'Node-RED'
  readonly #dir: string
  #child: ChildProcess | undefined
  #socket: Socket | undefined
  #tcp = 0
  #hqPort = 0

  constructor(dir: string) {
    this.#dir = join(dir, 'node-red')
  }

  async start(hqPort: number): Promise<number> {
    this.#hqPort = hqPort || this.#hqPort
    mkdirSync(this.#dir, { recursive: true })
    this.#tcp ||= await freePort()
    const ui = await freePort()
    writeFileSync(
      join(this.#dir, 'flows.json'),
      JSON.stringify([
        { id: 'tab', type: 'tab', label: 'bench' },
        {
          id: 'broker',
          type: 'mqtt-broker',
          broker: '127.0.0.1',
          port: String(this.#hqPort),
          protocolVersion: '4',
          keepalive: '60',
          cleansession: true,
        },
        {
          id: 'in',
          type: 'tcp in',
          z: 'tab',
          server: 'server',
          port: String(this.#tcp),
          datamode: 'stream',
          datatype: 'utf8',
          newline: '\\n',
          trim: false,
          wires: [['out']],
        },
        { id: 'out', type: 'mqtt out', z: 'tab', topic: 'bench/drop', qos: '1', retain: 'false', broker: 'broker', wires: [] },
      ]),
    )
    writeFileSync(
      join(this.#dir, 'settings.js'),
      `module.exports = { flowFile: 'flows.json', uiHost: '127.0.0.1', uiPort: ${ui}, telemetry: { enabled: false }, logging: { console: { level: 'error' } }, editorTheme: { tours: false } }`,
    )
    const began = performance.now()
    this.#child = run(
      process.execPath,
      [join(root, '.bench/node-red/node_modules/node-red/red.js'), '--userDir', this.#dir, '--settings', join(this.#dir, 'settings.js')],
      { log: join(this.#dir, 'log') },
    )
    await until(async () => this.#connect(), 'Node-RED to listen', 60_000, 5)
    return performance.now() - began
  }

  #connect(): Promise<boolean> {
    return new Promise((done) => {
      const socket = connect({ port: this.#tcp, host: '127.0.0.1', noDelay: true }, () => {
        this.#socket = socket
        done(true)
      })
      socket.once('error', () => done(false))
    })
  }

  async arm(): Promise<void> {}

  pid(): number {
    return this.#child?.pid ?? 0
  }

  /** TCP tells no more than that the kernel took the bytes: what was written counts as handed over. */
  async burst(from: number, count: number): Promise<number> {
    let chunk = ''
    let n = 0
    for (const line of numbered(from, count)) {
      chunk += `${line}\n`
      if (++n % 200 > 0 && n < count) continue
      if (this.#socket && !this.#socket.write(chunk)) await new Promise((drained) => this.#socket?.once('drain', drained))
      chunk = ''
    }
    return count
  }

  one(stamp: string): void {
    this.#socket?.write(`${payload(`"${stamp}"`)}\n`)
  }

  async kill(signal: NodeJS.Signals): Promise<void> {
    this.#socket?.destroy()
    if (this.#child) await kill(this.#child, signal)
  }

  async stop(): Promise<void> {
    await this.kill('SIGKILL')
    rmSync(this.#dir, { recursive: true, force: true })
  }
}

function* numbered(from: number, count: number): Generator<string> {
  for (let n = from; n < from + count; n++) yield payload(n)
}
