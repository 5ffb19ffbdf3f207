import type { Command, CommandRequest, CommandResult } from '../contract/command.ts'
import type { ErrorBody } from '../contract/errors.ts'
import type { Json } from '../contract/json.ts'
import type { CommandSpec } from '../contract/plugin.ts'

/** The one door through which commands from LAN, HQ, HTTP, CLI and plugins reach a plugin. */
export interface Dispatch {
  /**
   * Validates, dedupes, journals, runs, journals the outcome. Always resolves, with a final status; errors are in it.
   * `progress` hears `accepted` and `running`.
   */
  submit(request: CommandRequest, progress?: (result: CommandResult) => void): Promise<CommandResult>
}

/** What dispatch needs of whoever runs commands: the plugins, and the gateway's own commands. */
export interface CommandTarget {
  /** What `plugin` offers, or why a command cannot reach it (`plugin-not-found`, `device-unknown`, …). */
  describe(plugin: string, device: string, command: string): CommandSpec | ErrorBody
  /** Rejects with a `Failure`. `command.args` has passed the schema, unmasked. */
  run(plugin: string, command: Command, signal: AbortSignal): Promise<Json>
}
