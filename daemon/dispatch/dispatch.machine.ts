/**
 * What dispatch decides: join, refuse, queue, run, give up. A command's life is
 * looking (was it seen before?) -> accepting (being journaled) -> queued (its device is busy) -> running -> finishing (its
 * outcome is being journaled) -> gone from here; the journal then remembers it. An outcome that could not be stored is
 * answered `unknown` and stays `unsettled` until the journal takes it.
 */
import type { CommandResult } from '../contract/command.ts'
import type { ErrorBody, ErrorCode } from '../contract/errors.ts'
import type { Machine } from '../contract/machine.ts'
import {
  type Asked,
  type CommandRecord,
  type DispatchEffect,
  type DispatchEvent,
  type DispatchState,
  type Entry,
  type Final,
  type Now,
  targetOf,
  type Verdict,
} from './state.ts'

/** Errors of a run after which nobody can say whether it took effect. */
const OUTCOME_UNKNOWN: ReadonlySet<ErrorCode> = new Set(['command-timeout', 'command-interrupted', 'plugin-unresponsive', 'job-uncertain'])

/** The final status that an error of the plugin means. */
export function failed(error: ErrorBody): Final {
  return { status: OUTCOME_UNKNOWN.has(error.code) ? 'unknown' : 'failed', error }
}

export const dispatchMachine: Machine<DispatchState, DispatchEvent, DispatchEffect> = {
  step(state, event) {
    const effects = decide(state, event)
    const drained = state.stopping && ![...state.entries.values()].some(isUnderWay)
    return drained ? [...effects, { kind: 'drained' }] : effects
  },
}

type Effects = readonly DispatchEffect[]
const NONE: Effects = []

function decide(state: DispatchState, event: DispatchEvent): Effects {
  const { now } = event
  switch (event.kind) {
    case 'submitted':
      return submit(state, event.ticket, event.asked)
    case 'recovered':
      return event.commands.flatMap(({ asked, record }) => recover(state, asked, record))
    case 'resumed':
      return event.verdicts.flatMap(({ id, verdict }) => resume(state, id, verdict, now))
    case 'stop': {
      state.stopping = true
      const queued = [...state.entries.values()].flatMap((entry) => advance(state, entry, now))
      // They run after the next start; whoever waits now is not told what that brings.
      const waiting = [...state.entries.values()].filter((entry) => entry.phase === 'waiting')
      return [...queued, ...waiting.flatMap((entry) => answer(entry, { status: 'unknown', error: interrupted(entry) }))]
    }
    case 'grace-over': {
      const running = [...state.entries.values()].filter((entry) => entry.phase === 'running')
      return running.flatMap((entry) => [
        { kind: 'abort', id: entry.asked.id } as const,
        ...finish(state, entry, { status: 'unknown', error: interrupted(entry) }, now),
      ])
    }
    default: {
      const entry = state.entries.get(event.id)
      return entry ? proceed(state, entry, event) : NONE
    }
  }
}

type EntryEvent = Exclude<DispatchEvent, { kind: 'submitted' | 'recovered' | 'resumed' | 'stop' | 'grace-over' }>

function proceed(state: DispatchState, entry: Entry, event: EntryEvent): Effects {
  const { now } = event
  switch (event.kind) {
    case 'looked-up':
      return lookedUp(state, entry, event.record, event.verdict, now)
    case 'accepted':
      entry.journaled = true
      entry.phase = 'queued'
      return [...tell(entry, 'accepted'), ...advance(state, entry, now)]
    case 'accept-failed':
      return entry.recovered
        ? finish(state, entry, { status: 'unknown', error: interrupted(entry) }, now)
        : refuse(state, entry, event.error, now)
    case 'ran':
      // After a time-out or a stop its answer was given already.
      return entry.phase === 'running' ? finish(state, entry, event.final, now) : NONE
    case 'finished':
      return [...(entry.final ? answer(entry, entry.final) : NONE), ...forget(state, entry, now)]
    case 'finish-failed':
      return finishFailed(state, entry, event.error, now)
    case 'settle':
      return entry.phase === 'unsettled' ? [{ kind: 'finish', id: entry.asked.id }] : NONE
  }
}

function submit(state: DispatchState, ticket: number, asked: Asked): Effects {
  const same = state.entries.get(asked.id)
  if (same) return join(same, ticket, asked)
  if (state.stopping) return reject(ticket, asked, 'stopping', 'the gateway is stopping')
  if (state.entries.size >= state.limits.inFlight)
    return reject(ticket, asked, 'queue-full', `${state.limits.inFlight} commands are waiting already, which is all this gateway holds`)
  const queue = enqueue(state, asked)
  if (queue.length > state.limits.perDevice) {
    queue.pop()
    return reject(ticket, asked, 'queue-full', `${queue.length} commands wait for ${queueOf(asked)} already, which is all it holds`)
  }
  state.entries.set(asked.id, { asked, phase: 'looking', tickets: [ticket], journaled: false })
  return [{ kind: 'look-up', id: asked.id }]
}

/** The same id again, while the first is still under way: they share one answer. */
function join(same: Entry, ticket: number, asked: Asked): Effects {
  const digest = same.recovered ? same.recovered.argsDigest : same.asked.argsDigest
  if (targetOf(same.asked) !== targetOf(asked) || differs(digest, asked))
    return reject(ticket, asked, 'command-id-reused', reused(asked, targetOf(same.asked)))
  if (same.phase === 'unsettled' && same.final) return [{ kind: 'answer', ticket, result: resultOf(same, same.final) }]
  same.tickets.push(ticket)
  const progress = (status: 'accepted' | 'running'): DispatchEffect => ({ kind: 'progress', ticket, result: { id: asked.id, status } })
  return [...(same.journaled ? [progress('accepted')] : []), ...(same.phase === 'running' ? [progress('running')] : [])]
}

function lookedUp(state: DispatchState, entry: Entry, record: CommandRecord | undefined, verdict: Verdict, now: Now): Effects {
  if (entry.phase !== 'looking') return NONE
  const { asked } = entry
  if (record) {
    if (record.target !== targetOf(asked) || differs(record.argsDigest, asked))
      return refuse(state, entry, { code: 'command-id-reused', message: reused(asked, record.target) }, now)
    return [...answer(entry, finalOf(record)), ...forget(state, entry, now)]
  }
  if (!verdict.ok) return refuse(state, entry, verdict.error, now)
  if (state.stopping) return refuse(state, entry, { code: 'stopping', message: 'the gateway is stopping' }, now)
  entry.verdict = verdict
  // Recorded although it never ran: should the clock be set back, a repeat must not find it valid again.
  if (isExpired(asked, now)) return finish(state, entry, expired(asked), now)
  entry.phase = 'accepting'
  return [{ kind: 'accept', id: asked.id }]
}

/** A command that was accepted and not finished when the daemon died. */
function recover(state: DispatchState, asked: Asked, record: CommandRecord): Effects {
  const entry: Entry = { asked, phase: 'waiting', tickets: [], recovered: record, journaled: true }
  state.entries.set(asked.id, entry)
  if (record.again && record.again.runs < state.limits.reruns) {
    enqueue(state, asked)
    return NONE
  }
  entry.phase = 'finishing'
  entry.final = { status: 'unknown', error: interrupted(entry) }
  return [{ kind: 'finish', id: asked.id }]
}

function resume(state: DispatchState, id: string, verdict: Verdict, now: Now): Effects {
  const entry = state.entries.get(id)
  if (entry?.phase !== 'waiting') return NONE
  if (!verdict.ok || !verdict.repeatable || isExpired(entry.asked, now))
    return finish(state, entry, { status: 'unknown', error: interrupted(entry) }, now)
  entry.verdict = verdict
  entry.phase = 'accepting'
  return [{ kind: 'accept', id }]
}

/** Runs the next command of the device of `one`, when it is its turn. */
function advance(state: DispatchState, one: Entry, now: Now): Effects {
  const head = state.queues.get(queueOf(one.asked))?.[0]
  const entry = head === undefined ? undefined : state.entries.get(head)
  if (entry?.phase !== 'queued') return NONE
  const cutOff: Final = { status: 'unknown', error: interrupted(entry) }
  if (state.stopping) return finish(state, entry, entry.recovered ? cutOff : stopped(), now)
  if (isExpired(entry.asked, now)) return finish(state, entry, entry.recovered ? cutOff : expired(entry.asked), now)
  entry.phase = 'running'
  return [...tell(entry, 'running'), { kind: 'run', id: entry.asked.id }]
}

function finish(state: DispatchState, entry: Entry, final: Final, now: Now): Effects {
  entry.phase = 'finishing'
  entry.final = final
  leaveQueue(state, entry)
  return [{ kind: 'finish', id: entry.asked.id }, ...advance(state, entry, now)]
}

function finishFailed(state: DispatchState, entry: Entry, error: ErrorBody, now: Now): Effects {
  // Nothing of it is in the journal and it did not run: the same as a refused acceptance.
  if (!entry.journaled) return refuse(state, entry, error, now)
  const later: DispatchEffect = { kind: 'settle-later', id: entry.asked.id }
  if (entry.phase !== 'finishing') return [later]
  entry.phase = 'unsettled'
  entry.final = {
    status: 'unknown',
    error: {
      code: 'command-interrupted',
      message: `the outcome of ${targetOf(entry.asked)} could not be stored (${error.code}); it may have run`,
    },
  }
  return [...answer(entry, entry.final), later]
}

function refuse(state: DispatchState, entry: Entry, error: ErrorBody, now: Now): Effects {
  return [...answer(entry, { status: 'rejected', error }), ...forget(state, entry, now)]
}

function forget(state: DispatchState, entry: Entry, now: Now): Effects {
  state.entries.delete(entry.asked.id)
  leaveQueue(state, entry)
  return advance(state, entry, now)
}

function enqueue(state: DispatchState, asked: Asked): string[] {
  const queue = state.queues.get(queueOf(asked)) ?? []
  state.queues.set(queueOf(asked), queue)
  queue.push(asked.id)
  return queue
}

function leaveQueue(state: DispatchState, { asked }: Entry): void {
  const queue = state.queues.get(queueOf(asked))
  if (!queue) return
  const at = queue.indexOf(asked.id)
  if (at >= 0) queue.splice(at, 1)
  if (queue.length === 0) state.queues.delete(queueOf(asked))
}

function reject(ticket: number, asked: Asked, code: ErrorCode, message: string): Effects {
  return [{ kind: 'answer', ticket, result: { id: asked.id, status: 'rejected', error: { code, message } } }]
}

function answer(entry: Entry, final: Final): Effects {
  return entry.tickets.splice(0).map((ticket) => ({ kind: 'answer', ticket, result: resultOf(entry, final) }))
}

function tell(entry: Entry, status: 'accepted' | 'running'): Effects {
  return entry.tickets.map((ticket) => ({ kind: 'progress', ticket, result: { id: entry.asked.id, status } }))
}

function resultOf(entry: Entry, { status, result, error }: Final): CommandResult {
  return { id: entry.asked.id, status, ...(result === undefined ? {} : { result }), ...(error === undefined ? {} : { error }) }
}

function finalOf({ target, status, result, error }: CommandRecord): Final {
  if (status === 'accepted')
    return { status: 'unknown', error: { code: 'command-interrupted', message: `${target} was cut off; it may have run` } }
  return { status, ...(result === undefined ? {} : { result }), ...(error === undefined ? {} : { error }) }
}

/** No digest is kept of args that hold a secret: only the target tells then. */
function differs(digest: string | undefined, asked: Asked): boolean {
  return digest !== undefined && digest !== asked.argsDigest
}

function isUnderWay(entry: Entry): boolean {
  return entry.phase !== 'waiting' && entry.phase !== 'unsettled'
}

/** A clock that was never set cannot judge: the command is run then. */
function isExpired(asked: Asked, now: Now): boolean {
  return asked.expiresAt !== undefined && now.clock === 'synced' && now.wall > asked.expiresAt
}

function expired(asked: Asked): Final {
  return {
    status: 'expired',
    error: { code: 'command-expired', message: `${targetOf(asked)} was reached after its expiresAt; it did not run` },
  }
}

function stopped(): Final {
  return { status: 'failed', error: { code: 'stopping', message: 'the gateway stopped before it was its turn; it did not run' } }
}

function interrupted(entry: Entry): ErrorBody {
  return { code: 'command-interrupted', message: `${targetOf(entry.asked)} was cut off when the gateway stopped; it may have run` }
}

function reused(asked: Asked, target: string): string {
  return target === targetOf(asked)
    ? `the id "${asked.id}" was used for ${target} with other args; use a new id for every new command`
    : `the id "${asked.id}" was used for ${target}; use a new id for every new command`
}

/** One that may run beside the others of its device waits for nobody. */
const queueOf = ({ plugin, device, id, concurrent }: Asked): string => `${plugin}/${device}${concurrent ? `/${id}` : ''}`
