import t from 'tap'
import type { MonoMs } from '../../../daemon/contract/plugin.ts'
import { fc } from '../../../daemon/testing/property.ts'
import type { StatusReport } from '../protocol/status.ts'
import { isFinal, type Job, type Progress } from './job.ts'
import { boot, printMachine } from './print.machine.ts'
import type { Abilities, PrintEffect, PrintEvent, PrintState, Settings } from './print-state.ts'

const GOOD: StatusReport = { online: true, coverOpen: false, paper: 'ok', feeding: false, drawerPin: false }
const FULL = { code: 'journal-full' as const, message: 'the disk is full' }
const OUT: StatusReport = { ...GOOD, online: false, paper: 'out' }
const SETTINGS: Settings = { statusMode: 'auto', keepOpen: false, pollMs: 10_000, holdMs: 60_000, recoverMs: 300_000, history: 50 }

const job = (n: number, copies = 1): Job => ({
  id: `r-${n}`,
  n,
  content: { kind: 'receipt', receipt: 'hello' },
  copies,
  cut: true,
  drawer: false,
  createdAt: '2026-11-22T08:00:00.000Z',
  bytes: 100,
})

type Loose<Event> = Event extends unknown ? Omit<Event, 'now'> : never

/** A shop in which everything may happen in any order: the disk, the line and the printer answer when the test says so. */
class World {
  /** What is durable, and all that was brought. */
  readonly jobs = new Map<string, Job>()
  readonly submitted = new Map<string, Job>()
  readonly refused = new Set<string>()
  readonly progress = new Map<string, Progress>()
  /** `id/copy` -> how often its bytes were let go. */
  readonly sends = new Map<string, number>()
  /** Events in the journal. */
  readonly told = new Map<string, Progress[]>()
  readonly settings: Settings
  abilities: Abilities = { status: 'untried', marks: 'untried' }
  pending: PrintEffect[] = []
  marks: number[] = []
  now = 0
  wakeAt = 0
  state: PrintState

  constructor(settings: Settings) {
    this.settings = settings
    this.state = boot(settings, this.abilities, [], 0 as MonoMs).state
  }

  submit(one: Job): void {
    this.submitted.set(one.id, one)
    this.feed({ type: 'submitted', job: one })
  }

  feed(event: Loose<PrintEvent>): void {
    this.#take(printMachine.step(this.state, { ...event, now: this.now as MonoMs } as PrintEvent))
  }

  crash(): void {
    this.pending = []
    this.marks = []
    const stored = [...this.jobs.values()].map((one) => ({
      job: one,
      progress: structuredClone(this.progress.get(one.id)) ?? { phase: 'queued' as const, copiesDone: 0 },
    }))
    const booted = boot(this.settings, { ...this.abilities }, stored, this.now as MonoMs)
    this.state = booted.state
    this.#take(booted.effects)
  }

  #take(effects: readonly PrintEffect[]): void {
    for (const effect of effects) {
      if (effect.do === 'wake') this.wakeAt = effect.at
      else if (effect.do === 'remember') this.abilities = { ...effect.abilities }
      else if (effect.do === 'refuse') {
        if (this.jobs.has(effect.id)) throw new Error(`${effect.id} is refused, and a restart would print it`)
        this.refused.add(effect.id)
      } else if (effect.do === 'send') {
        const key = `${effect.job.id}/${effect.copy}`
        this.sends.set(key, (this.sends.get(key) ?? 0) + 1)
        if (this.progress.get(effect.job.id)?.phase !== 'sending' || !this.jobs.has(effect.job.id))
          throw new Error(`${key} was sent before its record was durable`)
        this.pending.push(effect)
      } else if (['open', 'ask', 'fence', 'record', 'enter'].includes(effect.do)) this.pending.push(effect)
      else if (effect.do === 'close') this.marks = []
    }
  }

  /** One thing that was asked for happens, in one of the ways in which it can. */
  happen(which: number, how: number): void {
    const isWrite = ({ do: what }: PrintEffect) => what === 'record' || what === 'enter'
    const records = this.pending.filter(isWrite)
    const others = this.pending.filter((one) => !isWrite(one))
    const choices = [...records.slice(0, 1), ...others]
    const effect = choices[which % Math.max(1, choices.length)]
    if (!effect) return
    this.pending = this.pending.filter((one) => one !== effect)
    const event = this.#outcome(effect, how)
    if (event) this.feed(event)
  }

  #outcome(effect: PrintEffect, how: number): Loose<PrintEvent> | undefined {
    switch (effect.do) {
      case 'record':
        return this.#record(effect, how)
      case 'enter':
        if (how % 16 === 15) return { type: 'enter-failed', id: effect.job.id, error: FULL }
        this.jobs.set(effect.job.id, effect.job)
        return { type: 'entered', id: effect.job.id }
      case 'open':
        return how % 4 === 3
          ? { type: 'open-failed', line: effect.line, fault: how % 8 === 7 ? 'busy' : 'unreachable', jitter: 0.5 }
          : { type: 'opened', line: effect.line }
      case 'ask':
        return how % 8 === 7
          ? { type: 'no-status', line: effect.line, garbage: how % 16 === 15 }
          : { type: 'status', line: effect.line, report: how % 8 >= 5 ? OUT : GOOD, asked: true }
      case 'fence':
        return { type: 'fenced', line: effect.line, ok: how % 4 !== 3 }
      case 'send':
        if (how % 8 === 7) return { type: 'closed', line: effect.line, fault: 'unreachable' }
        if (effect.mark && how % 8 !== 6) this.marks.push(effect.line)
        return { type: 'handed-over', line: effect.line, id: effect.job.id, confirmMs: 10_000 }
      default:
        return undefined
    }
  }

  /** All of one record is durable, its event with it, or nothing. */
  #record({ job: of, progress, keep }: Extract<PrintEffect, { do: 'record' }>, how: number): Loose<PrintEvent> {
    const { phase } = progress
    if (how % 16 === 15) return { type: 'record-failed', id: of.id, phase, error: FULL }
    if (keep === 'job-and-progress') this.jobs.set(of.id, of)
    if (!this.jobs.has(of.id)) throw new Error(`the ${phase} of ${of.id} is stored without its job`)
    this.progress.set(of.id, { ...structuredClone(progress), ...(isFinal(phase) ? { announced: true } : {}) })
    if (isFinal(phase)) this.told.set(of.id, [...(this.told.get(of.id) ?? []), { ...progress }])
    return { type: 'recorded', id: of.id, phase }
  }

  mark(): void {
    const line = this.marks.shift()
    if (line !== undefined) this.feed({ type: 'marked', line, paper: 'ok' })
  }

  tick(): void {
    this.now = Math.max(this.now, this.wakeAt)
    this.feed({ type: 'tick' })
  }

  /** Everything works from now on, and time passes. */
  heal(): void {
    for (let rounds = 0; rounds < 3_000; rounds += 1) {
      if (this.pending.length > 0) this.happen(0, 0)
      else if (this.marks.length > 0) this.mark()
      else if (this.state.queue.length > 0 || this.state.active || this.state.unrecorded.length > 0) this.tick()
      else return
    }
    throw new Error(`does not come to rest: ${JSON.stringify({ queue: this.state.queue, active: this.state.active })}`)
  }
}

t.test('whatever happens, no copy of a job is let go twice, and what is said about it is true', async () => {
  const action = fc.oneof(
    { weight: 8, arbitrary: fc.tuple(fc.constant('happen' as const), fc.nat(7), fc.nat(15)) },
    { weight: 3, arbitrary: fc.tuple(fc.constant('mark' as const), fc.nat(0), fc.nat(0)) },
    { weight: 2, arbitrary: fc.tuple(fc.constant('tick' as const), fc.nat(0), fc.nat(0)) },
    { weight: 2, arbitrary: fc.tuple(fc.constant('submit' as const), fc.nat(2), fc.nat(0)) },
    { weight: 1, arbitrary: fc.tuple(fc.constant('crash' as const), fc.nat(0), fc.nat(0)) },
    { weight: 1, arbitrary: fc.tuple(fc.constant('cut' as const), fc.nat(0), fc.nat(0)) },
    { weight: 1, arbitrary: fc.tuple(fc.constant('cancel' as const), fc.nat(5), fc.nat(0)) },
  )
  const settings = fc.record({
    statusMode: fc.constantFrom<Settings['statusMode'][]>('auto', 'required', 'none'),
    keepOpen: fc.boolean(),
    holdMs: fc.constantFrom(0, 5_000, 60_000),
  })
  const seen = new Set<string>()
  fc.assert(
    fc.property(settings, fc.array(action, { minLength: 5, maxLength: 120 }), (given, actions) => {
      const world = new World({ ...SETTINGS, ...given })
      world.crash()
      let n = 0
      for (const [kind, a, b] of actions) {
        if (kind === 'happen') world.happen(a, b)
        else if (kind === 'mark') world.mark()
        else if (kind === 'tick') world.tick()
        else if (kind === 'crash') world.crash()
        else if (kind === 'cut') world.feed({ type: 'closed', line: world.state.line, fault: 'unreachable' })
        else if (kind === 'cancel') world.feed({ type: 'cancel', id: `r-${a}`, error: { code: 'job-cancelled', message: 'cancelled' } })
        else {
          n += 1
          world.submit(job(n, a + 1))
        }
      }
      world.heal()
      for (const [key, count] of world.sends) if (count > 1) throw new Error(`${key} was let go ${count} times`)
      for (const id of world.refused)
        if ([...world.sends.keys()].some((key) => key.startsWith(`${id}/`))) throw new Error(`${id} was refused`)
      for (const one of world.jobs.values()) {
        const told = world.told.get(one.id) ?? []
        const last = told.at(-1)
        if (!last || !isFinal(last.phase)) throw new Error(`${one.id} never came to an end`)
        const sent = [...world.sends.keys()].filter((key) => key.startsWith(`${one.id}/`)).length
        seen.add(last.phase)
        if ((last.phase === 'printed' || last.phase === 'sent') && sent !== one.copies)
          throw new Error(`${one.id} is ${last.phase}: ${sent} of ${one.copies}`)
        if (last.phase === 'failed' && sent !== last.copiesDone)
          throw new Error(`${one.id} failed after ${sent}, it says ${last.copiesDone}`)
        // A restart may tell of the same outcome again, never of another one, but for a record the disk did not take.
        if (told.some((each) => each.phase !== last.phase && last.phase !== 'unknown'))
          throw new Error(`${one.id}: ${told.map((each) => each.phase)}`)
      }
    }),
    { numRuns: 1_500 },
  )
  t.same([...seen].sort(), ['failed', 'printed', 'sent', 'unknown'], 'every outcome was reached')
})

t.test('a receipt that could not start within holdMs has failed for good', async (t) => {
  const world = new World(SETTINGS)
  world.crash()
  world.happen(0, 0)
  world.submit(job(1))
  for (let rounds = 0; rounds < 500 && !world.told.has('r-1'); rounds += 1) {
    const effect = world.pending[0]
    if (effect?.do === 'ask') {
      world.pending.shift()
      world.feed({ type: 'status', line: effect.line, report: OUT, asked: true })
    } else if (effect) world.happen(0, 0)
    else world.tick()
  }
  t.match(world.told.get('r-1'), [{ phase: 'failed', error: { code: 'device-fault', message: /paper-out/ } }])
  t.ok(world.now >= 60_000 && world.now < 65_000, `after ${world.now} ms`)
  world.heal()
  t.equal(world.sends.size, 0, 'and nothing comes out when paper is loaded')
})

t.test('paper runs out in the middle: the time limit does not run, the printer finishes by itself', async (t) => {
  const world = new World(SETTINGS)
  world.crash()
  world.submit(job(1))
  while (world.sends.size === 0) world.happen(0, 0)
  world.happen(0, 0)
  const { line } = world.state
  for (let second = 0; second < 200; second += 1) {
    world.now += 1_000
    world.feed({ type: 'status', line, report: OUT, asked: false })
    world.feed({ type: 'tick' })
  }
  t.equal(world.told.has('r-1'), false, 'still waiting after 200 s')
  world.feed({ type: 'status', line, report: GOOD, asked: false })
  world.mark()
  world.heal()
  t.match(world.told.get('r-1'), [{ phase: 'printed', copiesDone: 1 }])
})
