/** The folders in which plugins are found: read, and watched so that one can be dropped in, replaced or taken away. */
import { type FSWatcher, readdirSync, realpathSync, statSync, watch } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { asFailure, type Failure } from '../contract/errors.ts'
import type { Clock } from '../contract/plugin.ts'
import type { Log } from '../log.ts'
import { fingerprint } from './good-copies.ts'
import { type Bundle, readBundle } from './manifest.ts'

/** A folder with a plugin.json. */
export type Folder = { dir: string; builtin: boolean; print: string } & ({ bundle: Bundle } | { failure: Failure })

export interface WatchLimits {
  /** ms without a change, twice in a row, before a folder counts as copied. */
  quietMs: number
  /** ms between looks where the kernel tells nothing (network mounts, nested folders). */
  pollMs: number
}

export const WATCH_LIMITS: WatchLimits = { quietMs: 400, pollMs: 30_000 }

/** Folders of one plugin that are watched; the poll finds what changes deeper. */
const DEPTH_MOST = 3
const WATCHED_MOST = 64

export interface FoldersParts {
  builtinDir: string
  pluginDirs: readonly string[]
  clock: Clock
  log: Log
  limits: WatchLimits
}

export class PluginFolders {
  readonly #parts: FoldersParts
  readonly #watchers = new Map<string, { watcher: FSWatcher; inode: number }>()
  #known = new Map<string, Folder>()
  #onChange: ((folders: Folder[]) => void) | undefined
  #cancelLook = (): void => {}
  #cancelPoll = (): void => {}
  /** What the last look saw, and what was told last. */
  #seen = ''
  #told = ''

  constructor(parts: FoldersParts) {
    this.#parts = parts
  }

  /** Everything there is, built-in ones first, in a fixed order. A folder that has not changed is not read again. */
  scan(): Folder[] {
    const { builtinDir, pluginDirs } = this.#parts
    const builtinRoot = real(builtinDir)
    const roots = [...new Set(pluginDirs.map((dir) => real(dir)).filter((dir) => dir !== undefined && dir !== builtinRoot))]
    const found = [
      ...(builtinRoot === undefined ? [] : this.#read(builtinRoot, true)),
      ...roots.flatMap((root) => (root === undefined ? [] : this.#read(root, false))),
    ]
    this.#known = new Map(found.map((one) => [one.dir, one]))
    return found
  }

  /** Tells of every change until `close`. */
  watch(onChange: (folders: Folder[]) => void): void {
    this.#onChange = onChange
    this.#told = this.#seen = this.#print()
    this.#rewatch()
    this.#poll()
  }

  /** Whether `dir` (a real path) lies in one of the watched folders. */
  watches(dir: string): boolean {
    return this.#parts.pluginDirs.some((root) => real(root) === dirname(dir))
  }

  /** Looks again soon, as if the kernel had told of a change. */
  nudge(): void {
    if (!this.#onChange) return
    this.#cancelLook()
    this.#cancelLook = this.#parts.clock.timer(this.#parts.limits.quietMs, () => this.#look())
  }

  close(): void {
    this.#onChange = undefined
    this.#cancelLook()
    this.#cancelPoll()
    for (const { watcher } of this.#watchers.values()) watcher.close()
    this.#watchers.clear()
  }

  #poll(): void {
    this.#cancelPoll = this.#parts.clock.timer(this.#parts.limits.pollMs, () => {
      this.#look()
      this.#poll()
    })
  }

  #look(): void {
    if (!this.#onChange) return
    this.#rewatch()
    const print = this.#print()
    if (print !== this.#seen) {
      // Still being copied, perhaps: only what is the same at the next look counts.
      this.#seen = print
      this.nudge()
    } else if (print !== this.#told) {
      this.#told = print
      this.#onChange(this.scan())
    }
  }

  #print(): string {
    return this.#thirdParty()
      .map((dir) => `${dir} ${fingerprint(dir) ?? ''}`)
      .join('\n')
  }

  #thirdParty(): string[] {
    const builtinRoot = real(this.#parts.builtinDir)
    return this.#parts.pluginDirs.flatMap((dir) => {
      const root = real(dir)
      return root === undefined || root === builtinRoot ? [] : pluginDirsIn(root)
    })
  }

  #read(root: string, builtin: boolean): Folder[] {
    return pluginDirsIn(root).flatMap((dir): Folder[] => {
      const print = fingerprint(dir)
      if (print === undefined) return []
      const known = this.#known.get(dir)
      if (known?.print === print && known.builtin === builtin) return [known]
      try {
        const before = known && 'bundle' in known ? known.bundle : undefined
        return [{ dir, builtin, print, bundle: readBundle(dir, { trusted: builtin, known: before }) }]
      } catch (error) {
        return [{ dir, builtin, print, failure: asFailure(error, 'plugin-manifest-invalid') }]
      }
    })
  }

  #rewatch(): void {
    const wanted = new Map<string, number>()
    const want = (dir: string): void => {
      const inode = inodeOf(dir)
      if (inode !== undefined) wanted.set(dir, inode)
    }
    for (const dir of this.#parts.pluginDirs) want(real(dir) ?? nearest(dir))
    for (const dir of this.#thirdParty()) for (const one of foldersIn(dir)) want(one)

    for (const [dir, { watcher, inode }] of this.#watchers) {
      if (wanted.get(dir) === inode) continue
      watcher.close()
      this.#watchers.delete(dir)
    }
    for (const [dir, inode] of wanted) if (!this.#watchers.has(dir)) this.#watch(dir, inode)
  }

  #watch(dir: string, inode: number): void {
    try {
      const watcher = watch(dir, { persistent: false }, () => this.nudge())
      watcher.on('error', () => {
        watcher.close()
        this.#watchers.delete(dir)
      })
      this.#watchers.set(dir, { watcher, inode })
    } catch (error) {
      this.#parts.log.warn(
        { dir },
        `cannot be watched, it is looked at every ${this.#parts.limits.pollMs / 1000} s: ${(error as Error).message}`,
      )
    }
  }
}

function pluginDirsIn(root: string): string[] {
  try {
    return readdirSync(root)
      .filter((name) => !name.startsWith('.'))
      .sort()
      .flatMap((name) => {
        const dir = real(join(root, name))
        return dir !== undefined && isFile(join(dir, 'plugin.json')) ? [dir] : []
      })
  } catch {
    return []
  }
}

function foldersIn(dir: string, depth = 0): string[] {
  const found = [dir]
  if (depth >= DEPTH_MOST) return found
  try {
    for (const entry of readdirSync(dir, { withFileTypes: true }))
      if (entry.isDirectory() && entry.name !== 'node_modules' && !entry.name.startsWith('.'))
        found.push(...foldersIn(join(dir, entry.name), depth + 1))
  } catch {
    // Gone meanwhile: the next look sees it so.
  }
  return found.slice(0, WATCHED_MOST)
}

/** The closest folder above one that does not exist yet. */
function nearest(dir: string): string {
  const above = dirname(resolve(dir))
  return above === resolve(dir) ? above : (real(above) ?? nearest(above))
}

function real(path: string): string | undefined {
  try {
    return realpathSync(path)
  } catch {
    return undefined
  }
}

function isFile(path: string): boolean {
  try {
    return statSync(path).isFile()
  } catch {
    return false
  }
}

function inodeOf(dir: string): number | undefined {
  try {
    return statSync(dir).ino
  } catch {
    return undefined
  }
}
