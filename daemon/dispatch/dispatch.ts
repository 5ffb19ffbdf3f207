/** Performs what the dispatch machine decides: looks up, journals, runs, answers. */
import { iso } from '../clock.ts'
import type { CommandRequest, CommandResult } from '../contract/command.ts'
import { asFailure, Failure } from '../contract/errors.ts'
import type { ClockState } from '../contract/event.ts'
import type { Json } from '../contract/json.ts'
import type { Clock } from '../contract/plugin.ts'
import type { Journal } from '../journal/api.ts'
import type { Log } from '../log.ts'
import type { CommandTarget, Dispatch } from './api.ts'
import { dispatchMachine, failed } from './dispatch.machine.ts'
import { bounded, CommandRecords, journalError, type Retention } from './records.ts'
import { digestible, judge, readRequest, redact, storable } from './request.ts'
import {
  type Asked,
  type CommandRecord,
  type DispatchEffect,
  type DispatchEvent,
  type DispatchState,
  type Entry,
  type Final,
  initialDispatch,
  type Limits,
  type Now,
  targetOf,
} from './state.ts'

export interface DispatchOptions {
  journal: Journal
  target: CommandTarget
  clock: Clock
  /** An unsynced clock cannot say that a command has expired. */
  clockState: () => ClockState
  log: Log
  limits?: Partial<Limits>
  retention?: Partial<Retention>
}

export interface RunningDispatch extends Dispatch {
  /** To be called once the plugins are up: runs again what was cut off and is repeatable. Resolves when that is decided, not done. */
  resume(): Promise<void>
  /** Takes nothing new, lets what runs finish for up to `graceMs` (5 s), and answers `unknown` for the rest. */
  stop(graceMs?: number): Promise<void>
  /** Drops old records now. It also happens by itself, daily. The number dropped. */
  sweep(): Promise<number>
}

const LIMITS: Limits = { inFlight: 1_000, perDevice: 100, reruns: 2 }
const RETENTION: Retention = { maxAgeMs: 180 * 86_400_000, maxRecords: 100_000 }
const SETTLE_MS = 5_000
const FIRST_SWEEP_MS = 10 * 60_000
const SWEEP_MS = 86_400_000

/** Settles what a crash left unfinished before it resolves. Rejects when the journal cannot be read. */
export async function createDispatch(options: DispatchOptions): Promise<RunningDispatch> {
  const shell = new DispatchShell(options)
  await shell.recover()
  return shell
}

interface Ticket {
  answer: (result: CommandResult) => void
  progress: ((result: CommandResult) => void) | undefined
}

/** What the fixed-size outcome of an event hands back; `now` is added. */
type Happening = DispatchEvent extends infer One ? (One extends DispatchEvent ? Omit<One, 'now'> : never) : never

class DispatchShell implements RunningDispatch {
  readonly #options: DispatchOptions
  readonly #state: DispatchState
  readonly #retention: Retention
  readonly #records: CommandRecords
  readonly #tickets = new Map<number, Ticket>()
  readonly #running = new Map<string, AbortController>()
  readonly #accepted = new Map<string, CommandRecord>()
  readonly #timers = new Set<() => void>()
  readonly #drained: Promise<void>
  #drain: () => void = () => {}
  #nextTicket = 1

  constructor(options: DispatchOptions) {
    this.#options = options
    this.#state = initialDispatch({ ...LIMITS, ...options.limits })
    this.#retention = { ...RETENTION, ...options.retention }
    this.#records = new CommandRecords(options.journal)
    this.#drained = new Promise((resolve) => {
      this.#drain = resolve
    })
  }

  async recover(): Promise<void> {
    const found = await this.#records.unfinished()
    const commands = found.map(({ id, record }) => ({ asked: askedAgain(id, record), record }))
    for (const { id, record } of found) this.#accepted.set(id, record)
    if (commands.length > 0) {
      this.#options.log.warn(
        { commands: commands.length },
        'commands were cut off when the gateway stopped; those not repeatable are answered unknown',
      )
      this.#step({ kind: 'recovered', commands })
    }
    this.#after(FIRST_SWEEP_MS, () => this.#sweepDaily())
  }

  submit(request: CommandRequest, progress?: (result: CommandResult) => void): Promise<CommandResult> {
    const read = readRequest(request)
    if ('error' in read) return Promise.resolve({ id: read.id, status: 'rejected', error: read.error })
    return new Promise((answer) => {
      const ticket = this.#nextTicket++
      this.#tickets.set(ticket, { answer, progress })
      const { plugin, device, command } = read.asked
      const spec = this.#options.target.describe(plugin, device, command)
      const concurrent = 'concurrent' in spec && spec.concurrent === true
      this.#step({ kind: 'submitted', ticket, asked: concurrent ? { ...read.asked, concurrent } : read.asked })
    })
  }

  async resume(): Promise<void> {
    const waiting = [...this.#state.entries.values()].filter((entry) => entry.phase === 'waiting')
    if (waiting.length === 0) return
    this.#step({ kind: 'resumed', verdicts: waiting.map(({ asked }) => ({ id: asked.id, verdict: judge(this.#options.target, asked) })) })
  }

  async stop(graceMs = 5_000): Promise<void> {
    for (const cancel of this.#timers) cancel()
    this.#timers.clear()
    this.#step({ kind: 'stop' })
    const cancel = this.#options.clock.timer(graceMs, () => this.#step({ kind: 'grace-over' }))
    await this.#drained
    cancel()
  }

  async sweep(): Promise<number> {
    const dropped = await this.#records.sweep(this.#now(), this.#retention)
    if (dropped > 0) this.#options.log.info({ dropped }, 'old command records dropped')
    return dropped
  }

  #sweepDaily(): void {
    this.sweep()
      .catch((error: unknown) =>
        this.#options.log.warn({ code: asFailure(error).code }, `command records were not swept: ${asFailure(error).message}`),
      )
      .finally(() => {
        if (!this.#state.stopping) this.#after(SWEEP_MS, () => this.#sweepDaily())
      })
  }

  #now(): Now {
    return { wall: this.#options.clock.wall(), clock: this.#options.clockState() }
  }

  #step(happening: Happening): void {
    const effects = dispatchMachine.step(this.#state, { ...happening, now: this.#now() } as DispatchEvent)
    for (const effect of effects) this.#perform(effect)
  }

  #perform(effect: DispatchEffect): void {
    switch (effect.kind) {
      case 'answer': {
        const ticket = this.#tickets.get(effect.ticket)
        this.#tickets.delete(effect.ticket)
        ticket?.answer(effect.result)
        return
      }
      case 'progress':
        this.#tickets.get(effect.ticket)?.progress?.(effect.result)
        return
      case 'drained':
        this.#drain()
        return
      case 'settle-later':
        this.#after(SETTLE_MS, () => this.#step({ kind: 'settle', id: effect.id }))
        return
      case 'abort':
        this.#running.get(effect.id)?.abort(new Failure('stopping', 'the gateway is stopping'))
        return
    }
    const entry = this.#state.entries.get(effect.id)
    if (!entry) return
    if (effect.kind === 'look-up') this.#lookUp(entry)
    else if (effect.kind === 'accept') this.#accept(entry)
    else if (effect.kind === 'run') this.#run(entry)
    else this.#finish(entry)
  }

  #lookUp(entry: Entry): void {
    const { asked } = entry
    const { id } = asked
    const done = (record?: CommandRecord) =>
      this.#step({
        kind: 'looked-up',
        id,
        verdict: record ? NOT_JUDGED : judge(this.#options.target, asked),
        ...(record ? { record } : {}),
      })
    // A made-up id is new: nothing to look for.
    const looked = asked.fresh ? Promise.resolve(undefined) : this.#records.get(id)
    looked.then(done, (error: unknown) => this.#step({ kind: 'looked-up', id, verdict: { ok: false, error: journalError(error) } }))
  }

  #accept(entry: Entry): void {
    const { asked, verdict } = entry
    if (!verdict) return
    const { id } = asked
    let record = this.#accepted.get(id)
    let stored: Promise<void>
    if (record) {
      record = { ...record, again: { args: asked.args, ...expiry(asked), runs: (record.again?.runs ?? 0) + 1 } }
      stored = this.#records.acceptAgain(id, record)
    } else {
      record = this.#newRecord(asked, digestible(verdict))
      if (storable(verdict)) record.again = { args: asked.args, ...expiry(asked), runs: 0 }
      stored = this.#records.accept(id, record, verdict.masked)
    }
    this.#accepted.set(id, record)
    stored.then(
      () => this.#step({ kind: 'accepted', id }),
      (error: unknown) => {
        if (!entry.recovered) this.#accepted.delete(id)
        this.#step({ kind: 'accept-failed', id, error: journalError(error) })
      },
    )
  }

  #run(entry: Entry): void {
    const { asked, verdict } = entry
    if (!verdict) return
    const { id, plugin, device, command, from } = asked
    const controller = new AbortController()
    this.#running.set(id, controller)
    const ended = (final: Final) => {
      if (this.#running.get(id) !== controller) return
      this.#running.delete(id)
      cancel()
      this.#step({ kind: 'ran', id, final: bounded(withoutSecrets(final, verdict.secrets)) })
    }
    const cancel = this.#options.clock.timer(verdict.timeoutMs, () => {
      const failure = new Failure(
        'command-timeout',
        `${targetOf(asked)} did not finish in ${verdict.timeoutMs} ms; it may still take effect`,
      )
      controller.abort(failure)
      this.#options.log.warn({ plugin, device, command: id, code: failure.code }, failure.message)
      ended(failed(failure.toBody()))
    })
    const running = async (): Promise<Json> =>
      this.#options.target.run(plugin, { id, device, command, args: verdict.args, from }, controller.signal)
    running().then(
      (result) => ended({ status: 'done', ...(result === undefined || result === null ? {} : { result }) }),
      (error: unknown) => ended(failed(asFailure(error, 'plugin-failed').toBody())),
    )
  }

  #finish(entry: Entry): void {
    const { asked, final } = entry
    if (!final) return
    const { id } = asked
    const record = this.#accepted.get(id) ?? this.#newRecord(asked, entry.verdict !== undefined && digestible(entry.verdict))
    this.#records.finish(id, record, final).then(
      () => {
        this.#accepted.delete(id)
        this.#step({ kind: 'finished', id })
      },
      (error: unknown) => {
        this.#options.log.error(
          { command: id, code: journalError(error).code },
          `the outcome of a command could not be stored: ${journalError(error).message}`,
        )
        this.#step({ kind: 'finish-failed', id, error: journalError(error) })
      },
    )
  }

  #newRecord(asked: Asked, withDigest: boolean): CommandRecord {
    const now = this.#now()
    return {
      target: targetOf(asked),
      from: asked.from,
      at: iso(now.wall),
      clock: now.clock,
      order: this.#records.nextOrder(),
      status: 'accepted',
      ...(withDigest ? { argsDigest: asked.argsDigest } : {}),
    }
  }

  #after(ms: number, run: () => void): void {
    const cancel = this.#options.clock.timer(ms, () => {
      this.#timers.delete(cancel)
      run()
    })
    this.#timers.add(cancel)
  }
}

/** Not looked at: a record decides. */
const NOT_JUDGED = { ok: false, error: { code: 'internal', message: 'not judged' } } as const

function withoutSecrets(final: Final, secrets: readonly string[]): Final {
  return redact(final as unknown as Json, secrets) as unknown as Final
}

function expiry(asked: Asked): { expiresAt?: number } {
  return asked.expiresAt === undefined ? {} : { expiresAt: asked.expiresAt }
}

function askedAgain(id: string, record: CommandRecord): Asked {
  const [plugin = '', device = '', command = ''] = record.target.split('/')
  return {
    id,
    plugin,
    device,
    command,
    from: record.from,
    args: record.again?.args ?? {},
    argsDigest: record.argsDigest ?? '',
    fresh: false,
    ...(record.again?.expiresAt === undefined ? {} : { expiresAt: record.again.expiresAt }),
  }
}
