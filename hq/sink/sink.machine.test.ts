import t from 'tap'
import { fc } from '../../daemon/testing/property.ts'
import { type Coverage, cover, NOTHING } from './coverage.machine.ts'
import { deadline, newSink, SINK_TUNING, type SinkEffect, sinkMachine } from './sink.machine.ts'

t.test('ranges in any order and with any overlap: the watermark is the end of what is whole', async (t) => {
  const range = fc.tuple(fc.integer({ min: 1, max: 60 }), fc.integer({ min: 0, max: 12 }))
  fc.assert(
    fc.property(fc.array(range, { maxLength: 40 }), (ranges) => {
      const there = new Set<number>()
      let coverage: Coverage = NOTHING
      for (const [from, length] of ranges) {
        for (let sequence = from; sequence <= from + length; sequence++) there.add(sequence)
        coverage = cover(coverage, from, from + length)
        let watermark = 0
        while (there.has(watermark + 1)) watermark += 1
        if (coverage.watermark !== watermark) return false
        let last = coverage.watermark
        for (const [low, high] of coverage.pieces) {
          if (low <= last + 1 || high < low) return false
          for (let sequence = low; sequence <= high; sequence++) if (!there.has(sequence)) return false
          last = high
        }
      }
      return true
    }),
  )
  t.pass()
})

t.test('a gap is asked for after a moment, then less and less often, until it closes', async (t) => {
  const sink = newSink()
  const stream = { gateway: 'shop-001', epoch: 'e1' }
  const resends = (effects: readonly SinkEffect[]) => effects.flatMap((effect) => (effect.do === 'ack' ? [effect.ack.resendFrom] : []))
  t.same(sinkMachine.step(sink, { on: 'stored', now: 0, ...stream, watermark: 10, highest: 30 }), [
    { do: 'ack', gateway: 'shop-001', ack: { epoch: 'e1', sequence: 10 } },
  ])
  t.equal(deadline(sink), SINK_TUNING.gapMs)
  t.same(resends(sinkMachine.step(sink, { on: 'tick', now: SINK_TUNING.gapMs - 1 })), [])
  t.same(resends(sinkMachine.step(sink, { on: 'tick', now: SINK_TUNING.gapMs })), [11])
  let asked = 0
  for (let now = SINK_TUNING.gapMs; now < 3_600_000; now += 1_000) asked += resends(sinkMachine.step(sink, { on: 'tick', now })).length
  t.ok(asked <= SINK_TUNING.gapTries, 'it does not ask for ever')
  sinkMachine.step(sink, { on: 'stored', now: 3_600_000, ...stream, watermark: 30, highest: 30 })
  t.equal(deadline(sink), undefined)
})

t.test('a sync is answered with what is stored, with a newer config, and with a look at what should have come', async (t) => {
  const sink = newSink()
  const sync = { on: 'sync', gateway: 'shop-001', epoch: 'e1', watermark: 10 } as const
  t.same(sinkMachine.step(sink, { ...sync, now: 0, sent: 10, desiredVersion: 2, latest: 2 }), [
    { do: 'ack', gateway: 'shop-001', ack: { epoch: 'e1', sequence: 10 } },
  ])
  t.equal(deadline(sink), undefined)
  const effects = sinkMachine.step(sink, { ...sync, now: 0, sent: 40, desiredVersion: 2, latest: 3 })
  t.same(effects[1], { do: 'desired', gateway: 'shop-001' })
  t.equal(deadline(sink), SINK_TUNING.gapMs)
})
