/** The journal file: opened, checked after an unclean end, moved aside when it cannot be trusted. */
import { accessSync, constants, existsSync, statSync } from 'node:fs'
import { copyFile, mkdir, open, readdir, rename, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { Failure } from '../contract/errors.ts'
import type { Sequence } from '../contract/event.ts'
import { ChainCheck, type Gap, genesis } from './chain.ts'
import { Connection, isCorrupt, SqlError, sqlCode } from './connection.ts'
import { unpackRow } from './row.ts'
import { APPLICATION_ID, createSchema, SCHEMA_VERSION, SPACE, SQL, SQLITE_MINIMUM, type Tuning, tune } from './schema.ts'

/** Above this a full check would hold the start up for longer than a shop waits; the newest rows and the small tables are checked then. */
const FULL_CHECK_BYTES = 256 * 1024 * 1024
const TAIL_CHECK_ROWS = 1_000
const SLICE_ROWS = 500
/** Corrupt files kept for whoever looks into it. */
const ASIDE_KEPT = 2

export const size = (file: string): number => {
  try {
    return statSync(file).size
  } catch {
    return 0
  }
}

/** Left when a running journal meets a damaged page: the next start checks everything. */
export const suspectFile = (file: string): string => `${file}-suspect`
/** A salvaged journal on its way to take the place of a corrupt one. */
export const salvagedFile = (file: string): string => `${file}-salvaged`

/** The last run did not close the file: closing checkpoints and removes the WAL. */
export const wasUnclean = (file: string): boolean => size(`${file}-wal`) > 0 || existsSync(suspectFile(file))

export async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

export async function prepareDirectory(file: string): Promise<void> {
  try {
    await mkdir(dirname(file), { recursive: true })
    if (!existsSync(file) && existsSync(salvagedFile(file))) await rename(salvagedFile(file), file)
  } catch (error) {
    throw openFailure(file, error)
  }
}

/**
 * Opens the file and, where it is empty, makes it a journal. Throws an `SqlError` for which `isCorrupt` holds when the
 * content is damaged, a `Failure` when the file is another program's or of a newer version.
 */
export async function openFile(file: string, tuning: Tuning, create: boolean): Promise<Connection> {
  const connection = await Connection.open(file, tuning.powerSafeOverwrite)
  try {
    // Before anything is read: the first read would else map a `-shm` file, for which a full disk has no room.
    await connection.exec('PRAGMA locking_mode = EXCLUSIVE')
    await checkVersion(connection)
    const tables = Number(await connection.value('SELECT count(*) FROM sqlite_schema'))
    if (tables === 0) {
      if (!create) throw new SqlError('SQLITE_CORRUPT', 'the journal file has lost its content')
      await connection.exec(`PRAGMA synchronous = ${tuning.synchronous}`)
      await createSchema(connection)
      if (tuning.synchronous === 'FULL') await syncDirectory(dirname(file))
    } else await checkOwner(connection, file)
    await tune(connection, tuning)
    // A disk that became read-only, and a file somebody else holds, show here and not at the first sale.
    await connection.exec('BEGIN IMMEDIATE; ROLLBACK;')
    return connection
  } catch (error) {
    await connection.close().catch(() => undefined)
    throw error
  }
}

async function checkVersion(connection: Connection): Promise<void> {
  const version = String(await connection.value('SELECT sqlite_version()'))
  const parts = version.split('.').map(Number)
  for (const [index, least] of SQLITE_MINIMUM.entries()) {
    const part = parts[index] ?? 0
    if (part > least) return
    if (part < least) throw new Failure('journal-failed', `SQLite ${version} is too old: ${SQLITE_MINIMUM.join('.')} or newer is needed`)
  }
}

async function checkOwner(connection: Connection, file: string): Promise<void> {
  const owner = await connection.value('PRAGMA application_id')
  if (owner !== APPLICATION_ID) throw new Failure('journal-failed', `${file} is an SQLite file of another program, not a journal`)
  const version = Number(await connection.value('PRAGMA user_version'))
  if (version > SCHEMA_VERSION) {
    throw new Failure('journal-failed', `${file} was written by a newer shopwire (schema ${version}, known ${SCHEMA_VERSION})`)
  }
}

/** After an unclean end. Throws for which `isCorrupt` holds when something is wrong. */
export async function checkContent(connection: Connection, file: string): Promise<void> {
  const tables = size(file) <= FULL_CHECK_BYTES || existsSync(suspectFile(file)) ? [undefined] : ['kv', 'gap', 'origin']
  for (const table of tables) {
    const answer = await connection.value(table ? `PRAGMA quick_check(${table})` : 'PRAGMA quick_check')
    if (answer !== 'ok') throw new SqlError('SQLITE_CORRUPT', String(answer))
  }
  const head = Number((await connection.value('SELECT max(seq) FROM event')) ?? 0)
  const broken = await checkChain(() => connection, Math.max(0, head - TAIL_CHECK_ROWS), head)
  if (broken.broken !== undefined) throw new SqlError('SQLITE_CORRUPT', `event ${broken.broken} does not fit the hash chain`)
  await rm(suspectFile(file), { force: true })
}

/**
 * Recomputes the chain over the rows after `from`. `turn` runs one slice at a time: commits and retention may come in
 * between, so each slice asks for the gaps anew.
 */
export async function checkChain(
  connection: () => Connection,
  from: Sequence,
  head: Sequence,
  turn: <Result>(slice: () => Promise<Result>) => Promise<Result> = (slice) => slice(),
): Promise<{ checked: number; broken?: Sequence }> {
  const check = await turn(() => chainStart(connection(), from))
  if (!check) return { checked: 0 }
  for (let more = true; more; ) {
    const broken = await turn(async () => {
      const gaps = await connection().all<Gap>(SQL.gapsAfter, check.sequence)
      const rows = await connection().all<{ seq: number; row: string }>(SQL.readChain, check.sequence, head, SLICE_ROWS)
      let next = 0
      for (const row of rows) {
        while (next < gaps.length && (gaps[next]?.first ?? 0) < row.seq) check.skip(gaps[next++] as Gap)
        const parts = unpackRow(row.row)
        if (!parts || !check.row(row.seq, parts.text, parts.hash)) return row.seq
      }
      more = rows.length === SLICE_ROWS
      if (!more) for (const gap of gaps.slice(next)) check.skip(gap)
      return undefined
    })
    if (broken !== undefined) return { checked: check.checked, broken }
  }
  return check.sequence >= head ? { checked: check.checked } : { checked: check.checked, broken: check.sequence + 1 }
}

/** Begins at a row whose hash is taken as it is, or at the epoch's own. */
async function chainStart(connection: Connection, from: Sequence): Promise<ChainCheck | undefined> {
  if (from === 0) {
    const epoch = await connection.value(SQL.getKey, SPACE, 'epoch')
    if (epoch === undefined) throw new SqlError('SQLITE_CORRUPT', 'the journal has no epoch')
    return new ChainCheck(0, genesis(JSON.parse(String(epoch)) as string))
  }
  const [row] = await connection.all<{ seq: number; hash: string }>(SQL.rowFrom, from)
  return row && new ChainCheck(row.seq, row.hash)
}

/**
 * After a failed sync the kernel may show rows of the WAL that it will never write: it has dropped their pages' dirty
 * marks. A copy under the same name is written and synced anew, so what is read back from it is also on the disk.
 */
export async function rewriteWal(file: string): Promise<void> {
  const wal = `${file}-wal`
  if (size(wal) === 0) return
  const copy = `${wal}-copy`
  await copyFile(wal, copy)
  const handle = await open(copy, 'r+')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
  await rename(copy, wal)
  await syncDirectory(dirname(file))
}

/** Moves the file and its WAL to `…corrupt-<n>` and puts `replacement` in its place. Returns the new name. */
export async function moveAside(file: string, replacement: string): Promise<string> {
  const directory = dirname(file)
  const stem = basename(file).replace(/\.[^.]*$/, '')
  const number = (name: string): number => {
    const tail = name.startsWith(`${stem}.corrupt-`) ? name.slice(`${stem}.corrupt-`.length) : ''
    return /^\d+$/.test(tail) ? Number(tail) : 0
  }
  const taken = (await readdir(directory)).map(number).filter((one) => one > 0)
  const next = Math.max(0, ...taken) + 1
  const aside = join(directory, `${stem}.corrupt-${next}`)
  await rename(file, aside)
  if (existsSync(`${file}-wal`)) await rename(`${file}-wal`, `${aside}-wal`)
  await rm(`${file}-shm`, { force: true })
  if (existsSync(`${replacement}-wal`)) throw new Failure('journal-failed', `${replacement} was not closed`)
  await rename(replacement, file)
  await rm(suspectFile(file), { force: true })
  await syncDirectory(directory)
  for (const old of taken.filter((one) => one <= next - ASIDE_KEPT)) {
    await rm(join(directory, `${stem}.corrupt-${old}`), { force: true })
    await rm(join(directory, `${stem}.corrupt-${old}-wal`), { force: true })
  }
  return aside
}

function writable(file: string): boolean {
  try {
    accessSync(existsSync(file) ? file : dirname(file), constants.W_OK)
    return true
  } catch (error) {
    return !['EROFS', 'EACCES', 'EPERM'].includes((error as NodeJS.ErrnoException).code ?? '')
  }
}

/** One clear sentence for whoever reads the log of a gateway that does not start. */
export function openFailure(file: string, error: unknown): Failure {
  if (error instanceof Failure) return error
  const code = sqlCode(error) || ((error as NodeJS.ErrnoException | undefined)?.code ?? '')
  const message = error instanceof Error ? error.message : String(error)
  // SQLite calls a read-only disk many names, an I/O error among them.
  if (!writable(file))
    return new Failure('journal-failed', `${file} cannot be written: the disk or the folder is read-only for this user`, [], error)
  if (isCorrupt(error)) return new Failure('journal-corrupt', `${file} is damaged: ${message}`, [], error)
  switch (code) {
    case 'SQLITE_FULL':
    case 'ENOSPC':
    case 'EDQUOT':
      return new Failure('journal-full', `no room on the disk for ${file}: free some and start again`, [], error)
    case 'SQLITE_BUSY':
    case 'SQLITE_LOCKED':
      return new Failure('journal-failed', `${file} is in use by another process: one gateway at a time`, [], error)
    case 'SQLITE_CANTOPEN':
    case 'SQLITE_READONLY':
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
    case 'ENOTDIR':
    case 'EISDIR':
      return new Failure(
        'journal-failed',
        `${file} cannot be written: is the disk read-only, is the folder this user's? (${message})`,
        [],
        error,
      )
    default:
      return new Failure('journal-failed', `${file} cannot be opened: ${message}`, [], error)
  }
}
