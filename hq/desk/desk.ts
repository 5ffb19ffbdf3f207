/** Answers what plugins ask HQ live (`up/request`): each request once, a repeat as the first was answered. */
import { connect, type IClientOptions, type MqttClient } from 'mqtt'
import { asFailure, Failure } from '../../daemon/contract/errors.ts'
import type { Json } from '../../daemon/contract/json.ts'
import type { Clock, Logger } from '../../daemon/contract/plugin.ts'
import { hq, NAME, parseUp } from '../../daemon/contract/topics.ts'
import type { DownAnswer, UpRequest } from '../../daemon/contract/uplink.ts'
import { parseObject } from '../sink/parse.ts'

export interface Asked {
  gateway: string
  plugin: string
  request: string
  /** May hold a secret: use it, never store or print it as it is. */
  args: Json
}

export interface DeskOptions {
  url: string
  mqtt: Pick<IClientOptions, 'ca' | 'cert' | 'key' | 'username' | 'password' | 'clientId'>
  /** Resolves with the result; a `Failure` (or an error with a `code` of HQ's own) is the answer, too. */
  answer: (asked: Asked) => Promise<Json>
  clock: Omit<Clock, 'patience'>
  log: Logger
}

const RECONNECT_MS = 2_000
/** Answers kept for repeats. A desk of record keeps them with what they did, in its database. */
const ID_MOST = 200
const KEPT = 20_000
const CLOCK_UNSET_MS = 86_400_000
const UNDECIDED: ReadonlySet<string> = new Set(['internal', 'command-expired'])

export class Desk {
  readonly #options: DeskOptions
  /** By gateway and id; insertion order is age. */
  readonly #answers = new Map<string, Promise<DownAnswer>>()
  #client: MqttClient | undefined
  #away = ''

  constructor(options: DeskOptions) {
    this.#options = options
  }

  /** Resolves when subscribed for the first time; reconnects until `stop`. */
  start(): Promise<void> {
    const { url, mqtt, log } = this.#options
    const client = connect(url, { ...mqtt, protocolVersion: 4, clean: true, resubscribe: false, reconnectPeriod: RECONNECT_MS })
    this.#client = client
    let reason = ''
    client.on('message', (topic, payload) => this.#receive(topic, payload))
    client.on('error', (error) => {
      reason = error.message || String((error as NodeJS.ErrnoException).code ?? error.name)
    })
    client.on('close', () => {
      if (client.disconnecting || reason === this.#away) return
      this.#away = reason
      log.warn({ url, reason: reason || 'connection closed' }, 'the broker is away; trying again until it is back')
    })
    return new Promise((resolve) => {
      client.on('connect', () => {
        client.subscribe(hq.allUp('request'), { qos: 1 }, (error, granted) => {
          if (error || granted?.some(({ qos }) => qos >= 0x80)) {
            reason = 'the broker denies the subscription'
            client.stream.destroy()
            return
          }
          this.#away = ''
          log.info({ url }, 'answering requests')
          resolve()
        })
      })
    })
  }

  async stop(): Promise<void> {
    await this.#client?.endAsync(!this.#client.connected)
  }

  #receive(topic: string, payload: Buffer): void {
    const up = parseUp(topic)
    if (up?.kind !== 'request') return
    let request: UpRequest
    try {
      request = parseRequest(payload)
    } catch (error) {
      this.#options.log.warn({ gateway: up.gateway }, `a request ${asFailure(error).message}; ignored`)
      return
    }
    void this.#once(up.gateway, request).then((answer) =>
      this.#client?.publish(hq.down(up.gateway, 'answer'), JSON.stringify(answer), { qos: 1 }),
    )
  }

  #once(gateway: string, request: UpRequest): Promise<DownAnswer> {
    const key = `${gateway} ${request.id}`
    const known = this.#answers.get(key)
    if (known) return known
    const answer = this.#answer(gateway, request)
    this.#answers.set(key, answer)
    // Nothing was decided: a shop that asks again under the same id, for days if need be, is not to hear of today's trouble for ever.
    void answer.then(({ error }) => {
      if (error && UNDECIDED.has(error.code) && this.#answers.get(key) === answer) this.#answers.delete(key)
    })
    const [oldest] = this.#answers.keys()
    if (this.#answers.size > KEPT && oldest !== undefined) this.#answers.delete(oldest)
    return answer
  }

  async #answer(gateway: string, { id, plugin, request, args, expiresAt }: UpRequest): Promise<DownAnswer> {
    try {
      const late = this.#options.clock.wall() - Date.parse(expiresAt)
      // The gateway waits no more: whatever were begun now would come as a surprise to it. (Days apart, its clock was never set.)
      if (late > 0 && late < CLOCK_UNSET_MS) throw new Failure('command-expired', `the request expired at ${expiresAt}`)
      return { id, result: await this.#options.answer({ gateway, plugin, request, args }) }
    } catch (error) {
      const own = error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined
      const { code, message } = asFailure(error)
      return { id, error: { code: own ?? code, message } }
    }
  }
}

/** Rejects with `payload-malformed` or `payload-too-large`. */
function parseRequest(payload: Buffer): UpRequest {
  const { id, plugin, request, args, expiresAt } = parseObject(payload) as Partial<Record<keyof UpRequest, Json>>
  const malformed = (what: string) => new Failure('payload-malformed', what)
  if (typeof id !== 'string' || id === '' || id.length > ID_MOST) throw malformed('has no id')
  if (typeof plugin !== 'string' || !NAME.test(plugin)) throw malformed('names no plugin')
  if (typeof request !== 'string' || !NAME.test(request)) throw malformed('does not say what is asked')
  if (typeof expiresAt !== 'string' || Number.isNaN(Date.parse(expiresAt))) throw malformed('has no expiresAt')
  return { id, plugin, request, args: args ?? null, expiresAt }
}
