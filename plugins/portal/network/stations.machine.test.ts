/** Who is on the network, told as events. */
import t from 'tap'
import type { MonoMs } from '../../../daemon/contract/plugin.ts'
import { addressesOf, type StationsEffect, StationsState, stationOf, stationsMachine } from './stations.machine.ts'

const ANNA = '02:00:5e:00:00:01'
const IP = '10.66.0.5'

class Bench {
  readonly state = new StationsState()
  now = 1000

  sign(
    sign: 'joined' | 'left' | 'seen' | 'silent',
    by: string,
    more: { ip?: string; hostname?: string; port?: string; mac?: string } = {},
  ) {
    return stationsMachine.step(this.state, { kind: 'sign', sign, by, mac: ANNA, now: this.now as MonoMs, ...more })
  }

  failed(ip: string) {
    return stationsMachine.step(this.state, { kind: 'failed', ip, now: this.now as MonoMs })
  }

  tick() {
    return stationsMachine.step(this.state, { kind: 'tick', now: this.now as MonoMs })
  }
}

const suspicions = (effects: readonly StationsEffect[]) => effects.flatMap((one) => (one.kind === 'suspect' ? [one.suspicion.why] : []))

t.test('a phone joins, chatters and falls silent: told once each', async (t) => {
  const bench = new Bench()
  t.match(bench.sign('joined', 'dhcp', { ip: IP, hostname: 'Annas-Phone' }), [
    { sighting: { kind: 'joined', mac: ANNA, ip: IP, hostname: 'Annas-Phone' } },
  ])
  for (let count = 0; count < 20; count++) {
    bench.now += 100
    t.same(bench.sign('seen', 'neighbour', { ip: IP }), [], 'chatter is not passed on')
  }
  bench.now += 10_000
  t.match(bench.sign('seen', 'counter'), [{ sighting: { kind: 'seen', by: 'counter', ip: IP } }])
  t.match(bench.failed(IP), [{ sighting: { kind: 'silent', by: 'neighbour', ip: IP } }])
  t.same(bench.failed(IP), [])
  bench.now += 100
  t.match(bench.sign('seen', 'neighbour', { ip: IP }), [{ sighting: { kind: 'seen' } }], 'back again is news at once')
})

t.test('a quiet phone is asked, a lively one and one that has gone are not', async (t) => {
  const bench = new Bench()
  bench.sign('joined', 'dhcp', { ip: IP })
  t.same(bench.tick(), [])
  bench.now += 41_000
  t.match(bench.tick(), [{ kind: 'probe', stations: [{ mac: ANNA, ip: IP }] }])
  bench.sign('left', 'hostapd')
  t.same(bench.tick(), [])
})

t.test('an old address that fails says nothing of a phone that has a new one', async (t) => {
  const bench = new Bench()
  bench.sign('joined', 'dhcp', { ip: IP })
  bench.sign('joined', 'dhcp', { ip: '10.66.0.9' })
  t.same(bench.failed(IP), [])
  t.same(addressesOf(bench.state, ANNA), ['10.66.0.9', IP])
  t.match(stationOf(bench.state, '10.66.0.9'), { mac: ANNA })
})

t.test('an address belongs to who had it last', async (t) => {
  const bench = new Bench()
  bench.sign('seen', 'neighbour', { ip: IP })
  bench.sign('seen', 'neighbour', { ip: IP, mac: '02:00:5e:00:00:02' })
  t.match(stationOf(bench.state, IP), { mac: '02:00:5e:00:00:02' })
  t.same(addressesOf(bench.state, ANNA), [])
})

t.test('here, there and here again is two; a move is not', async (t) => {
  const bench = new Bench()
  bench.sign('seen', 'neighbour', { ip: IP, port: 'ap-1' })
  bench.now += 1000
  t.same(suspicions(bench.sign('seen', 'neighbour', { ip: '10.66.0.9', port: 'ap-2' })), [], 'roams, with a new lease')
  bench.now += 120_000
  t.same(suspicions(bench.sign('seen', 'neighbour', { port: 'ap-1' })), [], 'and back, minutes later')
  bench.now += 1000
  t.same(suspicions(bench.sign('seen', 'neighbour', { port: 'ap-2' })), ['two-ports'])
  t.same(suspicions(bench.sign('seen', 'neighbour', { port: 'ap-1' })), [], 'once an hour')
  const other = new Bench()
  for (const ip of [IP, '10.66.0.9']) other.sign('seen', 'neighbour', { ip })
  t.same(suspicions(other.sign('seen', 'neighbour', { ip: IP })), ['two-addresses'])
})

t.test('two names for one MAC', async (t) => {
  const bench = new Bench()
  bench.sign('joined', 'dhcp', { ip: IP, hostname: 'Annas-Phone' })
  t.same(suspicions(bench.sign('seen', 'dhcp', { ip: IP, hostname: 'Annas-Phone' })), [])
  t.same(suspicions(bench.sign('joined', 'dhcp', { ip: IP, hostname: 'kali' })), ['two-names'])
  bench.sign('left', 'hostapd')
  bench.now += 4_000_000
  t.same(suspicions(bench.sign('joined', 'dhcp', { ip: IP, hostname: 'Annas-New-Name' })), [], 'renamed while it was away')
})

t.test('a flood of made-up MACs is bounded and pushes out nobody who is here', async (t) => {
  const bench = new Bench()
  bench.sign('joined', 'dhcp', { ip: IP })
  for (let count = 0; count < 25_000; count++) {
    const mac = `06:00:00:${[count >> 16, (count >> 8) & 255, count & 255].map((one) => one.toString(16).padStart(2, '0')).join(':')}`
    bench.sign('seen', 'neighbour', { mac })
  }
  t.equal(bench.state.byMac.size, 20_000)
  t.match(stationOf(bench.state, IP), { mac: ANNA })
})
