/** Which devices a start or a change of config has touched, and which of them could not be started. */
import { Failure } from '../contract/errors.ts'
import type { Clock } from '../contract/plugin.ts'
import type { DeviceWatch } from './context.ts'
import type { DeviceProblem } from './ipc.ts'

export interface SettlingWatch extends DeviceWatch {
  /** Begins to note; what it returns resolves, once every device that began to start since has succeeded or failed, with the failed. */
  round(): () => Promise<DeviceProblem[]>
}

/** @param mostMs a device that takes longer is reported as not started yet; it goes on trying. */
export function createDeviceWatch(clock: Clock, mostMs: number): SettlingWatch {
  let current = new Map<string, { failure?: Failure } | undefined>()
  let wake = (): void => {}
  const pending = (round: typeof current): boolean => [...round.values()].includes(undefined)

  return {
    starting(device) {
      current.set(device, undefined)
    },
    started(device, failure) {
      if (!current.has(device)) return
      current.set(device, failure ? { failure } : {})
      wake()
    },
    round() {
      const round = new Map<string, { failure?: Failure } | undefined>()
      current = round
      wake()
      return async () => {
        const end = clock.mono() + mostMs
        while (pending(round) && round === current && clock.mono() < end) {
          await new Promise<void>((resolve) => {
            const cancel = clock.timer(Math.max(1, end - clock.mono()), resolve)
            wake = () => {
              cancel()
              resolve()
            }
          })
        }
        return [...round].flatMap(([device, outcome]): DeviceProblem[] => {
          if (outcome === undefined)
            return [{ device, error: new Failure('device-offline', `did not start within ${mostMs / 1000} s`).toBody() }]
          return outcome.failure ? [{ device, error: outcome.failure.toBody() }] : []
        })
      }
    },
  }
}
