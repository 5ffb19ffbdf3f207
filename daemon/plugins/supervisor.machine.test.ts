import t from 'tap'
import type { MonoMs } from '../contract/plugin.ts'
import { fc } from '../testing/property.ts'
import { LIMITS, type SupervisorEffect, type SupervisorEvent, SupervisorMachine, stopped, type Timer } from './supervisor.machine.ts'

const at = (ms: number): MonoMs => ms as MonoMs
const MINUTE = 60_000

/** A machine with what its shell would keep: the process, the timers, who waits. */
class Bench {
  readonly machine = new SupervisorMachine()
  readonly state = stopped()
  readonly journal: string[] = []
  readonly timers = new Map<Timer, number>()
  processes = 0
  /** The process has been killed and is about to be gone. */
  killed = false
  spawned: string[] = []
  settled: string[] = []
  now = 0

  feed(event: SupervisorEvent): readonly SupervisorEffect[] {
    const effects = this.machine.step(this.state, event)
    for (const effect of effects) {
      if (effect.type === 'spawn') {
        this.processes += 1
        this.killed = false
        this.spawned.push(effect.files)
      }
      if (effect.type === 'kill') this.killed = true
      if (effect.type === 'journal') this.journal.push(`${effect.event}: ${effect.reason}`)
      if (effect.type === 'arm') this.timers.set(effect.timer, effect.ms)
      if (effect.type === 'disarm') this.timers.delete(effect.timer)
      if (effect.type === 'settle') this.settled.push(effect.outcome)
    }
    return effects
  }

  exit(reason = 'killed by SIGSEGV', random = 0.5): readonly SupervisorEffect[] {
    this.processes -= 1
    return this.feed({ type: 'exited', reason, now: at(this.now), random })
  }

  fire(timer: Timer): void {
    this.timers.delete(timer)
    this.feed({ type: 'timer', timer })
  }
}

function running(good = false): Bench {
  const bench = new Bench()
  bench.feed({ type: 'start', good })
  bench.feed({ type: 'ready' })
  return bench
}

t.test('the backoff doubles from 1 s to 60 s and starts over after a healthy stretch', async (t) => {
  // Without quarantine, so that the whole ladder is seen.
  const machine = new SupervisorMachine({ ...LIMITS, fast: { crashes: 1e9, withinMs: 1 }, slow: { crashes: 1e9, withinMs: 1 } })
  const state = stopped()
  machine.step(state, { type: 'start', good: false })
  const waits: number[] = []
  for (let n = 0; n < 9; n++) {
    const effects = machine.step(state, { type: 'exited', reason: 'x', now: at(n * 100_000), random: 0.5 })
    for (const effect of effects) if (effect.type === 'arm') waits.push(effect.ms)
    machine.step(state, { type: 'timer', timer: 'retry' })
  }
  t.same(waits, [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000])
  machine.step(state, { type: 'ready' })
  machine.step(state, { type: 'timer', timer: 'healthy' })
  const [wait] = machine
    .step(state, { type: 'exited', reason: 'x', now: at(1e6), random: 0 })
    .flatMap((one) => (one.type === 'arm' ? [one.ms] : []))
  t.equal(wait, 750)
})

t.test('5 crashes within 10 minutes are quarantine; a reload, and only that, is the way out', async (t) => {
  const bench = running()
  for (let n = 0; n < 5; n++) {
    bench.now += MINUTE
    bench.exit()
    if (n < 4) {
      t.equal(bench.state.phase, 'backoff')
      bench.fire('retry')
      bench.feed({ type: 'ready' })
    }
  }
  t.equal(bench.state.phase, 'quarantined')
  t.match(bench.journal.at(-1), /^quarantined: 5 crashes within 10 min; the last: killed by SIGSEGV/)
  for (const timer of ['retry', 'deadline', 'healthy'] as const) bench.feed({ type: 'timer', timer })
  t.equal(bench.state.phase, 'quarantined')
  bench.feed({ type: 'restart', good: false, because: 'reloaded' })
  bench.feed({ type: 'ready' })
  t.equal(bench.state.phase, 'running')
})

t.test('a slow crash loop, one an hour with a healthy stretch between, does not escape', async (t) => {
  const bench = running()
  let crashes = 0
  while (bench.state.phase !== 'quarantined' && crashes < 100) {
    bench.fire('healthy')
    bench.now += 60 * MINUTE
    bench.exit()
    crashes += 1
    if (bench.timers.has('retry')) bench.fire('retry')
    bench.feed({ type: 'ready' })
  }
  t.equal(crashes, 20)
  t.match(bench.journal.at(-1), /20 crashes within 24 h/)
})

t.test('a plugin that crashes once every two hours keeps running', async (t) => {
  const bench = running()
  for (let n = 0; n < 200; n++) {
    bench.fire('healthy')
    bench.now += 120 * MINUTE
    bench.exit()
    bench.fire('retry')
    bench.feed({ type: 'ready' })
  }
  t.equal(bench.state.phase, 'running')
  t.ok(bench.state.crashes.length <= 20, 'its history does not grow')
})

t.test('a reload that does not become healthy brings the old version back, and says so to who asked', async (t) => {
  const bench = running()
  bench.feed({ type: 'restart', good: true, because: 'reloaded' })
  t.equal(bench.spawned.length, 1, 'the old process has to let go of its ports first')
  bench.exit('stopped')
  t.same(bench.spawned, ['current', 'current'])
  const kills = bench.feed({ type: 'timer', timer: 'deadline' })
  t.match(kills, [{ type: 'kill' }])
  bench.exit('not ready within 30 s')
  t.same(bench.spawned, ['current', 'current', 'good'])
  bench.feed({ type: 'ready' })
  t.equal(bench.state.phase, 'running')
  t.equal(bench.settled.at(-1), 'failed')
  t.match(bench.journal.slice(-2), ['crashed: not ready within 30 s', 'loaded: rolled-back'])
  bench.exit()
  bench.fire('retry')
  t.equal(bench.spawned.at(-1), 'good', 'a crash later on does not bring the bad version back')
  bench.feed({ type: 'ready' })
  bench.feed({ type: 'restart', good: true, because: 'configured' })
  bench.exit('stopped')
  t.equal(bench.spawned.at(-1), 'good', 'nor does a change of config')
  bench.feed({ type: 'restart', good: true, because: 'reloaded' })
  bench.exit('stopped')
  t.equal(bench.spawned.at(-1), 'current', 'another reload tries the files as they are then')
})

const anything = fc.oneof(
  fc.record({ type: fc.constant('start' as const), good: fc.boolean() }),
  fc.record({ type: fc.constant('stop' as const), reason: fc.constant('unloaded') }),
  fc.record({
    type: fc.constant('restart' as const),
    good: fc.boolean(),
    because: fc.constantFrom('reloaded' as const, 'configured' as const),
  }),
  fc.record({ type: fc.constant('ready' as const) }),
  fc.record({
    type: fc.constant('exit' as const),
    ms: fc.integer({ min: 0, max: 20 * MINUTE }),
    random: fc.double({ min: 0, max: 0.999, noNaN: true }),
  }),
  fc.record({ type: fc.constant('timer' as const), timer: fc.constantFrom<Timer>('deadline', 'retry', 'healthy') }),
)

t.test('whatever happens: one process at most, a way on from everywhere, everyone who waits is told', async (t) => {
  fc.assert(
    fc.property(fc.array(anything, { maxLength: 60 }), (steps) => {
      const bench = new Bench()
      let waiting = 0
      for (const step of steps) {
        if (step.type === 'exit') {
          if (bench.processes === 0) continue
          bench.now += step.ms
          bench.exit('x', step.random)
        } else if (step.type === 'timer') {
          if (!bench.timers.has(step.timer)) continue
          bench.fire(step.timer)
        } else if (step.type === 'ready') {
          if (bench.processes > 0) bench.feed(step)
        } else {
          waiting = bench.settled.length
          bench.feed(step)
        }
        const { phase } = bench.state
        const alive = phase === 'starting' || phase === 'running' || phase === 'stopping'
        if (bench.processes !== (alive ? 1 : 0)) return false
        if ((phase === 'starting' && !bench.killed) !== bench.timers.has('deadline')) return false
        if ((phase === 'backoff') !== bench.timers.has('retry')) return false
        if (phase === 'running' && bench.state.trial) return false
        for (const ms of bench.timers.values()) if (!(ms > 0 && ms <= LIMITS.healthyMs)) return false
      }
      // The world comes to rest: whatever is under way ends, and then nobody waits.
      for (let n = 0; n < 5; n++) {
        if (bench.state.phase === 'stopping') bench.exit()
        if (bench.state.phase === 'starting') bench.feed({ type: 'ready' })
      }
      return waiting === 0 || bench.settled.length > 0
    }),
    { numRuns: 2_000 },
  )
  t.pass('2,000 histories')
})

t.test('a stop ends in stopped from anywhere, and is journaled once', async (t) => {
  fc.assert(
    fc.property(fc.array(anything, { maxLength: 30 }), (steps) => {
      const bench = new Bench()
      for (const step of steps) {
        if (step.type === 'exit') {
          if (bench.processes > 0) bench.exit('x', step.random)
        } else if (step.type !== 'ready' || bench.processes > 0) bench.feed(step)
      }
      const was = bench.state.phase
      const before = bench.journal.length
      bench.feed({ type: 'stop', reason: 'unloaded' })
      if (bench.processes > 0) bench.exit('stopped')
      const said = bench.journal.slice(before).filter((line) => line === 'unloaded: unloaded').length
      return (
        bench.state.phase === 'stopped' &&
        bench.processes === 0 &&
        said === (was === 'stopped' ? 0 : 1) &&
        bench.settled.at(-1) === 'stopped'
      )
    }),
    { numRuns: 1_000 },
  )
  t.pass('1,000 histories')
})
