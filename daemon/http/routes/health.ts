import type { FastifyInstance } from 'fastify'
import type { RouteParts } from '../parts.ts'
import { health, objectOf } from './schemas.ts'

/** `GET /healthz`: 200 only while the journal and every plugin progress. Strangers learn yes or no, the rest the reasons. */
export function healthRoute(app: FastifyInstance, { options, guard }: RouteParts): void {
  app.get(
    '/healthz',
    {
      config: { open: true },
      schema: {
        tags: ['observe'],
        summary: 'Whether the gateway makes progress',
        response: { 200: health, 503: objectOf({ ...(health.properties as object) }, { description: 'Not healthy, with the reasons' }) },
      },
    },
    async (request, reply) => {
      const now = options.health()
      reply.code(now.ok ? 200 : 503)
      return mayKnow() ? now : { ok: now.ok }

      function mayKnow(): boolean {
        try {
          return guard.authenticated(request)
        } catch {
          return false
        }
      }
    },
  )
}
