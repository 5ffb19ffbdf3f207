/** What every store of the sink must do. */
import { randomUUID } from 'node:crypto'
import type { Test } from 'tap'
import type { CloudEvent } from '../../daemon/contract/event.ts'
import type { Batch, SinkStore } from './store.ts'

export function batchOf(
  gateway: string,
  epoch: string,
  from: number,
  to: number,
  ids: (sequence: number) => string = () => randomUUID(),
): Batch {
  const events = Array.from({ length: to - from + 1 }, (_, at) => eventOf(gateway, epoch, from + at, ids(from + at)))
  return { gateway, epoch, from, to, events }
}

export function eventOf(gateway: string, epoch: string, sequence: number, id: string): CloudEvent {
  return {
    specversion: '1.0',
    id,
    type: 'shopwire.scanner.scan',
    source: `/${gateway}/scanner/till-1`,
    time: '2026-11-22T08:15:30.123Z',
    datacontenttype: 'application/json',
    sequence: String(sequence),
    sequencetype: 'Integer',
    epoch,
    store: '0001',
    clock: 'synced',
    bootid: 'b',
    data: { code: '6901234567892', name: '牛奶 "纯" \\ 🥛\u0000' },
  }
}

/** `open` gives a store on the same data each time; what was saved before is there again. */
export function storeSuite(t: Test, open: (t: Test) => Promise<() => Promise<SinkStore>>): void {
  t.test('each event once, in order, as it came; what is saved survives a restart', async (t) => {
    const opened = await open(t)
    let store = await opened()
    const first = batchOf('shop-001', 'e1', 1, 100)
    const result = await store.save([first, batchOf('shop-002', 'e9', 1, 7), batchOf('shop-001', 'e1', 101, 130)])
    t.equal(result.inserted, 137)
    t.same(
      result.streams.sort((a, b) => (a.gateway < b.gateway ? -1 : 1)),
      [
        { gateway: 'shop-001', epoch: 'e1', watermark: 130, highest: 130 },
        { gateway: 'shop-002', epoch: 'e9', watermark: 7, highest: 7 },
      ],
    )
    const again = await store.save([first])
    t.equal(again.inserted, 0)
    t.same(again.conflicts, [])
    t.equal(again.streams[0]?.watermark, 130)
    await store.close()
    store = await opened()
    t.same(await store.stream('shop-001', 'e1'), { gateway: 'shop-001', epoch: 'e1', watermark: 130, highest: 130 })
    t.same(await store.events('shop-001', 'e1', 0, 100), first.events)
    t.same(await store.count(), { events: 137, gateways: 2, conflicts: 0 })
    await store.close()
  })

  t.test('a gap holds the watermark back, over a restart too, until it is filled', async (t) => {
    const opened = await open(t)
    let store = await opened()
    await store.save([batchOf('shop-001', 'e1', 1, 10), batchOf('shop-001', 'e1', 21, 30), batchOf('shop-001', 'e1', 41, 50)])
    t.same(await store.stream('shop-001', 'e1'), { gateway: 'shop-001', epoch: 'e1', watermark: 10, highest: 50 })
    await store.close()
    store = await opened()
    const { streams } = await store.save([batchOf('shop-001', 'e1', 11, 25)])
    t.match(streams, [{ watermark: 30, highest: 50 }])
    t.match((await store.save([batchOf('shop-001', 'e1', 31, 40)])).streams, [{ watermark: 50 }])
    await store.close()
  })

  t.test('what the gateway dropped lets the watermark pass', async (t) => {
    const store = await (await open(t))()
    const batch = batchOf('shop-001', 'e1', 1, 20)
    await store.save([{ ...batch, events: batch.events.filter(({ sequence }) => Number(sequence) % 2 === 0) }])
    await store.save([{ gateway: 'shop-001', epoch: 'e1', from: 21, to: 90, events: [] }])
    t.match(await store.stream('shop-001', 'e1'), { watermark: 90 })
    t.match(await store.count(), { events: 10 })
    await store.close()
  })

  t.test('a re-imaged card starts at 1 in an epoch of its own', async (t) => {
    const store = await (await open(t))()
    await store.save([batchOf('shop-001', 'e1', 1, 50)])
    await store.save([batchOf('shop-001', 'e2', 1, 5)])
    t.match(await store.stream('shop-001', 'e1'), { watermark: 50 })
    t.match(await store.stream('shop-001', 'e2'), { watermark: 5 })
    t.match(await store.streams(), [{ gateway: 'shop-001', epoch: 'e2' }], 'the newest counts')
    await store.close()
  })

  t.test('the same sequence with another id: both are kept, the alarm is raised once', async (t) => {
    const store = await (await open(t))()
    await store.save([batchOf('shop-001', 'e1', 1, 10, (sequence) => `a-${sequence}`)])
    const clone = batchOf('shop-001', 'e1', 8, 12, (sequence) => `b-${sequence}`)
    const { conflicts, inserted, streams } = await store.save([clone])
    t.equal(inserted, 2)
    t.same(
      conflicts.map(({ sequence, storedId, id }) => [sequence, storedId, id]),
      [
        [8, 'a-8', 'b-8'],
        [9, 'a-9', 'b-9'],
        [10, 'a-10', 'b-10'],
      ],
    )
    t.match(conflicts[0], { gateway: 'shop-001', epoch: 'e1' })
    t.match(streams, [{ watermark: 12 }])
    t.same((await store.save([clone])).conflicts, [])
    t.match(await store.count(), { conflicts: 3 })
    await store.close()
  })

  t.test('saves at the same moment do not mix', async (t) => {
    const store = await (await open(t))()
    await Promise.all(
      Array.from({ length: 40 }, (_, at) =>
        store.save([batchOf('shop-001', 'e1', at * 5 + 1, at * 5 + 5), batchOf(`shop-1${at}`, 'e', 1, 3)]),
      ),
    )
    t.match(await store.stream('shop-001', 'e1'), { watermark: 200 })
    t.match(await store.count(), { events: 320, gateways: 41 })
    await store.close()
  })

  t.test('desired configs count up by themselves; views keep the newest', async (t) => {
    const opened = await open(t)
    const store = await opened()
    t.equal(await store.desiredVersion('shop-001'), 0)
    t.match(await store.setDesired('shop-001', { log: { level: 'debug' } }), { version: 1, digest: /^[0-9a-f]{64}$/ })
    await store.setDesired('shop-001', { log: { level: 'info' } })
    t.match(await store.getDesired('shop-001'), { version: 2, config: { log: { level: 'info' } } })
    t.equal(await store.getDesired('shop-002'), undefined)
    await store.saveViews([{ gateway: 'shop-001', kind: 'info', body: { store: '0001' } }])
    await store.saveViews([{ gateway: 'shop-001', kind: 'info', body: { store: '0002' } }])
    t.same(await store.view('shop-001', 'info'), { store: '0002' })
    await store.close()
  })
}
