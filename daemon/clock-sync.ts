/**
 * Whether the system clock has been set since the machine started. A Raspberry Pi has no real-time clock: it boots in 1970,
 * or at the time of its last shutdown (fake-hwclock), and jumps when the first time server answers.
 */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { ClockState } from './contract/event.ts'
import type { Clock } from './contract/plugin.ts'

export interface ClockStateOptions {
  clock: Pick<Clock, 'wall' | 'mono'>
  /** Where `/run` is. */
  run?: string
  /** Asks `systemd-timedated`; undefined when it cannot tell. */
  ask?: () => Promise<boolean | undefined>
}

/** 2024-01-01: nothing of this was ever run before it. */
const EARLIEST_MS = Date.UTC(2024, 0, 1)
const LOOK_EVERY_MS = 5_000
const ASK_EVERY_MS = 30_000
const ASK_TIMEOUT_MS = 5_000

/**
 * Cheap enough to be asked for each event. Once the clock has been set it stays `synced` for this boot, unless it shows a
 * year that cannot be. Evidence, in this order:
 * - the year;
 * - not booted with systemd (a container: the clock is the host's): nobody can tell more, the year decides;
 * - `/run/systemd/timesync/synchronized`, which systemd-timesyncd makes at its first answer (systemd-timesyncd.service(8));
 * - the kernel's STA_UNSYNC (adjtimex(2)) as `timedatectl` shows it, for chrony and ntpd.
 */
export function createClockState(options: ClockStateOptions): () => ClockState {
  const { clock, run = '/run', ask = askTimedated } = options
  let set = false
  let lookAt = Number.NEGATIVE_INFINITY
  let askAt = Number.NEGATIVE_INFINITY

  const look = (now: number): void => {
    if (!existsSync(join(run, 'systemd/system')) || existsSync(join(run, 'systemd/timesync/synchronized'))) {
      set = true
      return
    }
    if (now < askAt) return
    askAt = now + ASK_EVERY_MS
    void ask().then((answer) => {
      set ||= answer === true
    })
  }

  return () => {
    if (clock.wall() < EARLIEST_MS) return 'unsynced'
    if (!set) {
      const now = clock.mono()
      if (now >= lookAt) {
        lookAt = now + LOOK_EVERY_MS
        look(now)
      }
    }
    return set ? 'synced' : 'unsynced'
  }
}

/** `NTPSynchronized` of systemd-timedated; undefined where there is none. */
export function askTimedated(): Promise<boolean | undefined> {
  return new Promise((resolve) => {
    const child = execFile(
      'timedatectl',
      ['show', '--property=NTPSynchronized', '--value'],
      { timeout: ASK_TIMEOUT_MS },
      (error, stdout) => {
        resolve(error ? undefined : stdout.trim() === 'yes')
      },
    )
    child.unref()
  })
}
