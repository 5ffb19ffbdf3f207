import t from 'tap'
import { fc } from '../testing/property.ts'
import { BULK_WAIT_MS, GROUP_EVENTS, type GroupingEffect, grouping, newGrouping } from './grouping.machine.ts'
import { IDLE_MS, newRetention, PRESSED_ROOM_BYTES, type RetentionEffect, retention, SLICE_ROWS } from './retention.machine.ts'

const MB = 1024 * 1024
const EVENT_BYTES = 500

interface Row {
  sequence: number
  bulk: boolean
  wall: number
}

/** A shop's journal in a few lines: rows, what HQ has, a clock, and the machine that cleans up. */
class Model {
  readonly state
  rows: Row[] = []
  head = 0
  acknowledged = 0
  wall = 1_000_000
  synced = true
  free = 0
  pressed = false
  lost: Row[] = []
  expired: Row[] = []
  refusing = false
  vacuumed = 0
  looks = 0

  constructor(limits: { maxAgeMs: number; maxBytes: number }) {
    this.state = newRetention(limits)
  }

  append(count: number, bulk: boolean): void {
    if (bulk && this.refusing) return
    for (let n = 0; n < count; n += 1) {
      this.head += 1
      this.rows.push({ sequence: this.head, bulk, wall: this.wall })
    }
    this.free = Math.max(0, this.free - count * EVENT_BYTES)
  }

  /** Looks until there is nothing left to do. */
  settle(): void {
    for (let more = true; more; ) {
      this.looks += 1
      more = this.perform(
        retention.step(this.state, {
          type: 'look',
          ...(this.synced ? { wall: this.wall } : {}),
          live: this.rows.length * EVENT_BYTES,
          free: this.free,
          tail: this.rows[0]?.sequence ?? this.head + 1,
          head: this.head,
          rows: this.rows.length,
          acknowledged: this.acknowledged,
          pressed: this.pressed,
        }),
      )
      if (this.looks > 100_000) throw new Error('it never ends')
    }
  }

  perform(effects: readonly RetentionEffect[]): boolean {
    let more = false
    for (const effect of effects) {
      if (effect.do === 'refuse-bulk') this.refusing = effect.on
      if (effect.do === 'vacuum') this.free = Math.max(0, this.free - effect.pages * 4_096)
      if (effect.do === 'trim') this.take((row) => row.sequence <= effect.upTo, this.expired)
      if (effect.do === 'drop-bulk') {
        const before = this.lost.length
        let left = effect.rows
        this.take((row) => row.bulk && row.sequence > effect.after && row.sequence <= effect.upTo && left-- > 0, this.lost)
        const through = this.lost.length - before === effect.rows ? (this.lost.at(-1)?.sequence ?? 0) : effect.upTo
        this.perform(retention.step(this.state, { type: 'scanned', through }))
      }
      if (effect.do === 'look-again') more = effect.ms < 1_000
    }
    return more
  }

  take(which: (row: Row) => boolean, into: Row[]): void {
    const gone = new Set(this.rows.filter(which))
    into.push(...gone)
    this.rows = this.rows.filter((row) => !gone.has(row))
    this.free += gone.size * EVENT_BYTES
  }
}

t.test('whatever happens in a shop, what must be kept is kept and the size is held', (t) => {
  const limits = { maxAgeMs: 100_000, maxBytes: 2 * MB }
  const step = fc.oneof(
    {
      weight: 5,
      arbitrary: fc.record({ do: fc.constant('append' as const), count: fc.integer({ min: 1, max: 3_000 }), bulk: fc.boolean() }),
    },
    { weight: 3, arbitrary: fc.record({ do: fc.constant('acknowledge' as const), part: fc.double({ min: 0, max: 1, noNaN: true }) }) },
    { weight: 3, arbitrary: fc.record({ do: fc.constant('pass' as const), ms: fc.integer({ min: 1, max: 60_000 }) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('jump' as const), ms: fc.integer({ min: -200_000, max: 200_000 }) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('clock' as const), synced: fc.boolean() }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('disk' as const), full: fc.boolean() }) },
  )
  let dropped = 0
  let refused = 0
  let aged = 0
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 40 }), (steps) => {
      const shop = new Model(limits)
      let jumped = false
      for (const one of steps) {
        if (one.do === 'append') shop.append(one.count, one.bulk)
        if (one.do === 'acknowledge') shop.acknowledged = Math.max(shop.acknowledged, Math.floor(shop.head * one.part))
        if (one.do === 'pass') shop.wall += one.ms
        if (one.do === 'jump') {
          shop.wall = Math.max(0, shop.wall + one.ms)
          jumped = true
        }
        if (one.do === 'clock') shop.synced = one.synced
        if (one.do === 'disk') shop.pressed = one.full
        shop.settle()

        if (shop.lost.some((row) => !row.bulk)) throw new Error('an unacknowledged payment was dropped')
        if (shop.expired.some((row) => row.sequence > shop.acknowledged)) throw new Error('trimmed what HQ does not have')
        const live = shop.rows.length * EVENT_BYTES
        const droppable = shop.rows.filter((row) => row.sequence <= shop.acknowledged || row.bulk).length
        if (live > limits.maxBytes && droppable > 0) throw new Error(`${live} bytes though ${droppable} rows could go`)
        if (live > limits.maxBytes && !shop.refusing) throw new Error('over the size and still taking beacons')
        if (shop.pressed && shop.free < PRESSED_ROOM_BYTES && droppable > 0) throw new Error('no room made on a full disk')
        if (!shop.pressed && live < limits.maxBytes / 2 && shop.refusing) throw new Error('refuses with room to spare')
        if (
          !jumped &&
          !shop.pressed &&
          live < limits.maxBytes / 2 &&
          shop.rows.some((row) => shop.synced && row.sequence <= shop.acknowledged && shop.wall - row.wall > limits.maxAgeMs * 3)
        ) {
          throw new Error('kept far beyond its age')
        }
        dropped += shop.lost.length
        refused += shop.refusing ? 1 : 0
        aged += shop.expired.length
      }
    }),
    { numRuns: 150 },
  )
  t.ok(dropped > 0 && refused > 0 && aged > 0, 'the rare states were reached')
  t.end()
})

t.test('age: acknowledged events go after maxAge, in slices; an unset clock makes nothing old', (t) => {
  const shop = new Model({ maxAgeMs: 64_000, maxBytes: 1_000 * MB })
  shop.append(1_200, false)
  shop.acknowledged = 1_200
  shop.settle()
  shop.wall += 63_000
  shop.settle()
  t.equal(shop.rows.length, 1_200, 'not yet')
  shop.synced = false
  shop.wall = 4_000_000_000_000
  shop.settle()
  t.equal(shop.rows.length, 1_200, 'the clock is not set')
  shop.synced = true
  shop.wall = 1_000_000 + 65_000
  const looks = shop.looks
  shop.settle()
  t.equal(shop.rows.length, 0)
  t.ok(shop.looks - looks >= 1_200 / SLICE_ROWS, 'a slice at a time')
  t.end()
})

t.test('an idle journal is looked at once a minute', (t) => {
  const state = newRetention({ maxAgeMs: 1e9, maxBytes: 1e9 })
  const look = { type: 'look', wall: 1, live: 4_096, free: 0, tail: 1, head: 0, rows: 0, acknowledged: 0, pressed: false } as const
  t.strictSame(retention.step(state, look), [{ do: 'look-again', ms: IDLE_MS }])
  t.end()
})

t.test('grouping: one transaction at a time, nothing waits forever, payments never for beacons', (t) => {
  const arrival = fc.record({
    bulk: fc.boolean(),
    events: fc.integer({ min: 0, max: 1_500 }),
    after: fc.integer({ min: 0, max: 40 }),
    takes: fc.integer({ min: 1, max: 60 }),
  })
  fc.assert(
    fc.property(fc.array(arrival, { minLength: 1, maxLength: 60 }), (arrivals) => {
      const state = newGrouping()
      const waiting: { bulk: boolean; events: number; since: number }[] = []
      let busyUntil: number | undefined
      let timer: number | undefined
      let now = 0
      let takes = 1
      const act = (effects: readonly GroupingEffect[]) => {
        for (const effect of effects) {
          if (effect.do === 'timer') timer = now + effect.ms
          else {
            if (busyUntil !== undefined) throw new Error('two at a time')
            const group = waiting.splice(0, effect.count)
            if (group.length !== effect.count || group.length === 0) throw new Error('takes what is not there')
            const events = group.reduce((sum, one) => sum + one.events, 0)
            if (group.length > 1 && events > GROUP_EVENTS) throw new Error('a group beyond its bound')
            if (
              group.every((one) => one.bulk) &&
              events < GROUP_EVENTS &&
              waiting.length === 0 &&
              now - (group[0]?.since ?? 0) < BULK_WAIT_MS
            ) {
              throw new Error('beacons did not wait')
            }
            busyUntil = now + takes
          }
        }
        if (busyUntil === undefined && waiting.some((one) => !one.bulk)) throw new Error('a payment waits at an idle disk')
        if (busyUntil === undefined && waiting.length > 0 && timer === undefined) throw new Error('waits forever')
      }
      const pass = (until: number) => {
        for (;;) {
          const next = Math.min(busyUntil ?? Infinity, timer ?? Infinity)
          if (next > until || next === Infinity) break
          now = next
          if (timer === next) {
            timer = undefined
            act(grouping.step(state, { type: 'timer', mono: now }))
          } else {
            busyUntil = undefined
            act(grouping.step(state, { type: 'done', mono: now }))
          }
        }
        if (until !== Infinity) now = until
      }
      for (const one of arrivals) {
        pass(now + one.after)
        takes = one.takes
        waiting.push({ bulk: one.bulk, events: one.events, since: now })
        act(grouping.step(state, { type: 'arrived', bulk: one.bulk, events: one.events, bytes: one.events * 400, mono: now }))
      }
      pass(Infinity)
      if (waiting.length > 0) throw new Error('left behind')
    }),
    { numRuns: 500 },
  )
  t.pass('500 shops')
  t.end()
})
