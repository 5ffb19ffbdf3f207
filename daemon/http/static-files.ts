/** Sends files of one folder, of a fixed list only: no path is ever built from what a caller says. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { Failure } from '../contract/errors.ts'

const TYPES: Record<string, string> = {
  js: 'text/javascript; charset=utf-8',
  css: 'text/css; charset=utf-8',
  svg: 'image/svg+xml; charset=utf-8',
  png: 'image/png',
}

export class StaticFiles {
  readonly #dir: string
  readonly #cacheControl: string

  constructor(dir: string, cacheControl: string) {
    this.#dir = dir
    this.#cacheControl = cacheControl
  }

  /** Sends `name` if it is one of `allowed`, in the smallest form that lies there and the caller takes. */
  async send(request: FastifyRequest, reply: FastifyReply, name: string, allowed: readonly string[]): Promise<FastifyReply> {
    const type = TYPES[name.slice(name.lastIndexOf('.') + 1)]
    if (!allowed.includes(name) || type === undefined) throw new Failure('not-found', 'there is nothing at this address')
    const accepted = new Set((request.headers['accept-encoding'] ?? '').split(',').map((one) => one.trim().split(';')[0]))
    reply.header('vary', 'accept-encoding').header('cache-control', this.#cacheControl).type(type)
    for (const [coding, ending] of [
      ['br', '.br'],
      ['gzip', '.gz'],
    ] as const) {
      const packed = accepted.has(coding) ? await this.#read(name + ending) : undefined
      if (packed) return reply.header('content-encoding', coding).send(packed)
    }
    const plain = await this.#read(name)
    if (!plain) throw new Failure('not-found', 'there is nothing at this address')
    return reply.send(plain)
  }

  async #read(name: string): Promise<Buffer | undefined> {
    try {
      return await readFile(join(this.#dir, name))
    } catch {
      return undefined
    }
  }
}
