import type { FastifyInstance } from 'fastify'
import type { RouteParts } from '../parts.ts'
import { commandRoutes } from './commands.ts'
import { eventsRoute } from './events.ts'
import { healthRoute } from './health.ts'
import { metricsRoute } from './metrics.ts'
import { pluginRoutes } from './plugins.ts'
import { statusRoutes } from './status.ts'
import { streamRoute } from './stream.ts'
import { tradeRoutes } from './trade.ts'

/** All that programs use, in the order of the published documentation. */
export function apiRoutes(app: FastifyInstance, parts: RouteParts): void {
  healthRoute(app, parts)
  metricsRoute(app, parts)
  statusRoutes(app, parts)
  tradeRoutes(app, parts)
  eventsRoute(app, parts)
  streamRoute(app, parts)
  commandRoutes(app, parts)
  pluginRoutes(app, parts)
}
