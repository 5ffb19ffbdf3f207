/**
 * The portal's tables, as nft(8) reads them. Pure text. Two tables, both our own: `inet` decides who passes, `netdev` on the guest interface
 * counts and classifies by MAC, which only there is known in both directions.
 */
import type { GuestSubnet } from './guest-subnet.ts'

export const TABLE = 'shopwire_portal'

/** The intermediate device on which what guests send is shaped. */
export const UP_DEVICE = 'shopwire-up'

export interface RulesetOptions {
  interface: string
  subnet: GuestSubnet
  ports: { http: number; https?: number }
  isolate: boolean
  /** Whether tc classes exist, so that packets are to be sorted into them. */
  shaped: boolean
}

/** RFC 1918, RFC 6598, link-local, loopback, "this" network, benchmarking, multicast and class E: nothing of it is the internet. */
const NOT_THE_INTERNET = [
  ...['0.0.0.0/8', '10.0.0.0/8', '100.64.0.0/10', '127.0.0.0/8', '169.254.0.0/16', '172.16.0.0/12'],
  ...['192.168.0.0/16', '198.18.0.0/15', '224.0.0.0/3'],
]

/** Where packets may go out, and what is out of bounds: both follow the uplink. */
export interface Outside {
  uplink: string | undefined
  /** CIDRs. */
  protect: readonly string[]
}

/** Removes our tables; no error where they are not there. */
export const REMOVAL = ['inet', 'netdev'].flatMap((family) => [`table ${family} ${TABLE}`, `delete table ${family} ${TABLE}`]).join('\n')

/** One transaction: the old tables go as the new ones come, so there is no moment without rules. */
export function ruleset(options: RulesetOptions): string {
  return `${REMOVAL}\n${filterTable(options)}\n${deviceTable(options)}\n`
}

export function outsideElements({ uplink, protect }: Outside): string {
  const networks = [...new Set([...NOT_THE_INTERNET, ...protect])]
  return [
    `flush set inet ${TABLE} uplink`,
    ...(uplink === undefined ? [] : [`add element inet ${TABLE} uplink { "${uplink}" }`]),
    `flush set inet ${TABLE} protected4`,
    `add element inet ${TABLE} protected4 { ${networks.join(', ')} }`,
    '',
  ].join('\n')
}

/**
 * Priorities are 5 before the usual ones: a redirect of ours comes before one that, say, docker has for every local address. It does not help
 * against a drop elsewhere: in nftables a drop in any chain is final.
 */
function filterTable({ interface: guests, subnet, ports, isolate }: RulesetOptions): string {
  const own = subnet.own
  const portal = [ports.http, ...(ports.https === undefined ? [] : [ports.https])].join(', ')
  return `
table inet ${TABLE} {
  # Who may go out, by MAC. The kernel ends it by itself, also when this gateway is down.
  set online { type ether_addr; flags timeout; size 65535; }
  # What each has sent to the internet; kept apart from the time, so that more time leaves it alone.
  set up { type ether_addr; counter; size 65535; }
  # Whom answers may reach: addresses that somebody online has just used.
  set replies4 { type ipv4_addr; flags dynamic, timeout; timeout 2m; size 65535; }
  # Filled by dnsmasq as the names of the walled garden are resolved.
  set walled4 { type ipv4_addr; flags timeout; timeout 1d; size 65535; }
  set protected4 { type ipv4_addr; flags interval; auto-merge; }
  set uplink { type ifname; }

  chain early {
    type filter hook prerouting priority mangle - 5; policy accept;
    iifname != "${guests}" accept
    meta nfproto ipv6 drop
    # 0.0.0.0 asks for an address.
    ip saddr != { ${subnet.cidr}, 0.0.0.0 } drop
  }

  chain captive {
    type nat hook prerouting priority dstnat - 5; policy accept;
    iifname != "${guests}" accept
    ip daddr ${own} tcp dport 80 redirect to :${ports.http}
${ports.https === undefined ? '' : `    ip daddr ${own} tcp dport 443 redirect to :${ports.https}\n`}    ether saddr @online accept
    ip daddr @walled4 accept
    meta l4proto { tcp, udp } th dport 53 redirect to :53
    tcp dport 80 redirect to :${ports.http}
  }

  chain to_this_box {
    type filter hook input priority filter - 5; policy accept;
    iifname != "${guests}" accept
    udp sport 68 udp dport 67 accept
    ct direction reply accept
    ip daddr != ${own} drop
    meta l4proto { tcp, udp } th dport 53 accept
    tcp dport { ${portal} } accept
    icmp type echo-request accept
    jump refuse
  }

  chain forward {
    type filter hook forward priority filter - 5; policy accept;
    iifname "${guests}" jump from_guests
    oifname "${guests}" jump to_guests
  }

  chain from_guests {
    oifname "${guests}" ${isolate ? 'drop' : 'accept'}
    ip daddr @protected4 jump refuse
    oifname != @uplink jump refuse
    # Before any rule for established flows: whose time is over is cut at the next packet.
    ether saddr @online jump go_online
    ip daddr @walled4 accept
    jump refuse
  }

  chain go_online {
    update @replies4 { ip saddr timeout 2m }
    ether saddr @up accept
    accept
  }

  chain to_guests {
    # What a phone whose time is over still gets by TCP it acknowledges, and that is answered by a reset: apps see the end at once. All else stops here.
    iifname @uplink ct state established, related meta l4proto tcp accept
    iifname @uplink ct state established, related ip daddr @replies4 accept
    iifname @uplink ct state established, related ip saddr @walled4 accept
    drop
  }

  # At once, so that an app sees that it is offline and the phone asks for the portal.
  chain refuse {
    meta l4proto tcp reject with tcp reset
    reject with icmpx type admin-prohibited
  }

  chain translate {
    type nat hook postrouting priority srcnat - 5; policy accept;
    oifname @uplink ip saddr ${subnet.cidr} masquerade
  }
}`
}

/**
 * HTB takes a packet's priority for a class when its upper half is the qdisc's handle (tc-htb(8), "skb->priority"), so no tc filter, and no
 * module for one, is needed. `fwd` to an ifb brings what guests send to a queue, too.
 */
function deviceTable({ interface: guests, subnet, shaped }: RulesetOptions): string {
  return `
table netdev ${TABLE} {
  set down { type ether_addr; counter; size 65535; }
  map class_down { type ether_addr : classid; size 65535; }
  map class_up { type ether_addr : classid; size 65535; }

  chain to_guests {
    type filter hook egress device "${guests}" priority 0; policy accept;
    ip saddr ${subnet.own} accept
    meta priority set ether daddr map @class_down
    ether daddr @down accept
  }
${
  shaped
    ? `
  chain from_guests {
    type filter hook ingress device "${guests}" priority 0; policy accept;
    meta protocol != ip accept
    ip daddr { ${subnet.own}, 255.255.255.255 } accept
    meta priority set ether saddr map @class_up
    fwd to "${UP_DEVICE}"
  }
`
    : ''
}}`
}
