/** The pages as phones and desktops show them: real Chromium, small and large, Chinese and English, light and dark. */
import type { Browser } from 'playwright-core'
import t from 'tap'
import { Shop } from '../testing.ts'
import { onAccent } from './html.ts'
import { preferred } from './language.ts'
import { CONFIG, everyState, launch, noChromium, OnePhone, open, picture, visit } from './looks.testing.ts'

let browser: Browser
t.before(async () => {
  if (!noChromium) browser = await launch()
})
t.teardown(() => browser?.close())

// In Chinese, too, and in every combination of size and scheme: pages.soak.test.ts.
t.test('every state', { skip: noChromium }, (t) => everyState(t, browser, 'en'))

t.test('the way in, in Chinese', { skip: noChromium }, async (t) => {
  const one = await Shop.open({ config: CONFIG, network: new OnePhone() })
  t.teardown(() => one.close())
  const { page, troubles, close } = await open(browser, one, 'zh')
  await visit(t, page, 'zh', 'welcome')
  await page.getByRole('button', { name: '同意并连接' }).first().click()
  await page.getByRole('heading', { name: '已连接' }).waitFor()
  await visit(t, page, 'zh', 'connected')
  t.same(troubles, [])
  await close()
})

t.test('without a style sheet, and without script, it can still be read and used', { skip: noChromium }, async (t) => {
  const one = await Shop.open({ config: CONFIG, network: new OnePhone() })
  t.teardown(() => one.close())
  const { page, close } = await open(browser, one, 'en', { javaScriptEnabled: false })
  await page.route('**/*', async (route) => {
    const answer = await route.fetch()
    await route.fulfill({ response: answer, body: (await answer.text()).replace(/<style>.*?<\/style>/s, '') })
  })
  await page.reload()
  const text = (await page.textContent('body')) ?? ''
  const order = ['Lotus Tea', 'Free WiFi', 'Free for 2 hours', 'Agree and connect', 'terms of use'].map((one) => text.indexOf(one))
  t.same(
    order,
    [...order].sort((a, b) => a - b),
    'in an order that makes sense',
  )
  t.ok(order.every((at) => at >= 0))
  await picture(page, 'no-css')
  await page.getByRole('button', { name: 'Agree and connect' }).first().click()
  await page.getByRole('heading', { name: "You're connected" }).waitFor()
  await page.unrouteAll({ behavior: 'wait' })
  await close()
})

t.test('the writing on the button can be read on any colour', async (t) => {
  t.same(['#ffffff', '#ffcc00', '#0b57d0', '#000000', '#d00000'].map(onAccent), ['#000', '#000', '#fff', '#fff', '#fff'])
})

t.test('Accept-Language, as browsers and probes send it', async (t) => {
  t.equal(preferred('zh-Hant-HK,zh;q=0.9,en;q=0.8'), 'zh')
  t.equal(preferred('en;q=0.1, zh;q=0'), 'en')
  t.equal(preferred('fr, *;q=0.5'), 'en')
  t.equal(preferred(undefined), 'zh')
  t.equal(preferred(',,;;,zh;q=banana'), 'zh')
})
