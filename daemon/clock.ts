import { readFileSync } from 'node:fs'
import type { Clock, MonoMs, WallMs } from './contract/plugin.ts'

/** The machine's own clock. Tests put a virtual one in its place. */
export const systemClock: Clock = {
  wall: () => Date.now() as WallMs,
  mono: () => performance.now() as MonoMs,
  timer(ms, run) {
    const handle = setTimeout(run, ms)
    return () => clearTimeout(handle)
  },
  sleep(ms, signal) {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason)
      const stop = () => {
        clearTimeout(handle)
        reject(signal?.reason)
      }
      const handle = setTimeout(() => {
        signal?.removeEventListener('abort', stop)
        resolve()
      }, ms)
      signal?.addEventListener('abort', stop, { once: true })
    })
  },
}

/** RFC 3339 with milliseconds, UTC. */
export const iso = (wall: WallMs): string => new Date(wall).toISOString()

/** One value per start of the machine; `unknown` where the kernel does not tell. */
export function bootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
  } catch {
    return 'unknown'
  }
}
