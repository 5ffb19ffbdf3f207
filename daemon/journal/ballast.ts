/** A file of no use but its size: given up when the disk is full, it buys the room to tidy up and to say so. */
import { statfsSync } from 'node:fs'
import { open, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { size } from './file.ts'

export const BALLAST_BYTES = 512 * 1024
/** The ballast is taken on board again only when this much more is free: no flapping at the edge. */
const MARGIN_BYTES = 1024 * 1024

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
        await handle.write(Buffer.alloc(BALLAST_BYTES, 0x62))
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
