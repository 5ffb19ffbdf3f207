/** The plugin sections of a config against the manifests, without a running daemon: `shopwire check`. */
import { systemClock } from '../clock.ts'
import type { Problem } from '../contract/errors.ts'
import { createLog } from '../log.ts'
import type { PluginSections } from './api.ts'
import { type Folder, PluginFolders, WATCH_LIMITS } from './folders.ts'
import type { Bundle } from './manifest.ts'
import * as registry from './registry.ts'

/** What is wrong with `plugins.*`; a folder in `pluginDirs` that cannot be read is told as well. Runs no plugin's code. */
export function checkSections(sections: PluginSections, builtinDir: string, pluginDirs: readonly string[]): Problem[] {
  const log = createLog({ level: 'error', clock: systemClock, write: () => {} })
  const folders = new PluginFolders({ builtinDir, pluginDirs, clock: systemClock, log, limits: WATCH_LIMITS }).scan()
  const faults = folders.flatMap((one) => ('failure' in one ? [{ path: one.dir, message: one.failure.message }] : []))
  return [...faults, ...registry.checkSections(bundlesByName(folders), sections)]
}

/** The first folder of a name counts; built-in ones come first. */
export function bundlesByName(folders: readonly Folder[]): Map<string, Bundle> {
  const found = new Map<string, Bundle>()
  for (const one of folders) if ('bundle' in one && !found.has(one.bundle.manifest.name)) found.set(one.bundle.manifest.name, one.bundle)
  return found
}
