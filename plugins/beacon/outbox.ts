/** Events on their way to the journal: in order, sent again while the disk refuses. */
import { asFailure, ERRORS } from '../../daemon/contract/errors.ts'
import type { JsonObject } from '../../daemon/contract/json.ts'
import type { PluginContext } from '../../daemon/contract/plugin.ts'

const RETRY_MS = 1_000
/** Beyond this the oldest are given up: beacons say again what they say. */
const MOST_WAITING = 2_000

interface Draft {
  event: string
  data: JsonObject
  time: string
}

export class Outbox {
  readonly #context: Pick<PluginContext, 'emit' | 'clock' | 'log' | 'signal'>
  #waiting: Draft[] = []
  #sending: Promise<void> = Promise.resolve()
  #busy = false
  #full = false
  #given = 0

  constructor(context: Pick<PluginContext, 'emit' | 'clock' | 'log' | 'signal'>) {
    this.#context = context
  }

  get waiting(): number {
    return this.#waiting.length
  }

  send(event: string, data: JsonObject): void {
    this.#waiting.push({ event, data, time: new Date(this.#context.clock.wall()).toISOString() })
    if (this.#waiting.length > MOST_WAITING) {
      this.#waiting.shift()
      this.#given += 1
    }
    if (!this.#busy) this.#sending = this.#drain()
  }

  /** Resolves when all is stored or given up. */
  drained(): Promise<void> {
    return this.#sending
  }

  async #drain(): Promise<void> {
    this.#busy = true
    for (let draft = this.#waiting[0]; draft; draft = this.#waiting[0]) {
      if (await this.#stored(draft)) this.#waiting = this.#waiting.filter((one) => one !== draft)
      else break
    }
    this.#busy = false
  }

  /** False: the plugin is stopping and the disk still refuses. */
  async #stored(draft: Draft): Promise<boolean> {
    const { emit, clock, log, signal } = this.#context
    for (;;) {
      try {
        await emit({ device: '-', ...draft })
        if (this.#full) log.info({ lost: this.#given }, 'events are stored again')
        this.#full = false
        this.#given = 0
        return true
      } catch (error) {
        const { code } = asFailure(error)
        if (!ERRORS[code].retry) {
          log.error({ code, event: draft.event }, 'an event could not be stored and is lost')
          return true
        }
        if (!this.#full) log.warn({ code }, 'events cannot be stored; they wait')
        this.#full = true
        if (signal.aborted) return false
        await clock.sleep(RETRY_MS, signal).catch(() => {})
      }
    }
  }
}
