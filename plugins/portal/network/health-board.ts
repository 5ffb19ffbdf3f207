/** What is wrong with the guest network now; the worst of it is what others hear, and only when that changes. */
import type { NetworkHealth } from './api.ts'

/** Worst first. */
const FAULTS = ['no-interface', 'rules-lost', 'dnsmasq-down', 'uplink-down', 'foreign-drop', 'no-speed-limits'] as const
export type Fault = (typeof FAULTS)[number]

export class HealthBoard {
  readonly #tell: (health: NetworkHealth) => void
  readonly #faults = new Map<Fault, string>()
  #said: string | undefined
  /** Nothing is said before the start is through. */
  #isOpen = false

  constructor(tell: (health: NetworkHealth) => void) {
    this.#tell = tell
  }

  has(fault: Fault): boolean {
    return this.#faults.has(fault)
  }

  /** `undefined` clears it. What the log says of a fault is said before: who hears of the fault finds the line there. */
  set(fault: Fault, reason: string | undefined): void {
    if (reason === undefined) this.#faults.delete(fault)
    else this.#faults.set(fault, reason)
    if (this.#isOpen) this.#say()
  }

  tell(): void {
    this.#isOpen = true
    this.#say()
  }

  #say(): void {
    const worst = FAULTS.find((fault) => this.#faults.has(fault))
    const health: NetworkHealth = worst === undefined ? { state: 'online' } : { state: 'fault', detail: worst }
    const words = JSON.stringify(health)
    if (words === this.#said) return
    this.#said = words
    this.#tell(health)
  }
}
