import t from 'tap'
import type { CloudEvent } from '../../contract/event.ts'
import type { Snapshot } from '../api.ts'
import { attention } from './attention.ts'
import { bars, chartFacts, gaps, moved } from './day-steps.ts'
import english from './en.json' with { type: 'json' }
import { renderHtml } from './render.ts'
import { applyMessage, feedOf, firstView, headlines, merge, summaryOf } from './view.ts'
import { Words } from './words.ts'
import chinese from './zh.json' with { type: 'json' }

const NOW = Date.parse('2026-11-22T14:10:00Z')
const en = new Words('en', 'UTC')
const zh = new Words('zh', 'Asia/Shanghai')

const event = (sequence: number, type = 'shopwire.scale.weighed', data: CloudEvent['data'] = { grams: sequence }): CloudEvent => ({
  specversion: '1.0',
  id: `e-${sequence}`,
  type,
  source: '/shop-001/scale/counter',
  time: '2026-11-22T14:09:50.000Z',
  datacontenttype: 'application/json',
  sequence: String(sequence),
  sequencetype: 'Integer',
  epoch: 'e',
  store: '0001',
  clock: 'synced',
  bootid: 'b',
  data,
})

const shop = (change: Partial<Snapshot> = {}): Snapshot => ({
  at: new Date(NOW).toISOString(),
  timeZone: 'UTC',
  gateway: { id: 'shop-001', store: '0001', version: '0.1.0', demo: false },
  uptimeSeconds: 60,
  health: { ok: true, problems: [], checks: {} },
  plugins: [{ name: 'scale', version: '1.0.0', status: 'running', since: '2026-11-22T14:00:00Z', restarts: 0 }],
  devices: [{ plugin: 'scale', device: 'counter', state: 'online', since: '2026-11-22T14:00:00Z' }],
  links: [{ name: 'hq', state: 'online', since: '2026-11-22T14:00:00Z', detail: 'mqtts://hq', backlog: 0 }],
  found: [],
  journal: { epoch: 'e', head: 0, tail: 1, bytes: 0, freeBytes: 0, dropped: 0 },
  today: { since: '2026-11-22T00:00:00Z', complete: true, counts: {}, last: {} },
  trade: {
    day: '2026-11-22',
    arrivals: 0,
    payments: { count: 0, linked: 0, sums: [] },
    slot: { at: '2026-11-22T14:10:00.000Z', arrivals: 0, payments: 0 },
  },
  labels: {},
  recent: [],
  chart: { from: '2026-11-21T14:15:00.000Z', stepSeconds: 300, arrivals: Array(288).fill(0), payments: Array(288).fill(0) },
  expects: { arrivals: false, payments: false },
  ...change,
})

t.test('both catalogues have the same keys, with the same values to fill in', async (t) => {
  t.strictSame(Object.keys(chinese), Object.keys(english))
  const blanks = (text: string) => [...text.matchAll(/\{\w+\}/g)].map(String).sort()
  for (const [key, text] of Object.entries(english)) t.strictSame(blanks(chinese[key as keyof typeof chinese]), blanks(text), key)
})

t.test('a shop where all is well needs no attention; each trouble is told once, with its mend', async (t) => {
  t.strictSame(attention(shop(), en, NOW), [])
  const trouble = shop({
    health: {
      ok: false,
      problems: [
        { what: 'the printer has no paper, says the daemon', about: 'device:printer/receipt' },
        { what: 'The clock is not set', about: 'clock' },
      ],
      checks: {},
    },
    plugins: [
      { name: 'printer', version: '1', status: 'running', since: '2026-11-22T14:00:00Z', restarts: 0 },
      { name: 'portal', version: '1', status: 'quarantined', since: '2026-11-22T14:05:00Z', restarts: 5, reason: 'crashed 5 times' },
      { name: 'young', version: '1', status: 'starting', since: '2026-11-22T14:09:55Z', restarts: 0 },
    ],
    devices: [
      { plugin: 'printer', device: 'receipt', state: 'fault', detail: 'paper-out', since: '2026-11-22T14:02:00Z' },
      { plugin: 'portal', device: '-', state: 'offline', since: '2026-11-22T14:05:00Z' },
    ],
    links: [
      { name: 'hq', state: 'offline', since: '2026-11-22T14:02:00Z', detail: 'ENOTFOUND', backlog: 37 },
      { name: 'lan', state: 'connecting', since: '2026-11-22T14:09:50Z', detail: '' },
    ],
  })
  const items = attention(trouble, en, NOW)
  t.strictSame(
    items.map((one) => one.about),
    ['clock', 'plugin:portal', 'device:printer/receipt', 'link:hq'],
  )
  t.match(items, [
    { what: 'The clock is not set' },
    { what: /portal crashed too often/, why: 'crashed 5 times', action: { kind: 'restart', plugin: 'portal' } },
    { what: 'printer receipt: out of paper', fix: 'Load a new roll of paper.' },
    { what: 'Head office cannot be reached', fix: /Sales continue; 37 waiting/ },
  ])
  t.match(attention(shop({ health: { ok: false, problems: [], checks: {} } }), en, NOW), [{ about: 'stuck' }], 'something hangs in silence')
  t.match(attention(shop({ journal: { ...shop().journal, fault: 'SQLITE_FULL' } }), zh, NOW), [{ what: '事件无法保存：SQLITE_FULL' }])
})

t.test('the big numbers are the types their plugins call headlines, then the busiest; never the core’s own', async (t) => {
  const counts = {
    'shopwire.scale.weighed': 3,
    'shopwire.scale.tared': 50,
    'shopwire.scale.device': 900,
    'shopwire.command.finished': 800,
    'shopwire.door.opened': 70,
  }
  const today = { since: '2026-11-22T00:00:00Z', complete: true, counts, last: {} }
  const types = (snapshot: Snapshot) => headlines(snapshot, 2).map((one) => one.type)
  t.strictSame(types(shop({ today })), ['shopwire.door.opened', 'shopwire.scale.tared'])
  t.strictSame(types(shop({ today, labels: { 'shopwire.scale.weighed': { en: 'Weighings', headline: 1 } } })), [
    'shopwire.scale.weighed',
    'shopwire.door.opened',
  ])
  t.strictSame(types(shop()), [])
})

t.test('the stream’s messages change the picture; what comes twice or late is put in its place', async (t) => {
  let now = shop()
  for (const sequence of [1, 2, 4, 3, 4]) now = applyMessage(now, 'event', event(sequence))
  t.strictSame(
    now.recent.map((one) => one.sequence),
    ['1', '2', '3', '4'],
  )
  t.equal(now.devices[0]?.lastEvent, '2026-11-22T14:09:50.000Z')
  now = applyMessage(now, 'change', { kind: 'device', device: { plugin: 'scale', device: 'back', state: 'online', since: '' } })
  now = applyMessage(now, 'change', { kind: 'device-gone', plugin: 'scale', device: 'counter' })
  t.match(now.devices, [{ device: 'back' }])
  now = applyMessage(now, 'snapshot', shop({ recent: [event(5)] }))
  t.equal(now.recent.length, 5, 'the feed survives a reconnect')
  now = applyMessage(now, 'snapshot', shop({ journal: { ...shop().journal, epoch: 'new card' }, recent: [event(1)] }))
  t.equal(now.recent.length, 1, 'but not another journal')
  t.equal(applyMessage(now, 'from-a-newer-daemon', {}), now)
})

t.test('a rare event stays in its filter while a thousand others pass; a paused feed stands still', async (t) => {
  let now = shop({ recent: [event(1, 'shopwire.scale.tared', {})] })
  for (let sequence = 2; sequence <= 1_000; sequence++) now = applyMessage(now, 'event', event(sequence))
  t.ok(now.recent.length <= 221)
  const view = { ...firstView(now, { lang: 'en', filter: '', canLogOut: false }), filter: 'shopwire.scale.tared' }
  t.strictSame(
    feedOf(view).shown.map((one) => one.sequence),
    ['1'],
  )
  const paused = { ...view, filter: '', pausedAt: 998 }
  t.equal(feedOf(paused).shown[0]?.sequence, '998')
  t.equal(feedOf(paused).newer, 2)
  t.equal(merge([event(1)], [event(1)]).length, 1)
})

t.test('times, ages and states in both languages; a clock that was never set is not a date', async (t) => {
  t.equal(en.ago('2026-11-22T14:09:59Z', NOW), 'just now')
  t.match(en.ago('2026-11-22T13:08:00Z', NOW), /^1 ?h.* ago$/)
  t.equal(en.time('2026-11-22T14:02:00Z', NOW), '14:02')
  t.equal(en.time('2026-11-21T21:48:00Z', NOW), 'yesterday 21:48')
  t.equal(zh.time('2026-11-21T13:48:00Z', NOW), '昨天 21:48')
  t.equal(en.time('1970-01-01T00:00:10Z', NOW), 'clock not set')
  t.equal(summaryOf(event(1, 'shopwire.scale.device', { state: 'fault', detail: 'paper-out' }), zh), '故障 · 缺纸')
  t.equal(summaryOf(event(1, 'shopwire.x.y', { a: 'tea', b: { c: 1 }, d: 3, e: '' }), en), 'tea · 3')
  const paid = {
    payment: '1b69aa4df46fe2a6c5f4',
    visitor: 'Zsg2E_6rTv75W2e0Z1dpHg',
    order: 'D-12',
    amount: 1250,
    currency: 'CNY',
    paidAt: '2026-11-25T21:46:45.000Z',
  }
  t.equal(summaryOf(event(1, 'shopwire.payment.paid', paid), en), 'D-12 · ¥12.50', 'what says nothing to a person is left out')
  t.equal(summaryOf(event(1, 'shopwire.scanner.scan', { code: '6901234567892', kind: 'product' }), en), '6901234567892 · product')
  t.equal(en.type('shopwire.scale.tare-done', {}), 'scale · tare done')
  t.equal(new Words('en', 'Not/AZone').time('2026-11-22T14:02:00Z', NOW).length, 5)
})

t.test('what a device says is text, never markup', async (t) => {
  t.equal(renderHtml('<img src=x onerror=alert(1)>"\''), '&#60;img src=x onerror=alert(1)&#62;&#34;&#39;')
})

t.test('the chart’s step moves on with the stream; where nothing is known a gap stays a gap', async (t) => {
  const chart = { from: '2026-11-22T10:00:00.000Z', stepSeconds: 300, arrivals: [1, null, 3, 0], payments: [0, null, 2, 0] }
  t.strictSame(moved(chart, { at: '2026-11-22T10:15:00.000Z', arrivals: 5, payments: 1 }).arrivals, [1, null, 3, 5])
  t.strictSame(moved(chart, { at: '2026-11-22T10:25:00.000Z', arrivals: 5, payments: 1 }), {
    from: '2026-11-22T10:10:00.000Z',
    stepSeconds: 300,
    arrivals: [3, 0, 0, 5],
    payments: [2, 0, 0, 1],
  })
  t.equal(moved(chart, { at: '2026-11-21T10:00:00.000Z', arrivals: 9, payments: 9 }), chart, 'a clock that was set back')
  t.equal(moved(chart, { at: '2027-11-21T10:00:00.000Z', arrivals: 9, payments: 9 }), chart)
  t.equal(gaps([null, null, 1, null], 9), 'M0 0h2v9h-2zM3 0h1v9h-1z')
  t.equal(bars([0, 2, null, 4], 10, 8, 4), 'M1 10v-4h1v4zM3 10v-8h1v8z')
  const now = applyMessage(shop({ chart }), 'vitals', {
    trade: { ...shop().trade, slot: { at: '2026-11-22T10:15:00.000Z', arrivals: 7, payments: 0 } },
  })
  t.equal(now.chart.arrivals.at(-1), 7)
})

t.test('the chart in words: sums, the busiest hour, how long nothing is known; hours as rows', async (t) => {
  const arrivals = [...Array(12).fill(1), ...Array(12).fill(3), ...Array(12).fill(null), ...Array(12).fill(0)] as (number | null)[]
  const facts = chartFacts({ from: '2026-11-22T10:00:00.000Z', stepSeconds: 300, arrivals, payments: arrivals.map((one) => one && 1) })
  t.match(facts, { arrivals: 48, payments: 24, unknown: 3_600_000, busiest: { from: Date.parse('2026-11-22T11:00:00Z'), arrivals: 36 } })
  t.strictSame(
    facts.hours.map((one) => one.arrivals),
    [12, 36, null, 0],
  )
  t.equal(chartFacts({ from: '2026-11-22T10:00:00.000Z', stepSeconds: 300, arrivals: [0], payments: [0] }).busiest, undefined)
})

t.test('money in its own minor units', async (t) => {
  t.equal(en.money(123_450, 'CNY'), '¥1,234.50')
  t.equal(en.money(500, 'JPY'), '¥500')
  t.equal(zh.money(1_250, 'EUR'), '€12.50')
  t.equal(en.money(1_250, 'points'), '12.5 points')
})
