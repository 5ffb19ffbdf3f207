import t from 'tap'
import { Counter } from '../ledger/testing/counter.ts'
import { testFolder } from '../testing/folder.ts'
import { ask, startFixture } from './testing/fixture.ts'

t.test('visits, payments and sums are asked for in pages, filtered, and as CSV that no spreadsheet runs', async (t) => {
  const counter = await Counter.open(testFolder(t))
  t.teardown(() => counter.close())
  const it = await startFixture({ ledger: counter.ledger })
  t.teardown(() => it.stop())
  for (let at = 0; at < 5; at++) {
    await counter.present(`visitor-${at}`)
    await counter.pay(`p-${at}`, at === 0 ? { order: '=cmd|calc', till: 'till "2"' } : {})
    await counter.pass(1_000)
  }
  const get = (path: string, headers = {}) => ask(it.http.port(), `/api/v1/${path}`, { headers })
  const first = await get('visits?limit=2')
  t.match(first.json, { rows: [{ visitor: 'visitor-4' }, { visitor: 'visitor-3' }], next: /^[\w-]+$/ })
  const second = await get(`visits?limit=9&after=${String(first.json.next)}`)
  t.strictSame([(second.json.rows as unknown[]).length, 'next' in second.json], [3, false])
  t.match((await get('visits?visitor=visitor-2')).json, { rows: [{ visitor: 'visitor-2', first: true }] })
  t.equal(((await get('payments?till=till-1&state=paid')).json.rows as unknown[]).length, 4)
  t.equal(((await get('payments?from=2030-01-01T00:00:00Z')).json.rows as unknown[]).length, 0)
  const csv = await get('payments?format=csv')
  t.equal(csv.headers['content-type'], 'text/csv; charset=utf-8')
  t.equal(csv.text.trimEnd().split('\r\n').length, 6)
  t.match(csv.text, /,'=cmd\|calc,"till ""2""",/)
  t.match((await get('stats', { accept: 'text/csv' })).text, /\r\n2026-11-22,5,5,0,0,0,,5,0,0,0,0,0,CNY,alipay,5,6250,1250,0,0\r\n/)
  t.match((await get('stats?from=2026-11-22&to=2026-11-22')).json, {
    timeZone: 'Asia/Shanghai',
    total: { visits: { count: 5 }, payments: { count: 5 } },
  })
  for (const path of [
    'visits?limit=0',
    'visits?role=king',
    'payments?after=@',
    'payments?day=2026-02-30',
    'stats?from=tomorrow',
    'stats?from=2020-01-01&to=2026-01-01',
    'visits?x=1',
  ])
    t.match(await get(path), { status: /^4(00|22)$/, json: { error: { problems: [{ message: String }] } } }, path)
})
