/** The order as phones show it: real Chromium, Chinese and English, light and dark. Nobody reloads: the page does, without script. */
import t from 'tap'
import { until } from '../../../daemon/testing/until.ts'
import { faultsOf, launch, noChromium, OnePhone, PATIENCE_MS, picture } from '../pages/looks.testing.ts'
import { Shop } from '../testing.ts'
import { sessionOf, Till } from './till.testing.ts'

const LOOKS = [
  { name: 'zh-dark', locale: 'zh-CN', colorScheme: 'dark', viewport: { width: 390, height: 844 } },
  { name: 'en-light', locale: 'en-GB', colorScheme: 'light', viewport: { width: 320, height: 568 } },
] as const
const SOON = { timeout: 10_000 }

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
    page.setDefaultTimeout(PATIENCE_MS)
    const see = async (state: string): Promise<void> => {
      t.same(await faultsOf(page), [], `${state} ${name}`)
      await picture(page, `order-${state}-${name}`)
    }
    await page.goto(`http://127.0.0.1:${one.port}/`)
    await page.getByRole('button').first().click()
    await page.getByRole('heading', { name: /✓/ }).waitFor()
    const till = new Till(one)
    await till.opened(await sessionOf(one))
    await page.goto(`http://127.0.0.1:${one.port}/`)
    await see('open')
    await till.waiting()
    // By itself: nobody reloads.
    await page.getByRole('img').waitFor()
    await see('waiting')
    await till.says('unknown', { reason: 'no-answer' })
    await page.getByRole('img').waitFor({ state: 'detached' })
    await see('checking')
    const card = page.locator('a.b[href$="order"]')
    await until(async () => {
      // A tap is lost when the page renews itself at that very moment.
      if (!(await card.isVisible()))
        await page
          .locator('a[href$="n=more"]')
          .click(SOON)
          .catch(() => {})
      return card.waitFor(SOON).then(
        () => true,
        () => false,
      )
    }, 'the card')
    await see('card')
    await card.click()
    await page.locator('a[href$="n=still"]').waitFor()
    await till.says('paid', { transaction: 'T', paidAt: '' })
    await page.locator('a.b[href$="n=more"]').waitFor()
    await see('paid')
    await page.locator('header a').click()
    await page.waitForURL(look.locale === 'zh-CN' ? /\/en\/order$/ : /\/zh\/order$/)
  }
})
