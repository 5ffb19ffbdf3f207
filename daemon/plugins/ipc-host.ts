/** The daemon as a plugin sees it, from inside the plugin's process: every `HostPort` call becomes a message. */
import { asFailure, Failure } from '../contract/errors.ts'
import type { CloudEvent } from '../contract/event.ts'
import type { Json, JsonObject } from '../contract/json.ts'
import type { Clock, DeviceState, KeyValue, Permission } from '../contract/plugin.ts'
import type { HostPort } from './context.ts'
import { EmitQueue } from './emit-queue.ts'
import { type Answer, type FromPlugin, maySubscribe, type Question, type ToPlugin } from './ipc.ts'

type Level = 'debug' | 'info' | 'warn' | 'error'

/** Lines of one level that cross to the daemon in one window; the rest are counted. */
const LOG_LINES = 200
const LOG_WINDOW_MS = 10_000

export interface IpcHost extends HostPort {
  /** Takes the messages that answer what was asked here. */
  receive(message: Extract<ToPlugin, { type: 'emitted' | 'refused' | 'answer' | 'deliver' }>): void
  /** Sends the states that are held for the end of this turn: they stand before whatever is sent next. */
  flush(): void
  /** Resolves when every emit has been answered. */
  drain(): Promise<void>
}

export function createIpcHost(parts: { send: (message: FromPlugin) => void; clock: Clock; permissions: readonly Permission[] }): IpcHost {
  const { send, clock } = parts
  const emits = new EmitQueue(send)
  const asked = new Map<number, { resolve: (value: Json | undefined) => void; reject: (failure: Failure) => void }>()
  const handlers: ((event: CloudEvent) => Promise<void>)[] = []
  const states = createStates(send)
  let questions = 0

  const question = (what: Question): Promise<Json | undefined> =>
    new Promise((resolve, reject) => {
      const id = ++questions
      asked.set(id, { resolve, reject })
      try {
        send({ type: 'question', id, question: what })
      } catch (error) {
        asked.delete(id)
        reject(new Failure('payload-malformed', `not plain JSON: ${asFailure(error).message}`))
      }
    })

  const answered = (id: number, answer: Answer): void => {
    const waiting = asked.get(id)
    asked.delete(id)
    if ('error' in answer) waiting?.reject(new Failure(answer.error.code, answer.error.message, answer.error.problems))
    else waiting?.resolve(answer.ok)
  }

  const deliver = async (subscription: number, event: CloudEvent): Promise<void> => {
    try {
      await handlers[subscription]?.(event)
      send({ type: 'delivered', subscription })
    } catch (error) {
      send({ type: 'delivered', subscription, error: asFailure(error, 'plugin-failed').toBody() })
    }
  }

  const store: KeyValue = {
    get: (key) => question({ ask: 'get', key }),
    put: async (key, value) => void (await question({ ask: 'put', key, value })),
    delete: async (key) => void (await question({ ask: 'delete', key })),
    list: async (prefix = '') => (await question({ ask: 'list', prefix })) as unknown as { key: string; value: Json }[],
  }

  return {
    emit: (event) => emits.push(event),
    commit: (commit) => emits.commit(commit),
    state: states.set,
    forget: (device) => {
      states.forget(device)
      send({ type: 'forget', device })
    },
    log: createLogLimit(send, clock),
    call: async (plugin, device, command, args) => (await question({ ask: 'call', plugin, device, command, args })) ?? null,
    ask: async (request, args, options = {}) => (await question({ ask: 'hq', request, args, options })) ?? null,
    subscribe(types, on) {
      const denied = types.find((type) => !maySubscribe(parts.permissions, type))
      if (denied !== undefined) throw new Failure('permission-denied', `plugin.json has no permission "subscribe:${denied}"`)
      handlers.push(on)
      send({ type: 'subscribe', subscription: handlers.length - 1, types: [...types] })
    },
    store,
    receive(message) {
      if (message.type === 'emitted') emits.answer(message.batch, message.answers)
      else if (message.type === 'refused') emits.refuse(message.batch, message.error)
      else if (message.type === 'answer') answered(message.id, message.answer)
      else void deliver(message.subscription, message.event)
    },
    flush: states.flush,
    drain: () => emits.idle(),
  }
}

/** Only the last state of a device in one turn crosses, and only when it is news. */
function createStates(send: (message: FromPlugin) => void): {
  set: (device: string, state: DeviceState) => void
  forget: (device: string) => void
  flush: () => void
} {
  const told = new Map<string, string>()
  const waiting = new Map<string, DeviceState>()
  const flush = (): void => {
    for (const [device, state] of waiting) {
      const text = `${state.state} ${state.detail ?? ''}`
      if (told.get(device) === text) continue
      told.set(device, text)
      send({ type: 'state', device, state: { state: state.state, ...(state.detail === undefined ? {} : { detail: state.detail }) } })
    }
    waiting.clear()
  }
  return {
    set(device, state) {
      if (waiting.size === 0) setImmediate(flush)
      waiting.set(device, state)
    },
    forget(device) {
      waiting.delete(device)
      told.delete(device)
    },
    flush,
  }
}

function createLogLimit(send: (message: FromPlugin) => void, clock: Clock): HostPort['log'] {
  const windows = new Map<Level, { since: number; lines: number }>()
  return (level, fields, message) => {
    const now = clock.mono()
    let window = windows.get(level)
    if (!window || now - window.since >= LOG_WINDOW_MS) {
      const heldBack = Math.max(0, (window?.lines ?? 0) - LOG_LINES)
      window = { since: now, lines: 0 }
      windows.set(level, window)
      if (heldBack > 0) send({ type: 'log', level, fields: { heldBack }, message: 'log lines of this plugin were held back' })
    }
    window.lines += 1
    if (window.lines > LOG_LINES) return
    try {
      send({ type: 'log', level, fields, message })
    } catch {
      send({ type: 'log', level, fields: withoutJson(fields), message })
    }
  }
}

/** What a log line keeps of fields that cannot cross. */
function withoutJson(fields: JsonObject): JsonObject {
  return { unloggable: Object.keys(fields) }
}
