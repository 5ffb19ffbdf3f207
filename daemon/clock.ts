import { readFileSync } from 'node:fs'
import type { Clock, MonoMs, WallMs } from './contract/plugin.ts'

/** Being held up (a card that tidies itself up, a busy core) costs a patience one of them. */
const SLICES = 4

/** The machine's own clock. Tests put a virtual one in its place. */
export const systemClock: Clock = {
  wall: () => Date.now() as WallMs,
  mono: () => performance.now() as MonoMs,
  timer(ms, run) {
    const handle = setTimeout(run, ms)
    return () => clearTimeout(handle)
  },
  patience(ms, over) {
    let left = SLICES
    let handle: NodeJS.Timeout
    const next = () => {
      // After the last slice what has arrived is read once more.
      handle = setTimeout(() => (left > 0 ? next() : over()), left > 0 ? ms / SLICES : 0)
      left -= 1
    }
    next()
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
