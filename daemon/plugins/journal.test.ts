import { join } from 'node:path'
import t from 'tap'
import { bootId, systemClock } from '../clock.ts'
import type { CloudEvent } from '../contract/event.ts'
import type { LimitedJournal } from '../journal/api.ts'
import { openJournal } from '../journal/journal.ts'
import { createLog } from '../log.ts'
import { testFolder } from '../testing/folder.ts'
import { PluginLab } from '../testing/plugin-lab.ts'

const open = (dir: string): Promise<LimitedJournal> =>
  openJournal({
    file: join(dir, 'journal.db'),
    identity: () => ({ gateway: 'shop-001', store: '0001' }),
    clock: systemClock,
    clockState: () => 'synced',
    bootId: bootId(),
    maxAgeMs: 86_400_000,
    maxBytes: 1e9,
    log: createLog({ level: 'error', clock: systemClock }),
  })

t.test(
  'on the real journal: what was acknowledged outlives crash, reload and daemon; subscriber and keys go on where they were',
  async (t) => {
    const dir = testFolder(t)
    let journal = await open(dir)
    t.teardown(() => journal.close())
    const sections = { lab: { listen: true }, tills: { devices: { one: { port: 'a' } } } }
    const first = await PluginLab.start({ plugins: ['lab', 'tills'], sections, journal })
    t.teardown(() => first.stop())
    const acknowledged: number[] = []
    const all = async () => {
      const found: { sequence: number; event: CloudEvent }[] = []
      for (;;) {
        const more = await journal.read(found.at(-1)?.sequence ?? 0, { events: 1_000 })
        if (more.length === 0) return found
        found.push(...more.map(({ sequence, text }) => ({ sequence, event: JSON.parse(text) as CloudEvent })))
      }
    }
    const heard = async () => (await all()).filter(({ event }) => event.data.text === 'heard').map(({ event }) => event.data.n)
    const emit = async (lab: PluginLab) =>
      acknowledged.push(...((await lab.lab('emit', { count: 300, from: 1_000 })).sequences as number[]))
    await emit(first)
    await first.plugins.reload('lab')
    await emit(first)
    await t.rejects(first.lab('crash', { how: 'segv' }))
    await first.until(() => first.status('lab') === 'running', 'it is back')
    await emit(first)
    await first.lab('keep', { key: 'k', value: 'v' })
    await first.command('tills', 'one', 'ring', { n: 1 })
    while (!(await heard()).includes(1)) await new Promise((resolve) => setTimeout(resolve, 20))
    await first.plugins.stop()
    await journal.close()

    journal = await open(dir)
    const second = await PluginLab.start({ plugins: ['lab', 'tills'], sections, journal })
    t.teardown(() => second.stop())
    t.match(await second.lab('keep', { key: 'k' }), { value: 'v' })
    await second.command('tills', 'one', 'ring', { n: 2 })
    while (!(await heard()).includes(2)) await new Promise((resolve) => setTimeout(resolve, 20))
    t.same([...new Set(await heard())], [1, 2])
    const stored = new Map((await all()).map(({ sequence, event }) => [sequence, event.type]))
    t.equal(acknowledged.length, 900)
    t.ok(acknowledged.every((sequence) => stored.get(sequence) === 'shopwire.lab.measured'))
  },
)
