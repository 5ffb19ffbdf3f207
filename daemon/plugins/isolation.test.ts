import { readFileSync } from 'node:fs'
import t from 'tap'
import { systemClock } from '../clock.ts'
import type { JsonObject } from '../contract/json.ts'
import { HeldTimers } from '../testing/held-timers.ts'
import { PluginLab } from '../testing/plugin-lab.ts'

/** A process may go away between two looks at it: one look. */
function alive(pid: number): boolean {
  try {
    return !readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ')
  } catch {
    return false
  }
}

const PING_MS = 55_555

t.test('whatever one plugin does to itself, the other one does not feel it, and the first comes back', async (t) => {
  const timers = new HeldTimers(PING_MS)
  const lab = await PluginLab.start({
    clock: timers.clock,
    plugins: ['lab', 'tills'],
    sections: { tills: { devices: { one: { port: 'a' } } } },
    limits: { supervisor: { fast: { crashes: 100, withinMs: 60_000 } }, process: { pingMs: PING_MS, missed: 3 } },
    execArgv: ['--max-old-space-size=40'],
  })
  t.teardown(() => lab.stop())
  const other = (await lab.command('tills', 'one', 'ask')) as JsonObject
  const expected: Record<string, RegExp> = {
    throw: /threw: .*a bad scan 62\*+4567$/,
    reject: /threw: .*nobody caught this/,
    loop: /unresponsive/,
    grow: /out of memory/,
    segv: /killed by SIGSEGV/,
    exit: /exited with code 3/,
    disconnect: /closed its channel|exited with code 0|killed by SIGKILL/,
    garbage: /malformed message/,
  }
  for (const [how, reason] of Object.entries(expected)) {
    const { sequences } = await lab.lab('emit', { count: 20 })
    const crashes = lab.events('plugin.crashed').length
    const crashing = t.rejects(lab.lab('crash', { how }), { code: 'command-interrupted' }, `${how}: a command under way is answered`)
    if (how === 'loop') await unanswered(lab, timers)
    await crashing
    await lab.until(() => lab.events('plugin.crashed').length > crashes, `${how} is journaled`)
    t.match(lab.events('plugin.crashed').at(-1)?.data.reason, reason)
    t.match(lab.shop.device('lab', '-'), { state: 'offline', detail: 'plugin-crashed' })
    await lab.until(() => lab.status('lab') === 'running', `${how}: it is back`)
    const stored = new Set(lab.events('lab.measured').map((one) => Number(one.sequence)))
    t.ok(
      (sequences as number[]).every((one) => stored.has(one)),
      'nothing acknowledged is lost',
    )
  }
  t.match(
    await lab.command('tills', 'one', 'ask'),
    { pid: other.pid, nth: 1 },
    'the other plugin is the same process, and its device never restarted',
  )
  t.equal(lab.shop.plugins().find((one) => one.name === 'lab')?.restarts, Object.keys(expected).length)
  t.notMatch(JSON.stringify(lab.logs), '6212345678901234567', 'a pay code in an error message is masked')
})

/** Pings fall due until the one that loops is found out; the other has, before each, the time it needs to answer. */
async function unanswered(lab: PluginLab, timers: HeldTimers): Promise<void> {
  const crashes = lab.events('plugin.crashed').length
  for (let pings = 0; pings < 10 && lab.events('plugin.crashed').length === crashes; pings++) {
    await lab.command('tills', 'one', 'ask')
    timers.fire(PING_MS)
  }
}

t.test('five crashes are quarantine: commands say so, a reload is the way out', async (t) => {
  const lab = await PluginLab.start({ plugins: ['lab'], sections: { lab: { crashAfterMs: 1 } } })
  t.teardown(() => lab.stop())
  await lab.until(() => lab.status('lab') === 'quarantined', 'quarantine')
  t.equal(lab.events('plugin.crashed').length, 5)
  t.match(lab.events('plugin.quarantined'), [{ data: { plugin: 'lab', version: '1.0.0', reason: /5 crashes within 10 min/ } }])
  await t.rejects(lab.lab('info'), { code: 'plugin-quarantined' })
  t.equal(lab.plugins.progressing(), true, 'it is reported, not waited for')
  t.same((await lab.plugins.configure({ lab: { crashAfterMs: 1 } })).errors, [], 'the same config leaves it there')
  t.equal(lab.status('lab'), 'quarantined')
  t.same(await lab.plugins.configure({ lab: {} }), { errors: [] })
  t.equal(lab.status('lab'), 'running', 'a changed one brings it back')
})

t.test('a chatty plugin does not fill the log, and a stubborn one with children is killed with them', async (t) => {
  // All of it is printed within one window of ten seconds, however long it takes.
  const now = systemClock.mono()
  const lab = await PluginLab.start({
    plugins: ['lab'],
    sections: { lab: { stubborn: true } },
    limits: { process: { stopMs: 500 } },
    clock: { ...systemClock, mono: () => now },
  })
  t.teardown(() => lab.stop())
  const child = Number(await lab.command('lab', '-', 'spawn'))
  const { pid } = (await lab.lab('info')) as { pid: number }
  await lab.lab('print', { lines: 20_000, text: 'paid with 6212345678901234567' })
  await lab.lab('info')
  await lab.until(() => lab.logs.some((line) => line.stream === 'stdout'), 'its output')
  await lab.plugins.unload('lab')
  await lab.until(() => !alive(pid) && !alive(child), 'both are gone')
  t.ok(lab.logs.filter((line) => line.stream === 'stdout').length <= 25)
  t.notMatch(JSON.stringify(lab.logs), '6212345678901234567')
  t.ok(lab.logs.some((line) => /did not stop/.test(line.msg)))
  t.match(lab.shop.device('lab', '-'), { state: 'offline', detail: 'plugin-stopped' })
})
