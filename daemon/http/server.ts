/** The admin listener: one Fastify application, reached by TCP and by the unix socket. */
import type { Server } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import Fastify, { type FastifyInstance, type FastifyRequest } from 'fastify'
import { parseListen } from '../config.ts'
import { Failure } from '../contract/errors.ts'
import { type HttpLimits, type HttpOptions, type HttpServer, LIMITS } from './api.ts'
import { Credentials, TooManyAttempts } from './credentials.ts'
import { failureOf, refuseSocket, sendFailure } from './errors.ts'
import { Guard } from './guard.ts'
import type { RouteParts } from './parts.ts'
import { apiRoutes } from './routes/api.ts'
import { docsRoutes } from './routes/docs.ts'
import { pageRoutes } from './routes/pages.ts'
import { setCompilers } from './schema-compiler.ts'
import { listenOnSocket } from './socket.ts'
import { StatusView } from './status.ts'
import { StreamHub } from './stream-hub.ts'
import { Tally } from './tally.ts'

/** What is being answered when the daemon stops may take this long; then its connection is cut. */
const GRACE_MS = 1_000

export function createHttp(options: HttpOptions): HttpServer {
  const tally = new Tally(options.journal, options.clock, options.log)
  let built: Application | undefined
  let unix: Server | undefined

  return {
    async start() {
      built = buildApp(options, tally)
      const { app, local } = built
      await app.ready()
      tally.start()
      try {
        unix = await listenOnSocket(options.socketFile, (request, response) => app.routing(request, response))
        unix.on('connection', (socket) => local.add(socket))
        const { host, port } = parseListen(options.config.listen)
        await app.listen({ host, port }).catch((error: NodeJS.ErrnoException) => {
          throw new Failure(
            'port-taken',
            `http.listen: cannot listen on ${options.config.listen}: ${error.code ?? error.message}`,
            [],
            error,
          )
        })
      } catch (error) {
        await this.stop()
        throw error
      }
      options.log.info({ listen: options.config.listen, port: this.port() }, 'admin listener ready')
    },

    async stop() {
      tally.stop()
      built?.hub.stop()
      const socketServer = unix
      unix = undefined
      if (socketServer?.listening) {
        const closed = new Promise<void>((resolve) => socketServer.close(() => resolve()))
        socketServer.closeAllConnections()
        await closed
      }
      const app = built?.app
      built = undefined
      if (!app) return
      const cancel = options.clock.timer(GRACE_MS, () => app.server.closeAllConnections())
      await app.close()
      cancel()
    },

    port() {
      const address = built?.app.server.address() as AddressInfo | null | undefined
      return address?.port ?? 0
    },
  }
}

interface Application extends Pick<RouteParts, 'hub'> {
  app: FastifyInstance
  /** Sockets of the unix listener. */
  local: WeakSet<Socket>
}

/** All but the listeners. Rejects (throws) with `secret-unreadable`. */
function buildApp(options: HttpOptions, tally: Tally): Application {
  const limits: HttpLimits = { ...LIMITS, ...options.limits }
  const { log } = options
  const local = new WeakSet<Socket>()
  const trusted = (request: FastifyRequest) => local.has(request.raw.socket)
  const credentials = Credentials.load(options.config, options.clock)
  const guard = new Guard({ listen: options.config.listen, credentials, trusted })
  const status = new StatusView(options, tally)
  const hub = new StreamHub(options, limits, status)

  const app = Fastify({
    logger: false,
    bodyLimit: limits.bodyBytes,
    requestTimeout: limits.requestMs,
    connectionTimeout: 120_000,
    keepAliveTimeout: 30_000,
    forceCloseConnections: 'idle',
    return503OnClosing: true,
    http: { maxHeaderSize: 8_192, headersTimeout: limits.headersMs, connectionsCheckingInterval: limits.checkMs },
    clientErrorHandler: (error, socket) => refuseSocket(error as NodeJS.ErrnoException, socket as Socket),
    frameworkErrors: (error, request, reply) => void sendFailure(reply, failureOf(error, log, request.url)),
    routerOptions: { maxParamLength: 200 },
  })
  app.server.maxConnections = limits.connections
  setCompilers(app)
  app.addHook('onRequest', (request, reply) => guard.check(request, reply))
  app.setErrorHandler<Error>((error, request, reply) => {
    const failure = failureOf(error, log, request.routeOptions.url ?? 'unknown')
    if (failure instanceof TooManyAttempts) reply.header('retry-after', String(failure.retrySeconds))
    return sendFailure(reply, failure)
  })
  app.setNotFoundHandler((_request, reply) => sendFailure(reply, new Failure('not-found', 'there is nothing at this address')))

  const parts: RouteParts = { options, limits, guard, credentials, status, tally, hub, trusted }
  apiRoutes(app, parts)
  docsRoutes(app, parts)
  pageRoutes(app, parts)
  return { app, hub, local }
}
