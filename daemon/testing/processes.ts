/** Real processes for the end-to-end tests: the built gateway, mosquitto, the HQ sink. All on loopback, all killed by `end`. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect as connectTcp, createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import mqtt, { type MqttClient } from 'mqtt'
import { DaemonClient, SOCKET_NAME } from '../cli/client.ts'
import type { JsonObject } from '../contract/json.ts'
import { freePort } from './free-port.ts'
import { until } from './until.ts'

const bundle = resolve(import.meta.dirname, '../../dist/shopwire.cjs')

/** Everything one test starts; `end` stops it all and removes its folder. */
export class Shopfloor {
  readonly dir = mkdtempSync(join(tmpdir(), 'shopwire-test-'))
  readonly #children = new Set<ChildProcess>()
  readonly #clients: MqttClient[] = []
  readonly #closers: (() => void)[] = []

  spawn(command: string, args: string[], env: NodeJS.ProcessEnv = {}): ChildProcess & { output: string } {
    const child = Object.assign(
      spawn(command, args, { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'], detached: true }),
      {
        output: '',
      },
    )
    const keep = (chunk: string) => (child.output = (child.output + chunk).slice(-200_000))
    child.stdout?.setEncoding('utf8').on('data', keep)
    child.stderr?.setEncoding('utf8').on('data', keep)
    this.#children.add(child)
    child.once('exit', () => this.#children.delete(child))
    return child
  }

  shopwire(args: string[], env: NodeJS.ProcessEnv = {}): ChildProcess & { output: string } {
    if (!existsSync(bundle)) throw new Error(`${bundle} is not there: npm run build`)
    return this.spawn(process.execPath, [bundle, ...args], env)
  }

  /** Runs a CLI command to its end. */
  async cli(args: string[], env: NodeJS.ProcessEnv = {}): Promise<{ code: number; output: string }> {
    const child = this.shopwire(args, { NO_COLOR: '1', ...env })
    const [code] = (await once(child, 'close')) as [number]
    return { code, output: child.output }
  }

  async gateway(options: GatewayOptions): Promise<GatewayProcess> {
    const gateway = new GatewayProcess(this, options, await freePort(), await freePort())
    return gateway
  }

  async mosquitto(port: number, lines: string[] = []): Promise<ChildProcess> {
    const file = join(this.dir, `mosquitto-${port}.conf`)
    writeFileSync(
      file,
      [`listener ${port} 127.0.0.1`, 'allow_anonymous true', 'max_queued_messages 0', 'log_type error', ...lines, ''].join('\n'),
    )
    const child = this.spawn('/usr/sbin/mosquitto', ['-c', file])
    await until(() => {
      if (ended(child)) throw new Error(`mosquitto ended (exit ${child.exitCode ?? child.signalCode}): ${child.output}`)
      return portOpen(port)
    }, `mosquitto on ${port}`)
    return child
  }

  sink(port: number, db: string): ChildProcess & { output: string } {
    return this.shopwire(['hq', 'sink', '--broker', `mqtt://127.0.0.1:${port}`, '--db', db, '--json'])
  }

  async mqtt(port: number, options: mqtt.IClientOptions = {}): Promise<MqttClient> {
    const client = await mqtt.connectAsync(`mqtt://127.0.0.1:${port}`, { reconnectPeriod: 0, ...options })
    this.#clients.push(client)
    client.on('error', () => {})
    return client
  }

  /** A serial server: takes one scanner connection after the other and says what `feed` does with each. */
  async serialServer(port: number, feed: (socket: Socket) => void): Promise<Server> {
    const server = createServer((socket) => {
      socket.on('error', () => {})
      this.#closers.push(() => socket.destroy())
      feed(socket)
    }).listen(port, '127.0.0.1')
    await once(server, 'listening')
    this.#closers.push(() => server.close())
    return server
  }

  async end(): Promise<void> {
    for (const client of this.#clients) client.end(true)
    for (const close of this.#closers) close()
    await Promise.all([...this.#children].map((child) => killed(child, 'SIGKILL')))
    // The plugins of a killed gateway end by themselves, and may write until then.
    rmSync(this.dir, { recursive: true, force: true, maxRetries: 50, retryDelay: 100 })
  }
}

export interface GatewayOptions {
  /** Merged over a config with free ports and the test's own folder. */
  config: JsonObject
  env?: NodeJS.ProcessEnv
  /** In front of the node executable: `faketime …`. */
  prefix?: string[]
}

/** The built daemon as its own process, with a config of its own; can be killed and started again on the same data. */
export class GatewayProcess {
  readonly configFile: string
  readonly dataDir: string
  /** Third-party plugins are dropped here. */
  readonly pluginDir: string
  readonly client: DaemonClient
  readonly httpPort: number
  readonly lanPort: number
  readonly #floor: Shopfloor
  readonly #options: GatewayOptions
  child: (ChildProcess & { output: string }) | undefined

  constructor(floor: Shopfloor, options: GatewayOptions, httpPort: number, lanPort: number) {
    this.#floor = floor
    this.#options = options
    this.httpPort = httpPort
    this.lanPort = lanPort
    const home = mkdtempSync(join(floor.dir, 'gateway-'))
    this.dataDir = typeof options.config.dataDir === 'string' ? options.config.dataDir : join(home, 'data')
    this.configFile = join(home, 'shopwire.yaml')
    this.client = new DaemonClient(join(this.dataDir, SOCKET_NAME))
    this.pluginDir = join(home, 'plugins')
    mkdirSync(this.pluginDir)
    this.write({
      gateway: { id: 'shop-001', store: '0001' },
      dataDir: this.dataDir,
      http: { listen: `127.0.0.1:${httpPort}` },
      lan: { listen: `127.0.0.1:${lanPort}` },
      pluginDirs: [this.pluginDir],
      discovery: { announce: false },
      ...options.config,
    })
  }

  write(config: JsonObject): void {
    writeFileSync(this.configFile, JSON.stringify(config))
  }

  /** Starts the daemon and waits until its API answers. */
  async start(): Promise<void> {
    const [command = process.execPath, ...args] = [
      ...(this.#options.prefix ?? []),
      process.execPath,
      bundle,
      'run',
      '--config',
      this.configFile,
    ]
    this.child = this.#floor.spawn(command, args, this.#options.env)
    const child = this.child
    await until(async () => {
      if (ended(child)) throw new Error(`the gateway ended (exit ${child.exitCode ?? child.signalCode}): ${child.output}`)
      return this.client.get('/api/v1/status').then(
        () => true,
        () => false,
      )
    }, 'the gateway to answer')
  }

  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    if (this.child) await killed(this.child, signal)
  }
}

const ended = (child: ChildProcess): boolean => child.exitCode !== null || child.signalCode !== null

async function killed(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.pid === undefined || ended(child)) return
  const gone = once(child, 'exit')
  try {
    // The whole group: faketime is a wrapper that waits for what it runs.
    process.kill(-child.pid, signal)
  } catch {
    // It has just ended by itself.
  }
  await gone
}

function portOpen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connectTcp(port, '127.0.0.1', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}
