/**
 * Who was online when, and under which address: for the law alone. Its own key, its own retention, off by default, read by nobody but who
 * has the key. One file a day, one sealed record a line; a line's number is sealed with it, so none can be taken out or moved unseen.
 */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import { appendFile, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Failure } from '../../../daemon/contract/errors.ts'
import type { JsonObject } from '../../../daemon/contract/json.ts'
import type { ComplianceConfig } from '../config.ts'
import { secretOf } from '../files.ts'

const NAME = /^connections-(\d{4}-\d{2}-\d{2})\.log$/
const IV_BYTES = 12
const TAG_BYTES = 16
const DAY_MS = 86_400_000

export interface ConnectionRecord {
  at: string
  what: 'started' | 'ended'
  session: string
  visitor: string
  mac: string
  ip?: string
  method?: string
  seconds?: number
  bytesUp?: number
  bytesDown?: number
}

export class ConnectionLog {
  readonly #dir: string
  readonly #key: Buffer
  /** Lines in the day's file; read when the day is first written to. */
  readonly #lines = new Map<string, number>()
  #tail: Promise<void> = Promise.resolve()

  /** Throws `config-invalid` or `secret-unreadable`. */
  constructor(config: Pick<ComplianceConfig, 'dir' | 'keyFile'>) {
    if (config.dir === undefined || config.keyFile === undefined)
      throw new Failure('config-invalid', 'plugins.portal.compliance: dir and keyFile are needed when it is enabled')
    const key = Buffer.from(secretOf('plugins.portal.compliance.keyFile', undefined, config.keyFile) ?? '', 'hex')
    if (key.length !== 32)
      throw new Failure(
        'secret-unreadable',
        `plugins.portal.compliance.keyFile: ${config.keyFile} must hold 64 hex digits (openssl rand -hex 32)`,
      )
    this.#dir = config.dir
    this.#key = key
  }

  /** Resolves once it is in the file. */
  append(record: ConnectionRecord): Promise<void> {
    return this.#inOrder(async () => {
      const day = record.at.slice(0, 10)
      const line = this.#lines.get(day) ?? (await this.#sealed(day)).length
      if (line === 0) await mkdir(this.#dir, { recursive: true, mode: 0o700 })
      await appendFile(this.#file(day), `${this.#seal(day, line, JSON.stringify(record))}\n`, { mode: 0o600 })
      this.#lines.set(day, line + 1)
    })
  }

  /** Writes the records of `from` to `to`, both included, in clear into a file of the log's folder. Rejects with `journal-corrupt` where a line is not what was written. */
  export(from: string, to: string): Promise<{ file: string; records: number }> {
    return this.#inOrder(async () => {
      const lines: string[] = []
      for (const day of await this.#days()) {
        if (day < from || day > to) continue
        lines.push(...(await this.#records(day)))
      }
      await mkdir(this.#dir, { recursive: true, mode: 0o700 })
      const file = join(this.#dir, `export-${from}-${to}.ndjson`)
      await writeFile(`${file}.new`, lines.map((one) => `${one}\n`).join(''), { mode: 0o600 })
      await rename(`${file}.new`, file)
      return { file, records: lines.length }
    })
  }

  /** Takes a visitor's records out; resolves with how many. */
  erase(visitors: ReadonlySet<string>): Promise<number> {
    return this.#inOrder(async () => {
      let erased = 0
      for (const day of await this.#days()) {
        const before = await this.#records(day)
        const kept = before.filter((line) => !visitors.has((JSON.parse(line) as ConnectionRecord).visitor))
        if (kept.length === before.length) continue
        erased += before.length - kept.length
        const file = this.#file(day)
        await writeFile(`${file}.new`, kept.map((line, at) => `${this.#seal(day, at, line)}\n`).join(''), { mode: 0o600 })
        await rename(`${file}.new`, file)
        this.#lines.set(day, kept.length)
      }
      return erased
    })
  }

  /** Removes files older than `days`, and exports of yesterday. */
  prune(days: number, wall: number): Promise<void> {
    return this.#inOrder(async () => {
      const oldest = new Date(wall - days * DAY_MS).toISOString().slice(0, 10)
      for (const day of await this.#days()) {
        if (day >= oldest) continue
        await rm(this.#file(day), { force: true })
        this.#lines.delete(day)
      }
    })
  }

  #inOrder<Result>(work: () => Promise<Result>): Promise<Result> {
    const done = this.#tail.then(work)
    this.#tail = done.then(
      () => {},
      () => {},
    )
    return done
  }

  #file(day: string): string {
    return join(this.#dir, `connections-${day}.log`)
  }

  async #days(): Promise<string[]> {
    const names = await readdir(this.#dir).catch(() => [])
    return names.flatMap((name) => NAME.exec(name)?.[1] ?? []).sort()
  }

  async #sealed(day: string): Promise<string[]> {
    const text = await readFile(this.#file(day), 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return ''
      throw error
    })
    const lines = text.split('\n')
    // The last piece is empty, or half a line that a power cut left: it is overwritten by nothing and told as what it is.
    return lines.slice(0, -1)
  }

  async #records(day: string): Promise<string[]> {
    return (await this.#sealed(day)).map((line, at) => this.#open(day, at, line))
  }

  #seal(day: string, line: number, text: string): string {
    const iv = randomBytes(IV_BYTES)
    const cipher = createCipheriv('aes-256-gcm', this.#key, iv).setAAD(Buffer.from(`${day} ${line}`))
    return Buffer.concat([iv, cipher.update(text, 'utf8'), cipher.final(), cipher.getAuthTag()]).toString('base64')
  }

  #open(day: string, line: number, sealed: string): string {
    const bytes = Buffer.from(sealed, 'base64')
    try {
      const decipher = createDecipheriv('aes-256-gcm', this.#key, bytes.subarray(0, IV_BYTES)).setAAD(Buffer.from(`${day} ${line}`))
      decipher.setAuthTag(bytes.subarray(-TAG_BYTES))
      return Buffer.concat([decipher.update(bytes.subarray(IV_BYTES, -TAG_BYTES)), decipher.final()]).toString('utf8')
    } catch {
      throw new Failure('journal-corrupt', `${this.#file(day)}, line ${line + 1}: was changed, or written under another key`)
    }
  }
}

/** For the `connections` command where there is no log. */
export const noLog = (): JsonObject => {
  throw new Failure('device-unsupported', 'this shop keeps no connection log: plugins.portal.compliance.enabled is false')
}
