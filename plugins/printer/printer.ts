/** One printer: the print machine with a wire, a store and a clock around it. */
import type { Command } from '../../daemon/contract/command.ts'
import { asFailure, type ErrorBody, Failure } from '../../daemon/contract/errors.ts'
import type { Json, JsonObject } from '../../daemon/contract/json.ts'
import type { DeviceContext, RunningDevice } from '../../daemon/contract/plugin.ts'
import type { PrinterConfig } from './config.ts'
import { isFinal, isMomentary, type Job, type Phase, type Progress } from './jobs/job.ts'
import { JobStore } from './jobs/job-store.ts'
import { boot, printMachine } from './jobs/print.machine.ts'
import type { LineFault, PrintEffect, PrintEvent, PrintState } from './jobs/print-state.ts'
import { ESCPOS } from './protocol/escpos.ts'
import { EscposParser } from './protocol/escpos-parse.ts'
import { MODELS, type Model } from './protocol/models.ts'
import { renderJob } from './render.ts'
import { type OpenPort, openerFor, PortFault } from './transports/port.ts'
import { Wire } from './wire.ts'

/** Jobs waiting at once. */
const MOST_WAITING = 200
/** Bytes of waiting jobs at once. */
const MOST_WAITING_BYTES = 16 * 1024 * 1024
const PROBE_MS = 6_000
/** A stop lets a receipt come out that is nearly done; longer ones end as unknown. */
const STOP_MS = 3_000

export interface Outcome {
  job: Job
  progress: Progress
}

const STALE: ErrorBody = { code: 'command-expired', message: 'waited too long while the gateway was off; nothing will come out' }
const CANCELLED: ErrorBody = { code: 'job-cancelled', message: 'cancelled before anything was sent; nothing will come out' }

interface Waiter {
  resolve: (outcome: Outcome) => void
  reject: (failure: Failure) => void
}

type WithoutNow<Event> = Event extends { now: unknown } ? Omit<Event, 'now'> : never

export class Printer {
  readonly #device: DeviceContext<PrinterConfig>
  readonly #config: PrinterConfig
  readonly #model: Model
  readonly #store: JobStore
  readonly #openPort: OpenPort
  readonly #state: PrintState
  readonly #waiters = new Map<string, Waiter[]>()
  /** Jobs on their way into the store. */
  readonly #entering = new Map<string, { done: Promise<void>; resolve: () => void; reject: (failure: Failure) => void }>()
  readonly #probes = new Set<() => void>()
  #wire: Wire | undefined
  #unsaved = 0
  #closing: Promise<void> = Promise.resolve()
  #cancelWake: () => void = () => {}
  #next: number
  #stopped = false
  #reportedAt: string | undefined
  #whenIdle: (() => void) | undefined

  static async start(device: DeviceContext<PrinterConfig>): Promise<Printer> {
    const { config } = device
    const openPort = await openerFor(config, device.clock)
    const store = new JobStore(device)
    const { stored, abilities } = await store.load()
    const now = device.clock.wall()
    const stale = ({ job, progress }: Outcome): boolean =>
      // A clock that stands before the job's time has not been set yet and proves nothing.
      progress.phase === 'queued' && now - Date.parse(job.createdAt) > config.staleMs
    const settings = { ...config, keepOpen: config.keepOpen ?? !config.port.startsWith('tcp:') }
    const next = stored.reduce((most, { job }) => Math.max(most, job.n), 0) + 1
    const booted = boot(settings, abilities, stored, device.clock.mono())
    const printer = new Printer(device, store, openPort, booted.state, next)
    for (const { job } of stored.filter(stale)) printer.#feedSoon({ type: 'cancel', id: job.id, error: STALE }, booted.effects)
    printer.#perform(booted.effects)
    return printer
  }

  private constructor(device: DeviceContext<PrinterConfig>, store: JobStore, openPort: OpenPort, state: PrintState, next: number) {
    this.#device = device
    this.#config = device.config
    this.#model = MODELS[device.config.model]
    this.#store = store
    this.#openPort = openPort
    this.#state = state
    this.#next = next
  }

  get state(): PrintState {
    return this.#state
  }

  get reportedAt(): string | undefined {
    return this.#reportedAt
  }

  job(id: string): Outcome | undefined {
    return this.#state.jobs.get(id)
  }

  /** Newest first. */
  jobs(): Outcome[] {
    return [...this.#state.jobs.values()].filter(({ job }) => !isMomentary(job)).sort((a, b) => b.job.n - a.job.n)
  }

  /** Takes a job into the queue: durable when this resolves. Rejects with `queue-full`, or what rendering finds wrong. */
  async submit(draft: Omit<Job, 'n' | 'createdAt' | 'bytes'>): Promise<void> {
    if (this.#stopped) throw new Failure('stopping', `job "${draft.id}": the printer plugin stops; it was not taken`)
    const bytes = renderJob(draft, this.#config).length
    const waiting = [...this.#state.jobs.values()].filter(({ progress }) => !isFinal(progress.phase))
    if (waiting.length >= MOST_WAITING || waiting.reduce((sum, { job }) => sum + job.bytes, bytes) > MOST_WAITING_BYTES)
      throw new Failure('queue-full', `${waiting.length} jobs wait for this printer already`)
    const job: Job = { ...draft, n: this.#next, createdAt: new Date(this.#device.clock.wall()).toISOString(), bytes }
    this.#next += 1
    const entering = isMomentary(job) ? undefined : this.#enters(job.id)
    this.#feed({ type: 'submitted', job })
    await entering
  }

  /** Resolves when no job of this id is on its way into the store. */
  async entered(id: string): Promise<void> {
    await this.#entering.get(id)?.done.catch(() => {})
  }

  #enters(id: string): Promise<void> {
    let settle = { resolve: (): void => {}, reject: (_failure: Failure): void => {} }
    const done = new Promise<void>((resolve, reject) => {
      settle = { resolve, reject }
    }).finally(() => this.#entering.delete(id))
    this.#entering.set(id, { done, ...settle })
    return done
  }

  /** Resolves once the job has come to its end and its event is durable. */
  outcome(id: string): Promise<Outcome> {
    const known = this.#state.jobs.get(id)
    if (known && isFinal(known.progress.phase) && (known.progress.announced || isMomentary(known.job))) return Promise.resolve(known)
    if (this.#stopped) return Promise.reject(this.#stopping(id))
    return new Promise((resolve, reject) => this.#waiters.set(id, [...(this.#waiters.get(id) ?? []), { resolve, reject }]))
  }

  cancel(id: string): void {
    if (!this.#device.signal.aborted) this.#feed({ type: 'cancel', id, error: CANCELLED })
  }

  /** Asks the printer; resolves when it has answered or could not be reached, at the latest after 6 s. */
  probe(): Promise<void> {
    return new Promise((resolve) => {
      const finish = () => {
        cancel()
        this.#probes.delete(finish)
        resolve()
      }
      const cancel = this.#device.clock.patience(PROBE_MS, finish)
      this.#probes.add(finish)
      this.#feed({ type: 'probe' })
    })
  }

  async stop(): Promise<void> {
    this.#feed({ type: 'stop' })
    if (this.#state.active || this.#unsaved > 0)
      await new Promise<void>((resolve) => {
        const cancel = this.#device.clock.patience(STOP_MS, resolve)
        this.#whenIdle = () => {
          cancel()
          resolve()
        }
      })
    this.#stopped = true
    this.#cancelWake()
    for (const finish of [...this.#probes]) finish()
    for (const [id, { reject }] of this.#entering) reject(this.#stopping(id))
    for (const [id, waiters] of this.#waiters) for (const { reject } of waiters) reject(this.#stopping(id))
    await this.#wire?.close().catch(() => {})
  }

  #stopping(id: string): Failure {
    const entry = this.#state.jobs.get(id)
    const fate =
      entry && isMomentary(entry.job)
        ? 'it is not done later'
        : (entry?.progress.phase ?? 'queued') === 'queued'
          ? 'it stays queued and is printed after the restart'
          : 'its outcome is told after the restart'
    return new Failure('stopping', `job "${id}": the printer plugin stops; ${fate}`)
  }

  #feed(event: WithoutNow<PrintEvent>): void {
    if (this.#stopped) return
    this.#perform(printMachine.step(this.#state, { ...event, now: this.#device.clock.mono() } as PrintEvent))
  }

  /** Before the first effect was performed: in the order in which they came about. */
  #feedSoon(event: WithoutNow<PrintEvent>, effects: PrintEffect[]): void {
    effects.push(...printMachine.step(this.#state, { ...event, now: this.#device.clock.mono() } as PrintEvent))
  }

  #perform(effects: readonly PrintEffect[]): void {
    for (const effect of effects) this.#do(effect)
    this.#checkIdle()
  }

  #checkIdle(): void {
    if (!this.#state.active && this.#unsaved === 0) this.#whenIdle?.()
  }

  /** A stop waits for what is on its way to the store and the journal. */
  async #saving(work: Promise<void>): Promise<void> {
    this.#unsaved += 1
    try {
      await work
    } finally {
      this.#unsaved -= 1
      this.#checkIdle()
    }
  }

  #do(effect: PrintEffect): void {
    const { log } = this.#device
    const lost = (what: string) => (error: unknown) => log.error({ code: asFailure(error).code }, `${what}: ${asFailure(error).message}`)
    switch (effect.do) {
      case 'open':
        this.#open(effect.line)
        return
      case 'close': {
        const wire = this.#wire
        this.#wire = undefined
        // A printer takes one client at a time: the next connection must not meet our own last one.
        this.#closing = (wire?.close() ?? Promise.resolve()).catch(lost('closing the line'))
        return
      }
      case 'ask':
        this.#ask(effect.line).catch(lost('asking for the status'))
        return
      case 'fence':
        this.#fence(effect.line, effect.bytes).catch(lost('waiting for the printer to be done'))
        return
      case 'enter':
        this.#saving(this.#enter(effect.job)).catch(lost('storing a job'))
        return
      case 'refuse':
        this.#entering.get(effect.id)?.reject(new Failure(effect.error.code, effect.error.message))
        return
      case 'record':
        this.#saving(this.#record(effect)).catch(lost('recording a job'))
        return
      case 'send':
        this.#send(effect).catch(lost('sending a job'))
        return
      case 'finish':
        for (const { resolve } of this.#waiters.get(effect.job.id) ?? []) resolve({ job: effect.job, progress: effect.progress })
        this.#waiters.delete(effect.job.id)
        return
      case 'forget':
        this.#store.forget(effect.ids).catch(lost('forgetting old jobs'))
        return
      case 'remember':
        this.#store.remember(effect.abilities).catch(lost('remembering what the printer can do'))
        return
      case 'state':
        this.#device.state(effect.state)
        return
      case 'answer-probes':
        for (const finish of [...this.#probes]) finish()
        return
      case 'wake': {
        this.#cancelWake()
        const wait = Math.max(0, effect.at - this.#device.clock.mono())
        if (!this.#stopped) this.#cancelWake = this.#device.clock.timer(Math.min(wait, 2 ** 31 - 1), () => this.#feed({ type: 'tick' }))
      }
    }
  }

  #open(line: number): void {
    const wire = new Wire(this.#device.clock, {
      unasked: (report) => this.#report({ type: 'status', line, report, asked: false }),
      marked: (paper) => this.#feed({ type: 'marked', line, paper }),
      closed: (fault) => this.#closed(line, fault),
    })
    this.#wire = wire
    const asb = this.#model.asb && this.#state.settings.keepOpen && this.#config.statusMode !== 'none'
    this.#closing
      .then(() => wire.open(this.#openPort, this.#device.signal, asb))
      .then(() => this.#feed({ type: 'opened', line }))
      .catch((error: unknown) => {
        const fault = error instanceof PortFault ? error.fault : 'unreachable'
        this.#device.log.debug({ fault }, error instanceof Error ? error.message : String(error))
        this.#feed({ type: 'open-failed', line, fault, jitter: Math.random() })
      })
  }

  #closed(line: number, fault: LineFault): void {
    this.#feed({ type: 'closed', line, fault })
  }

  #report(event: WithoutNow<Extract<PrintEvent, { type: 'status' }>>): void {
    this.#reportedAt = new Date(this.#device.clock.wall()).toISOString()
    this.#feed(event)
  }

  async #ask(line: number): Promise<void> {
    const answer = (await this.#wire?.ask()) ?? 'silent'
    if (typeof answer === 'string') this.#feed({ type: 'no-status', line, garbage: answer === 'garbage' })
    else this.#report({ type: 'status', line, report: answer, asked: true })
  }

  async #fence(line: number, bytes: number): Promise<void> {
    const ok = await (this.#wire?.fence(this.#model.clearBuffer, bytes) ?? false)
    this.#feed({ type: 'fenced', line, ok })
  }

  async #enter(job: Job): Promise<void> {
    try {
      await this.#store.add(job)
    } catch (error) {
      this.#feed({ type: 'enter-failed', id: job.id, error: asFailure(error).toBody() })
      return
    }
    this.#entering.get(job.id)?.resolve()
    this.#feed({ type: 'entered', id: job.id })
  }

  async #record({ job, progress, keep }: Extract<PrintEffect, { do: 'record' }>): Promise<void> {
    const { id } = job
    const { phase } = progress
    if (isFinal(phase)) progress.finishedAt ??= new Date(this.#device.clock.wall()).toISOString()
    try {
      if (keep !== 'nothing') await this.#keep(job, progress, keep === 'job-and-progress')
    } catch (error) {
      const failure = asFailure(error)
      this.#device.log.error({ job: id, phase }, `the job's record could not be stored: ${failure.message}`)
      this.#feed({ type: 'record-failed', id, phase, error: failure.toBody() })
      return
    }
    this.#entering.get(id)?.resolve()
    this.#feed({ type: 'recorded', id, phase })
  }

  async #keep(job: Job, progress: Progress, whole: boolean): Promise<void> {
    const first = whole ? { job } : {}
    if (!isFinal(progress.phase)) return this.#store.record(job.id, progress, first)
    const event = { event: eventOf(progress.phase), data: eventData(job, progress) }
    const told = { ...progress, announced: true }
    try {
      await this.#store.record(job.id, told, { ...first, event })
    } catch (error) {
      if (asFailure(error).code !== 'event-invalid') throw error
      // It would be refused for ever; what became of the job is kept all the same.
      this.#device.log.error({ job: job.id, code: 'event-invalid' }, asFailure(error).message)
      await this.#store.record(job.id, told, first)
    }
  }

  async #send({ line, job, copy, mark, ready }: Extract<PrintEffect, { do: 'send' }>): Promise<void> {
    const { drawer } = this.#config
    const bytes =
      !ready && job.content.kind === 'drawer' && this.#model.realtimeDrawer
        ? ESCPOS.drawerNow(drawer.pin, drawer.onMs)
        : renderJob(job, this.#config, copy)
    try {
      await this.#wire?.send(bytes, mark, job.content.kind === 'raw' ? questionsIn(bytes) : 0, () =>
        this.#feed({ type: 'wrote', line, id: job.id }),
      )
    } catch {
      // The port tells that it is closed; told twice it is heard once.
      this.#closed(line, 'unreachable')
      return
    }
    this.#feed({ type: 'handed-over', line, id: job.id, confirmMs: confirmMs(bytes.length, this.#config) })
  }
}

/** Commands inside raw bytes that the printer answers in order, with one byte each that looks like a mark. */
function questionsIn(bytes: Uint8Array): number {
  return new EscposParser().feed(bytes).filter((op) => op.op === 'ask' && !(op.command === 'GS I' && op.n >= 65)).length
}

/** From the last byte handed over to the mark: a slow printer does about 50 mm/s, that is 12 lines of text or 3 KB of image. */
function confirmMs(bytes: number, config: PrinterConfig): number {
  const text = Math.min(bytes, 20_000) / 200
  const image = Math.max(0, bytes - 20_000) / 3_000
  const line = config.port.startsWith('tcp:') ? 0 : bytes / (config.baudRate / 10)
  return 10_000 + (text + image + line) * 1_000
}

function eventOf(phase: Phase): 'printed' | 'sent' | 'failed' {
  return phase === 'printed' || phase === 'sent' ? phase : 'failed'
}

function eventData(job: Job, { copiesDone, paper, error }: Progress): JsonObject {
  return {
    jobId: job.id,
    copies: copiesDone,
    ...(error ? { error: { code: error.code, message: error.message } } : {}),
    ...(paper === undefined ? {} : { paper }),
    ...(job.reprintOf ? { reprintOf: job.reprintOf.id } : {}),
  }
}

/** The device as the plugin's host sees it. */
export function runningPrinter(printer: Printer, handle: (command: Command, signal: AbortSignal) => Promise<Json>): RunningDevice {
  return { handle, stop: () => printer.stop() }
}
