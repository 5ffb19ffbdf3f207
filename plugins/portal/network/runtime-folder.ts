import { lstatSync, mkdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Failure } from '../../../daemon/contract/errors.ts'

/** Where leases, process ids and generated scripts lie: this user's alone, so nobody can put a script of their own there. */
export function runtimeFolder(): string {
  const uid = process.getuid?.() ?? 0
  const dir = join(tmpdir(), `shopwire-portal-${uid}`)
  mkdirSync(dir, { recursive: true, mode: 0o700 })
  const { uid: owner, mode } = lstatSync(dir)
  if (owner !== uid || !lstatSync(dir).isDirectory() || (mode & 0o022) !== 0)
    throw new Failure('network-denied', `${dir} must be a folder of this user's own that others cannot write to; remove it`)
  return dir
}
