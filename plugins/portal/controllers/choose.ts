/** Which controller the config asks for. */
import { Failure } from '../../../daemon/contract/errors.ts'
import type { PluginContext } from '../../../daemon/contract/plugin.ts'
import type { PortalConfig } from '../config.ts'
import type { NetworkController } from '../network/api.ts'
import { createHttpController } from './http.ts'

export type CreateController = (context: PluginContext<PortalConfig>, which: PortalConfig['controller']) => NetworkController

export const chooseController: CreateController = (context, which) => {
  const { config } = context
  switch (which) {
    case 'http':
      if (!config.http) throw new Failure('config-invalid', 'plugins.portal.http: is missing; controller http needs it')
      return createHttpController(context, config.http)
    default:
      throw new Failure('config-invalid', `plugins.portal.controller: ${which}`)
  }
}
