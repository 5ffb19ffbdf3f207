/** openNDS 9.10 of Debian in the gateway's namespace: what it takes to make it run there, and nothing that makes it slower. */
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Crowd, Member } from '../plugins/portal/network/testing/crowd.ts'
import { type GuestNet, INTERNET } from '../plugins/portal/network/testing/guest-net.ts'
import type { Namespace, Process } from '../plugins/portal/network/testing/namespace.ts'

export class OpenNds {
  readonly name = 'openNDS 9.10'
  readonly #net: GuestNet
  readonly #guests: readonly Member[]
  readonly #crowd: Namespace
  #child: Process | undefined

  constructor(net: GuestNet, crowd: Crowd) {
    this.#net = net
    this.#crowd = crowd.namespace
    this.#guests = crowd.members
  }

  async start(): Promise<void> {
    const { gateway } = this.#net
    const dir = join(this.#net.dir, 'opennds')
    const [bin, etc, leases] = ['bin', 'etc', 'leases'].map((name) => join(dir, name)) as [string, string, string]
    for (const one of [bin, etc, leases]) mkdirSync(one, { recursive: true })
    // It asks by iptables-nft, whose chains have no priority -100 in nft 1.0.6's list.
    program(
      bin,
      'nft',
      '#!/bin/sh\nfor a; do shift; set -- "$@" "$(printf %s "$a" | sed "s/priority -100/priority 0/")"; done\nexec /usr/sbin/nft "$@"\n',
    )
    program(bin, 'systemctl', '#!/bin/sh\nexit 0\n')
    // Without a lease every client gets 403.
    const end = Math.floor(Date.now() / 1000) + 86_400
    writeFileSync(join(leases, 'dnsmasq.leases'), this.#guests.map(({ mac, ip }) => `${end} ${mac} ${ip} guest *\n`).join(''))
    writeFileSync(
      join(etc, 'opennds.conf'),
      `GatewayInterface br0
MaxClients 2000
login_option_enabled 1
themespec_path /usr/lib/opennds/theme_click-to-continue-basic.sh
DebugLevel 0
FirewallRuleSet authenticated-users {
  FirewallRule allow all
}
FirewallRuleSet preauthenticated-users {
  FirewallRule allow tcp port 53
  FirewallRule allow udp port 53
}
FirewallRuleSet users-to-router {
  FirewallRule allow udp port 53
  FirewallRule allow tcp port 53
  FirewallRule allow udp port 67
}
`,
    )
    await gateway.ip(['addr replace 10.66.0.1/22 dev br0', 'link set br0 up'])
    await gateway.sysctl({ 'net.ipv4.ip_forward': 1 })
    await gateway.must(
      'nft',
      ['-f', '-'],
      'add table ip nat_wan\nadd chain ip nat_wan out { type nat hook postrouting priority srcnat; }\nadd rule ip nat_wan out oifname "wan0" masquerade\n',
    )
    this.#net.spawn('dnsmasq', [
      '-k',
      '--interface=br0',
      '--bind-interfaces',
      '--no-resolv',
      `--server=${INTERNET.address}`,
      '--pid-file',
      '--user=root',
      '--conf-file=/dev/null',
    ])
    // `ip netns exec` has a mount namespace of its own: the machine's own files stay as they are.
    const script = `cp -r /etc/opennds/htdocs ${etc}/; mount --bind ${etc} /etc/opennds; mount --bind ${leases} /var/lib/misc; PATH=${bin}:$PATH exec opennds -f -c /etc/opennds/opennds.conf`
    this.#child = this.#net.spawn('sh', ['-c', script])
    await this.#captive()
  }

  /** It opens its port long before its rules are there. */
  async #captive(): Promise<void> {
    const end = performance.now() + 120_000
    const ip = this.#guests[0]?.ip ?? ''
    for (;;) {
      const { stdout } = await this.#crowd.run('curl', [
        '-s',
        '-o',
        '/dev/null',
        '--max-time',
        '60',
        '-w',
        '%{http_code}',
        '-A',
        'x',
        '--interface',
        ip,
        `http://${INTERNET.address}/generate_204`,
      ])
      if (/^30/.test(stdout)) return
      if (performance.now() > end || this.#child?.exitCode !== null) throw new Error(`openNDS did not start: ${this.#child?.output}`)
      await new Promise((wake) => setTimeout(wake, 500))
    }
  }

  /** Whose memory is counted: it forks a shell for each page, which is gone before one can look. */
  async pids(): Promise<number[]> {
    const { stdout } = await this.#net.gateway.run('pgrep', ['-x', 'opennds'])
    const own = (await this.#net.gateway.must('ip', ['netns', 'pids', this.#net.gateway.name])).split('\n').map(Number)
    return stdout
      .split('\n')
      .filter(Boolean)
      .map(Number)
      .filter((pid) => own.includes(pid))
  }

  get output(): string {
    return this.#child?.output ?? ''
  }

  async stop(): Promise<void> {
    this.#child?.kill('SIGTERM')
  }
}

function program(dir: string, name: string, text: string): void {
  writeFileSync(join(dir, name), text)
  chmodSync(join(dir, name), 0o755)
}
