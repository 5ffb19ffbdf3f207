/** One network namespace of a test: a machine of its own, as far as the network goes. */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'

export interface Finished {
  code: number
  stdout: string
  stderr: string
}

export type Process = ChildProcess & { output: string }

/** For programs that end by themselves: it stops one that hangs, and never one that a busy machine makes slow. */
const PATIENCE_MS = 300_000

/** Runs a program to its end; never rejects for an exit code. */
export function run(command: string, args: readonly string[], input = '', timeoutMs = PATIENCE_MS): Promise<Finished> {
  return new Promise((resolve) => {
    const child = execFile(command, [...args], { timeout: timeoutMs, maxBuffer: 64 << 20 }, (error, stdout, stderr) => {
      const code = error ? (typeof error.code === 'number' ? error.code : 255) : 0
      resolve({ code, stdout, stderr: error && stderr === '' ? error.message : stderr })
    })
    // A program that does not read its input is no fault of the test.
    child.stdin?.on('error', () => {})
    child.stdin?.end(input)
  })
}

/** The same, and an exit code other than 0 is an error that says what the program said. */
export async function must(command: string, args: readonly string[], input = ''): Promise<string> {
  const { code, stdout, stderr } = await run(command, args, input)
  if (code !== 0) throw new Error(`${command} ${args.join(' ')}: exit ${code}: ${stderr.trim()}`)
  return stdout
}

export class Namespace {
  readonly name: string
  readonly #children = new Set<Process>()

  constructor(name: string) {
    this.name = name
  }

  async create(): Promise<void> {
    await must('ip', ['netns', 'add', this.name])
    await this.ip(['link set lo up'])
  }

  /** What to put before a command so that it runs in here: for `spawn`, or `GatewayOptions.prefix`. */
  get prefix(): string[] {
    return ['ip', 'netns', 'exec', this.name]
  }

  /** Lines of `ip -batch`. */
  async ip(lines: readonly string[]): Promise<void> {
    await must('ip', ['-n', this.name, '-batch', '-'], `${lines.join('\n')}\n`)
  }

  run(command: string, args: readonly string[] = [], input = '', timeoutMs?: number): Promise<Finished> {
    return run('ip', ['netns', 'exec', this.name, command, ...args], input, timeoutMs)
  }

  must(command: string, args: readonly string[] = [], input = ''): Promise<string> {
    return must('ip', ['netns', 'exec', this.name, command, ...args], input)
  }

  async sysctl(settings: Record<string, string | number>): Promise<void> {
    const lines = Object.entries(settings).map(([key, value]) => `${key}=${value}`)
    await this.must('sysctl', ['-q', '-w', ...lines])
  }

  /** A process in a group of its own, ended by `end` at the latest. Its input stays open. */
  spawn(command: string, args: readonly string[] = [], env: NodeJS.ProcessEnv = {}): Process {
    const child: Process = Object.assign(
      spawn('ip', ['netns', 'exec', this.name, command, ...args], {
        env: { ...process.env, ...env },
        stdio: ['pipe', 'pipe', 'pipe'],
        detached: true,
      }),
      { output: '' },
    )
    const keep = (chunk: Buffer): void => {
      child.output = (child.output + chunk.toString()).slice(-200_000)
    }
    child.stdout?.on('data', keep)
    child.stderr?.on('data', keep)
    child.stdin?.on('error', () => {})
    this.#children.add(child)
    child.once('exit', () => this.#children.delete(child))
    return child
  }

  /** Ends every process in it, then the namespace with all its interfaces. */
  async end(): Promise<void> {
    await Promise.all([...this.#children].map((child) => endProcess(child)))
    await removeNamespace(this.name)
  }
}

export async function endProcess(child: ChildProcess, signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return
  const gone = once(child, 'exit')
  try {
    process.kill(-child.pid, signal)
  } catch {
    // Ended between the look and the kill.
  }
  await gone
}

/** A daemon that left its parent is still in the namespace: everything in there was started by the test that made it. */
export async function removeNamespace(name: string): Promise<void> {
  const { stdout } = await run('ip', ['netns', 'pids', name])
  for (const pid of stdout.split(/\s+/).filter(Boolean)) {
    try {
      process.kill(Number(pid), 'SIGKILL')
    } catch {
      // Gone already.
    }
  }
  await run('ip', ['netns', 'del', name])
}
