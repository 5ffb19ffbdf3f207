import type { Problem } from '../contract/errors.ts'
import type { JsonObject } from '../contract/json.ts'
import type { Manifest } from '../contract/plugin.ts'
import type { CommandTarget } from '../dispatch/api.ts'

/** `plugins.{name}` of the effective config, by plugin name. */
export type PluginSections = Record<string, JsonObject>

/** What became of a new config: nothing in `errors` means every touched plugin and device became healthy. */
export interface ConfigureReport {
  errors: Problem[]
}

/** All loaded plugins: one process each, supervised. */
export interface Plugins extends CommandTarget {
  /** Finds built-in plugins and those in `pluginDirs`, starts the configured ones, watches the folders. */
  start(): Promise<void>
  /** Every known plugin's manifest, running or not: built-in, in a watched folder, or loaded by hand. */
  manifests(): Manifest[]
  /** Checks all sections against their manifests; a section nobody knows is a problem too. Changes nothing. */
  check(sections: PluginSections): Problem[]
  /**
   * Makes the running plugins match: starts, stops and changes only what differs. Resolves when each touched plugin is
   * healthy or has failed to become so; never throws for a plugin's fault. Before `start` it only notes and checks them.
   */
  configure(sections: PluginSections): Promise<ConfigureReport>
  /** Loads a third-party folder now. Rejects with the manifest's or the start's failure. */
  load(dir: string): Promise<void>
  unload(name: string): Promise<void>
  /** New process from the files as they are now; the old version comes back if the new one does not become healthy (rejects then). */
  reload(name: string): Promise<void>
  /** True while every plugin process that should run answers its pings (quarantined ones are reported, not waited for). */
  progressing(): boolean
  stop(): Promise<void>
}
