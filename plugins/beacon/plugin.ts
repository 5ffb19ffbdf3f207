import type { PluginContext, RunningPlugin, StartPlugin } from '../../daemon/contract/plugin.ts'
import { Beacon } from './beacon.ts'
import type { BeaconConfig } from './config.ts'

/** Bluetooth beacons: the shop's own watched, tags of people and carts followed, the store's iBeacon broadcast. */
const start: StartPlugin<BeaconConfig> = async (context: PluginContext<BeaconConfig>): Promise<RunningPlugin> => {
  const beacon = new Beacon(context)
  await beacon.start()
  return beacon
}

export default start
