import type { FastifyRequest } from 'fastify'
import type { HttpLimits, HttpOptions } from './api.ts'
import type { Credentials } from './credentials.ts'
import type { Guard } from './guard.ts'
import type { StatusView } from './status.ts'
import type { StreamHub } from './stream-hub.ts'
import type { Tally } from './tally.ts'

/** What the route files share. */
export interface RouteParts {
  options: HttpOptions
  limits: HttpLimits
  guard: Guard
  credentials: Credentials | undefined
  status: StatusView
  tally: Tally
  hub: StreamHub
  /** Whether the request came over the unix socket. */
  trusted: (request: FastifyRequest) => boolean
}
