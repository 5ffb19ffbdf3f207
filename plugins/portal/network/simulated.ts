/**
 * A guest network for a machine that may not touch its own: the demo and tests. Each loopback address (127.0.0.1, 127.0.0.2 …) is one phone, so
 * whoever opens the portal's page from one has joined by that. It keeps the same promises as a real controller: grants end by themselves,
 * counters go on, phones that fall silent are given up.
 */
import type { Clock, MonoMs } from '../../../daemon/contract/plugin.ts'
import type { Grant, Mac, NetworkController, NetworkEvents, NetworkHealth, Sighting, Station, Usage } from './api.ts'

/** What a phone does while somebody is online with it, kbit/s. */
const BROWSING = { downKbps: 800, upKbps: 80 }
const SILENT_MS = 120_000
const LOOK_EVERY_MS = 5_000

export interface SimulatedPhone extends Station {
  /** In range. */
  here: boolean
}

interface Phone extends SimulatedPhone {
  sign: MonoMs
  grant?: { until: MonoMs; counted: MonoMs; downKbps: number; upKbps: number; bytesUp: number; bytesDown: number }
}

export class SimulatedController implements NetworkController {
  readonly #clock: Clock
  readonly #phones = new Map<Mac, Phone>()
  #events: NetworkEvents | undefined
  #cancel = (): void => {}

  constructor(parts: { clock: Clock }) {
    this.#clock = parts.clock
  }

  async start(events: NetworkEvents): Promise<void> {
    this.#events = events
    events.health({ state: 'online' })
    this.#look()
  }

  async authorise(grants: readonly Grant[]): Promise<void> {
    const now = this.#clock.mono()
    for (const grant of grants) {
      const phone = this.#phones.get(grant.mac) ?? this.#add(grant.mac, grant.ip ?? addressOf(grant.mac))
      const before = phone.grant && phone.grant.until > now ? this.#count(phone, now) : undefined
      phone.grant = {
        until: (now + grant.seconds * 1000) as MonoMs,
        counted: now,
        downKbps: Math.min(BROWSING.downKbps, grant.downKbps ?? Number.POSITIVE_INFINITY),
        upKbps: Math.min(BROWSING.upKbps, grant.upKbps ?? Number.POSITIVE_INFINITY),
        bytesUp: before?.bytesUp ?? grant.bytesUp ?? 0,
        bytesDown: before?.bytesDown ?? grant.bytesDown ?? 0,
      }
    }
  }

  async revoke(macs: readonly Mac[]): Promise<void> {
    const now = this.#clock.mono()
    for (const mac of macs) {
      const phone = this.#phones.get(mac)
      if (!phone?.grant) continue
      this.#count(phone, now)
      phone.grant.until = Math.min(phone.grant.until, now) as MonoMs
    }
  }

  async usage(): Promise<Usage[]> {
    const now = this.#clock.mono()
    return [...this.#phones.values()].flatMap((phone) => {
      const counted = this.#count(phone, now)
      return counted ? [{ mac: phone.mac, ...counted }] : []
    })
  }

  async stationAt(address: string): Promise<Station | undefined> {
    const ip = address === '::1' ? '127.0.0.1' : address.replace(/^::ffff:/, '')
    if (!/^127(\.\d{1,3}){3}$/.test(ip)) return undefined
    const phone = this.#phones.get(macOf(ip)) ?? this.#add(macOf(ip), ip)
    this.#sign(phone, phone.here ? 'seen' : 'joined', 'dhcp')
    return station(phone)
  }

  async stop(): Promise<void> {
    this.#cancel()
    this.#events = undefined
    this.#phones.clear()
  }

  /** A phone comes into range; the next free loopback address unless told. */
  join(options: { ip?: string; hostname?: string } = {}): Station {
    const ip = options.ip ?? this.#freeAddress()
    const phone = this.#phones.get(macOf(ip)) ?? this.#add(macOf(ip), ip)
    if (options.hostname !== undefined) phone.hostname = options.hostname
    this.#sign(phone, 'joined', 'hostapd')
    return station(phone)
  }

  /** It sends something. */
  see(mac: Mac): void {
    const phone = this.#phones.get(mac)
    if (phone) this.#sign(phone, phone.here ? 'seen' : 'joined', 'neighbour')
  }

  /** It leaves; the access point says so, or nobody does and it only falls silent. */
  leave(mac: Mac, how: 'told' | 'silently' = 'told'): void {
    const phone = this.#phones.get(mac)
    if (!phone?.here) return
    this.#count(phone, this.#clock.mono())
    phone.here = false
    if (how === 'told') this.#say(phone, 'left', 'hostapd')
  }

  /** Bytes beside those of browsing. */
  move(mac: Mac, bytes: { up?: number; down?: number }): void {
    const grant = this.#phones.get(mac)?.grant
    if (!grant || grant.until <= this.#clock.mono()) return
    grant.bytesUp += bytes.up ?? 0
    grant.bytesDown += bytes.down ?? 0
  }

  isOnline(mac: Mac): boolean {
    const grant = this.#phones.get(mac)?.grant
    return grant !== undefined && grant.until > this.#clock.mono()
  }

  /** Something breaks, or is well again. */
  health(health: NetworkHealth): void {
    this.#events?.health(health)
  }

  get phones(): SimulatedPhone[] {
    return [...this.#phones.values()].map((phone) => ({ ...station(phone), here: phone.here }))
  }

  #add(mac: Mac, ip: string): Phone {
    const phone: Phone = { mac, ip, here: false, sign: this.#clock.mono() }
    this.#phones.set(mac, phone)
    return phone
  }

  #freeAddress(): string {
    for (let number = 2; ; number++) {
      const ip = `127.0.${number >> 8}.${number & 255}`
      if (!this.#phones.has(macOf(ip))) return ip
    }
  }

  #sign(phone: Phone, kind: 'joined' | 'seen', by: string): void {
    phone.here = true
    phone.sign = this.#clock.mono()
    this.#say(phone, kind, by)
  }

  #say(phone: Phone, kind: Sighting['kind'], by: string): void {
    this.#events?.sighting({ kind, by, at: this.#clock.mono(), ...station(phone) })
  }

  /** Counts on to `now`: a phone that is away, or whose time is over, moves nothing. */
  #count({ grant, here }: Phone, now: MonoMs): { bytesUp: number; bytesDown: number } | undefined {
    if (!grant) return undefined
    const seconds = here ? Math.max(0, Math.min(now, grant.until) - grant.counted) / 1000 : 0
    grant.counted = now
    grant.bytesUp += Math.round((seconds * grant.upKbps * 1000) / 8)
    grant.bytesDown += Math.round((seconds * grant.downKbps * 1000) / 8)
    return { bytesUp: grant.bytesUp, bytesDown: grant.bytesDown }
  }

  /** Who is online and here moves bytes, so it is seen; who is neither falls silent. */
  #look(): void {
    const now = this.#clock.mono()
    for (const phone of this.#phones.values()) {
      if (!phone.here) continue
      if (phone.grant && phone.grant.until > now) this.#sign(phone, 'seen', 'counter')
      else if (now - phone.sign > SILENT_MS) {
        phone.here = false
        this.#say(phone, 'silent', 'neighbour')
      }
    }
    this.#cancel = this.#clock.timer(LOOK_EVERY_MS, () => this.#look())
  }
}

const station = ({ mac, ip, hostname }: Phone): Station => ({ mac, ip, ...(hostname === undefined ? {} : { hostname }) })

/** Locally administered; the last octets are the address's. */
const macOf = (ip: string): Mac => ['02', '00', ...ip.split('.').map((octet) => Number(octet).toString(16).padStart(2, '0'))].join(':')

const addressOf = (mac: Mac): string =>
  mac
    .split(':')
    .slice(2)
    .map((octet) => Number.parseInt(octet, 16))
    .join('.')
