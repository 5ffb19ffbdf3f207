/** One `ctx.subscribe`: journaled events to one handler, at least once, in order, from a durable cursor. */
import { asFailure, type ErrorBody, Failure } from '../contract/errors.ts'
import type { CloudEvent, Sequence } from '../contract/event.ts'
import type { Clock } from '../contract/plugin.ts'
import type { Journal, StoredEvent } from '../journal/api.ts'
import type { Log } from '../log.ts'
import { matchesType } from './ipc.ts'

const READ = { events: 200, bytes: 1024 * 1024 }
const RETRY_FIRST_MS = 1_000
const RETRY_MOST_MS = 60_000
/** Foreign events are passed over without moving the cursor at once: each move is a write to the card. */
const SKIPPED_MOST = 1_000

export interface SubscriptionParts {
  plugin: string
  /** The how-manieth `subscribe` of its plugin: with the plugin's name it names the cursor. */
  index: number
  types: readonly string[]
  journal: Journal
  clock: Clock
  log: Log
  /** Resolves when the handler has, rejects with its failure. */
  deliver: (event: CloudEvent) => Promise<void>
  signal: AbortSignal
}

/** Runs until `signal` is aborted. A handler that fails gets the same event again, with backoff. */
export async function follow(parts: SubscriptionParts): Promise<void> {
  const { journal, signal } = parts
  const name = `plugin:${parts.plugin}:${parts.index}`
  const cursor = journal.cursor(name)
  const wanted = (type: string): boolean => parts.types.some((pattern) => matchesType(pattern, type))
  let position = Math.max(cursor.position, await firstPosition(journal, name))
  let idle = false
  let wake = (): void => {}

  const unfollow = journal.follow((events) => {
    const last = events.at(-1)
    if (!idle || !last) return
    if (events.some((one) => wanted(one.type))) wake()
    else position = Math.max(position, last.sequence)
  })
  const onAbort = (): void => wake()
  signal.addEventListener('abort', onAbort, { once: true })

  try {
    while (!signal.aborted) {
      const events = journal.head > position ? await journal.read(position, READ) : []
      if (events.length === 0) {
        idle = true
        await new Promise<void>((resolve) => {
          wake = resolve
          if (signal.aborted) resolve()
        })
        idle = false
        continue
      }
      for (const event of events) {
        if (wanted(event.type)) {
          if (!(await untilHandled(event, parts))) return
          cursor.advance(event.sequence)
        } else if (event.sequence - cursor.position >= SKIPPED_MOST) cursor.advance(event.sequence)
        position = event.sequence
      }
    }
  } finally {
    unfollow()
    signal.removeEventListener('abort', onAbort)
    // Everything wanted up to here has been handled.
    if (position > cursor.position) cursor.advance(position)
  }
}

/** A new subscription begins with what comes after it: half a year of old receipts is not news. */
async function firstPosition(journal: Journal, name: string): Promise<Sequence> {
  const space = journal.space('subscriptions')
  const known = await space.get(name)
  if (typeof known === 'number') return known
  const { head } = journal
  await space.put(name, head)
  return head
}

/** False when the subscription ended before the event was handled. */
async function untilHandled(stored: StoredEvent, parts: SubscriptionParts): Promise<boolean> {
  const { clock, signal, log } = parts
  const event = JSON.parse(stored.text) as CloudEvent
  for (let wait = RETRY_FIRST_MS; !signal.aborted; wait = Math.min(wait * 2, RETRY_MOST_MS)) {
    try {
      await parts.deliver(event)
      return true
    } catch (error) {
      if (signal.aborted) return false
      const failure = asFailure(error, 'plugin-failed')
      log.warn(
        { type: event.type, sequence: stored.sequence, code: failure.code, retryInMs: wait },
        `an event was not taken: ${failure.message}`,
      )
      await clock.sleep(wait, signal).catch(() => {})
    }
  }
  return false
}

/** Deliveries under way to one process: one for each subscription. */
export class Deliveries {
  readonly #waiting = new Map<number, { resolve: () => void; reject: (failure: Failure) => void }>()

  start(subscription: number, send: () => void): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.set(subscription, { resolve, reject })
      send()
    })
  }

  done(subscription: number, error: ErrorBody | undefined): void {
    const waiting = this.#waiting.get(subscription)
    this.#waiting.delete(subscription)
    if (error) waiting?.reject(new Failure(error.code, error.message))
    else waiting?.resolve()
  }

  end(): void {
    for (const { reject } of this.#waiting.values()) reject(new Failure('plugin-not-running', 'the plugin has ended'))
    this.#waiting.clear()
  }
}
