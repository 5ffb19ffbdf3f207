/** Which plugins there are, where each came from, and with which section it is to run. */
import { isDeepStrictEqual } from 'node:util'
import { Failure, type Problem } from '../contract/errors.ts'
import type { JsonObject } from '../contract/json.ts'
import type { PluginSections } from './api.ts'
import { type Bundle, checkSection } from './manifest.ts'
import type { Supervisor } from './supervisor.ts'

export interface Entry {
  readonly name: string
  readonly supervisor: Supervisor
  readonly dir: string
  /** `folder`: in a watched folder. `loaded`: by hand, from elsewhere. */
  readonly origin: 'builtin' | 'folder' | 'loaded'
  /** Fingerprint of the folder that was last started or refused. */
  print: string
  /** Unloaded by hand: stays so until it is loaded or reloaded by hand. */
  held: boolean
  /** One change at a time. */
  queue: Promise<unknown>
}

/** Whether a plugin is to run, with what, and what speaks against it. */
export type Wanted = { run: true; section: JsonObject; config: JsonObject } | { run: false; problems: Problem[] }

/**
 * A built-in plugin runs when the config has a section for it; a third-party one also when its schema takes an empty one. An empty
 * `problems` says that nobody asked for it.
 */
export function wanted(origin: Entry['origin'], bundle: Bundle, sections: PluginSections): Wanted {
  const section = Object.hasOwn(sections, bundle.manifest.name) ? sections[bundle.manifest.name] : undefined
  if (section === undefined && origin === 'builtin') return { run: false, problems: [] }
  const { config, problems } = checkSection(bundle, section ?? {})
  if (problems.length === 0) return { run: true, section: section ?? {}, config }
  return { run: false, problems: section === undefined && origin === 'folder' ? [] : problems }
}

/** Whether `entry` already runs with this config. */
export function runsWith(entry: Entry, config: JsonObject): boolean {
  return isDeepStrictEqual(entry.supervisor.config, config)
}

/** Runs `work` after everything else that was asked of `entry`. */
export function exclusively<Result>(entry: Entry, work: () => Promise<Result>): Promise<Result> {
  const done = entry.queue.then(work)
  entry.queue = done.catch(() => {})
  return done
}

/** Problems of all sections against the plugins there are; a section nobody knows is a problem, too. */
export function checkSections(bundles: ReadonlyMap<string, Bundle>, sections: PluginSections): Problem[] {
  return Object.entries(sections).flatMap(([name, section]) => {
    const bundle = bundles.get(name)
    return bundle ? checkSection(bundle, section).problems : [unknownSection(name, [...bundles.keys()])]
  })
}

export function unknownSection(name: string, known: readonly string[]): Problem {
  return { path: `plugins.${name}`, message: `there is no plugin of this name; there are: ${[...known].sort().join(', ') || 'none'}` }
}

export function nameTaken(name: string, dir: string, by: string): Failure {
  return new Failure('plugin-name-taken', `${dir}: the name "${name}" belongs to ${by}`)
}

export function notRunnable(name: string, problems: readonly Problem[]): Failure {
  if (problems.length === 0)
    return new Failure('config-invalid', `plugin "${name}" needs a section plugins.${name} in the config`, [
      { path: `plugins.${name}`, message: 'is missing' },
    ])
  return new Failure('config-invalid', problems.map((one) => `${one.path}: ${one.message}`).join('; '), problems)
}
