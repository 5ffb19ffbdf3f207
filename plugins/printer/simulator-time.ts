import type { Clock, MonoMs, WallMs } from '../../daemon/contract/plugin.ts'

export type Time = Omit<Clock, 'patience'>

/** A simulator is a program of its own: it brings its own clock. */
export const systemTime: Time = {
  wall: () => Date.now() as WallMs,
  mono: () => performance.now() as MonoMs,
  timer(ms, run) {
    const handle = setTimeout(run, ms)
    return () => clearTimeout(handle)
  },
  sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
}
