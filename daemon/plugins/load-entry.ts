/** A plugin's entry file, ES module or CommonJS, as its `StartPlugin`. */
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'
import { Failure } from '../contract/errors.ts'
import type { StartPlugin } from '../contract/plugin.ts'

/** Rejects with `plugin-start-failed` when there is no start function, and with whatever the module itself throws. */
export async function loadEntry(file: string): Promise<StartPlugin> {
  // `.cjs` needs no ES module loader, which costs start time and memory once per process.
  const loaded: unknown = file.endsWith('.cjs') ? createRequire(file)(file) : await import(pathToFileURL(file).href)
  const start = unwrap(loaded)
  if (!start) throw new Failure('plugin-start-failed', `${file} has no default export that is a function`)
  return start
}

/** The function under `default`, `module.exports` or, where a bundler wrapped one in the other, `default.default`. */
function unwrap(loaded: unknown): StartPlugin | undefined {
  let value = loaded
  for (let depth = 0; depth < 3; depth++) {
    if (typeof value === 'function') return value as StartPlugin
    if (value === null || typeof value !== 'object' || !('default' in value)) return undefined
    value = value.default
  }
  return typeof value === 'function' ? (value as StartPlugin) : undefined
}
