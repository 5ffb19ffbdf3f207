import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import t, { type Test } from 'tap'
import { systemClock } from '../clock.ts'
import type { MonoMs } from '../contract/plugin.ts'
import { fc } from '../testing/property.ts'
import { until } from '../testing/until.ts'
import { newStream, type StreamEvent, stream } from './stream.machine.ts'
import { ask, type Fixture, type FixtureOptions, startFixture } from './testing/fixture.ts'

async function shop(t: Test, options?: FixtureOptions): Promise<Fixture> {
  const fixture = await startFixture(options)
  t.teardown(() => fixture.stop())
  return fixture
}

interface Message {
  id: string
  name: string
  data: string
}

interface Listener {
  messages: Message[]
  response: IncomingMessage
  of(name: string): Message[]
  sequences(): number[]
  /** Events so far. */
  count(): number
  close(): void
}

async function listen(t: Test, it: Fixture, query = '', headers: Record<string, string> = {}): Promise<Listener> {
  const call = request({ host: '127.0.0.1', port: it.http.port(), path: `/api/v1/stream${query}`, agent: false, headers })
  call.on('error', () => {})
  call.end()
  const [response] = (await once(call, 'response')) as [IncomingMessage]
  const messages: Message[] = []
  let events = 0
  let buffer = ''
  response.setEncoding('utf8')
  response.on('error', () => {})
  response.on('data', (chunk: string) => {
    buffer += chunk
    for (let end = buffer.indexOf('\n\n'); end >= 0; end = buffer.indexOf('\n\n')) {
      const fields = new Map(
        buffer
          .slice(0, end)
          .split('\n')
          .map((line) => [line.slice(0, line.indexOf(': ')), line.slice(line.indexOf(': ') + 2)]),
      )
      buffer = buffer.slice(end + 2)
      const data = fields.get('data')
      if (data === undefined) continue
      messages.push({ id: fields.get('id') ?? '', name: fields.get('event') ?? '', data })
      if (fields.get('event') === 'event') events += 1
    }
  })
  t.teardown(() => call.destroy())
  const of = (name: string) => messages.filter((one) => one.name === name)
  const listener = {
    messages,
    response,
    of,
    sequences: () => of('event').map((one) => Number((JSON.parse(one.data) as { sequence: string }).sequence)),
    count: () => events,
    close: () => void call.destroy(),
  }
  await until(() => response.statusCode !== 200 || of('snapshot').length > 0, 'the snapshot')
  return listener
}

const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, at) => from + at)

async function burst(it: Fixture, times: number): Promise<void> {
  const events = range(1, 100).map(() => ({ plugin: 'scale', device: 'counter', event: 'weighed', data: { big: 'x'.repeat(2_000) } }))
  for (let n = 0; n < times; n++) await it.journal.commit({ events })
}

t.test('a snapshot first, then events, changes, vitals and pings, with ids', async (t) => {
  const it = await shop(t, { limits: { pingMs: 200 } })
  await it.weigh(1)
  const live = await listen(t, it)
  t.equal(live.response.headers['content-type'], 'text/event-stream; charset=utf-8')
  t.match(live.response.headers['content-security-policy'], /default-src 'none'/)
  const first = live.messages[0]
  t.equal(first?.name, 'snapshot')
  t.equal(first?.id, `${it.journal.epoch}:1`)
  t.match(JSON.parse(first?.data ?? ''), {
    gateway: { id: 'shop-001' },
    recent: [{ sequence: '1', data: { grams: 1 } }],
    labels: { 'shopwire.scale.weighed': { en: 'Weighings', zh: '称重', headline: 1 } },
  })
  await it.weigh(2)
  it.shop.setDevice('scale', 'counter', { state: 'fault', detail: 'overloaded' }, new Date().toISOString())
  it.setFound([{ id: 'network:tcp://1.2.3.4:9100', kind: 'network', port: 'tcp://1.2.3.4:9100', label: 'P' }])
  await until(() => ['event', 'change', 'found', 'vitals', 'ping'].every((name) => live.of(name).length > 0), 'one of each')
  t.same(live.sequences(), [2])
  t.equal(live.of('event')[0]?.id, `${it.journal.epoch}:2`)
  t.match(JSON.parse(live.of('change')[0]?.data ?? ''), { kind: 'device', device: { detail: 'overloaded' } })
})

t.test('a till that lost the line gets what it missed, once and in order', async (t) => {
  const it = await shop(t)
  for (let n = 1; n <= 30; n++) await it.weigh(n)
  const resumed = await listen(t, it, '', { 'last-event-id': `${it.journal.epoch}:10` })
  for (let n = 31; n <= 600; n++) await it.weigh(n)
  await until(() => resumed.sequences().length >= 590, 'everything since')
  t.same(resumed.sequences(), range(11, 600))

  const otherEpoch = await listen(t, it, '', { 'last-event-id': 'another-card:10' })
  await it.weigh(601)
  await until(() => otherEpoch.sequences().length > 0, 'the live one')
  t.same(otherEpoch.sequences(), [601], 'an id of another journal means nothing here')
})

t.test('away for too long: the gap is told', async (t) => {
  const it = await shop(t)
  const events = range(1, 25_000).map((grams) => ({ plugin: 'scale', device: 'counter', event: 'weighed', data: { grams } }))
  await it.journal.commit({ events })
  const live = await listen(t, it, '', { 'last-event-id': `${it.journal.epoch}:5` })
  await until(() => live.sequences().at(-1) === 25_000, 'the end')
  t.match(JSON.parse(live.of('gap')[0]?.data ?? ''), { from: 6, to: 15_000 })
  t.same(live.sequences(), range(15_001, 25_000))
})

t.test('only the wanted types; and for screens a digest that says what it left out', async (t) => {
  const it = await shop(t)
  const tares = await listen(t, it, '?type=scale.tared')
  const digest = await listen(t, it, '?digest=true')
  const busy = range(1, 400).map((grams) => ({ plugin: 'scale', device: 'counter', event: 'weighed', data: { grams } }))
  await it.journal.commit({ events: busy })
  await it.journal.commit({ events: [{ plugin: 'scale', device: 'counter', event: 'tared', data: {} }] })
  await until(() => tares.sequences().length > 0 && digest.sequences().includes(401), 'the tare at both')
  t.same(tares.sequences(), [401])
  const shown = digest.sequences()
  t.ok(shown.length < 100, `${shown.length} shown`)
  t.same(
    shown,
    [...shown].sort((a, b) => a - b),
  )
  await until(() => digest.of('skipped').length > 0, 'the note')
  const left = digest.of('skipped').reduce((sum, one) => sum + (JSON.parse(one.data) as { count: number }).count, 0)
  t.equal(left + shown.length, 401)
})

t.test('a client that stops reading costs a bounded buffer and loses nothing', async (t) => {
  const it = await shop(t, { limits: { streamBufferBytes: 20_000, stallMs: 600_000 } })
  const slow = await listen(t, it)
  const quick = await listen(t, it)
  slow.response.pause()
  await burst(it, 60)
  await until(() => quick.count() >= 6_000, 'the quick client has all')
  t.ok(slow.count() < 6_000, 'the slow one has not')
  slow.response.resume()
  await until(() => slow.count() >= 6_000, 'the slow client catches up')
  t.same(slow.sequences(), range(1, 6_000), 'each once, in order')
})

t.test('a client that never reads again is cut off', async (t) => {
  let later = 0
  const clock = { ...systemClock, mono: () => (systemClock.mono() + later) as MonoMs }
  const it = await shop(t, { clock, limits: { streamBufferBytes: 20_000, pingMs: 50, stallMs: 600_000 } })
  const quick = await listen(t, it)
  const dead = await listen(t, it)
  dead.response.pause()
  await burst(it, 80)
  await it.weigh(1)
  await until(() => quick.count() === 8_001, 'the quick client has all')
  t.notOk(
    it.logs.some((line) => line.includes('took nothing')),
    'the dead one is given its time',
  )
  // A ping that comes after all that says that the quick one has taken it.
  const pings = quick.of('ping').length
  await until(() => quick.of('ping').length > pings, 'the next ping')
  later = 700_000
  await until(() => it.logs.some((line) => line.includes('took nothing')), 'the dead client is cut off')
  await it.weigh(2)
  await until(() => quick.count() === 8_002, 'the quick client never noticed')
  t.equal(it.logs.filter((line) => line.includes('took nothing')).length, 1)
})

t.test('the number of streams is bounded, and a closed one frees its place and its listeners', async (t) => {
  const it = await shop(t, { limits: { streams: 3 } })
  const open = [await listen(t, it), await listen(t, it), await listen(t, it)]
  t.match(await ask(it.http.port(), '/api/v1/stream'), { status: 429, json: { error: { code: 'queue-full' } } })
  const streams = async () => Number(/^shopwire_streams (\d+)$/m.exec((await ask(it.http.port(), '/metrics')).text)?.[1])
  t.equal(await streams(), 3)
  for (const one of open) one.close()
  await until(async () => (await streams()) === 0, 'the places to be free')
  for (let n = 0; n < 50; n++) {
    ;(await listen(t, it)).close()
    await until(async () => (await streams()) === 0, 'its place to be free')
  }
  t.pass('50 more, one after the other')
})

t.test('stopping ends open streams at once', async (t) => {
  const it = await shop(t)
  const live = await listen(t, it)
  const ended = once(live.response, 'close')
  await it.http.stop()
  await ended
  t.equal(it.http.port(), 0)
})

t.test('however commits, slowness and reads interleave: in order, nothing twice, nothing skipped untold', async (t) => {
  const step = fc.oneof(
    fc.record({ type: fc.constant('commit' as const), count: fc.integer({ min: 1, max: 40 }) }),
    fc.record({ type: fc.constant('read-done' as const), count: fc.integer({ min: 1, max: 30 }) }),
    fc.record({ type: fc.constantFrom('block' as const, 'drain' as const) }),
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
      const state = newStream(5, 60, 30_000)
      const sent: number[] = []
      const told = new Set<number>()
      let head = 5
      let read: number | undefined
      let blocked = false
      const feed = (event: StreamEvent, inHand: number[] = []) => {
        for (const effect of stream.step(state, event)) {
          if (effect.do === 'pass-on') sent.push(...inHand.filter((one) => one > effect.after))
          if (effect.do === 'tell-gap') for (const one of range(effect.from, effect.to)) told.add(one)
          if (effect.do === 'read') {
            if (read !== undefined) throw new Error('two reads at a time')
            read = effect.after
          }
        }
      }
      const finishRead = (count: number) => {
        if (read === undefined) return
        const upTo = Math.min(head, read + count)
        sent.push(...range(read + 1, upTo))
        read = undefined
        feed({ type: 'written', upTo })
      }
      feed({ type: 'written', upTo: 0 })
      for (const one of steps) {
        if (one.type === 'commit') {
          const from = head + 1
          head += one.count
          feed({ type: 'committed', from, to: head }, range(from, head))
        } else if (one.type === 'read-done') finishRead(one.count)
        else if (one.type === 'block') {
          blocked = true
          feed({ type: 'blocked', mono: 0 as MonoMs })
        } else if (blocked) {
          blocked = false
          feed({ type: 'drained' })
        }
      }
      if (blocked) feed({ type: 'drained' })
      while (read !== undefined) finishRead(50)
      const all = [...sent, ...told].sort((a, b) => a - b)
      return JSON.stringify(all) === JSON.stringify(range(1, head)) && sent.every((one, at) => at === 0 || one > (sent[at - 1] ?? 0))
    }),
    { numRuns: 500 },
  )
  const idle = newStream(0, 60, 30_000)
  stream.step(idle, { type: 'written', upTo: 0 })
  t.match(stream.step(idle, { type: 'tick', mono: 1 as MonoMs }), [{ do: 'ping' }])
  stream.step(idle, { type: 'blocked', mono: 1 as MonoMs })
  t.strictSame(stream.step(idle, { type: 'tick', mono: 20_000 as MonoMs }), [])
  t.match(stream.step(idle, { type: 'tick', mono: 30_001 as MonoMs }), [{ do: 'cut-off' }])
})
