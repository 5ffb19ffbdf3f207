/** What the print machine knows, hears and asks for. */

import type { ErrorBody } from '../../../daemon/contract/errors.ts'
import type { DeviceState, MonoMs } from '../../../daemon/contract/plugin.ts'
import type { Paper, StatusReport } from '../protocol/status.ts'
import type { Job, Progress, StoredJob } from './job.ts'

export interface Settings {
  statusMode: 'auto' | 'required' | 'none'
  keepOpen: boolean
  pollMs: number
  holdMs: number
  recoverMs: number
  history: number
}

/** What this printer has been seen to do; kept over restarts. `marks`: answers `GS r`. */
export interface Abilities {
  status: 'untried' | 'yes'
  marks: 'untried' | 'yes' | 'no'
}

export type LineFault = 'unreachable' | 'busy' | 'unplugged'

/**
 * `recording`: what is about to be sent is made durable. `sending`, `confirming`: bytes are out, the mark is awaited.
 * `checking`: the copy is confirmed; the status after it decides about the next one.
 */
type Step = 'recording' | 'sending' | 'confirming' | 'checking'

export interface Active {
  id: string
  step: Step
  /** The connection it began on. */
  line: number
  copy: number
  /** The printer answers nothing: hand over and say so. */
  blind: boolean
  /** A mark follows this copy; its answer is the proof. */
  marked: boolean
  /** Give up at this time. */
  deadline: number
  /** While sending: the printer should have taken something by then. */
  stallAt: number
  confirmMs: number
  /** In the middle of the job the printer ran out of paper or the like. */
  interrupted: boolean
  /** A status asked after the last byte was written was good. */
  wellSince: boolean
}

export interface Entry extends StoredJob {
  since: number
  /** `no`: its job is in no store yet. `entering`: it is on its way there. */
  kept: 'no' | 'entering' | 'yes'
}

export interface PrintState {
  readonly settings: Settings
  readonly jobs: Map<string, Entry>
  queue: string[]
  active: Active | undefined
  abilities: Abilities
  /** Counts connections: what an old one still says is not heard. */
  line: number
  lineIs: 'closed' | 'opening' | 'open'
  asking: 'no' | 'status' | 'fence'
  /** The printer may hold the rest of a job that was cut off. */
  dirty: boolean
  /** How long a command may be that the cut left open. */
  dirtyBytes: number
  report: StatusReport | undefined
  shown: DeviceState | undefined
  probe: boolean
  /** The printer could not go on since then. */
  blockedSince: number | undefined
  blockedBy: string
  openAt: number
  askAt: number
  pollAt: number
  /** Failures to open, and unanswered questions, in a row. */
  refused: number
  silent: number
  /** Failed jobs that the disk would not take as such; until it does, a restart would print them, so nobody is told. */
  unrecorded: string[]
  recordAt: number
  stopping: boolean
}

export type PrintEvent = { now: MonoMs } & (
  | { type: 'submitted'; job: Job }
  | { type: 'entered'; id: string }
  | { type: 'enter-failed'; id: string; error: ErrorBody }
  | { type: 'recorded'; id: string; phase: Progress['phase'] }
  | { type: 'record-failed'; id: string; phase: Progress['phase']; error: ErrorBody }
  /** Only a job of which nothing was sent can be taken back. */
  | { type: 'cancel'; id: string; error: ErrorBody }
  | { type: 'probe' }
  | { type: 'tick' }
  | { type: 'opened'; line: number }
  | { type: 'open-failed'; line: number; fault: LineFault; jitter: number }
  | { type: 'closed'; line: number; fault: LineFault }
  | { type: 'status'; line: number; report: StatusReport; asked: boolean }
  /** `garbage`: bytes came that no status is made of (a wrong baud rate, or no printer). */
  | { type: 'no-status'; line: number; garbage: boolean }
  | { type: 'fenced'; line: number; ok: boolean }
  | { type: 'wrote'; line: number; id: string }
  | { type: 'handed-over'; line: number; id: string; confirmMs: number }
  | { type: 'marked'; line: number; paper: Paper }
  | { type: 'stop' }
)

export type PrintEffect =
  | { do: 'open'; line: number }
  | { do: 'close'; line: number }
  | { do: 'ask'; line: number }
  | { do: 'fence'; line: number; bytes: number }
  /** Makes the job durable, then `entered`. */
  | { do: 'enter'; job: Job }
  /** It could not be made durable: who brought it hears so, and nothing of it happens. */
  | { do: 'refuse'; id: string; error: ErrorBody }
  /**
   * Makes the progress durable, in one transaction with what is not there yet of its `job` and, once it is final, with its event; then
   * `recorded`. Momentary jobs are only kept in memory.
   */
  | { do: 'record'; job: Job; progress: Progress; keep: 'nothing' | 'progress' | 'job-and-progress' }
  /** Writes one copy, then `wrote` for each piece taken and `handed-over`. */
  | { do: 'send'; line: number; job: Job; copy: number; mark: boolean; ready: boolean }
  /** Whoever waits for the job is answered. */
  | { do: 'finish'; job: Job; progress: Progress }
  | { do: 'forget'; ids: string[] }
  | { do: 'remember'; abilities: Abilities }
  | { do: 'state'; state: DeviceState }
  /** Something was learnt for those who asked for the status. */
  | { do: 'answer-probes' }
  | { do: 'wake'; at: MonoMs }

export const RETRY_FIRST_MS = 250

export const BLOCKED_ASK_MS = 1_000

export const CONFIRMING_ASK_MS = 1_500

export const STALL_MS = 3_000
