/** What `shopwire doctor` is told of the radio and of the shop's own beacons. */
import type { JsonObject } from '../../daemon/contract/json.ts'
import type { DeviceState } from '../../daemon/contract/plugin.ts'

export interface BeaconFacts {
  adapter: string
  state: DeviceState
  /** Names of fixed beacons, and of those that are silent. */
  fixed: number
  silent: string[]
  /** Under this many mV a coin cell is about to go. */
  weak: { name: string; batteryMv: number }[]
  /** Names of those that claim a level at 1 m that cannot be, and of those that two devices say they are. */
  impossible: string[]
  two: string[]
  addresses: number
}

const MENDS: Record<string, string> = {
  'no-adapter': 'hciconfig -a; lsusb   # is there a Bluetooth adapter, and is it the one that plugins.beacon.adapter names?',
  'permission-denied': 'sudo scripts/install --network   # gives the service CAP_NET_RAW and CAP_NET_ADMIN',
  'adapter-silent': 'unplug the adapter and plug it in again; on a Pi: sudo hciconfig hci0 down; sudo hciconfig hci0 up',
  unplugged: 'plug the adapter in again: it is used at once',
  'scan-refused': 'sudo systemctl stop bluetooth   # another program holds the adapter',
}

export function selfCheck({ adapter, state, fixed, silent, weak, impossible, two, addresses }: BeaconFacts): JsonObject {
  const findings: JsonObject[] = []
  if (state.state === 'online')
    findings.push({
      state: 'ok',
      fact: `${adapter} ${state.detail ?? 'hears'}, ${fixed - silent.length} of ${fixed} fixed beacons, ${addresses} other addresses this hour`,
    })
  else
    findings.push({
      state: 'fail',
      fact: `${adapter}: ${state.detail ?? state.state}`,
      fix: MENDS[state.detail ?? ''] ?? 'sudo journalctl -u shopwire -n 50',
    })
  for (const name of silent)
    findings.push({
      state: 'warn',
      fact: `beacon ${name} is silent`,
      fix: `change its battery, or hang it nearer: shopwire cmd beacon - nearby`,
    })
  for (const { name, batteryMv } of weak)
    findings.push({ state: 'warn', fact: `beacon ${name} has ${batteryMv} mV left`, fix: 'change its battery' })
  for (const name of impossible)
    findings.push({
      state: 'warn',
      fact: `beacon ${name} claims a level at 1 m that no radio has; -59 dBm is reckoned with`,
      fix: `lay it 1 m from the antenna: shopwire cmd beacon - calibrate, and set its p1m`,
    })
  for (const name of two)
    findings.push({ state: 'warn', fact: `two devices say they are beacon ${name}`, fix: 'give one of them other numbers' })
  return { findings }
}
