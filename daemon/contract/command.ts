import type { ErrorBody } from './errors.ts'
import type { Json } from './json.ts'

export type CommandSource = 'lan' | 'hq' | 'http' | 'cli' | 'plugin'

/** What a plugin's `handle` receives. `args` has passed the command's schema. */
export interface Command {
  id: string
  device: string
  command: string
  args: Json
  from: CommandSource
}

/** A command as it arrives at dispatch, from any door. */
export interface CommandRequest {
  /** Dedupes for good: a repeat returns the first result. Made up by dispatch when absent. */
  id?: string
  plugin: string
  device: string
  command: string
  args?: Json
  /** RFC 3339. Past it the command is answered `expired` and not run. */
  expiresAt?: string
  from: CommandSource
}

/**
 * `accepted` (journaled), `running`, then one of the final ones. `unknown`: a crash or time-out cut it
 * off and nobody can say whether it took effect; it is never run again by itself.
 */
export type CommandStatus = 'accepted' | 'running' | FinalStatus
export type FinalStatus = 'done' | 'failed' | 'rejected' | 'expired' | 'unknown'

/** Published on `shop/{plugin}/{device}/result`, `up/result`, and returned by HTTP and CLI. */
export interface CommandResult {
  id: string
  status: CommandStatus
  result?: Json
  error?: ErrorBody
}
