/** A guest's way from the radio to the internet and back out, with real nftables, dnsmasq, hostapd and udhcpc in namespaces. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { until } from '../../../daemon/testing/until.ts'
import { GuestNet, INTERNET, SHOP } from './testing/guest-net.ts'
import type { Process } from './testing/namespace.ts'
import type { Phone } from './testing/phone.ts'
import { PORTAL_PORT, RemoteController } from './testing/remote-controller.ts'

const skip = GuestNet.unavailable('hostapd', 'hostapd_cli', 'socat')
const API = 'https://portal.example/captive'

t.test('a day on the guest network', { skip }, async (t) => {
  const net = await GuestNet.create({ phones: 2 })
  t.teardown(() => net.end())
  const radio = await accessPoint(net)
  const controller = await RemoteController.start(net, {
    config: { walledGarden: ['garden.example'], hostapd: [radio.folder] },
    ports: { captiveApiUrl: API },
  })
  const [anna, ben] = net.phones as [Phone, Phone]
  const seen = (kind: string, by: string, mac = anna.mac) =>
    controller.sightings.find((one) => one.kind === kind && one.by === by && one.mac === mac)

  await t.test('joins: an address, the portal by DHCP option 114 (RFC 8910), and the shop knows', async (t) => {
    await Promise.all([anna.join('Annas-Phone'), ben.join()])
    const { opt114 = '', router, dns } = await anna.lease()
    t.equal(Buffer.from(opt114, 'hex').toString(), API)
    t.match({ router, dns }, { router: '10.66.0.1', dns: '10.66.0.1' })
    await until(() => seen('joined', 'dhcp') !== undefined, 'the join by DHCP')
    t.match(seen('joined', 'dhcp'), { mac: anna.mac, ip: anna.ip, hostname: 'Annas-Phone' })
    t.match(await controller.stationAt(anna.ip), { mac: anna.mac, ip: anna.ip, hostname: 'Annas-Phone' })
    t.match(await controller.stationAt(`::ffff:${anna.ip}`), { mac: anna.mac })
    t.equal(await controller.stationAt('10.66.0.1'), undefined, 'this box is no guest')
    t.equal(await controller.stationAt(SHOP.till), undefined, 'the till is no guest')
  })

  await t.test('captive: http goes to the portal, https is left alone and refused at once, every resolver is ours', async (t) => {
    const probe = await anna.ask('http://connectivitycheck.gstatic.com/generate_204')
    t.match(probe, { status: 302, headers: { location: 'http://10.66.0.1/portal', connection: 'close' } })
    t.match(await anna.ask('http://10.66.0.1/portal'), { status: 200, body: 'portal' })
    const secure = await anna.ask('https://connectivitycheck.gstatic.com/generate_204')
    t.match(secure, { status: 0, exit: 7 }, 'reset, no certificate shown')
    t.same(
      await anna.resolve('any.example', INTERNET.otherResolver),
      [INTERNET.address],
      'the answer of the shop, not of the resolver that was asked',
    )
    t.same(await anna.resolve('rebind.example'), [], 'a public name for a private address is no answer')
    t.equal(await anna.pings(INTERNET.address), false)
  })

  await t.test('the walled garden is open before the tap, and nothing beside it', async (t) => {
    t.match(await anna.ask('http://shop.garden.example/'), { status: 200, body: /shop\.garden\.example/ })
    t.match(await anna.ask('https://garden.example/'), { status: 200 })
    t.match(await anna.ask('http://elsewhere.example/'), { status: 302 })
  })

  await t.test('neither other guests, nor the shop, nor this box are in reach, online or not', async (t) => {
    const admin = net.spawn('socat', ['TCP-LISTEN:8080,reuseaddr,fork', 'SYSTEM:echo HTTP/1.0 200 ok; echo; echo admin'])
    t.teardown(() => admin.kill())
    await until(
      async () => (await net.gateway.run('curl', ['-s', 'http://127.0.0.1:8080/'])).stdout.includes('admin'),
      'the admin listener',
    )
    for (const state of ['captive', 'online']) {
      if (state === 'online') await controller.authorise([anna, ben].map(({ mac, ip }) => ({ mac, ip, seconds: 600 })))
      const [till, pinged, listener, byShop, router, other] = await Promise.all([
        anna.ask(`http://${SHOP.till}:${SHOP.tillPort}/`),
        anna.pings(SHOP.till),
        anna.ask('http://10.66.0.1:8080/'),
        anna.ask(`http://${SHOP.gateway}:8080/`, { timeoutMs: 1000 }),
        anna.ask(`http://${INTERNET.router}/`),
        anna.pings(ben.ip),
      ])
      t.match(till, { status: 0, exit: 7 }, `${state}: the till, refused at once`)
      t.equal(pinged, false, `${state}: the till does not answer`)
      t.match(listener, { status: 0, exit: 7 }, `${state}: the admin listener`)
      t.match(byShop, { status: 0 }, `${state}: by this box's address in the shop`)
      t.match(router, { status: state === 'captive' ? 302 : 0 }, `${state}: the provider's router`)
      t.equal(other, false, `${state}: another guest`)
    }
    t.match(await anna.ask(`http://${INTERNET.address}/`), { status: 200 }, 'the internet is')
    await controller.revoke([anna.mac, ben.mac])
  })

  await t.test('IPv6 is shut, so it is no way around', async (t) => {
    await net.gateway.sysctl({ 'net.ipv6.conf.all.forwarding': 1 })
    await net.gateway.ip(['addr add fd66::1/64 dev br0 nodad', 'addr add fd99::2/64 dev wan0 nodad'])
    await net.internet.ip(['addr add fd99::1/64 dev fibre nodad', 'route add fd66::/64 via fd99::2'])
    await anna.namespace.ip(['addr add fd66::5/64 dev wlan0 nodad', 'route add default via fd66::1'])
    await controller.authorise([{ mac: anna.mac, ip: anna.ip, seconds: 600 }])
    t.equal(await pings6(anna), false)
    t.match(await anna.ask(`http://[fd66::1]:${PORTAL_PORT}/`, { timeoutMs: 1000 }), { status: 0 })
    await controller.revoke([anna.mac])
  })

  await t.test('one tap: online, probes pass, bytes are counted', async (t) => {
    await controller.authorise([{ mac: anna.mac, ip: anna.ip, seconds: 600 }])
    t.match(await anna.ask('http://connectivitycheck.gstatic.com/generate_204'), { status: 204 })
    t.match(await anna.ask('https://any.example/bytes?n=2000000'), { status: 200 })
    const photo = join(net.dir, 'photo.jpg')
    writeFileSync(photo, Buffer.alloc(3_000_000))
    t.match(await anna.ask('https://any.example/', { extra: ['--data-binary', `@${photo}`] }), { body: /3000000/ })
    t.same(await anna.resolve('any.example', INTERNET.otherResolver), ['11.22.33.66'], 'an online guest may ask another resolver')
    const [usage] = (await controller.usage()).filter(({ mac }) => mac === anna.mac)
    t.ok(usage && usage.bytesDown > 2_000_000 && usage.bytesDown < 20_000_000, `down: ${usage?.bytesDown}`)
    t.ok(usage && usage.bytesUp > 3_000_000, `up: ${usage?.bytesUp}`)
    await controller.authorise([{ mac: anna.mac, ip: anna.ip, seconds: 900 }])
    const [later] = (await controller.usage()).filter(({ mac }) => mac === anna.mac)
    t.ok(later && usage && later.bytesUp >= usage.bytesUp, 'more time keeps the counters')
    t.match(await ben.ask('http://any.example/'), { status: 302 }, 'the other phone is still captive')
  })

  await t.test('revoke cuts a live download', async (t) => {
    const download = await endless(anna)
    await controller.revoke([anna.mac])
    await until(() => download.exitCode !== null, 'the download is cut')
    t.equal(download.exitCode, CUT)
    t.match(await anna.ask('http://any.example/'), { status: 302 })
    await controller.revoke([anna.mac, '02:00:00:00:00:99'])
    t.pass('revoking twice, or a stranger, is no error')
  })

  await t.test('time that runs out cuts a live download, and leaves its count to be read', async (t) => {
    await controller.authorise([{ mac: anna.mac, ip: anna.ip, seconds: 600, bytesDown: 1000 }])
    const download = await endless(anna)
    t.equal(download.exitCode, null, 'it runs')
    await controller.authorise([{ mac: anna.mac, ip: anna.ip, seconds: 2 }])
    await until(() => download.exitCode !== null, 'the download is cut')
    t.equal(download.exitCode, CUT)
    t.match(await anna.ask('http://any.example/'), { status: 302 })
    const [usage] = (await controller.usage()).filter(({ mac }) => mac === anna.mac)
    t.ok(usage && usage.bytesDown > LIVE, 'what it used is there for the receipt')
  })

  await t.test('hostapd says who comes and goes, and a second life of it is found', async (t) => {
    const heard = (kind: string, mac: string) =>
      controller.sightings.some((one) => one.by === 'hostapd' && one.kind === kind && one.mac === mac)
    let strangers = 0
    /** Somebody new each time: hostapd says nothing of a station that it still has, and what it said to nobody is not said again. */
    const isListenedTo = () =>
      until(
        async () => {
          const mac = `02:00:5e:77:00:${(++strangers).toString(16).padStart(2, '0')}`
          await radio.say(`NEW_STA ${mac}`)
          return until(() => heard('joined', mac), 'a sign of hostapd', 5_000).then(
            () => true,
            () => false,
          )
        },
        'hostapd is listened to',
        LONG_MS,
      )
    await isListenedTo()
    await radio.say(`NEW_STA ${anna.mac}`)
    await until(() => heard('joined', anna.mac), 'she comes')
    await radio.say(`DISASSOCIATE ${anna.mac}`)
    await until(() => heard('left', anna.mac), 'she goes')
    await radio.restart()
    await isListenedTo()
    t.ok(strangers >= 2)
  })

  await t.test('a phone that is carried out of the shop is given up by the network', async (t) => {
    const last = () => controller.sightings.findLast(({ mac }) => mac === ben.mac)
    // He is here for certain: the kernel has to ask for him anew, and he answers.
    await until(async () => {
      await net.gateway.run('ip', ['neigh', 'flush', 'dev', 'br0'])
      await ben.ask('http://10.66.0.1/portal')
      return last()?.kind === 'seen'
    }, 'he is here')
    await ben.leave()
    // By itself the controller has the kernel ask after 40 s of silence.
    await until(
      async () => {
        await net.gateway.run('ip', ['neigh', 'replace', ben.ip, 'lladdr', ben.mac, 'dev', 'br0', 'nud', 'probe'])
        // Three questions to him and three to all, a second apart.
        return until(() => last()?.kind === 'silent', 'the kernel gives him up', 15_000).then(
          () => true,
          () => false,
        )
      },
      'he is given up',
      LONG_MS,
    )
    t.match(last(), { kind: 'silent', by: 'neighbour' })
  })

  await t.test('200 at once: one call, all online, all gone', async (t) => {
    // 200 phones with radios of their own, and the whole gateway: end-to-end.test.ts.
    const crowd = Array.from({ length: 199 }, (_, at) => `02:00:5e:81:00:${at.toString(16).padStart(2, '0')}`)
    const all = [...crowd, anna.mac]
    await controller.authorise(all.map((mac) => ({ mac, seconds: 600 })))
    const online = async () =>
      (await net.gateway.must('nft', ['list', 'set', 'inet', 'shopwire_portal', 'online'])).match(/02:00:5e:/g)?.length ?? 0
    t.equal(await online(), 200)
    t.match(await anna.ask(`http://${INTERNET.address}/`), { status: 200 }, 'the last of them')
    await controller.revoke(all)
    t.equal(await online(), 0)
    t.match(await anna.ask(`http://${INTERNET.address}/`), { status: 302 })
  })

  await t.test('one MAC at two places is told', async (t) => {
    const thief = await net.addPhone()
    await thief.radio(true)
    await thief.namespace.ip([`link set wlan0 address ${anna.mac}`, 'addr add 10.66.3.200/22 dev wlan0'])
    const port = () => net.gateway.must('bridge', ['-d', 'link', 'show', 'dev', thief.port])
    await until(async () => (await port()).includes('isolated on'), 'its port is isolated like every other')
    await until(async () => {
      await Promise.all([thief, anna].map((one) => one.pings('10.66.0.1')))
      return controller.suspicions.length > 0
    }, 'the suspicion')
    t.match(controller.suspicions[0], { mac: anna.mac, why: /two-(ports|addresses)/ })
    t.notMatch(JSON.stringify(controller.logs.filter(({ log }) => log !== 'debug')), anna.mac, 'no MAC in the log')
  })

  await t.test('stop: nothing of ours is left', async (t) => {
    await controller.stop()
    t.equal((await net.gateway.must('nft', ['list', 'ruleset'])).trim(), '')
    t.notMatch(await net.gateway.must('ip', ['address', 'show', 'dev', 'br0']), /10\.66\.0\.1/)
    t.equal((await net.gateway.must('cat', ['/proc/sys/net/ipv4/conf/br0/forwarding'])).trim(), '0')
    t.notMatch(await net.gateway.must('bridge', ['-d', 'link', 'show']), /isolated on/)
    await ben.radio(true)
    await until(() => anna.pings(ben.ip), 'control: without isolation the other guest answers')
    await until(() => pings6(anna), 'control: without the rules there is a way by IPv6')
    // dnsmasq's own helper, which runs its script, ends when it finds that dnsmasq has.
    await until(async () => !/dnsmasq|hostapd_cli|ip -o monitor|nft monitor/.test(await processes(net)), 'its helpers have ended')
  })
})

/** For what is tried again and again, each time for seconds. */
const LONG_MS = 300_000
/** curl(1), exit codes: the connection was reset while it received. */
const CUT = 56
/** Bytes after which a download is under way. */
const LIVE = 200_000

async function endless(phone: Phone): Promise<Process> {
  const before = await phone.received()
  const download = await phone.begin('http://any.example/endless')
  await until(async () => (await phone.received()) - before > LIVE, 'the download runs')
  return download
}

/** The internet's router by IPv6. */
async function pings6(phone: Phone): Promise<boolean> {
  return (await phone.namespace.run('ping', ['-6', '-c', '1', '-W', '1', 'fd99::1'])).code === 0
}

async function processes(net: GuestNet): Promise<string> {
  const pids = (await net.gateway.must('ip', ['netns', 'pids', net.gateway.name])).split(/\s+/).filter(Boolean)
  return (await net.gateway.run('ps', ['-o', 'args=', '-p', pids.join(',') || '1'])).stdout
}

/** hostapd without a radio: its control socket is real, and stations come by `NEW_STA`. */
async function accessPoint(net: GuestNet) {
  const folder = join(net.dir, 'hostapd')
  mkdirSync(folder)
  const file = join(net.dir, 'hostapd.conf')
  writeFileSync(file, ['interface=br0', 'driver=none', `ctrl_interface=${folder}`, 'ieee8021x=0', 'eap_server=1', ''].join('\n'))
  const run = () => net.spawn('hostapd', [file])
  let child = run()
  return {
    folder,
    say: (command: string) => net.gateway.run('hostapd_cli', ['-p', folder, '-i', 'br0', 'raw', ...command.split(' ')]),
    restart: async () => {
      child.kill('SIGTERM')
      await until(() => child.exitCode !== null || child.signalCode !== null, 'hostapd ends')
      child = run()
    },
  }
}
