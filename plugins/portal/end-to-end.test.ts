/**
 * A shop, whole: the built gateway in a namespace with real nftables and dnsmasq, phones that join with udhcpc and open the page in Chromium,
 * the internet behind it.
 */
import { chmodSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Browser, chromium } from 'playwright-core'
import t from 'tap'
import type { JsonObject } from '../../daemon/contract/json.ts'
import { type GatewayProcess, Shopfloor, until } from '../../daemon/testing/processes.ts'
import { INTERNET, GuestNet } from './network/testing/guest-net.ts'
import type { Phone } from './network/testing/phone.ts'

const skip = GuestNet.unavailable('curl') || (existsSync('/usr/bin/chromium') ? false : 'Chromium is not installed')
const PORTAL = 'http://10.66.0.1:8880'

interface Event {
  type: string
  data: JsonObject
}

class House {
  readonly floor: Shopfloor
  readonly net: GuestNet
  readonly gateway: GatewayProcess

  static async open(phones: number, portal: JsonObject = {}): Promise<House> {
    const net = await GuestNet.create({ phones })
    const floor = new Shopfloor()
    const gateway = await floor.gateway({
      prefix: net.gateway.prefix,
      config: {
        log: { level: 'debug' },
        plugins: {
          portal: {
            name: 'Lotus Tea',
            network: { interface: 'br0', address: '10.66.0.1/22', dhcp: { dns: [INTERNET.address] }, hostapd: [] },
            ...portal,
          },
        },
      },
    })
    const house = new House(net, gateway, floor)
    try {
      await gateway.start()
      await house.online()
    } catch (error) {
      await house.close()
      throw error
    }
    return house
  }

  private constructor(net: GuestNet, gateway: GatewayProcess, floor: Shopfloor) {
    this.net = net
    this.gateway = gateway
    this.floor = floor
  }

  async online(): Promise<void> {
    await until(async () => {
      const devices = await this.gateway.client.get<{ plugin: string; state: string }[]>('/api/v1/devices')
      return devices.some((one) => one.plugin === 'portal' && one.state === 'online')
    }, 'the portal is open').catch((error: unknown) => {
      throw new Error(`${String(error)}: ${this.gateway.child?.output.slice(-2_000)}`)
    })
  }

  async events(type: string): Promise<JsonObject[]> {
    const { events } = await this.gateway.client.get<{ events: Event[] }>(`/api/v1/events?type=portal.${type}&limit=1000`)
    return events.map((one) => one.data)
  }

  command(command: string, args: JsonObject = {}): Promise<{ status: string; result: JsonObject }> {
    return this.gateway.client.call('POST', `/api/v1/cmd/portal/-/${command}`, { args })
  }

  pluginPid(): number | undefined {
    const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name))
    const found = pids.find((pid) => {
      try {
        const environment = readFileSync(`/proc/${pid}/environ`, 'utf8')
        return environment.includes('SHOPWIRE_PLUGIN=portal') && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('plugin-runner')
          && this.#ours(pid)
      } catch {
        return false
      }
    })
    return found === undefined ? undefined : Number(found)
  }

  #ours(pid: string): boolean {
    const parent = / (\d+) \d+ \d+ /.exec(readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\) \S/, ''))?.[1]
    return parent === String(this.#daemonPid())
  }

  /** The gateway was started through `ip netns exec`, which becomes what it runs. */
  #daemonPid(): number {
    return this.gateway.child?.pid ?? 0
  }

  async close(): Promise<void> {
    await this.floor.end()
    await this.net.end()
  }
}

async function house(t: Pick<typeof import('tap').default, 'teardown'>, phones: number, portal?: JsonObject): Promise<House> {
  const opened = await House.open(phones, portal)
  t.teardown(() => opened.close())
  return opened
}

/** What a phone's own check says. */
async function captive(phone: Phone): Promise<boolean> {
  const { status } = await phone.ask('http://connectivitycheck.gstatic.com/generate_204')
  return status !== 204
}

async function tap(phone: Phone): Promise<number> {
  const probe = await phone.ask('http://connectivitycheck.gstatic.com/generate_204')
  const { status } = await phone.ask(`${probe.headers.location}connect`, { form: { marketing: '' } })
  return status
}

/** A browser on the phone's side of the air. */
async function browserOn(house: House, phone: Phone): Promise<Browser> {
  const wrapper = join(house.net.dir, `chromium-${phone.port}`)
  writeFileSync(wrapper, `#!/bin/sh\nexec ip netns exec ${phone.namespace.name} /usr/bin/chromium "$@"\n`)
  chmodSync(wrapper, 0o755)
  return chromium.launch({
    executablePath: wrapper,
    timeout: 60_000,
    args: [
      ...['--no-sandbox', '--headless', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking'],
      ...['--disable-component-update', '--disable-sync', `--host-resolver-rules=MAP *.example ${INTERNET.address}`],
    ],
  })
}

t.test('join, DHCP, probe, page, tap, internet; killed and back; revoked', { skip, timeout: 180_000 }, async (t) => {
  const shop = await house(t, 2)
  const [anna, ben] = shop.net.phones
  if (!anna || !ben) throw new Error('two phones')
  await Promise.all([anna.join('Annas-Phone'), ben.join('Bens-Phone')])
  t.match(anna.ip, /^10\.66\./, 'an address by DHCP')
  await until(async () => (await shop.events('present')).length === 2, 'both are seen to be here')

  const probe = await anna.ask('http://connectivitycheck.gstatic.com/generate_204', { userAgent: 'Dalvik/2.1.0' })
  t.match(probe, { status: 302, headers: { connection: 'close' } })
  t.match(probe.headers.location, new RegExp(`^${PORTAL}/t/`))
  t.not((await anna.ask('https://bank.example/')).exit, 0, 'HTTPS is refused, not intercepted')

  const browser = await browserOn(shop, anna)
  t.teardown(() => browser.close())
  const page = await (await browser.newContext({ locale: 'zh-CN', viewport: { width: 390, height: 844 } })).newPage()
  const troubles: string[] = []
  page.on('console', (line) => line.type() === 'error' && troubles.push(line.text()))
  await page.goto('http://news.example/')
  t.match(page.url(), /\/zh\/$/)
  await page.getByRole('button', { name: '同意并连接' }).click()
  await page.getByRole('heading', { name: '已连接' }).waitFor()
  t.notOk(await captive(anna), 'its next probe passes')
  await page.goto('http://news.example/hello')
  t.match(await page.textContent('body'), /"host":"news.example"/, 'the internet')
  t.same(
    troubles.filter((line) => !/favicon/.test(line)),
    [],
  )
  t.equal((await anna.ask('https://bank.example/')).status, 200)
  t.ok(await captive(ben), 'the other one is still outside')

  await until(async () => (await shop.events('session-started')).length === 1, 'HQ will hear of it')
  const [started] = await shop.events('session-started')
  t.match(started, { method: 'tap', consent: { language: 'zh', marketing: false } })
  await until(async () => (await shop.events('present')).length === 3, 'present by the portal')
  t.match((await shop.events('present'))[2], { by: 'portal', session: started?.session })

  const { result } = await shop.command('session', { address: anna.ip })
  t.match(result, { session: started?.session, active: true })

  const killed = shop.pluginPid()
  if (killed === undefined) throw new Error('the portal has no process')
  process.kill(killed, 'SIGKILL')
  await until(() => ![undefined, killed].includes(shop.pluginPid()), 'the plugin is back')
  await until(async () => !(await captive(anna)), 'the session is kept')
  t.match((await shop.command('session', { address: anna.ip })).result, { session: started?.session, active: true })
  t.ok(
    (await shop.events('session-started')).every((one) => one.session === started?.session),
    'told under one id, if it was told again',
  )
  t.equal((await anna.ask('http://news.example/bytes?n=300000')).status, 200)
  t.ok(await captive(ben))

  t.match((await shop.command('revoke', { session: String(started?.session) })).result, { ended: 1 })
  t.ok(await captive(anna), 'outside again')
  t.not((await anna.ask('https://bank.example/')).exit, 0)
  await until(async () => (await shop.events('session-ended')).length === 1, 'the end is told')
  t.match((await shop.events('session-ended'))[0], { reason: 'revoked', session: started?.session })
  t.ok(Number((await shop.events('session-ended'))[0]?.bytesDown) > 300_000, 'with what it had used')

  const admin = await anna.ask(`http://10.66.0.1:${shop.gateway.httpPort}/healthz`, { timeoutMs: 2_000 })
  t.equal(admin.status, 0, 'a guest does not reach the admin listener')
  const everything = JSON.stringify(await shop.gateway.client.get('/api/v1/events?limit=1000')) + shop.gateway.child?.output
  t.notMatch(everything, anna.mac, 'no address in events or logs')
})

t.test('200 phones join within 5 s: none fails; time runs out and cuts a live download', { skip, timeout: 180_000 }, async (t) => {
  const shop = await house(t, 1, { session: { minutes: 1 } })
  const [anna] = shop.net.phones
  if (!anna) throw new Error('a phone')
  await anna.join()
  t.equal(await tap(anna), 200)
  const download = await anna.begin('http://news.example/endless')
  const cut = new Promise<void>((resolve) => download.once('exit', () => resolve()))

  const crowd = await shop.net.addCrowd(200)
  const first = crowd.members[0]?.ip ?? ''
  const simulator = join(import.meta.dirname, '../../dist/shopwire.cjs')
  const words = ['sim', 'portal', '--via', `http://${INTERNET.address}`, '--first', first, '--phones', '200', '--within', '5s', '--json']
  const phones = crowd.spawn(process.execPath, [simulator, ...words])
  await new Promise((resolve) => phones.once('exit', resolve))
  t.match(JSON.parse(phones.output.trim().split('\n').at(-1) ?? '{}'), { online: 200, failed: 0, why: [] }, phones.output.slice(-500))
  await until(async () => (await shop.events('session-started')).length === 201, 'all are told')

  t.equal(download.exitCode, null, 'the download is alive')
  await cut
  await until(async () => (await shop.events('session-ended')).some((one) => one.reason === 'expired'), 'its time ran out')
  t.ok(await captive(anna))
})
