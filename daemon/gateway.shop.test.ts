import { existsSync } from 'node:fs'
import t from 'tap'
import { openIn } from './journal/testing/support.ts'
import type { LedgerPage, PaymentRow, StatsAnswer, VisitRow } from './ledger/api.ts'
import { PROJECTION, TABLES } from './ledger/projection.ts'
import { Counter } from './ledger/testing/counter.ts'
import { HandClock } from './testing/hand-clock.ts'
import { until } from './testing/until.ts'
import { WholeShop, ZONE } from './testing/whole-shop.ts'

t.setTimeout(600_000)
const skip = existsSync('/usr/sbin/mosquitto') ? false : 'mosquitto is not installed'

/** Shoppers' steps before each kill. `SOAK=1` for many. */
const KILLS = Array.from({ length: process.env.SOAK === '1' ? 30 : 2 }, (_, at) => 5 + ((at * 7) % 11))

const receipt = (order: string, amount: number): string =>
  `订单 Order ${order} |\n-\nGreen tea | ¥${(amount / 100).toFixed(2)}\n-\n合计 TOTAL | ¥${(amount / 100).toFixed(2)}\n`

/** Opens, scans the shopper's code, waits until it is paid. */
async function pay(shop: WholeShop, order: string, amount: number, more: Record<string, string> = {}): Promise<string> {
  await shop.command('payment', '-', 'open', { order, amount, till: 'till-1', ...more })
  shop.scan(`28${order.replace(/\D/g, '').padStart(16, '0')}`)
  return String((await shop.hears('payment.paid', { order })).data.payment)
}

t.test(
  'a guest joins, pays, and opens the link on the receipt; a member logs in and shows the card; each payment is linked to its visit, at HQ, too; money back, and the link is gone',
  { skip },
  async (t) => {
    const shop = await WholeShop.build()
    t.teardown(() => shop.floor.end())
    await shop.open()

    await shop.join('127.0.0.21')
    const { visit, visitor } = (await shop.hears('visit.arrived')).data
    const { session } = (await shop.hears('portal.session-started', { visitor: String(visitor) })).data

    const payment = await pay(shop, 'T-1001', 1_800)
    await shop.command('printer', 'receipt', 'print', { receipt: receipt('T-1001', 1_800) }, `receipt-${payment}`)
    const captured = await shop.hears('receipt.captured')
    t.match(captured.data, { till: 'till-1', order: 'T-1001', total: 1_800, parsed: true, payment })
    await until(() => shop.printedLinks().length === 1, 'the code on the paper')
    const [link = ''] = shop.printedLinks()
    t.equal((await shop.atHq('payment.linked')).length, 0, 'nobody knows yet whose payment it was')

    t.equal(await shop.openLink('127.0.0.21', link), 200)
    const claimed = await shop.hears('portal.claimed')
    t.match(claimed.data, { claim: captured.data.claim, session, visitor, network: 'guest' })
    const linked = await shop.hears('payment.linked', { payment })
    const paid = await shop.hears('payment.paid', { payment })
    t.match(linked.data, { method: 'claim_code', confidence: 0.9, candidates: 1, session, visit, visitor, rule: '1' })
    t.type(linked.data.consent, 'string', 'the consent under which it is linked')
    t.match(linked.data.evidence, [/./, paid.id, captured.id, claimed.id], 'the events it rests on')

    // Somebody else finds the paper.
    await shop.join('127.0.0.22')
    await until(async () => (await shop.atHq('visit.arrived')).length === 2, 'the second visitor')
    await shop.openLink('127.0.0.22', link)
    await until(async () => (await shop.atHq('portal.claimed')).length === 2, 'the link is opened again')

    // A member: the portal's login and the card at the till are one person.
    const { code } = await shop.command('portal', '-', 'code', { member: 'VIP10000001' })
    await shop.join('127.0.0.23', String(code))
    const started = await shop.hears('portal.session-started', { method: 'code' })
    await shop.command('payment', '-', 'open', { order: 'T-1002', amount: 2_500, till: 'till-1' })
    shop.scan('VIP10000001')
    await until(async () => (await shop.atHq('payment.present')).length === 1, 'the member at the till')
    shop.scan('280000000000001002')
    const second = String((await shop.hears('payment.paid', { order: 'T-1002' })).data.payment)
    const member = await shop.hears('payment.linked', { payment: second })
    t.match(member.data, { method: 'member_code', confidence: 0.95, visitor: started.data.visitor, session: started.data.session })
    t.equal(started.data.visitor, started.data.member)
    const identified = await shop.hears('visit.identified', { visitor: String(started.data.visitor) })
    t.match(identified.data, { visit: member.data.visit, was: started.data.station }, 'the phone that had arrived was the member\u2019s')
    t.equal((await shop.atHq('visit.arrived')).length, 3, 'the card at the till is no second visit')

    await shop.command('payment', '-', 'refund', { order: 'T-1001' })
    const revoked = await shop.hears('payment.linked', { payment, revoked: 'refunded' })
    t.match(revoked.data, { method: 'claim_code' })
    t.equal((await shop.atHq('payment.linked')).length, 3, 'and the finder of the paper got nothing')

    const { client } = shop.gateway
    const paymentRows = () => client.get<LedgerPage<PaymentRow>>('/api/v1/payments')
    // The tables follow what is journaled.
    const first = async () => (await paymentRows()).rows.find((one) => one.payment === payment)
    await until(
      async () => (await first())?.state === 'refunded' && (await first())?.method === undefined,
      'the tables to know of the refund',
    )
    const visits = await client.get<LedgerPage<VisitRow>>('/api/v1/visits')
    t.equal(visits.rows.length, 3)
    t.match(visits.rows.at(-1), { visit, visitor, first: true })
    const payments = await paymentRows()
    t.equal(payments.rows.length, 2)
    t.match(
      payments.rows.find((one) => one.payment === payment),
      { state: 'refunded', amount: 1_800, refunded: 1_800, order: 'T-1001', method: undefined, visitor: undefined },
    )
    t.match(
      payments.rows.find((one) => one.payment === second),
      { state: 'paid', method: 'member_code', confidence: 0.95, visit: member.data.visit, visitor: member.data.visitor },
    )
    const stats = await client.get<StatsAnswer>('/api/v1/stats')
    t.match(stats.total, {
      visits: { count: 3, first: 3, returning: 0 },
      payments: { count: 2 },
      linked: { count: 1, share: 0.5, byMethod: { member_code: 1 } },
    })
    const { code: exit, output } = await shop.floor.cli(['stats', '--config', shop.gateway.configFile])
    t.equal(exit, 0)
    t.match(output, /linked by member_code 1/)
  },
)

t.test(
  'kill -9 in the middle of a rush: every phone is one visit and every payment has one link, here and at HQ; the tables are what the journal says',
  { skip },
  async (t) => {
    const shop = await WholeShop.build()
    t.teardown(() => shop.floor.end())
    await shop.open()
    const rush = new Rush(shop)
    const running = rush.run()
    // Anywhere in the next commits of many phones and sales: the first kill falls among logins, the later ones between the steps of payments.
    for (const more of KILLS) {
      const enough = rush.done + more
      await until(() => rush.done >= enough, 'more shoppers', 300_000)
      await new Promise((wake) => setTimeout(wake, more * 17))
      await shop.gateway.kill('SIGKILL')
      await shop.open()
    }
    rush.close()
    await running
    t.comment(`${rush.phones} phones, ${rush.payments.size} payments, ${KILLS.length} kills`)

    const arrivals = () => shop.journaled('visit.arrived')
    const links = () => shop.journaled('payment.linked')
    await until(async () => (await links()).length >= rush.payments.size && (await arrivals()).length >= rush.phones, 'the ledger')
    const ordered = new Map((await shop.journaled('payment.paid')).map(({ data }) => [data.payment, data.session]))
    await shop.settled()
    for (const [where, visits, linked] of [
      ['in the journal', await arrivals(), await links()],
      ['at HQ', await shop.atHq('visit.arrived'), await shop.atHq('payment.linked')],
    ] as const) {
      t.equal(visits.length, rush.phones, `a visit for each phone ${where}`)
      t.equal(new Set(visits.map(({ data }) => data.visitor)).size, rush.phones)
      t.equal(new Set(visits.map(({ data }) => data.visit)).size, rush.phones)
      t.same(linked.map(({ data }) => data.payment).sort(), [...rush.payments].sort(), `a link for each payment ${where}`)
      t.ok(
        linked.every(({ data }) => data.method === 'portal_order' && data.session === ordered.get(data.payment)),
        'each through the session in which it was ordered',
      )
    }
    // After a crash `paid` may be told twice, with the same payment: it counts once.
    const stats = () => shop.gateway.client.get<StatsAnswer>('/api/v1/stats')
    await until(async () => (await stats()).total.linked.count >= rush.payments.size, 'the tables to follow what is journaled')
    const { total } = await stats()
    t.match(total.linked, { count: rush.payments.size, share: 1, byMethod: { portal_order: rush.payments.size } })
    t.equal(total.visits.count, rush.phones)
    t.equal(total.payments.count, rush.payments.size, 'each payment counts once')
    t.equal(
      total.payments.byChannel.reduce((sum, one) => sum + one.sum, 0),
      rush.takings,
      'and so do the takings',
    )
    t.same(await shop.journaled('visit.departed'), [], 'and nobody has left because the power went')

    await shop.gateway.kill('SIGTERM')
    const { dataDir } = shop.gateway
    const now = new Date().toISOString()
    const asLeft = await Counter.open(dataDir, { clock: new HandClock(now), timeZone: ZONE })
    const left = await asLeft.rows()
    await asLeft.close()
    t.ok(left.split('\n').length > rush.phones + 2 * rush.payments.size)
    const journal = await openIn(dataDir)
    await (await journal.tables('ledger', { version: `${PROJECTION} ${ZONE}`, tables: TABLES })).reset([])
    await journal.close()
    const anew = await Counter.open(dataDir, { clock: new HandClock(now), timeZone: ZONE })
    t.ok((await anew.rows()) === left, 'made anew from the journal, the tables are the same')
    await anew.close()
  },
)

/** Shoppers one behind the other at four doors: each joins, orders in the portal and pays; whoever is cut off tries again. */
class Rush {
  /** Those that were paid. */
  readonly payments = new Set<string>()
  phones = 0
  /** Minor units. */
  takings = 0
  done = 0
  #open = true
  readonly #shop: WholeShop

  constructor(shop: WholeShop) {
    this.#shop = shop
  }

  close(): void {
    this.#open = false
  }

  async run(): Promise<void> {
    await Promise.all([1, 2, 3, 4].map((door) => this.#door(door)))
  }

  async #door(door: number): Promise<void> {
    for (let number = 1; this.#open && number < 250; number++) {
      const address = `127.0.3${door}.${number}`
      const [amount, till] = [100 * door + number, `till-${door + 1}`]
      this.phones += 1
      await persist(() => this.#shop.join(address))
      this.done += 1
      let sale = ''
      const payment = await persist(async () => {
        const known = sale === '' ? undefined : await this.#payment(sale)
        if (known?.status === 'paid') return known.payment
        // Cut off in doubt, a charge is undone, and the till begins anew.
        if (known === undefined || known.status === 'reversed' || known.status === 'cancelled') {
          // Let in just before the power went, a phone may find itself outside again.
          await this.#shop.join(address)
          const { session } = await this.#shop.command('portal', '-', 'session', { address })
          const order = known === undefined ? `R-${door}-${number}` : `${sale}-again`
          await this.#shop.command('payment', '-', 'open', { order, amount, till, session: String(session) })
          sale = order
        } else if (known.status === 'open') {
          // Half of them show a code, which HQ charges; the others pay cash.
          const code = `28${String(door)}${String(number).padStart(15, '0')}`
          if (number % 2 === 0) await this.#shop.command('payment', '-', 'cash', { order: sale })
          else await this.#shop.command('payment', '-', 'code', { code, channel: 'alipay', till })
        }
        throw new Error(`not paid yet: ${known?.status}`)
      })
      this.payments.add(payment)
      this.takings += amount
      this.done += 1
    }
  }

  async #payment(order: string): Promise<{ payment: string; status: string } | undefined> {
    const { payments } = (await this.#shop.command('payment', '-', 'payments', { order })) as {
      payments: { payment: string; status: string }[]
    }
    return payments[0]
  }
}

async function persist<Value>(ask: () => Promise<Value>): Promise<Value> {
  let value: { is: Value } | undefined
  let last: unknown
  // A payment in doubt is undone only when the gateway has been up for a while: until the last kill it may have to wait.
  const patienceMs = 200_000 + KILLS.length * 30_000
  await until(
    async () => {
      value = await ask().then(
        (is) => ({ is }),
        (error: unknown) => {
          last = error
          return undefined
        },
      )
      return value !== undefined
    },
    'an answer',
    patienceMs,
  ).catch((error: Error) => {
    throw new Error(`${error.message}: ${String(last)}`)
  })
  if (!value) throw new Error('no answer')
  return value.is
}
