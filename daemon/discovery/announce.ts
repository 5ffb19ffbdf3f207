/** The box says its name on mDNS: probes first, gives way to those who have the name already, then announces. */
import type { Bonjour } from 'bonjour-service'
import type { Clock, Logger } from '../contract/plugin.ts'
import type { Announced } from './api.ts'
import type { MdnsChannel } from './mdns.ts'
import type { DnsRecord } from './mdns-cache.ts'

/** RFC 6762 8.1: three probes, 250 ms apart. */
const PROBES = 3
const PROBE_MS = 250
/** After so many taken names something else is wrong: no announcement then. */
const MOST_NAMES = 9

export interface AnnounceParts {
  bonjour: Bonjour
  channel: MdnsChannel
  gateway: string
  services: readonly Announced[]
  /** Our own addresses: an A record that gives one of them is no conflict (Avahi on the same machine says it, too). */
  addresses: () => readonly string[]
  signal: AbortSignal
  clock: Clock
  log: Logger
}

/**
 * Host `shopwire.local` (`{gateway}.local` where a second box is in the shop), one instance of each service named after the
 * gateway. Resolves with the names taken, undefined when aborted or when no name was free.
 *
 * The library's own probing is not used: on a conflict it says goodbye in the other's name.
 */
export async function announce(parts: AnnounceParts): Promise<{ name: string; host: string } | undefined> {
  const { bonjour, gateway, services } = parts
  const host = await firstFree(parts, ['shopwire', gateway, ...numbered(gateway)], (name) => ({
    questions: [`${name}.local`],
    ours: (record) => (record.type === 'A' || record.type === 'AAAA') && parts.addresses().includes(String(record.data)),
  }))
  if (host === undefined) return undefined
  const fullHost = `${host}.local`
  const name = await firstFree(parts, [gateway, ...numbered(gateway)], (one) => ({
    questions: services.map((service) => `${one}.${service.type}.local`),
    // A TXT record says nothing about whose it is; the SRV beside it does.
    ours: (record) => record.type !== 'SRV' || (record.data as { target?: string } | undefined)?.target === fullHost,
  }))
  if (name === undefined || parts.signal.aborted) return undefined
  for (const { type, port } of services) {
    const [, bare = '', protocol = 'tcp'] = /^_([a-z0-9-]+)\._(tcp|udp)$/.exec(type) ?? []
    bonjour.publish({
      name,
      type: bare,
      protocol: protocol === 'udp' ? 'udp' : 'tcp',
      port,
      host: fullHost,
      probe: false,
      txt: { id: gateway, product: 'shopwire' },
    })
  }
  parts.log.info({ name, host: fullHost, services: services.map(({ type, port }) => `${type}:${port}`) }, 'announced by mDNS')
  return { name, host: fullHost }
}

function numbered(name: string): string[] {
  return Array.from({ length: MOST_NAMES - 1 }, (_none, index) => `${name}-${index + 2}`)
}

interface Probe {
  questions: string[]
  ours: (record: DnsRecord) => boolean
}

async function firstFree(parts: AnnounceParts, names: string[], probe: (name: string) => Probe): Promise<string | undefined> {
  for (const name of new Set(names)) {
    if (await isFree(parts, probe(name))) return name
    if (parts.signal.aborted) return undefined
    parts.log.info({ name }, 'this mDNS name is taken; trying the next')
  }
  parts.log.warn({ tried: names.length }, 'no mDNS name is free; the box is not announced')
  return undefined
}

async function isFree({ channel, clock, signal }: AnnounceParts, { questions, ours }: Probe): Promise<boolean> {
  const asked = new Set(questions.map((name) => name.toLowerCase()))
  let taken = false
  const stop = channel.listen(({ answers, additionals = [] }) => {
    taken ||= [...answers, ...additionals].some((record) => record.ttl !== 0 && asked.has(record.name.toLowerCase()) && !ours(record))
  })
  try {
    for (let probe = 0; probe < PROBES && !taken && !signal.aborted; probe += 1) {
      channel.query(questions.map((name) => ({ name, type: 'ANY' })))
      await clock.sleep(PROBE_MS, signal).catch(() => {})
    }
  } finally {
    stop()
  }
  return !taken && !signal.aborted
}
