/** From paper to event: each captured receipt read by the till's template, matched with its payment, journaled and kept. */
import { randomBytes } from 'node:crypto'
import { asFailure, ERRORS } from '../../daemon/contract/errors.ts'
import type { JsonObject } from '../../daemon/contract/json.ts'
import type { DeviceContext } from '../../daemon/contract/plugin.ts'
import type { Claims } from './append/claims.ts'
import type { ReceiptConfig, TillConfig } from './config.ts'
import type { Kept } from './keep.ts'
import type { Matched } from './match.machine.ts'
import type { Payments } from './payments.ts'
import type { Captured } from './relay/forward.ts'
import { type Extracted, extract, type Template } from './template/extract.ts'

export interface ReceiptsParts {
  device: DeviceContext<TillConfig, ReceiptConfig>
  template: Template | undefined
  payments: Payments
  kept: Kept
  claims: Claims
}

/** Receipts that may wait for a journal that takes none; the till prints on, and older ones are let go. */
const WAITING_MOST = 100
const RETRY_MS = 1_000
/** A till asks for the printer's status right behind a receipt, and that answer must not wait for the reading. */
const READ_LATER_MS = 20

interface Waiting {
  id: string
  at: number
  data: JsonObject
  captured: Captured
}

export class Receipts {
  readonly #parts: ReceiptsParts
  #unread: Captured[] = []
  #cancelRead = (): void => {}
  #queue: Waiting[] = []
  #working: Promise<void> | undefined
  #told = false
  counters = { receipts: 0, parsed: 0, bitmap: 0, checked: 0, mismatched: 0, drawer: 0, lost: 0 }

  constructor(parts: ReceiptsParts) {
    this.#parts = parts
  }

  get till(): string {
    const { config, name } = this.#parts.device
    return config.till ?? name
  }

  get waiting(): number {
    return this.#queue.length + this.#unread.length
  }

  /** Called between two chunks of a till's job: leaves at once. What the printer answers to the job's end goes first. */
  captured(captured: Captured): void {
    this.#unread.push(captured)
    if (this.#unread.length > WAITING_MOST) {
      this.#unread.pop()
      this.counters.lost += 1
    } else if (this.#unread.length === 1) this.#readLater()
  }

  /** A payment that came after its receipt. */
  async matched({ receipt, payment, by }: Matched): Promise<void> {
    await this.#parts.device.emit('matched', { receipt, till: this.till, payment, by })
    await this.#parts.kept.annotate(receipt, { payment })
  }

  /** Resolves when what has been captured is stored, or the journal refused, or after `ms`. */
  async drained(ms: number): Promise<void> {
    this.#cancelRead()
    while (this.#unread.length > 0) this.#readNext()
    await new Promise<void>((resolve) => {
      const cancel = this.#parts.device.clock.timer(ms, resolve)
      const done = () => {
        cancel()
        resolve()
      }
      if (this.#working) this.#working.then(done, done)
      else done()
    })
  }

  #readLater(): void {
    this.#cancelRead = this.#parts.device.clock.timer(READ_LATER_MS, () => {
      this.#readNext()
      if (this.#unread.length > 0) this.#readLater()
    })
  }

  #readNext(): void {
    const captured = this.#unread.shift()
    if (!captured) return
    try {
      this.#read(captured)
    } catch (error) {
      this.#parts.device.log.warn({ error: error instanceof Error ? error.message : String(error) }, 'a printed receipt could not be read')
    }
  }

  #read(captured: Captured): void {
    const { device, template, payments } = this.#parts
    const { paper, appended } = captured
    // Blank paper, or a line of dashes.
    if (paper.letters === 0 && paper.raster === 0 && paper.symbols === 0) return
    const at = device.clock.wall()
    const id = `${at.toString(36)}-${randomBytes(4).toString('hex')}`
    const { currency } = device.config
    const found = template && paper.letters > 0 ? extract(template, paper.lines, device.config) : undefined
    const matched = payments.printed(device.name, {
      receipt: id,
      till: this.till,
      currency,
      at,
      ...(found?.order === undefined ? {} : { order: found.order }),
      ...(found?.total === undefined ? {} : { total: found.total }),
    })
    const data = eventData(id, this.till, currency, captured, found, template !== undefined)
    if (matched) Object.assign(data, { payment: matched.payment })
    if (appended)
      Object.assign(data, { appended: true }, appended.claim ? { claim: appended.claim.hash, claimExpires: appended.claim.expires } : {})
    this.#count(data)
    this.#queue.push({ id, at, data, captured })
    while (this.#queue.length > WAITING_MOST) {
      this.#queue.shift()
      this.counters.lost += 1
    }
    this.#working ??= this.#work().finally(() => {
      this.#working = undefined
    })
  }

  #count({ parsed, why, checked }: JsonObject): void {
    this.counters.receipts += 1
    if (parsed === true) this.counters.parsed += 1
    if (why === 'bitmap') this.counters.bitmap += 1
    if (checked === true) this.counters.checked += 1
    if (checked === false) this.counters.mismatched += 1
  }

  async #work(): Promise<void> {
    for (let next = this.#queue[0]; next; next = this.#queue[0]) {
      if (!(await this.#store(next))) return
      if (this.#queue[0] === next) this.#queue.shift()
    }
  }

  /** False when the device stops while the journal still refuses. */
  async #store(waiting: Waiting): Promise<boolean> {
    const { device } = this.#parts
    for (;;) {
      try {
        await device.emit('captured', waiting.data, new Date(waiting.at).toISOString())
        if (this.#told) device.log.info({ lost: this.counters.lost }, 'receipts are stored again')
        this.#told = false
        await this.#remember(waiting)
        return true
      } catch (error) {
        const failure = asFailure(error)
        if (!this.#told) device.log.warn({ code: failure.code }, `receipts cannot be stored; the till prints on: ${failure.message}`)
        this.#told = true
        if (!ERRORS[failure.code].retry) {
          this.counters.lost += 1
          return true
        }
        if (device.signal.aborted) return false
        await device.clock.sleep(RETRY_MS, device.signal).catch(() => {})
      }
    }
  }

  /** What is for people to look at: not worth an event told twice, if the disk refuses it. */
  async #remember({ id, at, data, captured }: Waiting): Promise<void> {
    const { device, kept, claims } = this.#parts
    const { lines, ...summary } = data
    try {
      if (captured.appended?.claim) await claims.printed(captured.appended.claim.hash, id, captured.appended.claim.expires)
      await kept.add(
        { receipt: id, at, summary: { ...summary, items: Array.isArray(lines) ? lines.length : 0 }, cutShort: captured.cutShort },
        captured.bytes,
      )
    } catch (error) {
      device.log.warn({ code: asFailure(error).code, receipt: id }, 'a receipt was journaled but could not be kept for looking at')
    }
  }
}

function eventData(
  receipt: string,
  till: string,
  currency: string,
  { paper }: Captured,
  found: Extracted | undefined,
  templated: boolean,
): JsonObject {
  const data: JsonObject = {
    receipt,
    till,
    lines: (found?.items ?? []).map((item) => ({ ...item })),
    parsed: found !== undefined && (found.total !== undefined || found.items.length > 0),
    bytes: paper.to - paper.from,
    end: paper.end,
  }
  if (found?.total !== undefined) Object.assign(data, { total: found.total, currency })
  if (found?.order !== undefined) data.order = found.order
  if (found?.method !== undefined) data.method = found.method
  if (found?.checked !== undefined) data.checked = found.checked
  if (found && found.more > 0) data.more = found.more
  if (paper.drawer > 0) data.drawer = paper.drawer
  const why = reason(paper.letters, paper.whole, data.parsed === true, templated)
  if (why !== undefined) data.why = why
  return data
}

/** Why nothing, or not all, could be read. */
function reason(letters: number, whole: boolean, parsed: boolean, templated: boolean): string | undefined {
  if (!whole) return 'cut-short'
  if (letters === 0) return 'bitmap'
  if (parsed) return undefined
  return templated ? 'nothing-found' : 'no-template'
}
