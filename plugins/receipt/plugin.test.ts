/** What people ask about the receipts, and the payments they belong to: the real plugin, a real till and printer. */
import t from 'tap'
import type { JsonObject } from '../../daemon/contract/json.ts'
import { simulatedReceipt } from './simulator/receipts.ts'
import simulate from './simulator.ts'
import { type Counter, type CounterOptions, counter, MARKET_TEMPLATE, printJob } from './testing.ts'

type T = Parameters<typeof counter>[0]

async function printed(t: T, numbers: number[], options: CounterOptions = {}): Promise<Counter> {
  const shop = await counter(t, { device: { template: MARKET_TEMPLATE }, ...options })
  for (const number of numbers) await printJob(shop.till(), simulatedReceipt('market', number).bytes)
  await shop.shop.until(() => shop.captured().length === numbers.length, 'captured')
  await shop.shop.until(
    () => [...shop.store.keys()].filter((key) => key.startsWith('till-1/kept/')).length >= (options.shared ? 3 : numbers.length),
    'kept',
  )
  return shop
}

const ask = (shop: Counter, command: string, args: JsonObject = {}) => shop.shop.command('till-1', command, args) as Promise<JsonObject>

t.test('a captured receipt can be looked at: as text, as SVG, as PNG', async (t) => {
  const shop = await printed(t, [3])
  const receipt = String(shop.captured()[0]?.receipt)
  const { text } = await ask(shop, 'render', { receipt, format: 'text' })
  t.match(text, /好邻居超市/)
  t.match(text, /138\*\*\*\*5678/, 'a phone number is masked before it is kept')
  const { svg } = await ask(shop, 'render', { receipt })
  t.match(svg, /^<svg xmlns/)
  t.match(svg, /好邻居超市/)
  t.match(svg, /href="data:image\/png;base64,/)
  t.notOk(/<script|href="http/.test(String(svg)))
  const png = await ask(shop, 'render', { receipt, format: 'png' }).catch((error: { code: string; message: string }) => error)
  if ('code' in png) t.match(png, { code: 'device-unsupported', message: /fonts-noto-cjk/ }, 'no font here')
  else t.same([...Buffer.from(String(png.png), 'base64').subarray(0, 4)], [0x89, 0x50, 0x4e, 0x47])
  await t.rejects(ask(shop, 'render', { receipt: 'r-0' }), { code: 'not-found', message: /`receipts` lists/ })
})

t.test('the number under a bar code is in the picture, and not in the lines that templates read', async (t) => {
  const shop = await counter(t)
  const cafe = simulatedReceipt('cafe', 3)
  await printJob(shop.till(), cafe.bytes)
  await shop.shop.until(() => shop.captured().length === 1, 'captured')
  await shop.shop.until(() => [...shop.store.keys()].some((key) => key.startsWith('till-1/kept/')), 'kept')
  const receipt = String(shop.captured()[0]?.receipt)
  const { svg } = await ask(shop, 'render', { receipt })
  t.match(svg, new RegExp(`<text [^>]*>${cafe.order}</text>`))
  const { text } = await ask(shop, 'render', { receipt, format: 'text' })
  t.equal(
    String(text)
      .split('\n')
      .filter((line) => line.includes(cafe.order)).length,
    2,
    'the order line and the note of the bar code',
  )
})

t.test('learn shows what the template extracts, tries another, and proposes one', async (t) => {
  const shop = await printed(t, [1, 2, 3, 4, 5])
  const learnt = await ask(shop, 'learn', { template: { total: ['微信支付 {amount}'] } })
  t.match(learnt, {
    receipts: 5,
    template: { withItems: 0, withTotal: 5, checked: 0 },
    proposal: { withItems: 5, withTotal: 5, withOrder: 5, checked: 5 },
  })
  t.match(await ask(shop, 'learn'), { template: { checked: 5 } }, 'the configured one')
  await t.rejects(ask(shop, 'learn', { template: { item: ['{amount}'] } }), {
    code: 'args-invalid',
    message: 'template.item.0: needs {name}, and {amount} or {price}',
  })
  const empty = await counter(t)
  await t.rejects(ask(empty, 'learn'), { code: 'not-found' })
})

t.test('receipts are kept in number, over a restart, and erased when asked', async (t) => {
  const shop = await printed(t, [1, 2, 3, 4, 5], { shared: { keep: { receipts: 3, days: 7 } } })
  const last = String(shop.captured().at(-1)?.receipt)
  await shop.shop.until(() => shop.store.has(`till-1/kept/${last}`) && shop.store.size === 6, 'the last three and their bytes')
  const { receipts } = (await ask(shop, 'receipts')) as { receipts: JsonObject[] }
  t.same(
    receipts.map(({ receipt }) => receipt),
    shop
      .captured()
      .slice(2)
      .reverse()
      .map(({ receipt }) => receipt),
  )
  await shop.shop.stop()
  const again = await counter(t, { store: shop.store, shared: { keep: { receipts: 3, days: 7 } } })
  const newest = String(receipts[0]?.receipt)
  t.match(await ask(again, 'render', { receipt: newest, format: 'text' }), { text: /合计/ })
  t.same(await ask(again, 'erase', { receipt: newest }), { erased: 1 })
  await t.rejects(ask(again, 'render', { receipt: newest }), { code: 'not-found' })
  t.same(await ask(again, 'erase', { before: '2000-01-01T00:00:00Z' }), { erased: 0 })
  t.same(await ask(again, 'erase', { all: true }), { erased: 2 })
  t.equal(again.store.size, 0, 'nothing of them is left')
  await t.rejects(ask(again, 'erase'), { code: 'args-invalid', message: /exactly one of/ })
})

const pay = (payment: string, more: JsonObject): JsonObject => ({
  payment,
  order: 'x',
  till: 'till-1',
  amount: 1,
  currency: 'CNY',
  ...more,
})

t.test('a receipt finds its payment by order number, or by till and amount; a late payment finds its receipt', async (t) => {
  const shop = await counter(t, { device: { template: MARKET_TEMPLATE } })
  const [byOrder, late] = [simulatedReceipt('market', 11), simulatedReceipt('market', 12)]
  await shop.shop.deliver('payment', '-', 'paid', pay('p-1', { order: byOrder.order, amount: byOrder.total }))
  await shop.shop.deliver('payment', '-', 'opened', pay('p-2', { order: late.order, amount: late.total }))
  await printJob(shop.till(), byOrder.bytes)
  await printJob(shop.till(), late.bytes)
  await shop.shop.until(() => shop.captured().length === 2, 'captured')
  t.equal(shop.captured()[0]?.payment, 'p-1')
  t.equal(shop.captured()[1]?.payment, undefined, 'opened is not paid')
  await shop.shop.deliver('payment', '-', 'paid', pay('p-2', { order: late.order, amount: late.total }))
  t.match(shop.shop.events.at(-1), {
    event: 'matched',
    data: { receipt: shop.captured()[1]?.receipt, payment: 'p-2', by: 'order', till: 'till-1' },
  })
})

t.test('a payment is remembered over a restart', async (t) => {
  const first = await counter(t)
  const { total, bytes } = simulatedReceipt('market', 13)
  await first.shop.deliver('payment', '-', 'paid', pay('p-9', { amount: total }))
  await first.shop.stop()
  const again = await counter(t, { store: first.store, device: { template: { ...MARKET_TEMPLATE, order: [] } } })
  await printJob(again.till(), bytes)
  await again.shop.until(() => again.captured().length === 1, 'captured')
  t.equal(again.captured()[0]?.payment, 'p-9')
})

t.test('a receipt of ten thousand lines is one event within its limits', async (t) => {
  const shop = await counter(t, { device: { template: MARKET_TEMPLATE } })
  const line = Buffer.from(`${'x'.repeat(30)}  1  1.00  1.00\n`)
  await printJob(shop.till(), Buffer.concat([...Array.from({ length: 10_000 }, () => line), Buffer.from('1d5600', 'hex')]))
  await shop.shop.until(() => shop.captured().length === 1, 'captured')
  const [data = {}] = shop.captured()
  t.match(data, { why: 'cut-short', more: 350 })
  t.ok(JSON.stringify(data).length < 32_768)
})

t.test('the simulated till prints, asks for status, and says what it met', async (t) => {
  const shop = await counter(t, { device: { template: MARKET_TEMPLATE } })
  const { listen } = (await ask(shop, 'status')) as { listen: string }
  const said: string[] = []
  const { signal } = new AbortController()
  t.equal(
    await simulate(
      ['--to', listen, '--form', 'all', '--count', '4', '--every', '1', '--status', '--keep-open'],
      (line) => said.push(line),
      signal,
    ),
    0,
  )
  t.equal(said.length, 4)
  await shop.shop.until(() => shop.captured().length === 4, 'captured')
  t.equal(await simulate(['--form', 'novel'], (line) => said.push(line), signal), 2)
  await shop.printer.off()
  t.equal(await simulate(['--to', listen], (line) => said.push(line), signal), 1)
})
