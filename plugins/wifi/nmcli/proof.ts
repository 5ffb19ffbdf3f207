/** Whether a network that came up is any good: it gave an address, and, if asked, its gateway or HQ can be reached through it. */
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import type { Clock } from '../../../daemon/contract/plugin.ts'
import { CONNECTED, type Device, devices } from './devices.ts'

/** `address`, `gateway` or `tcp://host:port`. */
export type Verify = string

const AGAIN_MS = 1_000
const CONNECT_MS = 3_000
/** Any port will do: a refusal is an answer, too. */
const GATEWAY_PORT = 53

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
    return (await answers(device.gateway, GATEWAY_PORT, undefined)) || isNeighbour(device.gateway, device.name)
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
