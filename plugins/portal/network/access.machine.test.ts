/** What the kernel is told of who may be online: bursts, failures, restarts, told as events. */

import t from 'tap'
import type { MonoMs } from '../../../daemon/contract/plugin.ts'
import { fc } from '../../../daemon/testing/property.ts'
import { type AccessChange, type AccessEffect, type AccessEvent, AccessState, accessMachine, nextEnd, usageOf } from './access.machine.ts'

const ANNA = '02:00:5e:00:00:01'
const BEN = '02:00:5e:00:00:02'

/** A shell in miniature: time by hand, the kernel as a map. */
class Bench {
  readonly state = new AccessState()
  now = 0
  readonly settled: { tickets: number[]; error?: string }[] = []
  readonly applied: AccessChange[] = []
  readonly kernel = {
    online: new Map<string, number>(),
    up: new Map<string, number>(),
    down: new Map<string, string>(),
    sortedUp: new Map<string, string>(),
  }
  wakes = 0
  ticket = 0

  constructor() {
    this.state.reload = false
    this.state.present = true
  }

  step(event: { kind: AccessEvent['kind']; [key: string]: unknown }): AccessEffect[] {
    const effects = [...accessMachine.step(this.state, { ...event, now: this.now as MonoMs } as AccessEvent)]
    for (const effect of effects) {
      if (effect.kind === 'settle') this.settled.push(effect)
      if (effect.kind === 'wake') this.wakes++
      if (effect.kind === 'apply') this.applied.push(effect.change)
    }
    return effects
  }

  grant(mac: string, more: object = {}): number {
    const ticket = ++this.ticket
    this.step({ kind: 'authorise', grants: [{ mac, seconds: 60, ...more }], ticket })
    return ticket
  }

  revoke(mac: string): void {
    this.step({ kind: 'revoke', macs: [mac], ticket: ++this.ticket })
  }

  /** The kernel takes the last change, as nft would: all of it, or it says what is wrong. */
  take(change = this.applied.at(-1)): void {
    if (!change) return
    const { online, up, down, sortedUp } = this.kernel
    if (change.whole) for (const map of [online, up, down, sortedUp]) map.clear()
    for (const mac of [...change.offline, ...change.purge]) online.delete(mac)
    for (const mac of change.purge) up.delete(mac)
    for (const { mac, seconds, fresh, bytesUp } of change.online) {
      online.set(mac, this.now + seconds * 1000)
      if (fresh || change.whole) up.set(mac, bytesUp)
    }
    for (const { direction, mac, before, after } of change.sort) {
      const map = direction === 'down' ? down : sortedUp
      if (before !== undefined && map.get(mac) !== String(before))
        throw new Error(`deletes what is not there: ${direction} ${mac} ${before}`)
      if (before === undefined && map.has(mac)) throw new Error(`adds what is there: ${direction} ${mac}`)
      if (after === undefined) map.delete(mac)
      else map.set(mac, String(after))
    }
  }

  /** Everything goes through until nothing is on its way. */
  run(): void {
    for (let turns = 0; turns < 50; turns++) {
      if (this.state.sending) {
        this.take()
        this.step({ kind: 'done' })
      } else if (this.state.woken) this.step({ kind: 'wake' })
      else return
    }
    throw new Error('it never comes to rest')
  }
}

t.test('a burst of taps is one change, and each is told when it is in effect', async (t) => {
  const bench = new Bench()
  const tickets = [bench.grant(ANNA), bench.grant(BEN)]
  t.equal(bench.wakes, 1, 'waited for once')
  t.same(bench.applied, [])
  bench.step({ kind: 'wake' })
  t.equal(bench.applied.length, 1)
  t.same(
    bench.applied[0]?.online.map(({ mac }) => mac),
    [ANNA, BEN],
  )
  t.same(bench.settled, [], 'not before the kernel has it')
  bench.step({ kind: 'done' })
  t.same(bench.settled, [{ kind: 'settle', tickets }])
})

t.test('what comes while a change is on its way goes with the next', async (t) => {
  const bench = new Bench()
  bench.grant(ANNA)
  bench.step({ kind: 'wake' })
  bench.revoke(ANNA)
  bench.grant(BEN)
  t.equal(bench.applied.length, 1)
  bench.step({ kind: 'done' })
  t.match(bench.applied[1], { offline: [ANNA], online: [{ mac: BEN }] })
  t.same(
    bench.settled.map(({ tickets }) => tickets),
    [[1]],
  )
})

t.test('a refused change loads everything anew; refused again, those who wait are told and it is tried again', async (t) => {
  const bench = new Bench()
  bench.grant(ANNA)
  bench.step({ kind: 'wake' })
  bench.step({ kind: 'failed', message: 'no such set' })
  t.match(bench.applied[1], { whole: true, online: [{ mac: ANNA }] })
  t.same(bench.settled, [])
  const effects = bench.step({ kind: 'failed', message: 'no memory' })
  t.match(effects, [{ kind: 'settle', tickets: [1], error: 'no memory' }, { kind: 'broken' }, { kind: 'wake', ms: 5000 }])
  bench.step({ kind: 'wake' })
  t.match(bench.applied[2], { whole: true, online: [{ mac: ANNA }] }, 'the grant stands')
  t.match(bench.step({ kind: 'done' }), [{ kind: 'loaded' }])
})

t.test('granted again: more time and other speeds, the same count; granted anew after its end: a new count', async (t) => {
  const bench = new Bench()
  bench.grant(ANNA, { bytesUp: 500 })
  bench.run()
  t.match(bench.applied.at(-1), { online: [{ fresh: true, bytesUp: 500 }] })
  bench.step({ kind: 'read', usage: [{ mac: ANNA, bytesUp: 900, bytesDown: 50 }], online: new Set([ANNA]) })
  bench.grant(ANNA, { seconds: 120, downKbps: 1000, bytesUp: 7 })
  bench.run()
  t.match(bench.applied.at(-1), { online: [{ fresh: false, seconds: 120 }], classes: [{ downKbps: 1000 }] })
  t.match(usageOf(bench.state), [{ mac: ANNA, bytesUp: 900, bytesDown: 50 }])
  bench.revoke(ANNA)
  bench.run()
  t.match(usageOf(bench.state), [{ bytesUp: 900 }], 'readable after the end')
  bench.grant(ANNA)
  bench.run()
  t.match(usageOf(bench.state), [{ bytesUp: 0, bytesDown: 0 }])
})

t.test('time runs out: told, its counters kept for two minutes, then forgotten', async (t) => {
  const bench = new Bench()
  bench.grant(ANNA)
  bench.run()
  t.equal(nextEnd(bench.state, bench.now as MonoMs), 60_000)
  bench.now = 60_000
  bench.step({ kind: 'wake' })
  bench.run()
  t.match(bench.applied.at(-1), { offline: [ANNA], purge: [] })
  t.equal(usageOf(bench.state).length, 1)
  bench.now = 180_000
  bench.step({ kind: 'wake' })
  bench.run()
  t.match(bench.applied.at(-1), { purge: [ANNA] })
  t.equal(nextEnd(bench.state, bench.now as MonoMs), undefined)
})

t.test('somebody emptied the set: those who should be in it are let in again, others not', async (t) => {
  const bench = new Bench()
  bench.grant(ANNA)
  bench.grant(BEN)
  bench.run()
  bench.revoke(BEN)
  bench.run()
  bench.step({ kind: 'read', usage: [{ mac: ANNA, bytesUp: 10, bytesDown: 0 }], online: new Set() })
  bench.run()
  t.match(bench.applied.at(-1), { whole: false, online: [{ mac: ANNA, bytesUp: 10 }], offline: [] })
})

t.test('without an interface a grant is kept, and told when the interface comes', async (t) => {
  const bench = new Bench()
  bench.step({ kind: 'interface', present: false })
  bench.grant(ANNA)
  bench.run()
  t.same(bench.settled, [{ kind: 'settle', tickets: [1] }])
  t.same(bench.applied, [])
  bench.step({ kind: 'interface', present: true })
  t.match(bench.applied, [{ whole: true, online: [{ mac: ANNA }] }])
})

t.test('whatever happens in whatever order, the kernel ends up with who should be online, and every caller is told once', async (t) => {
  const macs = Array.from({ length: 4 }, (_, index) => `02:00:5e:00:01:0${index}`)
  const event = fc.oneof(
    fc.record({
      do: fc.constant('grant' as const),
      mac: fc.constantFrom(...macs),
      seconds: fc.integer({ min: 1, max: 100 }),
      down: fc.boolean(),
      up: fc.boolean(),
    }),
    fc.record({ do: fc.constant('revoke' as const), mac: fc.constantFrom(...macs) }),
    fc.record({
      do: fc.constantFrom('wake' as const, 'done' as const, 'fail' as const, 'flush' as const, 'reload' as const, 'run' as const),
    }),
    fc.record({ do: fc.constant('wait' as const), ms: fc.integer({ min: 1, max: 60_000 }) }),
  )
  const always = () =>
    fc.assert(
      fc.property(fc.array(event, { maxLength: 60 }), (story) => {
        const bench = new Bench()
        const wanted = new Map<string, number>()
        for (const one of story) {
          if (one.do === 'grant') {
            bench.grant(one.mac, { seconds: one.seconds, ...(one.down ? { downKbps: 100 } : {}), ...(one.up ? { upKbps: 100 } : {}) })
            wanted.set(one.mac, bench.now + one.seconds * 1000)
          } else if (one.do === 'revoke') {
            bench.revoke(one.mac)
            wanted.delete(one.mac)
          } else if (one.do === 'wake' && bench.state.woken) bench.step({ kind: 'wake' })
          else if (one.do === 'done' && bench.state.sending) {
            bench.take()
            bench.step({ kind: 'done' })
          } else if (one.do === 'fail' && bench.state.sending) bench.step({ kind: 'failed', message: 'x' })
          else if (one.do === 'reload') bench.step({ kind: 'reload' })
          else if (one.do === 'flush') bench.kernel.online.clear()
          else if (one.do === 'run') bench.run()
          else if (one.do === 'wait') bench.now += one.ms
        }
        bench.run()
        bench.step({ kind: 'wake' })
        bench.run()
        bench.step({ kind: 'read', usage: [], online: new Set(bench.kernel.online.keys()) })
        bench.run()
        const should = [...wanted].filter(([, until]) => until > bench.now + 1000).map(([mac]) => mac)
        for (const mac of should) if (!bench.kernel.online.has(mac)) return false
        for (const mac of bench.kernel.online.keys()) if ((wanted.get(mac) ?? 0) <= bench.now) return false
        // Who has a class is online and has a limit; no two share one.
        const minors = [...bench.state.told.values()].flatMap(({ minor }) => minor ?? [])
        if (new Set(minors).size !== minors.length) return false
        const told = bench.settled.flatMap(({ tickets }) => tickets)
        return told.length === bench.ticket && new Set(told).size === told.length
      }),
      { numRuns: 500 },
    )
  t.doesNotThrow(always)
})
