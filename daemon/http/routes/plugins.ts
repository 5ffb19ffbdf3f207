import { isAbsolute } from 'node:path'
import type { FastifyInstance } from 'fastify'
import { Failure } from '../../contract/errors.ts'
import type { RouteParts } from '../parts.ts'
import { failures, objectOf, ok } from './schemas.ts'

const tags = ['plugins']
const params = objectOf({ name: { type: 'string', maxLength: 64 } })

/** Hot control of plugins. Loading code from a path belongs to whoever may open the unix socket, never to the network. */
export function pluginRoutes(app: FastifyInstance, { options: { plugins } }: RouteParts): void {
  app.post<{ Params: { name: string } }>(
    '/api/v1/plugins/:name/reload',
    {
      schema: {
        tags,
        summary: 'New process from the files as they are now',
        description: 'The old version comes back if the new one does not become healthy; the answer is its failure then.',
        params,
        response: { 200: ok, ...failures },
      },
    },
    async ({ params: { name } }) => {
      await plugins.reload(name)
      return { ok: true }
    },
  )

  app.post<{ Body: { dir: string } }>(
    '/api/v1/plugins/load',
    {
      config: { socketOnly: true },
      schema: {
        tags,
        summary: 'Loads a third-party folder (unix socket only)',
        body: objectOf(
          { dir: { type: 'string', minLength: 1, maxLength: 4_096, description: 'Absolute path' } },
          { required: ['dir'], additionalProperties: false },
        ),
        response: { 200: ok, ...failures },
      },
    },
    async ({ body: { dir } }) => {
      if (!isAbsolute(dir))
        throw new Failure('payload-malformed', 'dir must be an absolute path', [{ path: 'dir', message: 'must be an absolute path' }])
      await plugins.load(dir)
      return { ok: true }
    },
  )

  app.delete<{ Params: { name: string } }>(
    '/api/v1/plugins/:name',
    {
      config: { socketOnly: true },
      schema: { tags, summary: 'Unloads a plugin (unix socket only)', params, response: { 200: ok, ...failures } },
    },
    async ({ params: { name } }) => {
      await plugins.unload(name)
      return { ok: true }
    },
  )
}
