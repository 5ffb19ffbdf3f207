/**
 * Order QRs on paper, each once: the job's id is made of the attempt's number, so the printer knows a repeat after a crash, and a mark in
 * the store says that it has answered, for when the printer has forgotten the job.
 */
import { asFailure, type ErrorCode } from '../../../daemon/contract/errors.ts'
import type { PluginContext } from '../../../daemon/contract/plugin.ts'
import type { Payment } from '../payment.ts'
import { type Showing, showingOf } from './showing.ts'
import { slipOf } from './slip.ts'

const MARKS = 'slip/'
const RETRY_FIRST_MS = 1_000
const RETRY_MOST_MS = 30_000
const DAY_MS = 86_400_000

/** The printer has given no word on the job, or a crash has swallowed it: asked again under the same id, it is still one print. */
const NO_WORD: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'plugin-not-found',
  'plugin-not-running',
  'plugin-start-failed',
  'plugin-unresponsive',
  'command-interrupted',
  'command-timeout',
  'queue-full',
  'journal-full',
  'journal-failed',
  'stopping',
])

type SlipContext = Pick<PluginContext<{ description: string }>, 'call' | 'emit' | 'store' | 'clock' | 'log' | 'signal' | 'config'>
type Scan = Showing & { state: 'scan' }

interface Job {
  id: string
  printer: string
  /** Aborted when the QR can be paid no more. */
  over: AbortController
  done: boolean
}

export class Slips {
  readonly #context: SlipContext
  /** By payment. */
  readonly #jobs = new Map<string, Job>()
  #marks = new Set<string>()

  constructor(context: SlipContext) {
    this.#context = context
  }

  async open(): Promise<void> {
    const { store, clock } = this.#context
    for (const { key, value } of await store.list(MARKS)) {
      // Of a payment that ended while nobody looked.
      if (clock.wall() - Date.parse(String(value)) > DAY_MS) await store.delete(key)
      else this.#marks.add(key.slice(MARKS.length))
    }
  }

  stop(): void {
    for (const { over } of this.#jobs.values()) over.abort()
  }

  look(payment: Payment): void {
    const showing = showingOf(payment)
    if (showing.state === 'scan' && payment.printer !== undefined) this.#begin(payment, payment.printer, showing)
    else if (payment.end !== undefined) this.#end(payment)
  }

  #begin(payment: Payment, printer: string, scan: Scan): void {
    if (this.#marks.has(payment.id) || this.#jobs.has(payment.id)) return
    const job: Job = { id: `order-qr-${scan.attempt}`, printer, over: new AbortController(), done: false }
    this.#jobs.set(payment.id, job)
    this.#print(payment, job, scan).catch((error: unknown) => {
      if (!this.#context.signal.aborted) this.#context.log.warn({ payment: payment.id, code: asFailure(error).code }, 'order QR on paper')
    })
  }

  /** Paid, expired or cancelled: what has not come out yet shall not come out any more. */
  #end({ id }: Payment): void {
    const job = this.#jobs.get(id)
    this.#jobs.delete(id)
    job?.over.abort()
    if (job && !job.done) this.#context.call('printer', job.printer, 'cancel', { jobId: job.id }).catch(() => {})
    if (this.#marks.delete(id)) this.#context.store.delete(MARKS + id).catch(() => {})
  }

  async #print(payment: Payment, job: Job, { channel, qr }: Scan): Promise<void> {
    const { call, clock, config, store } = this.#context
    const receipt = slipOf(payment, config.description, channel, qr)
    for (let wait = RETRY_FIRST_MS; !job.over.signal.aborted; wait = Math.min(wait * 2, RETRY_MOST_MS)) {
      try {
        await call('printer', job.printer, 'print', { receipt, jobId: job.id })
        break
      } catch (error) {
        const { code, message } = asFailure(error)
        if (!NO_WORD.has(code)) {
          await this.#notPrinted(payment, job, code, message)
          break
        }
      }
      await clock.sleep(wait, job.over.signal).catch(() => {})
    }
    if (job.over.signal.aborted) return
    job.done = true
    this.#marks.add(payment.id)
    await store.put(MARKS + payment.id, payment.expiresAt)
  }

  /** The till shows the QR by other means, or has the job printed again. */
  async #notPrinted({ id, order, till }: Payment, job: Job, code: ErrorCode, message: string): Promise<void> {
    // Another text under the same id: it was printed before the shop's name or time zone changed.
    if (code === 'command-id-reused' || job.over.signal.aborted) return
    const data = { payment: id, order, till, printer: job.printer, job: job.id, code, message }
    await this.#context.emit({ device: till, event: 'not-printed', data })
  }
}
