/** The gateway's own process is stopped for a while: what arrived meanwhile is read before anybody's silence is judged. */
import t from 'tap'
import { ibeaconPayload } from './frames/payload.ts'
import { HeldUp } from './held-up.ts'
import { shop, UUID } from './testing.ts'

t.test('ticks in time are judged by, one after a stop is not, and the next one is', async (t) => {
  const held = new HeldUp()
  const ticks = [
    [500, 500],
    [1_100, 1_000],
    [6_000, 1_600],
    [6_500, 6_500],
    [20_000, 7_000],
    [40_000, 20_500],
    [60_000, 40_500],
  ] as const
  t.same(
    ticks.map(([now, due]) => held.at(now, due)),
    [false, false, true, false, true, false, true],
  )
})

t.test('a gateway stopped for longer than a departure takes: who is here has not left', async (t) => {
  const one = await shop(t, { beacons: { badge: { kind: 'staff', uuid: UUID, major: 2, minor: 1 } }, leaveSeconds: 5, watchdogSeconds: 4 })
  await one.harness.until(() => one.harness.state('-')?.state === 'online', 'online')
  const payload = ibeaconPayload({ uuid: UUID, major: 2, minor: 1, power: -59, intervalMs: 100 })
  const hear = () => one.controller.hear({ address: 'c0:ff:ee:00:00:01', payload, rssi: -60 })
  const sending = setInterval(hear, 50)
  t.teardown(() => clearInterval(sending))
  await one.harness.until(() => one.events('entered').length === 1, 'it is here')
  // On its way when the process stops.
  hear()
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5_500)
  const heard = one.controller.reports
  await one.harness.until(() => one.controller.reports > heard + 50, 'it goes on')
  t.same(one.events('left'), [])
  t.notOk(one.harness.states.some(({ state }) => state === 'fault'))
})
