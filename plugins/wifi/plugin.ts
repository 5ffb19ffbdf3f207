import type { PluginContext, RunningPlugin, StartPlugin } from '../../daemon/contract/plugin.ts'
import type { WifiConfig } from './config.ts'
import { Wifi } from './wifi.ts'

/** The box's own station radio: its uplink, the networks it may use, and the air around it. */
const start: StartPlugin<WifiConfig> = async (context: PluginContext<WifiConfig>): Promise<RunningPlugin> => {
  const wifi = new Wifi(context)
  await wifi.start()
  return wifi
}

export default start
