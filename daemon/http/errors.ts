/** Whatever goes wrong leaves as `{error: {code, message, problems?}}`, with the status of the one table. */
import type { Socket } from 'node:net'
import type { FastifyError, FastifyReply } from 'fastify'
import { ERRORS, type ErrorCode, Failure, type Problem } from '../contract/errors.ts'
import type { Log } from '../log.ts'

export function sendFailure(reply: FastifyReply, failure: Failure): FastifyReply {
  return reply.code(ERRORS[failure.code].http).type('application/json; charset=utf-8').send({ error: failure.toBody() })
}

/** Carries a schema check's problems out of the validator. */
export class RequestInvalid extends Error {
  readonly problems: readonly Problem[]

  constructor(problems: readonly Problem[]) {
    super(problems.map((one) => `${one.path}: ${one.message}`).join('; '))
    this.problems = problems
  }
}

/** Fastify's own errors and everything thrown in a route, as a `Failure`. Defects are logged and told without details. */
export function failureOf(error: FastifyError | Error, log: Log, url: string): Failure {
  if (error instanceof Failure) {
    if (error.code === 'internal') log.error({ url, error: error.message }, 'a request failed')
    return error
  }
  if (error instanceof RequestInvalid) return new Failure('payload-malformed', error.message, error.problems)
  const { statusCode, code } = error as FastifyError
  if (code === 'FST_ERR_CTP_BODY_TOO_LARGE') return new Failure('payload-too-large', 'the body is larger than 1 MB')
  if (code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE') return new Failure('payload-malformed', 'the body must be application/json')
  if (code === 'FST_ERR_BAD_URL' || code === 'FST_ERR_MAX_PARAM_LENGTH') return new Failure('not-found', 'there is nothing at this address')
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500) return new Failure('payload-malformed', error.message)
  log.error({ url, error: error.stack ?? error.message }, 'a request failed')
  return new Failure('internal', ERRORS.internal.means)
}

/** What never became a request: broken or too slow HTTP. Answered on the bare socket, which is then closed. */
export function refuseSocket(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy()
    return
  }
  const [status, code, message] = SOCKET_ERRORS[error.code ?? ''] ?? ['400 Bad Request', 'payload-malformed', 'this is not HTTP/1.1']
  const body = JSON.stringify({ error: { code, message } })
  socket.end(
    `HTTP/1.1 ${status}\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`,
    () => socket.destroy(),
  )
}

const SOCKET_ERRORS: Record<string, [status: string, code: ErrorCode, message: string]> = {
  HPE_HEADER_OVERFLOW: ['431 Request Header Fields Too Large', 'payload-too-large', 'the headers are larger than 8 KB'],
  ERR_HTTP_REQUEST_TIMEOUT: ['408 Request Timeout', 'payload-malformed', 'the request did not come in time'],
}
