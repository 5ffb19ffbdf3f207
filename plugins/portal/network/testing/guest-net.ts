/**
 * A shop's guest network in network namespaces, for tests and benches: phones on a bridge, the gateway, the internet behind it, the
 * shop's own LAN beside it. Everything is removed by `end`, and what a crashed test left is removed by the next one.
 *
 *     phone-1 ─┐                      ┌ wan0 203.0.113.2 ── 203.0.113.1   internet (11.22.33.1): HTTP, HTTPS, DNS
 *     phone-2 ─┼ br0 10.66.0.1 gateway ┼ lte0 198.51.100.2 ─ 198.51.100.1  (a second way to it)
 *     crowd   ─┘                      └ lan0 192.168.77.1 ─ 192.168.77.10 the till
 */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { until } from '../../../../daemon/testing/until.ts'
import { Crowd } from './crowd.ts'
import { must, Namespace, type Process, removeNamespace, run } from './namespace.ts'
import { Phone } from './phone.ts'
import { program } from './program.ts'

const PREFIX = 'swg'
/** What every guest net is made of. */
const PARTS = 'ip link add br0 type bridge; ip link add veth0 type veth peer name veth1; nft list ruleset'
const TRIAL = ['unshare', '--net', '--mount', 'sh', '-ec', PARTS] as const
/** A right or a part of the kernel. Whatever else is said is a fault, and none to be skipped. */
const LACKING = /not permitted|denied|not supported|not implemented|unknown device type/i
let made = 0

/** Public addresses, as the documentation ranges count as private for `stop-dns-rebind`; they exist in the namespaces only. */
export const INTERNET = {
  /** DNS and web server; every name that is not named below is here. */
  address: '11.22.33.1',
  /** `garden.example` and all below it. */
  garden: '11.22.33.7',
  /** A resolver that is not the gateway's; answers `11.22.33.66` to every question. */
  otherResolver: '11.22.33.53',
  /** The provider's router at the other end of the line, and of the LTE stick's: a guest has no business there. */
  router: '203.0.113.1',
  lteRouter: '198.51.100.1',
} as const

export const SHOP = { gateway: '192.168.77.1', till: '192.168.77.10', tillPort: 8000 } as const

export interface GuestNetOptions {
  /** Phones with a namespace of their own; 1 unless told. */
  phones?: number
  /** Whether the gateway has the guest address already, as with hostapd and networkd; the controller sets it otherwise. */
  guestAddress?: string
}

export class GuestNet {
  readonly dir: string
  readonly gateway: Namespace
  readonly internet: Namespace
  readonly till: Namespace
  readonly phones: Phone[] = []
  readonly #id: string
  readonly #namespaces: Namespace[] = []
  #crowds = 0

  /** Why there can be none here, for `t.test(name, { skip })`; false when there can. */
  static unavailable(...programs: string[]): string | false {
    if (process.getuid?.() !== 0) return 'needs root to make network namespaces'
    const missing = ['ip', 'nft', 'dnsmasq', 'udhcpc', 'curl', ...programs].filter((program) => !inPath(program))
    if (missing.length > 0) return `not installed: ${missing.join(', ')}`
    // Root of a container may have none of the rights that it takes, and a kernel may lack a part of it.
    const [unshare, ...words] = TRIAL
    const { status, stderr } = spawnSync(unshare, words, { encoding: 'utf8' })
    if (status === 0) return false
    const why = `network namespaces cannot be made here: ${stderr}`
    if (LACKING.test(stderr)) return why.trim()
    throw new Error(why)
  }

  static async create(options: GuestNetOptions = {}): Promise<GuestNet> {
    await sweep()
    const net = new GuestNet(await mkdtemp(join(tmpdir(), 'shopwire-guest-')))
    try {
      await net.#build(options)
    } catch (error) {
      await net.end()
      throw error
    }
    return net
  }

  private constructor(dir: string) {
    this.dir = dir
    this.#id = `${PREFIX}${process.pid}-${++made}`
    this.gateway = this.#namespace('gw')
    this.internet = this.#namespace('net')
    this.till = this.#namespace('lan')
  }

  get phone(): Phone {
    const [first] = this.phones
    if (!first) throw new Error('this guest net was made without a phone')
    return first
  }

  /** One more phone, not joined yet: its cable to the bridge is there and down. */
  async addPhone(): Promise<Phone> {
    const number = this.phones.length + 1
    const namespace = this.#namespace(`p${number}`)
    await namespace.create()
    const mac = macOf(number)
    await this.#wire(namespace, `p${number}`, mac)
    const phone = new Phone(namespace, mac, `p${number}`, this.gateway, join(this.dir, `phone-${number}`))
    await phone.prepare()
    this.phones.push(phone)
    return phone
  }

  /** Many stations, each with its own MAC and address, in one namespace: for bursts. */
  async addCrowd(size: number, subnet = '10.66.2'): Promise<Crowd> {
    const name = `c${++this.#crowds}`
    const namespace = this.#namespace(name)
    await namespace.create()
    await this.#wire(namespace, name, macOf(200, this.#crowds))
    await namespace.ip(['link set wlan0 up'])
    await this.gateway.ip([`link set ${name} up`])
    const crowd = new Crowd(namespace, size, subnet, this.#crowds)
    await crowd.create()
    return crowd
  }

  /** Runs a program in the gateway's namespace. */
  spawn(command: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Process {
    return this.gateway.spawn(command, args, env)
  }

  /** The way to the internet breaks off, or comes back. */
  async uplink(up: boolean, device: 'wan0' | 'lte0' = 'wan0'): Promise<void> {
    await this.gateway.ip([`link set ${device} ${up ? 'up' : 'down'}`])
    if (up) await this.gateway.run('ip', ['route', 'replace', 'default', ...wayOut(device)])
  }

  /** The shop's line moves from fibre to the LTE stick, or back. */
  async route(device: 'wan0' | 'lte0'): Promise<void> {
    await this.gateway.ip([`route replace default ${wayOut(device).join(' ')}`])
  }

  async end(): Promise<void> {
    try {
      await Promise.all(this.#namespaces.map((one) => one.end()))
    } finally {
      // Who was killed just now may still be making a file.
      await rm(this.dir, { recursive: true, force: true, maxRetries: 50, retryDelay: 100 })
    }
  }

  #namespace(suffix: string): Namespace {
    const namespace = new Namespace(`${this.#id}-${suffix}`)
    this.#namespaces.push(namespace)
    return namespace
  }

  async #wire(namespace: Namespace, port: string, mac: string): Promise<void> {
    await must('ip', ['-n', this.gateway.name, 'link', 'add', port, 'type', 'veth', 'peer', 'name', 'wlan0', 'netns', namespace.name])
    await this.gateway.ip([`link set ${port} master br0`])
    await namespace.ip([`link set wlan0 address ${mac}`])
  }

  async #build({ phones = 1, guestAddress }: GuestNetOptions): Promise<void> {
    await Promise.all([this.gateway, this.internet, this.till].map((one) => one.create()))
    const veth = (name: string, peer: Namespace, at: string) =>
      must('ip', ['-n', this.gateway.name, 'link', 'add', name, 'type', 'veth', 'peer', 'name', at, 'netns', peer.name])
    await veth('wan0', this.internet, 'fibre')
    await veth('lte0', this.internet, 'lte')
    await veth('lan0', this.till, 'eth0')
    await this.gateway.ip([
      'link add br0 type bridge',
      // A bridge takes the lowest MAC of its ports unless it has one of its own: with phones coming and going it would change.
      'link set br0 address 02:66:00:00:00:01',
      'link set br0 up',
      ...(guestAddress ? [`addr add ${guestAddress} dev br0`] : []),
      'addr add 203.0.113.2/24 dev wan0',
      'link set wan0 up',
      'addr add 198.51.100.2/24 dev lte0',
      'link set lte0 up',
      `addr add ${SHOP.gateway}/24 dev lan0`,
      'link set lan0 up',
      `route add default ${wayOut('wan0').join(' ')}`,
    ])
    await this.internet.ip([
      ...[INTERNET.address, INTERNET.garden, INTERNET.otherResolver].map((address) => `addr add ${address}/32 dev lo`),
      `addr add ${INTERNET.router}/24 dev fibre`,
      'link set fibre up',
      `addr add ${INTERNET.lteRouter}/24 dev lte`,
      'link set lte up',
    ])
    // It answers on every address, whichever way the question came.
    await this.internet.sysctl({ 'net.ipv4.conf.all.rp_filter': 0, 'net.ipv4.conf.default.rp_filter': 0 })
    await this.till.ip([`addr add ${SHOP.till}/24 dev eth0`, 'link set eth0 up', `route add default via ${SHOP.gateway}`])
    await Promise.all([this.#serveInternet(), this.#serveTill()])
    for (let count = 0; count < phones; count++) await this.addPhone()
  }

  async #serveInternet(): Promise<void> {
    const key = join(this.dir, 'key.pem')
    const cert = join(this.dir, 'cert.pem')
    await must('openssl', [
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'],
      ...['-subj', '/CN=internet.example', '-keyout', key, '-out', cert],
    ])
    const resolver = (name: string, address: string, lines: string[]): Promise<Process> =>
      this.#dnsmasq(this.internet, name, [`listen-address=${address}`, ...lines])
    await Promise.all([
      resolver('dns', INTERNET.address, [
        // Names are cached on their way, as real ones are.
        'local-ttl=600',
        `address=/#/${INTERNET.address}`,
        `address=/garden.example/${INTERNET.garden}`,
        // What DNS rebinding looks like: a public name that stands for the shop's till.
        `address=/rebind.example/${SHOP.till}`,
      ]),
      resolver('dns-other', INTERNET.otherResolver, ['address=/#/11.22.33.66']),
      this.#server(this.internet, ['80', '443', key, cert]),
    ])
    await writeFile(join(this.dir, 'resolv.conf'), `nameserver ${INTERNET.address}\n`)
  }

  async #serveTill(): Promise<void> {
    await this.#server(this.till, [String(SHOP.tillPort)])
  }

  async #dnsmasq(namespace: Namespace, name: string, lines: string[]): Promise<Process> {
    const file = join(this.dir, `${name}.conf`)
    await writeFile(file, ['port=53', 'bind-interfaces', 'no-resolv', 'no-hosts', 'user=root', ...lines, ''].join('\n'))
    // It says this once its ports are bound.
    const words = ['--keep-in-foreground', '--pid-file', `--conf-file=${file}`, '--log-facility=-']
    return started(namespace.spawn('dnsmasq', words), ': started, version')
  }

  #server(namespace: Namespace, args: string[]): Promise<Process> {
    return started(namespace.spawn(process.execPath, [program('internet-server.ts', this.dir), ...args]), 'ready')
  }
}

async function started(child: Process, word: string): Promise<Process> {
  await until(() => child.exitCode !== null || child.output.includes(word), 'a server of the test')
  if (child.exitCode !== null) throw new Error(`a server of the test did not start: ${child.output}`)
  return child
}

const wayOut = (device: 'wan0' | 'lte0'): string[] => ['via', device === 'wan0' ? INTERNET.router : INTERNET.lteRouter, 'dev', device]

/** Locally administered, as phones that rotate their MAC make them. */
const macOf = (number: number, group = 0): string =>
  `02:00:5e:00:${group.toString(16).padStart(2, '0')}:${number.toString(16).padStart(2, '0')}`

const inPath = (program: string): boolean =>
  [...(process.env.PATH ?? '').split(':'), '/usr/sbin', '/sbin'].some((dir) => existsSync(join(dir, program)))

/** Namespaces of tests that are no longer alive. */
async function sweep(): Promise<void> {
  const { stdout } = await run('ip', ['netns', 'list'])
  const stale = stdout
    .split('\n')
    .map((line) => line.split(' ')[0] ?? '')
    .filter((name) => {
      const pid = new RegExp(`^${PREFIX}(\\d+)-`).exec(name)?.[1]
      return pid !== undefined && Number(pid) !== process.pid && !existsSync(`/proc/${pid}`)
    })
  await Promise.all(stale.map(removeNamespace))
}
