/** What dnsmasq is told: addresses for guests, names, and the walled garden. Pure text (dnsmasq(8)). */
import type { NetworkConfig } from './api.ts'
import type { GuestSubnet } from './guest-subnet.ts'
import { TABLE } from './ruleset.ts'

export interface DnsmasqConfig {
  network: NetworkConfig
  subnet: GuestSubnet
  captiveApiUrl?: string
  script: string
}

/** Names are looked up again at least this often, so that the walled garden keeps up with what they stand for. */
const NAME_TTL = 300

/** For a dnsmasq of our own: guests only. */
export function ownConfig(config: DnsmasqConfig, files: { leases: string; pid: string }): string {
  const { network } = config
  return text([
    '# Written by shopwire at each start; changes are lost.',
    'port=53',
    `interface=${network.interface}`,
    'except-interface=lo',
    // Binds the guest address alone, so another resolver on this box keeps the others; and takes the address as it comes.
    'bind-dynamic',
    'no-hosts',
    ...(network.dhcp.dns.length > 0
      ? ['no-resolv', ...network.dhcp.dns.map((server) => `server=${server}`)]
      : ['resolv-file=/etc/resolv.conf']),
    'cache-size=2000',
    `pid-file=${files.pid}`,
    'log-facility=-',
    'quiet-dhcp',
    ...names(config),
    ...(network.dhcp.mode === 'off' ? [] : [`dhcp-leasefile=${files.leases}`, 'dhcp-authoritative', ...addresses(config)]),
  ])
}

/**
 * For one that is there: a file of its conf-dir. It serves the shop's own network as well, so all that is said of addresses is for guests alone, by
 * tag, and what it says of names in general stays as the shop has it. Which interfaces it listens on is the shop's, too: an `interface` of ours
 * would take away all others from one that listens everywhere.
 */
export function joinConfig(config: DnsmasqConfig): string {
  return text(['# Written by shopwire. It takes effect when dnsmasq is started again.', ...garden(config), ...addresses(config, GUESTS)])
}

/** Addresses of our range are dnsmasq's network with this tag. */
const GUESTS = 'shopwire'

function names(config: DnsmasqConfig): string[] {
  return [
    // A public name that answers with a private address is how a page reaches the till behind the guest's back.
    'stop-dns-rebind',
    'domain-needed',
    'bogus-priv',
    ...garden(config),
  ]
}

function garden({ network }: DnsmasqConfig): string[] {
  if (network.walledGarden.length === 0) return []
  return [`max-cache-ttl=${NAME_TTL}`, `nftset=/${network.walledGarden.map(checkedName).join('/')}/4#inet#${TABLE}#walled4`]
}

/** `tag`: where other networks get their addresses here, too. */
function addresses({ network, subnet, captiveApiUrl, script }: DnsmasqConfig, tag?: string): string[] {
  const [set, only] = tag === undefined ? ['', ''] : [`set:${tag},`, `tag:${tag},`]
  return [
    `dhcp-range=${set}${subnet.from},${subnet.to},${subnet.netmask},${network.dhcp.leaseSeconds}`,
    // It may be said once only; 1,000 is what a dnsmasq of others has by itself.
    ...(tag === undefined ? [`dhcp-lease-max=${subnet.size}`] : []),
    `dhcp-option=${only}option:router,${subnet.own}`,
    `dhcp-option=${only}option:dns-server,${subnet.own}`,
    // RFC 8910, 2.1: sent whether asked for or not; phones of today do not always ask.
    ...(captiveApiUrl === undefined ? [] : [`dhcp-option-force=${only}114,${captiveApiUrl}`]),
    // Guests do not get to name hosts for other guests. The script still hears what they call themselves.
    tag === undefined ? 'dhcp-ignore-names' : `dhcp-ignore-names=tag:${tag}`,
    // The probe before an offer costs a phone 3 s, and finds nothing on a network where only we give addresses.
    'no-ping',
    `dhcp-script=${script}`,
    'script-on-renewal',
  ]
}

/** A name goes into a config file: nothing else may. */
function checkedName(name: string): string {
  return name
    .toLowerCase()
    .replace(/^\*?\./, '')
    .replace(/[^a-z0-9.-]/g, '')
}

const text = (lines: string[]): string => `${lines.join('\n')}\n`
