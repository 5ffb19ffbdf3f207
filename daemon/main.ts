import { type CliCommand, exitCode, type Io, UsageError } from './cli/io.ts'
import { Failure } from './contract/errors.ts'
import { VERSION } from './version.ts'

interface Entry {
  usage: string
  does: string
  /** Loaded only when asked for: `status` must not pay for the daemon's code. */
  load: () => Promise<CliCommand>
}

const COMMANDS: Record<string, Entry> = {
  run: { usage: 'run [--config FILE]', does: 'the daemon, in the foreground', load: async () => (await import('./cli/run.ts')).run },
  check: { usage: 'check [--config FILE]', does: 'validates a config', load: async () => (await import('./cli/check.ts')).check },
  status: {
    usage: 'status [--json]',
    does: 'plugins, devices, links, backlog',
    load: async () => (await import('./cli/status.ts')).status,
  },
  events: {
    usage: 'events [--follow] [--type T] [--since SEQ] [--json]',
    does: 'reads the journal',
    load: async () => (await import('./cli/events.ts')).events,
  },
  stats: {
    usage: 'stats [--day DAY | --from DAY --to DAY] [--json | --csv]',
    does: 'visits, payments and what belongs together',
    load: async () => (await import('./cli/stats.ts')).stats,
  },
  cmd: {
    usage: 'cmd PLUGIN DEVICE COMMAND [JSON]',
    does: 'sends a command, prints its result',
    load: async () => (await import('./cli/cmd.ts')).cmd,
  },
  plugin: {
    usage: 'plugin list | load DIR | unload NAME | reload NAME',
    does: 'hot plugin control',
    load: async () => (await import('./cli/plugin.ts')).plugin,
  },
  discover: {
    usage: 'discover [--json]',
    does: 'what is plugged in or announced',
    load: async () => (await import('./cli/discover.ts')).discover,
  },
  doctor: {
    usage: 'doctor [--json] [--bundle FILE]',
    does: 'what is wrong, and the mend',
    load: async () => (await import('./cli/doctor-command.ts')).doctor,
  },
  demo: { usage: 'demo', does: 'a whole shop on this machine', load: async () => (await import('./cli/demo.ts')).demo },
  sim: { usage: 'sim PLUGIN …', does: 'one simulated device', load: async () => (await import('./cli/sim.ts')).sim },
  password: { usage: 'password', does: 'hashes a password for the config', load: async () => (await import('./cli/password.ts')).password },
  hq: { usage: 'hq sink | desk | desired | cmd …', does: "HQ's side", load: async () => (await import('../hq/cli.ts')).hq },
}

async function main(args: string[], io: Io): Promise<number> {
  const [name, ...rest] = args
  if (name === '--version' || name === '-v') return say(io, VERSION)
  if (name === undefined || name === 'help' || name === '--help' || name === '-h') return say(io, help())
  const entry = COMMANDS[name]
  if (!entry) throw new UsageError(`there is no command "${name}". ${help()}`)
  const forOthers = name === 'sim' || name === 'hq'
  if (!forOthers && (rest.includes('--help') || rest.includes('-h'))) return say(io, `shopwire ${entry.usage}\n  ${entry.does}`)
  return (await entry.load())(rest, io)
}

function say(io: Io, text: string): number {
  io.out(text)
  return 0
}

function help(): string {
  const width = Math.max(...Object.values(COMMANDS).map(({ usage }) => usage.length))
  const lines = Object.values(COMMANDS).map(({ usage, does }) => `  shopwire ${usage.padEnd(width)}  ${does}`)
  return [
    'shopwire: the in-store edge gateway',
    '',
    ...lines,
    '',
    'Exit codes: 0 done, 1 the answer is no, 2 usage, 3 the daemon or broker cannot be reached.',
  ].join('\n')
}

function complain(error: unknown, io: Io): number {
  if (error instanceof Failure) {
    io.err(`${error.code}: ${error.message}`)
    for (const problem of error.problems) io.err(`  ${problem.path}: ${problem.message}`)
  } else if (error instanceof UsageError) io.err(`usage: ${error.message}`)
  else io.err(error instanceof Error ? (error.stack ?? error.message) : String(error))
  return exitCode(error)
}

const stopping = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => stopping.abort())
// A reader that has seen enough (`shopwire events | head`) is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1))

const io: Io = {
  out: (line) => process.stdout.write(`${line}\n`),
  err: (line) => process.stderr.write(`${line}\n`),
  env: process.env,
  signal: stopping.signal,
  colour: process.stdout.isTTY === true && !process.env.NO_COLOR,
  columns: process.stdout.columns ?? 100,
}

void main(process.argv.slice(2), io)
  .catch((error: unknown) => complain(error, io))
  .then((code) => process.stdout.write('', () => process.exit(code)))
