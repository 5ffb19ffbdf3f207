/** The order as phones show it: real Chromium, Chinese and English, light and dark. Nobody reloads: the page does, without script. */
import t from 'tap'
import { FAULTS } from '../pages/faults.testing.ts'
import { launch, noChromium, OnePhone, picture } from '../pages/looks.testing.ts'
import { Shop } from '../testing.ts'
import { sessionOf, Till } from './till.testing.ts'

const LOOKS = [
  { name: 'zh-dark', locale: 'zh-CN', colorScheme: 'dark', viewport: { width: 390, height: 844 } },
  { name: 'en-light', locale: 'en-GB', colorScheme: 'light', viewport: { width: 320, height: 568 } },
] as const

t.test('as phones show it, without script', { skip: noChromium }, async (t) => {
  const browser = await launch()
  t.teardown(() => browser.close())
  for (const { name, ...look } of LOOKS) {
    const one = await Shop.open({
      network: new OnePhone(),
      config: {
        name: { zh: '莲花茶铺', en: 'Lotus Tea' },
        accent: '#0a7d4f',
        offers: [{ id: 'cake', title: { zh: '买茶送蛋糕', en: 'Cake with every pot' } }],
      },
    })
    t.teardown(() => one.close())
    const context = await browser.newContext(look)
    t.teardown(() => context.close())
    const page = await context.newPage()
    const see = async (state: string): Promise<void> => {
      t.same(await page.evaluate(FAULTS), [], `${state} ${name}`)
      await picture(page, `order-${state}-${name}`)
    }
    await page.goto(`http://127.0.0.1:${one.port}/`)
    await page.getByRole('button').first().click()
    const till = new Till(one)
    await till.opened(await sessionOf(one))
    await page.goto(`http://127.0.0.1:${one.port}/`)
    await see('open')
    await till.waiting()
    // By itself: nobody reloads.
    await page.getByRole('img').waitFor({ timeout: 60_000 })
    await see('waiting')
    await till.says('unknown', { reason: 'no-answer' })
    await page.getByRole('img').waitFor({ state: 'detached', timeout: 60_000 })
    await see('checking')
    await page.locator('a[href$="n=more"]').click()
    await see('card')
    await page.locator('a[href$="order"]').first().click()
    await till.says('paid', { transaction: 'T', paidAt: '' })
    await page.getByRole('heading', { name: /✓/ }).waitFor({ timeout: 60_000 })
    await see('paid')
    await page.locator('header a').click()
    t.match(page.url(), /\/order$/, 'the other language of the same page')
  }
})
