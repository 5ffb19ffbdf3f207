/** What ships: the built gateway with the built plugin, against `shopwire sim beacon` in a process of its own. */
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import t from 'tap'
import type { JsonObject } from '../../daemon/contract/json.ts'
import { freePort } from '../../daemon/testing/free-port.ts'
import { Shopfloor } from '../../daemon/testing/processes.ts'
import { until } from '../../daemon/testing/until.ts'
import { UUID } from './testing.ts'

interface Journaled {
  type: string
  data: JsonObject
}

const BEACONS = {
  'shelf-1': { kind: 'fixed', uuid: UUID, major: 1, minor: 1 },
  badge: { kind: 'staff', uuid: UUID, major: 2, minor: 1 },
}

t.test('the demo’s shop: simulator and gateway find each other, the badge feeds a visit, the store is on the air', async (t) => {
  const floor = new Shopfloor()
  t.teardown(() => floor.end())
  const port = await freePort()
  const gateway = await floor.gateway({
    config: {
      plugins: { beacon: { adapter: `sim://127.0.0.1:${port}`, beacons: BEACONS, broadcast: { preset: 'wechat', major: 10, minor: 7 } } },
    },
  })
  await gateway.start()
  const events = async (type: string): Promise<JsonObject[]> => {
    const { events } = await gateway.client.get<{ events: Journaled[] }>('/api/v1/events?limit=500')
    return events.filter((one) => one.type === `shopwire.beacon.${type}`).map(({ data }) => data)
  }
  await until(async () => (await events('device')).some(({ detail }) => detail === 'no-adapter'), 'the adapter to be missed')
  const sim = floor.shopwire(['sim', 'beacon', '--listen', `127.0.0.1:${port}`, '--scene', 'shop'])
  await until(async () => (await events('present')).length > 0, 'the badge')
  t.match((await events('entered'))[0], { name: 'badge', kind: 'staff' })
  t.match((await events('present'))[0], { by: 'beacon', role: 'staff' })
  await until(() => sim.output.includes('on the air: 0201061aff4c000215fda50693a4e24fb1afcfc6eb07647825000a0007c5'), 'the broadcast')
  await until(async () => (await events('device')).some(({ detail }) => detail === 'broadcasting'), 'the broadcast to be told')
  const status = await floor.cli(['cmd', 'beacon', '-', 'status', '--json', '--config', gateway.configFile])
  t.match(status.output, /broadcasting/)
  await gateway.kill('SIGTERM')
  await until(() => sim.output.includes('no longer on the air'), 'a stopped gateway to be off the air')
})

t.test('the native socket ships: a real adapter is asked for, and where there is none the state says so', async (t) => {
  if (existsSync('/sys/class/bluetooth/hci9')) {
    t.pass('skipped: there is an hci9 here')
    return
  }
  const floor = new Shopfloor()
  t.teardown(() => floor.end())
  const target = `${process.platform}-${process.arch}`
  const native = resolve(import.meta.dirname, '../../dist/native', target)
  t.ok(existsSync(join(native, 'abandonware_bluetooth-hci-socket.node')), 'it lies beside the others')
  const loads = floor.spawn(process.execPath, [
    '-e',
    `process.stdout.write(typeof require(${JSON.stringify(join(native, 'abandonware_bluetooth-hci-socket.node'))}).BluetoothHciSocket)`,
  ])
  await once(loads, 'close')
  t.equal(loads.output, 'function')
  const gateway = await floor.gateway({ config: { plugins: { beacon: { adapter: 'hci9' } } } })
  await gateway.start()
  await until(async () => JSON.stringify(await gateway.client.get('/api/v1/status')).includes('no-adapter'), 'the state')
  const lines = () => (gateway.child?.output.split('the adapter cannot be used').length ?? 1) - 1
  await until(() => lines() > 0, 'the line in the log')
  t.equal(lines(), 1, 'one line in the log')
})
