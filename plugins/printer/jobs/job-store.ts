/** Jobs in the device's store: `job/{id}` written once, `progress/{id}` small and rewritten, `abilities`. */
import type { Json } from '../../../daemon/contract/json.ts'
import type { KeyValue } from '../../../daemon/contract/plugin.ts'
import type { Job, Progress, StoredJob } from './job.ts'
import type { Abilities } from './print-state.ts'

export class JobStore {
  readonly #store: KeyValue
  /** Writes to one key stay in order, whatever order the store takes them in. */
  #last: Promise<unknown> = Promise.resolve()

  constructor(store: KeyValue) {
    this.#store = store
  }

  async load(): Promise<{ stored: StoredJob[]; abilities: Abilities }> {
    const progress = new Map((await this.#store.list('progress/')).map(({ key, value }) => [key.slice('progress/'.length), value]))
    const jobs = (await this.#store.list('job/')).map(({ value }) => value as unknown as Job)
    const abilities = (await this.#store.get('abilities')) as unknown as Abilities | undefined
    return {
      stored: jobs.map((job) => ({
        job,
        progress: (progress.get(job.id) as unknown as Progress | undefined) ?? { phase: 'queued', copiesDone: 0 },
      })),
      abilities: abilities ?? { status: 'untried', marks: 'untried' },
    }
  }

  add(job: Job): Promise<void> {
    return this.#store.put(`job/${job.id}`, job as unknown as Json)
  }

  record(id: string, progress: Progress): Promise<void> {
    return this.#inOrder(() => this.#store.put(`progress/${id}`, progress as unknown as Json))
  }

  remember(abilities: Abilities): Promise<void> {
    return this.#inOrder(() => this.#store.put('abilities', { ...abilities }))
  }

  /** The job goes first: a progress without a job is nothing, a job without a progress would be printed again. */
  async forget(id: string): Promise<void> {
    await this.#inOrder(async () => {
      await this.#store.delete(`job/${id}`)
      await this.#store.delete(`progress/${id}`)
    })
  }

  #inOrder(write: () => Promise<void>): Promise<void> {
    const done = this.#last.then(write, write)
    this.#last = done.catch(() => {})
    return done
  }
}
