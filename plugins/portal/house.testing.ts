/** A shop, whole, for the long tests: the built gateway in a namespace with real nftables and dnsmasq, phones, and the internet behind it. */
import { readdirSync, readFileSync } from 'node:fs'
import type { JsonObject } from '../../daemon/contract/json.ts'
import { type GatewayProcess, Shopfloor, until } from '../../daemon/testing/processes.ts'
import { GuestNet, INTERNET } from './network/testing/guest-net.ts'
import type { Phone } from './network/testing/phone.ts'

interface Event {
  type: string
  data: JsonObject
}

export class House {
  readonly floor: Shopfloor
  readonly net: GuestNet
  readonly gateway: GatewayProcess

  static async open(phones: number, portal: JsonObject = {}): Promise<House> {
    const net = await GuestNet.create({ phones })
    const floor = new Shopfloor()
    const gateway = await floor.gateway({
      prefix: net.gateway.prefix,
      config: {
        log: { level: 'debug' },
        plugins: {
          portal: {
            name: 'Lotus Tea',
            network: { interface: 'br0', address: '10.66.0.1/22', dhcp: { dns: [INTERNET.address] }, hostapd: [] },
            ...portal,
          },
        },
      },
    })
    const house = new House(net, gateway, floor)
    try {
      await gateway.start()
      await house.online()
    } catch (error) {
      await house.close()
      throw error
    }
    return house
  }

  private constructor(net: GuestNet, gateway: GatewayProcess, floor: Shopfloor) {
    this.net = net
    this.gateway = gateway
    this.floor = floor
  }

  async online(): Promise<void> {
    await until(async () => {
      const devices = await this.gateway.client.get<{ plugin: string; state: string }[]>('/api/v1/devices')
      return devices.some((one) => one.plugin === 'portal' && one.state === 'online')
    }, 'the portal is open').catch((error: unknown) => {
      throw new Error(`${String(error)}: ${this.gateway.child?.output.slice(-2_000)}`)
    })
  }

  async events(type: string): Promise<JsonObject[]> {
    const { events } = await this.gateway.client.get<{ events: Event[] }>(`/api/v1/events?type=portal.${type}&limit=1000`)
    return events.map((one) => one.data)
  }

  command(command: string, args: JsonObject = {}): Promise<{ status: string; result: JsonObject }> {
    return this.gateway.client.call('POST', `/api/v1/cmd/portal/-/${command}`, { args })
  }

  pluginPid(): number | undefined {
    const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name))
    const found = pids.find((pid) => {
      try {
        const environment = readFileSync(`/proc/${pid}/environ`, 'utf8')
        return (
          environment.includes('SHOPWIRE_PLUGIN=portal') &&
          readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('plugin-runner') &&
          this.#ours(pid)
        )
      } catch {
        return false
      }
    })
    return found === undefined ? undefined : Number(found)
  }

  #ours(pid: string): boolean {
    const parent = / (\d+) \d+ \d+ /.exec(readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\) \S/, ''))?.[1]
    return parent === String(this.#daemonPid())
  }

  /** The gateway was started through `ip netns exec`, which becomes what it runs. */
  #daemonPid(): number {
    return this.gateway.child?.pid ?? 0
  }

  async close(): Promise<void> {
    await this.floor.end()
    await this.net.end()
  }
}

export async function house(t: Pick<typeof import('tap').default, 'teardown'>, phones: number, portal?: JsonObject): Promise<House> {
  const opened = await House.open(phones, portal)
  t.teardown(() => opened.close())
  return opened
}

/** What a phone's own check says. */
export async function captive(phone: Phone): Promise<boolean> {
  const { status } = await phone.ask('http://connectivitycheck.gstatic.com/generate_204')
  return status !== 204
}

export async function tap(phone: Phone): Promise<number> {
  const probe = await phone.ask('http://connectivitycheck.gstatic.com/generate_204')
  const { status } = await phone.ask(`${probe.headers.location}connect`, { form: { marketing: '' } })
  return status
}
