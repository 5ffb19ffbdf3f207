/** The gateway's own commands, through the same door as the plugins': `shop/gateway/-/cmd/{command}`, `dn/command` with plugin `gateway`. */
import type { Command } from './contract/command.ts'
import type { ErrorBody } from './contract/errors.ts'
import { Failure } from './contract/errors.ts'
import type { Json, JsonObject } from './contract/json.ts'
import type { CommandSpec, Manifest } from './contract/plugin.ts'
import { PLUGIN_API } from './contract/plugin.ts'
import type { CommandTarget } from './dispatch/api.ts'
import type { StatsAnswer } from './ledger/api.ts'
import type { Plugins } from './plugins/api.ts'

export const GATEWAY = 'gateway'

const MANIFEST: Manifest = {
  name: GATEWAY,
  version: '1.0.0',
  api: PLUGIN_API,
  entry: 'built-in.js',
  commands: {
    ping: { description: 'Answers with the time and the version.', repeatable: true },
    'reload-plugin': {
      description: 'Starts a plugin anew from its files.',
      repeatable: true,
      timeoutMs: 60_000,
      args: { type: 'object', additionalProperties: false, required: ['plugin'], properties: { plugin: { type: 'string' } } },
    },
    stats: {
      description: 'Visits, payments and links of some days, as `GET /api/v1/stats` tells them.',
      repeatable: true,
      args: {
        type: 'object',
        additionalProperties: false,
        properties: {
          from: { type: 'string', description: 'First day, 2026-11-16; six days before `to` when absent' },
          to: { type: 'string', description: 'Last day, 2026-11-22; today when absent' },
        },
      },
    },
    log: {
      description: 'Sends the log to HQ (`up/log`) for a while.',
      repeatable: true,
      args: {
        type: 'object',
        additionalProperties: false,
        properties: {
          level: { enum: ['debug', 'info', 'warn', 'error'], default: 'info' },
          seconds: { type: 'integer', minimum: 1, maximum: 3600, default: 300 },
        },
      },
    },
  },
}

export interface GatewayActions {
  ping(): JsonObject
  /** Rejects with `args-invalid`. */
  stats(query: { from?: string | undefined; to?: string | undefined }): Promise<StatsAnswer>
  shipLog(level: string, seconds: number): void
}

/** Routes `gateway` to itself and everything else to the plugins. */
export class Commands implements CommandTarget {
  readonly #plugins: Plugins
  readonly #actions: GatewayActions

  constructor(plugins: Plugins, actions: GatewayActions) {
    this.#plugins = plugins
    this.#actions = actions
  }

  describe(plugin: string, device: string, command: string): CommandSpec | ErrorBody {
    if (plugin !== GATEWAY) return this.#plugins.describe(plugin, device, command)
    if (device !== '-') return { code: 'device-unknown', message: `the gateway has a single device, "-"; got "${device}"` }
    const spec = MANIFEST.commands?.[command]
    return (
      spec ?? {
        code: 'command-unknown',
        message: `the gateway has no command "${command}"; it has ${Object.keys(MANIFEST.commands ?? {}).join(', ')}`,
      }
    )
  }

  async run(plugin: string, command: Command, signal: AbortSignal): Promise<Json> {
    if (plugin !== GATEWAY) return this.#plugins.run(plugin, command, signal)
    const args = command.args as JsonObject
    switch (command.command) {
      case 'ping':
        return this.#actions.ping()
      case 'reload-plugin':
        await this.#plugins.reload(String(args.plugin))
        return {}
      case 'stats': {
        const day = (value: Json | undefined): string | undefined => (value === undefined ? undefined : String(value))
        return (await this.#actions.stats({ from: day(args.from), to: day(args.to) })) as unknown as JsonObject
      }
      case 'log':
        this.#actions.shipLog(String(args.level), Number(args.seconds))
        return {}
      default:
        throw new Failure('command-unknown', `the gateway has no command "${command.command}"`)
    }
  }
}
