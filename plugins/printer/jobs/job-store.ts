/** Jobs in the device's store: `job/{id}` written once, `progress/{id}` small and rewritten, `abilities`. */
import type { Json } from '../../../daemon/contract/json.ts'
import type { DeviceContext, OwnEvent, StoreChange } from '../../../daemon/contract/plugin.ts'
import type { Job, Progress, StoredJob } from './job.ts'
import type { Abilities } from './print-state.ts'

export class JobStore {
  readonly #device: Pick<DeviceContext<unknown>, 'store' | 'commit'>

  constructor(device: Pick<DeviceContext<unknown>, 'store' | 'commit'>) {
    this.#device = device
  }

  async load(): Promise<{ stored: StoredJob[]; abilities: Abilities }> {
    const progress = new Map((await this.#device.store.list('progress/')).map(({ key, value }) => [key.slice('progress/'.length), value]))
    const jobs = (await this.#device.store.list('job/')).map(({ value }) => value as unknown as Job)
    const abilities = (await this.#device.store.get('abilities')) as unknown as Abilities | undefined
    return {
      stored: jobs.map((job) => ({
        job,
        progress: (progress.get(job.id) as unknown as Progress | undefined) ?? { phase: 'queued', copiesDone: 0 },
      })),
      abilities: abilities ?? { status: 'untried', marks: 'untried' },
    }
  }

  async add(job: Job): Promise<void> {
    await this.#device.commit({ store: [entryOf(job)] })
  }

  /** What became of the job, in one transaction with its event and with the job itself where they are given. */
  async record(id: string, progress: Progress, { job, event }: { job?: Job; event?: OwnEvent }): Promise<void> {
    const store: StoreChange[] = [[`progress/${id}`, progress as unknown as Json]]
    if (job) store.push(entryOf(job))
    await this.#device.commit({ store, ...(event ? { events: [event] } : {}) })
  }

  async remember(abilities: Abilities): Promise<void> {
    await this.#device.commit({ store: [['abilities', { ...abilities }]], mayWait: true })
  }

  async forget(ids: readonly string[]): Promise<void> {
    const store = ids.flatMap((id): StoreChange[] => [
      [`job/${id}`, undefined],
      [`progress/${id}`, undefined],
    ])
    await this.#device.commit({ store, mayWait: true })
  }
}

const entryOf = (job: Job): StoreChange => [`job/${job.id}`, job as unknown as Json]
