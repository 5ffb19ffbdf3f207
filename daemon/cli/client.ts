/** The CLI's way into a running daemon: HTTP over the unix socket in its data folder. */
import { request } from 'node:http'
import { join } from 'node:path'
import { findConfig, readSource } from '../config.ts'
import { ERRORS, type ErrorBody, type ErrorCode, Failure } from '../contract/errors.ts'
import type { Json, JsonObject } from '../contract/json.ts'
import type { Io } from './io.ts'

export const SOCKET_NAME = 'shopwire.sock'

/** The socket of the daemon that runs with this config. A config that is broken elsewhere must not hide the daemon. */
export function socketOf(configFile: string | undefined, io: Io): string {
  const file = findConfig(configFile, io.env)
  const source: JsonObject = file === undefined ? {} : readSource(file, io.env)
  const dataDir = typeof source.dataDir === 'string' ? source.dataDir : './data'
  return join(dataDir, SOCKET_NAME)
}

export class DaemonClient {
  readonly #socketPath: string

  constructor(socketPath: string) {
    this.#socketPath = socketPath
  }

  get<Answer>(path: string): Promise<Answer> {
    return this.call<Answer>('GET', path)
  }

  /** Rejects with the daemon's own `Failure`, or `daemon-unreachable`. */
  call<Answer>(
    method: 'GET' | 'POST' | 'DELETE',
    path: string,
    body?: Json,
    allow: (status: number) => boolean = (status) => status < 300,
  ): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const text = body === undefined ? undefined : JSON.stringify(body)
      const call = request(
        {
          socketPath: this.#socketPath,
          method,
          path,
          headers: {
            host: 'localhost',
            ...(text === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }),
          },
        },
        (response) => {
          let answer = ''
          response.setEncoding('utf8')
          response.on('data', (chunk: string) => (answer += chunk))
          response.on('end', () => {
            const parsed = parseAnswer(answer)
            if (allow(response.statusCode ?? 500)) resolve(parsed as Answer)
            else reject(failureOf(parsed, response.statusCode ?? 500))
          })
          response.on('error', reject)
        },
      )
      call.on('error', (error) => reject(this.#unreachable(error)))
      call.end(text)
    })
  }

  /** Server-sent events until the signal or the daemon ends them. */
  stream(path: string, on: (event: string, data: string) => void, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const call = request(
        { socketPath: this.#socketPath, path, headers: { host: 'localhost', accept: 'text/event-stream' } },
        (response) => {
          let buffer = ''
          response.setEncoding('utf8')
          response.on('data', (chunk: string) => {
            buffer += chunk
            for (let end = buffer.indexOf('\n\n'); end >= 0; end = buffer.indexOf('\n\n')) {
              const fields = new Map(
                buffer
                  .slice(0, end)
                  .split('\n')
                  .map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1).trim()]),
              )
              buffer = buffer.slice(end + 2)
              const data = fields.get('data')
              if (data !== undefined) on(fields.get('event') ?? 'message', data)
            }
          })
          response.on('end', resolve)
          response.on('error', () => resolve())
        },
      )
      call.on('error', (error) => (signal.aborted ? resolve() : reject(this.#unreachable(error))))
      signal.addEventListener('abort', () => call.destroy(), { once: true })
      call.end()
    })
  }

  #unreachable(cause: Error): Failure {
    return new Failure(
      'daemon-unreachable',
      `no shopwire daemon answers at ${this.#socketPath}. Is it running? (systemctl status shopwire, or: shopwire run)`,
      [],
      cause,
    )
  }
}

function parseAnswer(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

function failureOf(answer: unknown, status: number): Failure {
  const error = (answer as { error?: ErrorBody } | null)?.error
  if (error && error.code in ERRORS) return new Failure(error.code as ErrorCode, error.message, error.problems ?? [])
  return new Failure('internal', `the daemon answered HTTP ${status}`)
}
