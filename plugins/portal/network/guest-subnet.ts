/** IPv4 arithmetic for the guest network. Pure. */
import { Failure } from '../../../daemon/contract/errors.ts'

export interface GuestSubnet {
  /** This box: `10.66.0.1`. */
  own: string
  /** `10.66.0.0/22`. */
  cidr: string
  prefix: number
  /** First and last address for guests. */
  from: string
  to: string
  netmask: string
  /** How many addresses lie in `from`…`to`. */
  size: number
}

const SHORTEST = 16
const LONGEST = 29

/** `10.66.0.1/22`; addresses for guests are all of it but the network's, the broadcast's and this box's, unless told. */
export function guestSubnet(address: string, range: { from?: string; to?: string } = {}): GuestSubnet {
  const [own = '', bits = ''] = address.split('/')
  const prefix = Number(bits)
  const ip = toNumber(own)
  if (ip === undefined || !Number.isInteger(prefix) || prefix < SHORTEST || prefix > LONGEST)
    throw wrong('address', `"${address}" is not an IPv4 address with a prefix from /${SHORTEST} to /${LONGEST}, such as 10.66.0.1/22`)
  const mask = (0xffffffff << (32 - prefix)) >>> 0
  const network = (ip & mask) >>> 0
  const last = (network | ~mask) >>> 0
  if (ip === network || ip === last)
    throw wrong('address', `"${own}" is the network or broadcast address of its own subnet; take another, such as ${toText(network + 1)}`)
  const from = bound('from', range.from, ip === network + 1 ? ip + 1 : network + 1)
  const to = bound('to', range.to, last - 1)
  for (const [key, value] of [
    ['from', from],
    ['to', to],
  ] as const)
    if ((value & mask) >>> 0 !== network || value === network || value === last)
      throw wrong(`dhcp.${key}`, `${toText(value)} is not an address for guests in ${toText(network)}/${prefix}`)
  if (from > to) throw wrong('dhcp.from', `${toText(from)} comes after dhcp.to, ${toText(to)}`)
  return {
    own,
    cidr: `${toText(network)}/${prefix}`,
    prefix,
    from: toText(from),
    to: toText(to),
    netmask: toText(mask),
    size: to - from + 1,
  }
}

function bound(key: string, given: string | undefined, otherwise: number): number {
  if (given === undefined) return otherwise
  const value = toNumber(given)
  if (value === undefined) throw wrong(`dhcp.${key}`, `"${given}" is not an IPv4 address`)
  return value
}

export function inSubnet(ip: string, cidr: string): boolean {
  const [network = '', bits = ''] = cidr.split('/')
  const [value, base] = [toNumber(ip), toNumber(network)]
  if (value === undefined || base === undefined) return false
  const mask = Number(bits) === 0 ? 0 : (0xffffffff << (32 - Number(bits))) >>> 0
  return (value & mask) >>> 0 === (base & mask) >>> 0
}

/** `192.168.1.17/24` -> `192.168.1.0/24`; undefined where it is none. */
export function networkOf(cidr: string): string | undefined {
  const [address = '', bits = '32'] = cidr.split('/')
  const value = toNumber(address)
  const prefix = Number(bits)
  if (value === undefined || !/^\d{1,2}$/.test(bits) || prefix > 32) return undefined
  const mask = prefix === 0 ? 0 : (0xffffffff << (32 - prefix)) >>> 0
  return `${toText((value & mask) >>> 0)}/${prefix}`
}

function toNumber(text: string): number | undefined {
  const octets = text.split('.')
  if (octets.length !== 4 || !octets.every((one) => /^\d{1,3}$/.test(one) && Number(one) < 256)) return undefined
  return octets.reduce((sum, one) => sum * 256 + Number(one), 0)
}

const toText = (value: number): string => [24, 16, 8, 0].map((shift) => (value >>> shift) & 255).join('.')

const wrong = (key: string, message: string): Failure =>
  new Failure('config-invalid', `network.${key}: ${message}`, [{ path: `plugins.portal.network.${key}`, message }])
