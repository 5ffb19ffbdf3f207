/**
 * What the customer display of each till shows now: the order QR and the member, told whole by each event `display`, and to whoever comes late
 * by the command `display`. A note in the store, made before anything is told, lets a restart clear what the last process left on a display.
 */
import { isDeepStrictEqual } from 'node:util'
import { asFailure } from '../../../daemon/contract/errors.ts'
import type { JsonObject } from '../../../daemon/contract/json.ts'
import type { PluginContext } from '../../../daemon/contract/plugin.ts'
import { DEVICE } from '../../../daemon/contract/topics.ts'
import type { Payment } from '../payment.ts'
import { PAID_MS, type ShownOrder, shownOrder } from './showing.ts'

const NOTES = 'display/'
const RETRY_MS = 5_000

interface Screen {
  /** What the event says of the member. */
  member?: JsonObject
  pay?: ShownOrder
  /** The order that the last process showed. */
  before?: { payment: string }
  /** What the display has been told; absent: nothing, or that it is cleared. */
  told?: JsonObject
  /** In the store: which payment, or that there is only a member. */
  noted?: { payment?: string }
  /** Tellings go one after the other, each with what is to be shown by then. */
  turn: Promise<void>
  cancel: () => void
}

type ScreenContext = Pick<PluginContext<unknown>, 'emit' | 'store' | 'clock' | 'log' | 'signal'>

export class Screens {
  readonly #context: ScreenContext
  readonly #screens = new Map<string, Screen>()
  #stopping = false

  constructor(context: ScreenContext) {
    this.#context = context
  }

  /** Takes up what the last process left on the displays: to be told again or cleared by `settle`. */
  async open(): Promise<void> {
    for (const { key, value } of await this.#context.store.list(NOTES)) {
      const noted = value as { payment?: string }
      const screen = this.#of(key.slice(NOTES.length))
      screen.noted = noted
      screen.told = {}
      if (noted.payment !== undefined) screen.before = { payment: noted.payment }
    }
  }

  /** All payments have been looked at: what is still on a display and in nobody's hand is cleared. */
  settle(): void {
    for (const [till, screen] of this.#screens) {
      delete screen.before
      this.#background(till)
    }
  }

  stop(): void {
    this.#stopping = true
    for (const { cancel } of this.#screens.values()) cancel()
  }

  /** The payment whose turn it is at its till is now like this. */
  look(payment: Payment): void {
    const screen = this.#of(payment.till)
    const next = shownOrder(payment, screen.pay ?? screen.before, this.#context.clock.wall())
    if (next?.state === 'paid' && screen.pay?.state === 'paid') return
    screen.cancel()
    screen.cancel = (): void => {}
    if (next) screen.pay = next
    else delete screen.pay
    if (next?.state === 'paid')
      screen.cancel = this.#context.clock.timer(PAID_MS, () => {
        delete screen.pay
        this.#background(payment.till)
      })
    this.#background(payment.till)
  }

  /** Resolves when the display has been told. */
  member(till: string, data: JsonObject | undefined): Promise<void> {
    const screen = this.#of(till)
    if (data) screen.member = data
    else delete screen.member
    const told = this.#told(till, screen)
    told.catch(() => this.#again(till))
    return told
  }

  pay(till: string): ShownOrder | undefined {
    return this.#screens.get(till)?.pay
  }

  #of(till: string): Screen {
    let screen = this.#screens.get(till)
    if (!screen) {
      screen = { turn: Promise.resolve(), cancel: () => {} }
      this.#screens.set(till, screen)
    }
    return screen
  }

  #background(till: string): void {
    if (this.#stopping) return
    this.#told(till, this.#of(till)).catch((error: unknown) => {
      if (this.#stopping || this.#context.signal.aborted) return
      this.#context.log.warn({ till, code: asFailure(error).code }, 'a display could not be told what to show; it is tried again')
      this.#again(till)
    })
  }

  #again(till: string): void {
    if (!this.#stopping) this.#context.clock.timer(RETRY_MS, () => this.#background(till))
  }

  #told(till: string, screen: Screen): Promise<void> {
    const turn = screen.turn.then(() => this.#tell(till, screen))
    screen.turn = turn.catch(() => {})
    return turn
  }

  async #tell(till: string, screen: Screen): Promise<void> {
    const { emit, store } = this.#context
    const { member, pay } = screen
    const shown = member || pay ? { till, ...member, ...(pay ? { pay: { ...pay } } : {}) } : undefined
    if (isDeepStrictEqual(shown, screen.told)) return
    const note = pay ? { payment: pay.payment } : {}
    if (shown && !isDeepStrictEqual(note, screen.noted)) {
      await store.put(NOTES + till, note)
      screen.noted = note
    }
    await emit({ device: DEVICE.test(till) ? till : '-', event: 'display', data: shown ?? { till, cleared: true } })
    if (shown) {
      screen.told = shown
      return
    }
    delete screen.told
    delete screen.noted
    await store.delete(NOTES + till)
  }
}
