/** A shop, whole, for the long tests: the built gateway in a namespace with real nftables and dnsmasq, phones, and the internet behind it. */
import { readFileSync } from 'node:fs'
import type { JsonObject } from '../../daemon/contract/json.ts'
import { type GatewayProcess, Shopfloor } from '../../daemon/testing/processes.ts'
import { until } from '../../daemon/testing/until.ts'
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
      // What the portal keeps at run time goes with the test.
      env: { TMPDIR: net.dir },
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

  /** The process of the portal, another one than `before`; waits for it. */
  async plugin(before?: number): Promise<number> {
    let pid: number | undefined
    await until(() => {
      pid = this.#pluginPid()
      return pid !== undefined && pid !== before
    }, 'a process of the portal')
    return pid as number
  }

  /** proc(5), "children": one may be left out while another ends. */
  #pluginPid(): number | undefined {
    // The gateway was started through `ip netns exec`, which becomes what it runs.
    const gateway = this.gateway.child?.pid
    const children = readFileSync(`/proc/${gateway}/task/${gateway}/children`, 'utf8').split(' ').filter(Boolean)
    const found = children.find((pid) => {
      try {
        return (
          readFileSync(`/proc/${pid}/environ`, 'utf8').includes('SHOPWIRE_PLUGIN=portal') &&
          readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('plugin-runner')
        )
      } catch {
        // It has ended since.
        return false
      }
    })
    return found === undefined ? undefined : Number(found)
  }

  async close(): Promise<void> {
    try {
      await this.floor.end()
    } finally {
      await this.net.end()
    }
  }
}

export async function house(t: Pick<typeof import('tap').default, 'teardown'>, phones: number, portal?: JsonObject): Promise<House> {
  const opened = await House.open(phones, portal)
  t.teardown(() => opened.close())
  return opened
}

/** What a phone's own check is answered: 204 when it is online, 302 when it is not; 0 by nobody. */
export async function probe(phone: Phone): Promise<number> {
  return (await phone.ask('http://connectivitycheck.gstatic.com/generate_204')).status
}

export async function tap(phone: Phone): Promise<number> {
  const { headers } = await phone.ask('http://connectivitycheck.gstatic.com/generate_204')
  const { status } = await phone.ask(`${headers.location}connect`, { form: { marketing: '' } })
  return status
}
