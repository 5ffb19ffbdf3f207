/** How a plugin's machine judges a silent TCP line. Printer and receipt each have one, since plugins share no code; both are held to this. */
import type { Test } from 'tap'

interface Acks {
  queued: number
  unanswered: number
  windowClosed: boolean
}

type Event = { now: number } & ({ kind: 'looked'; acks: Acks } | { kind: 'knocked'; answered: boolean })

interface SilenceMachine<State> {
  boot(limitMs: number): State
  step(state: State, event: Event): readonly ('knock' | 'dead')[]
}

const LIMIT = 20_000
const idle: Acks = { queued: 0, unanswered: 0, windowClosed: false }
const sending: Acks = { queued: 900, unanswered: 0, windowClosed: false }
const paperOut: Acks = { queued: 900, unanswered: 0, windowClosed: true }
const yes = () => true
const no = () => false

export function silenceSuite<State>(t: Test, machine: SilenceMachine<State>): void {
  /** Looks once a second, from one time to another, and knocks where it is told to. When it was taken for dead, or undefined. */
  function watch(state: State, from: number, to: number, acks: (now: number) => Acks, answers: (now: number) => boolean) {
    for (let now = from; now <= to; now += 1_000) {
      const effects = [...machine.step(state, { kind: 'looked', acks: acks(now), now })]
      if (effects.includes('knock')) effects.push(...machine.step(state, { kind: 'knocked', answered: answers(now), now }))
      if (effects.includes('dead')) return now
    }
    return undefined
  }

  t.test('nothing on its way, or all of it acknowledged: never', async (t) => {
    t.equal(
      watch(machine.boot(LIMIT), 0, 3_600_000, () => idle, no),
      undefined,
    )
    t.equal(
      watch(machine.boot(LIMIT), 0, 3_600_000, () => sending, no),
      undefined,
    )
  })

  t.test('sent again and again without an answer: dead after the limit, and not for one lost packet', async (t) => {
    t.equal(
      watch(machine.boot(LIMIT), 0, 60_000, (now) => ({ ...sending, unanswered: Math.ceil(now / 4_000) }), yes),
      21_000,
    )
    t.equal(
      watch(machine.boot(LIMIT), 0, 3_600_000, () => ({ ...sending, unanswered: 1 }), yes),
      undefined,
    )
    // Every half minute it comes back in time.
    t.equal(
      watch(machine.boot(LIMIT), 0, 3_600_000, (now) => ({ ...sending, unanswered: now % 20_000 === 0 ? 0 : 5 }), yes),
      undefined,
    )
  })

  t.test('out of paper for an hour, network alive: waited for, whether it answers knocks or a firewall drops them', async (t) => {
    t.equal(
      watch(machine.boot(LIMIT), 0, 3_600_000, () => paperOut, yes),
      undefined,
    )
    t.equal(
      watch(machine.boot(LIMIT), 0, 3_600_000, () => paperOut, no),
      undefined,
    )
    t.equal(
      watch(machine.boot(LIMIT), 0, 3_600_000, () => ({ ...paperOut, unanswered: 1 }), no),
      undefined,
      'one probe lost, the next in a minute',
    )
    let tries = 0
    const everyOther = () => {
      tries += 1
      return tries % 2 === 0
    }
    t.equal(
      watch(machine.boot(LIMIT), 0, 3_600_000, () => paperOut, everyOther),
      undefined,
      'half of the knocks are lost',
    )
  })

  t.test('out of paper, and after ten minutes without power: dead within the limit and one knock', async (t) => {
    const at = watch(
      machine.boot(LIMIT),
      0,
      3_600_000,
      () => paperOut,
      (now) => now < 600_000,
    )
    t.ok(at !== undefined && at >= 600_000 + LIMIT - 5_000 && at <= 600_000 + LIMIT + 5_000, `at ${at}`)
  })

  t.test('a machine that stood still for a minute does not take its own silence for the printer’s', async (t) => {
    const state = machine.boot(LIMIT)
    watch(state, 0, 30_000, () => paperOut, yes)
    t.same(machine.step(state, { kind: 'looked', acks: paperOut, now: 90_000 }), ['knock'])
    t.same(machine.step(state, { kind: 'knocked', answered: false, now: 93_000 }), [], 'one miss is not enough')
    t.equal(
      watch(state, 98_000, 400_000, () => paperOut, yes),
      undefined,
    )
  })
}
