/** Whether a network that came up is any good: it gave an address, and, if asked, its gateway or HQ can be reached through it. */
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { connect, isIPv6 } from 'node:net'
import type { Clock } from '../../../daemon/contract/plugin.ts'
import { CONNECTED, type Device, devices } from './devices.ts'

/** `address`, `gateway` or `tcp://host:port`. */
export type Verify = string

const AGAIN_MS = 1_000
const CONNECT_MS = 3_000
/** Any port will do: a refusal is an answer, too. */
const GATEWAY_PORT = 53
const NEIGHBOUR_MS = 3_000

/** Resolves with what is missing when `untilMs` (monotonic) has come, or with nothing as soon as all is there. */
export async function prove(
  uuid: string,
  iface: string,
  verify: Verify,
  untilMs: number,
  clock: Clock,
  signal: AbortSignal,
): Promise<'no-address' | 'unreachable' | undefined> {
  for (;;) {
    const device = (await devices(signal)).find(({ name }) => name === iface)
    const up = device?.state === CONNECTED && device.connection === uuid && device.addresses.length > 0
    if (device && up && (await reaches(device, verify))) return undefined
    if (clock.mono() >= untilMs) return up ? 'unreachable' : 'no-address'
    await clock.sleep(Math.min(AGAIN_MS, Math.max(1, untilMs - clock.mono())), signal)
  }
}

async function reaches(device: Device, verify: Verify): Promise<boolean> {
  if (verify === 'address') return true
  if (verify === 'gateway') {
    if (device.gateway === undefined) return false
    const { gateway, name } = device
    if (await answers(scoped(gateway, name), GATEWAY_PORT, undefined)) return true
    return isIPv6(gateway) ? isNeighbour6(gateway, name) : isNeighbour(gateway, name)
  }
  const { hostname, port } = new URL(verify)
  const from = device.addresses.find((address) => !address.includes(':'))?.replace(/\/\d+$/, '')
  return answers(hostname.replace(/^\[|\]$/g, ''), Number(port), from)
}

/** Whether anything there answers TCP. `from`: the radio's address, so that no answer comes by another way out. */
function answers(host: string, port: number, from: string | undefined): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, ...(from === undefined ? {} : { localAddress: from, family: 4 }) })
    const done = (yes: boolean) => {
      socket.destroy()
      resolve(yes)
    }
    socket.setTimeout(CONNECT_MS, () => done(false))
    socket.once('connect', () => done(true))
    socket.once('error', (error: NodeJS.ErrnoException) => done(from === undefined && error.code === 'ECONNREFUSED'))
  })
}

/** A link-local address means something on one link only (RFC 4007 11), and an IPv6 router announces itself by no other (RFC 4861 6.1.2). */
export function scoped(address: string, iface: string): string {
  return /^fe[89ab][0-9a-f]:/i.test(address) && !address.includes('%') ? `${address}%${iface}` : address
}

/** A router that drops what it is not asked for still answers ARP: flag 2 of its entry is "complete" (linux/if_arp.h, ATF_COM). */
function isNeighbour(address: string, iface: string): boolean {
  try {
    return readFileSync('/proc/net/arp', 'utf8')
      .split('\n')
      .map((line) => line.split(/\s+/))
      .some(([ip, , flags, , , device]) => ip === address && device === iface && (Number(flags) & 2) !== 0)
  } catch {
    return false
  }
}

/** The same of IPv6, whose neighbours the kernel shows to netlink only: one that has answered has a link-layer address. */
function isNeighbour6(address: string, iface: string): Promise<boolean> {
  return new Promise((resolve) => {
    execFile('ip', ['-6', 'neigh', 'show', 'to', address, 'dev', iface], { timeout: NEIGHBOUR_MS }, (error, out) =>
      resolve(!error && out.includes(' lladdr ') && !/ FAILED\s*$/.test(out)),
    )
  })
}
