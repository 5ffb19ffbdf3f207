/** The box must never lock itself out: every schedule of faults, restarts and power cuts, with the real machine and a simulated NetworkManager. */

import t from 'tap'
import { fc } from '../../daemon/testing/property.ts'
import { uplinkMachine } from './uplink.machine.ts'
import { type Durable, newUplink, type UplinkEffect, type UplinkEvent, type UplinkPolicy, type UplinkState } from './uplink.state.ts'

const MINUTE = 60_000
const POLICY: UplinkPolicy = {
  tryMs: MINUTE,
  graceMs: 20_000,
  refusedMs: [MINUTE, 5 * MINUTE, 15 * MINUTE, 60 * MINUTE],
  restMs: [5_000, 15_000, 30_000, MINUTE],
  proveMs: 5 * MINUTE,
}
const NAMES = ['office', 'guest', 'spare', 'phone']
const POLL_MS = 15_000
/** How long a network that works takes to come up. */
const UP_MS = 5_000

type Step = { afterMs: number; failMs: number } & (
  | { what: 'crash' | 'power-cut' | 'cable-in' | 'cable-out' | 'disk-bad' | 'disk-good' }
  | { what: 'down' | 'up' | 'ask'; network: number }
  | { what: 'config'; order: number[] }
)

/** A box in time: what is durable, what NetworkManager does, what works. Time is in ms and jumps from one happening to the next. */
class Box {
  now = 0
  readonly works = new Set<string>(['office'])
  readonly autoconnect: boolean
  wired = false
  diskBad = false
  durable: Durable = {}
  order: string[] = ['office']
  /** What NetworkManager may connect to by itself. */
  readonly kept = new Set<string>()
  active: string | undefined
  failMs = MINUTE
  readonly tries: { network: string; mode: string; wired: boolean; intent: Durable }[] = []
  readonly outages: { from: number; to: number }[] = []
  #lostAt: number | undefined = 0
  #machine: UplinkState
  #due: { at: number; run: () => void; volatile: boolean }[] = []

  constructor(autoconnect: boolean) {
    this.autoconnect = autoconnect
    this.#machine = newUplink(POLICY, {})
    this.#boot()
  }

  /** Since when it is on no network; undefined while it is on one. */
  get lostAt(): number | undefined {
    return this.#lostAt
  }

  get machine(): UplinkState {
    return this.#machine
  }

  run(untilMs: number): void {
    for (;;) {
      this.#due.sort((a, b) => a.at - b.at)
      const next = this.#due[0]
      if (!next || next.at > untilMs) break
      this.#due.shift()
      this.now = Math.max(this.now, next.at)
      next.run()
      this.#watch()
    }
    this.now = untilMs
    this.#watch()
  }

  happens(step: Step): void {
    this.failMs = step.failMs
    switch (step.what) {
      case 'crash':
        this.#boot()
        break
      case 'power-cut':
        this.active = undefined
        this.#boot()
        this.#autoconnectSoon()
        break
      case 'cable-in':
      case 'cable-out':
        this.wired = step.what === 'cable-in'
        break
      case 'disk-bad':
      case 'disk-good':
        this.diskBad = step.what === 'disk-bad'
        break
      case 'down':
        this.works.delete(name(step.network))
        if (this.active === name(step.network)) this.active = undefined
        this.#autoconnectSoon()
        break
      case 'up':
        this.works.add(name(step.network))
        this.#autoconnectSoon()
        break
      case 'ask':
        this.#send({ kind: 'asked', network: name(step.network), wired: this.wired, now: this.now })
        break
      case 'config':
        this.order = [...new Set(step.order.map(name))]
        this.#send({ kind: 'networks', networks: this.order, changed: this.order })
    }
    this.#watch()
  }

  #boot(): void {
    this.#due = this.#due.filter(({ volatile }) => !volatile)
    this.#machine = newUplink(POLICY, this.durable)
    this.#send({ kind: 'networks', networks: this.order, changed: [] })
    this.#poll()
  }

  #poll(): void {
    this.#look()
    this.#after(POLL_MS, () => this.#poll())
  }

  #look(): void {
    this.#send({
      kind: 'seen',
      working: this.active !== undefined,
      wired: this.wired,
      // What is in reach may work or not.
      reach: new Set(NAMES),
      now: this.now,
      ...(this.active === undefined ? {} : { active: this.active }),
    })
  }

  #send(event: UplinkEvent): void {
    for (const effect of uplinkMachine.step(this.#machine, event)) this.#act(effect)
  }

  #act(effect: UplinkEffect): void {
    switch (effect.kind) {
      case 'save': {
        const stored = !this.diskBad
        if (stored) this.durable = effect.durable
        if (effect.tell || !stored) this.#after(10, () => this.#send({ kind: stored ? 'saved' : 'not-saved' }))
        return
      }
      case 'try':
        this.#try(effect.network, effect.mode)
        return
      case 'keep':
        this.kept.add(effect.network)
        return
      case 'look':
        this.#after(effect.ms, () => this.#look())
    }
  }

  #try(network: string, mode: string): void {
    this.tries.push({ network, mode, wired: this.wired, intent: structuredClone(this.durable) })
    this.active = undefined
    const fails = this.failMs
    this.#after(UP_MS, () => {
      const up = this.works.has(network)
      if (up) this.active = network
      if (up) this.#send({ kind: 'tried', network, up, reason: '', now: this.now })
      else this.#after(fails, () => this.#send({ kind: 'tried', network, up: false, reason: 'timeout', now: this.now }))
    })
    // The plugin may die meanwhile; NetworkManager goes on.
    this.#due.push({ at: this.now + UP_MS + 1, volatile: false, run: () => {} })
  }

  #autoconnectSoon(): void {
    if (!this.autoconnect) return
    this.#due.push({
      at: this.now + 8_000,
      volatile: false,
      run: () => {
        if (this.active !== undefined || this.#machine.task) return
        this.active = this.order.find((one) => this.kept.has(one) && this.works.has(one))
      },
    })
  }

  #after(ms: number, run: () => void): void {
    this.#due.push({ at: this.now + ms, volatile: true, run })
  }

  #watch(): void {
    if (this.active === undefined) this.#lostAt ??= this.now
    else if (this.#lostAt !== undefined) {
      this.outages.push({ from: this.#lostAt, to: this.now })
      this.#lostAt = undefined
    }
  }
}

function name(index: number): string {
  return NAMES[index % NAMES.length] ?? 'office'
}

const network = fc.nat({ max: NAMES.length - 1 })
const step: fc.Arbitrary<Step> = fc
  .tuple(
    fc.nat({ max: 4 * MINUTE }),
    fc.nat({ max: MINUTE - UP_MS }),
    fc.oneof(
      fc.constantFrom('crash', 'power-cut', 'cable-in', 'cable-out', 'disk-bad', 'disk-good').map((what) => ({ what })),
      fc.tuple(fc.constantFrom('down', 'up', 'ask'), network).map(([what, one]) => ({ what, network: one })),
      fc.array(network, { minLength: 1, maxLength: 4 }).map((order) => ({ what: 'config', order })),
    ),
  )
  .map(([afterMs, failMs, rest]) => ({ afterMs, failMs, ...rest }) as Step)

/** One failed round over all networks, and the waits between. */
const BOUND_MS = POLICY.graceMs + 2 * (MINUTE + POLL_MS) + (NAMES.length + 1) * (MINUTE + POLL_MS) + MINUTE

t.test('from every schedule of faults and restarts the box ends on a network that works, if there is one', async (t) => {
  let rescued = 0
  let returned = 0
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), fc.boolean(), network, (steps, autoconnect, healthy) => {
      const box = new Box(autoconnect)
      for (const one of steps) {
        box.run(box.now + one.afterMs)
        box.happens(one)
      }
      // The healing phase: one network of the config works for good, no cable, no more faults.
      box.happens({ what: 'disk-good', afterMs: 0, failMs: MINUTE - UP_MS })
      box.happens({ what: 'cable-out', afterMs: 0, failMs: MINUTE - UP_MS })
      const alive = box.order[healthy % box.order.length] ?? 'office'
      for (const [index, one] of NAMES.entries()) {
        const what = one === alive ? 'up' : 'down'
        box.happens({ what, network: index, afterMs: 0, failMs: MINUTE - UP_MS })
      }
      const healed = box.now
      box.run(healed + BOUND_MS)
      // Away at this very moment for a trial, it was on until that began.
      const on = box.outages.some(({ to }) => to >= healed) || box.active !== undefined || (box.lostAt ?? 0) > healed
      if (!on) throw new Error(`not on a network ${BOUND_MS / 1_000} s after it was healed`)
      // From then on it may try a network that it prefers; each time it is back within the trial and the return.
      const since = box.now
      box.run(since + 120 * MINUTE)
      const long = box.outages.filter(({ from, to }) => from >= since && to - from > MINUTE + 2 * UP_MS + POLL_MS)
      if (long.length > 0) throw new Error(`away for ${JSON.stringify(long)}`)
      box.run(box.now + 2 * MINUTE)
      if (box.machine.task === undefined && box.active !== alive) throw new Error(`on ${box.active}, not on ${alive}`)
      if (box.machine.task === undefined && box.durable.trial) throw new Error('an intent was left behind')
      rescued += box.tries.some(({ mode }) => mode === 'rescue') ? 1 : 0
      returned += box.tries.some(({ mode }) => mode === 'return') ? 1 : 0
    }),
    { numRuns: 1_500 },
  )
  t.ok(rescued > 100 && returned > 100, `the rare ways were taken: ${rescued} rescues, ${returned} returns`)
})

t.test('nothing is put on trial unless the way back is on disk', async (t) => {
  let trials = 0
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), fc.boolean(), (steps, autoconnect) => {
      const box = new Box(autoconnect)
      for (const one of steps) {
        box.run(box.now + one.afterMs)
        box.happens(one)
      }
      box.run(box.now + 10 * MINUTE)
      for (const { network, mode, intent } of box.tries) {
        if (mode !== 'trial') continue
        trials += 1
        if (intent.trial?.network !== network) throw new Error(`${network} was tried with ${JSON.stringify(intent)} on disk`)
      }
    }),
    { numRuns: 500 },
  )
  t.ok(trials > 100, `${trials} trials`)
})

t.test('with a cable that leads out nothing is moved but by command', async (t) => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
      const box = new Box(true)
      box.happens({ what: 'cable-in', afterMs: 0, failMs: 1_000 })
      const quiet = steps.filter(({ what }) => what !== 'cable-out' && what !== 'ask')
      box.run(MINUTE)
      const before = box.tries.length
      for (const one of quiet) {
        box.run(box.now + one.afterMs)
        box.happens(one)
      }
      box.run(box.now + 30 * MINUTE)
      // One that was under way when the cable came is brought to its end.
      const forced = box.tries.slice(before).filter(({ mode }) => mode !== 'return')
      if (forced.length > 0) throw new Error(JSON.stringify(forced))
    }),
    { numRuns: 300 },
  )
  t.pass('held')
})

/** Steps a machine by hand. */
function steps(durable: Durable, networks: string[]) {
  const state = newUplink(POLICY, durable)
  const send = (event: UplinkEvent) => uplinkMachine.step(state, event)
  send({ kind: 'networks', networks, changed: [] })
  const seen = (active: string | undefined, now: number, more: { wired?: boolean; reach?: string[] } = {}) =>
    send({
      kind: 'seen',
      working: active !== undefined,
      wired: more.wired ?? false,
      now,
      ...(active === undefined ? {} : { active }),
      ...(more.reach ? { reach: new Set(more.reach) } : {}),
    })
  return { state, send, seen }
}

t.test('a power cut in the middle of a trial: back to the last that worked, whatever NetworkManager is on', async (t) => {
  const { seen, send } = steps({ good: 'office', trial: { network: 'new', back: 'office' } }, ['new', 'office'])
  t.match(seen('new', 1_000), [{ kind: 'try', network: 'office', mode: 'return' }])
  const effects = send({ kind: 'tried', network: 'office', up: true, reason: '', now: 9_000 })
  t.match(effects, [
    { kind: 'drop', network: 'new' },
    { kind: 'settled', network: 'new', up: false, reason: 'interrupted', back: 'office' },
    { kind: 'save' },
  ])
  t.same(
    seen('office', 15_000, { reach: ['new', 'office'] }).filter(({ kind }) => kind === 'save'),
    [],
    'and not at once again',
  )
})

t.test('a wrong password is not tried every few minutes: each try would cost the shop its uplink', async (t) => {
  const { seen, send } = steps({ good: 'office' }, ['new', 'office'])
  t.match(seen('office', 0, { reach: ['new'] }), [{ kind: 'save', durable: { trial: { network: 'new', back: 'office' } }, tell: true }])
  send({ kind: 'saved' })
  send({ kind: 'tried', network: 'new', up: false, reason: 'wrong-password', now: 5_000 })
  send({ kind: 'tried', network: 'office', up: true, reason: '', now: 9_000 })
  t.same(seen('office', 30 * MINUTE, { reach: ['new'] }), [])
  send({ kind: 'networks', networks: ['new', 'office'], changed: ['new'] })
  t.match(seen('office', 31 * MINUTE, { reach: ['new'] }), [{ kind: 'save' }], 'unless the config has changed')
})

t.test('a preferred network at the edge of its reach does not make the box swing', async (t) => {
  const { state, seen, send } = steps({ good: 'office' }, ['edge', 'office'])
  seen('office', 0, { reach: ['edge'] })
  send({ kind: 'saved' })
  send({ kind: 'tried', network: 'edge', up: true, reason: '', now: 5_000 })
  seen('edge', 6_000)
  seen('office', MINUTE, { reach: ['edge'] })
  t.ok(state.refused.has('edge'), 'lost within five minutes')
  t.same(seen('office', 2 * MINUTE, { reach: ['edge'] }), [])
})

t.test('another password for the network in use: tried, and back to the one that works', async (t) => {
  const { seen, send } = steps({ good: 'office' }, ['office'])
  seen('office', 0)
  t.match(send({ kind: 'asked', network: 'office', wired: false, now: 1_000 }), [
    { kind: 'save', durable: { trial: { network: 'office', back: 'office' } } },
  ])
  t.match(send({ kind: 'saved' }), [{ kind: 'try', network: 'office', mode: 'trial' }])
  t.match(send({ kind: 'tried', network: 'office', up: false, reason: 'wrong-password', now: 4_000 }), [
    { kind: 'try', network: 'office', mode: 'return' },
    { kind: 'drop', network: 'office' },
  ])
  t.match(send({ kind: 'tried', network: 'office', up: true, reason: '', now: 9_000 }), [{ kind: 'settled', up: false, back: 'office' }])
})

t.test('the disk refuses the intent: the network is not tried', async (t) => {
  const { seen, send } = steps({ good: 'office' }, ['new', 'office'])
  seen('office', 0, { reach: ['new'] })
  t.same(send({ kind: 'not-saved' }), [{ kind: 'settled', network: 'new', up: false, reason: 'not-saved', asked: false }])
})
