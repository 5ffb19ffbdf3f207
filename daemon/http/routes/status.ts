import type { FastifyInstance } from 'fastify'
import { Failure } from '../../contract/errors.ts'
import type { RouteParts } from '../parts.ts'
import { device, failures, found, link, listOf, plugin, status } from './schemas.ts'

/** `GET /api/v1/status|plugins|devices|links|discovery`: what the shop looks like now. */
export function statusRoutes(app: FastifyInstance, { options, status: view }: RouteParts): void {
  const tags = ['observe']
  app.get('/api/v1/status', { schema: { tags, summary: 'Everything at a glance', response: { 200: status, ...failures } } }, async () =>
    view.status(),
  )
  app.get('/api/v1/plugins', { schema: { tags, summary: 'Loaded plugins', response: { 200: listOf(plugin), ...failures } } }, async () =>
    options.shop.plugins(),
  )
  app.get(
    '/api/v1/devices',
    { schema: { tags, summary: 'Configured devices', response: { 200: listOf(device), ...failures } } },
    async () => options.shop.devices(),
  )
  app.get<{ Params: { plugin: string; device: string } }>(
    '/api/v1/devices/:plugin/:device',
    { schema: { tags, summary: 'One device', response: { 200: device, ...failures } } },
    async ({ params }) => {
      const one = options.shop.device(params.plugin, params.device)
      if (!one) throw new Failure('device-unknown', `there is no device "${params.plugin}/${params.device}"`)
      return one
    },
  )
  app.get('/api/v1/links', { schema: { tags, summary: 'LAN broker and HQ', response: { 200: listOf(link), ...failures } } }, async () =>
    options.shop.links(),
  )
  app.get(
    '/api/v1/discovery',
    { schema: { tags, summary: 'What is plugged in or announced', response: { 200: listOf(found), ...failures } } },
    async () => options.discovery.found(),
  )
}
