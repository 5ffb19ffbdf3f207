/** The plugin's side of the door: builds its `PluginContext` on top of whatever carries the messages. */
import { setMaxListeners } from 'node:events'
import { isDeepStrictEqual } from 'node:util'
import type { Command } from '../contract/command.ts'
import { asFailure, Failure } from '../contract/errors.ts'
import type { CloudEvent, DeviceEvent, Sequence } from '../contract/event.ts'
import type { Json, JsonObject } from '../contract/json.ts'
import type {
  Clock,
  DeviceContext,
  DeviceState,
  KeyValue,
  Logger,
  PluginCommit,
  PluginContext,
  Pseudonym,
  RunningDevice,
  RunningPlugin,
  StartDevice,
} from '../contract/plugin.ts'
import type { PseudonymKey } from '../pseudonyms.ts'
import { pseudonyms } from './pseudonym.ts'

/** What a context needs from the other side. The runner does it over IPC, the test harness in memory. */
export interface HostPort {
  emit(event: DeviceEvent): Promise<Sequence>
  commit(commit: PluginCommit): Promise<Sequence[]>
  state(device: string, state: DeviceState): void
  /** The device is no longer configured: its retained state goes. */
  forget(device: string): void
  log(level: 'debug' | 'info' | 'warn' | 'error', fields: JsonObject, message: string): void
  call(plugin: string, device: string, command: string, args: Json): Promise<Json>
  ask: PluginContext['ask']
  subscribe(types: string[], on: (event: CloudEvent) => Promise<void>): void
  store: KeyValue
}

export interface ContextParts {
  config: JsonObject
  gateway: PluginContext['gateway']
  clock: Clock
  signal: AbortSignal
  host: HostPort
  /** Durable and the plugin's own; it exists. */
  folder: string
  /** Absent where the manifest does not permit it. */
  pseudonyms?: PseudonymKey
  /**
   * Hears of every first attempt to start a device. Where it is given, `devices` and `configure` do not wait for these
   * attempts: one printer that takes 10 s to refuse a connection must not keep a plugin from becoming ready.
   */
  watch?: DeviceWatch
}

export interface DeviceWatch {
  starting(device: string): void
  started(device: string, failure?: Failure): void
}

export function createContext(parts: ContextParts): PluginContext {
  const { host } = parts
  const context: PluginContext = {
    config: parts.config,
    log: logger(host, {}),
    clock: parts.clock,
    signal: parts.signal,
    gateway: parts.gateway,
    emit: (event) => host.emit(event),
    commit: (commit) => host.commit(commit),
    state: (device, state) => host.state(device, state),
    call: (plugin, device, command, args) => host.call(plugin, device, command, args),
    ask: (request, args, options) => host.ask(request, args, options),
    pseudonym: pseudonymOf(parts),
    subscribe: (types, on) => host.subscribe(types, on),
    store: host.store,
    folder: parts.folder,
    devices: (start) => superviseDevices(parts, start as StartDevice<unknown, JsonObject>),
  }
  return context
}

function pseudonymOf({ pseudonyms: key, clock }: ContextParts): Pseudonym {
  if (key) return pseudonyms(key, () => clock.wall())
  return () => {
    throw new Failure('permission-denied', 'plugin.json has no permission "pseudonym"')
  }
}

function logger(host: HostPort, fixed: JsonObject): Logger {
  const at = (level: 'debug' | 'info' | 'warn' | 'error') => (fields: JsonObject, message: string) =>
    host.log(level, { ...fixed, ...fields }, message)
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
}

const RETRY_FIRST_MS = 1_000
const RETRY_MOST_MS = 60_000
/** A device that does not let go within this time makes `configure` and `stop` fail; the process is replaced then. */
const STOP_MOST_MS = 4_000

/** One configured device: its running instance, or the wait until the next attempt to start it. */
interface Slot {
  config: unknown
  controller: AbortController
  running?: RunningDevice
  /** Resolves when the first attempt to start has succeeded or failed. */
  settled: Promise<void>
  /** Resolves when no attempt to start is under way any more. */
  done: Promise<void>
}

async function superviseDevices(parts: ContextParts, start: StartDevice<unknown, JsonObject>): Promise<RunningPlugin> {
  const slots = new Map<string, Slot>()
  const log = logger(parts.host, {})
  let config = parts.config

  const run = (name: string, deviceConfig: unknown): void => {
    const controller = new AbortController()
    // A device may wait for many things at once: 500 scans while the disk is full.
    setMaxListeners(0, controller.signal)
    const first = withResolvers()
    const slot: Slot = { config: deviceConfig, controller, settled: first.promise, done: Promise.resolve() }
    slots.set(name, slot)
    parts.watch?.starting(name)
    let told = false
    slot.done = keepStarting(name, slot, config, (failure) => {
      if (told) return
      told = true
      parts.watch?.started(name, failure)
      first.resolve()
    })
  }

  const keepStarting = async (name: string, slot: Slot, shared: JsonObject, settle: (failure?: Failure) => void): Promise<void> => {
    const { signal } = slot.controller
    let failed = false
    for (let wait = RETRY_FIRST_MS; !signal.aborted; wait = Math.min(wait * 2, RETRY_MOST_MS)) {
      let said = false
      const device = deviceContext(parts, shared, name, slot.config, signal, () => {
        said = true
      })
      try {
        const running = await start(device)
        if (signal.aborted) return await running.stop()
        slot.running = running
        if (failed && !said) device.state({ state: 'online' })
        return settle()
      } catch (error) {
        if (signal.aborted) break
        failed = true
        const failure = asFailure(error, 'device-offline')
        device.state({ state: 'fault', detail: 'start-failed' })
        device.log.warn({ code: failure.code, retryInMs: wait }, failure.message)
        settle(failure)
      }
      await parts.clock.sleep(wait, signal).catch(() => {})
    }
    settle(new Failure('stopping', `${name} was stopped before it had started`))
  }

  const halt = async (name: string): Promise<void> => {
    const slot = slots.get(name)
    if (!slot) return
    slots.delete(name)
    slot.controller.abort(new Failure('stopping', `${name} stops`))
    const stopped = (async () => {
      await slot.done
      await slot.running?.stop()
    })()
    await within(parts.clock, STOP_MOST_MS, stopped, name)
  }

  /** Stops all of `names`, whatever one of them does; then throws the first failure. */
  const haltAll = async (names: readonly string[]): Promise<void> => {
    const outcomes = await Promise.allSettled(names.map(halt))
    const failed = outcomes.find((one) => one.status === 'rejected')
    if (failed) throw failed.reason
  }

  const configure = async (next: JsonObject): Promise<void> => {
    const wanted = devicesOf(next)
    const sharedChanged = !isDeepStrictEqual(withoutDevices(next), withoutDevices(config))
    config = next
    const stopping = [...slots].filter(([name, slot]) => sharedChanged || !isDeepStrictEqual(slot.config, wanted[name]))
    await haltAll(stopping.map(([name]) => name))
    for (const [name] of stopping) if (!Object.hasOwn(wanted, name)) parts.host.forget(name)
    for (const [name, deviceConfig] of Object.entries(wanted)) if (!slots.has(name)) run(name, deviceConfig)
    await firstAttempts()
  }

  const firstAttempts = async (): Promise<void> => {
    if (!parts.watch) await Promise.all([...slots.values()].map((slot) => slot.settled))
  }

  const ready = async (name: string, slot: Slot, signal: AbortSignal): Promise<RunningDevice> => {
    if (!slot.running) await Promise.race([slot.settled, aborted(signal)])
    if (!slot.running) throw new Failure('device-offline', `device "${name}" could not be started yet`)
    return slot.running
  }

  for (const [name, deviceConfig] of Object.entries(devicesOf(config))) run(name, deviceConfig)
  await firstAttempts()

  return {
    configure,
    async handle(command: Command, signal: AbortSignal): Promise<Json> {
      const { device } = command
      const slot = slots.get(device)
      if (!slot) throw new Failure('device-unknown', `there is no device "${device}"; there are: ${[...slots.keys()].join(', ') || 'none'}`)
      return (await ready(device, slot, signal)).handle(command, signal)
    },
    async stop(): Promise<void> {
      await haltAll([...slots.keys()]).catch((error: unknown) => log.warn({}, asFailure(error).message))
    },
  }
}

function deviceContext(
  parts: ContextParts,
  shared: JsonObject,
  name: string,
  config: unknown,
  signal: AbortSignal,
  said: () => void,
): DeviceContext<unknown, JsonObject> {
  const { host } = parts
  return {
    name,
    config,
    shared,
    log: logger(host, { device: name }),
    clock: parts.clock,
    signal,
    gateway: parts.gateway,
    emit: (event, data, time) => host.emit({ device: name, event, data, ...(time === undefined ? {} : { time }) }),
    commit: ({ events, store, ...rest }) =>
      host.commit({
        ...rest,
        ...(events ? { events: events.map((event) => ({ ...event, device: name })) } : {}),
        ...(store ? { store: store.map(([key, value]) => [`${name}/${key}`, value] as const) } : {}),
      }),
    state: (state) => {
      said()
      // An instance that is being replaced must not overwrite what its successor says.
      if (!signal.aborted) host.state(name, state)
    },
    call: (plugin, device, command, args) => host.call(plugin, device, command, args),
    ask: (request, args, options) => host.ask(request, args, options),
    pseudonym: pseudonymOf(parts),
    store: prefixed(host.store, `${name}/`),
  }
}

function prefixed(store: KeyValue, prefix: string): KeyValue {
  return {
    get: (key) => store.get(prefix + key),
    put: (key, value) => store.put(prefix + key, value),
    delete: (key) => store.delete(prefix + key),
    list: async (under = '') => (await store.list(prefix + under)).map(({ key, value }) => ({ key: key.slice(prefix.length), value })),
  }
}

function devicesOf(config: JsonObject): JsonObject {
  const devices = config.devices
  return devices !== null && typeof devices === 'object' && !Array.isArray(devices) ? devices : {}
}

function withoutDevices(config: JsonObject): JsonObject {
  const { devices: _devices, ...rest } = config
  return rest
}

async function within(clock: Clock, ms: number, work: Promise<void>, name: string): Promise<void> {
  let cancel = () => {}
  const late = new Promise<never>((_resolve, reject) => {
    cancel = clock.timer(ms, () => reject(new Failure('device-fault', `device "${name}" did not stop within ${ms / 1000} s`)))
  })
  try {
    await Promise.race([work, late])
  } finally {
    cancel()
  }
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    if (signal.aborted) reject(signal.reason)
    else signal.addEventListener('abort', () => reject(signal.reason), { once: true })
  })
}

function withResolvers(): { promise: Promise<void>; resolve: () => void } {
  let resolve = () => {}
  const promise = new Promise<void>((done) => {
    resolve = done
  })
  return { promise, resolve }
}
