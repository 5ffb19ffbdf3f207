import type { FastifyInstance, FastifyReply } from 'fastify'
import { asFailure, Failure } from '../../contract/errors.ts'
import { TooManyAttempts } from '../credentials.ts'
import type { LoginOptions } from '../dashboard/page-module.ts'
import { chooseLang, PageLoader } from '../pages.ts'
import type { RouteParts } from '../parts.ts'
import { StaticFiles } from '../static-files.ts'

interface PageQuery {
  lang?: string
  type?: string
}

/** How long the first page waits for the day's count; after it the numbers arrive by stream. */
const COUNT_WAIT_MS = 300

/** `/`, `/login`, `/logout`, `/assets/…`: the store dashboard and the way into it. */
export function pageRoutes(app: FastifyInstance, parts: RouteParts): void {
  const { options, credentials, status, tally } = parts
  const pages = new PageLoader(options.dashboardDir)
  const assets = new StaticFiles(options.dashboardDir, 'public, max-age=31536000, immutable')

  app.get<{ Querystring: PageQuery }>('/', { config: { page: true } }, async (request, reply) => {
    const { manifest, module } = await pages.load()
    await Promise.race([tally.fill(), options.clock.sleep(COUNT_WAIT_MS)])
    const snapshot = status.snapshot(await status.recent())
    return html(
      reply,
      module.renderDashboard(snapshot, {
        lang: chooseLang(one(request.query.lang), request.headers['accept-language']),
        manifest,
        filter: one(request.query.type) ?? '',
        canLogOut: credentials !== undefined,
      }),
    )
  })

  app.get<{ Params: { file: string } }>('/assets/:file', { config: { open: true } }, async (request, reply) => {
    const { manifest } = await pages.load()
    return assets.send(request, reply, request.params.file, manifest.files)
  })

  const login = async (reply: FastifyReply, lang: LoginOptions['lang'], fault?: LoginOptions['fault']) => {
    const { manifest, module } = await pages.load()
    const { store, id } = options.gateway()
    return html(reply, module.renderLogin({ lang, manifest, shop: store || id, ...(fault === undefined ? {} : { fault }) }))
  }

  app.get<{ Querystring: PageQuery }>('/login', { config: { open: true } }, async (request, reply) => {
    if (credentials === undefined) return reply.redirect('/', 303)
    return login(reply, chooseLang(one(request.query.lang), request.headers['accept-language']))
  })

  void app.register(async (scope) => {
    scope.addContentTypeParser('application/x-www-form-urlencoded', { parseAs: 'string', bodyLimit: 4_096 }, (_request, text, done) =>
      done(null, Object.fromEntries(new URLSearchParams(String(text)))),
    )
    scope.post<{ Body: { secret?: string; lang?: string } | null }>('/login', { config: { open: true } }, async (request, reply) => {
      if (credentials === undefined) return reply.redirect('/', 303)
      const lang = chooseLang(request.body?.lang, request.headers['accept-language'])
      try {
        const cookie = await credentials.login(String(request.body?.secret ?? ''), request.ip)
        return reply.header('set-cookie', cookie).redirect(`/?lang=${lang}`, 303)
      } catch (error) {
        const failure = asFailure(error)
        if (failure instanceof TooManyAttempts) {
          reply.code(429).header('retry-after', String(failure.retrySeconds))
          return login(reply, lang, { kind: 'wait', seconds: failure.retrySeconds })
        }
        if (failure.code !== 'unauthorized') throw failure
        options.log.warn({ address: request.ip }, 'a wrong password at the admin listener')
        return login(reply.code(401), lang, { kind: 'wrong' })
      }
    })
    scope.post('/logout', { config: { open: true } }, async (request, reply) => {
      if (credentials === undefined) throw new Failure('not-found', 'there is no login here')
      return reply.header('set-cookie', credentials.logout(request.headers.cookie)).redirect('/login', 303)
    })
  })
}

const html = (reply: FastifyReply, text: string): FastifyReply =>
  reply
    .type('text/html; charset=utf-8')
    .serializer((page) => page as string)
    .send(text)

/** A query value given twice arrives as a list. */
const one = (value: unknown): string | undefined => (typeof value === 'string' ? value.slice(0, 200) : undefined)
