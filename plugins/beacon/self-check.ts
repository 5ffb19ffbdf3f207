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
  addresses: number
}

const MENDS: Record<string, string> = {
  'no-adapter': 'hciconfig -a; lsusb   # is there a Bluetooth adapter, and is it the one that plugins.beacon.adapter names?',
  'permission-denied': 'sudo scripts/install --network   # gives the service CAP_NET_RAW and CAP_NET_ADMIN',
  'adapter-silent': 'unplug the adapter and plug it in again; on a Pi: sudo hciconfig hci0 down; sudo hciconfig hci0 up',
  unplugged: 'plug the adapter in again: it is used at once',
  'scan-refused': 'sudo systemctl stop bluetooth   # another program holds the adapter',
}

export function selfCheck({ adapter, state, fixed, silent, weak, addresses }: BeaconFacts): JsonObject {
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
  return { findings }
}
