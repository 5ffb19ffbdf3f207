/** A `NetworkController` that runs in the gateway's namespace of a guest net, and all it says. */
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { type ErrorBody, Failure } from '../../../../daemon/contract/errors.ts'
import { until } from '../../../../daemon/testing/until.ts'
import type { Grant, Mac, NetworkConfig, NetworkHealth, Sighting, Station, Suspicion, Usage } from '../api.ts'
import type { NftablesPorts } from '../nftables.ts'
import { type GuestNet, INTERNET } from './guest-net.ts'
import { endProcess, type Process } from './namespace.ts'
import { program } from './program.ts'

export interface RemoteOptions {
  config?: Partial<NetworkConfig>
  ports?: Partial<NftablesPorts>
  stateDir?: string
  /** In front of node: `setpriv …`. */
  prefix?: readonly string[]
  env?: NodeJS.ProcessEnv
  /** Who was online when an earlier one ended. */
  online?: Grant[]
}

export const PORTAL_PORT = 8081

export function testConfig(config: Partial<NetworkConfig> = {}): NetworkConfig {
  return {
    interface: 'br0',
    uplink: 'auto',
    address: '10.66.0.1/22',
    walledGarden: [],
    protect: [],
    isolate: true,
    hostapd: [],
    ...config,
    dhcp: { mode: 'run', leaseSeconds: 600, joinDir: '/etc/dnsmasq.d', dns: [INTERNET.address], ...config.dhcp },
  }
}

export class RemoteController {
  readonly sightings: Sighting[] = []
  readonly healths: NetworkHealth[] = []
  readonly suspicions: Suspicion[] = []
  readonly logs: { log: string; fields: Record<string, unknown>; message: string }[] = []
  readonly child: Process
  readonly #waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>()
  #last = 0
  /** Healths that were waited for. */
  #awaited = 0

  private constructor(child: Process) {
    this.child = child
    if (child.stdout) createInterface(child.stdout).on('line', (line) => this.#hear(line))
    child.once('exit', () => {
      for (const { reject } of this.#waiting.values()) reject(new Error(`the controller's process ended: ${child.output}`))
      this.#waiting.clear()
    })
  }

  /** Made and started; `stop` it, or end the net. */
  static async start(net: GuestNet, options: RemoteOptions = {}): Promise<RemoteController> {
    const remote = RemoteController.make(net, options)
    await remote.call('start', options.online ?? [])
    return remote
  }

  static make(net: GuestNet, options: RemoteOptions = {}): RemoteController {
    const setting = {
      config: testConfig(options.config),
      ports: { http: PORTAL_PORT, ...options.ports },
      stateDir: options.stateDir ?? join(net.dir, 'state'),
    }
    const [command = process.execPath, ...args] = [
      ...(options.prefix ?? []),
      process.execPath,
      program('controller-host.ts', net.dir),
      JSON.stringify(setting),
    ]
    return new RemoteController(net.spawn(command, args, options.env))
  }

  get health(): NetworkHealth | undefined {
    return this.healths.at(-1)
  }

  /** Waits for this health, told after the one that was waited for last: one that is over within a moment is not missed. */
  async tells(what: 'online' | string): Promise<void> {
    await until(() => {
      const at = this.healths.findIndex(({ state, detail }, index) => index >= this.#awaited && (detail ?? state) === what)
      if (at >= 0) this.#awaited = at + 1
      return at >= 0
    }, `health ${what}`)
  }

  /** Waits for a log line. */
  async line(what: RegExp): Promise<RemoteController['logs'][number]> {
    let found: RemoteController['logs'][number] | undefined
    await until(() => {
      found = this.logs.find(({ message }) => what.test(message))
      return found !== undefined
    }, `the log line ${what}`)
    return found as RemoteController['logs'][number]
  }

  authorise(grants: Grant[]): Promise<unknown> {
    return this.call('authorise', grants)
  }

  revoke(macs: Mac[]): Promise<unknown> {
    return this.call('revoke', macs)
  }

  async usage(): Promise<Usage[]> {
    return (await this.call('usage')) as Usage[]
  }

  async stationAt(ip: string): Promise<Station | undefined> {
    return (await this.call('stationAt', ip)) as Station | undefined
  }

  async stop(again = false): Promise<void> {
    await this.call('stop', again)
    await endProcess(this.child)
  }

  call(method: string, ...args: unknown[]): Promise<unknown> {
    const id = ++this.#last
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject })
      this.child.stdin?.write(`${JSON.stringify({ id, method, args })}\n`)
    })
  }

  #hear(line: string): void {
    const said = JSON.parse(line) as { id?: number; result?: unknown; error?: ErrorBody; event?: string; data?: unknown; log?: string }
    if (said.id !== undefined) {
      const { resolve, reject } = this.#waiting.get(said.id) ?? {}
      this.#waiting.delete(said.id)
      if (said.error) reject?.(new Failure(said.error.code, said.error.message, said.error.problems))
      else resolve?.(said.result)
    } else if (said.event === 'sighting') this.sightings.push(said.data as Sighting)
    else if (said.event === 'health') this.healths.push(said.data as NetworkHealth)
    else if (said.event === 'suspect') this.suspicions.push(said.data as Suspicion)
    else if (said.log !== undefined) this.logs.push(said as RemoteController['logs'][number])
  }
}
