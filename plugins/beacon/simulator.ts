/** `shopwire sim beacon`: a Bluetooth controller with a shop's air around it, over TCP. */
import { rmSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { H4Stream } from './hci/h4.ts'
import { Air } from './simulator/air.ts'
import { SimulatedController } from './simulator/controller.ts'
import { Random } from './simulator/random.ts'
import { loadScene, SCENE_NAMES, type Scene, type SceneFault } from './simulator/scene.ts'

const STEP_MS = 20
/** Share of reports that a `malformed` of a scene spoils. */
const SPOILT = 0.5
/** What a host that does not read has unread at most, bytes. */
const MOST_UNREAD = 4_194_304

/** The controller on a socket, as a USB stick in a port: it can be pulled and put back. */
export class BeaconSimulator {
  readonly controller: SimulatedController
  readonly #sockets = new Set<Socket>()
  #server: Server | undefined
  #where: { host: string; port: number } | { path: string } | undefined

  constructor(controller: SimulatedController = new SimulatedController()) {
    this.controller = controller
  }

  get connected(): boolean {
    return this.#sockets.size > 0
  }

  /** Resolves with what `adapter` is to be in the config. */
  async listen(where: { host: string; port: number } | { path: string } = { host: '127.0.0.1', port: 0 }): Promise<string> {
    const server = createServer((socket) => this.#accept(socket))
    if ('path' in where) rmSync(where.path, { force: true })
    await new Promise<void>((resolve, reject) => server.once('error', reject).listen(where, resolve))
    this.#server = server
    const address = server.address()
    if (typeof address !== 'object' || address === null) {
      this.#where = where
      return `sim://${String(address)}`
    }
    const host = 'host' in where ? where.host : '127.0.0.1'
    this.#where = { host, port: address.port }
    return `sim://${host.includes(':') ? `[${host}]` : host}:${address.port}`
  }

  /** Pulled out of the port. */
  async unplug(): Promise<void> {
    const server = this.#server
    this.#server = undefined
    for (const socket of this.#sockets) socket.destroy()
    this.#sockets.clear()
    this.controller.power()
    if (server) await new Promise((resolve) => server.close(resolve))
  }

  /** Put back in. */
  async plug(): Promise<void> {
    if (!this.#server && this.#where) await this.listen(this.#where)
  }

  stop(): Promise<void> {
    return this.unplug()
  }

  #accept(socket: Socket): void {
    // One host at a time, as with a real controller; the newest wins.
    for (const other of this.#sockets) other.destroy()
    this.#sockets.clear()
    this.#sockets.add(socket)
    this.controller.power()
    socket.setNoDelay(true)
    const stream = new H4Stream((packet) => this.controller.receive(packet))
    const gone = (): void => {
      this.#sockets.delete(socket)
    }
    socket
      .on('data', (chunk) => {
        if (!stream.push(chunk)) socket.destroy()
      })
      .on('close', gone)
      .on('error', gone)
    this.controller.attach((packet) => {
      if (socket.writable && socket.writableLength < MOST_UNREAD) socket.write(packet)
    })
  }
}

const USAGE = `usage: shopwire sim beacon [--listen HOST:PORT | --socket PATH] [--scene NAME|FILE] [--seed N]
scenes: ${SCENE_NAMES.join(', ')}, or a YAML or JSON file`

interface Options {
  where: { host: string; port: number } | { path: string }
  scene: Scene
}

/** Resolves with the exit code when `signal` aborts; 2 for wrong usage. */
export default async function simulate(args: string[], out: (line: string) => void, signal: AbortSignal): Promise<number> {
  let options: Options
  try {
    options = readOptions(args)
  } catch (error) {
    out(error instanceof Error ? error.message : String(error))
    out(USAGE)
    return 2
  }
  const { scene, where } = options
  const simulator = new BeaconSimulator(new SimulatedController({}, new Random(scene.seed).next))
  out(`beacon simulator on ${await simulator.listen(where)}`)
  try {
    await play(simulator, scene, out, signal)
  } finally {
    await simulator.stop()
  }
  return 0
}

function readOptions(args: string[]): Options {
  const { values } = parseArgs({
    args,
    options: { listen: { type: 'string' }, socket: { type: 'string' }, scene: { type: 'string' }, seed: { type: 'string' } },
  })
  const scene = loadScene(values.scene ?? 'shop')
  if (values.seed !== undefined) scene.seed = Number(values.seed)
  if (!Number.isInteger(scene.seed)) throw new Error(`--seed: must be a whole number, not "${values.seed}"`)
  if (values.socket !== undefined) return { scene, where: { path: values.socket } }
  const [, host, port] = /^(.+):(\d{1,5})$/.exec(values.listen ?? '127.0.0.1:4010') ?? []
  if (host === undefined || Number(port) > 65_535) throw new Error(`--listen: must be HOST:PORT, not "${values.listen}"`)
  return { scene, where: { host: host.replace(/^\[|\]$/g, ''), port: Number(port) } }
}

/** Plays a scene in real time. */
export async function play(simulator: BeaconSimulator, scene: Scene, out: (line: string) => void, signal: AbortSignal): Promise<void> {
  const air = new Air(scene)
  const began = performance.now()
  const due = [...scene.adapter].sort((a, b) => a.atMs - b.atMs)
  const ending: { at: number; end: () => Promise<void> | void }[] = []
  let advertising = false
  for (let from = 0; !signal.aborted; ) {
    const now = performance.now() - began
    for (const { advertisement } of air.between(from, now)) simulator.controller.hear(advertisement)
    from = now
    for (; due[0] && due[0].atMs <= now; due.shift()) {
      out(`adapter: ${due[0].fault}`)
      const end = await begin(simulator, due[0])
      ending.push({ at: now + due[0].forMs, end })
    }
    for (const one of ending.filter(({ at }) => at <= now)) {
      ending.splice(ending.indexOf(one), 1)
      await one.end()
    }
    if (simulator.controller.state.advertising !== advertising) {
      advertising = !advertising
      const { advertisingData } = simulator.controller.state
      out(advertising ? `on the air: ${advertisingData.toString('hex')}` : 'no longer on the air')
    }
    await sleep(STEP_MS, undefined, { signal }).catch(() => {})
  }
}

/** Lets a fault begin; what is returned ends it. */
async function begin(simulator: BeaconSimulator, { fault }: SceneFault): Promise<() => Promise<void> | void> {
  const { controller } = simulator
  const { faults } = controller
  switch (fault) {
    case 'unplugged':
      await simulator.unplug()
      return () => simulator.plug()
    case 'resets-itself':
      controller.resetItself()
      return () => {}
    case 'scan-taken':
      controller.otherTurnsScanOff()
      return () => {}
    case 'advertising-taken':
      controller.otherTurnsAdvertisingOff()
      return () => {}
    case 'malformed':
      faults.malformed = SPOILT
      return () => {
        faults.malformed = 0
      }
    case 'statuses':
      return () => {}
    default:
      faults[fault] = true
      return () => {
        faults[fault] = false
      }
  }
}
