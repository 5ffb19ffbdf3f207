/** What ships: the built gateway with the built plugin, against `shopwire sim beacon` in a process of its own. */
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { createServer } from 'node:net'
import { join, resolve } from 'node:path'
import t from 'tap'
import type { JsonObject } from '../../daemon/contract/json.ts'
import { freePort, Shopfloor, until } from '../../daemon/testing/processes.ts'
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
    const { output } = await floor.cli(['events', '--json', '--config', gateway.configFile])
    return output
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line) as Journaled)
      .filter((one) => one.type === `shopwire.beacon.${type}`)
      .map(({ data }) => data)
  }
  await until(async () => (await events('device')).some(({ detail }) => detail === 'no-adapter'), 'the adapter to be missed')
  const sim = floor.shopwire(['sim', 'beacon', '--listen', `127.0.0.1:${port}`, '--scene', 'shop'])
  await until(async () => (await events('present')).length > 0, 'the badge')
  t.match(await events('entered'), [{ name: 'badge', kind: 'staff' }])
  t.match(await events('present'), [{ by: 'beacon', role: 'staff' }])
  await until(
    () => sim.output.includes('on the air: 0201061aff4c000215fda50693a4e24fb1afcfc6eb07647825000a0007c5'),
    'the broadcast',
    20_000,
  )
  const status = await floor.cli(['cmd', 'beacon', '-', 'status', '--json', '--config', gateway.configFile])
  t.match(status.output, /broadcasting/)
  await gateway.kill('SIGTERM')
  await until(() => sim.output.includes('no longer on the air'), 'a stopped gateway to be off the air', 20_000)
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
  const state = async (): Promise<string> => (await floor.cli(['status', '--json', '--config', gateway.configFile])).output
  await until(async () => (await state()).includes('no-adapter'), 'the state')
  const log = gateway.child?.output ?? ''
  t.equal(log.split('the adapter cannot be used').length, 2, 'one line in the log')
})

t.test('something else than a controller answers: the plugin lives', async (t) => {
  const floor = new Shopfloor()
  t.teardown(() => floor.end())
  const server = createServer((socket) => {
    socket.on('error', () => {})
    socket.write('SSH-2.0-OpenSSH_9.2p1\r\n')
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const { port } = server.address() as { port: number }
  const gateway = await floor.gateway({ config: { plugins: { beacon: { adapter: `sim://127.0.0.1:${port}` } } } })
  await gateway.start()
  const state = async (): Promise<string> => (await floor.cli(['status', '--json', '--config', gateway.configFile])).output
  await until(async () => /unplugged|adapter-silent/.test(await state()), 'the state')
  t.notMatch(await state(), /crash|quarantin/)
})
