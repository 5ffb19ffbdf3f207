/** One plugin and its process: performs what supervisor.machine.ts decides, and tells it what came of it. */
import { mkdirSync } from 'node:fs'
import { resolve } from 'node:path'
import { iso } from '../clock.ts'
import type { Command } from '../contract/command.ts'
import { asFailure, Failure, type Problem } from '../contract/errors.ts'
import type { Json, JsonObject } from '../contract/json.ts'
import type { Clock, PluginContext } from '../contract/plugin.ts'
import type { PluginStatus } from '../contract/uplink.ts'
import type { Journal } from '../journal/api.ts'
import type { Log } from '../log.ts'
import type { PseudonymKey } from '../pseudonyms.ts'
import type { Shop } from '../shop.ts'
import { DeviceStates } from './device-states.ts'
import { fingerprint, type GoodCopies } from './good-copies.ts'
import type { DeviceProblem } from './ipc.ts'
import { type Bundle, checkSection } from './manifest.ts'
import { type AskHq, type CallPlugin, PluginHost } from './plugin-host.ts'
import { PluginProcess, type PluginRunner, type ProcessLimits } from './process.ts'
import {
  type Files,
  type Phase,
  type SupervisorEffect,
  type SupervisorEvent,
  type SupervisorLimits,
  SupervisorMachine,
  type SupervisorState,
  stopped,
  type Timer,
} from './supervisor.machine.ts'

export interface SupervisorParts {
  journal: Journal
  shop: Shop
  clock: Clock
  log: Log
  call: CallPlugin
  ask: AskHq
  gateway: () => PluginContext['gateway']
  pseudonyms: PseudonymKey
  runner: PluginRunner
  copies: GoodCopies
  /** Durable folders of the plugins, one each. */
  folders: string
  owner: string
  limits: SupervisorLimits
  processLimits: ProcessLimits
}

/** A running plugin has so long to take a new config; then it is replaced. */
const CONFIGURE_MOST_MS = 20_000
/** A restart that is over by then journals nothing of its devices' short absence. */
const RESTART_GRACE_MS = 10_000

interface Waiter {
  resolve: () => void
  reject: (failure: Failure) => void
}

export class Supervisor {
  readonly name: string
  readonly #parts: SupervisorParts
  readonly #log: Log
  readonly #machine: SupervisorMachine
  readonly #state: SupervisorState = stopped()
  readonly #states: DeviceStates
  readonly #timers = new Map<Timer, () => void>()
  readonly #waiters: { running: Waiter[]; stopped: Waiter[] } = { running: [], stopped: [] }
  readonly #commits = new Set<Promise<unknown>>()
  /** Events that arrived while another one's effects were being performed. */
  readonly #inbox: SupervisorEvent[] = []
  #feeding = false
  /** The folder as it was read last; after a roll back not what runs. */
  #bundle: Bundle
  #active: Bundle
  #section: JsonObject = {}
  #config: JsonObject = {}
  #process: PluginProcess | undefined
  #host: PluginHost | undefined
  #source: string | undefined
  #keeping: Promise<void> = Promise.resolve()
  #keptHere = false
  #restarts = 0
  #since = ''
  readonly #builtin: boolean
  #ended = false

  constructor(parts: SupervisorParts, bundle: Bundle, builtin: boolean) {
    this.name = bundle.manifest.name
    this.#parts = parts
    this.#bundle = bundle
    this.#active = bundle
    this.#builtin = builtin
    this.#log = parts.log.child({ plugin: this.name })
    this.#machine = new SupervisorMachine(parts.limits)
    this.#states = new DeviceStates({ plugin: this.name, journal: parts.journal, shop: parts.shop, clock: parts.clock, log: this.#log })
  }

  get phase(): Phase {
    return this.#state.phase
  }

  /** What runs, or is to run: after a roll back the old version. */
  get active(): Bundle {
    return this.#active
  }

  /** The folder as it was read last. */
  get bundle(): Bundle {
    return this.#bundle
  }

  /** Validated, with defaults. */
  get config(): JsonObject {
    return this.#config
  }

  get pid(): number | undefined {
    return this.#process?.pid
  }

  /** False while its process should answer and does not. */
  get progressing(): boolean {
    return this.#process?.responsive ?? true
  }

  /** Resolves when it is healthy; rejects with its first failure to become so (it is tried again all the same). */
  async start(section: JsonObject): Promise<void> {
    this.#section = section
    await this.#keeping
    await this.#until('running', { type: 'start', good: this.#hasGood() })
  }

  /** Resolves when the process is gone. */
  async stop(reason: string): Promise<void> {
    await this.#until('stopped', { type: 'stop', reason })
    await this.#states.flush()
    await Promise.all(this.#commits)
  }

  /** Stops for good: what was about to start it finds the door closed. */
  async end(reason: string): Promise<void> {
    this.#ended = true
    await this.stop(reason)
    await this.#keeping
  }

  /** A new process from `bundle`. Rejects with `plugin-start-failed` when it does not become healthy; the old version is back then. */
  async reload(bundle: Bundle, section: JsonObject): Promise<void> {
    await this.#keeping
    this.#bundle = bundle
    this.#section = section
    await this.#until('running', { type: 'restart', good: this.#hasGood(), because: 'reloaded' })
  }

  /** Takes the section in place where the plugin can, else in a new process. What could not be started is in the answer. */
  async configure(section: JsonObject): Promise<Problem[]> {
    this.#section = section
    if (this.#state.phase === 'running' && this.#host) {
      const { config } = checkSection(this.#active, section)
      const { done, problems } = await this.#host.configure(config, CONFIGURE_MOST_MS)
      if (done === 'in-place') {
        this.#config = config
        return this.#problems(problems)
      }
    }
    await this.#keeping
    return this.#report(this.#until('running', { type: 'restart', good: this.#hasGood(), because: 'configured' }))
  }

  /** What could not be started, once `starting` has ended one way or the other. */
  async #report(starting: Promise<void>): Promise<Problem[]> {
    try {
      await starting
    } catch (error) {
      return [{ path: `plugins.${this.name}`, message: `did not start: ${asFailure(error).message}` }]
    }
    return this.#problems((await this.#host?.settled) ?? [])
  }

  /** Like `start`, with what could not be started as the answer. */
  startAndReport(section: JsonObject): Promise<Problem[]> {
    return this.#report(this.start(section))
  }

  run(command: Command, signal: AbortSignal): Promise<Json> {
    if (this.#state.phase === 'quarantined')
      return Promise.reject(new Failure('plugin-quarantined', `plugin "${this.name}" crashed too often; reload it or change its config`))
    if (this.#state.phase !== 'running' || !this.#host)
      return Promise.reject(new Failure('plugin-not-running', `plugin "${this.name}" is ${this.#state.phase}`))
    return this.#host.run(command, signal)
  }

  #problems(problems: readonly DeviceProblem[]): Problem[] {
    return problems.map(({ device, error }) => ({
      path: `plugins.${this.name}.devices.${device}`,
      message: `did not start: ${error.message}`,
    }))
  }

  #until(outcome: 'running' | 'stopped', event: SupervisorEvent): Promise<void> {
    if (this.#ended && outcome === 'running') return Promise.reject(new Failure('stopping', `plugin "${this.name}" is stopping`))
    return new Promise((resolve, reject) => {
      this.#waiters[outcome].push({ resolve, reject })
      this.#feed(event)
    })
  }

  #feed(event: SupervisorEvent): void {
    this.#inbox.push(event)
    if (this.#feeding) return
    this.#feeding = true
    try {
      for (let next = this.#inbox.shift(); next; next = this.#inbox.shift())
        for (const effect of this.#machine.step(this.#state, next)) this.#perform(effect)
    } finally {
      this.#feeding = false
    }
  }

  #perform(effect: SupervisorEffect): void {
    switch (effect.type) {
      case 'spawn':
        this.#spawn(effect.files)
        return
      case 'halt':
        this.#process ? this.#process.stop(this.#state.next.start) : this.#exited('was not running')
        return
      case 'kill':
        this.#process ? this.#process.kill(effect.reason) : this.#exited(effect.reason)
        return
      case 'arm':
        this.#timers.get(effect.timer)?.()
        this.#timers.set(
          effect.timer,
          this.#parts.clock.timer(effect.ms, () => this.#feed({ type: 'timer', timer: effect.timer })),
        )
        return
      case 'disarm':
        this.#timers.get(effect.timer)?.()
        this.#timers.delete(effect.timer)
        return
      case 'keep':
        this.#keep()
        return
      case 'journal':
        this.#journal(effect.event, effect.reason)
        return
      case 'status':
        this.#status(effect.reason)
        return
      case 'settle':
        this.#settle(effect)
        return
    }
  }

  #spawn(files: Files): void {
    const { journal, shop, clock, call, ask, runner, owner, processLimits } = this.#parts
    try {
      const bundle = files === 'good' ? this.#parts.copies.read(this.name) : this.#bundle
      const { config, problems } = checkSection(bundle, this.#section)
      if (problems.length > 0) throw new Failure('config-invalid', problems.map((one) => `${one.path} ${one.message}`).join('; '))
      this.#active = bundle
      this.#config = config
      this.#source = files === 'current' ? fingerprint(bundle.dir) : undefined
      const host = new PluginHost({
        bundle,
        journal,
        shop,
        clock,
        log: this.#log,
        states: this.#states,
        call,
        ask,
        send: (message) => launched.send(message),
      })
      const launched = PluginProcess.launch({
        name: this.name,
        runner,
        owner,
        clock,
        log: this.#log,
        limits: processLimits,
        start: {
          type: 'start',
          entry: bundle.entry,
          config,
          gateway: this.#parts.gateway(),
          permissions: bundle.manifest.permissions ?? [],
          folder: this.#folder(),
          ...(bundle.manifest.permissions?.includes('pseudonym') ? { pseudonyms: this.#parts.pseudonyms } : {}),
        },
        onReady: () => {
          this.#forgetOthers()
          this.#feed({ type: 'ready' })
        },
        onMessage: (message) => host.receive(message),
        onExit: (reason) => {
          host.end(reason)
          this.#exited(reason)
        },
      })
      this.#process = launched
      this.#host = host
      this.#status()
    } catch (error) {
      this.#exited(asFailure(error).message)
    }
  }

  #folder(): string {
    const dir = resolve(this.#parts.folders, this.name)
    mkdirSync(dir, { recursive: true, mode: 0o700 })
    return dir
  }

  #exited(reason: string): void {
    this.#process = undefined
    this.#host = undefined
    const { phase, next } = this.#state
    if (phase === 'stopping') this.#states.setAll({ state: 'offline', detail: 'plugin-stopped' }, next.start ? RESTART_GRACE_MS : 0)
    else {
      this.#restarts += 1
      this.#log.error({ reason }, 'the plugin crashed')
      this.#states.setAll({ state: 'offline', detail: 'plugin-crashed' })
    }
    this.#feed({ type: 'exited', reason, now: this.#parts.clock.mono(), random: Math.random() })
  }

  /** Devices that an earlier config had: their retained state goes. */
  #forgetOthers(): void {
    const wanted = devicesOf(this.#config)
    if (wanted)
      for (const device of this.#states.devices()) if (device !== '-' && !Object.hasOwn(wanted, device)) this.#states.forget(device)
  }

  #hasGood(): boolean {
    // Built-in plugins came with this daemon: what an older one left behind is no version to return to.
    if (this.#builtin && !this.#keptHere) return false
    const kept = this.#parts.copies.kept(this.name)
    return kept !== undefined && kept !== fingerprint(this.#bundle.dir)
  }

  #keep(): void {
    const { copies } = this.#parts
    const source = this.#source
    if (source === undefined) return
    this.#keeping = copies.keep(this.name, this.#active.dir, source).then(
      (kept) => {
        this.#keptHere = kept
        if (!kept)
          this.#log.info({}, 'no copy of this version was kept (too large, or changed meanwhile): a failed reload cannot be rolled back')
      },
      (error: unknown) => this.#log.warn({}, `no copy of this version could be kept: ${asFailure(error).message}`),
    )
  }

  #journal(event: 'loaded' | 'unloaded' | 'crashed' | 'quarantined', reason: string): void {
    const data = { plugin: this.name, version: this.#active.manifest.version, reason }
    this.#log.info({ event, version: data.version, reason }, `plugin ${event}`)
    const commit = this.#parts.journal
      .commit({ events: [{ plugin: 'plugin', device: '-', event, data }] })
      .catch((error: unknown) => this.#log.warn({}, `plugin.${event} was not journaled: ${asFailure(error).message}`))
    this.#commits.add(commit)
    void commit.finally(() => this.#commits.delete(commit))
  }

  #status(reason?: string): void {
    const { phase } = this.#state
    const status: PluginStatus = phase === 'stopping' ? 'stopped' : phase
    this.#since = iso(this.#parts.clock.wall())
    this.#parts.shop.setPlugin({
      name: this.name,
      version: this.#active.manifest.version,
      status,
      since: this.#since,
      restarts: this.#restarts,
      ...(reason === undefined ? {} : { reason }),
    })
  }

  #settle(effect: Extract<SupervisorEffect, { type: 'settle' }>): void {
    const running = this.#waiters.running.splice(0)
    // Whoever waited for a stop that was overtaken by a start waits for nothing any more.
    for (const waiter of this.#waiters.stopped.splice(0)) waiter.resolve()
    for (const waiter of running) {
      if (effect.outcome === 'running') waiter.resolve()
      else if (effect.outcome === 'failed') waiter.reject(new Failure(effect.code, `plugin "${this.name}": ${effect.reason}`))
      else waiter.reject(new Failure('stopping', `plugin "${this.name}" was stopped`))
    }
  }
}

/** `config.devices` where there is such a thing. */
export function devicesOf(config: JsonObject): JsonObject | undefined {
  const { devices } = config
  return devices !== null && typeof devices === 'object' && !Array.isArray(devices) ? devices : undefined
}
