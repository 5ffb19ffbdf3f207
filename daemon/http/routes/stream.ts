import type { FastifyInstance } from 'fastify'
import { typeFilter } from '../journal-pages.ts'
import type { RouteParts } from '../parts.ts'
import { failures, objectOf } from './schemas.ts'

interface Query {
  type?: string
  digest?: boolean
}

/** `GET /api/v1/stream`: server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html). */
export function streamRoute(app: FastifyInstance, { hub }: RouteParts): void {
  app.get<{ Querystring: Query }>(
    '/api/v1/stream',
    {
      exposeHeadRoute: false,
      schema: {
        tags: ['events'],
        summary: 'Live events and changes',
        description: [
          'First `snapshot` (the status, the newest events), then:',
          '`event` (a CloudEvent), `change` (a plugin, device or link), `found` (discovery), `vitals` (health, counts, journal), `ping` every 10 s.',
          'Ids are `{epoch}:{sequence}`; with `Last-Event-ID` the events missed since follow the snapshot.',
          '`gap` `{from, to}`: the client was too slow or away for too long; read those from `/api/v1/events`.',
          'With `digest=true` at most 20 events each half second, and `skipped` `{count}`: for screens.',
        ].join('\n'),
        querystring: objectOf(
          { type: { type: 'string', pattern: '^[A-Za-z0-9.,*-]{1,500}$' }, digest: { type: 'boolean' } },
          { additionalProperties: false },
        ),
        response: { 200: { type: 'string', description: 'text/event-stream' }, ...failures },
      },
    },
    async (request, reply) => {
      hub.admit()
      // What the hooks put on the reply must reach the wire although the response is taken over.
      for (const [name, value] of Object.entries(reply.getHeaders())) if (value !== undefined) reply.raw.setHeader(name, value)
      reply.hijack()
      // No inactivity limit: pings go one way only.
      request.raw.socket.setTimeout(0)
      const last = request.headers['last-event-id']
      await hub.open(reply.raw, {
        lastEventId: typeof last === 'string' ? last : undefined,
        wanted: typeFilter(request.query.type),
        digest: request.query.digest ?? false,
      })
    },
  )
}
