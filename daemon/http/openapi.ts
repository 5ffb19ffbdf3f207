/** The OpenAPI document, made of the routes' own schemas when someone first asks: until then the generator is not even loaded. */
import Fastify, { type FastifyInstance } from 'fastify'
import type { JsonObject } from '../contract/json.ts'
import { setCompilers } from './schema-compiler.ts'

/** `routes` registers the API on an instance that never serves. */
export async function makeOpenapi(version: string, routes: (app: FastifyInstance) => void): Promise<string> {
  const { default: swagger } = await import('@fastify/swagger')
  const app = Fastify({ logger: false, exposeHeadRoutes: false })
  setCompilers(app)
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'shopwire admin API',
        version,
        description: 'Errors are `{error: {code, message, problems?}}`, with a code of one table.',
        license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      },
      tags: [
        { name: 'observe', description: 'What the shop looks like' },
        { name: 'trade', description: 'Visits, payments, and what belongs together' },
        { name: 'events', description: 'What happened, and what happens' },
        { name: 'commands', description: 'Make a device do something' },
        { name: 'plugins', description: 'Hot plugin control' },
      ],
      components: { securitySchemes: { token: { type: 'http', scheme: 'bearer', description: '`http.token` of the config' } } },
      security: [{}, { token: [] }],
    },
    convertConstToEnum: false,
    // The router's own pattern for the picture of a command is no path that a reader of the document would know.
    transform: ({ schema, url }) => ({ schema, url: url.replace('(^[a-z][a-z0-9-]*)', '') }),
  })
  routes(app)
  await app.ready()
  const document = app.swagger() as unknown as JsonObject
  await app.close()
  return JSON.stringify(document)
}
