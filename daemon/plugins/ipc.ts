/** What the daemon and a plugin's process say to each other: JSON over Node's IPC channel. */
import type { Command } from '../contract/command.ts'
import type { ErrorBody } from '../contract/errors.ts'
import type { CloudEvent, DeviceEvent, Sequence } from '../contract/event.ts'
import type { Json, JsonObject } from '../contract/json.ts'
import type { AskOptions, DeviceState, Permission, PluginContext } from '../contract/plugin.ts'
import type { PseudonymKey } from '../pseudonyms.ts'

/** What a plugin asks of the daemon and waits for. */
export type Question =
  | { ask: 'get'; key: string }
  | { ask: 'put'; key: string; value: Json }
  | { ask: 'delete'; key: string }
  | { ask: 'list'; prefix: string }
  | { ask: 'hq'; request: string; args: Json; options: AskOptions }
  | { ask: 'call'; plugin: string; device: string; command: string; args: Json }

/** Without a value the key goes: JSON has no `undefined`. */
export interface StorePut {
  key: string
  value?: Json
}

/** `{ok}` or `{error}`; an absent `ok` is `undefined`. */
export type Answer = { ok?: Json } | { error: ErrorBody }

/** A device whose first attempt to start failed. */
export interface DeviceProblem {
  device: string
  error: ErrorBody
}

export type ToPlugin =
  | {
      type: 'start'
      /** Absolute path of the entry file. */
      entry: string
      config: JsonObject
      gateway: PluginContext['gateway']
      permissions: readonly Permission[]
      /** Absolute path of the plugin's durable folder; it exists. */
      folder: string
      /** Where permitted. */
      pseudonyms?: PseudonymKey
    }
  | { type: 'configure'; id: number; config: JsonObject }
  | { type: 'command'; id: number; command: Command }
  | { type: 'abort'; id: number; error: ErrorBody }
  /** One answer for each event of the batch, in order. */
  | { type: 'emitted'; batch: number; answers: (Sequence | ErrorBody)[] }
  /** The transaction of a `commit` was refused, whole. */
  | { type: 'refused'; batch: number; error: ErrorBody }
  | { type: 'answer'; id: number; answer: Answer }
  | { type: 'deliver'; subscription: number; event: CloudEvent }
  | { type: 'ping' }
  /** `again`: the next process of this plugin follows at once. */
  | { type: 'stop'; again: boolean }

export type FromPlugin =
  /** `StartPlugin` has resolved. Devices may still be on their way. */
  | { type: 'ready' }
  /** The first attempt of every device to start has ended. */
  | { type: 'settled'; problems: DeviceProblem[] }
  | { type: 'start-failed'; error: ErrorBody }
  /** The process is about to end because of an error nobody caught. */
  | { type: 'fatal'; message: string }
  | { type: 'configured'; id: number; done: 'in-place' | 'restart'; problems: DeviceProblem[] }
  | { type: 'result'; id: number; answer: Answer }
  | { type: 'emit'; batch: number; events: DeviceEvent[] }
  /** Answered with `emitted`, a sequence for each event, or with `refused`. */
  | { type: 'commit'; batch: number; events: DeviceEvent[]; puts: StorePut[]; mayWait: boolean }
  | { type: 'state'; device: string; state: DeviceState }
  | { type: 'forget'; device: string }
  | { type: 'log'; level: 'debug' | 'info' | 'warn' | 'error'; fields: JsonObject; message: string }
  | { type: 'question'; id: number; question: Question }
  | { type: 'subscribe'; subscription: number; types: string[] }
  | { type: 'delivered'; subscription: number; error?: ErrorBody }
  | { type: 'pong' }

/** Whether one of `permissions` covers the event type or pattern `type` (`shopwire.payment.paid`, `shopwire.payment.*`). */
export function maySubscribe(permissions: readonly Permission[], type: string): boolean {
  return permissions.some((permission) => {
    if (!permission.startsWith('subscribe:')) return false
    const granted = permission.slice('subscribe:'.length)
    return granted.endsWith('*') ? type.startsWith(granted.slice(0, -1)) : granted === type
  })
}

/** Whether an event of `type` is one that `pattern` names. */
export function matchesType(pattern: string, type: string): boolean {
  return pattern.endsWith('*') ? type.startsWith(pattern.slice(0, -1)) : pattern === type
}
