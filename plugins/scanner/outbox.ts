/** Scans on their way to the journal: sent in order, counted, and sent again while the disk refuses. */
import { asFailure, ERRORS, type Failure } from '../../daemon/contract/errors.ts'
import type { JsonObject } from '../../daemon/contract/json.ts'
import type { DeviceContext, MonoMs } from '../../daemon/contract/plugin.ts'
import type { DeviceConfig, PayRoute, ScannerConfig } from './config.ts'
import type { PayChannel } from './protocol/pay.ts'
import type { ScanData } from './scan.machine.ts'

/** Reading stops at the first and goes on at the second number of scans that the journal has not confirmed. */
const PAUSE_AT = 500
const RESUME_AT = 250
const RETRY_MS = 1_000
/** An older pay code is not handed on: the shopper has been asked to show it again. */
const PAY_FRESH_MS = 10_000

export class Outbox {
  readonly #device: DeviceContext<DeviceConfig, ScannerConfig>
  readonly #pressure: (on: boolean) => void
  readonly #pay: PayRoute | undefined
  readonly #till: { till?: string }
  #outstanding = 0
  #pressed = false
  #full = false
  #whenEmpty: (() => void)[] = []

  /** `pressure` is told when reading must stop and when it may go on. */
  constructor(device: DeviceContext<DeviceConfig, ScannerConfig>, pressure: (on: boolean) => void) {
    this.#device = device
    this.#pressure = pressure
    this.#pay = device.shared.route.pay
    this.#till = device.config.till === undefined ? {} : { till: device.config.till }
  }

  get outstanding(): number {
    return this.#outstanding
  }

  send(data: ScanData, pay?: { code: string; channel: PayChannel }): void {
    this.#outstanding += 1
    if (this.#outstanding >= PAUSE_AT && !this.#pressed) {
      this.#pressed = true
      this.#pressure(true)
    }
    const all = { ...data, ...this.#till } as unknown as JsonObject
    const since = this.#device.clock.mono()
    this.#device.emit('scan', all).then(
      () => this.#stored(since, pay),
      (error: unknown) => void this.#again(all, asFailure(error), since, pay),
    )
  }

  /** Resolves when nothing is outstanding. */
  drained(): Promise<void> {
    return this.#outstanding === 0 ? Promise.resolve() : new Promise((resolve) => this.#whenEmpty.push(resolve))
  }

  async #again(data: JsonObject, first: Failure, since: MonoMs, pay: { code: string; channel: PayChannel } | undefined): Promise<void> {
    let failure = first
    while (ERRORS[failure.code].retry && !this.#device.signal.aborted) {
      if (!this.#full) this.#device.log.warn({ code: failure.code }, 'scans cannot be stored; they wait, and the scanner with them')
      this.#full = true
      try {
        await this.#device.clock.sleep(RETRY_MS, this.#device.signal)
        await this.#device.emit('scan', data)
        return this.#stored(since, pay)
      } catch (error) {
        failure = asFailure(error)
      }
    }
    // Never the message: it may quote the data.
    this.#device.log.error({ code: failure.code, kind: data.kind ?? null }, 'a scan could not be stored and is lost')
    this.#done()
  }

  #stored(since: MonoMs, pay: { code: string; channel: PayChannel } | undefined): void {
    if (this.#full) {
      this.#full = false
      this.#device.log.info({}, 'scans are stored again')
    }
    if (pay && this.#pay) this.#handOn(this.#pay, pay, this.#device.clock.mono() - since)
    this.#done()
  }

  /** The whole code goes to the payment plugin only, after its scan is durable; the charge is that plugin's affair from here. */
  #handOn(to: PayRoute, pay: { code: string; channel: PayChannel }, ageMs: number): void {
    const target = `${to.plugin}/${to.device}/${to.command}`
    if (ageMs > PAY_FRESH_MS) {
      this.#device.log.warn({ target, ageMs: Math.round(ageMs) }, 'a pay code was too old to be handed on')
      return
    }
    this.#device
      .call(to.plugin, to.device, to.command, { code: pay.code, channel: pay.channel, scanner: this.#device.name, ...this.#till })
      .catch((error: unknown) => this.#device.log.warn({ target, code: asFailure(error).code }, 'a pay code was not taken'))
  }

  #done(): void {
    this.#outstanding -= 1
    if (this.#pressed && this.#outstanding <= RESUME_AT) {
      this.#pressed = false
      this.#pressure(false)
    }
    if (this.#outstanding > 0) return
    for (const resolve of this.#whenEmpty.splice(0)) resolve()
  }
}
