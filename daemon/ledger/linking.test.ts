import t, { type Test } from 'tap'
import { testFolder } from '../testing/folder.ts'
import { Counter, type CounterOptions, DAY, MINUTE } from './testing/counter.ts'
import { traffic } from './testing/traffic.ts'
import { score } from './testing/truth-table.ts'
import { runTraffic } from './testing/week.ts'

async function shop(t: Test, options: CounterOptions = {}): Promise<Counter> {
  const counter = await Counter.open(testFolder(t), options)
  t.teardown(() => counter.close())
  return counter
}

const CONSENT = { version: 'v3', hash: 'abc', marketing: true }
let made = 0

/** Somebody on the guest WiFi; logged in where `visitor` is not the station itself. */
async function join(
  it: Counter,
  visitor: string,
  more: Record<string, string> = {},
  consent: typeof CONSENT | 'none' = CONSENT,
): Promise<string> {
  const session = `s-${made++}`
  await it.present(visitor, { session })
  await it.tell('portal', 'session-started', {
    session,
    visitor,
    station: `station-of-${visitor}`,
    method: 'sms',
    returning: false,
    ...(consent === 'none' ? {} : { consent }),
    ...more,
  })
  return session
}

const claim = (it: Counter, payment: string, token: string) =>
  it.tell('receipt', 'captured', { receipt: `r-${payment}`, till: 'till-1', lines: [], total: 1_250, payment, parsed: true, claim: token })

t.test('the payer is who logged in: linked at once, with session, visit, consent and what it rests on', async (t) => {
  const it = await shop(t)
  const session = await join(it, 'ann')
  await it.pay('p-1', { payer: 'ann' })
  const [arrived] = await it.told('visit.arrived')
  const [link] = await it.told('payment.linked')
  t.match(link, {
    payment: 'p-1',
    method: 'payer_identity',
    confidence: 0.99,
    candidates: 1,
    session,
    visitor: 'ann',
    visit: arrived?.visit,
    consent: 'v3',
    rule: '1',
  })
  t.match(link?.evidence, [/^[0-9a-f-]{36}$/, /^[0-9a-f-]{36}$/])
  t.match((await it.ledger.payments({ limit: 1 })).rows, [
    { payment: 'p-1', method: 'payer_identity', visitor: 'ann', visit: arrived?.visit },
  ])
})

t.test('an order made in the portal, a member’s card at the till', async (t) => {
  const it = await shop(t)
  const session = await join(it, 'ann')
  await it.tell('payment', 'opened', { payment: 'p-1', order: 'o-1', till: 't', amount: 5, currency: 'CNY', session })
  await it.pay('p-1')
  await join(it, 'phone-9', { member: 'mia' })
  await it.pay('p-2', { member: 'mia' })
  await it.tell('payment', 'present', { visitor: 'zoe', by: 'member', stays: false })
  await it.settle()
  await it.pay('p-3', { member: 'zoe' })
  t.match(await it.told('payment.linked'), [
    { payment: 'p-1', method: 'portal_order', confidence: 0.95, visitor: 'ann' },
    { payment: 'p-2', method: 'member_code', confidence: 0.95, visitor: 'phone-9' },
    { payment: 'p-3', method: 'member_code', visitor: 'zoe' },
  ])
  t.equal((await it.told('payment.linked'))[2]?.session, undefined)
})

t.test('the receipt’s code: 0.90 from the shop’s WiFi, 0.70 from elsewhere, and only once', async (t) => {
  const it = await shop(t)
  const ann = await join(it, 'ann')
  const ben = await join(it, 'ben')
  for (const id of ['p-1', 'p-2']) {
    await it.pay(id)
    await claim(it, id, `claim-${id}`)
  }
  await it.tell('portal', 'claimed', { claim: 'claim-p-1', session: ann, visitor: 'ann', network: 'guest' })
  await it.tell('portal', 'claimed', { claim: 'claim-p-1', session: ben, visitor: 'ben', network: 'guest' })
  await it.tell('portal', 'claimed', { claim: 'claim-p-2', visitor: 'ben', network: 'other' })
  await it.tell('portal', 'claimed', { claim: 'forged', session: ben, visitor: 'ben', network: 'guest' })
  t.match(await it.told('payment.linked'), [
    { payment: 'p-1', method: 'claim_code', confidence: 0.9, visitor: 'ann' },
    { payment: 'p-2', method: 'claim_code', confidence: 0.7, visitor: 'ben' },
  ])
  t.equal((await it.told('payment.linked')).length, 2)
})

t.test('a claim that is opened before the capture is journaled still counts; a receipt without a payment finds the only one', async (t) => {
  const it = await shop(t)
  const session = await join(it, 'ann')
  await it.pay('p-1')
  await it.tell('portal', 'claimed', { claim: 'c', session, visitor: 'ann', network: 'guest' })
  await it.tell('receipt', 'captured', { receipt: 'r', till: 'till-1', lines: [], total: 1_250, parsed: true, claim: 'c' })
  t.match(await it.told('payment.linked'), [{ payment: 'p-1', method: 'claim_code' }])
  await it.pay('p-2')
  await it.pay('p-3')
  await it.tell('receipt', 'captured', { receipt: 'r2', till: 'till-1', lines: [], total: 1_250, parsed: true, claim: 'd' })
  await it.tell('portal', 'claimed', { claim: 'd', session, visitor: 'ann', network: 'guest' })
  t.equal((await it.told('payment.linked')).length, 1, 'of two payments it is nobody’s')
})

t.test(
  'the till prints before the money is there: the receipt plugin matches them afterwards, and the code on the paper counts',
  async (t) => {
    const it = await shop(t)
    const session = await join(it, 'ann')
    const printed = (receipt: string, token: string) =>
      it.tell('receipt', 'captured', { receipt, till: 'till-1', lines: [], total: 1_250, parsed: true, claim: token })
    const matched = (receipt: string, payment: string) => it.tell('receipt', 'matched', { receipt, till: 'till-1', payment, by: 'amount' })
    await printed('r-1', 'early-1')
    await printed('r-2', 'early-2')
    await it.pay('p-1')
    await matched('r-1', 'p-1')
    await it.tell('portal', 'claimed', { claim: 'early-1', session, visitor: 'ann', network: 'guest' })
    await it.tell('portal', 'claimed', { claim: 'early-2', session, visitor: 'ann', network: 'guest' })
    await it.settle()
    await it.restart()
    await it.pay('p-2')
    await matched('r-2', 'p-2')
    t.strictSame(
      (await it.told('payment.linked')).map((one) => [one.payment, one.method, one.visitor]),
      [
        ['p-1', 'claim_code', 'ann'],
        ['p-2', 'claim_code', 'ann'],
      ],
    )
    t.match((await it.ledger.payments({ limit: 2 })).rows, [
      { payment: 'p-2', receipt: 'r-2' },
      { payment: 'p-1', receipt: 'r-1' },
    ])
  },
)

t.test('the only one logged in nearby is a guess that names nobody; several are a number', async (t) => {
  const it = await shop(t)
  await join(it, 'ann')
  await it.pay('p-1')
  t.equal((await it.told('payment.linked')).length, 0, 'others may still come within two minutes')
  await it.pass(3 * MINUTE)
  const [guess] = await it.told('payment.linked')
  t.match(guess, { payment: 'p-1', method: 'single_candidate', confidence: 0.5, candidates: 1 })
  t.notOk(guess && ('visitor' in guess || 'session' in guess || 'visit' in guess))
  await it.pay('p-2')
  await it.pass(MINUTE)
  await join(it, 'ben')
  await it.pass(2 * MINUTE)
  t.match((await it.told('payment.linked'))[1], { payment: 'p-2', confidence: 0, candidates: 2 })
  const { linked } = (await it.ledger.stats({})).total
  t.match(linked, { count: 0, share: 0, inferred: 1, byMethod: { single_candidate: 1 } })
})

t.test('a stronger proof takes the place of a weaker one, never the other way round; the sums follow', async (t) => {
  const it = await shop(t)
  const session = await join(it, 'ann')
  await it.pay('p-1', { payer: 'ann-wallet' })
  await it.pass(3 * MINUTE)
  await claim(it, 'p-1', 'c')
  await it.tell('portal', 'claimed', { claim: 'c', session, visitor: 'ann', network: 'guest' })
  await join(it, 'ann-wallet')
  const links = await it.told('payment.linked')
  t.strictSame(
    links.map((one) => one.method),
    ['single_candidate', 'claim_code', 'payer_identity'],
  )
  await it.pay('p-2', { payer: 'ann-wallet' })
  await claim(it, 'p-2', 'd')
  await it.tell('portal', 'claimed', { claim: 'd', session, visitor: 'ann', network: 'guest' })
  t.equal((await it.told('payment.linked')).length, 4, 'the claim of p-2 is weaker than what is known')
  t.match((await it.ledger.stats({})).total.linked, { count: 2, share: 1, byMethod: { payer_identity: 2 } })
})

t.test('a whole refund or a reversal revokes, a part refund does not; nothing is linked afterwards', async (t) => {
  const it = await shop(t)
  const session = await join(it, 'ann')
  for (const id of ['p-1', 'p-2', 'p-3']) await it.pay(id, { payer: 'ann' })
  await it.refund('p-1', 250)
  await it.tell('payment', 'reversed', { payment: 'p-2', amount: 1_250, currency: 'CNY' })
  await it.refund('p-3', 1_250)
  await claim(it, 'p-3', 'c')
  await it.tell('portal', 'claimed', { claim: 'c', session, visitor: 'ann', network: 'guest' })
  const revoked = (await it.told('payment.linked')).filter((one) => one.revoked !== undefined)
  t.strictSame(
    revoked.map((one) => [one.payment, one.revoked]),
    [
      ['p-2', 'reversed'],
      ['p-3', 'refunded'],
    ],
  )
  const { rows } = await it.ledger.payments({ limit: 9 })
  t.strictSame(
    rows.map((one) => [one.payment, one.state, one.method, one.refunded]),
    [
      ['p-3', 'refunded', undefined, 1_250],
      ['p-2', 'reversed', undefined, 1_250],
      ['p-1', 'part-refunded', 'payer_identity', 250],
    ],
  )
  t.match((await it.ledger.stats({})).total.payments.byChannel, [{ count: 3, sum: 3_750, refunds: 3, refunded: 2_750, average: 1_250 }])
})

t.test('parts of a payment go back one after the other, each told twice by a box that crashed in between: the books add up', async (t) => {
  const it = await shop(t)
  await join(it, 'ann')
  await it.pay('p-1', { payer: 'ann' })
  for (const [back, total] of [
    [250, 250],
    [250, 250],
    [600, 850],
    [600, 850],
  ] as const)
    await it.refund('p-1', back, total)
  await it.settle()
  t.match((await it.ledger.payments({ limit: 1 })).rows, [
    { state: 'part-refunded', amount: 1_250, refunded: 850, method: 'payer_identity' },
  ])
  t.match((await it.ledger.stats({})).total.payments.byChannel, [{ sum: 1_250, refunds: 2, refunded: 850 }])
  await it.tell('payment', 'unknown', {
    payment: 'p-1',
    amount: 1_250,
    currency: 'CNY',
    refund: 'p-1R03',
    refundAmount: 400,
    reason: 'timeout',
  })
  await it.tell('payment', 'failed', {
    payment: 'p-1',
    amount: 1_250,
    currency: 'CNY',
    refund: 'p-1R03',
    refundAmount: 400,
    reason: 'no',
    final: false,
  })
  t.match((await it.ledger.payments({ limit: 1 })).rows, [{ state: 'part-refunded', refunded: 850 }], 'a refused refund leaves it paid')
  await it.refund('p-1', 400, 1_250)
  t.match((await it.ledger.payments({ limit: 1 })).rows, [{ state: 'refunded', refunded: 1_250 }])
  t.match((await it.told('payment.linked')).at(-1), { payment: 'p-1', revoked: 'refunded' })
})

t.test('late money of a first code goes back: the payment that a second code has paid stays paid, and linked', async (t) => {
  const it = await shop(t)
  await join(it, 'ann')
  const told = { payment: 'p-1', order: 'o-1', till: 'till-1', amount: 1_250, currency: 'CNY' }
  await it.tell('payment', 'opened', told)
  await it.tell('payment', 'failed', { ...told, attempt: 'p-101', reason: 'timeout', final: false })
  await it.pay('p-1', { payer: 'ann' })
  await it.tell('payment', 'unknown', { ...told, attempt: 'p-101', reason: 'late', late: true })
  await it.tell('payment', 'reversed', { ...told, attempt: 'p-101', reason: 'late', late: true })
  t.match((await it.ledger.payments({ limit: 1 })).rows, [{ state: 'paid', refunded: undefined, method: 'payer_identity' }])
  // The other way round: the late money comes and goes before the second code is shown.
  const other = { ...told, payment: 'p-2' }
  await it.tell('payment', 'failed', { ...other, attempt: 'p-201', reason: 'timeout', final: false })
  await it.tell('payment', 'reversed', { ...other, attempt: 'p-201', reason: 'late', late: true })
  await it.pay('p-2', { payer: 'ann' })
  t.match((await it.ledger.payments({ limit: 1 })).rows, [{ payment: 'p-2', state: 'paid' }])
  t.match((await it.ledger.stats({})).total.payments.byChannel, [{ count: 2, sum: 2_500, refunds: 0 }])
})

t.test('a payment in doubt that the till cancels is in doubt no more', async (t) => {
  const it = await shop(t)
  const told = { payment: 'p-1', order: 'o-1', till: 'till-1', amount: 5, currency: 'CNY' }
  await it.tell('payment', 'opened', told)
  await it.tell('payment', 'unknown', { ...told, reason: 'timeout' })
  await it.tell('payment', 'cancelled', { ...told, reason: 'cancelled by the till' })
  t.match((await it.ledger.payments({ limit: 1 })).rows, [{ payment: 'p-1', state: 'failed' }])
})

t.test('a refund weeks later still finds its link, in the tables', async (t) => {
  const it = await shop(t)
  await join(it, 'ann')
  await it.pay('p-1', { payer: 'ann' })
  await it.pass(20 * DAY)
  await join(it, 'ben')
  await it.pay('p-2')
  await it.refund('p-1', 1_250)
  t.match((await it.told('payment.linked')).at(-1), { payment: 'p-1', method: 'payer_identity', revoked: 'refunded' })
})

t.test('without consent nothing is linked through the portal', async (t) => {
  const it = await shop(t)
  const session = await join(it, 'ann', {}, 'none')
  await it.pay('p-1', { payer: 'ann', session, member: 'ann' })
  await claim(it, 'p-1', 'c')
  await it.tell('portal', 'claimed', { claim: 'c', session, visitor: 'ann', network: 'guest' })
  await it.pass(3 * MINUTE)
  t.strictSame(
    (await it.told('payment.linked')).filter((one) => one.session !== undefined),
    [],
  )
})

t.test('two phones of one member: the member, no phone; two wallets on one phone: no mix-up', async (t) => {
  const it = await shop(t)
  await join(it, 'mia')
  await join(it, 'mia')
  await it.pay('p-1', { payer: 'mia' })
  const [both] = await it.told('payment.linked')
  t.match(both, { visitor: 'mia', candidates: 2 })
  t.equal(both?.session, undefined)
  await it.pay('p-2', { payer: 'her-husband' })
  await it.settle()
  t.equal((await it.told('payment.linked')).length, 1)
})

t.test('erasure takes the person out of everything here and revokes the links, also of old payments', async (t) => {
  const it = await shop(t)
  await join(it, 'ann')
  await it.pay('p-1', { payer: 'ann' })
  await it.pass(20 * DAY)
  await join(it, 'ann')
  await it.pay('p-2', { payer: 'ann' })
  await it.settle()
  await it.tell('portal', 'erased', { visitor: 'ann' })
  const revoked = (await it.told('payment.linked')).filter((one) => one.revoked === 'erased')
  t.strictSame(revoked.map((one) => one.payment).sort(), ['p-1', 'p-2'])
  t.notMatch(JSON.stringify(revoked), /ann/)
  t.notMatch(await it.rows(), /"ann"|ann /, 'no row names her')
  t.match(
    (await it.ledger.stats({ from: '2026-11-22', to: '2026-12-12' })).total.visits,
    { count: 2 },
    'she was counted, and stays counted',
  )
  t.match((await it.ledger.stats({})).total.linked, { count: 0 })
  const before = await it.rows()
  await it.restart()
  t.equal(await it.rows(), before)
  await join(it, 'ann')
  t.match((await it.told('visit.arrived')).at(-1), { visitor: 'ann', first: true }, 'forgotten')
})

t.test('a busy day with known truth: no proof names the wrong person, nearly all that can be found is found', async (t) => {
  const given = traffic({ seed: 7, days: 1, visitsADay: 500, paymentsADay: 300, start: Date.parse('2026-11-16T00:00:00+08:00') })
  const { current, told, visits, counter } = await runTraffic(testFolder(t), given)
  t.teardown(() => counter.close())
  const { methods } = score(given, current)
  for (const one of methods.filter(({ method }) => method !== 'single_candidate')) {
    t.ok(one.links > 0, `${one.method} occurs`)
    t.equal(one.wrong, 0, `${one.method} names the right person, always`)
  }
  for (const one of methods.filter(({ method }) => method !== 'single_candidate'))
    t.ok(one.found >= one.provable * 0.95, `${one.method}: ${one.found} of ${one.provable} that it could prove were found`)
  t.strictSame(
    told.filter((one) => one.method === 'single_candidate' && (one.visitor ?? one.session ?? one.visit) !== undefined),
    [],
  )
  for (const [payment, { refunded }] of given.truth)
    if (refunded && current.has(payment)) t.fail(`${payment} was given back, and is linked`)
  t.equal(visits.open, 0, 'everybody has left')
  const { rows } = await counter.ledger.visits({ limit: 1_000 })
  t.ok(
    Math.abs(rows.filter((one) => one.by !== 'member').length - given.visits) <= given.visits * 0.05,
    `${rows.length} visits of ${given.visits} stays`,
  )
})
