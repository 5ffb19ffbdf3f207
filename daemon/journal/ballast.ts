/** A file of no use but its size: given up when the disk is full, it buys the room to tidy up and to say so. */
import { statfsSync } from 'node:fs'
import { open, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { size } from './file.ts'

/**
 * A full WAL and some more: closing a failed handle first writes the WAL's pages behind the end of the file, and only
 * then gives the WAL's own room back.
 */
export const BALLAST_BYTES = 3 * 1024 * 1024
const BLOCK_BYTES = 256 * 1024
/** The ballast is taken on board again only when this much more is free: more than the journal's own tidying up can have freed. */
const MARGIN_BYTES = 4 * 1024 * 1024

export const freeBytes = (file: string): number => {
  try {
    const fs = statfsSync(dirname(file))
    return fs.bavail * fs.bsize
  } catch {
    return 0
  }
}

export class Ballast {
  readonly #file: string

  constructor(journalFile: string) {
    this.#file = `${journalFile}-ballast`
  }

  async release(): Promise<void> {
    await rm(this.#file, { force: true })
  }

  /** True when the disk has room again and the ballast is in place. */
  async restore(): Promise<boolean> {
    if (size(this.#file) >= BALLAST_BYTES) return freeBytes(this.#file) >= MARGIN_BYTES
    if (freeBytes(this.#file) < BALLAST_BYTES + MARGIN_BYTES) return false
    try {
      const handle = await open(this.#file, 'w', 0o600)
      try {
        const block = Buffer.alloc(BLOCK_BYTES, 0x62)
        for (let at = 0; at < BALLAST_BYTES; at += BLOCK_BYTES) await handle.write(block)
        await handle.sync()
      } finally {
        await handle.close()
      }
      return true
    } catch {
      await this.release().catch(() => undefined)
      return false
    }
  }
}
