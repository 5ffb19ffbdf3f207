/** What the dispatch machine knows, hears and asks for. */
import type { CommandResult, CommandSource, FinalStatus } from '../contract/command.ts'
import type { ErrorBody } from '../contract/errors.ts'
import type { ClockState } from '../contract/event.ts'
import type { Json } from '../contract/json.ts'
import type { WallMs } from '../contract/plugin.ts'

/** A request that is well-formed; nothing is known yet of its plugin. */
export interface Asked {
  id: string
  plugin: string
  device: string
  command: string
  from: CommandSource
  /** As given, defaults not filled in. */
  args: Json
  /** SHA-256 of the canonical args as given. */
  argsDigest: string
  /** Unix milliseconds. */
  expiresAt?: number
  /** It may run beside the others of its device. */
  concurrent?: boolean
  /** The id was made up here: it cannot have been seen before. */
  fresh: boolean
}

/** What the plugin's manifest says of a command: it may run, with these arguments, or why not. */
export type Verdict =
  | {
      ok: true
      /** Defaults filled in, whole: for the plugin only. */
      args: Json
      /** For journal and log. */
      masked: Json
      /** Texts that must not come back in a result or an error. */
      secrets: string[]
      timeoutMs: number
      repeatable: boolean
    }
  | { ok: false; error: ErrorBody }

export interface Final {
  status: FinalStatus
  result?: Json
  error?: ErrorBody
}

/** What the journal keeps of a command. */
export interface CommandRecord {
  /** `plugin/device/command` */
  target: string
  from: CommandSource
  /** RFC 3339, of its acceptance. */
  at: string
  clock: ClockState
  /** Grows from record to record; survives restarts. */
  order: number
  /** Absent when the args hold a secret: not even a digest of one is stored. */
  argsDigest?: string
  status: 'accepted' | FinalStatus
  result?: Json
  error?: ErrorBody
  /** What it takes to run it again after a crash: repeatable commands without secrets only. */
  again?: { args: Json; expiresAt?: number; runs: number }
}

export interface Entry {
  asked: Asked
  phase: 'looking' | 'accepting' | 'waiting' | 'queued' | 'running' | 'finishing' | 'unsettled'
  /** Callers to be answered. */
  tickets: number[]
  verdict?: Verdict & { ok: true }
  /** Its record, when it comes from before a crash. */
  recovered?: CommandRecord
  final?: Final
  /** The journal has its acceptance. */
  journaled: boolean
}

export interface Limits {
  /** Commands not yet finished, at most: in all, and for one device. */
  inFlight: number
  perDevice: number
  /** How often a repeatable command is run again after crashes before it is given up: it may be what crashes us. */
  reruns: number
}

export interface DispatchState {
  limits: Limits
  entries: Map<string, Entry>
  /** `plugin/device` -> ids in the order they came, the running one first. */
  queues: Map<string, string[]>
  stopping: boolean
}

export interface Now {
  wall: WallMs
  clock: ClockState
}

export type DispatchEvent = { now: Now } & (
  | { kind: 'submitted'; ticket: number; asked: Asked }
  | { kind: 'looked-up'; id: string; record?: CommandRecord; verdict: Verdict }
  | { kind: 'accepted'; id: string }
  | { kind: 'accept-failed'; id: string; error: ErrorBody }
  | { kind: 'ran'; id: string; final: Final }
  | { kind: 'finished'; id: string }
  | { kind: 'finish-failed'; id: string; error: ErrorBody }
  | { kind: 'settle'; id: string }
  | { kind: 'recovered'; commands: { asked: Asked; record: CommandRecord }[] }
  | { kind: 'resumed'; verdicts: { id: string; verdict: Verdict }[] }
  | { kind: 'stop' }
  | { kind: 'grace-over' }
)

export type DispatchEffect =
  | { kind: 'look-up'; id: string }
  /** Journal that it is accepted. It must not run before that is durable. */
  | { kind: 'accept'; id: string }
  | { kind: 'run'; id: string }
  | { kind: 'abort'; id: string }
  /** Journal the entry's `final`. */
  | { kind: 'finish'; id: string }
  | { kind: 'settle-later'; id: string }
  | { kind: 'answer'; ticket: number; result: CommandResult }
  | { kind: 'progress'; ticket: number; result: CommandResult }
  /** Nothing is under way any more and nothing new is taken. */
  | { kind: 'drained' }

export function initialDispatch(limits: Limits): DispatchState {
  return { limits, entries: new Map(), queues: new Map(), stopping: false }
}

/** `plugin/device/command` */
export const targetOf = (asked: Asked): string => `${asked.plugin}/${asked.device}/${asked.command}`
