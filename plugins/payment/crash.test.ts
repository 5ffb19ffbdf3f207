/** The built gateway, killed with SIGKILL at every step of a charge: one charge, one receipt. */
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import t from 'tap'
import type { JsonObject } from '../../daemon/contract/json.ts'
import { until } from '../../daemon/testing/until.ts'
import { PayingShop } from './gateway.testing.ts'

const BUILT = existsSync(resolve(import.meta.dirname, '../../dist/plugins/payment/plugin.cjs'))
/** Asked often, given up late: nobody is to give up because the machine is busy. */
const TIMING = { timeoutMs: 30_000, queryMs: 200, giveUpMs: 100_000, settleMs: 1_000 }

interface Step {
  name: string
  /** Sets the scene; resolves when the gateway is to be killed. */
  reached: (shop: PayingShop) => Promise<void>
}

const hears = (event: string) => (shop: PayingShop) =>
  new Promise<void>((done) => {
    shop.onHeard = (heard) => heard.event === event && done()
  })

const STEPS: Step[] = [
  { name: 'the scan is journaled', reached: hears('scanner.scan') },
  {
    name: 'the charge arrives at the provider, which has not carried it out',
    reached: (shop) => {
      shop.alipay.faults.slowMs = 300
      return until(() => shop.alipay.seen.pay > 0, 'the charge')
    },
  },
  {
    name: 'the provider has taken the money and has not answered',
    reached: (shop) => {
      // Longer than it takes to kill it, however busy the machine is.
      shop.alipay.faults.slowAnswerMs = 10_000
      return until(() => shop.alipay.ledger.trades.size > 0, 'the money')
    },
  },
  {
    name: 'the shopper types the password',
    reached: (shop) => {
      shop.alipay.faults.userPaying = 1
      shop.alipay.faults.confirmMs = 1_500
      return hears('payment.waiting')(shop)
    },
  },
  { name: '"paid" is told', reached: hears('payment.paid') },
  {
    name: 'the receipt is asked for',
    reached: (shop) =>
      new Promise((done) => {
        shop.onHeard = ({ event, data }) => {
          if (event !== 'payment.paid') return
          shop.print(data)
          setTimeout(done, 5)
        }
      }),
  },
  {
    name: 'the receipt is printed',
    reached: (shop) =>
      new Promise((done) => {
        shop.onHeard = ({ event, data }) => {
          if (event === 'payment.paid') shop.print(data)
          if (event === 'printer.printed') done()
        }
      }),
  },
]

/** Between the steps that can be seen. */
const MOMENTS = [2, 8, 14, 20, 30].map(
  (ms): Step => ({ name: `${ms} ms after the scan`, reached: () => new Promise((done) => setTimeout(done, ms)) }),
)

/** Each step is another start of the gateway: the everyday test kills at the two that matter most. `SOAK=1` for all. */
const ALL = process.env.SOAK === '1' || process.argv[1]?.includes('.soak.') === true
const rounds = ALL ? [...STEPS, ...MOMENTS] : [STEPS[2], STEPS[5]].filter((one) => one !== undefined)

t.test(
  `kill -9 at ${rounds.length} steps of a charge`,
  { skip: BUILT ? false : 'not built: npm run build', timeout: 600_000 },
  async (t) => {
    const shop = new PayingShop()
    t.teardown(() => shop.end())
    await shop.start(TIMING)
    for (const [round, { name, reached }] of rounds.entries()) {
      const order = `order-${round}`
      shop.alipay.seen.pay = 0
      shop.alipay.ledger.trades.clear()
      await shop.command('payment', '-', 'open', { order, amount: 100 + round, till: 'till-1' })
      shop.onHeard = () => {}
      const due = reached(shop)
      shop.scan(`28${String(round).padStart(4, '0')}000000000001`)
      await due
      await shop.kill()
      Object.assign(shop.alipay.faults, { slowMs: 0, slowAnswerMs: 0 })
      shop.onHeard = ({ event, data }) => event === 'payment.paid' && shop.print(data)
      await shop.run()
      await receipt(shop, await paid(shop, order, round), name)
      const taken = [...shop.alipay.ledger.trades.values()].map((trade) => shop.alipay.ledger.net(trade)).filter((net) => net > 0)
      t.same(taken, [100 + round], `${name}: one charge`)
      t.equal(shop.printed(order), 1, `${name}: one receipt`)
    }
  },
)

/** The till after a restart: asks what became of its payment, and has another code shown where it may be, again when that came to nothing. */
async function paid(shop: PayingShop, order: string, round: number): Promise<JsonObject> {
  let shown = 0
  let payment: JsonObject = {}
  await until(async () => {
    payment = await shop.payment(order)
    if (payment.status === 'open' || payment.status === 'failed') {
      shown += 1
      shop.scan(`28${String(round).padStart(4, '0')}0000000001${String(shown).padStart(2, '0')}`)
      await new Promise((wait) => setTimeout(wait, 300))
    }
    return payment.status === 'paid'
  }, `${order} to be paid`)
  return payment
}

/**
 * Asks for the receipt until it is there. Killed between its record and its first byte, a job is in doubt and never printed by itself: then a
 * person looks at the paper, and asks for it again where there is none.
 */
async function receipt(shop: PayingShop, payment: JsonObject, name: string): Promise<void> {
  const order = String(payment.order)
  let looked = false
  await until(async () => {
    if (shop.printed(order) > 0) return true
    const job = await shop.receipt(payment).catch(() => undefined)
    if (job === undefined) shop.print(payment)
    if (job?.status !== 'unknown' || looked) return false
    looked = true
    await shop.look()
    if (shop.printed(order) === 0) await shop.command('printer', 'receipt', 'print', { reprint: String(job.jobId) })
    return false
  }, `${name}: the receipt`)
}
