/** The pages in a real Chromium, as phones and desktops show them: in each state looked at in every size, light and dark. */
import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core'
import type { Test } from 'tap'
import { FakeNetwork, macOf, Shop } from '../testing.ts'
import { FAULTS } from './faults.testing.ts'
import type { Language } from './language.ts'

const CHROMIUM = '/usr/bin/chromium'
export const noChromium = existsSync(CHROMIUM) ? false : 'Chromium is not installed'
/** Set to a folder to look at the pictures. */
const pictures = process.env.SHOPWIRE_PICTURES

/** Chromium comes from 127.0.0.1: that is the phone here. */
export class OnePhone extends FakeNetwork {
  override async stationAt(ip: string): ReturnType<FakeNetwork['stationAt']> {
    return ip === '127.0.0.1' ? { mac: macOf(1), ip } : super.stationAt(ip)
  }
}

const LOGO = `data:image/svg+xml;base64,${Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 40 40"><circle cx="20" cy="20" r="18" fill="#0a7d4f"/><path d="M20 8c5 6 5 18 0 24-5-6-5-18 0-24z" fill="#fff"/></svg>').toString('base64')}`
export const CONFIG = {
  name: { zh: '莲花茶铺', en: 'Lotus Tea' },
  accent: '#0a7d4f',
  logo: LOGO,
  login: { sms: true, code: true },
  sms: { via: 'hq' },
  marketing: { zh: '我愿意接收优惠信息', en: 'Send me offers' },
  member: { prefix: 'LT-' },
  session: { minutes: 120, capacity: 2 },
  offers: [
    {
      id: 'tea',
      title: { zh: '第二杯半价', en: 'Second cup half price' },
      text: { zh: '所有果茶，今日有效', en: 'All fruit teas, today' },
      code: 'CP-TEA-2',
      until: '2026-12-31',
    },
    { id: 'cake', title: { zh: '买茶送蛋糕', en: 'Cake with every pot' } },
  ],
}

/** Chromium that talks to the page's server alone, and needs no more shared memory than a container has. */
export const QUIET = [
  ...['--no-sandbox', '--headless', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking'],
  ...['--disable-component-update', '--disable-sync', '--disable-dev-shm-usage'],
]
/** Chromium on a busy machine takes its time, and a wait that ends in success costs nothing. */
export const PATIENCE_MS = 180_000

export function launch(): Promise<Browser> {
  return chromium.launch({
    executablePath: CHROMIUM,
    args: [...QUIET],
    timeout: PATIENCE_MS,
  })
}

const SIZES = { small: { width: 320, height: 480 }, phone: { width: 390, height: 844 }, desktop: { width: 1280, height: 800 } } as const

interface Look {
  size: keyof typeof SIZES
  scheme: 'light' | 'dark'
}

/** Every size and every scheme, each once at least. */
const EACH: readonly Look[] = [
  { size: 'small', scheme: 'light' },
  { size: 'phone', scheme: 'dark' },
  { size: 'desktop', scheme: 'dark' },
]
/** Every size in every scheme. */
export const ALL: readonly Look[] = (['small', 'phone', 'desktop'] as const).flatMap((size) => [
  { size, scheme: 'light' },
  { size, scheme: 'dark' },
])

/** A page of one shop, opened by the one phone; what it asked for that it must not, and what its console said. */
export async function open(
  browser: Browser,
  one: Shop,
  language: Language,
  options: BrowserContextOptions = {},
): Promise<{ page: Page; troubles: string[]; close: () => Promise<void> }> {
  const context = await browser.newContext({ viewport: SIZES.small, locale: language === 'zh' ? 'zh-CN' : 'en-GB', ...options })
  const page = await context.newPage()
  page.setDefaultTimeout(PATIENCE_MS)
  const troubles: string[] = []
  page.on('console', (line) => {
    if (['error', 'warning'].includes(line.type()) && !/status of (4|5)\d\d/.test(line.text())) troubles.push(line.text())
  })
  page.on('request', (request) => {
    if (!request.url().startsWith(`http://127.0.0.1:${one.port}/`) && !request.url().startsWith('data:'))
      troubles.push(`asks ${request.url()}`)
  })
  await page.goto(`http://127.0.0.1:${one.port}/`)
  return { page, troubles, close: () => context.close() }
}

export async function picture(page: Page, name: string): Promise<void> {
  if (!pictures) return
  mkdirSync(pictures, { recursive: true })
  await page.screenshot({ path: join(pictures, `${name}.png`) })
}

/** What is wrong with the page once it is all there. One that loads itself anew while it is looked at is looked at again. */
export async function faultsOf(page: Page): Promise<unknown> {
  for (;;) {
    await page.waitForLoadState()
    try {
      return await page.evaluate(FAULTS)
    } catch (error) {
      if (!/context was destroyed/i.test(String(error))) throw error
    }
  }
}

/** The page as it is now, in each of these looks. */
export async function visit(t: Test, page: Page, language: Language, state: string, looks = EACH): Promise<void> {
  for (const { size, scheme } of looks) {
    await page.setViewportSize(SIZES[size])
    await page.emulateMedia({ colorScheme: scheme })
    t.same(await faultsOf(page), [], `${state}, ${language}, ${size}, ${scheme}`)
    if (state === 'welcome') {
      const box = await page.getByRole('button').first().boundingBox()
      t.ok(box && box.y + box.height <= SIZES[size].height, `the button is in sight: ${JSON.stringify(box)}`)
    }
    await picture(page, `${state}-${size}-${language}-${scheme}`)
  }
}

/** A guest's way through all the pages there are. */
export async function everyState(t: Test, browser: Browser, language: Language, looks = EACH): Promise<void> {
  const one = await Shop.open({ config: CONFIG, network: new OnePhone(), ask: async () => ({}) })
  t.teardown(() => one.close())
  const { page, troubles, close } = await open(browser, one, language)
  const zh = language === 'zh'
  await visit(t, page, language, 'welcome', looks)

  await page.locator('summary').nth(1).click()
  await page.locator('#c').fill('WRONG-CODE')
  await page.locator('form[action="code"] button').click()
  // A click does not wait for the next page: each is waited for by what only it has.
  await page.getByRole('alert').waitFor()
  await visit(t, page, language, 'code-wrong', looks)

  await page.getByRole('link', { name: zh ? '《使用条款》' : 'terms of use' }).click()
  await page.getByRole('link', { name: zh ? '返回' : 'Back' }).waitFor()
  await visit(t, page, language, 'terms', looks)
  await page.getByRole('link', { name: zh ? '返回' : 'Back' }).click()

  await page.locator('summary').first().click()
  await page.locator('#p').fill('13800138000')
  await page.locator('form[action="sms"] button').click()
  await page.locator('form[action="verify"]').waitFor()
  await visit(t, page, language, 'sms-code', looks)
  await page.getByRole('link', { name: zh ? '更换手机号' : 'Use another number' }).click()
  await page.locator('form[action="connect"]').waitFor()

  one.network.events?.health({ state: 'fault', detail: 'uplink-down' })
  await page.reload()
  await visit(t, page, language, 'down', looks)
  one.network.events?.health({ state: 'online' })
  await page.getByRole('link', { name: zh ? '重试' : 'Try again' }).click()
  await page.locator('form[action="connect"]').waitFor()

  await one.tap(11)
  await one.tap(12)
  await page.reload()
  await visit(t, page, language, 'full', looks)
  await one.harness.command('-', 'revoke', { all: true })
  await page.getByRole('link', { name: zh ? '重试' : 'Try again' }).click()

  await page.locator('form[action="connect"] button').click()
  await page.getByRole('heading', { name: zh ? '已连接' : "You're connected" }).waitFor()
  await page.waitForLoadState()
  t.equal(await page.getByRole('img').count(), 2, 'two codes as QR')
  await visit(t, page, language, 'connected', looks)
  await page.getByRole('link', { name: zh ? '在浏览器中打开本页' : 'Open this page in your browser' }).click()
  await page.waitForURL(/\/v\//)
  await one.clock.pass(2 * 3_600_000 + 6_000)
  await page.reload()
  await visit(t, page, language, 'welcome-back', looks)
  await page.goto(`http://127.0.0.1:${one.port}/`)
  await visit(t, page, language, 'ended', looks)
  await page.goto(`http://127.0.0.1:${one.port}/nothing/here`)
  await visit(t, page, language, 'not-found', looks)
  t.same(troubles, [])
  await close()
}
