/** What the controller may do, and what it says when it may not. */
import { chmodSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { until } from '../../../daemon/testing/until.ts'
import { capabilities, missingCapabilities } from './rights.ts'
import { GuestNet, INTERNET } from './testing/guest-net.ts'
import { RemoteController } from './testing/remote-controller.ts'

const skip = GuestNet.unavailable('setpriv')
const NOBODY = 65534

/** As systemd starts it: another user, with these capabilities as ambient ones and no others in reach. */
const unprivileged = (capabilities: readonly string[]): string[] => {
  const list = ['-all', ...capabilities.map((one) => `+${one}`)].join(',')
  return [
    'setpriv',
    `--reuid=${NOBODY}`,
    `--regid=${NOBODY}`,
    '--clear-groups',
    `--inh-caps=${list}`,
    `--ambient-caps=${list}`,
    `--bounding-set=${list}`,
  ]
}

t.test('under another user, as systemd starts it', { skip }, async (t) => {
  const net = await GuestNet.create()
  t.teardown(() => net.end())
  const stateDir = stateOf(net)

  await t.test('a user with exactly the three capabilities runs the guest network', async (t) => {
    const prefix = unprivileged(['net_admin', 'net_raw', 'net_bind_service'])
    const controller = await RemoteController.start(net, {
      stateDir,
      prefix,
      config: { walledGarden: ['garden.example'], downKbps: 50_000 },
    })
    const { phone } = net
    await phone.join()
    t.match(await phone.ask('http://any.example/'), { status: 302 })
    t.match(await phone.ask('https://garden.example/'), { status: 200 })
    await controller.authorise([{ mac: phone.mac, ip: phone.ip, seconds: 600, downKbps: 20_000 }])
    t.match(await phone.ask(`http://${INTERNET.address}/`), { status: 200 })
    await until(() => controller.sightings.some(({ by, kind }) => by === 'dhcp' && kind === 'joined'), 'its script was run')
    t.same(controller.healths, [{ state: 'online' }])
    t.same(
      controller.logs.filter(({ log }) => log === 'warn' || log === 'error'),
      [],
    )
    await controller.stop()
    t.equal((await net.gateway.must('nft', ['list', 'ruleset'])).trim(), '')
  })

  await t.test('without them it says which, why and what to do, and leaves nothing behind', async (t) => {
    const controller = RemoteController.make(net, { stateDir, prefix: unprivileged(['net_bind_service']) })
    const refusal = { code: 'network-denied', message: /CAP_NET_ADMIN is missing.*AmbientCapabilities=.*CAP_NET_RAW is missing/ }
    await t.rejects(controller.call('start'), refusal)
    await controller.call('start').catch((error: Error) => t.notMatch(error.message, 'CAP_NET_BIND_SERVICE'))
    t.equal((await net.gateway.must('nft', ['list', 'ruleset'])).trim(), '')
  })
})

t.test('root is judged by what it has, others by what their helpers will have', async (t) => {
  const status = (uid: number) => `Uid:\t${uid}\t${uid}\t${uid}\t${uid}\nCapEff:\t000001ffffffffff\nCapAmb:\t0000000000000400\n`
  t.same(missingCapabilities(capabilities(status(0))), [])
  t.same(
    missingCapabilities(capabilities(status(1000))).map(({ path }) => path),
    ['CAP_NET_ADMIN', 'CAP_NET_RAW'],
  )
})

function stateOf(net: GuestNet): string {
  chmodSync(net.dir, 0o755)
  const dir = join(net.dir, 'open')
  mkdirSync(dir)
  chmodSync(dir, 0o777)
  return join(dir, 'state')
}
