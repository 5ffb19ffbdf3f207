/** All plugins of the daemon: which there are, which run, with which config, and the way of commands to them. */
import { mkdirSync, realpathSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { Command } from '../contract/command.ts'
import { asFailure, type ErrorBody, Failure, type Problem } from '../contract/errors.ts'
import type { Json } from '../contract/json.ts'
import type { Clock, CommandSpec, Manifest, PluginContext } from '../contract/plugin.ts'
import type { Journal } from '../journal/api.ts'
import type { Log } from '../log.ts'
import type { PseudonymKey } from '../pseudonyms.ts'
import type { Shop } from '../shop.ts'
import type { ConfigureReport, PluginSections, Plugins } from './api.ts'
import { type Folder, PluginFolders, WATCH_LIMITS, type WatchLimits } from './folders.ts'
import { fingerprint, GoodCopies } from './good-copies.ts'
import { type Bundle, readBundle } from './manifest.ts'
import { killOrphans } from './orphans.ts'
import type { AskHq, CallPlugin } from './plugin-host.ts'
import { type PluginRunner, PROCESS_LIMITS, type ProcessLimits } from './process.ts'
import { checkSections, type Entry, exclusively, nameTaken, notRunnable, runsWith, unknownSection, wanted } from './registry.ts'
import { LIMITS, type SupervisorLimits } from './supervisor.machine.ts'
import { devicesOf, Supervisor } from './supervisor.ts'

export interface PluginsOptions {
  journal: Journal
  /** `ctx.call`, by the plugin named last: goes through dispatch. Its permission has been checked. */
  call: CallPlugin
  /** `ctx.ask`, by the plugin named first. Its permission has been checked. */
  ask: AskHq
  shop: Shop
  clock: Clock
  log: Log
  gateway: () => PluginContext['gateway']
  pseudonyms: PseudonymKey
  builtinDir: string
  /** Third-party folders; they need not exist yet. */
  pluginDirs: readonly string[]
  runner: PluginRunner
  /** A folder of the plugin system's own: copies of healthy versions (`plugins-good`), and each plugin's durable folder (`plugins-state`). */
  stateDir: string
  sections: PluginSections
  /** Tests shorten them. */
  limits?: { supervisor?: Partial<SupervisorLimits>; process?: Partial<ProcessLimits>; watch?: Partial<WatchLimits> }
}

/** `start` waits so long for the plugins to become healthy, and lets the rest go on by themselves. */
const START_MOST_MS = 10_000

export function createPlugins(options: PluginsOptions): Plugins {
  return new PluginSystem(options)
}

class PluginSystem implements Plugins {
  readonly #options: PluginsOptions
  readonly #folders: PluginFolders
  readonly #entries = new Map<string, Entry>()
  /** Folders that were refused, as they were then: each is told of once. */
  readonly #refused = new Map<string, string>()
  #sections: PluginSections
  #scanned = false
  #started = false
  #stopping = false

  constructor(options: PluginsOptions) {
    this.#options = options
    this.#sections = structuredClone(options.sections)
    this.#folders = new PluginFolders({ ...options, limits: { ...WATCH_LIMITS, ...options.limits?.watch } })
  }

  async start(): Promise<void> {
    const { stateDir, log, clock } = this.#options
    mkdirSync(stateDir, { recursive: true })
    const orphans = killOrphans(realpathSync(stateDir))
    if (orphans.length > 0) log.warn({ pids: orphans }, 'plugin processes of an earlier daemon were still there and were killed')
    this.#scan()
    this.#started = true
    const starts = [...this.#entries.values()].map((entry) => exclusively(entry, () => this.#begin(entry)).catch(() => {}))
    for (const name of Object.keys(this.#sections))
      if (!this.#entries.has(name)) log.error({ plugin: name }, 'the config has a section for a plugin that is not there')
    this.#folders.watch((folders) => this.#changed(folders))
    const enough = new AbortController()
    await Promise.race([Promise.all(starts), clock.sleep(START_MOST_MS, enough.signal).catch(() => {})])
    enough.abort()
  }

  manifests(): Manifest[] {
    this.#scan()
    return [...this.#entries.values()].map((entry) => entry.supervisor.active.manifest).sort((a, b) => a.name.localeCompare(b.name))
  }

  check(sections: PluginSections): Problem[] {
    this.#scan()
    return checkSections(new Map([...this.#entries].map(([name, entry]) => [name, entry.supervisor.active])), sections)
  }

  async configure(sections: PluginSections): Promise<ConfigureReport> {
    this.#scan()
    this.#sections = structuredClone(sections)
    // Before the start it is only noted: leftovers of an earlier daemon still hold the ports.
    if (!this.#started) return { errors: this.check(sections) }
    const errors = Object.keys(sections).flatMap((name) =>
      this.#entries.has(name) ? [] : [unknownSection(name, [...this.#entries.keys()])],
    )
    // What is to stop lets go of its ports before anything that starts asks for them.
    const entries = [...this.#entries.values()].filter((entry) => !entry.held)
    const stopping = entries.filter((entry) => this.#isStopped(entry))
    await Promise.all(stopping.map((entry) => exclusively(entry, () => this.#unwanted(entry))))
    const reports = await Promise.all(
      entries.filter((entry) => !stopping.includes(entry)).map((entry) => exclusively(entry, () => this.#apply(entry))),
    )
    return { errors: [...errors, ...reports.flat()] }
  }

  async load(dir: string): Promise<void> {
    this.#refuseWhileStopping()
    this.#scan()
    const bundle = readBundle(resolve(dir))
    const { name } = bundle.manifest
    const known = this.#entries.get(name)
    if (known && known.dir !== bundle.dir) throw nameTaken(name, bundle.dir, known.dir)
    if (known) return this.reload(name)
    const wish = wanted('loaded', bundle, this.#sections)
    if (!wish.run) throw notRunnable(name, Object.hasOwn(this.#sections, name) ? wish.problems : [])
    const entry = this.#add(bundle, this.#folders.watches(bundle.dir) ? 'folder' : 'loaded', fingerprint(bundle.dir) ?? '')
    try {
      await exclusively(entry, () => entry.supervisor.start(wish.section))
    } catch (error) {
      await exclusively(entry, () => this.#remove(entry, 'start-failed'))
      throw error
    }
  }

  async unload(name: string): Promise<void> {
    const entry = this.#entry(name)
    entry.held = true
    if (entry.origin === 'loaded') await exclusively(entry, () => this.#remove(entry, 'unloaded'))
    else await entry.supervisor.stop('unloaded')
  }

  async reload(name: string): Promise<void> {
    this.#refuseWhileStopping()
    const entry = this.#entry(name)
    await exclusively(entry, () => this.#reload(entry))
  }

  progressing(): boolean {
    return [...this.#entries.values()].every((entry) => entry.supervisor.progressing)
  }

  async stop(): Promise<void> {
    this.#stopping = true
    this.#folders.close()
    await Promise.all([...this.#entries.values()].map((entry) => entry.supervisor.end('stopping')))
  }

  describe(plugin: string, device: string, command: string): CommandSpec | ErrorBody {
    const entry = this.#entries.get(plugin)
    if (!entry) return new Failure('plugin-not-found', `there is no plugin "${plugin}"; there are: ${this.#names()}`).toBody()
    const { active, phase, config } = entry.supervisor
    const commands = active.manifest.commands ?? {}
    const spec = Object.hasOwn(commands, command) ? commands[command] : undefined
    if (!spec)
      return new Failure(
        'command-unknown',
        `plugin "${plugin}" has no command "${command}"; it has: ${Object.keys(commands).join(', ') || 'none'}`,
      ).toBody()
    if (phase === 'quarantined')
      return new Failure('plugin-quarantined', `plugin "${plugin}" crashed too often; reload it or change its config`).toBody()
    if (phase !== 'running') return new Failure('plugin-not-running', `plugin "${plugin}" is ${phase} now`).toBody()
    const devices = devicesOf(config)
    if (devices && !Object.hasOwn(devices, device))
      return new Failure(
        'device-unknown',
        `plugin "${plugin}" has no device "${device}"; it has: ${Object.keys(devices).join(', ') || 'none'}`,
      ).toBody()
    return spec
  }

  async run(plugin: string, command: Command, signal: AbortSignal): Promise<Json> {
    return this.#entry(plugin).supervisor.run(command, signal)
  }

  /** Before the first start or check: what is in the folders now. */
  #scan(): void {
    if (this.#scanned) return
    this.#scanned = true
    for (const folder of this.#folders.scan()) this.#take(folder)
  }

  /** A folder becomes an entry, unless it is refused. */
  #take(folder: Folder): Entry | undefined {
    if ('failure' in folder) {
      this.#refuse(folder, folder.failure)
      return undefined
    }
    const { bundle, builtin } = folder
    const { name, entry: file } = bundle.manifest
    const taken = this.#entries.get(name)
    if (taken) {
      // A checkout has the sources of the built-in plugins beside their bundles: that is no quarrel about a name.
      if (taken.origin !== 'builtin' || !file.endsWith('.ts')) this.#refuse(folder, nameTaken(name, folder.dir, taken.dir))
      return undefined
    }
    if (!builtin && file.endsWith('.ts')) {
      this.#refuse(
        folder,
        new Failure('plugin-manifest-invalid', `${folder.dir}: entry ${file} is TypeScript source; bundle it to .cjs or .js first`),
      )
      return undefined
    }
    this.#refused.delete(folder.dir)
    return this.#add(bundle, builtin ? 'builtin' : 'folder', folder.print)
  }

  #add(bundle: Bundle, origin: Entry['origin'], print: string): Entry {
    const { journal, shop, clock, log, call, ask, gateway, pseudonyms, runner, stateDir, limits } = this.#options
    mkdirSync(stateDir, { recursive: true })
    const supervisor = new Supervisor(
      {
        journal,
        shop,
        clock,
        log,
        call,
        ask,
        gateway,
        pseudonyms,
        runner,
        copies: new GoodCopies(join(stateDir, 'plugins-good')),
        folders: join(stateDir, 'plugins-state'),
        owner: realpathSync(stateDir),
        limits: { ...LIMITS, ...limits?.supervisor },
        processLimits: { ...PROCESS_LIMITS, ...limits?.process },
      },
      bundle,
      origin === 'builtin',
    )
    const { name } = bundle.manifest
    const entry: Entry = { name, supervisor, dir: bundle.dir, origin, print, held: false, queue: Promise.resolve() }
    this.#entries.set(name, entry)
    return entry
  }

  #refuse(folder: Folder, failure: Failure): void {
    if (this.#refused.get(folder.dir) === folder.print) return
    this.#refused.set(folder.dir, folder.print)
    this.#options.log.error({ code: failure.code, dir: folder.dir }, failure.message)
  }

  /** The watched folders have changed, and have come to rest. */
  #changed(folders: readonly Folder[]): void {
    if (this.#stopping) return
    const present = new Map(folders.map((one) => [one.dir, one]))
    for (const dir of this.#refused.keys()) if (!present.has(dir)) this.#refused.delete(dir)
    const removals: Promise<void>[] = []
    for (const entry of this.#entries.values()) {
      if (entry.origin !== 'folder') continue
      const folder = present.get(entry.dir)
      if (!folder || ('bundle' in folder && folder.bundle.manifest.name !== entry.name))
        removals.push(exclusively(entry, () => this.#remove(entry, 'removed')))
      else if (folder.print !== entry.print) this.#replaced(entry, folder)
    }
    // A name that has just become free may be another folder's now.
    void Promise.allSettled(removals).then(() => {
      for (const folder of folders) {
        if (this.#stopping || [...this.#entries.values()].some((entry) => entry.dir === folder.dir)) continue
        const entry = this.#take(folder)
        if (entry) this.#quietly(entry, () => this.#begin(entry))
      }
    })
  }

  #replaced(entry: Entry, folder: Folder): void {
    if ('failure' in folder) {
      entry.print = folder.print
      this.#refuse(folder, folder.failure)
      return
    }
    if (entry.held) entry.print = folder.print
    else this.#quietly(entry, () => this.#reload(entry))
  }

  /** For what nobody waits for: the supervisor has logged and journaled it. */
  #quietly(entry: Entry, work: () => Promise<unknown>): void {
    exclusively(entry, work).catch((error: unknown) => {
      const { code, message } = asFailure(error)
      if (!this.#stopping) this.#options.log.error({ plugin: entry.name, code }, message)
    })
  }

  /** Starts it if it is to run. */
  async #begin(entry: Entry): Promise<void> {
    if (this.#stopping || entry.held) return
    const wish = wanted(entry.origin, entry.supervisor.bundle, this.#sections)
    if (wish.run) return entry.supervisor.start(wish.section)
    if (wish.problems.length > 0) {
      const failure = notRunnable(entry.name, wish.problems)
      this.#options.log.error({ plugin: entry.name, code: failure.code }, failure.message)
    }
  }

  async #reload(entry: Entry): Promise<void> {
    const { supervisor } = entry
    const print = fingerprint(entry.dir) ?? ''
    entry.print = print
    const bundle = readBundle(entry.dir, { trusted: entry.origin === 'builtin', known: supervisor.bundle })
    if (bundle.manifest.name !== entry.name)
      throw new Failure(
        'plugin-manifest-invalid',
        `${entry.dir}: the name has become "${bundle.manifest.name}"; unload "${entry.name}" first`,
      )
    const wish = wanted(entry.origin, bundle, this.#sections)
    if (!wish.run) throw notRunnable(entry.name, wish.problems)
    entry.held = false
    await supervisor.reload(bundle, wish.section)
  }

  /** Whether the new config has no use for a plugin that runs. A section that is wrong stops nothing. */
  #isStopped(entry: Entry): boolean {
    const wish = wanted(entry.origin, entry.supervisor.active, this.#sections)
    return !wish.run && wish.problems.length === 0
  }

  async #unwanted(entry: Entry): Promise<void> {
    if (entry.supervisor.phase === 'stopped') return
    await entry.supervisor.stop('not-configured')
    this.#options.shop.removePlugin(entry.name)
  }

  async #apply(entry: Entry): Promise<Problem[]> {
    const { supervisor } = entry
    const wish = wanted(entry.origin, supervisor.active, this.#sections)
    if (!wish.run) return wish.problems
    if (this.#stopping) return [{ path: `plugins.${entry.name}`, message: 'the daemon is stopping' }]
    if (supervisor.phase === 'stopped') return supervisor.startAndReport(wish.section)
    if (runsWith(entry, wish.config)) return []
    return supervisor.configure(wish.section)
  }

  async #remove(entry: Entry, reason: string): Promise<void> {
    await entry.supervisor.end(reason)
    if (this.#entries.get(entry.name) === entry) this.#entries.delete(entry.name)
    this.#options.shop.removePlugin(entry.name)
  }

  #entry(name: string): Entry {
    const entry = this.#entries.get(name)
    if (!entry) throw new Failure('plugin-not-found', `there is no plugin "${name}"; there are: ${this.#names()}`)
    return entry
  }

  #names(): string {
    return [...this.#entries.keys()].sort().join(', ') || 'none'
  }

  #refuseWhileStopping(): void {
    if (this.#stopping) throw new Failure('stopping', 'the daemon is stopping')
  }
}
