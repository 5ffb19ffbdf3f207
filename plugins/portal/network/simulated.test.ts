/** The simulated network keeps the promises of a real one. */
import t from 'tap'
import type { Clock, MonoMs, WallMs } from '../../../daemon/contract/plugin.ts'
import type { NetworkHealth, Sighting } from './api.ts'
import { SimulatedController } from './simulated.ts'

class HandClock implements Clock {
  now = 0
  readonly #timers = new Set<{ at: number; run: () => void }>()
  wall = (): WallMs => this.now as WallMs
  mono = (): MonoMs => this.now as MonoMs
  sleep = (): Promise<void> => Promise.resolve()

  timer(ms: number, run: () => void): () => void {
    const timer = { at: this.now + ms, run }
    this.#timers.add(timer)
    return () => this.#timers.delete(timer)
  }

  patience(ms: number, over: () => void): () => void {
    return this.timer(ms, over)
  }

  pass(ms: number): void {
    const end = this.now + ms
    for (;;) {
      const [next] = [...this.#timers].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)
      if (!next) break
      this.#timers.delete(next)
      this.now = next.at
      next.run()
    }
    this.now = end
  }
}

async function network() {
  const clock = new HandClock()
  const controller = new SimulatedController({ clock })
  const sightings: Sighting[] = []
  const healths: NetworkHealth[] = []
  await controller.start({ sighting: (one) => sightings.push(one), health: (one) => healths.push(one) })
  return { clock, controller, sightings, healths }
}

t.test('who opens the page from a loopback address is a phone that has joined', async (t) => {
  const { controller, sightings, healths } = await network()
  const station = await controller.stationAt('::ffff:127.0.0.7')
  t.match(station, { mac: '02:00:7f:00:00:07', ip: '127.0.0.7' })
  t.match(sightings, [{ kind: 'joined', mac: '02:00:7f:00:00:07' }])
  t.equal(await controller.stationAt('192.168.1.9'), undefined)
  t.same(healths, [{ state: 'online' }])
})

t.test('online until the time is over, counted, and counted on after a restart', async (t) => {
  const { clock, controller, sightings } = await network()
  const { mac } = controller.join({ hostname: 'Annas-Phone' })
  await controller.authorise([{ mac, seconds: 60, bytesDown: 1000 }])
  t.equal(controller.isOnline(mac), true)
  clock.pass(10_000)
  controller.move(mac, { up: 5 })
  const [used] = await controller.usage()
  t.match(used, { bytesDown: 1000 + 1_000_000, bytesUp: 100_000 + 5 })
  t.ok(
    sightings.some(({ by }) => by === 'counter'),
    'who moves bytes is here',
  )
  await controller.authorise([{ mac, seconds: 10, downKbps: 80 }])
  clock.pass(20_000)
  t.equal(controller.isOnline(mac), false)
  const [after] = await controller.usage()
  t.match(after, { bytesDown: 1_001_000 + 100_000 }, 'the slower ten seconds, and nothing after them')
  await controller.authorise([{ mac, seconds: 10 }])
  t.match(await controller.usage(), [{ bytesDown: 0 }], 'a new session counts from nothing')
  await controller.revoke([mac, '02:00:00:00:00:99'])
  t.equal(controller.isOnline(mac), false)
})

t.test('one that leaves is told; one that only falls silent is given up', async (t) => {
  const { clock, controller, sightings } = await network()
  const anna = controller.join()
  const ben = controller.join()
  t.not(anna.ip, ben.ip)
  controller.leave(anna.mac)
  t.match(sightings.at(-1), { kind: 'left', by: 'hostapd', mac: anna.mac })
  clock.pass(200_000)
  t.same(
    sightings.filter(({ kind }) => kind === 'silent').map(({ mac }) => mac),
    [ben.mac],
  )
  controller.see(ben.mac)
  t.match(sightings.at(-1), { kind: 'joined', mac: ben.mac })
  await controller.stop()
})
