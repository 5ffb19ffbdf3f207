/** Runs a real plugin in the test's own process: the real context, with memory in place of journal and IPC. */
import { randomUUID } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '../clock.ts'
import { Failure } from '../contract/errors.ts'
import { type CloudEvent, type DeviceEvent, TYPE_PREFIX } from '../contract/event.ts'
import type { Json, JsonObject } from '../contract/json.ts'
import type { AskOptions, Clock, DeviceState, KeyValue, Manifest, RunningPlugin, StartPlugin } from '../contract/plugin.ts'
import { createContext } from '../plugins/context.ts'
import { matchesType } from '../plugins/ipc.ts'
import { SchemaSet } from '../schema.ts'

export interface HarnessOptions {
  start: StartPlugin
  /** Folder with the plugin.json whose schemas check config, events and command arguments, as the daemon does. */
  manifestUrl: URL
  config: JsonObject
  clock?: Clock
  demo?: boolean
  /** Durable keys of an earlier run, to start from: what a restart finds. */
  store?: Map<string, Json>
  /** The plugin's durable folder, to be kept beyond this run; one that goes with it unless told. */
  folder?: string
  /** Answers `ctx.call`. */
  call?: (plugin: string, device: string, command: string, args: Json) => Promise<Json>
  /** Answers `ctx.ask` in HQ's place; without it HQ is away. */
  ask?: (request: string, args: Json, options: AskOptions) => Promise<Json>
}

const compiled = new Map<string, SchemaSet>()

/** Compiled once: it takes longer than most stories. */
function schemasOf(manifestUrl: URL): SchemaSet {
  const schemas = compiled.get(manifestUrl.href) ?? new SchemaSet(JSON.parse(readFileSync(manifestUrl, 'utf8')) as Manifest)
  compiled.set(manifestUrl.href, schemas)
  return schemas
}

/** A plugin under test, and what it has said so far. */
export class PluginHarness {
  readonly events: (DeviceEvent & { sequence: number })[] = []
  readonly states: ({ device: string } & DeviceState)[] = []
  readonly logs: { level: string; fields: JsonObject; message: string }[] = []
  readonly store: Map<string, Json>
  readonly #controller = new AbortController()
  readonly #waiting = new Set<() => void>()
  readonly #schemas: SchemaSet
  readonly #subscriptions: { types: string[]; on: (event: CloudEvent) => Promise<void> }[] = []
  #running: RunningPlugin | undefined
  readonly #folder: string
  readonly #ownFolder: boolean
  #commands = 0
  #delivered = 0
  /** While set, emits are not acknowledged: a disk that takes its time. */
  #gate: Promise<void> | undefined
  #open: (() => void) | undefined

  static async start(options: HarnessOptions): Promise<PluginHarness> {
    const harness = new PluginHarness(options)
    try {
      await harness.#start(options)
    } catch (error) {
      harness.#leave()
      throw error
    }
    return harness
  }

  private constructor(options: HarnessOptions) {
    this.#schemas = schemasOf(new URL('plugin.json', options.manifestUrl))
    this.store = options.store ?? new Map()
    this.#ownFolder = options.folder === undefined
    this.#folder = options.folder ?? mkdtempSync(join(tmpdir(), 'plugin-folder-'))
  }

  async #start(options: HarnessOptions): Promise<void> {
    const config = structuredClone(options.config)
    const problems = this.#schemas.config(config)
    if (problems.length > 0) throw new Failure('config-invalid', problems.map((one) => `${one.path}: ${one.message}`).join('; '), problems)
    const context = createContext({
      config,
      clock: options.clock ?? systemClock,
      signal: this.#controller.signal,
      folder: this.#folder,
      gateway: { id: 'shop-001', store: '0001', demo: options.demo ?? false },
      pseudonyms: { key: '00'.repeat(32), rotate: 'never' },
      host: {
        emit: async (event) => {
          const sent = this.#checked(event)
          await this.#gate
          return this.#journal(sent)
        },
        commit: async ({ events = [], store = [] }) => {
          const sent = events.map((event) => this.#checked(event))
          const puts = structuredClone(store)
          // The gate is for what is told; a record alone passes, as a `put` does.
          if (sent.length > 0) await this.#gate
          for (const [key, value] of puts) {
            if (value === undefined) this.store.delete(key)
            else this.store.set(key, value)
          }
          const sequences = sent.map((event) => this.#journal(event))
          this.#tell()
          return sequences
        },
        state: (device, state) => {
          this.states.push({ device, ...state })
          this.#tell()
        },
        forget: (device) => {
          this.states.push({ device, state: 'offline', detail: 'forgotten' })
          this.#tell()
        },
        log: (level, fields, message) => {
          this.logs.push({ level, fields, message })
          this.#tell()
        },
        call: options.call ?? (async (plugin) => Promise.reject(new Failure('plugin-not-found', `no plugin "${plugin}" in this test`))),
        ask: async (request, args, how = {}) => {
          if (!options.ask) throw new Failure('hq-unreachable', 'HQ is away')
          return structuredClone(await options.ask(request, structuredClone(args), how))
        },
        subscribe: (types, on) => {
          this.#subscriptions.push({ types, on })
        },
        store: memoryStore(this.store),
      },
    })
    this.#running = await options.start(context)
  }

  /** Sends a command as dispatch would: validated first. */
  async command(device: string, command: string, args: Json = {}, id = `c-${++this.#commands}`): Promise<Json> {
    if (!this.#running) throw new Error('not started')
    const checked = structuredClone(args)
    const problems = this.#schemas.args(command, checked)
    if (problems.length > 0) throw new Failure('args-invalid', problems.map((one) => `${one.path}: ${one.message}`).join('; '), problems)
    return this.#running.handle({ id, device, command, args: checked, from: 'lan' }, AbortSignal.timeout(100_000))
  }

  /** A journaled event of another plugin, handed to those who subscribed to it. Rejects as their handler does. */
  async deliver(plugin: string, device: string, event: string, data: JsonObject, time = new Date().toISOString()): Promise<void> {
    const cloud: CloudEvent = {
      specversion: '1.0',
      id: randomUUID(),
      type: `${TYPE_PREFIX}${plugin}.${event}`,
      source: `/shop-001/${plugin}/${device}`,
      time,
      datacontenttype: 'application/json',
      sequence: String(++this.#delivered),
      sequencetype: 'Integer',
      epoch: 'test',
      store: '0001',
      clock: 'synced',
      bootid: 'test',
      data,
    }
    for (const { types, on } of this.#subscriptions)
      if (types.some((type) => matchesType(type, cloud.type))) await on(structuredClone(cloud))
  }

  async configure(config: JsonObject): Promise<void> {
    const checked = structuredClone(config)
    const problems = this.#schemas.config(checked)
    if (problems.length > 0) throw new Failure('config-invalid', 'config', problems)
    await this.#running?.configure?.(checked)
  }

  /** The last state said of a device. */
  state(device: string): DeviceState | undefined {
    return this.states.findLast((one) => one.device === device)
  }

  /** Waits until `done` holds; it is looked at again whenever the plugin says something, and every 20 ms. */
  async until(done: () => boolean, what = 'condition', ms = 100_000): Promise<void> {
    const end = performance.now() + ms
    while (!done()) {
      if (performance.now() > end) throw new Error(`waited ${ms} ms for: ${what}`)
      await new Promise<void>((resolve) => {
        const wake = () => {
          clearTimeout(timer)
          this.#waiting.delete(wake)
          resolve()
        }
        const timer = setTimeout(wake, 20)
        this.#waiting.add(wake)
      })
    }
  }

  /** Emits wait from now on, until `resume`. */
  hold(): void {
    this.#gate = new Promise((resolve) => {
      this.#open = resolve
    })
  }

  resume(): void {
    this.#gate = undefined
    this.#open?.()
  }

  /** `again`: as for a restart, the next run goes on with what this one leaves. */
  async stop(again = false): Promise<void> {
    this.#controller.abort(new Failure('stopping', 'the test is over'))
    await this.#running?.stop({ again })
    this.#running = undefined
    this.#leave()
  }

  #leave(): void {
    if (this.#ownFolder) rmSync(this.#folder, { recursive: true, force: true })
  }

  #checked(event: DeviceEvent): DeviceEvent {
    const wrong = this.#schemas.event(event.event, event.data)
    if (wrong.length > 0) throw new Failure('event-invalid', `${event.event}: ${wrong[0]?.path} ${wrong[0]?.message}`, wrong)
    return structuredClone(event)
  }

  #journal(event: DeviceEvent): number {
    const sequence = this.events.length + 1
    this.events.push({ ...event, sequence })
    this.#tell()
    return sequence
  }

  #tell(): void {
    for (const wake of [...this.#waiting]) wake()
  }
}

function memoryStore(map: Map<string, Json>): KeyValue {
  return {
    get: async (key) => structuredClone(map.get(key)),
    put: async (key, value) => {
      map.set(key, structuredClone(value))
    },
    delete: async (key) => {
      map.delete(key)
    },
    list: async (prefix = '') =>
      [...map]
        .filter(([key]) => key.startsWith(prefix))
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([key, value]) => ({ key, value: structuredClone(value) })),
  }
}
