/** The key behind `ctx.pseudonym`: who an event speaks of leaves a plugin's process only as a keyed hash. */
import { randomBytes } from 'node:crypto'
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Failure } from './contract/errors.ts'

export interface PseudonymKey {
  /** 32 bytes or more, hex. */
  key: string
  /** How often the hashes of stations (radio and MAC addresses) change. */
  rotate: Rotation
}

export type Rotation = 'never' | 'daily' | 'weekly' | 'monthly'

const KEY_BYTES = 32
const KEY_FILE = 'pseudonym.key'

/**
 * The key from `keyFile`, which shops may share so that HQ knows a person again in another shop; without one, this box's own,
 * made once. Throws `secret-unreadable`.
 */
export function pseudonymKey(privacy: { keyFile?: string; rotate: Rotation }, dataDir: string): PseudonymKey {
  const file = privacy.keyFile ?? join(dataDir, KEY_FILE)
  try {
    const text = readFileSync(file, 'utf8').trim()
    if (Buffer.byteLength(text) < KEY_BYTES)
      throw new Failure('secret-unreadable', `${file}: a key of at least ${KEY_BYTES} characters is needed; openssl rand -hex 32 makes one`)
    return { key: Buffer.from(text).toString('hex'), rotate: privacy.rotate }
  } catch (error) {
    if (error instanceof Failure) throw error
    const { code } = error as NodeJS.ErrnoException
    if (code !== 'ENOENT' || privacy.keyFile !== undefined)
      throw new Failure('secret-unreadable', `privacy.keyFile: cannot read ${file}: ${code ?? 'error'}`, [], error)
  }
  const made = randomBytes(KEY_BYTES).toString('hex')
  // Whole and on disk before it is used: a half key after a power cut would make every visitor a new one.
  const descriptor = openSync(`${file}.new`, 'w', 0o600)
  writeFileSync(descriptor, `${made}\n`)
  fsyncSync(descriptor)
  closeSync(descriptor)
  renameSync(`${file}.new`, file)
  return { key: Buffer.from(made).toString('hex'), rotate: privacy.rotate }
}
