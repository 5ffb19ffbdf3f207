/**
 * The entry of every plugin's process. It loads one plugin, gives it its context over IPC, and ends with the daemon: it owns
 * nothing that must be saved, so it never outlives the channel.
 */
import { systemClock } from '../clock.ts'
import type { Command } from '../contract/command.ts'
import { asFailure, type ErrorBody, Failure } from '../contract/errors.ts'
import type { JsonObject } from '../contract/json.ts'
import type { RunningPlugin } from '../contract/plugin.ts'
import { createContext } from './context.ts'
import { createDeviceWatch, type SettlingWatch } from './device-watch.ts'
import type { Answer, FromPlugin, ToPlugin } from './ipc.ts'
import { createIpcHost, type IpcHost } from './ipc-host.ts'
import { loadEntry } from './load-entry.ts'

/** First attempts of devices that take longer are reported as not started yet. */
const SETTLE_MOST_MS = 10_000

function send(message: FromPlugin, sent: () => void = () => {}): void {
  // With a callback a closed channel is no exception; `disconnect` ends this process anyway.
  process.send?.(message, undefined, {}, sent)
}

class Runner {
  readonly #controller = new AbortController()
  readonly #commands = new Map<number, AbortController>()
  readonly #watch: SettlingWatch = createDeviceWatch(systemClock, SETTLE_MOST_MS)
  #host: IpcHost | undefined
  #starting: Promise<RunningPlugin | undefined> = Promise.resolve(undefined)
  #running: RunningPlugin | undefined

  receive(message: ToPlugin): void {
    switch (message.type) {
      case 'start':
        this.#starting = this.#start(message)
        break
      case 'configure':
        this.#soon(this.#configure(message.id, message.config))
        break
      case 'command':
        this.#soon(this.#command(message.id, message.command))
        break
      case 'abort':
        this.#commands.get(message.id)?.abort(failureOf(message.error))
        break
      case 'ping':
        send({ type: 'pong' })
        break
      case 'stop':
        this.#soon(this.#stop(message.again))
        break
      default:
        this.#host?.receive(message)
    }
  }

  /** Who hears that something is done must find the device states that came of it. */
  #say(message: FromPlugin): void {
    this.#host?.flush()
    send(message)
  }

  /** None of these rejects but by a defect of ours, and that is to end the process. */
  #soon(work: Promise<void>): void {
    work.catch(fatal)
  }

  async #start(message: Extract<ToPlugin, { type: 'start' }>): Promise<RunningPlugin | undefined> {
    try {
      const start = await loadEntry(message.entry)
      const host = createIpcHost({ send, clock: systemClock, permissions: message.permissions })
      this.#host = host
      const round = this.#watch.round()
      const running = await start(
        createContext({
          config: message.config,
          gateway: message.gateway,
          folder: message.folder,
          ...(message.pseudonyms ? { pseudonyms: message.pseudonyms } : {}),
          clock: systemClock,
          signal: this.#controller.signal,
          host,
          watch: this.#watch,
        }),
      )
      if (typeof running?.handle !== 'function' || typeof running.stop !== 'function')
        throw new Failure('plugin-start-failed', 'the start function did not return {handle, stop}')
      this.#running = running
      this.#say({ type: 'ready' })
      this.#soon(round().then((problems) => this.#say({ type: 'settled', problems })))
      return running
    } catch (error) {
      send({ type: 'start-failed', error: asFailure(error, 'plugin-start-failed').toBody() })
      return undefined
    }
  }

  async #configure(id: number, config: JsonObject): Promise<void> {
    const restart = (): void => send({ type: 'configured', id, done: 'restart', problems: [] })
    if (!this.#running?.configure) return restart()
    const round = this.#watch.round()
    try {
      await this.#running.configure(config)
    } catch (error) {
      this.#host?.log('warn', {}, `the new config could not be taken in place: ${asFailure(error).message}`)
      return restart()
    }
    this.#say({ type: 'configured', id, done: 'in-place', problems: await round() })
  }

  async #command(id: number, command: Command): Promise<void> {
    const controller = new AbortController()
    this.#commands.set(id, controller)
    const answer = await this.#handle(command, controller.signal)
    this.#commands.delete(id)
    try {
      this.#say({ type: 'result', id, answer })
    } catch (error) {
      const failure = new Failure('plugin-failed', `the result is not plain JSON: ${asFailure(error).message}`)
      send({ type: 'result', id, answer: { error: failure.toBody() } })
    }
  }

  async #handle(command: Command, signal: AbortSignal): Promise<Answer> {
    try {
      if (!this.#running) throw new Failure('plugin-not-running', 'the plugin has not started yet')
      return { ok: (await this.#running.handle(command, signal)) ?? null }
    } catch (error) {
      return { error: asFailure(error, 'plugin-failed').toBody() }
    }
  }

  async #stop(again: boolean): Promise<void> {
    this.#controller.abort(new Failure('stopping', 'the plugin is to stop'))
    const running = await this.#starting
    try {
      await running?.stop({ again })
    } catch (error) {
      this.#host?.log('warn', {}, `stop failed: ${asFailure(error).message}`)
    }
    // What was emitted on the way out is still stored, and a caller that awaits it hears so.
    this.#host?.flush()
    await this.#host?.drain()
    // Messages leave in order: when this one is out, so are all before it.
    send({ type: 'pong' }, () => process.exit(0))
  }
}

function failureOf({ code, message, problems }: ErrorBody): Failure {
  return new Failure(code, message, problems)
}

let ending = false

function fatal(error: unknown): void {
  if (ending) return
  ending = true
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
  // The channel may be what is broken: end all the same.
  setTimeout(() => process.exit(1), 500)
  send({ type: 'fatal', message: text }, () => process.exit(1))
}

/** With everything this plugin has started (the daemon makes it the leader of a process group of its own). */
function endGroup(): void {
  try {
    process.kill(-process.pid, 'SIGKILL')
  } finally {
    process.exit(0)
  }
}

const runner = new Runner()
process.on('uncaughtException', fatal)
process.on('unhandledRejection', fatal)
// A Ctrl-C or a service stop reaches the whole group; the order of stopping is the daemon's.
process.on('SIGINT', () => {})
process.on('SIGTERM', () => {})
process.on('disconnect', endGroup)
process.on('message', (message) => runner.receive(message as ToPlugin))
