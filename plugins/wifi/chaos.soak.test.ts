/** Everything goes wrong in every order, with real processes: the real plugin is stopped, nmcli fails, networks come and go. Then it heals. */
import t from 'tap'
import { mall, type Scene } from './simulator.ts'
import { hurried, OFFICE, on, SPARE, shop } from './testing.ts'

const ROUNDS = Number(process.env.WIFI_ROUNDS ?? 12)
const STEPS = 12

/** Numerical Recipes' generator: a round's number replays it. */
function dice(seed: number): (below: number) => number {
  let state = seed >>> 0
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

for (let round = 1; round <= ROUNDS; round++)
  t.test(`round ${round}`, async (t) => {
    const roll = dice(round)
    const settings = { networks: [{ ...OFFICE, priority: 9 }, SPARE], trialSeconds: 5, graceSeconds: 5, pollSeconds: 5 }
    const running = await shop(t, settings, () => {}, hurried(10))
    const { nmcli } = running
    const kinds: ((scene: Scene) => void)[] = [
      ({ faults }) => Object.assign(faults, { notRunning: roll(2) === 0 }),
      ({ faults }) => Object.assign(faults, { garbage: roll(2) === 0 }),
      ({ faults }) => Object.assign(faults, { notAuthorized: roll(2) === 0 }),
      ({ faults }) => Object.assign(faults, { slowMs: roll(2) * 300 }),
      (scene) => Object.assign(scene, { points: mall().points.filter(() => roll(3) > 0) }),
      (scene) => scene.points.forEach((point) => void Object.assign(point, { noDhcp: roll(3) === 0 })),
      (scene) => Object.assign(scene, { wired: roll(2) === 0 }),
      (scene) => Object.assign(scene, { radios: roll(3) === 0 ? [] : mall().radios }),
    ]
    for (let step = 0; step < STEPS; step++) {
      const what = roll(kinds.length + 3)
      if (what < kinds.length) nmcli.change((scene) => kinds[what]?.(scene))
      else if (what === kinds.length) await running.restart()
      else if (what === kinds.length + 1) nmcli.manager.reboot()
      else running.harness.command('-', 'connect', { ssid: 'Shop Guest' }).catch(() => {})
      await new Promise((resolve) => setTimeout(resolve, roll(600)))
    }
    const { points, radios, faults } = mall()
    nmcli.change((scene) => Object.assign(scene, { points, radios, faults, wired: false }))
    // Five minutes' rest after a trouble that has lasted, a round of tries: on this clock.
    await running.harness.until(() => on(nmcli) !== undefined && running.harness.state('-')?.state === 'online', 'online', 90_000)
    t.notMatch(running.everything(), OFFICE.password)
    t.notMatch(running.everything(), SPARE.password)
    await running.harness.until(
      () => running.harness.store.has('uplink') && !('trial' in Object(running.harness.store.get('uplink'))),
      'no intent left',
    )
    t.pass(`on ${on(nmcli)}`)
  })
