/** Many stations in one namespace, each with its own MAC and address on a macvlan: what a burst of joins looks like to the gateway. */
import type { Namespace, Process } from './namespace.ts'

export interface Member {
  mac: string
  ip: string
  /** Its interface in the crowd's namespace. */
  device: string
}

export class Crowd {
  readonly namespace: Namespace
  readonly members: readonly Member[]

  /** `subnet`: the first three octets; members get `.1` to `.250`, then the next third octet. */
  constructor(namespace: Namespace, size: number, subnet: string, group: number) {
    const [a = '10', b = '66', c = '2'] = subnet.split('.')
    this.namespace = namespace
    this.members = Array.from({ length: size }, (_, index) => ({
      mac: `02:00:5e:${(0x80 + group).toString(16)}:${(index >> 8).toString(16).padStart(2, '0')}:${(index & 255).toString(16).padStart(2, '0')}`,
      ip: `${a}.${b}.${Number(c) + Math.floor(index / 250)}.${1 + (index % 250)}`,
      device: `mv${index}`,
    }))
  }

  /** Sources are chosen by address: a socket bound to a member's address leaves by its interface, with its MAC. */
  async create(gateway = '10.66.0.1', prefix = 22): Promise<void> {
    await this.namespace.sysctl({
      'net.ipv4.conf.all.rp_filter': 0,
      'net.ipv4.conf.default.rp_filter': 0,
      'net.ipv4.conf.default.arp_ignore': 1,
      'net.ipv4.conf.all.arp_announce': 2,
    })
    await this.namespace.ip(
      this.members.flatMap(({ mac, ip, device }, index) => [
        `link add ${device} link wlan0 address ${mac} type macvlan mode private`,
        `addr add ${ip}/${prefix} dev ${device} noprefixroute`,
        `link set ${device} up`,
        `route add ${gateway} dev ${device} table ${1000 + index}`,
        `route add default via ${gateway} dev ${device} onlink table ${1000 + index}`,
        `rule add from ${ip} lookup ${1000 + index}`,
      ]),
    )
  }

  /** A program in here; bind its sockets to the members' addresses. */
  spawn(command: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Process {
    return this.namespace.spawn(command, args, env)
  }
}
