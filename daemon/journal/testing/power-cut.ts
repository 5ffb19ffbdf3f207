/**
 * What a power cut leaves. A process is recorded by strace; then, for any moment, files are rebuilt in which what was
 * synced is there, and each write that was not is there, missing, cut short, torn, or has spoilt its whole flash sector.
 */
import { spawn } from 'node:child_process'
import { createReadStream } from 'node:fs'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { createInterface } from 'node:readline'

type Operation =
  | { do: 'write'; file: string; at: number; data: Buffer }
  | { do: 'truncate'; file: string; size: number }
  | { do: 'create'; file: string }
  | { do: 'remove'; file: string }
  | { do: 'sync'; file: string }
  | { do: 'sync-directory' }
  | { do: 'acknowledge'; number: number }

export type Recording = readonly Operation[]

const CALLS = 'openat,pwrite64,write,fsync,fdatasync,ftruncate,unlink'

/** Runs `command` to its end under strace. Only files of `dir` whose names start with `journal` are followed, and `acknowledged`. */
export async function record(dir: string, command: readonly string[], trace: string): Promise<Recording> {
  const child = spawn(
    'strace',
    ['-f', '-y', '-xx', '-s', '2000000', '--seccomp-bpf', '-qq', '-e', `trace=${CALLS}`, '-e', 'signal=none', '-o', trace, ...command],
    { stdio: ['ignore', 'inherit', 'inherit'], env: { ...process.env, UV_THREADPOOL_SIZE: '1' } },
  )
  const code = await new Promise<number | null>((resolve, reject) => child.once('error', reject).once('exit', resolve))
  if (code !== 0) throw new Error(`the recorded process ended with ${code}`)
  const operations: Operation[] = []
  const unfinished = new Map<string, string>()
  for await (const line of createInterface({ input: createReadStream(trace) })) {
    const [, thread = '', rest = ''] = /^(\d+)\s+(.*)$/.exec(line) ?? []
    if (rest.endsWith('<unfinished ...>')) {
      unfinished.set(thread, rest.slice(0, -'<unfinished ...>'.length).trimEnd())
      continue
    }
    const resumed = /^<\.\.\. \w+ resumed>(.*)$/.exec(rest)
    const call = resumed ? `${unfinished.get(thread) ?? ''}${resumed[1]}` : rest
    const operation = parse(dir, call)
    if (operation) operations.push(operation)
  }
  await rm(trace)
  return operations
}

const bytes = (hex: string): Buffer => Buffer.from(hex.replaceAll('\\x', ''), 'hex')

function parse(dir: string, call: string): Operation | undefined {
  const [, name, parameters = '', result = ''] = /^(\w+)\((.*)\)\s+= (-?\d+)/s.exec(call) ?? []
  if (!name || Number(result) < 0) return undefined
  if (name === 'openat' || name === 'unlink') {
    const path = bytes(/"([^"]*)"/.exec(parameters)?.[1] ?? '').toString()
    if (!inside(dir, path)) return undefined
    if (name === 'unlink') return { do: 'remove', file: basename(path) }
    return parameters.includes('O_CREAT') ? { do: 'create', file: basename(path) } : undefined
  }
  const [, shown = '', rest = ''] = /^\d+<([^>]*)>(?:, )?(.*)$/s.exec(parameters) ?? []
  const path = shown.includes('\\x') ? bytes(shown).toString() : shown
  if (name === 'fsync' && path === dir) return { do: 'sync-directory' }
  if (basename(path) === 'acknowledged' && name === 'write') {
    return { do: 'acknowledge', number: Number.parseInt(bytes(/"([^"]*)"/.exec(rest)?.[1] ?? '').toString(), 10) }
  }
  if (!inside(dir, path)) return undefined
  const file = basename(path)
  if (name === 'fsync' || name === 'fdatasync') return { do: 'sync', file }
  if (name === 'ftruncate') return { do: 'truncate', file, size: Number(rest) }
  if (name === 'pwrite64') {
    const [, hex = '', at = ''] = /^"([^"]*)", \d+, (\d+)$/.exec(rest) ?? []
    return { do: 'write', file, at: Number(at), data: bytes(hex).subarray(0, Number(result)) }
  }
  return undefined
}

/** The wal-index is never read after a crash, and the ballast holds nothing. */
const inside = (dir: string, path: string): boolean =>
  path.startsWith(join(dir, 'journal')) && !path.endsWith('-shm') && !path.endsWith('-ballast')

/** mulberry32: a seed gives the same cut again. */
export function random(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

interface Disk {
  /** Names that survive; a directory sync makes the present ones sure. */
  sure: Map<string, Inode>
  names: Map<string, Inode>
}

interface Inode {
  synced: Buffer
  pending: Exclude<Operation, { do: 'acknowledge' | 'sync-directory' | 'sync' | 'create' | 'remove' }>[]
}

const SECTOR = 512
const FLASH_SECTOR = 4_096

function grow(content: Buffer, size: number): Buffer {
  if (content.length >= size) return content
  const grown = Buffer.alloc(size)
  content.copy(grown)
  return grown
}

function apply(content: Buffer, operation: Inode['pending'][number]): Buffer {
  if (operation.do === 'truncate')
    return operation.size <= content.length ? content.subarray(0, operation.size) : grow(content, operation.size)
  const grown = grow(content, operation.at + operation.data.length)
  operation.data.copy(grown, operation.at)
  return grown
}

function damaged(content: Buffer, operation: Inode['pending'][number], next: () => number, spoil: boolean): Buffer {
  const fate = next()
  if (fate < 0.3) return content
  if (operation.do === 'truncate' || fate < 0.55) return apply(content, operation)
  const { at, data } = operation
  if (spoil && fate > 0.9) {
    const from = Math.floor(at / FLASH_SECTOR) * FLASH_SECTOR
    const to = Math.ceil((at + data.length) / FLASH_SECTOR) * FLASH_SECTOR
    const grown = grow(content, to)
    for (let index = from; index < to; index += 1) grown[index] = Math.floor(next() * 256)
    return grown
  }
  if (fate < 0.75) {
    const length = Math.floor(next() * data.length)
    return length === 0 ? content : apply(content, { do: 'write', file: operation.file, at, data: data.subarray(0, length) })
  }
  let torn = grow(content, at + data.length)
  for (let offset = 0; offset < data.length; offset += SECTOR) {
    if (next() < 0.5)
      torn = apply(torn, { do: 'write', file: operation.file, at: at + offset, data: data.subarray(offset, offset + SECTOR) })
  }
  return torn
}

/** All that the recorded process had been told is durable when the power went. */
export interface Cut {
  moment: number
  seed: number
  acknowledged: number[]
}

/**
 * Rebuilds `cuts` states, one after the other, in `dir`, and has each looked at. `keepAll`: nothing unsynced is lost,
 * which is what kill -9 leaves.
 */
export async function cutPower(
  recording: Recording,
  dir: string,
  options: { cuts: number; seed: number; spoil: boolean; keepAll?: boolean },
  look: (cut: Cut) => Promise<void>,
): Promise<void> {
  const next = random(options.seed)
  // The last of them after everything that was recorded.
  const moments = Array.from({ length: options.cuts }, (_, index) =>
    index === 0 ? recording.length : Math.floor(next() * (recording.length + 1)),
  ).sort((a, b) => a - b)
  const disk: Disk = { sure: new Map(), names: new Map() }
  const acknowledged: number[] = []
  let done = 0
  for (const [index, moment] of moments.entries()) {
    for (; done < moment; done += 1) advance(disk, acknowledged, recording[done])
    const seed = options.seed * 100_003 + index
    await rm(dir, { recursive: true, force: true })
    await mkdir(dir, { recursive: true })
    for (const [file, content] of survive(disk, random(seed), options)) await writeFile(join(dir, file), content)
    await look({ moment, seed, acknowledged: [...acknowledged] })
  }
}

function advance(disk: Disk, acknowledged: number[], operation: Operation | undefined): void {
  switch (operation?.do) {
    case 'acknowledge':
      acknowledged.push(operation.number)
      return
    case 'sync-directory':
      disk.sure = new Map(disk.names)
      return
    case 'create':
      if (!disk.names.has(operation.file)) disk.names.set(operation.file, { synced: Buffer.alloc(0), pending: [] })
      return
    case 'remove':
      disk.names.delete(operation.file)
      return
    case 'sync': {
      const inode = disk.names.get(operation.file)
      if (!inode) return
      // Its name is not sure by that: POSIX asks for a sync of the directory.
      for (const one of inode.pending) inode.synced = apply(Buffer.from(inode.synced), one)
      inode.pending = []
      return
    }
    case 'write':
    case 'truncate':
      disk.names.get(operation.file)?.pending.push(operation)
      return
  }
}

function* survive(disk: Disk, next: () => number, options: { spoil: boolean; keepAll?: boolean }): Generator<[string, Buffer]> {
  for (const name of new Set([...disk.sure.keys(), ...disk.names.keys()])) {
    const sure = disk.sure.get(name)
    const now = disk.names.get(name)
    // A name that came or went since the directory was synced may have done so on the disk, or not.
    const inode = sure === now || options.keepAll ? now : next() < 0.5 ? sure : now
    if (!inode) continue
    let content: Buffer = Buffer.from(inode.synced)
    for (const one of inode.pending) content = options.keepAll ? apply(content, one) : damaged(content, one, next, options.spoil)
    yield [name, content]
  }
}
