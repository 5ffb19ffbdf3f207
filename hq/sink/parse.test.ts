import { gzipSync } from 'node:zlib'
import t from 'tap'
import { Failure } from '../../daemon/contract/errors.ts'
import { fc } from '../../daemon/testing/property.ts'
import { parseEvents, parseState, parseSync } from './parse.ts'
import { batchOf } from './store.suite.ts'

const encode = (value: unknown) => Buffer.from(JSON.stringify(value))
const batch = () => {
  const { epoch, from, to, events } = batchOf('shop-001', 'e1', 5, 9)
  return { epoch, from, to, events: [...events], dropped: undefined as unknown }
}

t.test('a batch, plain and gzipped, with and without holes', async (t) => {
  t.equal(parseEvents(encode(batch())).events.length, 5)
  t.equal(parseEvents(gzipSync(encode(batch()))).to, 9)
  const holey = batch()
  holey.events = holey.events.filter((_, at) => at === 1 || at === 2)
  holey.dropped = [
    { from: 5, to: 5 },
    { from: 8, to: 9 },
  ]
  t.equal(parseEvents(encode(holey)).events.length, 2)
  t.equal(parseEvents(encode({ epoch: 'e1', from: 1, to: 1000, events: [], dropped: [{ from: 1, to: 1000 }] })).to, 1000)
})

t.test('what breaks the contract is refused whole', async (t) => {
  const change = (edit: (value: ReturnType<typeof batch>) => void) => {
    const value = batch()
    edit(value)
    return encode(value)
  }
  const cases: [string, Buffer][] = [
    ['empty', Buffer.alloc(0)],
    ['not JSON', Buffer.from('{"epoch":')],
    ['a list', encode([])],
    ['no epoch', change((value) => (value.epoch = ''))],
    ['an epoch with a slash', change((value) => (value.epoch = 'a/b'))],
    ['from after to', change((value) => (value.from = 10))],
    ['one missing in the middle', change((value) => value.events.splice(2, 1))],
    ['one missing at the end', change((value) => value.events.pop())],
    ['one too many', change((value) => (value.to = 8))],
    ['two the same', change((value) => value.events.splice(2, 0, ...value.events.slice(1, 2)))],
    ['an event of another epoch', change((value) => Object.assign(value.events[0] ?? {}, { epoch: 'e2' }))],
    ['an event without an id', change((value) => Object.assign(value.events[0] ?? {}, { id: 7 }))],
    [
      'holes out of order',
      change(
        (value) =>
          (value.dropped = [
            { from: 9, to: 9 },
            { from: 5, to: 5 },
          ]),
      ),
    ],
    ['a hole where an event is', change((value) => (value.dropped = [{ from: 6, to: 6 }]))],
    ['broken gzip', Buffer.concat([gzipSync(encode(batch())).subarray(0, 60), Buffer.alloc(40)])],
    ['huge', Buffer.alloc(5 * 1024 * 1024, 0x20)],
    ['a bomb', gzipSync(Buffer.alloc(200 * 1024 * 1024))],
  ]
  for (const [what, payload] of cases) t.throws(() => parseEvents(payload), Failure, what)
  t.throws(() => parseSync(encode({ epoch: 'e1', stored: -1, sent: 0, head: 0 })), Failure)
  t.throws(() => parseState(encode({ online: 'yes' })), Failure)
})

t.test('damaged batches never get through as something else than a Failure', async (t) => {
  const text = JSON.stringify(batch())
  fc.assert(
    fc.property(fc.nat(text.length - 1), fc.string({ maxLength: 4 }), fc.nat(6), (at, put, cut) => {
      const payload = Buffer.from(text.slice(0, at) + put + text.slice(at + cut))
      try {
        const { from, to, events } = parseEvents(payload)
        return events.every(({ sequence }, index) => Number(sequence) === from + index) && events.length === to - from + 1
      } catch (error) {
        return error instanceof Failure
      }
    }),
    { numRuns: 500 },
  )
  t.pass()
})
