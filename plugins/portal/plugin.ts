import { Failure } from '../../daemon/contract/errors.ts'
import type { PluginContext, RunningPlugin, StartPlugin } from '../../daemon/contract/plugin.ts'
import type { PortalConfig } from './config.ts'
import { type CreateController, chooseController } from './controllers/choose.ts'
import { giveBack } from './network/give-back.ts'
import { Portal } from './portal.ts'

/** The guest portal over a controller; the one that the config names, unless a test brings another. */
export async function startPortal(
  context: PluginContext<PortalConfig>,
  create: CreateController = chooseController,
): Promise<RunningPlugin> {
  const { config, gateway, log } = context
  // The controller before it may have been one that leaves its network to the next.
  if (config.controller !== 'nftables') await giveBack(context.folder, log)
  const portal = new Portal(context, create(context, config.controller), listenAddress(config))
  try {
    await portal.start()
    return portal
  } catch (error) {
    // A demo on a machine without the right to touch its network still shows everything else.
    if (!gateway.demo || config.controller !== 'nftables' || !(error instanceof Failure) || error.code !== 'network-denied') throw error
    log.warn({ code: error.code }, `${error.message} The demo goes on with a simulated network.`)
  }
  const simulated = new Portal(context, create(context, 'simulated'), config.listen.address ?? '127.0.0.1')
  await simulated.start()
  return simulated
}

function listenAddress(config: PortalConfig): string {
  if (config.listen.address !== undefined) return config.listen.address
  if (config.controller === 'simulated') return '127.0.0.1'
  if (config.controller === 'nftables') return config.network?.address.split('/')[0] ?? '0.0.0.0'
  if (config.url === undefined)
    throw new Failure(
      'config-invalid',
      'plugins.portal.url: is missing; with controller http it is the address to which the controller sends its guests',
    )
  return '0.0.0.0'
}

const start: StartPlugin<PortalConfig> = (context) => startPortal(context)

export default start
