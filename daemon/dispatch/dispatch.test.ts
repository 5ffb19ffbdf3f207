import t from 'tap'
import { systemClock } from '../clock.ts'
import type { Command, CommandRequest, CommandResult } from '../contract/command.ts'
import { type ErrorBody, Failure } from '../contract/errors.ts'
import type { ClockState } from '../contract/event.ts'
import type { Json } from '../contract/json.ts'
import type { Clock, CommandSpec, WallMs } from '../contract/plugin.ts'
import { createLog } from '../log.ts'
import { MemoryJournal } from '../testing/memory-journal.ts'
import type { CommandTarget } from './api.ts'
import { createDispatch, type DispatchOptions, type RunningDispatch } from './dispatch.ts'

const PAY_CODE = '281234567890123456'

/** A shop's plugins as dispatch sees them. A run waits where the test holds it. */
class Shop implements CommandTarget {
  readonly ran: Command[] = []
  readonly signals: AbortSignal[] = []
  held: Promise<void> | undefined
  release: () => void = () => {}
  answer: (command: Command) => Json | Promise<Json> = (command) => ({ printed: command.id })

  hold(): void {
    this.held = new Promise((resolve) => {
      this.release = resolve
    })
  }

  describe(plugin: string, device: string, command: string): CommandSpec | ErrorBody {
    if (plugin === 'payment' && command === 'charge')
      return {
        args: {
          type: 'object',
          additionalProperties: false,
          required: ['code'],
          properties: { code: { type: 'string', 'x-secret': true }, amount: { type: 'integer' } },
        },
        repeatable: true,
      }
    if (plugin !== 'printer') return { code: 'plugin-not-found', message: `no plugin "${plugin}"` }
    if (device !== 'receipt' && device !== 'kitchen') return { code: 'device-unknown', message: `no device "${device}"` }
    if (command === 'status')
      return { repeatable: true, args: { type: 'object', properties: { verbose: { type: 'boolean', default: false } } } }
    if (command === 'look') return { concurrent: true }
    if (command === 'slow') return { timeoutMs: 20 }
    if (command !== 'print') return { code: 'command-unknown', message: `no command "${command}"` }
    return {
      args: {
        type: 'object',
        additionalProperties: false,
        properties: { receipt: { type: 'string' }, copies: { type: 'integer', default: 1, maximum: 5 } },
      },
    }
  }

  async run(_plugin: string, command: Command, signal: AbortSignal): Promise<Json> {
    this.ran.push(command)
    this.signals.push(signal)
    await this.held
    return this.answer(command)
  }
}

type Teardown = { teardown(run: () => Promise<void>): void }

interface Bench {
  journal: MemoryJournal
  shop: Shop
  dispatch: RunningDispatch
  lines: string[]
}

async function bench(t: Teardown, options: Partial<DispatchOptions> = {}, old?: Partial<Bench>): Promise<Bench> {
  const journal = old?.journal ?? new MemoryJournal()
  const shop = old?.shop ?? new Shop()
  const lines: string[] = []
  const log = createLog({ level: 'debug', clock: systemClock, write: (line) => lines.push(line) })
  const dispatch = await createDispatch({ journal, target: shop, clock: systemClock, clockState: () => 'synced', log, ...options })
  t.teardown(async () => {
    shop.release()
    journal.mend()
    journal.unblock()
    await dispatch.stop(0)
  })
  return { journal, shop, dispatch, lines }
}

const print = (id: string, rest: Partial<CommandRequest> = {}): CommandRequest => ({
  id,
  plugin: 'printer',
  device: 'receipt',
  command: 'print',
  args: { receipt: '# Thank you' },
  from: 'lan',
  ...rest,
})

const until = async (done: () => boolean): Promise<void> => {
  while (!done()) await new Promise((resolve) => setImmediate(resolve))
}
const eventsOf = (journal: MemoryJournal) =>
  journal.events.map((one) => ({ event: one.event, ...(JSON.parse(one.text).data as Record<string, unknown>) }))
const allText = ({ journal, lines }: Bench): string => JSON.stringify([journal.commits, journal.events, lines])

t.test('a receipt is journaled, printed once with its defaults filled in, and answered; however often the till repeats it', async (t) => {
  const { journal, shop, dispatch } = await bench(t)
  const heard: string[] = []
  shop.hold()
  const first = dispatch.submit(print('r-1'), (result) => heard.push(result.status))
  await until(() => shop.ran.length === 1)
  t.match(eventsOf(journal), [
    { event: 'accepted', command: 'r-1', target: 'printer/receipt/print', from: 'lan', args: { receipt: '# Thank you', copies: 1 } },
  ])
  const joined = dispatch.submit(print('r-1'))
  shop.release()
  const answer: CommandResult = { id: 'r-1', status: 'done', result: { printed: 'r-1' } }
  t.same(await first, answer)
  t.same(await joined, answer)
  t.same(await dispatch.submit(print('r-1')), answer)
  t.same(heard, ['accepted', 'running'])
  t.equal(shop.ran.length, 1)
  t.same(shop.ran[0]?.args, { receipt: '# Thank you', copies: 1 })
  t.same(
    eventsOf(journal).map((one) => one.event),
    ['accepted', 'finished'],
  )

  const again = await bench(t, {}, { journal, shop })
  t.same(await again.dispatch.submit(print('r-1')), answer, 'also after a restart')
  t.equal(shop.ran.length, 1)
})

t.test('an id is for one command for good', async (t) => {
  const { dispatch, shop } = await bench(t)
  await dispatch.submit(print('r-1'))
  for (const other of [
    print('r-1', { args: { receipt: '# Bill' } }),
    print('r-1', { device: 'kitchen' }),
    print('r-1', { command: 'status', args: {} }),
  ])
    t.match(await dispatch.submit(other), { id: 'r-1', status: 'rejected', error: { code: 'command-id-reused' } })
  shop.hold()
  const running = dispatch.submit(print('r-2'))
  t.match(await dispatch.submit(print('r-2', { args: { receipt: 'other' } })), { status: 'rejected', error: { code: 'command-id-reused' } })
  shop.release()
  t.match(await running, { status: 'done' })
})

t.test('nonsense is refused with its reason, and not one byte of it reaches the card', async (t) => {
  const { journal, dispatch, shop } = await bench(t)
  let deep: Json = 1
  for (let level = 0; level < 20_000; level++) deep = [deep]
  const cases: [Partial<CommandRequest>, string, string?][] = [
    [{ id: '' }, 'payload-malformed', 'id'],
    [{ id: 'x'.repeat(129) }, 'payload-malformed', 'id'],
    [{ id: 'a\u0000b' }, 'payload-malformed', 'id'],
    [{ id: 5 as unknown as string }, 'payload-malformed', 'id'],
    [{ plugin: '../etc' }, 'plugin-not-found', 'plugin'],
    [{ plugin: 'scale' }, 'plugin-not-found'],
    [{ device: 'bar' }, 'device-unknown'],
    [{ command: 'explode' }, 'command-unknown'],
    [{ args: { copies: 6 } }, 'args-invalid', 'args.copies'],
    [{ args: { colour: 'red' } }, 'args-invalid', 'args.colour'],
    [{ args: 'print it' }, 'args-invalid', 'args'],
    [{ args: { receipt: 'x'.repeat(300_000) } }, 'payload-too-large', 'args'],
    [{ args: deep }, 'payload-malformed', 'args'],
    [{ expiresAt: 'tomorrow' }, 'payload-malformed', 'expiresAt'],
  ]
  for (const [wrong, code, path] of cases) {
    const result = await dispatch.submit(print('bad', wrong))
    t.equal(result.status, 'rejected', code)
    t.equal(result.error?.code, code)
    if (path !== undefined) t.equal(result.error?.problems?.[0]?.path, path)
    t.ok(JSON.stringify(result).length < 1_000)
  }
  t.same(journal.commits, [])
  t.same(shop.ran, [])
  t.match(await dispatch.submit(print('bad')), { status: 'done' }, 'a refused id may be used again, mended')
})

t.test('two printers work side by side, one printer in order; a full queue says so', async (t) => {
  const { dispatch, shop } = await bench(t, { limits: { perDevice: 3 } })
  shop.hold()
  const order: string[] = []
  const submit = (id: string, device: string) =>
    dispatch.submit(print(id, { device })).then((result) => {
      order.push(id)
      return result
    })
  const all = [submit('r-1', 'receipt'), submit('r-2', 'receipt'), submit('r-3', 'receipt'), submit('k-1', 'kitchen')]
  t.match(await submit('r-4', 'receipt'), { status: 'rejected', error: { code: 'queue-full' } })
  await until(() => shop.ran.length === 2)
  t.same(shop.ran.map((one) => one.id).sort(), ['k-1', 'r-1'])
  shop.release()
  for (const result of await Promise.all(all)) t.equal(result.status, 'done')
  t.same(
    order.filter((id) => id.startsWith('r')),
    ['r-4', 'r-1', 'r-2', 'r-3'],
  )
})

t.test('a look at a printer does not wait for the long receipt before it, nor the next receipt for the look', async (t) => {
  const { shop, dispatch } = await bench(t)
  shop.hold()
  const order = (id: string, command: string) => dispatch.submit({ id, plugin: 'printer', device: 'receipt', command, from: 'lan' })
  const all = [order('first', 'print'), order('second', 'print'), order('look-1', 'look'), order('look-2', 'look')]
  await until(() => shop.ran.length === 3)
  t.same(shop.ran.map(({ id }) => id).sort(), ['first', 'look-1', 'look-2'])
  shop.release()
  t.same(
    (await Promise.all(all)).map(({ status }) => status),
    ['done', 'done', 'done', 'done'],
  )
})

t.test('a failing device, an uncertain one, one that takes too long', async (t) => {
  const { dispatch, shop, journal } = await bench(t)
  shop.answer = () => Promise.reject(new Failure('device-fault', 'out of paper'))
  t.match(await dispatch.submit(print('r-1')), { status: 'failed', error: { code: 'device-fault', message: 'out of paper' } })
  shop.answer = () => Promise.reject(new Failure('job-uncertain', 'the line was cut'))
  t.match(await dispatch.submit(print('r-2')), { status: 'unknown', error: { code: 'job-uncertain' } })
  shop.answer = () => {
    throw new TypeError('undefined is not a printer')
  }
  t.match(await dispatch.submit(print('r-3')), { status: 'failed', error: { code: 'plugin-failed' } })
  shop.hold()
  shop.answer = () => 'too late'
  t.match(await dispatch.submit(print('s-1', { command: 'slow', args: {} })), { status: 'unknown', error: { code: 'command-timeout' } })
  t.ok(shop.signals.at(-1)?.aborted, 'the plugin was told')
  shop.release()
  t.match(
    await dispatch.submit(print('s-1', { command: 'slow', args: {} })),
    { status: 'unknown', error: { code: 'command-timeout' } },
    'what came late changes nothing',
  )
  t.match(
    eventsOf(journal).filter((one) => one.event === 'finished'),
    [{ status: 'failed' }, { status: 'unknown' }, { status: 'failed' }, { status: 'unknown' }],
  )
})

t.test('a command past its time is not run; a box whose clock was never set does not judge', async (t) => {
  let wall = Date.parse('2026-11-22T08:00:00Z')
  let clockState: ClockState = 'synced'
  const clock: Clock = { ...systemClock, wall: () => wall as WallMs }
  const { dispatch, shop, journal } = await bench(t, { clock, clockState: () => clockState })
  const late = print('r-1', { expiresAt: '2026-11-22T15:59:59+08:00' })
  t.match(await dispatch.submit(late), { status: 'expired', error: { code: 'command-expired' } })
  wall -= 3_600_000
  t.match(await dispatch.submit(late), { status: 'expired' }, 'the clock went back: still expired')
  t.equal(shop.ran.length, 0)

  shop.hold()
  const first = dispatch.submit(print('r-2'))
  const second = dispatch.submit(print('r-3', { expiresAt: '2026-11-22T07:30:00Z' }))
  await until(() => shop.ran.length === 1 && eventsOf(journal).filter((one) => one.event === 'accepted').length === 2)
  wall += 3_600_000
  shop.release()
  await first
  t.match(await second, { status: 'expired' }, 'it expired while it waited for the printer')

  clockState = 'unsynced'
  wall = 5_000_000_000_000
  t.match(await dispatch.submit(print('r-4', { expiresAt: '2026-11-22T07:30:00Z' })), { status: 'done' })
})

t.test('a crash: what may have run is unknown, what is repeatable runs again, a secret is not stored to be run again', async (t) => {
  const before = await bench(t)
  before.shop.hold()
  const requests = [
    print('r-1'),
    print('s-1', { command: 'status', device: 'kitchen', args: { verbose: true } }),
    print('p-1', { plugin: 'payment', device: '-', command: 'charge', args: { code: PAY_CODE, amount: 100 } }),
  ]
  for (const request of requests) void before.dispatch.submit(request)
  await until(() => before.shop.ran.length === 3)
  t.notMatch(allText(before), PAY_CODE)
  t.match(allText(before), '28************3456')

  // The process dies here: nothing of it but the journal is left.
  const copy = new MemoryJournal()
  for (const commit of before.journal.commits) await copy.commit(commit)
  const after = await bench(t, {}, { journal: copy })
  await until(() => eventsOf(copy).filter((one) => one.event === 'finished').length === 2)
  const joined = after.dispatch.submit(requests[1] as CommandRequest)
  t.equal(after.shop.ran.length, 0, 'nothing runs before the plugins are up')
  await after.dispatch.resume()
  t.match(await joined, { status: 'done', result: { printed: 's-1' } })
  t.match(after.shop.ran, [{ id: 's-1', args: { verbose: true } }])
  for (const request of [requests[0], requests[2]] as CommandRequest[])
    t.match(await after.dispatch.submit(request), { status: 'unknown', error: { code: 'command-interrupted' } })
  t.equal(after.shop.ran.length, 1)
  t.notMatch(allText(after), PAY_CODE)
})

t.test('a repeatable command that takes the daemon down with it is given up', async (t) => {
  let journal = new MemoryJournal()
  let shop = new Shop()
  shop.hold()
  const first = await bench(t, {}, { journal, shop })
  const request = print('s-1', { command: 'status', args: {} })
  void first.dispatch.submit(request)
  await until(() => shop.ran.length === 1)
  for (let crash = 1; crash <= 3; crash++) {
    const copy = new MemoryJournal()
    for (const commit of journal.commits) await copy.commit(commit)
    journal = copy
    shop = new Shop()
    shop.hold()
    const next = await bench(t, {}, { journal, shop })
    await next.dispatch.resume()
    if (crash < 3) await until(() => shop.ran.length === 1)
    else t.match(await next.dispatch.submit(request), { status: 'unknown', error: { code: 'command-interrupted' } })
  }
  t.equal(shop.ran.length, 0)
})

t.test(
  'a full disk: nothing runs unjournaled; an outcome that cannot be stored is unknown, and is stored when there is room',
  async (t) => {
    let settle: (() => void) | undefined
    const clock: Clock = {
      ...systemClock,
      timer: (ms, run) => {
        if (ms === 5_000) settle = run
        return ms === 5_000 ? () => {} : systemClock.timer(ms, run)
      },
    }
    const { dispatch, shop, journal } = await bench(t, { clock })
    journal.break('journal-full')
    t.match(await dispatch.submit(print('r-1')), { status: 'rejected', error: { code: 'journal-full' } })
    t.equal(shop.ran.length, 0)
    journal.mend()
    t.match(await dispatch.submit(print('r-1')), { status: 'done' }, 'the same id is good when there is room again')

    shop.hold()
    const caught = dispatch.submit(print('r-2'))
    await until(() => shop.ran.length === 2)
    journal.break('journal-full')
    shop.release()
    const answer = await caught
    t.match(answer, { status: 'unknown', error: { code: 'command-interrupted' } })
    t.same(await dispatch.submit(print('r-2')), answer)
    journal.mend()
    settle?.()
    await until(() => eventsOf(journal).at(-1)?.event === 'finished')
    t.same(await dispatch.submit(print('r-2')), answer)
    t.equal(shop.ran.length, 2)
  },
)

t.test('a pay code is seen by the payment plugin alone, also when the plugin quotes it', async (t) => {
  const all = await bench(t)
  const charge = (id: string): CommandRequest => ({
    id,
    plugin: 'payment',
    device: '-',
    command: 'charge',
    args: { code: PAY_CODE },
    from: 'plugin',
  })
  all.shop.answer = (command) => ({ charged: command.args, note: `code ${PAY_CODE} taken` })
  const done = await all.dispatch.submit(charge('p-1'))
  t.equal(all.shop.ran[0]?.args !== null && JSON.stringify(all.shop.ran[0]?.args).includes(PAY_CODE), true)
  all.shop.answer = () => Promise.reject(new Error(`declined: ${PAY_CODE}`))
  const failed = await all.dispatch.submit(charge('p-2'))
  t.match(failed, { status: 'failed', error: { code: 'plugin-failed' } })
  t.notMatch(allText(all) + JSON.stringify([done, failed]), PAY_CODE)
})

t.test('stopping: what runs may finish, what waits is told, nothing new is taken', async (t) => {
  const { dispatch, shop, journal } = await bench(t)
  shop.hold()
  const running = dispatch.submit(print('r-1'))
  const waiting = dispatch.submit(print('r-2'))
  await until(() => shop.ran.length === 1 && journal.events.length === 2)
  const stopped = dispatch.stop(60_000)
  t.match(await dispatch.submit(print('r-3')), { status: 'rejected', error: { code: 'stopping' } })
  shop.release()
  t.match(await running, { status: 'done' })
  t.match(await waiting, { status: 'failed', error: { code: 'stopping' } })
  await stopped

  const second = await bench(t, {}, { journal })
  second.shop.hold()
  const stuck = second.dispatch.submit(print('r-9'))
  await until(() => second.shop.ran.length === 1)
  await second.dispatch.stop(0)
  t.match(await stuck, { status: 'unknown', error: { code: 'command-interrupted' } })
  t.ok(second.shop.signals[0]?.aborted)
})

t.test('a huge result is not kept and therefore not given; the command was done', async (t) => {
  const { dispatch, shop } = await bench(t)
  shop.answer = () => 'x'.repeat(300_000)
  const first = await dispatch.submit(print('r-1'))
  t.match(first, { status: 'done', error: { code: 'payload-too-large' } })
  t.same(await dispatch.submit(print('r-1')), first)
})

t.test('old records go, oldest first; those of a box in 1970 are as old as what came after them', async (t) => {
  let wall = Date.parse('2026-01-01T00:00:00Z')
  let clockState: ClockState = 'synced'
  const options: Partial<DispatchOptions> = {
    clock: { ...systemClock, wall: () => wall as WallMs },
    clockState: () => clockState,
    retention: { maxRecords: 5 },
  }
  const { dispatch, journal, shop } = await bench(t, options)
  await dispatch.submit(print('january'))
  clockState = 'unsynced'
  await dispatch.submit(print('unsynced/1970'))
  clockState = 'synced'
  t.equal(await dispatch.sweep(), 0)
  wall += 181 * 86_400_000
  await dispatch.submit(print('july'))
  clockState = 'unsynced'
  t.equal(await dispatch.sweep(), 0, 'an unset clock drops nothing')
  clockState = 'synced'
  t.equal(await dispatch.sweep(), 1, 'the one of 1970 is kept: it may be of July')
  await dispatch.submit(print('january'))
  t.equal(shop.ran.filter((one) => one.id === 'january').length, 2, 'forgotten after 180 days')
  for (let index = 0; index < 5; index++) await dispatch.submit(print(`new-${index}`))
  t.equal(await dispatch.sweep(), 3)
  const left = await journal.space('commands').list()
  t.equal(left.filter(({ key }) => key.startsWith('r/')).length, 5)
  t.equal(left.filter(({ key }) => key.startsWith('age/')).length, 5)
  t.equal(left.filter(({ key }) => key.startsWith('open/')).length, 0)
})
