/** One plugin's process: forked, pinged, stopped, killed. What its death means is the supervisor's business. */
import { type ChildProcess, fork } from 'node:child_process'
import type { Clock } from '../contract/plugin.ts'
import type { Log } from '../log.ts'
import type { FromPlugin, ToPlugin } from './ipc.ts'
import { captureOutput } from './output.ts'
import { redact } from './redact.ts'

export interface ProcessLimits {
  /** ms between pings. A message of any kind is a sign of life and saves one. */
  pingMs: number
  /** Pings in a row without a sign of life: the process is killed at the next one. */
  missed: number
  /** ms from being asked to stop to SIGKILL. */
  stopMs: number
}

export const PROCESS_LIMITS: ProcessLimits = { pingMs: 6_000, missed: 2, stopMs: 5_000 }

/** What a plugin's process is. */
export interface PluginRunner {
  /** The bundled runner.ts. */
  file: string
  /** Node's own options. */
  execArgv?: string[]
  /** The shop's, an IANA name: what a plugin calls midnight is the shop's. The machine's own when absent. */
  timeZone?: string | undefined
}

export interface ProcessOptions {
  name: string
  runner: PluginRunner
  /** Marks the process as one of this daemon's: see orphans.ts. */
  owner: string
  start: Extract<ToPlugin, { type: 'start' }>
  clock: Clock
  log: Log
  limits: ProcessLimits
  /** The plugin has started and the process has answered a ping. */
  onReady: () => void
  onMessage: (message: FromPlugin) => void
  /** The process is gone and everything it had sent has been read. Called once. */
  onExit: (reason: string) => void
}

/** Everything in the environment that a plugin may need; secrets of the config come from the environment, too, and stay here. */
const ENVIRONMENT =
  /^(PATH|HOME|USER|LOGNAME|SHELL|LANG|LANGUAGE|LC_.*|TZ|TMPDIR|TEMP|TMP|XDG_.*|CREDENTIALS_DIRECTORY|DBUS_.*|SSL_CERT_.*|NODE_EXTRA_CA_CERTS|NODE_ENV|UV_.*|MALLOC_.*|LD_.*|FAKETIME.*|DONT_FAKE_MONOTONIC|NOBLE_.*|(https?|no|all)_proxy|(HTTPS?|NO|ALL)_PROXY)$/

export class PluginProcess {
  readonly #options: ProcessOptions
  readonly #child: ChildProcess
  readonly #tail: () => string
  #started = false
  #ready = false
  /** A ping is on its way; since the last tick something, or something beside a pong, has arrived. */
  #pinged = false
  #alive = false
  #busy = false
  #missed = 0
  #lastTick = 0
  #cancelPing = (): void => {}
  #cancelKill = (): void => {}
  /** Why it is about to die, where that is known better than from its exit code. */
  #because: string | undefined
  #stopping = false
  #exit: { code: number | null; signal: NodeJS.Signals | null } | undefined
  #disconnected = false
  #closed = false
  #gone = false

  private constructor(options: ProcessOptions, child: ChildProcess, tail: () => string) {
    this.#options = options
    this.#child = child
    this.#tail = tail
  }

  /** Forks. A fork that fails (no memory, no file) is told through `onExit` like any other death. */
  static launch(options: ProcessOptions): PluginProcess {
    const child = fork(options.runner.file, [options.name], {
      execArgv: options.runner.execArgv ?? [],
      serialization: 'json',
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      // A process group of its own: a Ctrl-C at the terminal is not for it, and what it spawns dies with it.
      detached: true,
      env: {
        ...Object.fromEntries(Object.entries(process.env).filter(([key]) => ENVIRONMENT.test(key))),
        ...(options.runner.timeZone === undefined ? {} : { TZ: options.runner.timeZone }),
        SHOPWIRE_PLUGIN: options.name,
        SHOPWIRE_OWNER: options.owner,
      },
    })
    const launched = new PluginProcess(options, child, captureOutput(child, options.log, options.clock))
    launched.#listen()
    launched.send(options.start)
    return launched
  }

  #listen(): void {
    const child = this.#child
    child.on('message', (message) => this.#receive(message as FromPlugin))
    child.on('error', (error) => this.#failed(error))
    child.on('exit', (code, signal) => {
      this.#exit = { code, signal }
      this.#cancelPing()
      this.#cancelKill()
      this.#killGroup()
      // What it had sent and printed is still to be read; a grandchild that holds on to that must not hold us up.
      this.#cancelKill = this.#options.clock.patience(1_000, () => this.#end())
      this.#endWhenRead()
    })
    child.on('close', () => {
      this.#closed = true
      this.#endWhenRead()
    })
    child.on('disconnect', () => {
      this.#disconnected = true
      this.#endWhenRead()
      // Its exit mostly follows at once. Without a channel it is of no use, and cannot be asked to stop.
      if (!this.#exit && !this.#stopping) this.#cancelKill = this.#options.clock.timer(500, () => this.kill('closed its channel'))
    })
  }

  #endWhenRead(): void {
    if (this.#exit && this.#disconnected && this.#closed) this.#end()
  }

  get pid(): number | undefined {
    return this.#child.pid
  }

  /** False while a ping has gone without an answer for longer than one round. */
  get responsive(): boolean {
    return this.#missed < this.#options.limits.missed
  }

  /** What is sent to a process that is gone is lost; its end is told by `onExit`. */
  send(message: ToPlugin): void {
    if (this.#child.connected) this.#child.send(message, () => {})
  }

  /** Asks it to stop, and kills it if it takes too long. `again`: another process of this plugin follows at once. */
  stop(again: boolean): void {
    if (this.#stopping || this.#exit) return
    this.#stopping = true
    this.send({ type: 'stop', again })
    const { clock, limits, log } = this.#options
    this.#cancelKill = clock.timer(limits.stopMs, () => {
      log.warn({}, `did not stop within ${limits.stopMs / 1000} s and was killed`)
      this.kill('did not stop')
    })
  }

  kill(reason: string): void {
    if (this.#exit) return
    this.#because ??= reason
    this.#killGroup()
    this.#child.kill('SIGKILL')
  }

  #receive(message: FromPlugin): void {
    this.#alive = true
    this.#missed = 0
    if (message === null || typeof message !== 'object') return
    if (message.type !== 'pong') this.#busy = true
    switch (message.type) {
      case 'ready':
        this.#started = true
        this.#tick()
        break
      case 'pong':
        if (this.#started && !this.#ready) {
          this.#ready = true
          this.#options.onReady()
        }
        break
      case 'start-failed':
        this.kill(message.error.message)
        break
      case 'fatal':
        this.#because ??= `threw: ${firstLine(message.message)}`
        this.#options.log.error({ stack: redact(String(message.message)).slice(0, 4_000) }, 'an error nobody caught')
        break
      default:
        try {
          this.#options.onMessage(message)
        } catch (error) {
          // Only what is not of our own runner's making can be malformed: a plugin that writes into the channel itself.
          this.kill(`sent a malformed message: ${(error as Error).message}`)
        }
    }
  }

  #tick(): void {
    const { clock, limits } = this.#options
    const now = clock.mono()
    const late = this.#lastTick > 0 && now - this.#lastTick > limits.pingMs * 1.5
    this.#lastTick = now
    // A tick that comes late says that this process was held up, not that one; its answers are read before the next.
    if (this.#pinged && !this.#alive && !late) this.#missed += 1
    if (this.#missed >= limits.missed) {
      this.kill('unresponsive')
      return
    }
    this.#pinged = !this.#busy || !this.#ready
    if (this.#pinged) this.send({ type: 'ping' })
    this.#alive = false
    this.#busy = false
    this.#cancelPing = clock.timer(limits.pingMs, () => this.#tick())
  }

  #failed(error: Error): void {
    this.#options.log.error({}, `process: ${error.message}`)
    if (this.#child.pid !== undefined) return
    this.#because ??= `cannot be started: ${error.message}`
    this.#end()
  }

  #killGroup(): void {
    const { pid } = this.#child
    if (pid === undefined) return
    try {
      process.kill(-pid, 'SIGKILL')
    } catch {
      // No member of the group is left.
    }
  }

  #end(): void {
    if (this.#gone) return
    this.#gone = true
    this.#cancelPing()
    this.#cancelKill()
    this.#options.onExit(redact(this.#because ?? this.#describeExit()).slice(0, 300))
  }

  #describeExit(): string {
    if (this.#tail().includes('heap out of memory')) return 'out of memory'
    if (this.#exit?.signal) return `killed by ${this.#exit.signal}`
    return `exited with code ${this.#exit?.code ?? 'unknown'}`
  }
}

function firstLine(text: unknown): string {
  return String(text).split('\n', 1)[0] ?? ''
}
