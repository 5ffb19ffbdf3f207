/**
 * What systemd wants to hear (sd_notify(3)), said through `systemd-notify`: Node has no unix datagram sockets, and an
 * add-on for one message at start and two a minute is not worth its upkeep. Outside systemd all of it does nothing.
 */
import { spawn } from 'node:child_process'
import type { Clock, Logger } from './contract/plugin.ts'

export interface SystemdOptions {
  env: NodeJS.ProcessEnv
  pid: number
  clock: Clock
  log: Logger
  /** Whether the journal and every plugin make progress. The watchdog is fed only while this answers true, and in time. */
  progressing: () => boolean | Promise<boolean>
  /** How long a manager may take to process one message; 5 s unless told. */
  notifyTimeoutMs?: number
}

export interface Systemd {
  /** READY=1. Resolves when systemd has taken it, or at once where there is no systemd. */
  ready(status?: string): Promise<void>
  /** The line that `systemctl status` shows. */
  status(text: string): Promise<void>
  /** STOPPING=1; the watchdog is not fed any more, TimeoutStopSec takes over. */
  stopping(): Promise<void>
  /** Feeds the watchdog, if the unit has one. */
  start(): void
  stop(): void
}

/** Between looks while nothing progresses: so that a pause shorter than WatchdogSec is not taken for an end. */
const LOOK_AGAIN_MS = 1_000
/** systemd-notify waits until its message was processed; a manager that is that slow is not waited for. */
const NOTIFY_TIMEOUT_MS = 5_000

export function createSystemd(options: SystemdOptions): Systemd {
  const { env, clock, log } = options
  let unavailable = env.NOTIFY_SOCKET === undefined || env.NOTIFY_SOCKET === ''
  const intervalMs = watchdogInterval(env, options.pid)
  let running = false
  let stuck = false
  let cancel = () => {}

  const notify = (...lines: string[]): Promise<void> =>
    new Promise((resolve) => {
      if (unavailable) return resolve()
      // Not as a PID of ours: without privileges that is refused, so the unit needs NotifyAccess=all. It works because
      // systemd-notify stays until the manager has seen the message (its barrier, systemd 246 and later).
      const child = spawn('systemd-notify', lines, {
        env: { PATH: env.PATH, NOTIFY_SOCKET: env.NOTIFY_SOCKET },
        stdio: 'ignore',
      })
      // Not spawn's own `timeout`: that one goes on, and keeps the process, where the program is not there.
      const patience = clock.timer(options.notifyTimeoutMs ?? NOTIFY_TIMEOUT_MS, () => child.kill('SIGKILL'))
      child.once('error', (error: NodeJS.ErrnoException) => {
        patience()
        if (error.code === 'ENOENT') unavailable = true
        log.error({ reason: error.message }, 'systemd cannot be told: is systemd-notify (package systemd) there?')
        resolve()
      })
      child.once('exit', (code, signal) => {
        patience()
        if (code !== 0) log.warn({ code, signal }, 'systemd-notify failed')
        resolve()
      })
    })

  const look = async (): Promise<void> => {
    // A promise that never settles is no progress either: nothing is fed until it does.
    const alive = await Promise.resolve()
      .then(options.progressing)
      .catch(() => false)
    if (!running || intervalMs === undefined) return
    if (alive) await notify('WATCHDOG=1')
    else if (!stuck) log.error({}, 'no progress: the watchdog is not fed')
    stuck = !alive
    if (running) cancel = clock.timer(alive ? intervalMs : Math.min(LOOK_AGAIN_MS, intervalMs), () => void look())
  }

  return {
    ready: (status) => notify('READY=1', ...(status === undefined ? [] : [statusLine(status)])),
    status: (text) => notify(statusLine(text)),
    async stopping() {
      running = false
      cancel()
      await notify('STOPPING=1', statusLine('stopping'))
    },
    start() {
      if (running || intervalMs === undefined) return
      running = true
      cancel = clock.timer(intervalMs, () => void look())
    },
    stop() {
      running = false
      cancel()
    },
  }
}

/** Half of WATCHDOG_USEC in milliseconds (sd_watchdog_enabled(3)); undefined when there is none, or it is another process's. */
function watchdogInterval(env: NodeJS.ProcessEnv, pid: number): number | undefined {
  const usec = Number(env.WATCHDOG_USEC)
  if (!Number.isFinite(usec) || usec <= 0) return undefined
  if (env.WATCHDOG_PID !== undefined && Number(env.WATCHDOG_PID) !== pid) return undefined
  return Math.max(1, Math.floor(usec / 2_000))
}

/** A line break would start the next variable. */
function statusLine(text: string): string {
  return `STATUS=${text.replace(/\s+/g, ' ').slice(0, 200)}`
}
