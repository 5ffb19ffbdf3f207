/**
 * A shop, whole: the built gateway in a namespace with real nftables and dnsmasq, phones that join with udhcpc and open the page in Chromium,
 * the internet behind it.
 */
import { once } from 'node:events'
import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Browser, chromium } from 'playwright-core'
import t from 'tap'
import { until } from '../../daemon/testing/until.ts'
import { type House, house, probe } from './house.testing.ts'
import { GuestNet, INTERNET } from './network/testing/guest-net.ts'
import type { Phone } from './network/testing/phone.ts'
import { noChromium, PATIENCE_MS, QUIET } from './pages/looks.testing.ts'

const skip = GuestNet.unavailable('curl') || noChromium
const PORTAL = 'http://10.66.0.1:8880'

/** A browser on the phone's side of the air. */
async function browserOn(house: House, phone: Phone): Promise<Browser> {
  const wrapper = join(house.net.dir, `chromium-${phone.port}`)
  writeFileSync(wrapper, `#!/bin/sh\nexec ip netns exec ${phone.namespace.name} /usr/bin/chromium "$@"\n`)
  chmodSync(wrapper, 0o755)
  return chromium.launch({
    executablePath: wrapper,
    timeout: PATIENCE_MS,
    args: [...QUIET, `--host-resolver-rules=MAP *.example ${INTERNET.address}`],
  })
}

t.test('a shop, whole', { skip }, async (t) => {
  const shop = await house(t, 2)

  await t.test('join, DHCP, probe, page, tap, internet; killed and back; revoked', async (t) => {
    const [anna, ben] = shop.net.phones
    if (!anna || !ben) throw new Error('two phones')
    await Promise.all([anna.join('Annas-Phone'), ben.join('Bens-Phone')])
    t.match(anna.ip, /^10\.66\./, 'an address by DHCP')
    await until(async () => (await shop.events('present')).length === 2, 'both are seen to be here')

    const checked = await anna.ask('http://connectivitycheck.gstatic.com/generate_204', { userAgent: 'Dalvik/2.1.0' })
    t.match(checked, { status: 302, headers: { connection: 'close' } })
    t.match(checked.headers.location, new RegExp(`^${PORTAL}/t/`))
    t.not((await anna.ask('https://bank.example/')).exit, 0, 'HTTPS is refused, not intercepted')

    const browser = await browserOn(shop, anna)
    t.teardown(() => browser.close())
    const page = await (await browser.newContext({ locale: 'zh-CN', viewport: { width: 390, height: 844 } })).newPage()
    page.setDefaultTimeout(PATIENCE_MS)
    const troubles: string[] = []
    page.on('console', (line) => line.type() === 'error' && troubles.push(line.text()))
    await page.goto('http://news.example/')
    t.match(page.url(), /\/zh\/$/)
    await page.getByRole('button', { name: '同意并连接' }).click()
    await page.getByRole('heading', { name: '已连接' }).waitFor()
    t.equal(await probe(anna), 204, 'its next probe passes')
    await page.goto('http://news.example/hello')
    t.match(await page.textContent('body'), /"host":"news.example"/, 'the internet')
    t.same(
      troubles.filter((line) => !/favicon/.test(line)),
      [],
    )
    t.equal((await anna.ask('https://bank.example/')).status, 200)
    t.equal(await probe(ben), 302, 'the other one is still outside')

    await until(async () => (await shop.events('session-started')).length === 1, 'HQ will hear of it')
    const [started] = await shop.events('session-started')
    t.match(started, { method: 'tap', consent: { language: 'zh', marketing: false } })
    await until(async () => (await shop.events('present')).length === 3, 'present by the portal')
    t.match((await shop.events('present'))[2], { by: 'portal', session: started?.session })

    const { result } = await shop.command('session', { address: anna.ip })
    t.match(result, { session: started?.session, active: true })

    const killed = await shop.plugin()
    process.kill(killed, 'SIGKILL')
    await shop.plugin(killed)
    // The rules outlive it and let her out all the time; that it is back is seen by what it knows of her.
    await until(async () => {
      const asked = await shop.command('session', { address: anna.ip }).catch(() => undefined)
      return asked?.result?.session === started?.session && asked?.result?.active === true
    }, 'the session is kept')
    await until(async () => (await probe(anna)) === 204, 'she is let out')
    t.ok(
      (await shop.events('session-started')).every((one) => one.session === started?.session),
      'told under one id, if it was told again',
    )
    t.equal((await anna.ask('http://news.example/bytes?n=300000')).status, 200)
    t.equal(await probe(ben), 302)

    t.match((await shop.command('revoke', { session: String(started?.session) })).result, { ended: 1 })
    t.equal(await probe(anna), 302, 'outside again')
    t.not((await anna.ask('https://bank.example/')).exit, 0)
    await until(async () => (await shop.events('session-ended')).length === 1, 'the end is told')
    t.match((await shop.events('session-ended'))[0], { reason: 'revoked', session: started?.session })
    t.ok(Number((await shop.events('session-ended'))[0]?.bytesDown) > 300_000, 'with what it had used')

    const admin = await anna.ask(`http://10.66.0.1:${shop.gateway.httpPort}/healthz`)
    t.match(admin, { status: 0, exit: 7 }, 'a guest does not reach the admin listener')
    const everything = JSON.stringify(await shop.gateway.client.get('/api/v1/events?limit=1000')) + shop.gateway.child?.output
    t.notMatch(everything, anna.mac, 'no address in events or logs')
  })

  await t.test('opening time: 200 phones join within 5 s, each with its own MAC, and none fails', async (t) => {
    const before = (await shop.events('session-started')).length
    const crowd = await shop.net.addCrowd(200)
    const simulator = join(import.meta.dirname, '../../dist/shopwire.cjs')
    const words = [
      '--via',
      `http://${INTERNET.address}`,
      '--first',
      crowd.members[0]?.ip ?? '',
      '--phones',
      '200',
      '--within',
      '5s',
      // How long it takes them is measured in bench/.
      '--timeout',
      '300s',
      '--json',
    ]
    const phones = crowd.spawn(process.execPath, [simulator, 'sim', 'portal', ...words])
    // Its end and its last words come by different ways.
    await once(phones, 'close')
    t.match(JSON.parse(phones.output.trim().split('\n').at(-1) ?? '{}'), { online: 200, failed: 0, why: [] }, phones.output.slice(-500))
    await until(async () => (await shop.events('session-started')).length === before + 200, 'all are told')
  })
})
