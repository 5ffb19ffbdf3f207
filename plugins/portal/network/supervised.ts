/** A helper program kept running: its lines read, started again with backoff when it ends, never left behind. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import type { Clock, Logger } from '../../../daemon/contract/plugin.ts'
import { ENVIRONMENT, loggable } from './programs.ts'

const FIRST_WAIT_MS = 250
const LONGEST_WAIT_MS = 30_000
/** One that has run this long was well: the next wait starts small again. */
const WELL_MS = 60_000
const STOP_MS = 2_000

export interface SupervisedOptions {
  /** For the log: `dnsmasq`. */
  name: string
  command: string
  args: readonly string[]
  clock: Clock
  log: Logger
  /**
   * Where its process id is kept, with a part of its command line that nothing else has: one that outlived a kill -9 of this process is found by it
   * and ended before the next start. Absent for programs that end by themselves when their output is no longer read.
   */
  pid?: { file: string; mark: string }
  line?(line: string): void
  /** Started, or ended by itself; the reason is its last line on stderr. */
  up?(): void
  down?(reason: string): void
}

export class Supervised {
  readonly #options: SupervisedOptions
  #child: ChildProcess | undefined
  #stopped = false
  #wait = FIRST_WAIT_MS
  #cancel = (): void => {}

  constructor(options: SupervisedOptions) {
    this.#options = options
  }

  get pid(): number | undefined {
    return this.#child?.pid
  }

  start(): void {
    this.#stopped = false
    endOrphan(this.#options)
    this.#launch()
  }

  signal(name: NodeJS.Signals): void {
    this.#child?.kill(name)
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#cancel()
    const child = this.#child
    if (child && child.exitCode === null && child.signalCode === null && child.pid !== undefined) {
      const gone = once(child, 'exit')
      child.kill('SIGTERM')
      const cancel = this.#options.clock.timer(STOP_MS, () => child.kill('SIGKILL'))
      await gone
      cancel()
    }
    if (this.#options.pid) rmSync(this.#options.pid.file, { force: true })
  }

  #launch(): void {
    const { name, command, args, clock, log, pid } = this.#options
    const started = clock.mono()
    let last = ''
    const child = spawn(command, [...args], { env: ENVIRONMENT, stdio: ['ignore', 'pipe', 'pipe'] })
    this.#child = child
    const ended = (reason: string): void => {
      if (this.#child !== child) return
      this.#child = undefined
      if (this.#stopped) return
      if (clock.mono() - started > WELL_MS) this.#wait = FIRST_WAIT_MS
      // The first end is news, the tenth of the same kind is not.
      log[this.#wait === FIRST_WAIT_MS ? 'warn' : 'debug']({ program: name, reason }, 'a helper program ended; it is started again')
      this.#options.down?.(reason)
      this.#cancel = clock.timer(this.#wait, () => this.#launch())
      this.#wait = Math.min(this.#wait * 2, LONGEST_WAIT_MS)
    }
    child.once('error', (error) => ended(error.message))
    child.once('close', (code, signal) => ended(last || (signal ?? `exit ${code}`)))
    lines(child.stdout, (line) => this.#options.line?.(line))
    lines(child.stderr, (line) => {
      last = loggable(line)
      this.#options.line?.(line)
    })
    child.once('spawn', () => {
      if (pid && child.pid !== undefined) {
        mkdirSync(dirname(pid.file), { recursive: true })
        writeFileSync(pid.file, `${child.pid}\n`, { mode: 0o600 })
      }
      this.#options.up?.()
    })
  }
}

function lines(stream: NodeJS.ReadableStream | null, take: (line: string) => void): void {
  let rest = ''
  stream?.setEncoding('utf8')
  stream?.on('data', (chunk: string) => {
    const parts = (rest + chunk).split('\n')
    rest = (parts.pop() ?? '').slice(-10_000)
    for (const part of parts) if (part.trim() !== '') take(part.trim())
  })
}

/** Ends what a killed predecessor left, if that process is still the one it was. */
function endOrphan({ pid, log, name }: SupervisedOptions): void {
  if (!pid) return
  try {
    const orphan = Number(readFileSync(pid.file, 'utf8'))
    if (!Number.isInteger(orphan) || orphan < 2) return
    if (!readFileSync(`/proc/${orphan}/cmdline`, 'utf8').includes(pid.mark)) return
    process.kill(orphan, 'SIGKILL')
    log.info({ program: name }, 'ended a helper program that a crash had left running')
  } catch {
    // No file, no such process, or not ours: nothing to end.
  }
}
