/** An order QR that the shop shows: on the till's customer display and on paper, watched until the payment is final. */
import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import { Failure } from '../../../daemon/contract/errors.ts'
import type { Json, JsonObject } from '../../../daemon/contract/json.ts'
import type { PluginHarness } from '../../../daemon/testing/plugin-harness.ts'
import { payShop } from '../testing.ts'

const displays = (shop: PluginHarness): JsonObject[] => shop.events.filter((one) => one.event === 'display').map((one) => one.data)
const states = (shop: PluginHarness): unknown[] =>
  displays(shop).map((one) => (one.cleared ? 'cleared' : (one.pay as JsonObject | undefined)?.state))
/** Without the doubts that a slow machine brings in, when an answer takes longer than it may, and the repeats after them. */
const pays = (shop: PluginHarness): unknown[] =>
  states(shop)
    .filter((one) => one !== 'wait')
    .filter((one, at, all) => one !== all[at - 1])
/** An hour of the shop's time is three minutes of the test's. */
const LONG = { expiresInSeconds: 86_400 }

/** A printer's end of `call`: what it was asked, and what it answers; a promise that never ends is a printer that waits for paper. */
class PrinterDoor {
  readonly prints: JsonObject[] = []
  readonly cancels: Json[] = []
  answer: () => Promise<Json> = async () => ({ status: 'printed' })

  call = async (plugin: string, device: string, command: string, args: Json): Promise<Json> => {
    if (plugin !== 'printer') throw new Failure('plugin-not-found', plugin)
    if (command === 'cancel') {
      this.cancels.push([device, args])
      return {}
    }
    this.prints.push({ device, ...(args as JsonObject) })
    return this.answer()
  }
}

t.test('the display shows the code while it can be paid, then thanks, then nothing; one that connects late asks', async (t) => {
  const { shop, open, is, alipay } = await payShop(t, LONG)
  const late = () => shop.command('-', 'display', { till: 'till-1' })
  t.same(await late(), { till: 'till-1', shown: false })
  await open('D-1', 640, { show: 'qr', channel: 'alipay' })
  const { qr, payment, expiresAt } = await is('D-1', 'awaiting-shopper')
  await shop.until(() => pays(shop).length === 1, 'the code on the display')
  const pay = { payment, order: 'D-1', amount: 640, currency: 'CNY', state: 'scan', channel: 'alipay', qr, until: expiresAt }
  t.same(displays(shop)[0], { till: 'till-1', pay })
  t.same(await late(), { till: 'till-1', shown: true, pay })
  t.ok(alipay.ledger.scan(String(qr), Date.now()))
  await is('D-1', 'paid')
  await shop.until(() => pays(shop).length === 3, 'thanks, and nothing more')
  t.same(pays(shop), ['scan', 'paid', 'cleared'])
  t.notOk((displays(shop).at(-2)?.pay as JsonObject | undefined)?.qr, 'no code beside the thanks')
  t.same(await late(), { till: 'till-1', shown: false })
  t.same(
    [...shop.store.keys()].filter((key) => /^(display|slip)\//.test(key)),
    [],
    'nothing is left behind',
  )
})

t.test('cancelled: the code is gone from the display', async (t) => {
  const { shop, open, is } = await payShop(t, LONG)
  await open('E-1', 100, { show: 'qr', channel: 'wechat' })
  await shop.until(() => pays(shop).includes('scan'), 'the code')
  await shop.command('-', 'cancel', { till: 'till-1' })
  await is('E-1', 'reversed')
  await shop.until(() => pays(shop).at(-1) === 'cleared', 'cleared')
  t.same(pays(shop), ['scan', 'cleared'])
})

t.test('its time is over while the box is off: the code is gone from the display after the start', async (t) => {
  const { shop, open, is, crash, restart } = await payShop(t, LONG)
  const { payment } = await open('E-2', 100, { show: 'qr', channel: 'wechat' })
  await shop.until(() => pays(shop).includes('scan'), 'the code')
  const durable = await crash()
  const record = durable.get(`payment/${payment}`) as JsonObject
  durable.set(`payment/${payment}`, { ...record, expiresAt: new Date(Date.now() - 1_000).toISOString() })
  const after = await restart(durable)
  await is('E-2', 'failed')
  await after.until(() => pays(after).at(-1) === 'cleared', 'cleared')
  t.notOk(pays(after).includes('paid'))
})

t.test('while nobody can say whether it is paid, no code invites to pay; then it is back, or paid', async (t) => {
  const { shop, open, is, alipay } = await payShop(t, LONG)
  await open('W-1', 100, { show: 'qr', channel: 'alipay' })
  const { qr } = await is('W-1', 'awaiting-shopper')
  await shop.until(() => pays(shop).length === 1, 'the code')
  alipay.faults.serverError.query = 1
  await shop.command('-', 'query', { order: 'W-1' })
  const doubt = () => states(shop).indexOf('wait')
  await shop.until(() => doubt() > 0 && states(shop).indexOf('scan', doubt()) > 0, 'doubt and its end')
  t.notOk((displays(shop)[doubt()]?.pay as JsonObject | undefined)?.qr)
  t.ok(alipay.ledger.scan(String(qr), Date.now()))
  await is('W-1', 'paid')
})

t.test('a shopper’s own code, cash, and the next sale: the display has no order on it', async (t) => {
  const printer = new PrinterDoor()
  const { shop, open, code, is, alipay } = await payShop(t, { ...LONG, qrPrinters: { 'till-1': 'receipt' } }, { call: printer.call })
  await open('O-1', 100)
  await code()
  await is('O-1', 'paid')
  await open('O-2', 100, { show: 'cash' })
  await is('O-2', 'paid')
  t.same([displays(shop), printer.prints], [[], []])
  await open('O-3', 100, { show: 'qr', channel: 'alipay' })
  const { qr } = await is('O-3', 'awaiting-shopper')
  await shop.until(() => pays(shop).length === 1, 'the code')
  alipay.ledger.scan(String(qr), Date.now())
  await is('O-3', 'paid')
  await open('O-4', 100)
  await shop.until(() => pays(shop).at(-1) === 'cleared', 'cleared for the next shopper')
})

t.test('the box dies while the code is shown and is paid meanwhile; what was on the display ends after the start', async (t) => {
  const { shop: before, open, is, alipay, crash, restart } = await payShop(t, LONG)
  await open('K-1', 100, { show: 'qr', channel: 'alipay' })
  const { qr } = await is('K-1', 'awaiting-shopper')
  await before.until(() => pays(before).length === 1, 'the code')
  const durable = await crash()
  alipay.ledger.scan(String(qr), Date.now())
  const after = await restart(durable)
  await is('K-1', 'paid')
  await after.until(() => pays(after).at(-1) === 'cleared', 'thanks and the end')
  t.ok(pays(after).includes('paid'))
  await after.until(() => ![...after.store.keys()].some((key) => key.startsWith('display/')), 'the note is gone')
  const again = await restart(await crash())
  await again.command('-', 'status')
  t.same(displays(again), [], 'yesterday’s thanks are not repeated')
})

t.test('the box dies, and nothing is left to be shown of what the display has: it is cleared', async (t) => {
  const { shop, open, crash, restart } = await payShop(t, LONG)
  await open('M-1', 100)
  await shop.command('-', 'cancel', { order: 'M-1' })
  const durable = await crash()
  // As it is when the member's scan was shown and the box died.
  durable.set('display/till-1', {})
  durable.set('display/till-9', { payment: 'of long ago' })
  const after = await restart(durable)
  await after.until(() => displays(after).length === 2, 'both')
  t.same(
    displays(after)
      .map((one) => [one.till, one.cleared])
      .sort(),
    [
      ['till-1', true],
      ['till-9', true],
    ],
  )
})

t.test('an older payment that is still watched does not take the place of the one that waits now', async (t) => {
  const { shop: before, open, is, crash, restart } = await payShop(t, LONG)
  await open('T-1', 100, { show: 'qr', channel: 'wechat' })
  await is('T-1', 'awaiting-shopper')
  await before.command('-', 'cancel', { order: 'T-1' })
  await is('T-1', 'reversed')
  await open('T-2', 200, { show: 'qr', channel: 'wechat' })
  await is('T-2', 'awaiting-shopper')
  await before.until(() => before.state('till-1')?.detail === 'awaiting-shopper', 'the state')
  const after = await restart(await crash())
  await is('T-2', 'awaiting-shopper')
  await after.until(() => pays(after).at(-1) === 'scan', 'the code')
  t.equal(after.state('till-1')?.detail, 'awaiting-shopper')
  t.match(await after.command('-', 'display', { till: 'till-1' }), { pay: { order: 'T-2' } })
})

t.test('on paper: printed once where the till asks for it, or where every one of that till is', async (t) => {
  const printer = new PrinterDoor()
  const config = { ...LONG, description: 'Blue Lantern', qrPrinters: { 'till-2': 'kitchen' } }
  const { shop, open, is } = await payShop(t, config, { call: printer.call })
  await open('P-1', 1_250, { show: 'qr', channel: 'alipay', printer: 'receipt' })
  const first = await is('P-1', 'awaiting-shopper')
  await open('P-2', 7, { show: 'qr', channel: 'wechat', till: 'till-2' })
  await is('P-2', 'awaiting-shopper')
  await open('P-3', 7, { show: 'qr', channel: 'wechat', till: 'till-3' })
  await is('P-3', 'awaiting-shopper')
  await shop.until(() => printer.prints.length === 2, 'both slips')
  const slip = printer.prints.find((one) => one.device === 'receipt')
  t.equal(slip?.jobId, `order-qr-${first.attempt}`)
  t.match(
    String(slip?.receipt),
    /Blue Lantern[\s\S]*请扫码付款[\s\S]*Scan to pay[\s\S]*￥12\.50[\s\S]*qrcode[\s\S]*Alipay[\s\S]*P\\x2d1[\s\S]*Valid until/,
  )
  t.equal(printer.prints.find((one) => one.device === 'kitchen')?.jobId, `order-qr-${(await is('P-2', 'awaiting-shopper')).attempt}`)
  t.match(first, { printer: 'receipt' })
  await t.rejects(open('P-4', 7, { printer: 'receipt', till: 'till-4' }), { code: 'args-invalid', message: /args\.printer.*show "qr"/ })
})

t.test('the box dies before, while and after the slip is printed: one job, whatever was asked how often', async (t) => {
  const printer = new PrinterDoor()
  const { shop, open, is, crash, restart } = await payShop(t, LONG, { call: printer.call })
  const outage = ['plugin-not-running', 'command-interrupted'] as const
  let asked = 0
  printer.answer = async () => {
    const code = outage[asked++]
    if (code) throw new Failure(code, 'the printer plugin is away')
    return new Promise(() => {})
  }
  await open('C-1', 100, { show: 'qr', channel: 'alipay', printer: 'receipt' })
  await is('C-1', 'awaiting-shopper')
  await shop.until(() => printer.prints.length === 3, 'asked again while the printer plugin is away')
  const interrupted = await crash()
  printer.answer = async () => ({ status: 'printed' })
  const second = await restart(interrupted)
  await second.until(() => [...second.store.keys()].some((key) => key.startsWith('slip/')), 'printed')
  t.equal(printer.prints.length, 4)
  t.equal(new Set(printer.prints.map((one) => JSON.stringify(one))).size, 1, 'always the same job with the same text')
  const third = await restart(await crash())
  await is('C-1', 'awaiting-shopper')
  await third.command('-', 'query', { order: 'C-1' })
  await third.command('-', 'cancel', { order: 'C-1' })
  await is('C-1', 'reversed')
  await third.until(() => ![...third.store.keys()].some((key) => key.startsWith('slip/')), 'the mark is gone')
  t.equal(printer.prints.length, 4, 'not asked for again')
  t.same(printer.cancels, [], 'what is printed is not cancelled')
})

t.test(
  'the printer cannot: the till hears why, the payment goes on; a slip that still waits is called back when all is over',
  async (t) => {
    const printer = new PrinterDoor()
    const { shop, open, is } = await payShop(t, LONG, { call: printer.call })
    printer.answer = async () => Promise.reject(new Failure('device-fault', 'job "x": out of paper'))
    await open('N-1', 100, { show: 'qr', channel: 'alipay', printer: 'receipt' })
    await shop.until(() => shop.events.some((one) => one.event === 'not-printed'), 'the till is told')
    const { attempt, payment } = await is('N-1', 'awaiting-shopper')
    t.match(
      shop.events.find((one) => one.event === 'not-printed'),
      {
        device: 'till-1',
        data: { payment, order: 'N-1', printer: 'receipt', job: `order-qr-${attempt}`, code: 'device-fault', message: /paper/ },
      },
    )
    await shop.command('-', 'cancel', { order: 'N-1' })
    await is('N-1', 'reversed')
    t.same(printer.cancels, [])
    printer.answer = () => new Promise(() => {})
    await open('N-2', 100, { show: 'qr', channel: 'alipay', printer: 'receipt' })
    await shop.until(() => printer.prints.length === 2, 'waits for paper')
    await shop.command('-', 'cancel', { order: 'N-2' })
    await shop.until(() => printer.cancels.length === 1, 'called back')
    t.same(printer.cancels, [['receipt', { jobId: printer.prints[1]?.jobId }]])
  },
)

t.test('a disk that takes its time: the display shows the code until its end is stored', async (t) => {
  const { shop, open, is } = await payShop(t, LONG)
  await open('F-1', 100, { show: 'qr', channel: 'alipay' })
  await is('F-1', 'awaiting-shopper')
  await shop.until(() => pays(shop).length === 1, 'the code')
  shop.hold()
  const cancelled = shop.command('-', 'cancel', { order: 'F-1' })
  await turn()
  t.same(pays(shop), ['scan'])
  shop.resume()
  await cancelled
  await is('F-1', 'reversed')
  await shop.until(() => pays(shop).at(-1) === 'cleared', 'cleared')
})
