/**
 * A copy of the files with which a plugin was healthy last: a reload overwrites the folder first and asks afterwards, so the way
 * back must be kept apart from it.
 */
import { createHash } from 'node:crypto'
import { lstatSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { copyFile, mkdir, open, readlink, rename, rm, symlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { type Bundle, readBundle } from './manifest.ts'

/** A bundle is a few files. What is larger (a folder with its whole node_modules) is run, but not kept. */
const FILES_MOST = 5_000
const BYTES_MOST = 64 * 1024 * 1024

interface Listed {
  path: string
  link: boolean
  size: number
  stamp: string
}

/**
 * Changes whenever a file of the folder does; undefined when there is no such folder. Looks at names, sizes, times and inodes, not
 * at content. `node_modules` and dot-folders are left out.
 */
export function fingerprint(dir: string): string | undefined {
  const files = list(dir, false)
  if (!files) return undefined
  const hash = createHash('sha256')
  for (const { path, stamp } of files) hash.update(`${path}\n${stamp}\n`)
  return hash.digest('hex').slice(0, 32)
}

function list(dir: string, deep: boolean): Listed[] | undefined {
  const found: Listed[] = []
  const walk = (under: string): void => {
    for (const name of readdirSync(join(dir, under)).sort()) {
      const path = join(under, name)
      const stat = lstatSync(join(dir, path), { bigint: true })
      const stamp = `${stat.size} ${stat.mtimeNs} ${stat.ino}`
      if (stat.isDirectory()) {
        if (deep || (name !== 'node_modules' && !name.startsWith('.'))) walk(path)
      } else if (stat.isFile() || stat.isSymbolicLink())
        found.push({
          path,
          link: stat.isSymbolicLink(),
          size: Number(stat.size),
          stamp: stat.isSymbolicLink() ? target(join(dir, path)) : stamp,
        })
      if (found.length > FILES_MOST) return
    }
  }
  try {
    walk('')
    return found
  } catch {
    // It is being written, moved or deleted right now.
    return undefined
  }
}

function target(link: string): string {
  try {
    const stat = statSync(link, { bigint: true })
    return `-> ${stat.size} ${stat.mtimeNs} ${stat.ino}`
  } catch {
    return '-> nothing'
  }
}

export class GoodCopies {
  readonly #root: string

  /** @param root folder for one folder a plugin. */
  constructor(root: string) {
    this.#root = root
  }

  /** Fingerprint of the source of the copy that is kept. */
  kept(name: string): string | undefined {
    try {
      return readFileSync(join(this.#root, name, 'source'), 'utf8')
    } catch {
      return undefined
    }
  }

  /** The kept copy as a bundle. Throws like `readBundle`. */
  read(name: string): Bundle {
    return readBundle(join(this.#root, name, 'files'))
  }

  /** Copies `bundle.dir` unless its kept copy has the same source. False when it is too large, or changed while it was copied. */
  async keep(name: string, dir: string, source: string): Promise<boolean> {
    if (this.kept(name) === source) return true
    const files = list(dir, true)
    if (!files || files.length > FILES_MOST || files.reduce((sum, one) => sum + one.size, 0) > BYTES_MOST) return false
    const fresh = join(this.#root, `.${name}.new`)
    const old = join(this.#root, `.${name}.old`)
    const place = join(this.#root, name)
    await rm(fresh, { recursive: true, force: true })
    for (const file of files) await copy(join(dir, file.path), join(fresh, 'files', file.path), file.link)
    if (fingerprint(dir) !== source) {
      await rm(fresh, { recursive: true, force: true })
      return false
    }
    // Written last and synced: a copy that a power cut left half done has no `source` and counts as none.
    await writeSynced(join(fresh, 'source'), source)
    await rm(old, { recursive: true, force: true })
    await rename(place, old).catch(() => {})
    await rename(fresh, place)
    await rm(old, { recursive: true, force: true })
    return true
  }

  async forget(name: string): Promise<void> {
    await rm(join(this.#root, name), { recursive: true, force: true })
  }
}

async function copy(from: string, to: string, link: boolean): Promise<void> {
  await mkdir(dirname(to), { recursive: true })
  if (link && !statSync(from).isFile()) return symlink(await readlink(from), to)
  await copyFile(from, to)
  const file = await open(to, 'r')
  await file.sync().finally(() => file.close())
}

async function writeSynced(path: string, text: string): Promise<void> {
  const file = await open(path, 'w')
  try {
    await file.writeFile(text)
    await file.sync()
  } finally {
    await file.close()
  }
}
