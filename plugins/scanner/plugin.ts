import type { PluginContext, RunningPlugin, StartPlugin } from '../../daemon/contract/plugin.ts'
import type { DeviceConfig, ScannerConfig } from './config.ts'
import { startScanner } from './scanner.ts'

/** Barcode scanners: every configured one kept connected, every scan an event. */
const start: StartPlugin<ScannerConfig> = (context: PluginContext<ScannerConfig>): Promise<RunningPlugin> =>
  context.devices<DeviceConfig>(startScanner)

export default start
