/** `context.commit`: a plugin's events and its own record of them, all or nothing. */
import t from 'tap'
import type { Json, JsonObject } from '../contract/json.ts'
import { PluginLab } from '../testing/plugin-lab.ts'

const measured = (n: number): JsonObject => ({ event: 'measured', data: { n } })

/** What the lab's store holds. */
const kept = async (lab: PluginLab): Promise<Record<string, Json>> =>
  Object.fromEntries((await lab.journal.space('plugin:lab').list()).map(({ key, value }) => [key, value]))

t.test('an event and its record are one transaction, masked and numbered like any other', async (t) => {
  const lab = await PluginLab.start({ plugins: ['lab'], sections: { lab: {} } })
  t.teardown(() => lab.stop())
  const before = lab.journal.commits.length
  const { sequences } = await lab.lab('commit', {
    events: [measured(1), { event: 'measured', data: { n: 2, code: '281234567890123456' } }],
    store: [
      ['sale/1', { state: 'paid' }],
      ['open/1', true],
      ['none', null],
    ],
  })
  const made = lab.journal.commits.slice(before).filter((one) => one.events?.some(({ plugin }) => plugin === 'lab'))
  t.equal(made.length, 1, 'one')
  t.match(made, [{ events: [{ event: 'measured' }, { event: 'measured' }], puts: [{ key: 'sale/1' }, { key: 'open/1' }, { key: 'none' }] }])
  t.same(
    sequences,
    lab.journal.events.slice(-2).map((one) => one.sequence),
  )
  t.same(await kept(lab), { 'sale/1': { state: 'paid' }, 'open/1': true, none: null })
  t.notMatch(JSON.stringify(lab.journal.commits), /281234567890123456/, 'a secret is masked here, too')

  await lab.lab('commit', { events: [measured(3)], store: [['open/1'], ['none'], ['sale/1', 1], ['sale/1', 2]] })
  t.same(await kept(lab), { 'sale/1': 2 }, 'without a value a key goes; of a key named twice the last counts')
  t.same((await lab.lab('commit', { store: [['alone', 1]] })).sequences, [])
  t.same((await lab.lab('commit')).sequences, [], 'nothing at all is no transaction')
})

t.test('what is wrong with one thing refuses all of it, and says what', async (t) => {
  const lab = await PluginLab.start({ plugins: ['lab'], sections: { lab: {} } })
  t.teardown(() => lab.stop())
  const events = lab.events('lab.measured').length
  for (const [commit, error] of [
    [
      { events: [measured(1), { event: 'measured', data: { n: 'one' } }], store: [['a', 1]] },
      { code: 'event-invalid', message: /n/ },
    ],
    [
      { events: [measured(1), { event: 'nonsense', data: {} }], store: [['a', 1]] },
      { code: 'event-invalid', message: /nonsense/ },
    ],
    [
      { events: [{ ...measured(1), device: 'no such name' }], store: [['a', 1]] },
      { code: 'event-invalid', message: /device/ },
    ],
    [
      {
        events: [measured(1)],
        store: [
          ['a', 1],
          ['k'.repeat(513), 1],
        ],
      },
      { code: 'payload-malformed', message: /1 to 512/ },
    ],
    [
      {
        events: [measured(1)],
        store: [
          ['a', 1],
          ['', 1],
        ],
      },
      { code: 'payload-malformed', message: /1 to 512/ },
    ],
    [
      {
        events: [measured(1)],
        store: [
          ['a', 1],
          [7, 1],
        ],
      },
      { code: 'payload-malformed', message: /1 to 512/ },
    ],
  ] as [JsonObject, { code: string; message: RegExp }][])
    await t.rejects(lab.lab('commit', commit), error, `${error.code} ${error.message}`)
  t.same(await kept(lab), {})
  t.equal(lab.events('lab.measured').length, events)

  lab.journal.break('journal-full')
  await t.rejects(lab.lab('commit', { events: [measured(1)], store: [['a', 1]] }), { code: 'journal-full' })
  lab.journal.mend()
  t.same(await kept(lab), {}, 'a full disk takes neither')
  t.match(await lab.lab('commit', { events: [measured(1)], store: [['a', 1]] }), { sequences: [Number] }, 'and the next one is taken')
})

t.test('in order: what was emitted before stands before it, however much that is', async (t) => {
  const lab = await PluginLab.start({ plugins: ['lab'], sections: { lab: {} } })
  t.teardown(() => lab.stop())
  // More than go in one message, and more than may be unanswered at a time.
  for (const before of [3, 600, 4_000]) {
    const { emitted, sequences } = (await lab.lab('commit', { before, events: [measured(-1)], store: [['n', before]] })) as Record<
      string,
      number[]
    >
    t.equal(emitted?.length, before)
    t.ok(Math.max(...(emitted ?? [])) < (sequences?.[0] ?? 0), `${before} before it`)
  }
  t.same(await kept(lab), { n: 4_000 })
})

t.test('the plugin dies with its commit under way: all of it is there, or nothing', async (t) => {
  const lab = await PluginLab.start({ plugins: ['lab'], sections: { lab: {} } })
  t.teardown(() => lab.stop())
  const { pid } = await lab.lab('info')
  lab.journal.block()
  const commit = lab.lab('commit', { events: [measured(42)], store: [['n', 42]] })
  const died = t.rejects(commit, { code: 'command-interrupted' })
  await lab.until(() => lab.journal.stats().pending > 0, 'it has arrived')
  process.kill(Number(pid), 'SIGKILL')
  await died
  lab.journal.unblock()
  await lab.until(() => lab.status('lab') === 'running', 'it is back')
  await lab.until(() => lab.events('lab.measured').length === 1, 'the event')
  t.same(await kept(lab), { n: 42 })
})
