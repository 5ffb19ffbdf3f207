/** The link's decisions, one by one, on a clock of the test's own. */
import t from 'tap'
import { deadline, LINK_TUNING, type LinkEffect, type LinkEvent, type LinkTuning, linkMachine, newLink } from './hq-link.machine.ts'
import { newOutbox, outboxMachine } from './hq-outbox.machine.ts'

type Input = LinkEvent extends infer One ? (One extends LinkEvent ? Omit<One, 'now' | 'random'> : never) : never

/** A gateway whose journal answers at once and whose broker takes everything. */
class Bench {
  now = 1_000_000
  random = 0.5
  readonly link
  readonly effects: LinkEffect[] = []
  /** `from`-`to` of each batch published. */
  readonly sent: string[] = []
  readonly tails = new Map<number, number>()
  #after = new Map<number, number>()

  constructor(head: number, cursor = 0, tuning: Partial<LinkTuning> = {}, ack: 'hq' | 'broker' = 'hq') {
    this.link = newLink({ epoch: 'e1', ack, cursor, head }, { ...LINK_TUNING, ...tuning })
  }

  step(event: Input): LinkEffect[] {
    const effects = [...linkMachine.step(this.link, { ...event, now: this.now, random: this.random } as LinkEvent)]
    this.effects.push(...effects)
    for (const effect of [...effects]) {
      if (effect.do === 'pull') {
        const to = Math.min(effect.after + effect.events, this.link.window.head)
        this.#after.set(effect.batch, effect.after)
        this.tails.set(effect.batch, to)
        effects.push(...this.step({ on: 'pulled', batch: effect.batch, to, events: to - effect.after }))
      }
      if (effect.do === 'publish') {
        this.sent.push(`${(this.#after.get(effect.batch) ?? 0) + 1}-${this.tails.get(effect.batch)}`)
        effects.push(...this.step({ on: 'puback', batch: effect.batch }))
      }
    }
    return effects
  }

  /** Lets time pass, ticking when the machine wants to. */
  pass(ms: number): LinkEffect[] {
    const end = this.now + ms
    const effects: LinkEffect[] = []
    for (;;) {
      const at = deadline(this.link)
      if (at === undefined || at > end) break
      this.now = Math.max(this.now, at)
      effects.push(...this.step({ on: 'tick' }))
    }
    this.now = end
    return effects
  }

  connect(): void {
    if (this.link.phase === 'stopped') this.step({ on: 'start' })
    this.step({ on: 'online' })
  }

  ack(sequence: number, resendFrom?: number, epoch = 'e1'): LinkEffect[] {
    return this.step({ on: 'ack', ack: { epoch, sequence, ...(resendFrom === undefined ? {} : { resendFrom }) } })
  }

  take(): string[] {
    return this.sent.splice(0)
  }
}

const names = (effects: readonly LinkEffect[]) => effects.map((effect) => effect.do)

t.test('a broker that accepts and drops at once is left in peace more and more', async (t) => {
  const bench = new Bench(0)
  bench.step({ on: 'start' })
  let attempts = 0
  const started = bench.now
  while (bench.now - started < 3_600_000) {
    attempts += 1
    bench.step({ on: 'online' })
    bench.pass(5)
    bench.step({ on: 'dropped', reason: 'closed', kind: 'other' })
    const wait = (deadline(bench.link) ?? 0) - bench.now
    t.ok(wait >= 1_000 && wait <= 60_000) || t.fail(`${wait}`)
    bench.pass(wait)
    t.equal(bench.link.phase, 'connecting') || t.fail('it should try again')
  }
  t.ok(attempts < 100, `${attempts} attempts in an hour`)
})

t.test('a connection that held is tried again within two seconds', async (t) => {
  const bench = new Bench(0)
  for (let at = 0; at < 10; at++) {
    bench.step(at === 0 ? { on: 'start' } : { on: 'tick' })
    bench.step({ on: 'dropped', reason: 'refused', kind: 'other' })
    bench.pass(60_000)
  }
  bench.step({ on: 'online' })
  bench.pass(3_600_000)
  bench.step({ on: 'dropped', reason: 'closed', kind: 'other' })
  t.ok((deadline(bench.link) ?? 0) - bench.now <= 2_000)
})

t.test('a hung attempt is given up', async (t) => {
  const bench = new Bench(0)
  bench.step({ on: 'start' })
  const effects = bench.pass(30_000)
  t.ok(names(effects).includes('close'))
  t.equal(bench.link.phase, 'waiting')
})

t.test('a broker that only knows MQTT 3.1.1 is spoken to in that', async (t) => {
  const bench = new Bench(0)
  bench.step({ on: 'start' })
  bench.step({ on: 'dropped', reason: 'Unacceptable protocol version', kind: 'protocol' })
  t.match(bench.pass(60_000), [{ do: 'state' }, { do: 'connect', protocol: 4 }])
  bench.step({ on: 'online' })
  bench.step({ on: 'dropped', reason: 'closed', kind: 'other' })
  t.equal(bench.link.protocol, 4)

  const silent = new Bench(0)
  silent.step({ on: 'start' })
  const versions: number[] = []
  for (let at = 0; at < 4; at++) {
    silent.step({ on: 'dropped', reason: 'connection closed', kind: 'early' })
    versions.push(silent.link.protocol)
    silent.pass((deadline(silent.link) ?? 0) - silent.now)
  }
  t.ok(versions.includes(4) && versions.includes(5), 'one that just hangs up gets both in turn')
})

t.test('on a connection: state first, then what HQ has is asked, then the events', async (t) => {
  const bench = new Bench(30)
  bench.step({ on: 'start' })
  const effects = bench.step({ on: 'online' })
  t.same(names(effects), ['state', 'birth', 'sync', 'info', 'reported', 'results'])
  t.same(bench.take(), [], 'a moment for HQ to answer')
  bench.ack(12)
  t.same(bench.take(), ['13-30'], 'from what HQ has')
  t.equal(bench.link.window.cursor, 12)
})

t.test('an HQ that does not answer at once gets the events all the same', async (t) => {
  const bench = new Bench(30)
  bench.connect()
  bench.pass(1_500)
  t.same(bench.take(), ['1-30'])
})

t.test('the window opens as HQ acknowledges, closes at its limit, and halves when something was lost', async (t) => {
  const bench = new Bench(100_000, 0, { drainAbove: 1e9 })
  bench.connect()
  bench.ack(0)
  t.same(bench.take(), ['1-100'])
  for (let acked = 100; acked <= 4_000; acked += 100) bench.ack(acked)
  t.equal(bench.link.window.unacknowledged, LINK_TUNING.windowEvents)
  t.equal(bench.link.window.sent, 6_000)
  bench.take()
  bench.ack(4_000, 4_001)
  t.same(bench.take().slice(0, 2), ['4001-4100', '4101-4200'])
  t.equal(bench.link.window.unacknowledged, LINK_TUNING.windowEvents / 2)
  bench.pass(5)
  bench.ack(4_000, 4_001)
  t.same(bench.take(), [], 'the same request twice is heard once')
})

t.test('PUBACK moves nothing, HQ’s ack does; with ack: broker it is the other way', async (t) => {
  const strict = new Bench(50)
  strict.connect()
  strict.pass(60_000)
  t.equal(strict.link.window.cursor, 0)

  const weak = new Bench(50, 0, {}, 'broker')
  weak.connect()
  t.equal(weak.link.window.cursor, 50)
})

t.test('a silent HQ gets one batch every half minute, and everything at once when it is back', async (t) => {
  const bench = new Bench(2_000, 0, { drainAbove: 1e9 })
  bench.connect()
  bench.ack(0)
  bench.ack(100)
  bench.take()
  const effects = bench.pass(301_000)
  t.ok(bench.take().every((one) => one === '101-200'))
  t.equal(effects.filter((effect) => effect.do === 'tell').length, 1, 'said once')
  bench.ack(200)
  bench.ack(400)
  t.ok(bench.link.window.sent >= 600)
})

t.test('acks of another epoch, or of more than was ever sent, are ignored and told once', async (t) => {
  const bench = new Bench(10)
  bench.connect()
  bench.ack(0)
  bench.step({ on: 'appended', head: 50 })
  const effects = [...bench.ack(5, undefined, 'other'), ...bench.ack(6, undefined, 'other'), ...bench.ack(51), ...bench.ack(99)]
  t.same(
    effects.filter((effect) => effect.do === 'tell').map((effect) => effect.what),
    ['ack-of-another-epoch', 'ack-above-sent'],
  )
  t.equal(bench.link.window.cursor, 0)
})

t.test('an ack that came late does nothing; an HQ restored from a backup gets everything after it again', async (t) => {
  const bench = new Bench(500, 300, { drainAbove: 1e9 })
  bench.connect()
  bench.ack(400)
  bench.take()
  t.ok(names(bench.ack(350)).includes('sync'), 'it asks')
  bench.ack(400)
  t.ok(names(bench.ack(360)).includes('sync'))
  t.equal(bench.link.window.stored, 400, 'the answer was no')
  bench.ack(120)
  t.equal(bench.link.window.stored, 120, 'two in a row')
  t.equal(bench.take()[0], '121-220')
  t.equal(bench.link.window.cursor, 400, 'the journal’s cursor never goes back')
})

t.test('a long backlog starts at a random moment and is rate-capped; what comes after it is not', async (t) => {
  const bench = new Bench(50_000, 0, { drainPerSecond: 1_000, drainJitterMs: 10_000 })
  bench.random = 0.6
  bench.connect()
  bench.ack(0)
  t.same(bench.take(), [])
  bench.pass(6_000)
  const started = bench.now
  while (bench.link.window.stored < 50_000) {
    bench.pass(50)
    bench.ack(bench.link.window.sent)
  }
  const seconds = (bench.now - started) / 1000
  t.ok(seconds > 45 && seconds < 60, `${seconds} s for 50,000 at 1,000/s`)
  bench.take()
  bench.step({ on: 'appended', head: 51_500 })
  t.equal(bench.take().length, 15, 'all at once')
})

t.test('at speed small batches wait for company, and a full one does not', async (t) => {
  const bench = new Bench(0)
  bench.connect()
  bench.ack(0)
  const pulls = (effects: readonly LinkEffect[]) => effects.filter((effect) => effect.do === 'pull').length
  // A broker that is slow to acknowledge: the events are published, nothing comes back.
  const { link } = bench
  const feed = (event: Input) => linkMachine.step(link, { ...event, now: bench.now, random: 0 } as LinkEvent)
  let batch = 0
  const append = (head: number) => {
    const effects = feed({ on: 'appended', head })
    for (const effect of effects)
      if (effect.do === 'pull') {
        batch = effect.batch
        feed({ on: 'pulled', batch, to: head, events: head - effect.after })
      }
    return pulls(effects)
  }
  t.same([1, 2, 3, 4, 5, 6].map(append), [1, 1, 1, 1, 0, 0])
  t.equal(pulls(feed({ on: 'puback', batch: 1 })), 1, 'together when one is through')
})

t.test('stopped while connected: a goodbye; a sync every one to five minutes, with the birth; health every minute', async (t) => {
  const bench = new Bench(0)
  bench.connect()
  bench.ack(0)
  const hour = bench.pass(3_600_000)
  const count = (what: string) => hour.filter((effect) => effect.do === what).length
  t.ok(count('sync') >= 12 && count('sync') <= 60, `${count('sync')} syncs`)
  t.equal(count('birth'), count('sync'))
  t.ok(count('health') >= 59 && count('health') <= 61)
  t.same(bench.step({ on: 'stop' }).slice(0, 1), [{ do: 'close', goodbye: true }])
  t.equal(deadline(bench.link), undefined, 'no timer is left')
})

t.test('a burst of changes is one up/info', async (t) => {
  const bench = new Bench(0)
  bench.connect()
  for (let at = 0; at < 20; at++) {
    bench.step({ on: 'info-changed' })
    bench.pass(20)
  }
  t.equal(bench.pass(2_000).filter((effect) => effect.do === 'info').length, 1)
})

t.test('results: the newest status of each command, until the broker has it; the oldest give way', async (t) => {
  const outbox = newOutbox(3)
  const accepted = { id: 'a', status: 'accepted' } as const
  const done = { id: 'a', status: 'done' } as const
  t.same(outboxMachine.step(outbox, { on: 'result', result: accepted }), [])
  t.same(outboxMachine.step(outbox, { on: 'result', result: done }), [])
  t.same(outboxMachine.step(outbox, { on: 'online' }), [{ do: 'publish', result: done }])
  outboxMachine.step(outbox, { on: 'settled', result: done, ok: false })
  outboxMachine.step(outbox, { on: 'offline' })
  t.same(outboxMachine.step(outbox, { on: 'online' }), [{ do: 'publish', result: done }], 'refused or lost: again')
  outboxMachine.step(outbox, { on: 'settled', result: done, ok: true })
  t.equal(outbox.waiting.size, 0)
  for (const id of ['b', 'c', 'd', 'e']) outboxMachine.step(outbox, { on: 'result', result: { id, status: 'done' } })
  t.same([...outbox.waiting.keys()], ['c', 'd', 'e'])
})
