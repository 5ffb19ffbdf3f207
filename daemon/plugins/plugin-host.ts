/** What the daemon does for one plugin's process while it lives: its events, states, store, calls, subscriptions, commands. */
import { iso } from '../clock.ts'
import type { Command } from '../contract/command.ts'
import { asFailure, type ErrorBody, Failure } from '../contract/errors.ts'
import type { DeviceEvent } from '../contract/event.ts'
import type { Json, JsonObject } from '../contract/json.ts'
import type { AskOptions, Clock, DeviceState, KeyValue } from '../contract/plugin.ts'
import { DEVICE } from '../contract/topics.ts'
import type { Journal } from '../journal/api.ts'
import type { Log } from '../log.ts'
import type { Shop } from '../shop.ts'
import type { DeviceStates } from './device-states.ts'
import { checkKey, commitEvents, commitTogether } from './events.ts'
import { type Answer, type DeviceProblem, type FromPlugin, maySubscribe, type Question, type ToPlugin } from './ipc.ts'
import type { Bundle } from './manifest.ts'
import { redact } from './redact.ts'
import { Deliveries, follow } from './subscription.ts'

export type CallPlugin = (plugin: string, device: string, command: string, args: Json, from: string) => Promise<Json>

export type AskHq = (plugin: string, request: string, args: Json, options: AskOptions) => Promise<Json>

export interface HostParts {
  bundle: Bundle
  journal: Journal
  shop: Shop
  clock: Clock
  log: Log
  states: DeviceStates
  call: CallPlugin
  ask: AskHq
  send: (message: ToPlugin) => void
}

/** After a command is aborted, its plugin has so long to say what became of it. */
const ABORT_GRACE_MS = 1_000
const SUBSCRIPTIONS_MOST = 32

export type Configured = { done: 'in-place' | 'restart'; problems: DeviceProblem[] }

export class PluginHost {
  readonly #parts: HostParts
  readonly #name: string
  readonly #spaceName: string
  readonly #space: KeyValue
  readonly #deliveries = new Deliveries()
  readonly #ended = new AbortController()
  readonly #commands = new Map<number, { resolve: (answer: Json) => void; reject: (failure: Failure) => void }>()
  readonly #configures = new Map<number, (configured: Configured) => void>()
  readonly #work = new Set<Promise<unknown>>()
  readonly #settled = withResolvers<DeviceProblem[]>()
  #subscriptions = 0
  #ids = 0

  constructor(parts: HostParts) {
    this.#parts = parts
    this.#name = parts.bundle.manifest.name
    this.#spaceName = `plugin:${this.#name}`
    this.#space = parts.journal.space(this.#spaceName)
  }

  /** The devices whose first attempt to start failed; resolves when each has had one, or when the process is gone. */
  get settled(): Promise<DeviceProblem[]> {
    return this.#settled.promise
  }

  /** Throws on what our own runner would never send. */
  receive(message: FromPlugin): void {
    switch (message.type) {
      case 'emit':
        this.#keep(this.#emit(message.batch, message.events))
        return
      case 'commit':
        this.#keep(this.#commit(message))
        return
      case 'state':
        this.#state(message.device, message.state)
        return
      case 'forget':
        this.#parts.states.forget(String(message.device))
        return
      case 'log':
        this.#log(message)
        return
      case 'question':
        this.#keep(this.#answer(message.id, message.question))
        return
      case 'subscribe':
        this.#subscribe(message.subscription, message.types)
        return
      case 'delivered':
        this.#deliveries.done(message.subscription, message.error)
        return
      case 'result':
        this.#result(message.id, message.answer)
        return
      case 'configured':
        this.#configures.get(message.id)?.(message)
        this.#configures.delete(message.id)
        return
      case 'settled':
        this.#settled.resolve(message.problems)
        return
      default:
        throw new Error(`unknown type ${JSON.stringify((message as { type?: unknown }).type)?.slice(0, 40)}`)
    }
  }

  /** Rejects with a `Failure`: the plugin's own, the signal's reason, or `command-interrupted` when the process dies. */
  run(command: Command, signal: AbortSignal): Promise<Json> {
    const id = ++this.#ids
    return new Promise<Json>((resolve, reject) => {
      let cancel = (): void => {}
      const onAbort = (): void => {
        const failure = asFailure(signal.reason, 'command-timeout')
        this.#parts.send({ type: 'abort', id, error: failure.toBody() })
        cancel = this.#parts.clock.timer(ABORT_GRACE_MS, () => settle(() => reject(failure)))
      }
      const settle = (tell: () => void): void => {
        cancel()
        signal.removeEventListener('abort', onAbort)
        this.#commands.delete(id)
        tell()
      }
      this.#commands.set(id, { resolve: (value) => settle(() => resolve(value)), reject: (failure) => settle(() => reject(failure)) })
      this.#parts.send({ type: 'command', id, command })
      if (signal.aborted) onAbort()
      else signal.addEventListener('abort', onAbort, { once: true })
    })
  }

  /** Offers a changed config to the running plugin. `restart` when it cannot take it, is too slow, or is gone. */
  configure(config: JsonObject, mostMs: number): Promise<Configured> {
    const id = ++this.#ids
    return new Promise((resolve) => {
      const cancel = this.#parts.clock.timer(mostMs, () => {
        this.#configures.delete(id)
        resolve({ done: 'restart', problems: [] })
      })
      this.#configures.set(id, (configured) => {
        cancel()
        resolve(configured)
      })
      this.#parts.send({ type: 'configure', id, config })
    })
  }

  /** The process is gone: whatever waits for it hears so. */
  end(reason: string): void {
    this.#ended.abort(new Failure('plugin-not-running', reason))
    this.#deliveries.end()
    for (const waiting of [...this.#commands.values()])
      waiting.reject(new Failure('command-interrupted', `plugin ${this.#name} ended while the command ran: ${reason}`))
    for (const configured of this.#configures.values()) configured({ done: 'restart', problems: [] })
    this.#configures.clear()
    this.#settled.resolve([])
  }

  /** Resolves when every commit and question that this process has begun is over. */
  async idle(): Promise<void> {
    await Promise.allSettled(this.#work)
  }

  #keep(work: Promise<void>): void {
    const kept = work.catch((error: unknown) => this.#parts.log.error({}, `host: ${asFailure(error).message}`))
    this.#work.add(kept)
    void kept.finally(() => this.#work.delete(kept))
  }

  async #emit(batch: number, events: DeviceEvent[]): Promise<void> {
    const { journal, bundle, send } = this.#parts
    const answers = await commitEvents(journal, bundle.schemas, events)
    send({ type: 'emitted', batch, answers })
    this.#touch(events.filter((_, at) => typeof answers[at] === 'number'))
  }

  async #commit(message: Extract<FromPlugin, { type: 'commit' }>): Promise<void> {
    const { journal, bundle, send } = this.#parts
    const { batch, events } = message
    try {
      const answers = await commitTogether(journal, bundle.schemas, this.#spaceName, message)
      send({ type: 'emitted', batch, answers })
    } catch (error) {
      send({ type: 'refused', batch, error: asFailure(error, 'journal-failed').toBody() })
      return
    }
    this.#touch(events)
  }

  /** The devices were heard of just now. */
  #touch(events: readonly DeviceEvent[]): void {
    const { shop, clock } = this.#parts
    const now = iso(clock.wall())
    for (const device of new Set(events.map((event) => event.device))) shop.touchDevice(this.#name, device, now)
  }

  #state(device: string, state: DeviceState): void {
    if (typeof device !== 'string' || !DEVICE.test(device) || !['online', 'offline', 'fault'].includes(state?.state)) {
      this.#parts.log.warn({}, `a device state was refused: ${JSON.stringify({ device, state }).slice(0, 200)}`)
      return
    }
    this.#parts.states.set(device, state)
  }

  #log({ level, fields, message }: Extract<FromPlugin, { type: 'log' }>): void {
    if (!['debug', 'info', 'warn', 'error'].includes(level)) return
    const safe: JsonObject = {}
    for (const [key, value] of Object.entries(fields ?? {})) safe[key] = typeof value === 'string' ? redact(value).slice(0, 4_000) : value
    this.#parts.log[level](safe, redact(String(message)).slice(0, 4_000))
  }

  async #answer(id: number, question: Question): Promise<void> {
    this.#parts.send({ type: 'answer', id, answer: await this.#ask(question) })
  }

  async #ask(question: Question): Promise<Answer> {
    try {
      const ok = await this.#askOrThrow(question)
      return ok === undefined ? {} : { ok }
    } catch (error) {
      return { error: asFailure(error).toBody() }
    }
  }

  async #askOrThrow(question: Question): Promise<Json | undefined> {
    if (question.ask === 'call') {
      const { plugin, device, command, args } = question
      if (!this.#parts.bundle.manifest.permissions?.includes(`call:${plugin}`))
        throw new Failure('permission-denied', `plugin.json of ${this.#name} has no permission "call:${plugin}"`)
      return this.#parts.call(plugin, device, command, args, this.#name)
    }
    if (question.ask === 'hq') {
      if (!this.#parts.bundle.manifest.permissions?.includes('hq'))
        throw new Failure('permission-denied', `plugin.json of ${this.#name} has no permission "hq"`)
      return this.#parts.ask(this.#name, question.request, question.args, question.options)
    }
    if (question.ask === 'list') return (await this.#space.list(String(question.prefix))) as unknown as Json
    const key = checkKey(question.key)
    if (question.ask === 'get') return this.#space.get(key)
    if (question.ask === 'delete') await this.#space.delete(key)
    else await this.#space.put(key, question.value ?? null)
    return undefined
  }

  #subscribe(subscription: number, types: string[]): void {
    const { bundle, journal, clock, log, send } = this.#parts
    const permissions = bundle.manifest.permissions ?? []
    // The runner has refused this already; a plugin that writes into the channel itself is no exception.
    if (
      subscription !== this.#subscriptions ||
      subscription >= SUBSCRIPTIONS_MOST ||
      !types.every((type) => maySubscribe(permissions, type))
    )
      throw new Error('a subscription that is not permitted')
    this.#subscriptions += 1
    this.#keep(
      follow({
        plugin: this.#name,
        index: subscription,
        types,
        journal,
        clock,
        log,
        signal: this.#ended.signal,
        deliver: (event) => this.#deliveries.start(subscription, () => send({ type: 'deliver', subscription, event })),
      }),
    )
  }

  #result(id: number, answer: Answer): void {
    const waiting = this.#commands.get(id)
    if ('error' in answer) waiting?.reject(failureOf(answer.error))
    else waiting?.resolve(answer.ok ?? null)
  }
}

function failureOf({ code, message, problems }: ErrorBody): Failure {
  return new Failure(code, message, problems)
}

function withResolvers<Value>(): { promise: Promise<Value>; resolve: (value: Value) => void } {
  let resolve: (value: Value) => void = () => {}
  const promise = new Promise<Value>((done) => {
    resolve = done
  })
  return { promise, resolve }
}
