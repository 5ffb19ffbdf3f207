/** Which controller the config asks for. */
import { Failure } from '../../../daemon/contract/errors.ts'
import type { PluginContext } from '../../../daemon/contract/plugin.ts'
import type { PortalConfig } from '../config.ts'
import type { NetworkController } from '../network/api.ts'
import { createNftablesController } from '../network/nftables.ts'
import { SimulatedController } from '../network/simulated.ts'
import { createHttpController } from './http.ts'

export type CreateController = (context: PluginContext<PortalConfig>, which: PortalConfig['controller']) => NetworkController

/** Throws `config-invalid`; nothing is touched yet. */
export const chooseController: CreateController = (context, which) => {
  const { clock, log, signal, config, folder } = context
  switch (which) {
    case 'nftables':
      if (!config.network) throw new Failure('config-invalid', 'plugins.portal.network: is missing; controller nftables needs it')
      return createNftablesController(config.network, ports(config), { clock, log, signal, folder })
    case 'http':
      if (!config.http) throw new Failure('config-invalid', 'plugins.portal.http: is missing; controller http needs it')
      return createHttpController(context, config.http)
    case 'simulated':
      return new SimulatedController({ clock })
  }
}

/** Option 114 must name an address with a certificate that phones trust (RFC 8908, section 3.1). */
function ports({ listen, https }: PortalConfig): Parameters<typeof createNftablesController>[1] {
  if (!https) return { http: listen.port }
  const at = https.port === 443 ? https.name : `${https.name}:${https.port}`
  return { http: listen.port, https: https.port, captiveApiUrl: `https://${at}/captive-portal/api` }
}
