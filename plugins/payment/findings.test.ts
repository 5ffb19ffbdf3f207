/** What the doctor is told of payments. */
import { copyFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { JsonObject } from '../../daemon/contract/json.ts'
import { testFolder } from '../../daemon/testing/folder.ts'
import { type HarnessOptions, PluginHarness } from '../../daemon/testing/plugin-harness.ts'
import start from './plugin.ts'
import { listFindings, waitingFindings } from './redeem/findings.ts'
import type { Redemption } from './redeem/redemption.ts'
import { ALIPAY_CODE, manifestUrl, payShop, testKeys } from './testing.ts'

async function findings(shop: PluginHarness): Promise<JsonObject[]> {
  const { findings } = (await shop.command('-', 'self-check')) as { findings: JsonObject[] }
  return findings
}

t.test('a shop where all is well', async (t) => {
  const { shop, open, code, is } = await payShop(t)
  await open('A-1', 100)
  await code()
  await is('A-1', 'paid')
  t.match(await findings(shop), [
    { state: 'ok', fact: /^alipay: answered \d+ s ago$/ },
    { state: 'ok', fact: 'wechat: not asked since the start' },
    { state: 'ok', fact: 'no payment in doubt' },
    { state: 'ok', fact: 'HQ has heard of every code' },
    { state: 'ok', fact: 'no offline list is used: codes need HQ' },
  ])
})

t.test('money in doubt is named, with the question to paste; the provider that gives no answer, too', async (t) => {
  const { shop, open, code, is, alipay } = await payShop(t)
  alipay.faults.serverError = { pay: 1_000, query: 1_000 }
  const { payment } = await open('D-1', 1_250)
  await code()
  await is('D-1', 'unknown')
  const found = await findings(shop)
  t.match(found[0], { state: 'fail', fact: /^alipay: no answer that counts for \d+ s \(http-500\)$/, fix: /^curl -sSv .*gateway\.do/ })
  t.match(found[2], {
    state: 'warn',
    fact: /^order D-1 at till-1, 1250 minor units CNY: UNKNOWN \(http-500\) for \d+ s$/,
    fix: `shopwire cmd payment - query '{"payment":"${String(payment)}"}'`,
  })
  t.notMatch(JSON.stringify(found), ALIPAY_CODE)
  alipay.faults.serverError = {}
  await is('D-1', 'paid')
  t.match((await findings(shop)).slice(0, 3), [{ state: 'ok' }, { state: 'ok' }, { state: 'ok' }])
})

t.test('keys that can be read no more, and a route to nowhere', async (t) => {
  const privateKey = join(testFolder(t), 'wechat-merchant.pem')
  copyFileSync(String(testKeys().config.wechat.privateKey), privateKey)
  const { shop } = await payShop(t, { wechat: { privateKey }, route: { unionpay: 'hq' } })
  rmSync(privateKey)
  const found = await findings(shop)
  t.match(found[1], { state: 'fail', fact: /^wechat: .*wechat-merchant\.pem cannot be read: ENOENT$/, fix: /LoadCredential/ })
  t.match(found[2], { state: 'fail', fact: 'unionpay codes are routed to hq, which is not configured' })
})

t.test('the offline list was never pushed', async (t) => {
  const publicKey = Buffer.alloc(32, 7).toString('base64')
  const { shop } = await payShop(t, { redeem: { offline: { publicKey } } })
  t.match((await findings(shop)).at(-1), {
    state: 'warn',
    fact: 'while HQ is away no code is taken: no list has come yet',
    fix: 'have HQ push a new code-list',
  })
})

t.test('without a provider every pay code is turned away', async (t) => {
  const shop = await PluginHarness.start({ start: start as unknown as HarnessOptions['start'], manifestUrl, config: {} })
  t.teardown(() => shop.stop())
  t.match((await findings(shop))[0], { state: 'warn', fact: /cash only/ })
})

t.test('HQ has been away since a code was spent', async (t) => {
  const minute = 60_000
  const at = (id: string, phase: Redemption['phase'], minutesAgo: number) =>
    ({ id, phase, kind: 'coupon', code: 'CPN-TENOFF-0001', till: 'till-1', at: 100 * minute - minutesAgo * minute, news: [] }) as Redemption
  const spent = [at('a', 'committing', 90), at('b', 'returning', 5), at('c', 'committed', 95), at('d', 'reserved', 1)]
  const [long] = waitingFindings(spent, 100 * minute)
  t.match(long, {
    state: 'warn',
    fact: '2 codes wait for HQ to hear of them, the oldest scanned 90 min ago',
    fix: /redemptions '\{"open":true\}'/,
  })
  t.match(waitingFindings(spent.slice(1), 100 * minute)[0], { state: 'ok', fact: /^1 code waits/ }, 'a moment is no trouble')
  t.notMatch(JSON.stringify(long), 'CPN-')
})

t.test('an offline list that ends tomorrow, and one that has ended', async (t) => {
  const list = (expiresAt: string, usable = true) => ({
    version: 12,
    codes: 3,
    expiresAt,
    usable,
    ...(usable ? {} : { why: 'the offline list has expired' }),
  })
  const wall = Date.parse('2026-03-14T12:00:00Z')
  t.match(listFindings(list('2026-03-17T12:00:00Z'), true, wall), [{ state: 'ok', fact: 'offline list 12 counts for 3 days more' }])
  t.match(listFindings(list('2026-03-15T06:00:00Z'), true, wall), [{ state: 'warn', fact: 'offline list 12 counts for 18 h more' }])
  t.match(listFindings(list('2026-03-14T06:00:00Z', false), true, wall), [{ state: 'warn', fact: /has expired/ }])
})
