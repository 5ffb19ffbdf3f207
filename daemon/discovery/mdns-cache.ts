/**
 * Answers heard on mDNS -> services that are there (RFC 6762, RFC 6763). Pure: time comes in.
 * A service lasts as long as its PTR record; what its SRV, TXT and A records said last stays with it, because
 * those live for two minutes only and asking for them all day would be noise.
 */
import { isIPv4, isIPv6 } from 'node:net'
import type { MonoMs } from '../contract/plugin.ts'

/** As dns-packet decodes it. */
export interface DnsRecord {
  name: string
  type: string
  ttl?: number
  data?: unknown
}

export interface Answers {
  answers: readonly DnsRecord[]
  additionals?: readonly DnsRecord[]
}

export interface NetworkService {
  /** Instance name, as people read it: "EPSON TM-m30". */
  name: string
  /** `_pdl-datastream._tcp` */
  type: string
  /** `epson-1234.local` */
  host: string
  port: number
  /** IPv4 first; link-local IPv6 is left out, it means nothing without an interface. */
  addresses: string[]
  /** TXT keys in lower case (RFC 6763 6.4). */
  txt: Record<string, string>
}

export interface Question {
  name: string
  type: 'PTR' | 'SRV' | 'TXT' | 'A'
}

/** What the LAN says must not fill the memory. */
const MOST_SERVICES = 256
const LONGEST_NAME = 128

interface Instance {
  name: string
  type: string
  until: number
  srv?: { host: string; port: number }
  txt: Record<string, string>
}

export interface MdnsCache {
  /** Takes a response; true when `services()` may now say something else. */
  take(answers: Answers, now: MonoMs): boolean
  /** Forgets what has expired; true when something had. */
  expire(now: MonoMs): boolean
  services(): NetworkService[]
  /** What still has to be asked before every known instance can be reached. */
  missing(): Question[]
}

/** `types`: those browsed for, lower case; all others are not kept. */
export function createMdnsCache(types: () => readonly string[]): MdnsCache {
  const instances = new Map<string, Instance>()
  const hosts = new Map<string, string[]>()

  const takePointer = (record: DnsRecord, now: MonoMs): boolean => {
    const type = types().find((one) => same(record.name, `${one}.local`))
    const full = record.data
    if (type === undefined || typeof full !== 'string' || !full.toLowerCase().endsWith(`.${type}.local`)) return false
    const key = full.toLowerCase()
    if (record.ttl === 0) return instances.delete(key)
    const until = now + (record.ttl ?? 0) * 1_000
    const known = instances.get(key)
    if (known) {
      known.until = until
      return false
    }
    if (instances.size >= MOST_SERVICES) return false
    instances.set(key, { name: clean(full.slice(0, -`.${type}.local`.length)), type, until, txt: {} })
    return true
  }

  const takeServer = (record: DnsRecord): boolean => {
    const instance = instances.get(record.name.toLowerCase())
    const data = record.data as { port?: unknown; target?: unknown } | undefined
    if (!instance || record.ttl === 0 || typeof data?.port !== 'number' || typeof data.target !== 'string') return false
    const host = data.target.toLowerCase().replace(/\.$/, '')
    if (!/^[a-z0-9._-]{1,253}$/.test(host) || data.port < 1 || data.port > 65_535) return false
    if (instance.srv?.host === host && instance.srv.port === data.port) return false
    instance.srv = { host, port: data.port }
    return true
  }

  const takeText = (record: DnsRecord): boolean => {
    const instance = instances.get(record.name.toLowerCase())
    if (!instance || record.ttl === 0) return false
    const before = JSON.stringify(instance.txt)
    instance.txt = parseText(record.data)
    return JSON.stringify(instance.txt) !== before
  }

  const takeAddresses = (records: readonly DnsRecord[]): boolean => {
    const heard = new Map<string, string[]>()
    for (const { name, type, ttl, data } of records)
      if ((type === 'A' || type === 'AAAA') && ttl !== 0 && typeof data === 'string' && usable(data))
        heard.set(name.toLowerCase(), [...(heard.get(name.toLowerCase()) ?? []), data])
    let changed = false
    const wanted = new Set([...instances.values()].map((instance) => instance.srv?.host))
    for (const [host, addresses] of heard) {
      if (!wanted.has(host)) continue
      const sorted = addresses.sort((a, b) => Number(isIPv6(a)) - Number(isIPv6(b)) || (a < b ? -1 : 1))
      changed ||= hosts.get(host)?.join() !== sorted.join()
      hosts.set(host, sorted)
    }
    for (const host of hosts.keys()) if (!wanted.has(host)) hosts.delete(host)
    return changed
  }

  return {
    take({ answers, additionals = [] }, now) {
      const records = [...answers, ...additionals]
      let changed = false
      // In this order, whatever the packet's: a pointer makes the instance that a server record then fills.
      for (const record of records) if (record.type === 'PTR') changed = takePointer(record, now) || changed
      for (const record of records) if (record.type === 'SRV') changed = takeServer(record) || changed
      for (const record of records) if (record.type === 'TXT') changed = takeText(record) || changed
      return takeAddresses(records) || changed
    },
    expire(now) {
      const expired = [...instances].filter(([, instance]) => instance.until <= now)
      for (const [key] of expired) instances.delete(key)
      return expired.length > 0
    },
    services() {
      return [...instances.values()].flatMap(({ name, type, srv, txt }) =>
        srv ? [{ name, type, host: srv.host, port: srv.port, addresses: hosts.get(srv.host) ?? [], txt }] : [],
      )
    },
    missing() {
      return [...instances].flatMap(([key, { srv }]): Question[] => {
        if (!srv)
          return [
            { name: key, type: 'SRV' },
            { name: key, type: 'TXT' },
          ]
        return hosts.has(srv.host) ? [] : [{ name: srv.host, type: 'A' }]
      })
    },
  }
}

const same = (a: string, b: string): boolean => a.toLowerCase() === b.toLowerCase()
const clean = (name: string): string =>
  name
    .replace(/\p{Cc}+/gu, ' ')
    .trim()
    .slice(0, LONGEST_NAME)
const usable = (address: string): boolean => isIPv4(address) || (isIPv6(address) && !/^fe[89ab]/i.test(address))

function parseText(data: unknown): Record<string, string> {
  const parts = (Array.isArray(data) ? data : [data]).filter((part) => Buffer.isBuffer(part))
  const pairs = parts.map((part) => /^([^=]+)(?:=(.*))?$/s.exec(part.toString('utf8'))).filter((pair) => pair !== null)
  return Object.fromEntries(pairs.map(([, key = '', value = '']) => [key.toLowerCase(), clean(value)]))
}
