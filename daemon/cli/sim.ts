import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { builtinDir } from '../paths.ts'
import { type CliCommand, UsageError } from './io.ts'
import { loadModule } from './load-module.ts'

type Simulate = (args: string[], out: (line: string) => void, signal: AbortSignal) => Promise<number>

/** `shopwire sim PLUGIN …`: one simulated device, the other end of the wire. Each plugin brings its own. */
export const sim: CliCommand = async (args, io) => {
  const [name, ...rest] = args
  const known = readdirSync(builtinDir()).filter((one) => existsSync(join(builtinDir(), one, 'simulator.cjs')))
  if (name === undefined || !known.includes(name)) throw new UsageError(`shopwire sim PLUGIN …, PLUGIN being one of ${known.join(', ')}`)
  const module = loadModule(join(builtinDir(), name, 'simulator.cjs')) as { default: Simulate }
  return module.default(rest, io.out, io.signal)
}
