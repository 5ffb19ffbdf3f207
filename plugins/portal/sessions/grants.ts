/** Grants gathered into batches: the first goes at once, what comes while the network is busy goes together after it. */
import { asFailure } from '../../../daemon/contract/errors.ts'
import type { Grant, Mac, NetworkController } from '../network/api.ts'

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

  /** Who was refused, and why. One that is refused must not keep the others of its batch out: then each is asked for alone. */
  async #authorise(grants: readonly Grant[]): Promise<Map<Mac, Error>> {
    try {
      await this.#network.authorise(grants)
      return new Map()
    } catch (error) {
      const [first, second] = grants
      if (first && !second) return new Map([[first.mac, asFailure(error)]])
    }
    const alone = await Promise.all(grants.map((grant) => this.#authorise([grant])))
    return new Map(alone.flatMap((refused) => [...refused]))
  }

  async #flush(): Promise<void> {
    while (this.#waiting.length > 0) {
      const batch = this.#waiting
      this.#waiting = []
      const last = new Map(batch.map(({ grant }) => [grant.mac, grant]))
      const refused = await this.#authorise([...last.values()])
      for (const { grant, resolve, reject } of batch) {
        const why = refused.get(grant.mac)
        if (why === undefined) resolve()
        else reject(why)
      }
    }
    this.#busy = false
  }
}
