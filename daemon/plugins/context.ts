/** The plugin's side of the door: builds its `PluginContext` on top of whatever carries the messages. */
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
  PluginContext,
  RunningDevice,
  RunningPlugin,
  StartDevice,
} from '../contract/plugin.ts'

/** What a context needs from the other side. The runner does it over IPC, the test harness in memory. */
export interface HostPort {
  emit(event: DeviceEvent): Promise<Sequence>
  state(device: string, state: DeviceState): void
  /** The device is no longer configured: its retained state goes. */
  forget(device: string): void
  log(level: 'debug' | 'info' | 'warn' | 'error', fields: JsonObject, message: string): void
  call(plugin: string, device: string, command: string, args: Json): Promise<Json>
  subscribe(types: string[], on: (event: CloudEvent) => Promise<void>): void
  store: KeyValue
}

export interface ContextParts {
  config: JsonObject
  gateway: PluginContext['gateway']
  clock: Clock
  signal: AbortSignal
  host: HostPort
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
    state: (device, state) => host.state(device, state),
    call: (plugin, device, command, args) => host.call(plugin, device, command, args),
    subscribe: (types, on) => host.subscribe(types, on),
    store: host.store,
    devices: (start) => superviseDevices(parts, start as StartDevice<unknown, JsonObject>),
  }
  return context
}

function logger(host: HostPort, fixed: JsonObject): Logger {
  const at = (level: 'debug' | 'info' | 'warn' | 'error') => (fields: JsonObject, message: string) =>
    host.log(level, { ...fixed, ...fields }, message)
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
}

const RETRY_FIRST_MS = 1_000
const RETRY_MOST_MS = 60_000

/** One configured device: its running instance, or the wait until the next attempt to start it. */
interface Slot {
  config: unknown
  controller: AbortController
  running?: RunningDevice
  /** Settles when the first attempt to start has succeeded or failed. */
  settled: Promise<void>
  done: Promise<void>
}

async function superviseDevices(parts: ContextParts, start: StartDevice<unknown, JsonObject>): Promise<RunningPlugin> {
  const slots = new Map<string, Slot>()
  let config = parts.config

  const run = (name: string, deviceConfig: unknown): void => {
    const controller = new AbortController()
    const first = withResolvers()
    const slot: Slot = { config: deviceConfig, controller, settled: first.promise, done: Promise.resolve() }
    slot.done = keepStarting(slot, deviceContext(parts, config, name, deviceConfig, controller.signal), first.resolve)
    slots.set(name, slot)
  }

  const keepStarting = async (slot: Slot, device: DeviceContext<unknown, JsonObject>, settle: () => void): Promise<void> => {
    for (let wait = RETRY_FIRST_MS; !slot.controller.signal.aborted; wait = Math.min(wait * 2, RETRY_MOST_MS)) {
      try {
        const running = await start(device)
        if (slot.controller.signal.aborted) await running.stop()
        else slot.running = running
        return settle()
      } catch (error) {
        if (slot.controller.signal.aborted) break
        const failure = asFailure(error, 'device-offline')
        device.state({ state: 'fault', detail: 'start-failed' })
        device.log.warn({ code: failure.code, retryInMs: wait }, failure.message)
        settle()
      }
      await parts.clock.sleep(wait, slot.controller.signal).catch(() => {})
    }
    settle()
  }

  const halt = async (name: string): Promise<void> => {
    const slot = slots.get(name)
    if (!slot) return
    slots.delete(name)
    slot.controller.abort(new Failure('stopping', `${name} stops`))
    await slot.done
    await slot.running?.stop()
  }

  const configure = async (next: JsonObject): Promise<void> => {
    const wanted = devicesOf(next)
    const sharedChanged = !isDeepStrictEqual(withoutDevices(next), withoutDevices(config))
    config = next
    const stopping = [...slots].filter(([name, slot]) => sharedChanged || !isDeepStrictEqual(slot.config, wanted[name]))
    await Promise.all(stopping.map(([name]) => halt(name)))
    for (const [name] of stopping) if (!(name in wanted)) parts.host.forget(name)
    for (const [name, deviceConfig] of Object.entries(wanted)) if (!slots.has(name)) run(name, deviceConfig)
    await Promise.all([...slots.values()].map((slot) => slot.settled))
  }

  for (const [name, deviceConfig] of Object.entries(devicesOf(config))) run(name, deviceConfig)
  await Promise.all([...slots.values()].map((slot) => slot.settled))

  return {
    configure,
    async handle(command: Command, signal: AbortSignal): Promise<Json> {
      const slot = slots.get(command.device)
      if (!slot)
        throw new Failure('device-unknown', `there is no device "${command.device}"; there are: ${[...slots.keys()].join(', ') || 'none'}`)
      if (!slot.running) throw new Failure('device-offline', `device "${command.device}" could not be started yet`)
      return slot.running.handle(command, signal)
    },
    async stop(): Promise<void> {
      await Promise.all([...slots.keys()].map(halt))
    },
  }
}

function deviceContext(
  parts: ContextParts,
  shared: JsonObject,
  name: string,
  config: unknown,
  signal: AbortSignal,
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
    state: (state) => {
      if (!signal.aborted) host.state(name, state)
    },
    call: (plugin, device, command, args) => host.call(plugin, device, command, args),
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

function withResolvers(): { promise: Promise<void>; resolve: () => void } {
  let resolve = () => {}
  const promise = new Promise<void>((done) => {
    resolve = done
  })
  return { promise, resolve }
}
