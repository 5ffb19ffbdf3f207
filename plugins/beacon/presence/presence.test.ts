/** Scenes with a known truth, on a simulated clock: who came, who went, and nobody else. */

import t from 'tap'
import { HandClock } from '../../../daemon/testing/hand-clock.ts'
import { fc } from '../../../daemon/testing/property.ts'
import type { BeaconConfig } from '../config.ts'
import { registered } from '../config.ts'
import { proximityKey } from '../frames/frames.ts'
import { Hearing } from '../hearing.ts'
import { Air } from '../simulator/air.ts'
import { Random } from '../simulator/random.ts'
import { readScene } from '../simulator/scene.ts'
import { DEFAULTS, ear, UUID } from '../testing.ts'
import { Crowd } from './crowd.ts'
import { believed } from './doubt.ts'
import { distanceOf, filterSignal, newSignal } from './filter.ts'
import { attend, type HealthEffect, healthMachine, intervalOf, newHealth } from './health.machine.ts'
import { follow, newPresence, type PresenceEffect, type PresenceOptions, presenceMachine } from './presence.machine.ts'

const SECOND = 1_000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE

interface Told {
  at: number
  what: string
}

/** Plays a scene through simulated controller, sieve, noble and machines; each tick of the plugin's is 500 ms of the scene's time. */
async function played(
  t: { teardown(end: () => void): unknown },
  config: Partial<BeaconConfig>,
  scene: unknown,
  ms: number,
  heard: number[] = [],
): Promise<Told[]> {
  const told: Told[] = []
  let now = 0
  const all: BeaconConfig = { ...DEFAULTS, ...config }
  const known = registered(all)
  const hearing: Hearing = new Hearing(all, known, 0, {
    presence: (effect) => {
      const moved = effect.kind === 'entered' ? effect.from : effect.to
      told.push({ at: now, what: `${known.get(effect.key)?.name} ${effect.kind}${moved === undefined ? '' : ` ${effect.zone}`}` })
    },
    health: (effect) => told.push({ at: now, what: `${known.get(effect.key)?.name} ${effect.status}` }),
  })
  const { controller, session, close } = await ear(new HandClock(), (peripheral) => {
    heard.push(now)
    hearing.discover(peripheral, now)
  })
  t.teardown(close)
  const air = new Air(readScene(scene, 'scene'))
  for (let from = 0; from < ms; from += 500) {
    for (const { at, advertisement } of air.between(from, from + 500)) {
      now = at
      controller.hear(advertisement)
    }
    now = from + 500
    hearing.tick(now)
    if (from % MINUTE === 0) session.prune()
  }
  return told
}

const badge = (minor: number, path: [number, number][], every = 300) => ({ uuid: UUID, major: 2, minor, every, path })
const tag = (minor: number) => ({ kind: 'staff' as const, uuid: UUID, major: 2, minor })

t.test('an hour of a noisy shop: four who are there all the time neither leave nor come again, and nobody else appears', async (t) => {
  const told = await played(
    t,
    {
      beacons: {
        near: tag(1),
        far: tag(2),
        slow: tag(3),
        hidden: tag(4),
        absent: tag(9),
        shelf: { kind: 'fixed', uuid: UUID, major: 1, minor: 1 },
      },
    },
    {
      seed: 20,
      beacons: [
        badge(1, [[0, 3]]),
        badge(2, [[0, 14]]),
        // Some badges send once a second to spare their battery.
        badge(3, [[0, 6]], 1_000),
        badge(4, [[0, 10]], 500),
        { uuid: UUID, major: 1, minor: 1, every: 1_000, at: 8 },
        // From far outside comes one sighting now and then.
        badge(9, [[0, 40]], 12_000),
        // Somebody else's, not registered.
        { uuid: UUID, major: 7, minor: 7, every: 700, at: 5 },
      ],
      phones: { count: 10, every: '2s' },
      radio: { shadow: 6, fading: 6, loss: 0.4 },
    },
    HOUR,
  )
  t.same(
    told
      .filter(({ what }) => !what.startsWith('shelf'))
      .map(({ what }) => what)
      .sort(),
    ['far entered', 'hidden entered', 'near entered', 'slow entered'],
  )
  t.same(
    told.filter(({ what }) => what.startsWith('shelf')).map(({ what }) => what),
    ['shelf ok'],
    'a sound beacon is told of once an hour, and has not been silent',
  )
})

t.test(
  'staff come and go all day: each coming is told at the third sighting, each going within its silence and 1 s, nothing else',
  async (t) => {
    const [came, went] = [10 * SECOND, 3 * MINUTE]
    for (let visit = 0; visit < 12; visit++) {
      const loss = visit % 2 === 0 ? 0 : 0.3
      const heard: number[] = []
      const path: [number, number][] = [
        [came, 4],
        [went, 4],
      ]
      const scene = { seed: visit + 1, beacons: [badge(1, path)], radio: { loss } }
      const told = await played(t, { beacons: { badge: tag(1) } }, scene, 5 * MINUTE, heard)
      t.same(
        told.map(({ what }) => what),
        ['badge entered', 'badge left'],
      )
      const [entered = 0, left = 0] = told.map(({ at }) => at)
      t.equal(entered, heard[2], `visit ${visit}`)
      // A badge sends three times a second: where nothing is lost that is within the 2 s that are promised.
      if (loss === 0) t.ok(entered - came <= 2 * SECOND, `entered after ${Math.round(entered - came)} ms`)
      const silent = left - (heard.at(-1) ?? 0)
      t.ok(silent >= 45 * SECOND && silent <= 46 * SECOND, `left after ${Math.round(silent)} ms of silence`)
    }
  },
)

t.test('a tag carried past the door in the street is nobody’s visit', async (t) => {
  const told = await played(
    t,
    { beacons: { badge: tag(1) }, range: 12 },
    {
      seed: 3,
      // Every two minutes somebody passes at 30 m at the nearest.
      loop: '120s',
      beacons: [
        badge(1, [
          [10_000, 80],
          [20_000, 30],
          [30_000, 80],
        ]),
      ],
      radio: { shadow: 3, fading: 4, floor: -99 },
    },
    HOUR,
  )
  t.same(told, [])
})

t.test('who stands at the edge of two zones does not flicker between them', async (t) => {
  const zones = [
    { name: 'counter', within: 3 },
    { name: 'floor', within: 20 },
  ]
  const edge = { seed: 5, beacons: [badge(1, [[0, 3]])], radio: { shadow: 1, fading: 4 } }
  const still = await played(t, { beacons: { badge: tag(1) }, zones }, edge, 10 * MINUTE)
  // A move is told twice, as a leaving and an entering.
  const moves = (told: Told[]) => Math.floor(told.length / 2)
  t.ok(moves(still) <= 10, `moved ${moves(still)} times in ten minutes`)
  const nervous = await played(t, { beacons: { badge: tag(1) }, zones, hysteresis: 0, zoneSeconds: 0 }, edge, 10 * MINUTE)
  t.ok(moves(nervous) > 40, `without hysteresis it moves ${moves(nervous)} times`)
  const walks = await played(
    t,
    { beacons: { badge: tag(1) }, zones },
    {
      seed: 6,
      beacons: [
        badge(1, [
          [0, 1],
          [60_000, 1],
          [65_000, 12],
          [120_000, 12],
          [125_000, 1],
          [180_000, 1],
        ]),
      ],
      radio: { shadow: 1, fading: 3 },
    },
    180_000,
  )
  t.same(
    walks.map(({ what }) => what),
    ['badge entered', 'badge left counter', 'badge entered floor', 'badge left floor', 'badge entered counter'],
  )
})

t.test('a dying battery is told before the silence, the silence once', async (t) => {
  const told = await played(
    t,
    { beacons: { door: { kind: 'fixed', namespace: '00112233445566778899', instance: '0a0b0c0d0e0f', silentSeconds: 30 } } },
    {
      seed: 4,
      beacons: [
        {
          namespace: '00112233445566778899',
          instance: '0a0b0c0d0e0f',
          every: '200ms',
          path: [
            [0, 5],
            ['120s', 5],
          ],
          battery: { mv: 2600, perMinute: 400 },
        },
      ],
    },
    20 * MINUTE,
  )
  t.same(
    told.map(({ what }) => what),
    ['door low-battery', 'door silent'],
  )
})

const OPTIONS: PresenceOptions = {
  sightings: 3,
  withinMs: 5_000,
  silentMs: 45_000,
  exponent: 2.2,
  zones: [],
  hysteresis: 0.25,
  dwellMs: 3_000,
}

t.test('in any order of sightings: entered and left alternate, none without its reason', (t) => {
  const steps = fc.array(fc.tuple(fc.integer({ min: 0, max: 30_000 }), fc.integer({ min: -100, max: -30 }), fc.boolean()), {
    maxLength: 200,
  })
  fc.assert(
    fc.property(steps, (all) => {
      const state = newPresence(OPTIONS)
      const tracked = follow(state, 'x', {})
      const heard: number[] = []
      let inside = false
      let now = 0
      for (const [after, rssi, hears] of all) {
        now += after
        if (hears) heard.push(now)
        const effects = presenceMachine.step(state, hears ? { kind: 'heard', tracked, rssi, power: -59, now } : { kind: 'tick', now })
        for (const effect of effects) {
          if ((effect.kind === 'entered') === inside) return false
          inside = effect.kind === 'entered'
          const last = heard.at(-1) ?? 0
          if (effect.kind === 'entered' && now - (heard.at(-3) ?? Number.NEGATIVE_INFINITY) > OPTIONS.withinMs) return false
          if (effect.kind === 'left' && now - last < OPTIONS.silentMs) return false
        }
        if (!hears && inside && now - (heard.at(-1) ?? 0) >= OPTIONS.silentMs) return false
      }
      return true
    }),
    { numRuns: 3_000 },
  )
  t.pass('3,000 runs')
  t.end()
})

t.test('while the adapter is deaf nobody leaves, and afterwards everybody has the whole silence again', (t) => {
  const state = newPresence(OPTIONS)
  const tracked = follow(state, 'x', {})
  const all: PresenceEffect[] = []
  const step = (event: Parameters<typeof presenceMachine.step>[1]): void => void all.push(...presenceMachine.step(state, event))
  for (const now of [1_000, 1_300, 1_600]) step({ kind: 'heard', tracked, rssi: -60, power: -59, now })
  step({ kind: 'deaf', since: 2_000 })
  step({ kind: 'tick', now: 10 * MINUTE })
  step({ kind: 'hearing', now: 10 * MINUTE, sure: true })
  step({ kind: 'tick', now: 10 * MINUTE + 44_000 })
  t.same(
    all.map(({ kind }) => kind),
    ['entered'],
  )
  step({ kind: 'tick', now: 10 * MINUTE + 45_000 })
  t.match(all.at(-1), { kind: 'left', lastSeen: 1_600 }, 'and the last sighting is told as it was')
  t.end()
})

t.test('a silent beacon is told once, and once that it is back', (t) => {
  const state = newHealth({ lowBatteryMv: 2400, everyMs: HOUR })
  const door = attend(state, 'door', 0, 60_000)
  const all: HealthEffect[] = []
  const step = (event: Parameters<typeof healthMachine.step>[1]): void => void all.push(...healthMachine.step(state, event))
  for (let now = 500; now <= 10 * SECOND; now += 500) step({ kind: 'heard', patient: door, rssi: -70, now })
  t.equal(intervalOf(door), 500)
  for (let now = 11 * SECOND; now < 10 * MINUTE; now += SECOND) step({ kind: 'tick', now })
  step({ kind: 'heard', patient: door, rssi: -70, now: 10 * MINUTE })
  step({ kind: 'heard', patient: door, rssi: -70, now: 10 * MINUTE + 500 })
  t.same(
    all.map(({ status }) => status),
    ['silent', 'back'],
  )
  for (let now = 10 * MINUTE; now < 2 * HOUR; now += 30 * SECOND) {
    step({ kind: 'heard', patient: door, rssi: -70, now })
    step({ kind: 'tick', now: now + 1 })
  }
  t.same(
    all.map(({ status }) => status),
    ['silent', 'back', 'ok'],
    'and once an hour that it is well',
  )
  t.equal(intervalOf(door), 30_000)
  t.end()
})

t.test('a level at 1 m that cannot be is told once, and the usual one is reckoned with', (t) => {
  const state = newHealth({ lowBatteryMv: 2400, everyMs: HOUR })
  const patient = attend(state, 'badge', 0)
  const said = (power: number) => healthMachine.step(state, { kind: 'said', patient, address: 'a', rssi: -70, power, now: 0 })
  patient.measured = true
  t.same(said(0), [], 'measured here')
  patient.measured = false
  t.same([said(-59), said(-20)], [[], []])
  t.match(said(0), [{ status: 'impossible-power' }])
  t.same([said(0), said(12), said(-128)], [[], [], []])
  t.same([0, 12, -19, -111, -128, -59, -70].map(believed), [-59, -59, -59, -59, -59, -59, -70])
  t.end()
})

t.test('two devices that say they are one are told once; one that walks, fades or changes its address is one', (t) => {
  const random = new Random(9)
  const told = (readings: number, of: (at: number) => [address: string, rssi: number]) => {
    const state = newHealth({ lowBatteryMv: 2400, everyMs: HOUR })
    const patient = attend(state, 'badge', 0)
    const all: string[] = []
    for (let at = 0; at < readings; at++) {
      const [address, rssi] = of(at)
      all.push(
        ...healthMachine.step(state, { kind: 'said', patient, address, rssi, power: -59, now: at * 300 }).map(({ status }) => status),
      )
    }
    return all
  }
  t.same(
    told(200, (at) => [at % 2 === 0 ? 'a' : 'b', -60]),
    ['two-devices'],
    'two addresses at the same time',
  )
  t.same(
    told(200, (at) => ['a', (at % 2 === 0 ? -50 : -85) + random.normal() * 3]),
    ['two-devices'],
    'a copied address, in two places',
  )
  t.same(
    told(20_000, () => ['a', -70 + random.normal() * 6]),
    [],
    'fading',
  )
  t.same(
    told(20_000, (at) => ['a', -70 + 20 * Math.sin(at / 20) + random.normal() * 4]),
    [],
    'to and fro',
  )
  t.same(
    told(20_000, (at) => [`address ${Math.floor(at / 200)}`, -60]),
    [],
    'a new address each minute',
  )
  t.end()
})

t.test('the interval is estimated through lost packets', (t) => {
  const state = newHealth({ lowBatteryMv: 2400, everyMs: HOUR })
  const door = attend(state, 'door', 0, 60_000)
  const random = new Random(8)
  for (let now = 0; now < MINUTE; now += 1_000)
    if (random.next() > 0.5) healthMachine.step(state, { kind: 'heard', patient: door, rssi: -70, now })
  t.equal(intervalOf(door), 1_000, 'though every second one was lost')
  t.end()
})

t.test('the distance settles near the truth in spite of fading', (t) => {
  const random = new Random(5)
  for (const metres of [1, 3, 8]) {
    const signal = newSignal()
    for (let now = 0; now < 20_000; now += 300) filterSignal(signal, -59 - 22 * Math.log10(metres) + random.normal() * 5, now)
    const distance = distanceOf(signal.level, -59, 2.2)
    t.ok(distance > metres * 0.7 && distance < metres * 1.4, `${metres} m were taken for ${distance.toFixed(1)} m`)
  }
  t.end()
})

t.test('a crowd is counted within a tenth, and nothing of it is kept', (t) => {
  const random = new Random(6)
  for (const people of [0, 30, 1_000, 100_000]) {
    const crowd = new Crowd(Uint32Array.of(1, 2), 0)
    for (let one = 0; one < people; one++) {
      const address = Buffer.from(random.address().replaceAll(':', ''), 'hex')
      for (let again = 0; again < 3; again++) crowd.add(address, 0)
    }
    const counted = crowd.count()
    t.ok(Math.abs(counted - people) <= people * 0.1, `${people} were taken for ${counted}`)
    crowd.renew(Uint32Array.of(3, 4), HOUR)
    t.equal(crowd.count(), 0)
  }
  t.end()
})

t.test('keys are told apart to the last bit', (t) => {
  t.not(proximityKey(UUID, 1, 2), proximityKey(UUID, 1, 3))
  t.equal(proximityKey(UUID, 1, 2), proximityKey(UUID.toLowerCase().replaceAll('-', ''), 1, 2))
  t.end()
})
