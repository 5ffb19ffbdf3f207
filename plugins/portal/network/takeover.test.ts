/** What may happen to a controller while it holds the network: crashes, other people's hands, lines that break. In namespaces. */
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { until } from '../../../daemon/testing/until.ts'
import { GuestNet, INTERNET } from './testing/guest-net.ts'
import { RemoteController } from './testing/remote-controller.ts'

const skip = GuestNet.unavailable()

/** A firewall that the shop's IT has made: it lets guests through, counts, and knows a set of its own. */
const FOREIGN = `table inet it_dept {
  set blocked { type ipv4_addr; elements = { 11.22.33.99 }
  }
  chain forward {
    type filter hook forward priority filter; policy drop;
    iifname "br0" accept
    oifname "br0" accept
    ip daddr @blocked counter packets 0 bytes 0 drop
  }
}
table ip nat {
  chain POSTROUTING { type nat hook postrouting priority srcnat; policy accept;
    ip saddr 172.17.0.0/16 masquerade
  }
}
`

t.test('crashes, strangers and broken lines', { skip }, async (t) => {
  const net = await GuestNet.create()
  t.teardown(() => net.end())
  await net.gateway.must('nft', ['-f', '-'], FOREIGN)
  const foreign = async () => {
    const text = await net.gateway.must('nft', ['--stateless', 'list', 'ruleset'])
    return text.slice(0, text.indexOf('table inet shopwire_portal') < 0 ? undefined : text.indexOf('table inet shopwire_portal'))
  }
  const before = await foreign()
  let controller = await RemoteController.start(net)
  const { phone } = net
  await phone.join()
  const page = async () => (await phone.ask(`http://${INTERNET.address}/`)).status
  const dnsmasq = () => readFileSync(join(net.dir, 'state', 'dnsmasq.pid'), 'utf8').trim()

  await t.test("the rules of the shop's IT stay as they were, and guests pass them", async (t) => {
    t.equal(await foreign(), before)
    t.same(controller.healths, [{ state: 'online' }], 'a drop policy that knows the guest interface is no fault')
    await controller.tells('online')
    await controller.authorise([{ mac: phone.mac, ip: phone.ip, seconds: 600 }])
    t.equal(await page(), 200)
  })

  await t.test('somebody flushes the whole ruleset: ours is back, who was online is online, and it is told', async (t) => {
    await phone.ask(`http://${INTERNET.address}/bytes?n=500000`)
    const [counted] = await controller.usage()
    await net.gateway.must('nft', ['flush', 'ruleset'])
    await until(
      async () => (await net.gateway.run('nft', ['list', 'set', 'inet', 'shopwire_portal', 'online'])).stdout.includes(phone.mac),
      'the rules are back',
    )
    await controller.tells('rules-lost')
    await controller.tells('online')
    t.equal(await page(), 200)
    const [after] = await controller.usage()
    t.ok(counted && after && after.bytesDown >= counted.bytesDown && counted.bytesDown > 500_000, 'counters go on')
    await net.gateway.must('nft', ['-f', '-'], FOREIGN)
  })

  await t.test('somebody deletes one rule, or one phone from the set', async (t) => {
    await net.gateway.must('nft', ['flush', 'chain', 'inet', 'shopwire_portal', 'from_guests'])
    await until(
      async () => (await net.gateway.must('nft', ['list', 'chain', 'inet', 'shopwire_portal', 'from_guests'])).includes('@online'),
      'the chain is back',
    )
    await controller.tells('rules-lost')
    await controller.tells('online')
    await net.gateway.must('nft', ['flush', 'set', 'inet', 'shopwire_portal', 'online'])
    await until(async () => {
      await controller.usage()
      return (await net.gateway.must('nft', ['list', 'set', 'inet', 'shopwire_portal', 'online'])).includes(phone.mac)
    }, 'the phone is in again')
    t.equal(await page(), 200)
  })

  await t.test('a stranger with a drop policy that does not know guests is named', async (t) => {
    await net.gateway.must(
      'nft',
      ['-f', '-'],
      'table ip strict {\n chain FORWARD { type filter hook forward priority 0; policy drop;\n  iifname "docker0" accept\n }\n}\n',
    )
    await controller.tells('foreign-drop')
    t.match(await controller.line(/other rules drop/), { log: 'warn', fields: { chains: 'ip strict FORWARD' } })
    await net.gateway.must('nft', ['delete', 'table', 'ip', 'strict'])
    await controller.tells('online')
  })

  await t.test('dnsmasq is killed and comes back', async (t) => {
    const first = dnsmasq()
    process.kill(Number(first), 'SIGKILL')
    await controller.tells('dnsmasq-down')
    await controller.tells('online')
    t.not(dnsmasq(), first)
    t.same(await phone.resolve('any.example'), [INTERNET.address])
  })

  await t.test('the line breaks, the LTE stick takes over, the line comes back', async (t) => {
    await net.uplink(false)
    await controller.tells('uplink-down')
    await net.route('lte0')
    await controller.tells('online')
    await until(async () => (await page()) === 200, 'guests go out by LTE')
    const { body } = await phone.ask(`http://${INTERNET.address}/`)
    t.match(body, '198.51.100.2')
    t.match(await phone.ask(`http://${INTERNET.lteRouter}/`), { status: 0, exit: 7 }, "the new line's router is out of bounds, too")
    await net.uplink(true)
    await until(
      async () => (await phone.ask(`http://${INTERNET.address}/`, { timeoutMs: 5_000 })).body.includes('203.0.113.2'),
      'by the line again',
    )
  })

  await t.test('the guest interface goes and comes back with everybody on it', async (t) => {
    await net.gateway.ip(['link set br0 name br1'])
    await controller.tells('no-interface')
    await controller.authorise([{ mac: phone.mac, ip: phone.ip, seconds: 900 }])
    t.pass('a grant is taken meanwhile')
    await net.gateway.ip(['link set br1 name br0', 'link set br0 up'])
    await controller.tells('online')
    await until(async () => (await page()) === 200, 'online again')
  })

  await t.test('kill -9: guests stay online without us; the next start ends the orphan and restores counters', async (t) => {
    const orphan = dnsmasq()
    const [used] = await controller.usage()
    // It alone, not its group: `ip netns exec` becomes what it runs.
    const gone = once(controller.child, 'exit')
    controller.child.kill('SIGKILL')
    await gone
    t.equal(await page(), 200, 'still online')
    t.ok(isAlive(orphan), 'its dnsmasq, too')
    controller = await RemoteController.start(net)
    t.not(dnsmasq(), orphan)
    await until(() => !isAlive(orphan), 'the orphan has ended')
    t.equal(await page(), 302, 'closed to everybody until the portal says who')
    await controller.authorise([
      { mac: phone.mac, ip: phone.ip, seconds: 300, bytesUp: used?.bytesUp ?? 0, bytesDown: used?.bytesDown ?? 0 },
    ])
    const [restored] = await controller.usage()
    // What the box itself sends meanwhile, an ARP question, is counted.
    t.ok(used && restored && used.bytesDown > 400_000 && restored.bytesUp >= used.bytesUp && restored.bytesDown >= used.bytesDown)
    t.equal((await phone.ask(`http://${INTERNET.address}/bytes?n=100000`)).status, 200)
    const [after] = await controller.usage()
    t.ok(restored && after && after.bytesDown >= restored.bytesDown + 100_000, 'and counts on')
  })

  await t.test('after stop the box is as it was', async (t) => {
    await controller.stop()
    t.equal((await net.gateway.must('nft', ['--stateless', 'list', 'ruleset'])).trim(), before.trim())
    t.equal((await net.gateway.must('cat', ['/proc/sys/net/ipv4/conf/wan0/forwarding'])).trim(), '0')
    t.notMatch(
      await net.gateway.must('ip', ['-4', 'address', 'show', 'dev', 'br0']),
      /10\.66\.0\.1/,
      'its address, too, which the killed one had set',
    )
  })
})

function isAlive(pid: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8').split(' ')[2] !== 'Z'
  } catch {
    return false
  }
}
