/** Grants gathered into batches: the first goes at once, what comes while the network is busy goes together after it. */
import type { Grant, NetworkController } from '../network/api.ts'

interface Waiting {
  grant: Grant
  resolve: () => void
  reject: (error: unknown) => void
}

export class Grants {
  readonly #network: Pick<NetworkController, 'authorise'>
  #waiting: Waiting[] = []
  #busy = false

  constructor(network: Pick<NetworkController, 'authorise'>) {
    this.#network = network
  }

  /** Resolves when the grant is in effect. */
  add(grant: Grant): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ grant, resolve, reject })
      if (this.#busy) return
      this.#busy = true
      // What this turn brings goes together, too.
      setImmediate(() => void this.#flush())
    })
  }

  async #flush(): Promise<void> {
    while (this.#waiting.length > 0) {
      const batch = this.#waiting
      this.#waiting = []
      const last = new Map(batch.map(({ grant }) => [grant.mac, grant]))
      try {
        await this.#network.authorise([...last.values()])
        for (const one of batch) one.resolve()
      } catch (error) {
        for (const one of batch) one.reject(error)
      }
    }
    this.#busy = false
  }
}
