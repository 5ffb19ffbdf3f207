import type { CommandResult } from '../contract/command.ts'
import type { Json } from '../contract/json.ts'
import { DaemonClient, socketOf } from './client.ts'
import { type CliCommand, parse, UsageError } from './io.ts'

/** `shopwire cmd PLUGIN DEVICE COMMAND [JSON]`: sends a command and prints its result. */
export const cmd: CliCommand = async (args, io) => {
  const { values, positionals } = parse({
    args,
    allowPositionals: true,
    options: { config: { type: 'string' }, json: { type: 'boolean' }, id: { type: 'string' } },
  })
  const [plugin, device, command, text, ...rest] = positionals
  if (plugin === undefined || device === undefined || command === undefined || rest.length > 0)
    throw new UsageError('shopwire cmd PLUGIN DEVICE COMMAND [\'{"json":"args"}\'] [--id ID] [--json]')
  const client = new DaemonClient(socketOf(values.config, io))
  const path = `/api/v1/cmd/${encodeURIComponent(plugin)}/${encodeURIComponent(device)}/${encodeURIComponent(command)}`
  const body = { args: parseJson(text), ...(values.id === undefined ? {} : { id: values.id }) }
  const result = await client.call<CommandResult | { error: CommandResult['error'] }>('POST', path, body, () => true)
  if (values.json) io.out(JSON.stringify(result))
  else print(result, io.out, io.err)
  return 'status' in result && result.status === 'done' ? 0 : 1
}

function print(result: CommandResult | { error: CommandResult['error'] }, out: (line: string) => void, err: (line: string) => void): void {
  if ('status' in result && result.status === 'done') {
    out(JSON.stringify(result.result ?? null, null, 2))
    return
  }
  const status = 'status' in result ? result.status : 'failed'
  err(`${status}: ${result.error ? `${result.error.code}: ${result.error.message}` : 'no reason given'}`)
  for (const problem of result.error?.problems ?? []) err(`  ${problem.path}: ${problem.message}`)
}

function parseJson(text: string | undefined): Json {
  if (text === undefined) return {}
  try {
    return JSON.parse(text) as Json
  } catch (error) {
    throw new UsageError(`the arguments are not JSON: ${(error as Error).message}`)
  }
}
