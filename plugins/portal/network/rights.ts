/** What this process may do to the network, and what is missing: named one by one, each with its mend. */
import { readFileSync } from 'node:fs'
import { Failure, type Problem } from '../../../daemon/contract/errors.ts'
import type { NetworkConfig } from './api.ts'
import { complaint, isInstalled, run } from './programs.ts'

/** capabilities(7); the bit in /proc/self/status, and what it is needed for. */
const CAPABILITIES = [
  { name: 'CAP_NET_ADMIN', bit: 12, for: 'to set rules, addresses and speed limits' },
  { name: 'CAP_NET_RAW', bit: 13, for: 'for dnsmasq to answer on the guest interface alone' },
  { name: 'CAP_NET_BIND_SERVICE', bit: 10, for: 'for dnsmasq to open ports 53 and 67' },
] as const

const PROGRAMS = [
  { program: 'nft', package: 'nftables' },
  { program: 'ip', package: 'iproute2' },
  { program: 'dnsmasq', package: 'dnsmasq-base' },
] as const

/** Rejects with `network-denied` that names everything that is missing. */
export async function checkRights(config: NetworkConfig): Promise<void> {
  const problems = [...missingCapabilities(capabilities(readFileSync('/proc/self/status', 'utf8'))), ...(await missingPrograms(config))]
  if (problems.length > 0) throw denied(problems)
}

export function denied(problems: readonly Problem[], cause?: unknown): Failure {
  return new Failure(
    'network-denied',
    `the guest network cannot be controlled: ${problems.map(({ message }) => message).join('; ')}`,
    problems,
    cause,
  )
}

/** Helper programs get the ambient set; root's get what root has. */
export function capabilities(status: string): bigint {
  const field = (name: string): bigint => BigInt(`0x${new RegExp(`^${name}:\\s*([0-9a-f]+)$`, 'm').exec(status)?.[1] ?? '0'}`)
  const isRoot = /^Uid:\s+\d+\s+0\s/m.test(status)
  return isRoot ? field('CapEff') : field('CapAmb')
}

export function missingCapabilities(held: bigint): Problem[] {
  return CAPABILITIES.filter(({ bit }) => (held & (1n << BigInt(bit))) === 0n).map(({ name, for: use }) => ({
    path: name,
    message: `${name} is missing (${use}): add it to AmbientCapabilities= and CapabilityBoundingSet= of the systemd unit`,
  }))
}

async function missingPrograms(config: NetworkConfig): Promise<Problem[]> {
  const needed = config.dhcp.mode === 'join' ? PROGRAMS.filter(({ program }) => program !== 'dnsmasq') : PROGRAMS
  const problems: Problem[] = needed
    .filter(({ program }) => !isInstalled(program))
    .map(({ program, package: name }) => ({ path: program, message: `the program ${program} is not installed: apt-get install ${name}` }))
  if (config.walledGarden.length > 0 && isInstalled('dnsmasq')) {
    const { stdout } = await run('dnsmasq', ['--version'])
    // "no-nftset" is how it says that it was built without.
    if (!/ nftset\b/.test(stdout))
      problems.push({
        path: 'dnsmasq',
        message: 'this dnsmasq cannot fill nftables sets, so there can be no walled garden: version 2.87 or newer is needed',
      })
  }
  return problems
}

/** Each needs a part of the kernel that may be a module that is missing; tried one by one when the whole was refused. */
const FEATURES: { name: string; config: string; script: (device: string) => string }[] = [
  { name: 'nftables', config: 'CONFIG_NF_TABLES_INET', script: () => 'table inet shopwire_probe { }' },
  {
    name: 'address translation',
    config: 'CONFIG_NFT_NAT, CONFIG_NFT_MASQ, CONFIG_NFT_REDIR',
    script: () =>
      'table inet shopwire_probe {\n chain a { type nat hook prerouting priority 0; tcp dport 80 redirect to :8080\n }\n chain b { type nat hook postrouting priority 0; masquerade\n }\n}',
  },
  {
    name: 'reject',
    config: 'CONFIG_NFT_REJECT_INET',
    script: () =>
      'table inet shopwire_probe {\n chain a { type filter hook forward priority 0; meta l4proto tcp reject with tcp reset\n }\n}',
  },
  {
    name: 'connection tracking',
    config: 'CONFIG_NFT_CT',
    script: () => 'table inet shopwire_probe {\n chain a { ct state established accept\n }\n}',
  },
  {
    name: 'the netdev egress hook (Linux 5.16 or newer)',
    config: 'CONFIG_NF_TABLES_NETDEV, CONFIG_NETFILTER_EGRESS',
    script: (device) => `table netdev shopwire_probe {\n chain a { type filter hook egress device "${device}" priority 0;\n }\n}`,
  },
]

/** Which part of the kernel is at fault for a ruleset that was refused; empty when none of those tried is. */
export async function missingFeatures(device: string): Promise<Problem[]> {
  const problems: Problem[] = []
  for (const { name, config, script } of FEATURES) {
    const tried = await run('nft', ['-f', '-'], `${script(device)}\n`)
    if (tried.code !== 0)
      problems.push({
        path: config,
        message: `this kernel lacks ${name} (${config}): ${complaint(tried)}; a stock Debian or Raspberry Pi OS kernel has it`,
      })
    for (const family of ['inet', 'netdev']) await run('nft', ['delete', 'table', family, 'shopwire_probe'])
  }
  return problems
}
