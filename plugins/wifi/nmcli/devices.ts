/** The box's network devices as NetworkManager sees them, and what keeps the radio from working. */
import { NmcliFault } from './fault.ts'
import { nmcli } from './run.ts'
import { rows, sections } from './terse.ts'

export interface Device {
  name: string
  /** nmcli's word: `wifi`, `ethernet`, `gsm`, `loopback`, … */
  type: string
  /** NMDeviceState: 10 unmanaged, 20 unavailable, 30 disconnected, 40-90 on its way, 100 connected, 120 failed. */
  state: number
  /** UUID of the connection in use. */
  connection?: string
  /** With prefix length; not the ones a device gives itself. */
  addresses: string[]
  gateway?: string
}

export const UNMANAGED = 10
export const UNAVAILABLE = 20
export const CONNECTED = 100

const FIELDS = 'GENERAL.DEVICE,GENERAL.TYPE,GENERAL.STATE,GENERAL.CON-UUID,IP4.ADDRESS,IP4.GATEWAY,IP6.ADDRESS,IP6.GATEWAY'
const LOOK_MS = 10_000

export async function devices(signal: AbortSignal): Promise<Device[]> {
  const output = await nmcli(['--terse', '--fields', FIELDS, 'device', 'show'], { timeoutMs: LOOK_MS, signal })
  const found = sections(output).flatMap((section) => {
    const one = (name: string) => section.get(name)?.[0]
    const name = one('GENERAL.DEVICE')
    const state = Number.parseInt(one('GENERAL.STATE') ?? '', 10)
    if (name === undefined || !Number.isFinite(state)) return []
    const connection = one('GENERAL.CON-UUID')
    const gateway = one('IP4.GATEWAY') ?? one('IP6.GATEWAY')
    const device: Device = {
      name,
      type: one('GENERAL.TYPE') ?? '',
      state,
      addresses: [...(section.get('IP4.ADDRESS') ?? []), ...(section.get('IP6.ADDRESS') ?? [])].filter(isGiven),
      ...(connection === undefined ? {} : { connection }),
      ...(gateway === undefined ? {} : { gateway }),
    }
    return [device]
  })
  if (found.length === 0 && output.trim() !== '') throw new NmcliFault('nmcli-garbled')
  return found
}

/** Link-local addresses (RFC 3927, RFC 4291 2.5.6) are what a device has when nobody gave it one. */
function isGiven(address: string): boolean {
  return !/^(169\.254\.|fe[89ab][0-9a-f]:)/i.test(address)
}

/** Kinds of device that lead out of the shop; `bridge`, `tun`, `veth` and the like lead into the box itself. */
const LEAD_OUT = ['ethernet', 'gsm', 'cdma', 'bt']

/** Whether something else than the radio is the box's way out. */
export function hasOtherUplink(all: readonly Device[]): boolean {
  return all.some(
    ({ type, state, addresses, gateway }) =>
      LEAD_OUT.includes(type) && state === CONNECTED && addresses.length > 0 && gateway !== undefined,
  )
}

/** Why there is no usable radio: `node-wifi` gives an empty list for each of these. */
export async function whyNoRadio(
  radio: Device | undefined,
  signal: AbortSignal,
): Promise<'no-radio' | 'radio-off' | 'unmanaged' | 'unavailable'> {
  if (radio?.state === UNMANAGED) return 'unmanaged'
  const [line] = rows(await nmcli(['--terse', '--fields', 'WIFI-HW,WIFI', 'general', 'status'], { timeoutMs: LOOK_MS, signal }))
  if (line?.length !== 2) throw new NmcliFault('nmcli-garbled')
  const [hardware, software] = line
  if (!radio) return 'no-radio'
  return hardware === 'enabled' && software === 'enabled' ? 'unavailable' : 'radio-off'
}
