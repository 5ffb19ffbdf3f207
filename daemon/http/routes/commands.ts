import type { FastifyInstance, FastifyReply } from 'fastify'
import type { CommandRequest, CommandResult } from '../../contract/command.ts'
import { ERRORS, Failure } from '../../contract/errors.ts'
import type { Json } from '../../contract/json.ts'
import { DEVICE, NAME } from '../../contract/topics.ts'
import { sendFailure } from '../errors.ts'
import type { RouteParts } from '../parts.ts'
import { commandResult, failures, objectOf } from './schemas.ts'

interface Target {
  plugin: string
  device: string
  command: string
}

interface Body {
  id?: string
  args?: Json
  expiresAt?: string
}

/** A plugin's SVG may come from anywhere: it gets no script, no network, no origin. */
const SVG_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; sandbox; frame-ancestors 'self'"

/** `POST /api/v1/cmd/{plugin}/{device}/{command}`: one command, answered when it is final. */
export function commandRoutes(app: FastifyInstance, { options, trusted }: RouteParts): void {
  app.post<{ Params: Target; Body: Body | null }>(
    '/api/v1/cmd/:plugin/:device/:command',
    {
      schema: {
        tags: ['commands'],
        summary: 'Runs a command and waits for its final result',
        description: 'The HTTP status is 200 for `done`, else that of the error code. The same `id` again gives the first result.',
        body: objectOf(
          {
            id: { type: 'string', minLength: 1, maxLength: 128, description: 'Dedupes for good' },
            args: { description: "As the command's schema in the plugin's manifest says" },
            expiresAt: { type: 'string', maxLength: 40, description: 'RFC 3339; not run after it' },
          },
          { type: ['object', 'null'], additionalProperties: false },
        ),
        response: { 200: commandResult, ...failures },
      },
    },
    async (request, reply) => {
      const { id, args, expiresAt } = request.body ?? {}
      // A command may take longer than an idle connection is kept.
      request.raw.socket.setTimeout(0)
      const result = await options.dispatch.submit({
        ...checked(request.params),
        ...(id === undefined ? {} : { id }),
        ...(args === undefined ? {} : { args }),
        ...(expiresAt === undefined ? {} : { expiresAt }),
        from: trusted(request) ? 'cli' : 'http',
      })
      return reply.code(statusOf(result)).send(result)
    },
  )

  app.get<{ Params: Target; Querystring: { args?: string } }>(
    '/api/v1/cmd/:plugin/:device/:command(^[a-z][a-z0-9-]*).svg',
    {
      exposeHeadRoute: false,
      schema: {
        tags: ['commands'],
        summary: 'Shows the picture a command makes',
        description: 'For commands that are declared `repeatable` and answer `{svg}`, such as a preview.',
        querystring: objectOf(
          { args: { type: 'string', maxLength: 16_384, description: 'JSON; `{}` when absent' } },
          { additionalProperties: false },
        ),
        response: { 200: { type: 'string', description: 'image/svg+xml' }, ...failures },
      },
    },
    async (request, reply) => {
      const target = checked(request.params)
      const spec = options.plugins.describe(target.plugin, target.device, target.command)
      if ('code' in spec) throw new Failure(spec.code, spec.message, spec.problems ?? [])
      // GET must be harmless: links are followed, pictures are loaded again.
      if (spec.repeatable !== true) throw new Failure('forbidden', `"${target.command}" is not declared repeatable: send it with POST`)
      const result = await options.dispatch.submit({
        ...target,
        args: parseArgs(request.query.args),
        from: trusted(request) ? 'cli' : 'http',
      })
      return sendSvg(reply, result)
    },
  )
}

function checked({ plugin, device, command }: Target): Omit<CommandRequest, 'from'> {
  if (!NAME.test(plugin)) throw new Failure('plugin-not-found', 'a plugin name has lower-case letters, digits and "-"')
  if (!DEVICE.test(device)) throw new Failure('device-unknown', 'a device name has lower-case letters, digits and "-"')
  if (!NAME.test(command)) throw new Failure('command-unknown', 'a command name has lower-case letters, digits and "-"')
  return { plugin, device, command }
}

function statusOf(result: CommandResult): number {
  if (result.status === 'done') return 200
  return ERRORS[result.error?.code ?? 'internal'].http
}

function parseArgs(text: string | undefined): Json {
  if (text === undefined || text === '') return {}
  try {
    return JSON.parse(text) as Json
  } catch (error) {
    throw new Failure('payload-malformed', `args is not JSON: ${(error as Error).message}`, [{ path: 'args', message: 'must be JSON' }])
  }
}

function sendSvg(reply: FastifyReply, result: CommandResult): FastifyReply {
  if (result.status !== 'done') return reply.code(statusOf(result)).send(result)
  const svg = (result.result as { svg?: Json } | null | undefined)?.svg
  if (typeof svg !== 'string') return sendFailure(reply, new Failure('not-found', 'this command makes no picture'))
  return reply
    .header('content-security-policy', SVG_POLICY)
    .header('x-frame-options', 'SAMEORIGIN')
    .type('image/svg+xml; charset=utf-8')
    .serializer((text) => text as string)
    .send(svg)
}
