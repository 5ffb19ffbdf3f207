/** A daemon's plugin system alone: real processes and folders, the journal in memory. */
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { buildSync } from 'esbuild'
import { systemClock } from '../clock.ts'
import type { Command } from '../contract/command.ts'
import { Failure } from '../contract/errors.ts'
import type { CloudEvent } from '../contract/event.ts'
import type { Json, JsonObject } from '../contract/json.ts'
import type { Clock } from '../contract/plugin.ts'
import type { Journal } from '../journal/api.ts'
import { createLog } from '../log.ts'
import type { PluginSections, Plugins } from '../plugins/api.ts'
import { createPlugins, type PluginsOptions } from '../plugins/plugins.ts'
import { Shop } from '../shop.ts'
import { MemoryJournal } from './memory-journal.ts'

const FIXTURES = fileURLToPath(new URL('fixtures/', import.meta.url))
const RUNNER = fileURLToPath(new URL('../plugins/runner.ts', import.meta.url))

/** The runner as it ships: one CommonJS file. */
export function buildRunner(dir: string): string {
  const file = join(dir, 'plugin-runner.cjs')
  buildSync({ entryPoints: [RUNNER], outfile: file, bundle: true, platform: 'node', format: 'cjs', target: 'node20', logLevel: 'error' })
  return file
}

export interface LabOptions {
  sections?: PluginSections
  limits?: PluginsOptions['limits']
  execArgv?: string[]
  journal?: Journal
  /** Fixtures that are there from the start, as third-party folders. */
  plugins?: string[]
  /** The same, as built-in ones. */
  builtins?: string[]
  clock?: Clock
}

/** What every story waits for is short; deadlines that a slow machine must not miss are long. Who needs one to pass holds it: `HeldTimers`. */
const LIMITS: NonNullable<PluginsOptions['limits']> = {
  supervisor: { startMs: 100_000, backoffFirstMs: 50, backoffMostMs: 200 },
  process: { pingMs: 30_000, missed: 3, stopMs: 60_000 },
  watch: { quietMs: 60, pollMs: 500 },
}

export class PluginLab {
  readonly root: string
  readonly journal: MemoryJournal
  readonly shop = new Shop()
  readonly logs: (JsonObject & { msg: string })[] = []
  readonly #options: LabOptions
  readonly #runner: string
  #plugins: Plugins | undefined
  #commands = 0

  constructor(options: LabOptions = {}) {
    this.#options = options
    this.root = mkdtempSync(join(tmpdir(), 'plugin-lab-'))
    this.journal = new MemoryJournal()
    for (const dir of [this.pluginDir, this.builtinDir, this.stateDir]) mkdirSync(dir)
    for (const name of options.plugins ?? []) this.drop(name)
    for (const name of options.builtins ?? []) cpSync(join(FIXTURES, name), join(this.builtinDir, name), { recursive: true })
    this.#runner = buildRunner(this.root)
  }

  static async start(options: LabOptions = {}): Promise<PluginLab> {
    const lab = new PluginLab(options)
    try {
      await lab.plugins.start()
      // A daemon goes on by itself when a plugin takes long to start; a story begins with all of them.
      await lab.until(() => lab.shop.plugins().every((one) => one.status !== 'starting'), 'the plugins to start')
    } catch (error) {
      await lab.stop()
      throw error
    }
    return lab
  }

  get pluginDir(): string {
    return join(this.root, 'plugins')
  }

  get builtinDir(): string {
    return join(this.root, 'builtin')
  }

  get stateDir(): string {
    return join(this.root, 'state')
  }

  get plugins(): Plugins {
    this.#plugins ??= this.create()
    return this.#plugins
  }

  create(): Plugins {
    const { sections = {}, limits, clock = systemClock } = this.#options
    return createPlugins({
      journal: this.#options.journal ?? this.journal,
      shop: this.shop,
      clock,
      log: createLog({ level: 'debug', clock, write: (line) => this.logs.push(JSON.parse(line)) }),
      call: (plugin, device, command, args, from) => this.command(plugin, device, command, args).then((result) => ({ from, result })),
      ask: async (plugin, request, args) => ({ plugin, request, args }),
      pseudonyms: { key: '00'.repeat(32), rotate: 'never' },
      gateway: () => ({ id: 'shop-001', store: '0001', demo: false }),
      builtinDir: this.builtinDir,
      pluginDirs: [this.pluginDir],
      runner: { file: this.#runner, timeZone: 'Asia/Shanghai', ...(this.#options.execArgv ? { execArgv: this.#options.execArgv } : {}) },
      stateDir: this.stateDir,
      sections,
      limits: {
        supervisor: { ...LIMITS.supervisor, ...limits?.supervisor },
        process: { ...LIMITS.process, ...limits?.process },
        watch: { ...LIMITS.watch, ...limits?.watch },
      },
    })
  }

  /** Copies a fixture into the watched folder, under `as`; `edit` changes its files' text. */
  drop(fixture: string, as = fixture, edit: (text: string, file: string) => string = (text) => text): string {
    const dir = join(this.pluginDir, as)
    mkdirSync(dir, { recursive: true })
    for (const file of ['plugin.json', fixture === 'lab' ? 'plugin.mjs' : 'plugin.cjs'])
      writeFileSync(join(dir, file), edit(readFileSync(join(FIXTURES, fixture, file), 'utf8'), file))
    return dir
  }

  /** As dispatch would: described first, then run. */
  async command(plugin: string, device: string, command: string, args: Json = {}, signal?: AbortSignal): Promise<Json> {
    const spec = this.plugins.describe(plugin, device, command)
    if ('code' in spec) throw new Failure(spec.code, spec.message)
    const sent: Command = { id: `c-${++this.#commands}`, device, command, args, from: 'cli' }
    return this.plugins.run(plugin, sent, signal ?? AbortSignal.timeout(240_000))
  }

  lab(command: string, args: JsonObject = {}): Promise<JsonObject> {
    return this.command('lab', '-', command, args) as Promise<JsonObject>
  }

  /** Journaled events of a type, `shopwire.` left out. */
  events(type: string): CloudEvent[] {
    return this.journal.events.filter((one) => one.type === `shopwire.${type}`).map((one) => JSON.parse(one.text) as CloudEvent)
  }

  status(name: string): string | undefined {
    return this.shop.plugins().find((one) => one.name === name)?.status
  }

  async until(done: () => boolean, what: string, ms = 100_000): Promise<void> {
    const end = performance.now() + ms
    while (!done()) {
      if (performance.now() > end)
        throw new Error(`waited ${ms} ms for: ${what}\n${this.logs.map((line) => JSON.stringify(line)).join('\n')}`)
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  }

  async stop(): Promise<void> {
    await this.#plugins?.stop()
    rmSync(this.root, { recursive: true, force: true, maxRetries: 50, retryDelay: 100 })
  }
}
