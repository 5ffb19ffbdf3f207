import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { createClockState } from './clock-sync.ts'
import type { MonoMs, WallMs } from './contract/plugin.ts'
import { testFolder } from './testing/folder.ts'

const NOW = Date.UTC(2026, 10, 22)

function box(run: string, answers: (boolean | undefined)[] = []) {
  const time = { wall: NOW, mono: 0 }
  let asked = 0
  const state = createClockState({
    clock: { wall: () => time.wall as WallMs, mono: () => time.mono as MonoMs },
    run,
    ask: async () => answers[asked++],
  })
  return { time, state, asked: () => asked }
}
const settled = () => new Promise((resolve) => setImmediate(resolve))

t.test('a Pi that boots in 1970 is unsynced, whatever else is there', async (t) => {
  const run = testFolder(t, { systemd: { system: {}, timesync: { synchronized: '' } } })
  const { time, state } = box(run)
  time.wall = 60_000
  t.equal(state(), 'unsynced')
  time.wall = NOW
  t.equal(state(), 'synced')
})

t.test('a Pi that boots at its last shutdown is unsynced until the time server has answered', async (t) => {
  const run = testFolder(t, { systemd: { system: {}, timesync: {} } })
  const { time, state } = box(run)
  t.equal(state(), 'unsynced')
  await writeFile(join(run, 'systemd/timesync/synchronized'), '')
  t.equal(state(), 'unsynced', 'not looked at for each event')
  time.mono += 5_000
  t.equal(state(), 'synced')
})

t.test('with chrony the kernel is asked through timedated, now and then', async (t) => {
  const run = testFolder(t, { systemd: { system: {} } })
  const { time, state, asked } = box(run, [undefined, false, true])
  for (let second = 0; second < 60; second += 1) {
    time.mono = second * 1_000
    state()
    await settled()
  }
  t.equal(asked(), 2)
  t.equal(state(), 'unsynced')
  time.mono = 60_000
  state()
  await settled()
  t.equal(state(), 'synced')
  time.mono = 600_000
  state()
  t.equal(asked(), 3, 'once set, nobody is asked again')
})

t.test('in a container the clock is the host’s and the year decides', async (t) => {
  const run = testFolder(t)
  t.equal(box(run).state(), 'synced')
  await mkdir(join(run, 'systemd'), { recursive: true })
  t.equal(box(run).state(), 'synced')
})
