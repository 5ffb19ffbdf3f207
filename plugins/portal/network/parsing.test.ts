/** What programs print and people write, taken apart. Lines as iproute2 6.1, nftables 1.0.6 and dnsmasq 2.90 print them. */
import t from 'tap'
import { parseArp } from './arp.ts'
import { wrongGrant } from './check-grant.ts'
import { checkNetwork } from './check-network.ts'
import { joinConfig, ownConfig } from './dnsmasq-config.ts'
import { foreignDrops } from './foreign-rules.ts'
import { guestSubnet, inSubnet, networkOf } from './guest-subnet.ts'
import { parseKernelEvent } from './kernel-events.ts'
import { complaint } from './programs.ts'
import { parseSign } from './signs.ts'
import { testConfig } from './testing/remote-controller.ts'

const MAC = '02:00:00:00:00:05'

t.test('ip monitor', async (t) => {
  const lines: [string, object | undefined][] = [
    [
      `[NEIGH]10.66.0.5 dev br0 lladdr ${MAC} REACHABLE `,
      { kind: 'neighbour', ip: '10.66.0.5', device: 'br0', mac: MAC, state: 'REACHABLE' },
    ],
    [`[NEIGH]10.66.0.5 dev br0 lladdr ${MAC} STALE `, { kind: 'neighbour', state: 'STALE' }],
    ['[NEIGH]10.66.0.5 dev br0 FAILED ', { kind: 'failed', ip: '10.66.0.5', device: 'br0' }],
    [`[NEIGH]Deleted 10.66.0.5 dev br0 lladdr ${MAC} STALE `, undefined],
    ['[NEIGH]10.66.0.5 dev br0 INCOMPLETE ', undefined],
    [`[NEIGH]dev p lladdr ${MAC} REACHABLE `, { kind: 'port', port: 'p', mac: MAC, gone: false }],
    [`[NEIGH]Deleted dev p1 lladdr ${MAC} REACHABLE `, { kind: 'port', gone: true }],
    [`[NEIGH]dev p lladdr ${MAC} PERMANENT `, undefined],
    ['[ROUTE]Deleted default via 203.0.113.1 dev wan0 ', { kind: 'route' }],
    [
      '[LINK]3: p1@br0: <NO-CARRIER,BROADCAST,MULTICAST,UP> mtu 1500 master br0 state DOWN \\    link/ether 62:41:84:ae:78:68',
      { kind: 'link', device: 'p1' },
    ],
    ['[ADDR]Deleted 2: br0    inet 10.66.0.1/22 scope global br0\\       valid_lft forever', { kind: 'address', device: 'br0' }],
    ['[NEXTHOP]nonsense', undefined],
    ['', undefined],
  ]
  for (const [line, expected] of lines) {
    const event = parseKernelEvent(line)
    if (expected === undefined) t.equal(event, undefined, line)
    else t.match(event, expected, line)
  }
})

t.test('signs of dnsmasq and hostapd, and what is none', async (t) => {
  t.same(parseSign(`dhcp add ${MAC} 10.66.0.5 Annas Phone`), {
    from: 'dhcp',
    what: 'add',
    mac: MAC,
    ip: '10.66.0.5',
    hostname: 'Annas Phone',
  })
  t.same(parseSign(`dhcp old ${MAC} 10.66.0.5 `), { from: 'dhcp', what: 'old', mac: MAC, ip: '10.66.0.5' })
  t.same(parseSign(`hostapd AP-STA-CONNECTED ${MAC.toUpperCase()}`), { from: 'hostapd', what: 'joined', mac: MAC })
  t.same(parseSign(`hostapd AP-STA-DISCONNECTED ${MAC}`), { from: 'hostapd', what: 'left', mac: MAC })
  for (const line of [
    `hostapd AP-STA-POSSIBLE-PSK-MISMATCH ${MAC}`,
    `dhcp tftp 700 10.66.0.5 /etc/passwd`,
    'dhcp add 06-02:00:00:00:00:05 10.66.0.5',
    `dhcp add ${MAC} fd66::5`,
    '',
  ])
    t.equal(parseSign(line), undefined, line)
  t.notMatch(
    parseSign(`dhcp add ${MAC} 10.66.0.5 \u001b[31mred${'x'.repeat(200)}`)?.from === 'dhcp' &&
      parseSign(`dhcp add ${MAC} 10.66.0.5 \u001b[31mred`),
    /\u001b/,
  )
})

t.test('the ARP table', async (t) => {
  const text = `IP address       HW type     Flags       HW address            Mask     Device
10.66.0.5        0x1         0x2         02:00:00:00:00:05     *        br0
10.66.0.6        0x1         0x0         00:00:00:00:00:00     *        br0
192.168.1.2      0x1         0x2         02:00:00:00:00:07     *        eth0
`
  t.same(parseArp(text, 'br0'), [{ ip: '10.66.0.5', mac: MAC }])
})

t.test('the guest subnet', async (t) => {
  t.match(guestSubnet('10.66.0.1/22'), {
    own: '10.66.0.1',
    cidr: '10.66.0.0/22',
    from: '10.66.0.2',
    to: '10.66.3.254',
    netmask: '255.255.252.0',
    size: 1021,
  })
  t.match(guestSubnet('192.168.9.254/24', { from: '192.168.9.100', to: '192.168.9.199' }), { from: '192.168.9.100', size: 100 })
  for (const address of ['10.66.0.1', '10.66.0.0/22', '10.66.3.255/22', '10.66.0.1/8', '10.66.0.1/31', '10.66.0.256/24', 'fd66::1/64', ''])
    t.throws(() => guestSubnet(address), { code: 'config-invalid' }, address)
  t.throws(() => guestSubnet('10.66.0.1/24', { to: '10.66.1.9' }), /dhcp\.to.*10\.66\.1\.9/)
  t.throws(() => guestSubnet('10.66.0.1/24', { from: '10.66.0.50', to: '10.66.0.20' }), /comes after/)
  t.ok(inSubnet('10.66.3.9', '10.66.0.0/22'))
  t.notOk(inSubnet('10.66.4.9', '10.66.0.0/22'))
  t.notOk(inSubnet('::1', '10.66.0.0/22'))
  t.equal(networkOf('192.168.1.17/24'), '192.168.1.0/24')
  t.equal(networkOf('10.0.0.1'), '10.0.0.1/32')
  t.equal(networkOf('nonsense'), undefined)
})

t.test('a config that cannot be is one error that names each thing', async (t) => {
  checkNetwork(testConfig({ walledGarden: ['*.example.com', '.pay.example', 'xn--fiqs8s.cn'], protect: ['192.168.0.0/16', 'fd00::/8'] }))
  const wrong = testConfig({
    interface: 'br0; flush ruleset',
    uplink: 'br0"',
    walledGarden: ['a/4#inet#filter#x', 'ok.example'],
    protect: ['everything'],
    downKbps: 0.5,
  })
  t.throws(() => checkNetwork(wrong), {
    code: 'config-invalid',
    message:
      /network\.interface: "br0; flush ruleset".*network\.uplink.*network\.protect\[0\].*network\.walledGarden\[0\].*network\.downKbps/,
  })
  t.throws(() => checkNetwork(testConfig({ uplink: 'br0' })), /share/)
})

t.test('what dnsmasq is told', async (t) => {
  const network = testConfig({ walledGarden: ['*.Garden.example', 'pay.example'] })
  const parts = { network, subnet: guestSubnet(network.address), script: '/run/x', captiveApiUrl: 'https://p.example/api' }
  const own = ownConfig(parts, { leases: '/l', pid: '/p' })
  for (const line of [
    'interface=br0',
    'bind-dynamic',
    'server=11.22.33.1',
    'nftset=/garden.example/pay.example/4#inet#shopwire_portal#walled4',
    'dhcp-option-force=114,https://p.example/api',
    'dhcp-range=10.66.0.2,10.66.3.254,255.255.252.0,600',
    'dhcp-script=/run/x',
  ])
    t.ok(own.split('\n').includes(line), line)
  const off = ownConfig({ ...parts, network: testConfig({ dhcp: { ...network.dhcp, mode: 'off', dns: [] } }) }, { leases: '/l', pid: '/p' })
  t.notMatch(off, /dhcp-range|nftset/)
  t.match(off, /resolv-file=\/etc\/resolv\.conf/)
  const joined = joinConfig(parts)
  t.notMatch(joined, /port=|pid-file|leasefile|server=|interface=|lease-max|rebind/, "the other's own settings are left alone")
  t.same(
    joined.split('\n').filter((line) => /^dhcp-(range|option|ignore)/.test(line) && !/[=,](set|tag):shopwire\b/.test(line)),
    [],
    'nothing is said of addresses but for guests',
  )
})

t.test("other people's drops", async (t) => {
  const chain = (table: string, policy: string, hook = 'forward') => ({ chain: { family: 'inet', table, name: 'c', hook, policy } })
  const rule = (table: string, device: string) => ({
    rule: { family: 'inet', table, chain: 'other', expr: [{ match: { left: { meta: { key: 'iifname' } }, right: device } }] },
  })
  const json = (...nftables: object[]) => JSON.stringify({ nftables })
  t.match(foreignDrops(json(chain('ufw', 'drop'), rule('ufw', 'eth0')), 'br0'), [{ chain: 'inet ufw c', hook: 'forward' }])
  t.same(foreignDrops(json(chain('ufw', 'drop'), rule('ufw', 'br0')), 'br0'), [], 'it knows guests')
  t.same(foreignDrops(json(chain('ufw', 'accept'), chain('x', 'drop', 'output'), chain('shopwire_portal', 'drop')), 'br0'), [])
  t.same(foreignDrops('', 'br0'), [])
})

t.test('a grant with something else than a MAC or a number reaches no rule', async (t) => {
  t.same(wrongGrant({ mac: MAC, seconds: 60, downKbps: 1000, bytesUp: 5 }), [])
  const wrong = {
    mac: `${MAC} }; flush ruleset`,
    seconds: Number.NaN,
    downKbps: 1.5,
    upKbps: 0,
    bytesUp: -1,
    bytesDown: Number.POSITIVE_INFINITY,
  }
  t.equal(wrongGrant(wrong).length, 6)
  t.notMatch(wrongGrant(wrong).join(), MAC)
})

t.test('what helper programs say is logged without hardware addresses', async (t) => {
  const said = 'dnsmasq-dhcp: abandoning lease to 02:00:5E:00:00:01 of 10.66.0.1'
  t.equal(complaint({ code: 1, stdout: '', stderr: `${said}\nmore` }), 'dnsmasq-dhcp: abandoning lease to [station] of 10.66.0.1')
  t.equal(complaint({ code: 7, stdout: '', stderr: '' }), 'exit 7')
})
