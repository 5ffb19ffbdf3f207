/** Events on their way to the journal: in order for each visitor, tried again while the disk is full, never in a shopper's way. */
import { asFailure } from '../../../daemon/contract/errors.ts'
import type { JsonObject } from '../../../daemon/contract/json.ts'
import type { PluginContext } from '../../../daemon/contract/plugin.ts'

const RETRY_MS = [1_000, 5_000, 15_000, 60_000]
/** Events that may wait at once. What comes past it is given up, and the doctor says so. */
const MOST = 10_000

export class Outbox {
  readonly #context: Pick<PluginContext, 'emit' | 'log' | 'clock' | 'signal'>
  readonly #tails = new Map<string, Promise<void>>()
  #waiting = 0
  #warned = false
  #gaveUp = false
  lost = 0

  constructor(context: Pick<PluginContext, 'emit' | 'log' | 'clock' | 'signal'>) {
    this.#context = context
  }

  get waiting(): number {
    return this.#waiting
  }

  /** `done` is called once the event is durable. */
  send(event: string, data: JsonObject, order: string, done: () => void = () => {}): void {
    if (this.#waiting >= MOST) {
      this.lost += 1
      return
    }
    this.#waiting += 1
    const before = this.#tails.get(order)
    const sent = (before ? before.then(() => this.#deliver(event, data)) : this.#deliver(event, data)).then((durable) => {
      this.#waiting -= 1
      if (this.#tails.get(order) === sent) this.#tails.delete(order)
      if (durable) done()
    })
    this.#tails.set(order, sent)
  }

  async drained(): Promise<void> {
    await Promise.all(this.#tails.values())
  }

  async #deliver(event: string, data: JsonObject): Promise<boolean> {
    const { emit, log, clock, signal } = this.#context
    for (let attempt = 0; ; attempt++) {
      try {
        await emit({ device: '-', event, data })
        this.#warned = false
        return true
      } catch (error) {
        const { code, message } = asFailure(error)
        if (code === 'event-invalid' || signal.aborted) {
          this.lost += 1
          // At the end thousands may be given up at once, for the same reason.
          if (code === 'event-invalid' || !this.#gaveUp) log.error({ code, event }, message)
          this.#gaveUp = signal.aborted
          return false
        }
        if (!this.#warned) log.warn({ code, event }, 'events cannot be stored now; they are kept and tried again')
        this.#warned = true
        await clock.sleep(RETRY_MS[Math.min(attempt, RETRY_MS.length - 1)] ?? 60_000, signal).catch(() => {})
      }
    }
  }
}
