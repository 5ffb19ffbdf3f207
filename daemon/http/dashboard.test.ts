import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { hashPassword } from '../password.ts'
import { testFolder } from '../testing/folder.ts'
import { freePort } from '../testing/free-port.ts'
import { until } from '../testing/until.ts'
import { buildDashboard } from './dashboard/build.ts'
import { type Fixture, type FixtureOptions, startFixture } from './testing/fixture.ts'
import { contrastFaults, nameFaults, targetFaults } from './testing/page-checks.ts'

const ARGS = [
  '--no-sandbox',
  '--headless',
  '--disable-gpu',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--no-first-run',
]
const docsDir = join(dirname(fileURLToPath(import.meta.resolve('@fastify/swagger-ui/package.json'))), 'static')

let browser: Browser
const dashboardDir = testFolder(t)

t.before(async () => {
  await buildDashboard(dashboardDir)
  browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ARGS, timeout: 200_000 })
})
t.teardown(() => browser?.close())

async function shop(t: Test, options: FixtureOptions = {}): Promise<Fixture> {
  const fixture = await startFixture({ dashboardDir, docsDir, ...options })
  t.teardown(() => fixture.stop())
  return fixture
}

/** A page that notes whatever a shop should never see: errors, breaches of the content policy, requests to elsewhere. */
async function openPage(t: Test, it: Fixture, path = '/?lang=en', options: BrowserContextOptions = {}) {
  const context = await browser.newContext({ locale: 'en-GB', ...options })
  t.teardown(() => context.close())
  const page = await context.newPage()
  page.setDefaultTimeout(100_000)
  const faults: string[] = []
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') faults.push(`console: ${message.text()}`)
  })
  page.on('pageerror', (error) => faults.push(`error: ${error.message}`))
  page.on('request', (request) => {
    const { hostname, protocol } = new URL(request.url())
    if (protocol !== 'data:' && hostname !== '127.0.0.1') faults.push(`foreign: ${request.url()}`)
  })
  // The loader of these tests wraps functions in a helper of this name, also those that are sent to the page.
  await page.addInitScript('globalThis.__name = (one) => one')
  if (options.javaScriptEnabled !== false)
    await page.addInitScript(() => {
      document.addEventListener('securitypolicyviolation', (event) =>
        console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`),
      )
    })
  await page.goto(`http://127.0.0.1:${it.http.port()}${path}`)
  return { page, faults }
}

const live = (page: Page) => page.getByText(/^Live · |^实时 · /).waitFor()

const WIDTHS = [
  [320, 568],
  [768, 1_024],
  [1_280, 900],
] as const

/** Every width in both schemes, and a picture of each, to be looked at: in the soak. */
const EVERY_VIEW = process.env.SHOPWIRE_EVERY_VIEW === '1'

/** Light and dark, narrow and wide: nothing to scroll sideways, targets a finger hits, contrast. Dark differs in its colours alone. */
async function fitsEverywhere(t: Test, page: Page, lang: string): Promise<void> {
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme })
    for (const [width, height] of colorScheme === 'light' || EVERY_VIEW ? WIDTHS : WIDTHS.slice(0, 1)) {
      await page.setViewportSize({ width, height })
      const what = `${lang} ${colorScheme} ${width}`
      t.equal(await page.evaluate(() => document.documentElement.scrollWidth), width, `${what}: no sideways scroll`)
      t.strictSame(await page.evaluate(targetFaults), [], `${what}: targets of 44 px`)
      if (EVERY_VIEW)
        await page.screenshot({ path: join('.tap/pictures', `${t.name.slice(0, 40)} ${what}.png`.replaceAll(' ', '-')), fullPage: true })
    }
    t.strictSame(await page.evaluate(contrastFaults), [], `${lang} ${colorScheme}: contrast`)
  }
}

t.test('the first page is whole without a script, filter included', async (t) => {
  const it = await shop(t)
  for (const grams of [101, 102]) await it.weigh(grams)
  await it.journal.commit({ events: [{ plugin: 'scale', device: 'counter', event: 'tared', data: { by: '<b>Ann</b>' } }] })
  const { page, faults } = await openPage(t, it, '/?lang=en', { javaScriptEnabled: false })
  t.equal(await page.getByRole('heading', { level: 1 }).textContent(), 'All working')
  t.match(await page.locator('.numbers').textContent(), /Devices online1\/1.*Weighings today2/s)
  t.match(await page.locator('.events').textContent(), /<b>Ann<\/b>.*102.*101/s)
  t.match(await page.locator('body').textContent(), /does not update itself without JavaScript/)
  await page.getByLabel('Show').selectOption('shopwire.scale.tared')
  await page.getByRole('button', { name: 'Apply' }).click()
  await page.waitForURL(/type=shopwire\.scale\.tared/)
  t.equal(await page.locator('.events li').count(), 1)
  t.strictSame(faults, [])
})

t.test('what happens in the shop shows by itself', async (t) => {
  const it = await shop(t)
  const { page, faults } = await openPage(t, it)
  await live(page)
  const verdict = page.getByRole('heading', { level: 1 })
  t.equal(await verdict.textContent(), 'All working')
  t.match(await page.locator('.feed').textContent(), /Nothing has happened yet/)

  await it.weigh(4_711)
  await page.locator('.events').getByText('4711').waitFor()
  await page.locator('.tile', { hasText: 'Weighings today' }).getByText('1', { exact: true }).waitFor()

  it.shop.setDevice('scale', 'counter', { state: 'fault', detail: 'cover-open' }, new Date().toISOString())
  await page.getByText('1 thing needs attention').waitFor()
  await page.getByText('Close the cover.').waitFor()
  await page.getByRole('link', { name: 'Show device' }).click()
  await page.waitForURL(/#device-scale-counter$/)

  it.shop.setLink({ name: 'hq', state: 'offline', since: new Date().toISOString(), detail: 'ENOTFOUND', backlog: 37 })
  await page.getByText('2 things need attention').waitFor()
  await page.getByText('Sales continue; 37 waiting to send.').waitFor()

  it.shop.setDevice('scale', 'counter', { state: 'online' }, new Date().toISOString())
  it.shop.setLink({ name: 'hq', state: 'online', since: new Date().toISOString(), detail: 'mqtts://hq', backlog: 0 })
  await page.getByText('All working').waitFor()
  t.strictSame(faults, [])
})

t.test('a person can pause, filter, restart a plugin and copy a config', async (t) => {
  const it = await shop(t)
  for (let grams = 1; grams <= 300; grams++) await it.weigh(grams)
  const { page, faults } = await openPage(t, it)
  await live(page)

  await page.getByRole('button', { name: 'Pause' }).click()
  await it.weigh(9_999)
  await page.getByRole('button', { name: 'Resume (1 new)' }).waitFor()
  t.equal(await page.locator('.events').getByText('9999').count(), 0)
  await page.getByRole('button', { name: /Resume/ }).click()
  await page.locator('.events').getByText('9999').waitFor()

  await it.journal.commit({ events: [{ plugin: 'scale', device: 'counter', event: 'tared', data: { zero: 55_555 } }] })
  await page.locator('.events').getByText('55555').waitFor()
  await page.getByLabel('Show').selectOption('shopwire.scale.tared')
  await page.locator('.events li').nth(1).waitFor({ state: 'detached' })
  await page.waitForURL(/type=shopwire\.scale\.tared/)
  await page.reload()
  await live(page)
  t.equal(await page.locator('.events li').count(), 1, 'a reload keeps the filter')
  await page.getByRole('link', { name: '中文' }).click()
  await page.waitForURL(/lang=zh/)
  await live(page)
  t.match(page.url(), /type=shopwire\.scale\.tared/, 'and so does the other language')
  t.equal(await page.getByRole('heading', { level: 1 }).textContent(), '一切正常')
  t.equal(await page.locator('html').getAttribute('lang'), 'zh-CN')
  await page.getByRole('link', { name: 'English' }).click()
  await page.waitForURL(/lang=en/)
  await live(page)

  it.shop.setPlugin({ name: 'gone', version: '1', status: 'quarantined', since: new Date().toISOString(), restarts: 5, reason: 'crashed' })
  it.shop.setPlugin({ name: 'scale', version: '1', status: 'backoff', since: new Date().toISOString(), restarts: 1 })
  await page.locator('.attention li', { hasText: 'scale' }).getByRole('button', { name: 'Restart it' }).click()
  await until(() => it.control.length === 1, 'the first restart')
  await page.locator('.attention li', { hasText: 'gone' }).getByRole('button', { name: 'Restart it' }).click()
  await page.getByText('Failed: no plugin "gone" is loaded').waitFor()
  t.strictSame(it.control, ['reload scale', 'reload gone'])

  it.setFound([
    {
      id: 'serial:/dev/serial/by-id/usb-Acme',
      kind: 'serial',
      port: '/dev/serial/by-id/usb-Acme',
      label: 'Acme scale',
      plugin: 'scale',
      snippet: 'plugins:\n  scale:\n',
    },
  ])
  await page.getByText('Show the lines for the config').click()
  await page.getByRole('button', { name: 'Copy' }).click()
  await page.getByText('Copied').waitFor()
  // The refused restart is an HTTP error, which a browser notes; nothing else may be there.
  t.strictSame(
    faults.filter((one) => !/404 \(Not Found\)/.test(one)),
    [],
  )
})

t.test('when the gateway is gone the page says how old it is, and comes back by itself', async (t) => {
  const it = await shop(t, { config: { listen: `127.0.0.1:${await freePort()}` } })
  const context = await browser.newContext({ locale: 'en-GB' })
  t.teardown(() => context.close())
  const page = await context.newPage()
  page.setDefaultTimeout(100_000)
  await page.clock.install()
  await page.goto(`http://127.0.0.1:${it.http.port()}/?lang=en`)
  await live(page)
  await it.http.stop()
  await page.clock.fastForward(30_000)
  await page.getByText(/^Showing \d\d:\d\d:\d\d data \(\d+ (secs?|mins?) old\)\. Reconnecting…$/).waitFor()
  t.match(await page.locator('header').textContent(), /Not live/)
  await it.http.start()
  for (let tries = 0; tries < 200 && !(await page.getByText(/^Live · /).isVisible()); tries++) {
    await page.clock.runFor(1_000)
    await new Promise((resolve) => setTimeout(resolve, 250))
  }
  await live(page)
  t.equal(await page.getByText('Reconnecting').count(), 0)
  await it.weigh(1_234)
  await page.locator('.events').getByText('1234').waitFor()
})

t.test('readable and usable from a phone to a desk, light and dark, in both languages', async (t) => {
  const it = await shop(t)
  const ago = (seconds: number) => new Date(Date.now() - seconds * 1_000).toISOString()
  for (let grams = 1; grams <= 25; grams++) await it.weigh(grams)
  it.shop.setDevice('scale', 'back-room', { state: 'fault', detail: 'paper-out' }, ago(600))
  it.shop.setDevice('scale', 'a-device-with-a-name-as-long-as-a-name-may-be-48', { state: 'offline', detail: 'unplugged' }, ago(4_000))
  it.shop.setPlugin({
    name: 'portal',
    version: '0.3.0',
    status: 'quarantined',
    since: ago(50),
    restarts: 5,
    reason: 'crashed 5 times in 10 minutes',
  })
  it.shop.setLink({
    name: 'hq',
    state: 'offline',
    since: ago(990),
    detail: 'mqtts://hq.example:8883: ENOTFOUND',
    backlog: 37,
    oldest: ago(980),
  })
  it.setFound([
    {
      id: 'serial:a',
      kind: 'serial',
      port: `/dev/serial/by-id/usb-${'Long_'.repeat(20)}if00`,
      label: 'A scanner',
      plugin: 'scale',
      snippet: 'plugins: {}',
    },
  ])
  for (const lang of ['en', 'zh']) {
    const { page, faults } = await openPage(t, it, `/?lang=${lang}`)
    await live(page)
    await page.locator('summary').click()
    await fitsEverywhere(t, page, lang)
    t.strictSame(await page.evaluate(nameFaults), [], `${lang}: everything has a name`)
    t.strictSame(faults, [], lang)
  }
})

t.test('today’s arrivals and payments, and the last 24 hours: live, as a sentence, as a chart with its gaps, and as a table', async (t) => {
  const counts = { arrivals: 41 }
  const step = 300_000
  const now = () => Math.floor(Date.now() / step) * step
  const ago = (minutes: number) => new Date(Date.now() - minutes * 60_000).toISOString()
  const wave = (index: number, high: number): number | null =>
    index >= 60 && index < 84 ? null : index < 120 ? 0 : Math.max(0, Math.round(high * Math.sin((index - 120) / 20) ** 2 - 0.4))
  const it = await shop(t, {
    ledger: {
      trade: () => ({
        day: '2026-11-22',
        arrivals: counts.arrivals,
        lastArrival: ago(counts.arrivals === 0 ? 1_000 : 2),
        payments: { count: 1_204, linked: 746, sums: [{ currency: 'CNY', sum: 4_523_150 }], last: ago(1) },
        slot: { at: new Date(now()).toISOString(), arrivals: 3, payments: 2 },
      }),
      chart: () => ({
        from: new Date(now() - 287 * step).toISOString(),
        stepSeconds: 300,
        arrivals: Array.from({ length: 288 }, (_, index) => wave(index, 9)),
        payments: Array.from({ length: 288 }, (_, index) => wave(index, 5)),
      }),
    },
  })
  for (let grams = 1; grams <= 25; grams++) await it.weigh(grams)
  for (const lang of ['en', 'zh']) {
    const { page, faults } = await openPage(t, it, `/?lang=${lang}`)
    await live(page)
    t.match(
      await page.locator('.numbers').textContent(),
      lang === 'en'
        ? /Arrivals today41.*Payments today1,204¥45,231.50 · 62\u00a0% linked/
        : /今日到店41.*今日支付1,204¥45,231.50 · 已关联 62\u00a0%/,
    )
    const chart = page.locator('.chart')
    t.match(
      await chart.locator('.chart-says').textContent(),
      lang === 'en'
        ? /^Arrivals: \d+\. Payments: \d+\. Busiest: .* No data for 2 hrs?: /
        : /^到店 \d+ 次，支付 \d+ 笔。高峰：.*。有 2小时 无数据/,
    )
    t.equal(await chart.locator('svg path').count(), 4)
    await chart.locator('summary').click()
    t.ok((await chart.locator('tbody tr').count()) >= 24)
    t.match(await chart.locator('tbody').textContent(), lang === 'en' ? /no data/ : /无数据/)
    counts.arrivals = 0
    await it.weigh(1)
    await page.getByText(lang === 'en' ? /^No arrivals yet today\. Last: / : /^今日暂无到店。最近：/).waitFor()
    counts.arrivals = 41
    await it.weigh(1)
    await page.locator('.numbers').getByText('41', { exact: true }).waitFor()
    t.equal(await chart.locator('details').evaluate((one) => (one as HTMLDetailsElement).open), true, 'an open table stays open')
    await fitsEverywhere(t, page, lang)
    t.strictSame(await page.evaluate(nameFaults), [], `${lang}: everything has a name`)
    t.strictSame(faults, [], lang)
  }
})

t.test('an owner logs in with the form, looks, and logs out; the API page works offline', async (t) => {
  const it = await shop(t, { config: { passwordHash: await hashPassword('lucky cat 88') } })
  const { page, faults } = await openPage(t, it)
  t.match(page.url(), /\/login\?lang=en$/)
  t.strictSame(await page.evaluate(contrastFaults), [])
  t.strictSame(await page.evaluate(nameFaults), [])
  await page.getByLabel('Password or token').fill('lucky cat 88')
  await page.getByRole('button', { name: 'Log in' }).click()
  await live(page)
  await page.goto(`http://127.0.0.1:${it.http.port()}/docs`)
  await page.getByText('/api/v1/status', { exact: true }).waitFor()
  await page.goto(`http://127.0.0.1:${it.http.port()}/?lang=en`)
  await live(page)
  await page.getByRole('button', { name: 'Log out' }).click()
  await page.getByLabel('Password or token').waitFor()
  await page.goto(`http://127.0.0.1:${it.http.port()}/`)
  t.match(page.url(), /\/login$/)
  t.strictSame(faults, [])
})
