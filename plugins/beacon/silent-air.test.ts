/** Nothing, or next to nothing, on the air, with the watchdog and the silence as they come: who has gone has gone. */
import t from 'tap'
import type { Logger } from '../../daemon/contract/plugin.ts'
import { HandClock } from '../../daemon/testing/hand-clock.ts'
import { Radio } from './adapter/radio.ts'
import { loadNoble } from './adapter/session.ts'
import { Port } from './adapter/testing.ts'
import { type BeaconConfig, registered } from './config.ts'
import { ibeaconPayload } from './frames/payload.ts'
import { Hearing } from './hearing.ts'
import { DEFAULTS, UUID } from './testing.ts'

const CONFIG: BeaconConfig = {
  ...DEFAULTS,
  beacons: { anna: { kind: 'staff', uuid: UUID, major: 2, minor: 1 } },
}
const BADGE = {
  address: 'c0:ff:ee:00:02:01',
  payload: ibeaconPayload({ uuid: UUID, major: 2, minor: 1, power: -59, intervalMs: 100 }),
  rssi: -60,
}
const PHONE = { address: '7a:00:00:00:00:01', payload: Buffer.from('02011a', 'hex'), rssi: -80 }

/** The real radio, noble, watchdog and presence on a clock moved by hand. */
class EmptyShop {
  readonly port = new Port()
  readonly clock = new HandClock()
  readonly told: { what: string; at: number }[] = []
  /** Who sends in the half second that now begins. */
  air: (now: number) => void = () => {}
  readonly #hearing: Hearing
  readonly #radio: Radio

  constructor() {
    const { clock } = this
    const quiet: Logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }
    this.#hearing = new Hearing(CONFIG, registered(CONFIG), clock.mono(), {
      presence: ({ kind }) => this.told.push({ what: kind, at: clock.mono() }),
      health: () => {},
    })
    this.#radio = new Radio(this.port, clock, quiet, CONFIG.watchdogSeconds * 1_000, {
      discover: (peripheral, now) => this.#hearing.discover(peripheral, now),
      other: () => {},
      malformed: () => {},
      state: ({ state, detail }) => this.told.push({ what: detail ?? state, at: clock.mono() }),
      deaf: (since) => this.#hearing.deaf(since),
      hearing: (sure) => this.#hearing.hearing(clock.mono(), sure),
      quiet: () => this.#hearing.quiet(),
      expected: () => this.#hearing.expects,
      ready: () => {},
      gone: () => {},
      disturbed: () => {},
    })
  }

  start(t: { teardown(end: () => void): unknown }): this {
    t.teardown(() => this.#radio.stop())
    this.#hearing.deaf(this.clock.mono())
    this.#radio.start()
    return this
  }

  async pass(ms: number): Promise<void> {
    for (const end = this.clock.mono() + ms; this.clock.mono() < end; ) {
      this.clock.advance(500)
      // Commands are answered.
      for (let turns = 0; turns < 3; turns++) await new Promise(setImmediate)
      this.air(this.clock.mono())
      this.#hearing.tick(this.clock.mono())
    }
  }

  what(): string[] {
    return this.told.map(({ what }) => what)
  }
}

t.before(() => loadNoble())

async function withAnna(t: { teardown(end: () => void): unknown }): Promise<EmptyShop> {
  const shop = new EmptyShop().start(t)
  shop.air = () => shop.port.controller.hear(BADGE)
  await shop.pass(10_000)
  return shop
}

t.test('the last badge goes home and nothing else is on the air: it has left after its 45 s, and the adapter is well', async (t) => {
  const shop = await withAnna(t)
  const gone = shop.clock.mono()
  shop.air = () => {}
  await shop.pass(10 * 60_000)
  t.same(shop.what(), ['online', 'entered', 'left'])
  const after = (shop.told.at(-1)?.at ?? 0) - gone
  t.ok(after >= 45_000 && after <= 46_000, `left after ${after} ms`)
})

for (const gap of [11, 12, 16, 19, 25])
  t.test(`a telephone passes every ${gap} s, so that the watchdog wonders each time: the badge leaves all the same`, async (t) => {
    const shop = await withAnna(t)
    const gone = shop.clock.mono()
    shop.air = (now) => {
      if ((now - gone) % (gap * 1_000) === 0) shop.port.controller.hear(PHONE)
    }
    await shop.pass(3 * 60_000)
    t.same(shop.what(), ['online', 'entered', 'left'])
    const after = (shop.told.at(-1)?.at ?? 0) - gone
    t.ok(after >= 45_000 && after <= 61_000, `left after ${after} ms`)
  })

t.test('the scan was stuck and a reset has mended it: the badge, which was there, has not left', async (t) => {
  const shop = await withAnna(t)
  shop.port.controller.faults.scanStuckUntilReset = true
  await shop.pass(1_000)
  shop.port.controller.faults.scanStuckUntilReset = false
  await shop.pass(120_000)
  t.same(shop.what(), ['online', 'entered'])
})

t.test(
  'the adapter hung for ten minutes in a shop with one badge: nobody has left meanwhile, and who then does not come back leaves',
  async (t) => {
    const shop = await withAnna(t)
    shop.port.controller.faults.hung = true
    await shop.pass(10 * 60_000)
    t.same(shop.what(), ['online', 'entered', 'adapter-silent'])
    shop.air = () => {}
    shop.port.controller.faults.hung = false
    const back = shop.clock.mono()
    await shop.pass(120_000)
    t.same(shop.what().slice(3), ['online', 'left'])
    const after = (shop.told.at(-1)?.at ?? 0) - back
    t.ok(after >= 40_000 && after <= 90_000, `left ${after} ms after the adapter was back`)
  },
)
