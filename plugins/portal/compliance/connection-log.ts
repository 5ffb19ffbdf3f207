/**
 * Who was online when, and under which address: for the law alone. Its own key, its own retention, off by default, read by nobody but who
 * has the key. One file a day, one sealed record a line; a line's number is sealed with it, so none can be changed, moved, or taken out of the
 * middle unseen. That the last lines of a day, or a whole day, were taken away is not seen.
 */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import { mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { Failure } from '../../../daemon/contract/errors.ts'
import type { JsonObject } from '../../../daemon/contract/json.ts'
import type { ComplianceConfig } from '../config.ts'
import { secretOf } from '../files.ts'

const NAME = /^connections-(\d{4}-\d{2}-\d{2})\.log$/
const EXPORT = /^export-.*\.ndjson(\.new)?$/
const IV_BYTES = 12
const TAG_BYTES = 16
const DAY_MS = 86_400_000
/** Stands where a record was that has been erased: the others keep their numbers. */
const ERASED = JSON.stringify({ erased: true })

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

/** A line that is not what was written there. */
export type Damage = { day: string; line: number }

export interface Exported {
  file: string
  records: number
  /** Left out of the file, since nobody can read them: changed, or written under another key. */
  damaged: Damage[]
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

  /** Resolves once a power cut cannot take it any more. */
  append(record: ConnectionRecord): Promise<void> {
    return this.#inOrder(async () => {
      const day = record.at.slice(0, 10)
      const line = this.#lines.get(day) ?? (await this.#begin(day))
      // Unknown until it is written: after a failure the file is looked at anew.
      this.#lines.delete(day)
      await write(this.#file(day), 'a', `${this.#seal(day, line, JSON.stringify(record))}\n`)
      this.#lines.set(day, line + 1)
    })
  }

  /**
   * Writes the records of `from` to `to`, both included, in clear into a file of the log's folder, which is removed a day later. What cannot be
   * read is named, and does not keep the rest from being read.
   */
  export(from: string, to: string): Promise<Exported> {
    return this.#inOrder(async () => {
      const lines: string[] = []
      const damaged: Damage[] = []
      for (const day of await this.#days()) {
        if (day < from || day > to) continue
        for (const [at, sealed] of (await this.#sealed(day)).entries()) {
          const text = this.#open(day, at, sealed)
          if (text === undefined) damaged.push({ day, line: at + 1 })
          else if (text !== ERASED) lines.push(text)
        }
      }
      await mkdir(this.#dir, { recursive: true, mode: 0o700 })
      const file = join(this.#dir, `export-${from}-${to}.ndjson`)
      await write(`${file}.new`, 'w', lines.map((one) => `${one}\n`).join(''))
      await rename(`${file}.new`, file)
      return { file, records: lines.length, damaged }
    })
  }

  /** Takes a visitor's records out, and exports, which may hold them; resolves with how many. A line that cannot be read stays as it is. */
  erase(visitors: ReadonlySet<string>): Promise<number> {
    return this.#inOrder(async () => {
      let erased = 0
      for (const day of await this.#days()) {
        let here = 0
        const lines = (await this.#sealed(day)).map((sealed, at) => {
          const text = this.#open(day, at, sealed)
          if (text === undefined || text === ERASED || !visitors.has((JSON.parse(text) as ConnectionRecord).visitor)) return sealed
          here += 1
          return this.#seal(day, at, ERASED)
        })
        if (here === 0) continue
        erased += here
        const file = this.#file(day)
        await write(`${file}.new`, 'w', lines.map((one) => `${one}\n`).join(''))
        await rename(`${file}.new`, file)
      }
      await this.#removeExports(Number.POSITIVE_INFINITY)
      return erased
    })
  }

  /** Removes files that were older than `days` at `date`, and exports older than a day. */
  prune(days: number, date: number, wall: number): Promise<void> {
    return this.#inOrder(async () => {
      const oldest = new Date(date - days * DAY_MS).toISOString().slice(0, 10)
      for (const day of await this.#days()) {
        if (day >= oldest) continue
        await rm(this.#file(day), { force: true })
        this.#lines.delete(day)
      }
      await this.#removeExports(wall - DAY_MS)
    })
  }

  /** Those written before `wall`. They hold addresses in the clear. */
  async #removeExports(wall: number): Promise<void> {
    for (const name of await readdir(this.#dir).catch(() => [])) {
      const file = join(this.#dir, name)
      if (EXPORT.test(name) && (await stat(file)).mtimeMs < wall) await rm(file, { force: true })
    }
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

  /** Makes the day's file ready to be written on; resolves with how many lines it has. Half a line that a power cut left goes. */
  async #begin(day: string): Promise<number> {
    await mkdir(this.#dir, { recursive: true, mode: 0o700 })
    const lines = await this.#sealed(day)
    const length = lines.reduce((sum, line) => sum + line.length + 1, 0)
    const file = await open(this.#file(day), 'a', 0o600)
    try {
      await file.truncate(length)
    } finally {
      await file.close()
    }
    return lines.length
  }

  async #sealed(day: string): Promise<string[]> {
    const text = await readFile(this.#file(day), 'latin1').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return ''
      throw error
    })
    // The last piece is empty, or half a line that a power cut left.
    return text.split('\n').slice(0, -1)
  }

  #seal(day: string, line: number, text: string): string {
    const iv = randomBytes(IV_BYTES)
    const cipher = createCipheriv('aes-256-gcm', this.#key, iv).setAAD(Buffer.from(`${day} ${line}`))
    return Buffer.concat([iv, cipher.update(text, 'utf8'), cipher.final(), cipher.getAuthTag()]).toString('base64')
  }

  /** Undefined for a line that was changed or moved, or written under another key. */
  #open(day: string, line: number, sealed: string): string | undefined {
    const bytes = Buffer.from(sealed, 'base64')
    if (bytes.length < IV_BYTES + TAG_BYTES) return undefined
    try {
      const decipher = createDecipheriv('aes-256-gcm', this.#key, bytes.subarray(0, IV_BYTES)).setAAD(Buffer.from(`${day} ${line}`))
      decipher.setAuthTag(bytes.subarray(-TAG_BYTES))
      return Buffer.concat([decipher.update(bytes.subarray(IV_BYTES, -TAG_BYTES)), decipher.final()]).toString('utf8')
    } catch {
      return undefined
    }
  }
}

async function write(path: string, how: 'a' | 'w', text: string): Promise<void> {
  const file = await open(path, how, 0o600)
  try {
    await file.writeFile(text)
    await file.datasync()
  } finally {
    await file.close()
  }
}

/** For the `connections` command where there is no log. */
export const noLog = (): JsonObject => {
  throw new Failure('device-unsupported', 'this shop keeps no connection log: plugins.portal.compliance.enabled is false')
}
