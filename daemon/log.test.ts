import t from 'tap'
import { systemClock } from './clock.ts'
import type { MonoMs } from './contract/plugin.ts'
import { createLog } from './log.ts'

t.test('a broker that flaps all night writes a few lines a minute, and says how many it held back', async (t) => {
  const lines: { msg: string; heldBack?: number }[] = []
  let now = 0
  const log = createLog({
    level: 'info',
    clock: { ...systemClock, mono: () => now as MonoMs },
    write: (line) => lines.push(JSON.parse(line)),
  })
  const link = log.child({ link: 'hq' })
  for (let i = 0; i < 1000; i++) link.warn({ attempt: i }, 'cannot reach the broker')
  t.equal(lines.length, 10)
  link.info({}, 'something else is not held back')
  t.equal(lines.length, 11)
  now = 61_000
  link.warn({}, 'cannot reach the broker')
  t.equal(lines.at(-1)?.heldBack, 990)
})

t.test('fixed keys and fields stand in every line, nothing below the level', async (t) => {
  const lines: Record<string, unknown>[] = []
  const log = createLog({ level: 'info', clock: systemClock, write: (line) => lines.push(JSON.parse(line)) })
  log.child({ plugin: 'scanner' }).info({ device: 'till-1' }, 'port open')
  log.debug({}, 'not wanted')
  t.equal(lines.length, 1)
  t.match(lines[0], { plugin: 'scanner', device: 'till-1', msg: 'port open', level: 30 })
})
