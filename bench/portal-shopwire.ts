/** shopwire's portal as it ships: the built gateway in the gateway's namespace. */
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { gunzipSync } from 'node:zlib'
import { type GatewayProcess, Shopfloor } from '../daemon/testing/processes.ts'
import { type GuestNet, INTERNET } from '../plugins/portal/network/testing/guest-net.ts'
import { MALLOC, until } from './parts.ts'

const HQ_PORT = 1899

export class ShopwirePortal {
  readonly name = 'shopwire'
  readonly #net: GuestNet
  readonly #floor = new Shopfloor()
  #gateway: GatewayProcess | undefined
  /** When each session-started came to HQ's broker, by this process's clock. */
  readonly arrivals: number[] = []

  constructor(net: GuestNet) {
    this.#net = net
  }

  async start(): Promise<void> {
    const { gateway } = this.#net
    this.#net.spawn('mosquitto', ['-p', String(HQ_PORT)])
    await until(async () => (await gateway.run('mosquitto_pub', ['-p', String(HQ_PORT), '-t', 'x', '-n'])).code === 0, 'the broker of HQ')
    const hq = this.#net.spawn('mosquitto_sub', ['-p', String(HQ_PORT), '-q', '1', '-t', 'shopwire/v1/+/up/events', '-F', '%x'])
    if (hq.stdout) createInterface(hq.stdout).on('line', (line) => this.#arrived(line))
    this.#gateway = await this.#floor.gateway({
      prefix: gateway.prefix,
      env: MALLOC,
      config: {
        log: { level: 'warn' },
        hq: { url: `mqtt://127.0.0.1:${HQ_PORT}`, ack: 'broker' },
        plugins: {
          portal: { name: 'Bench', network: { interface: 'br0', address: '10.66.0.1/22', dhcp: { dns: [INTERNET.address] }, hostapd: [] } },
        },
      },
    })
    await this.#gateway.start()
    await until(async () => {
      const devices = await this.#gateway?.client.get<{ plugin: string; state: string }[]>('/api/v1/devices')
      return devices?.some(({ plugin, state }) => plugin === 'portal' && state === 'online') ?? false
    }, 'the portal is open')
  }

  /** The plugin's process; its helpers are counted beside it. */
  async pids(): Promise<number[]> {
    return (await this.#processes()).filter(({ args }) => args.includes('plugin-runner') && args.includes('portal')).map(({ pid }) => pid)
  }

  async helpers(): Promise<number[]> {
    return (await this.#processes())
      .filter(({ args }) => /^(dnsmasq|ip\0-o\0monitor|nft\0monitor|hostapd_cli)/.test(args))
      .map(({ pid }) => pid)
  }

  async stop(): Promise<void> {
    await this.#gateway?.kill('SIGTERM')
    await this.#floor.end()
  }

  async #processes(): Promise<{ pid: number; args: string }[]> {
    const pids = (await this.#net.gateway.must('ip', ['netns', 'pids', this.#net.gateway.name])).split('\n').filter(Boolean).map(Number)
    return pids.flatMap((pid) => {
      try {
        return [{ pid, args: readFileSync(`/proc/${pid}/cmdline`, 'utf8') }]
      } catch {
        return []
      }
    })
  }

  #arrived(hex: string): void {
    const bytes = Buffer.from(hex, 'hex')
    const text = (bytes[0] === 0x1f && bytes[1] === 0x8b ? gunzipSync(bytes) : bytes).toString()
    const { events } = JSON.parse(text) as { events: { type: string }[] }
    for (const { type } of events) if (type === 'shopwire.portal.session-started') this.arrivals.push(performance.now())
  }
}
