import type { FastifyInstance } from 'fastify'
import { newest, pageForward, typeFilter } from '../journal-pages.ts'
import type { RouteParts } from '../parts.ts'
import { cloudEvent, failures, listOf, objectOf } from './schemas.ts'

interface Query {
  since?: number
  last?: number
  limit: number
  type?: string
}

const TYPE = '^[A-Za-z0-9.,*-]{1,500}$'

/** `GET /api/v1/events`: the journal in pages, oldest first. */
export function eventsRoute(app: FastifyInstance, { options: { journal } }: RouteParts): void {
  app.get<{ Querystring: Query }>(
    '/api/v1/events',
    {
      schema: {
        tags: ['events'],
        summary: 'Reads the journal',
        description:
          'Go on with `since={next}` until `next` is absent. A page may be empty and still have a `next`: a rare type was looked for in a long journal.',
        querystring: objectOf(
          {
            since: { type: 'integer', minimum: 0, description: 'Sequence after which to begin; 0 when absent' },
            last: { type: 'integer', minimum: 1, maximum: 1000, description: 'The newest so many instead' },
            limit: { type: 'integer', minimum: 1, maximum: 1000, default: 100 },
            type: { type: 'string', pattern: TYPE, description: '`shopwire.` may be left out; `*` at the end; several with commas' },
          },
          { additionalProperties: false },
        ),
        response: {
          200: objectOf({
            epoch: { type: 'string' },
            head: { type: 'integer', description: 'Last durable sequence' },
            tail: { type: 'integer', description: 'Oldest sequence kept' },
            events: listOf(cloudEvent),
            next: { type: 'integer', description: 'The `since` of the next page' },
          }),
          ...failures,
        },
      },
    },
    async ({ query }, reply) => {
      const wanted = typeFilter(query.type)
      const page =
        query.last === undefined
          ? await pageForward(journal, query.since ?? 0, query.limit, wanted)
          : { events: await newest(journal, query.last, wanted) }
      // The texts are JSON already: parsing them only to write them again would be a waste.
      const head = JSON.stringify({
        epoch: journal.epoch,
        head: journal.head,
        tail: journal.tail,
        ...('next' in page ? { next: page.next } : {}),
      })
      reply.type('application/json; charset=utf-8')
      return reply
        .serializer((text) => text as string)
        .send(`${head.slice(0, -1)},"events":[${page.events.map((one) => one.text).join(',')}]}`)
    },
  )
}
