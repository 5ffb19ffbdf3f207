/** Performs what the broadcast's machine decides. */

import type { Clock, Logger } from '../../daemon/contract/plugin.ts'
import type { Transmitter } from './adapter/radio.ts'
import { type BroadcastEffect, type BroadcastEvent, type BroadcastMode, broadcastMachine, newBroadcast } from './broadcast.machine.ts'
import type { BroadcastSpec } from './frames/payload.ts'
import { OPCODE } from './hci/packets.ts'

export class Broadcast {
  readonly #clock: Clock
  readonly #log: Logger
  readonly #transmitter: () => Transmitter
  readonly #changed: () => void
  readonly #state = newBroadcast()
  #cancel = (): void => {}
  #warned = ''

  /** `changed` is told when `mode` is news. */
  constructor(clock: Clock, log: Logger, transmitter: () => Transmitter, changed: () => void) {
    this.#clock = clock
    this.#log = log
    this.#transmitter = transmitter
    this.#changed = changed
  }

  get mode(): BroadcastMode {
    return this.#state.mode
  }

  get detail(): string {
    return this.#state.detail
  }

  get spec(): BroadcastSpec | undefined {
    return this.#state.spec
  }

  decide(event: BroadcastEvent): void {
    for (const effect of broadcastMachine.step(this.#state, event)) this.#perform(effect)
  }

  /** Another adapter: what a run before has left on its air is turned off first. */
  moved(): void {
    this.#state.swept = false
  }

  /** Resolves when the controller has been told to be quiet, or does not answer. */
  async stop(): Promise<void> {
    this.#cancel()
    if (!this.#state.ready || this.#state.spec === undefined) return
    const quiet = this.#transmitter()
    this.#state.ready = false
    await quiet.command(OPCODE.leSetAdvertisingEnable, Uint8Array.of(0))
  }

  #perform(effect: BroadcastEffect): void {
    switch (effect.kind) {
      case 'command':
        void this.#transmitter()
          .command(effect.opcode, effect.parameters)
          .then((status) => this.decide({ kind: 'answer', status }))
        return
      case 'scan':
        void this.#transmitter()
          .scanning(effect.on)
          .then((done) => this.decide({ kind: 'scan', done }))
        return
      case 'reset':
        void this.#transmitter().reset()
        return
      case 'wait':
        this.#cancel()
        this.#cancel = effect.ms > 0 ? this.#clock.timer(effect.ms, () => this.decide({ kind: 'due' })) : () => {}
        return
      case 'mode':
        this.#tell(effect.mode, effect.detail)
    }
  }

  #tell(mode: BroadcastMode, detail: string): void {
    if (mode === 'failed' && this.#warned !== detail) this.#log.warn({ detail }, 'the store cannot be broadcast')
    else if (mode === 'time-slicing')
      this.#log.info({}, 'the adapter does not hear and send at once; the broadcast takes a fifth of the time')
    if (mode === 'failed') this.#warned = detail
    else if (mode === 'on') this.#warned = ''
    this.#changed()
  }
}
