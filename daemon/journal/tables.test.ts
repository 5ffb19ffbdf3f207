import t from 'tap'
import { testFolder } from '../testing/folder.ts'
import { opened, scan } from './testing/support.ts'

const OPTIONS = {
  version: '1',
  tables: { sales: { fields: ['at', 'till', 'amount'], indexes: [['at'], ['till', 'at']] }, days: { fields: [], indexes: [] } },
}

const sale = (key: string, at: number, till: string) => ({ table: 'sales', key, row: { at, till, amount: at * 10 } })

t.test('what a reader made of the events is found again by its fields, page by page, after a restart', async (t) => {
  const dir = testFolder(t)
  const first = await opened(t, dir)
  const tables = await first.tables('shop', OPTIONS)
  t.equal(tables.version, undefined, 'new')
  await tables.reset([])
  await first.commit({ events: [scan(), scan(), scan()] })
  await tables.apply([sale('c', 3, 'till-1'), sale('a', 1, 'till-1'), sale('b', 2, 'till-2'), sale('d', 3, 'till-1')], 3)
  await tables.apply([{ table: 'sales', key: 'c', row: { at: 3, till: 'till-1', amount: 7, note: '茶\u2028"' } }], 3)
  await first.close()

  const second = await opened(t, dir)
  const again = await second.tables('shop', OPTIONS)
  t.equal(again.position, 3)
  t.equal(again.version, '1')
  t.strictSame((await again.get('sales', ['c', 'x'])).get('c'), { at: 3, till: 'till-1', amount: 7, note: '茶\u2028"' })
  const keys = async (query: Parameters<typeof again.select>[1]) => (await again.select('sales', query)).map((one) => one.key)
  t.strictSame(await keys({ orderBy: 'at', limit: 3 }), ['a', 'b', 'c'])
  t.strictSame(await keys({ orderBy: 'at', after: { value: 3, key: 'c' }, limit: 3 }), ['d'])
  t.strictSame(await keys({ orderBy: 'at', descending: true, limit: 2 }), ['d', 'c'])
  t.strictSame(
    await keys({
      where: [
        { field: 'till', is: '=', value: 'till-1' },
        { field: 'at', is: '<', value: 3 },
      ],
      limit: 9,
    }),
    ['a'],
  )
  t.strictSame(await keys({ after: { key: 'b' }, limit: 9 }), ['c', 'd'])
  await again.apply([{ table: 'sales', key: 'a', row: undefined }], 3)
  t.strictSame(await keys({ limit: 9 }), ['b', 'c', 'd'])
})

t.test('rows of another meaning go, but for those that are kept', async (t) => {
  const journal = await opened(t, testFolder(t))
  const old = await journal.tables('shop', OPTIONS)
  await old.reset([])
  await old.apply([sale('a', 1, 'till-1'), { table: 'days', key: '2026-11-22', row: { sales: 1 } }], 0)
  const next = await journal.tables('shop', { ...OPTIONS, version: '2' })
  t.equal(next.version, '1')
  await next.reset(['days'])
  t.equal(next.position, 0)
  t.equal(next.version, '2')
  t.equal((await next.select('sales', { limit: 9 })).length, 0)
  t.equal((await next.select('days', { limit: 9 })).length, 1)
})

t.test('rows and position are one: what fails leaves both as they were', async (t) => {
  const journal = await opened(t, testFolder(t))
  const tables = await journal.tables('shop', OPTIONS)
  await tables.reset([])
  await tables.apply([sale('a', 1, 'till-1')], 0)
  await t.rejects(tables.apply([sale('b', 1, 'till-1'), { table: 'none', key: 'x', row: {} }], 0), { code: 'internal' })
  await t.rejects(tables.select('sales', { orderBy: 'row; DROP', limit: 1 }), { code: 'internal' })
  await t.rejects(journal.tables('x"y', OPTIONS), { code: 'internal' })
  await t.rejects(journal.commit({ puts: [{ space: 'journal.tables', key: 'shop', value: 9 }] }), { code: 'internal' })
  t.strictSame(
    (await tables.select('sales', { limit: 9 })).map((one) => one.key),
    ['a'],
  )
})

t.test('lazy rows never weaken an event: after them a commit still waits for the disk', async (t) => {
  const dir = testFolder(t)
  const journal = await opened(t, dir)
  const tables = await journal.tables('shop', OPTIONS)
  await tables.reset([])
  await Promise.all(
    Array.from({ length: 50 }, async (_, at) => {
      await tables.apply([sale(`s-${at}`, at, 'till-1')], 0)
      await journal.commit({ events: [scan()] })
    }),
  )
  t.equal(journal.head, 50)
  await journal.close()
  const again = await opened(t, dir)
  t.equal((await again.verify()).checked, 50)
  t.equal((await (await again.tables('shop', OPTIONS)).select('sales', { limit: 99 })).length, 50)
})
