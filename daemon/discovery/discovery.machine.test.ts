import t from 'tap'
import type { MonoMs } from '../contract/plugin.ts'
import { AUTO_LIMIT, type DiscoveryEffect, discoveryMachine, newDiscoveryState, SETTLE_MS } from './discovery.machine.ts'
import type { Proposal } from './propose.ts'

const thing = (port: string, more: Partial<Proposal> = {}): Proposal => ({
  id: `serial:${port}`,
  kind: 'serial',
  port,
  label: 'Voyager',
  plugin: 'scanner',
  confidence: 90,
  device: 'voyager',
  config: { port },
  ...more,
})

function shop() {
  const state = newDiscoveryState()
  return {
    looks: (proposals: Proposal[], seconds: number, auto = true) =>
      discoveryMachine.step(state, { kind: 'looked', proposals, auto, now: (seconds * 1_000) as MonoMs }),
    refuses: (id: string) => discoveryMachine.step(state, { kind: 'add-failed', id }),
  }
}
const kinds = (effects: readonly DiscoveryEffect[]) => effects.map((effect) => effect.kind)

t.test('a scanner that stays is added once', async (t) => {
  const { looks } = shop()
  t.same(kinds(looks([thing('/dev/a')], 0)), ['appeared', 'changed', 'look-again'])
  t.same(kinds(looks([thing('/dev/a')], 1)), ['look-again'])
  t.match(looks([thing('/dev/a')], SETTLE_MS / 1_000), [{ kind: 'add', plugin: 'scanner', device: 'voyager', config: { port: '/dev/a' } }])
  t.same(kinds(looks([thing('/dev/a')], 9)), [], 'not again while the config takes it')
  t.same(kinds(looks([thing('/dev/a', { configuredAs: 'scanner/voyager' })], 10)), ['changed'])
  t.same(kinds(looks([thing('/dev/a')], 60)), ['changed'], 'taken out of the config by hand: it stays out')
})

t.test('a node that only shows before udev has named it is not written into the config', async (t) => {
  const { looks } = shop()
  looks([thing('/dev/ttyUSB0')], 0)
  const effects = looks([thing('/dev/serial/by-id/usb-voyager')], 0.3)
  t.same(kinds(effects), ['appeared', 'vanished', 'changed', 'look-again'])
  t.match(looks([thing('/dev/serial/by-id/usb-voyager')], 3), [{ kind: 'add', config: { port: '/dev/serial/by-id/usb-voyager' } }])
})

t.test('what is unsure, configured already or not wanted is only shown', async (t) => {
  const { looks } = shop()
  const things = [thing('/dev/a', { confidence: 79 }), thing('/dev/b', { configuredAs: 'scanner/till-1' })]
  looks(things, 0)
  t.same(kinds(looks(things, 10)), [])
  looks([thing('/dev/c')], 20, false)
  t.same(kinds(looks([thing('/dev/c')], 30, false)), [])
})

t.test('an addition that was refused is tried again when the thing was plugged in anew', async (t) => {
  const { looks, refuses } = shop()
  looks([thing('/dev/a')], 0)
  t.same(kinds(looks([thing('/dev/a')], 3)), ['add'])
  refuses('serial:/dev/a')
  t.same(kinds(looks([thing('/dev/a')], 6)), [])
  t.same(kinds(looks([], 7)), ['vanished', 'changed'])
  looks([thing('/dev/a')], 8)
  t.same(kinds(looks([thing('/dev/a')], 11)), ['add'])
})

t.test('a LAN that announces printers without end does not fill the config', async (t) => {
  const { looks } = shop()
  const flood = Array.from({ length: 200 }, (_none, index) => thing(`tcp://192.0.2.${index}:9100`, { kind: 'network' }))
  looks(flood, 0)
  const effects = kinds(looks(flood, 3))
  t.equal(effects.filter((kind) => kind === 'add').length, AUTO_LIMIT)
  t.equal(effects.filter((kind) => kind === 'too-many').length, 1)
  t.same(kinds(looks(flood, 6)), [], 'told once')
})
