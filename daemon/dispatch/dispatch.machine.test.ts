import t from 'tap'
import type { CommandResult } from '../contract/command.ts'
import type { WallMs } from '../contract/plugin.ts'
import { fc } from '../testing/property.ts'
import { dispatchMachine } from './dispatch.machine.ts'
import {
  type Asked,
  type CommandRecord,
  type DispatchEffect,
  type DispatchEvent,
  type DispatchState,
  initialDispatch,
  targetOf,
  type Verdict,
} from './state.ts'

/** Ids that end in `r` are of a repeatable command. */
const repeatable = (id: string): boolean => id.endsWith('r')
const FINAL = ['done', 'failed', 'rejected', 'expired', 'unknown']

function asked(id: string, device: string): Asked {
  return {
    id,
    plugin: 'printer',
    device,
    command: repeatable(id) ? 'status' : 'print',
    from: 'lan',
    args: {},
    argsDigest: 'd',
    fresh: false,
  }
}

const verdict = (id: string): Verdict => ({ ok: true, args: {}, masked: {}, secrets: [], timeoutMs: 1, repeatable: repeatable(id) })

/**
 * A shell whose disk, devices and power do as the schedule says: the real machine, a journal that is only what was
 * committed, and work that is under way until the schedule lets it end (in any order) or the power goes.
 */
class World {
  readonly limits = { inFlight: 8, perDevice: 3, reruns: 2 }
  readonly records = new Map<string, CommandRecord>()
  readonly finishedEvents: string[] = []
  readonly runs: { id: string; device: string }[] = []
  readonly answers = new Map<string, CommandResult[]>()
  readonly running = new Map<string, string>()
  readonly violations: string[] = []
  crashes = 0
  storeFailures = 0
  state: DispatchState
  work: (() => void)[] = []
  #tickets = new Map<number, string>()
  #next = 1
  #deaf = false
  #order = 1

  constructor() {
    this.state = initialDispatch(this.limits)
  }

  step(event: DispatchEvent extends infer One ? (One extends DispatchEvent ? Omit<One, 'now'> : never) : never): void {
    if (this.#deaf) return
    for (const effect of dispatchMachine.step(this.state, { ...event, now: { wall: 0 as WallMs, clock: 'synced' } } as DispatchEvent))
      this.perform(effect)
  }

  submit(id: string, device: string): void {
    const ticket = this.#next++
    this.#tickets.set(ticket, id)
    this.step({ kind: 'submitted', ticket, asked: asked(id, device) })
  }

  /** Lets one thing under way end; `fails` breaks it. */
  progress(pick: number, fails: boolean): void {
    if (this.work.length === 0) return
    const [one] = this.work.splice(pick % this.work.length, 1)
    this.fails = fails
    one?.()
    this.fails = false
  }

  fails = false

  /** One thing comes to its end, and the power goes before anybody hears of it. */
  cut(pick: number): void {
    this.#deaf = true
    this.progress(pick, false)
    this.#deaf = false
    this.crash()
  }

  crash(): void {
    this.crashes += 1
    this.work = []
    this.running.clear()
    this.#tickets.clear()
    this.state = initialDispatch(this.limits)
    const open = [...this.records].filter(([, record]) => record.status === 'accepted').sort(([, a], [, b]) => a.order - b.order)
    this.step({
      kind: 'recovered',
      commands: open.map(([id, record]) => ({ asked: asked(id, record.target.split('/')[1] ?? ''), record })),
    })
    const ids = [...this.state.entries.values()].filter((entry) => entry.phase === 'waiting').map((entry) => entry.asked.id)
    this.step({ kind: 'resumed', verdicts: ids.map((id) => ({ id, verdict: verdict(id) })) })
  }

  perform(effect: DispatchEffect): void {
    if (effect.kind === 'answer') {
      const id = this.#tickets.get(effect.ticket)
      this.#tickets.delete(effect.ticket)
      if (id === undefined) this.violations.push(`ticket ${effect.ticket} answered twice or never given`)
      else this.answers.set(id, [...(this.answers.get(id) ?? []), effect.result])
      return
    }
    if (effect.kind === 'progress' || effect.kind === 'drained') return
    const { id } = effect
    const entry = this.state.entries.get(id)
    if (!entry) return void this.violations.push(`${effect.kind} of ${id}, which is not there`)
    const { asked: one, recovered } = entry
    switch (effect.kind) {
      case 'look-up':
        this.work.push(() => {
          const record = this.records.get(id)
          this.step({ kind: 'looked-up', id, verdict: verdict(id), ...(record ? { record } : {}) })
        })
        return
      case 'accept':
        this.work.push(() => {
          if (this.fails) {
            this.storeFailures += 1
            return this.step({ kind: 'accept-failed', id, error: { code: 'journal-full', message: 'full' } })
          }
          const runs = recovered ? (recovered.again?.runs ?? 0) + 1 : 0
          const order = recovered?.order ?? this.#order++
          const record: CommandRecord = {
            target: targetOf(one),
            from: 'lan',
            at: '',
            clock: 'synced',
            order,
            argsDigest: 'd',
            status: 'accepted',
          }
          this.records.set(id, repeatable(id) ? { ...record, again: { args: {}, runs } } : record)
          this.step({ kind: 'accepted', id })
        })
        return
      case 'run': {
        if (this.records.get(id)?.status !== 'accepted') this.violations.push(`${id} runs without being journaled`)
        const busy = this.running.get(one.device)
        if (busy !== undefined) this.violations.push(`${id} runs while ${busy} does on ${one.device}`)
        this.running.set(one.device, id)
        this.runs.push({ id, device: one.device })
        this.work.push(() => {
          this.running.delete(one.device)
          this.step({
            kind: 'ran',
            id,
            final: this.fails ? { status: 'failed', error: { code: 'device-fault', message: 'paper' } } : { status: 'done', result: id },
          })
        })
        return
      }
      case 'finish':
        this.work.push(() => {
          if (this.fails) {
            this.storeFailures += 1
            return this.step({ kind: 'finish-failed', id, error: { code: 'journal-full', message: 'full' } })
          }
          const final = this.state.entries.get(id)?.final
          const record = this.records.get(id) ?? {
            target: targetOf(one),
            from: 'lan',
            at: '',
            clock: 'synced',
            order: this.#order++,
            argsDigest: 'd',
            status: 'accepted' as const,
          }
          if (final) this.records.set(id, { ...record, ...final })
          this.finishedEvents.push(id)
          this.step({ kind: 'finished', id })
        })
        return
      case 'settle-later':
        this.work.push(() => this.step({ kind: 'settle', id }))
        return
      case 'abort':
        return
    }
  }

  /** Nothing breaks any more: everything under way comes to its end. */
  heal(): void {
    for (let left = 10_000; this.work.length > 0 && left > 0; left--) this.progress(0, false)
    if (this.work.length > 0) this.violations.push('it never comes to rest')
  }
}

const action: fc.Arbitrary<Action> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('submit' as const),
      id: fc.constantFrom('a', 'b', 'c', 'd', 'e-r', 'f-r', 'g', 'h'),
    }),
  },
  {
    weight: 12,
    arbitrary: fc.record({
      kind: fc.constant('progress' as const),
      pick: fc.nat(20),
      fails: fc.oneof({ weight: 5, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('crash' as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('cut' as const), pick: fc.nat(20) }) },
)
/** A command goes to one device for good: half of the ids to each of two. */
const deviceOf = (id: string): string => ('abe-r'.includes(id) ? 'receipt' : 'kitchen')

type Action =
  | { kind: 'submit'; id: string }
  | { kind: 'progress'; pick: number; fails: boolean }
  | { kind: 'crash' }
  | { kind: 'cut'; pick: number }

function play(actions: readonly Action[]): World {
  const world = new World()
  for (const one of actions) {
    if (one.kind === 'submit') world.submit(one.id, deviceOf(one.id))
    else if (one.kind === 'progress') world.progress(one.pick, one.fails)
    else if (one.kind === 'cut') world.cut(one.pick)
    else world.crash()
  }
  world.heal()
  return world
}

t.test('whatever breaks and whenever: nothing runs twice, nothing runs unjournaled, every command ends once', async (t) => {
  const reached = { rerun: 0, joined: 0, unknown: 0, unsettled: 0, full: 0 }
  fc.assert(
    fc.property(fc.array(action, { maxLength: 120 }), (actions) => {
      const world = play(actions)
      if (world.violations.length > 0) throw new Error(world.violations.join('; '))
      for (const [id, record] of world.records) {
        if (!FINAL.includes(record.status)) throw new Error(`${id} is left ${record.status}`)
        const runs = world.runs.filter((run) => run.id === id).length
        if (!repeatable(id) && runs > 1) throw new Error(`${id} ran ${runs} times`)
        if (runs > 1 + world.limits.reruns) throw new Error(`${id} ran ${runs} times, which is over its limit`)
        if (runs > 1) reached.rerun += 1
        const ends = world.finishedEvents.filter((one) => one === id).length
        if (ends !== 1) throw new Error(`${id} was journaled as finished ${ends} times`)
        const answers = (world.answers.get(id) ?? []).filter((one) => one.status !== 'rejected')
        if (answers.length > 1) reached.joined += 1
        // Only an answer that could not be stored (`unknown`) may differ from what the journal says in the end.
        for (const { status } of answers) {
          if (status === 'unknown') reached.unknown += 1
          else if (status !== record.status) {
            if (record.status === 'unknown' && world.storeFailures > 0) reached.unsettled += 1
            else throw new Error(`${id} was answered ${status}, but is ${record.status}`)
          }
        }
      }
      for (const answers of world.answers.values()) if (answers.some((one) => one.error?.code === 'queue-full')) reached.full += 1
      // Once at rest, a repeat of anything known returns what the journal says.
      for (const [id, record] of world.records) {
        world.submit(id, deviceOf(id))
        world.heal()
        const last = world.answers.get(id)?.at(-1)
        if (last?.status !== record.status || last.result !== record.result)
          throw new Error(`a repeat of ${id} was answered ${last?.status}`)
      }
    }),
    { numRuns: 1_500 },
  )
  t.ok(reached.rerun > 0, 'a repeatable command was run again')
  t.ok(reached.joined > 0, 'repeats were answered')
  t.ok(reached.unknown > 0, 'an outcome was unknown')
  t.ok(reached.full > 0, 'a queue was full')
  t.equal(reached.unsettled, 0, 'no answer other than unknown was ever taken back')
})

t.test('the checks above see a dispatch that runs before it journals', async (t) => {
  const world = new World()
  world.submit('a', 'receipt')
  world.progress(0, false)
  world.perform({ kind: 'run', id: 'a' })
  t.match(world.violations, ['a runs without being journaled'])
})

t.test('commands of one device run one at a time, in the order they came, though the journal answers out of order', async (t) => {
  const world = new World()
  for (const id of ['a', 'b', 'c']) world.submit(id, 'receipt')
  world.progress(2, false)
  world.progress(2, false)
  world.progress(1, false)
  t.same(world.runs, [], 'the first one is not journaled yet')
  world.heal()
  t.same(
    world.runs.map((run) => run.id),
    ['a', 'b', 'c'],
  )
  t.same(world.violations, [])
})
