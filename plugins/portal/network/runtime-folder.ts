import { lstatSync, mkdirSync, readlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Failure } from '../../../daemon/contract/errors.ts'

/**
 * Where leases, process ids and generated scripts lie: this user's alone, so nobody can put a script of their own there.
 * One for each network namespace, as each is a network of its own: two gateways in two of them never touch each other's helpers.
 */
export function runtimeFolder(): string {
  const uid = process.getuid?.() ?? 0
  // `net:[4026531840]`, namespaces(7).
  const namespace = /\d+/.exec(readlinkSync('/proc/self/ns/net'))?.[0] ?? '0'
  const dir = join(tmpdir(), `shopwire-portal-${uid}-${namespace}`)
  mkdirSync(dir, { recursive: true, mode: 0o700 })
  const { uid: owner, mode } = lstatSync(dir)
  if (owner !== uid || !lstatSync(dir).isDirectory() || (mode & 0o022) !== 0)
    throw new Failure('network-denied', `${dir} must be a folder of this user's own that others cannot write to; remove it`)
  return dir
}
