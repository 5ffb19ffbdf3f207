/**
 * Commands as the journal's space `commands` keeps them:
 *
 * - `r/{id}`: the record, from its acceptance on;
 * - `open/{id}`: it is not finished; what a start looks through;
 * - `age/{segment}/{order}/{id}`: finished, oldest first; what the sweep looks through, a segment at a time;
 * - `seg/{segment}`: which segments there are.
 */
import { type ErrorBody, Failure } from '../contract/errors.ts'
import type { Json, JsonObject } from '../contract/json.ts'
import type { WallMs } from '../contract/plugin.ts'
import type { Draft, Journal, Put } from '../journal/api.ts'
import type { CommandRecord, Final, Now } from './state.ts'

const SPACE = 'commands'
const SEGMENT_ORDERS = 2 ** 16
const SWEEP_BATCH = 500
/** Args larger than this stay out of the event, which has to fit into a batch to HQ with others. */
const EVENT_ARGS_BYTES = 4 * 1024
/** A larger result is not kept, so it is not given either: every repeat gets the same answer. */
const RESULT_BYTES = 256 * 1024

export interface Retention {
  maxAgeMs: number
  maxRecords: number
}

export class CommandRecords {
  readonly #journal: Journal
  readonly #segments = new Set<string>()
  #lastOrder = 0

  constructor(journal: Journal) {
    this.#journal = journal
  }

  async get(id: string): Promise<CommandRecord | undefined> {
    return (await this.#journal.space(SPACE).get(`r/${id}`)) as unknown as CommandRecord | undefined
  }

  /** Accepted and not finished, in the order they were accepted. */
  async unfinished(): Promise<{ id: string; record: CommandRecord }[]> {
    const space = this.#journal.space(SPACE)
    const found: { id: string; record: CommandRecord }[] = []
    for (const { key } of await space.list('open/')) {
      const id = key.slice('open/'.length)
      const record = await this.get(id)
      if (record) found.push({ id, record })
    }
    return found.sort((a, b) => a.record.order - b.record.order)
  }

  /**
   * The journal's sequence grows with every acceptance, so an order taken from it also grows across restarts; the clock's
   * time would not (it starts in 1970 on a box without a battery).
   */
  nextOrder(): number {
    this.#lastOrder = Math.max(this.#lastOrder + 1, this.#journal.head + 1)
    return this.#lastOrder
  }

  async accept(id: string, record: CommandRecord, masked: Json): Promise<void> {
    await this.#journal.commit({
      events: [acceptedEvent(id, record, masked)],
      puts: [put(`r/${id}`, record as unknown as Json), put(`open/${id}`, true)],
    })
  }

  /** Notes that a recovered command is about to run once more: its acceptance was journaled before the crash. */
  async acceptAgain(id: string, record: CommandRecord): Promise<void> {
    await this.#journal.commit({ puts: [put(`r/${id}`, record as unknown as Json)] })
  }

  async finish(id: string, record: CommandRecord, final: Final): Promise<void> {
    const { again: _again, ...rest } = record
    const finished: CommandRecord = { ...rest, ...final }
    const segment = segmentOf(record.order)
    const puts = [
      put(`r/${id}`, finished as unknown as Json),
      put(`open/${id}`, undefined),
      put(`age/${segment}/${pad(record.order)}/${id}`, record.clock === 'synced' ? Date.parse(record.at) : 0),
    ]
    if (!this.#segments.has(segment)) puts.push(put(`seg/${segment}`, true))
    await this.#journal.commit({ events: [finishedEvent(id, record.target, final)], puts })
    this.#segments.add(segment)
  }

  /** Drops finished records that are too old or too many, oldest first. The number dropped. */
  async sweep(now: Now, retention: Retention): Promise<number> {
    const space = this.#journal.space(SPACE)
    const segments = (await space.list('seg/')).map(({ key }) => key.slice('seg/'.length)).sort()
    const current = segmentOf(this.nextOrder())
    let kept = 0
    let dropped = 0
    let old = false
    for (const segment of segments.reverse()) {
      const ages = await space.list(`age/${segment}/`)
      const puts: Put[] = []
      for (const { key, value } of ages.reverse()) {
        // Stamped under an unset clock (0): as old as the next newer one at least, which `old` remembers.
        const at = Number(value)
        old ||= at > 0 && isOld(at, now, retention)
        if (old || kept >= retention.maxRecords) puts.push(put(key, undefined), put(`r/${idOf(key)}`, undefined))
        else kept += 1
      }
      dropped += puts.length / 2
      if (puts.length / 2 === ages.length && segment !== current) {
        this.#segments.delete(segment)
        puts.push(put(`seg/${segment}`, undefined))
      }
      // Oldest first: should the daemon stop in between, what is left is still the newest.
      puts.reverse()
      for (let from = 0; from < puts.length; from += SWEEP_BATCH) await this.#journal.commit({ puts: puts.slice(from, from + SWEEP_BATCH) })
    }
    return dropped
  }
}

/** A result that is too large to be kept is left out, and said so: the command itself was done. */
export function bounded(final: Final): Final {
  if (final.result === undefined) return final
  const bytes = Buffer.byteLength(JSON.stringify(final.result))
  if (bytes <= RESULT_BYTES) return final
  const { result: _result, ...rest } = final
  return {
    ...rest,
    error: {
      code: 'payload-too-large',
      message: `it was done, but its result of ${bytes} bytes is over the ${RESULT_BYTES} that are kept`,
    },
  }
}

/** Why the journal refused, as an answer. */
export function journalError(error: unknown): ErrorBody {
  if (error instanceof Failure) return error.toBody()
  return { code: 'journal-failed', message: error instanceof Error ? error.message : String(error) }
}

function isOld(at: number, now: Now, retention: Retention): boolean {
  return now.clock === 'synced' && at < (now.wall as WallMs) - retention.maxAgeMs
}

function acceptedEvent(id: string, record: CommandRecord, masked: Json): Draft {
  const bytes = Buffer.byteLength(JSON.stringify(masked))
  const args: JsonObject = bytes <= EVENT_ARGS_BYTES ? { args: masked } : { argsBytes: bytes }
  return {
    plugin: 'command',
    device: '-',
    event: 'accepted',
    data: { command: id, target: record.target, status: 'accepted', from: record.from, ...args },
  }
}

function finishedEvent(id: string, target: string, { status, error }: Final): Draft {
  const data: JsonObject = { command: id, target, status, ...(error === undefined ? {} : { error: error as unknown as Json }) }
  return { plugin: 'command', device: '-', event: 'finished', data }
}

function put(key: string, value: Json | undefined): Put {
  return { space: SPACE, key, value }
}

const pad = (order: number): string => String(order).padStart(15, '0')
const segmentOf = (order: number): string => String(Math.floor(order / SEGMENT_ORDERS)).padStart(10, '0')

/** `age/{segment}/{order}/{id}`; an id may hold slashes. */
function idOf(key: string): string {
  return key.split('/').slice(3).join('/')
}
