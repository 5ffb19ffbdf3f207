/** What plugins ask HQ, live (`up/request`), and its answers (`dn/answer`). Nothing of it is stored or logged: it may hold a secret. */
import { randomUUID } from 'node:crypto'
import { iso } from '../clock.ts'
import { Failure, isErrorCode } from '../contract/errors.ts'
import type { Json } from '../contract/json.ts'
import type { AskOptions, Clock, WallMs } from '../contract/plugin.ts'
import type { UpRequest } from '../contract/uplink.ts'
import type { Log } from '../log.ts'
import { ID_BYTES, takeAnswer } from './hq-intake.ts'

/** Questions without an answer yet; one more is refused. */
const OPEN_MOST = 200
const TIMEOUT_MS = 10_000
const TIMEOUT_MOST_MS = 120_000

export interface HqRequestsOptions {
  publish: (request: UpRequest, sent: (refused: string | undefined) => void) => void
  clock: Clock
  log: Log
}

interface Open {
  answer: Promise<Json>
  settle: (outcome: Json | Failure) => void
}

export class HqRequests {
  readonly #options: HqRequestsOptions
  /** By `plugin id`: two plugins may choose the same id. */
  readonly #open = new Map<string, Open>()
  #online = false

  constructor(options: HqRequestsOptions) {
    this.#options = options
  }

  online(): void {
    this.#online = true
  }

  /** Sessions are clean, so an answer that was under way is lost with the connection. */
  offline(): void {
    this.#online = false
    for (const { settle } of [...this.#open.values()])
      settle(new Failure('hq-no-answer', 'the connection to HQ was lost before it answered; it may have done what was asked'))
  }

  async ask(plugin: string, request: string, args: Json, { id = randomUUID(), timeoutMs = TIMEOUT_MS }: AskOptions): Promise<Json> {
    if (id === '' || Buffer.byteLength(id) > ID_BYTES) throw new Failure('payload-malformed', `id must be text of 1 to ${ID_BYTES} bytes`)
    const wire = `${plugin}:${id}`
    const asked = this.#open.get(wire)
    if (asked) return asked.answer
    if (!this.#online) throw new Failure('hq-unreachable', 'HQ cannot be reached now')
    if (this.#open.size >= OPEN_MOST) throw new Failure('queue-full', `${OPEN_MOST} questions to HQ have no answer yet`)
    return this.#send({ id: wire, plugin, request, args, expiresAt: '' }, Math.min(Math.max(1, timeoutMs), TIMEOUT_MOST_MS))
  }

  receive(payload: Buffer): void {
    const taken = takeAnswer(payload)
    if ('refused' in taken) {
      this.#options.log.warn({ error: taken.refused.message, request: taken.id ?? null }, 'an answer from HQ is malformed; ignored')
      return
    }
    // An answer that comes too late, or twice, finds nobody: no error.
    const { id, result, error } = taken.message
    this.#open.get(id)?.settle(error ? refusal(error) : (result ?? null))
  }

  #send(request: UpRequest, timeoutMs: number): Promise<Json> {
    const { clock, publish } = this.#options
    let settle: Open['settle'] = () => {}
    let settled = false
    const answer = new Promise<Json>((resolve, reject) => {
      settle = (outcome) => {
        if (settled) return
        settled = true
        cancel()
        this.#open.delete(request.id)
        if (outcome instanceof Failure) reject(outcome)
        else resolve(outcome)
      }
    })
    const cancel = clock.timer(timeoutMs, () =>
      settle(new Failure('hq-no-answer', `HQ did not answer "${request.request}" within ${timeoutMs / 1000} s`)),
    )
    this.#open.set(request.id, { answer, settle })
    publish({ ...request, expiresAt: iso((clock.wall() + timeoutMs) as WallMs) }, (refused) => {
      if (refused !== undefined) settle(new Failure('hq-unreachable', `the HQ broker refuses requests: ${refused}`))
    })
    return answer
  }
}

function refusal({ code, message }: { code: string; message: string }): Failure {
  return isErrorCode(code) ? new Failure(code, message) : new Failure('hq-refused', `${code}: ${message}`)
}
