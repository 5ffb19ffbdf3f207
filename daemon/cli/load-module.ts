import { createRequire } from 'node:module'
import { resolve } from 'node:path'

/** Loads a CommonJS bundle that lies beside the daemon's own. */
export function loadModule(file: string): unknown {
  const path = resolve(file)
  return createRequire(path)(path)
}
