/** One run of the controller ends and the next one follows: what guests notice of it, and what is left when none follows. In namespaces. */
import { once } from 'node:events'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { until } from '../../../daemon/testing/until.ts'
import type { Grant } from './api.ts'
import { GuestNet } from './testing/guest-net.ts'
import type { Process } from './testing/namespace.ts'
import { RemoteController } from './testing/remote-controller.ts'

const skip = GuestNet.unavailable()
/** Bytes after which a download goes on for certain: more than was on its way before. */
const MORE = 4_000_000

async function shop(t: Test): Promise<GuestNet> {
  const net = await GuestNet.create()
  t.teardown(() => net.end())
  return net
}

async function goesOn(t: Test, net: GuestNet, download: Process, what: string): Promise<void> {
  const before = await net.phone.received()
  await until(async () => download.exitCode !== null || (await net.phone.received()) - before > MORE, what)
  t.equal(download.exitCode, null, what)
}

async function kill(controller: RemoteController): Promise<void> {
  const gone = once(controller.child, 'exit')
  controller.child.kill('SIGKILL')
  await gone
}

const left = async (net: GuestNet) => ({
  rules: (await net.gateway.must('nft', ['list', 'ruleset'])).trim(),
  address: /10\.66\.0\.1/.test(await net.gateway.must('ip', ['address', 'show', 'dev', 'br0'])),
  forwarding: (await net.gateway.must('cat', ['/proc/sys/net/ipv4/conf/br0/forwarding'])).trim(),
  isolated: /isolated on/.test(await net.gateway.must('bridge', ['-d', 'link', 'show'])),
  queues: /htb/.test(await net.gateway.must('tc', ['qdisc', 'show', 'dev', 'br0'])),
})
const NOTHING = { rules: '', address: false, forwarding: '0', isolated: false, queues: false }

t.test('a download outlives a kill -9 and a restart of the controller, and is counted on', { skip }, async (t) => {
  const net = await shop(t)
  let controller = await RemoteController.start(net)
  const { phone } = net
  await phone.join()
  const grant: Grant = { mac: phone.mac, ip: phone.ip, seconds: 900, downKbps: 40_000 }
  const stranger = '02:00:5e:77:00:01'
  await controller.authorise([grant, { mac: stranger, seconds: 900 }])
  const count = async () => (await controller.usage()).find(({ mac }) => mac === phone.mac)?.bytesDown ?? 0
  const download = await phone.begin('http://any.example/endless')
  await goesOn(t, net, download, 'it runs')

  const before = await count()
  await kill(controller)
  // What was written down last is older than what the kernel has counted since.
  controller = await RemoteController.start(net, { online: [{ ...grant, bytesDown: 1_000 }] })
  t.ok((await count()) >= before, 'what was counted before the kill counts')
  await goesOn(t, net, download, 'it goes on after a kill')
  const online = await net.gateway.must('nft', ['list', 'set', 'inet', 'shopwire_portal', 'online'])
  t.notMatch(online, stranger, 'who has no session any more is out')

  const again = await count()
  await controller.stop(true)
  await goesOn(t, net, download, 'it goes on while there is no controller')
  controller = await RemoteController.start(net, { online: [grant] })
  await goesOn(t, net, download, 'it goes on with the next one')
  t.ok((await count()) > again + MORE, `counted on: ${again}, ${await count()}`)

  const leases = readFileSync(join(net.dir, 'state', 'leases'), 'utf8')
  t.match(leases, phone.ip, 'its address is still its own')
  await controller.stop()
  t.same(await left(net), NOTHING, 'and leaves nothing')
})

t.test('a start that fails after it has taken hold leaves nothing behind', { skip }, async (t) => {
  const net = await shop(t)
  // Nobody can write a file where a folder is.
  mkdirSync(join(net.dir, 'state', 'dnsmasq.conf'), { recursive: true })
  const controller = RemoteController.make(net, { config: { downKbps: 50_000 } })
  await t.rejects(controller.call('start', []), /dnsmasq\.conf/)
  t.same(await left(net), NOTHING)
  await until(async () => {
    const pids = (await net.gateway.must('ip', ['netns', 'pids', net.gateway.name])).split(/\s+/).filter(Boolean)
    const { stdout } = await net.gateway.run('ps', ['-o', 'args=', '-p', pids.join(',') || '1'])
    return !/^(dnsmasq|ip -o monitor|nft monitor)/m.test(stdout)
  }, 'its helpers have ended')
})

t.test('the config moves to another interface between two runs: the first one gets back what it was', { skip }, async (t) => {
  const net = await shop(t)
  const first = await RemoteController.start(net, { config: { downKbps: 50_000 } })
  await first.stop(true)
  t.not((await left(net)).rules, '', 'control: it was left as it was')
  await net.gateway.ip(['link add br9 type bridge', 'link set br9 up'])
  const second = await RemoteController.start(net, { config: { interface: 'br9', address: '10.99.0.1/24' } })
  const after = await left(net)
  t.match(after, { address: false, forwarding: '0', isolated: false, queues: false })
  t.match(after.rules, /br9/)
  await second.stop()
  t.equal((await left(net)).rules, '')
  t.notOk(existsSync(join(net.dir, 'state', 'before.json')))
})

t.test('notes of another boot are about nothing that is there now', { skip }, async (t) => {
  const net = await GuestNet.create({ guestAddress: '10.66.0.1/22' })
  t.teardown(() => net.end())
  const state = join(net.dir, 'state')
  mkdirSync(state)
  const held = { boot: 'an earlier one', namespace: 'net:[1]', interface: 'br0', address: '10.66.0.1/22' }
  writeFileSync(
    join(state, 'before.json'),
    JSON.stringify({ held, address: { device: 'br0', address: '10.66.0.1/22' }, forwarding: {}, ports: [] }),
  )
  const controller = await RemoteController.start(net)
  await controller.stop()
  t.equal((await left(net)).address, true, 'an address that networkd has set since stays')
})
