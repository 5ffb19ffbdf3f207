/** A shop that has a dnsmasq already: it serves guests, too, and the shop's own machines notice nothing. In namespaces. */
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { until } from '../../../daemon/testing/until.ts'
import { GuestNet, INTERNET, SHOP } from './testing/guest-net.ts'
import { endProcess } from './testing/namespace.ts'
import { PATIENT_LOOKUP } from './testing/phone.ts'
import { RemoteController } from './testing/remote-controller.ts'

const skip = GuestNet.unavailable()
const API = 'https://portal.example/captive'
const OURS = 'shopwire-portal.conf'

t.test("a shop's own dnsmasq is joined", { skip }, async (t) => {
  const net = await GuestNet.create()
  t.teardown(() => net.end())
  const theirs = new ShopsDnsmasq(net)
  await theirs.start()
  const { phone } = net
  const options = {
    config: {
      walledGarden: ['garden.example'],
      dhcp: { mode: 'join' as const, leaseSeconds: 600, joinDir: theirs.folder, dns: [] },
    },
    ports: { captiveApiUrl: API },
    env: { PATH: `${theirs.bin}:${process.env.PATH}` },
  }
  const before = await theirs.served()
  const said = theirs.folderAsItIs()
  t.match(before, { router: SHOP.gateway, dns: SHOP.gateway, opt114: '', till: [SHOP.till] }, "control: the shop's network without us")
  let controller: RemoteController

  await t.test('a file with which it would not start again is not given to it, and its line is named', async (t) => {
    writeFileSync(join(theirs.folder, 'inventory.conf'), 'dhcp-script=/bin/true\n')
    const refused = await RemoteController.start(net, options)
    t.match(refused.health, { state: 'fault', detail: 'dnsmasq-down' })
    const line = refused.logs.find(({ message }) => /dnsmasq does not run/.test(message))
    t.match(line, { log: 'warn', fields: { reason: /would not start with .*illegal repeated keyword: dhcp-script=/ } })
    t.same(readdirSync(theirs.folder).sort(), ['inventory.conf', 'shop.conf'])
    await refused.stop()
    t.notOk(existsSync(theirs.calls), 'it was left in peace')
    writeFileSync(join(theirs.folder, 'inventory.conf'), '# moved to the other box\n')
  })

  await t.test('without the right to start it again, that is asked for, and seen when it is done', async (t) => {
    theirs.allow(false)
    controller = await RemoteController.start(net, options)
    t.match(controller.health, { state: 'fault', detail: 'dnsmasq-down' })
    t.match(
      controller.logs.find(({ message }) => message.includes('systemctl restart dnsmasq')),
      { log: 'warn', fields: { file: join(theirs.folder, OURS), reason: 'Interactive authentication required.' } },
    )
    theirs.allow(true)
    await theirs.systemctl('try-restart')
    await controller.tells('online')
  })

  await t.test('a phone has its lease, its portal, the walled garden, and the internet after its tap; the sighting arrives', async (t) => {
    await phone.join('Annas-Phone')
    const { opt114 = '', router, dns } = await phone.lease()
    t.match({ router, dns, api: Buffer.from(opt114, 'hex').toString() }, { router: '10.66.0.1', dns: '10.66.0.1', api: API })
    const joined = () => controller.sightings.find(({ kind, by }) => kind === 'joined' && by === 'dhcp')
    await until(() => joined() !== undefined, 'the join')
    t.match(joined(), { mac: phone.mac, ip: phone.ip, hostname: 'Annas-Phone' })
    t.match(await phone.ask('http://any.example/'), { status: 302, headers: { location: 'http://10.66.0.1/portal' } })
    t.match(await phone.ask('http://shop.garden.example/'), { status: 200 })
    await controller.authorise([{ mac: phone.mac, ip: phone.ip, seconds: 600 }])
    t.match(await phone.ask('https://any.example/'), { status: 200 })
    await controller.revoke([phone.mac])
  })

  await t.test("the shop's own machines get what they had, and are no guests", async (t) => {
    t.same(await theirs.served(), before)
    // The script is run for one lease after the other: what it says of the till is said before what it says of the next phone.
    const ben = await net.addPhone()
    await ben.join()
    await until(() => controller.sightings.some(({ by, mac }) => by === 'dhcp' && mac === ben.mac), 'the next lease')
    t.same([...new Set(controller.sightings.map(({ mac }) => mac))], [phone.mac, ben.mac])
    t.equal(await controller.stationAt(before.ip), undefined)
    t.same(theirs.folderAsItIs(), { ...said, 'inventory.conf': '# moved to the other box\n' })
  })

  await t.test('killed and started again: it has the file, so it is not disturbed, and the walled garden is open', async (t) => {
    t.match(await phone.ask('http://garden.example/'), { status: 200 }, 'the name is in its cache')
    await endProcess(controller.child)
    theirs.forgetCalls()
    controller = await RemoteController.start(net, options)
    await controller.tells('online')
    await until(() => readFileSync(theirs.calls, 'utf8') !== '', 'its cache is emptied')
    await until(async () => (await phone.ask('http://garden.example/')).status === 200, 'the garden is open')
    t.equal(readFileSync(theirs.calls, 'utf8'), 'reload\n')
  })

  await t.test('it ends and comes back: told both times', async () => {
    await theirs.end()
    await controller.tells('dnsmasq-down')
    await until(() => controller.logs.some(({ fields }) => /no dnsmasq answers on 10\.66\.0\.1/.test(String(fields.reason))), 'the line')
    await theirs.start()
    await controller.tells('online')
  })

  await t.test('stop: our file goes, nothing else does, and guests get no more addresses', async (t) => {
    await controller.stop()
    t.same(theirs.folderAsItIs(), { ...said, 'inventory.conf': '# moved to the other box\n' })
    t.same(readdirSync(theirs.folder).sort(), ['inventory.conf', 'shop.conf'], 'no draft either')
    t.same(await theirs.served(), before)
    await phone.leave()
    await phone.radio(true)
    const asked = await phone.namespace.run('udhcpc', ['-n', '-q', '-f', '-i', 'wlan0', '-t', '2', '-T', '1', '-s', '/bin/true'])
    t.equal(asked.code, 1, 'no lease')
    t.equal((await net.gateway.must('nft', ['list', 'ruleset'])).trim(), '')
  })
})

/** The dnsmasq of the shop's IT, on the gateway as its package runs it, and a `systemctl` in systemd's place. */
class ShopsDnsmasq {
  readonly folder: string
  readonly bin: string
  /** What `systemctl` was asked, a verb a line. */
  readonly calls: string
  readonly #net: GuestNet
  readonly #home: string

  constructor(net: GuestNet) {
    this.#net = net
    this.#home = join(net.dir, 'etc')
    this.folder = join(this.#home, 'dnsmasq.d')
    this.bin = join(net.dir, 'bin')
    this.calls = join(net.dir, 'systemctl-calls')
    for (const dir of [this.folder, this.bin]) mkdirSync(dir, { recursive: true })
    const pid = join(net.dir, 'shop-dnsmasq.pid')
    // It names no interface, as in the package's own file: it listens on all.
    writeFileSync(
      join(this.#home, 'dnsmasq.conf'),
      [
        ...['bind-dynamic', 'no-resolv', 'no-hosts', `server=${INTERNET.address}`],
        ...[`conf-dir=${this.folder},*.conf`, `pid-file=${pid}`, `log-facility=${join(net.dir, 'shop-dnsmasq.log')}`, ''],
      ].join('\n'),
    )
    writeFileSync(
      join(this.folder, 'shop.conf'),
      [
        ...['dhcp-range=192.168.77.100,192.168.77.150,255.255.255.0,600', 'dhcp-lease-max=200', 'dhcp-authoritative'],
        ...[`dhcp-leasefile=${join(net.dir, 'shop-leases')}`, ''],
      ].join('\n'),
    )
    const run = `dnsmasq --conf-file=${join(this.#home, 'dnsmasq.conf')}`
    // dnsmasq.service(Debian): its command, SIGTERM at the end, SIGHUP for a reload.
    this.#script('unit', [
      'case "$1" in',
      `start) exec ${run};;`,
      `stop) pid=$(cat ${pid}) && kill "$pid" && while [ -d "/proc/$pid" ]; do sleep 0.05; done;;`,
      `try-restart) "$0" stop && exec "$0" start;;`,
      `reload) kill -HUP "$(cat ${pid})";;`,
      'esac',
    ])
    this.allow(true)
  }

  allow(yes: boolean): void {
    const done = yes
      ? [`echo "$1" >> ${this.calls}`, `exec ${join(this.bin, 'unit')} "$1"`]
      : ['echo Interactive authentication required. >&2', 'exit 1']
    this.#script('systemctl', done)
  }

  forgetCalls(): void {
    writeFileSync(this.calls, '')
  }

  async systemctl(verb: string): Promise<void> {
    await this.#net.gateway.must(join(this.bin, 'unit'), [verb])
  }

  start(): Promise<void> {
    return this.systemctl('start')
  }

  end(): Promise<void> {
    return this.systemctl('stop')
  }

  /** What the shop's IT has there: name and text of each file but ours. */
  folderAsItIs(): Record<string, string> {
    const names = readdirSync(this.folder).filter((name) => name !== OURS)
    return Object.fromEntries(names.map((name) => [name, readFileSync(join(this.folder, name), 'utf8')]))
  }

  /** What the till is given by DHCP, and told of a name for a machine of the shop that stands in the public DNS. */
  async served(): Promise<{ ip: string; router: string; dns: string; opt114: string; till: string[] }> {
    const { till } = this.#net
    const script = join(this.bin, 'lease')
    if (!existsSync(script)) this.#script('lease', ['[ "$1" = bound ] && echo "$ip|$router|$dns|$opt114" || true'])
    const words = ['-n', '-q', '-f', '-i', 'eth0', '-t', '100', '-T', '1', '-O', '114', '-s', script]
    const [ip = '', router = '', dns = '', opt114 = ''] = (await till.must('udhcpc', words)).trim().split('|')
    const { stdout } = await till.run('busybox', ['nslookup', ...PATIENT_LOOKUP, '-type=a', 'rebind.example', SHOP.gateway])
    const [, answers = ''] = stdout.split(/\n\s*\n/)
    return { ip, router, dns, opt114, till: [...answers.matchAll(/Address(?: \d+)?:\s+([0-9.]+)\s*$/gm)].map(([, one]) => one ?? '') }
  }

  #script(name: string, lines: string[]): void {
    const file = join(this.bin, name)
    writeFileSync(file, `#!/bin/sh\n${lines.join('\n')}\n`)
    chmodSync(file, 0o755)
  }
}
