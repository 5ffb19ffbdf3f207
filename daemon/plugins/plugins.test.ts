import { spawn } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import type { JsonObject } from '../contract/json.ts'
import { PluginLab } from '../testing/plugin-lab.ts'

const alive = (pid: number): boolean => existsSync(`/proc/${pid}`) && !readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ')

t.test('a plugin dropped in runs, answers, and what it emits is in the journal when it hears so', async (t) => {
  const lab = await PluginLab.start({ plugins: ['lab'] })
  t.teardown(() => lab.stop())
  t.equal(lab.status('lab'), 'running')
  const info = await lab.lab('info')
  t.match(info, {
    version: '1.0.0',
    greeting: 'hello',
    refused: 'permission-denied',
    gateway: { id: 'shop-001', store: '0001', demo: false },
  })
  t.notOk(
    (info.env as string[]).some((key) => /SECRET|TOKEN|npm_/.test(key)),
    "the environment of the daemon is not the plugin's",
  )
  const { sequences } = await lab.lab('emit', { count: 250 })
  t.same(
    sequences,
    lab.events('lab.measured').map((one) => Number(one.sequence)),
  )
  t.match(lab.events('plugin.loaded'), [{ source: '/shop-001/plugin/-', data: { plugin: 'lab', version: '1.0.0', reason: 'started' } }])
})

t.test('whatever one plugin does to itself, the other one does not feel it, and the first comes back', async (t) => {
  const lab = await PluginLab.start({
    plugins: ['lab', 'tills'],
    sections: { tills: { devices: { one: { port: 'a' } } } },
    limits: { supervisor: { fast: { crashes: 100, withinMs: 60_000 } } },
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
    await t.rejects(lab.lab('crash', { how }), { code: 'command-interrupted' }, `${how}: a command under way is answered`)
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

t.test('commands: unknown names are told apart, errors keep their code, an abort crosses over', async (t) => {
  const lab = await PluginLab.start({ plugins: ['lab', 'tills'], sections: { tills: { devices: { one: { port: 'a' } } } } })
  t.teardown(() => lab.stop())
  await t.rejects(lab.command('scale', '-', 'tare'), { code: 'plugin-not-found', message: /there are: lab, tills/ })
  await t.rejects(lab.command('tills', 'one', 'tare'), { code: 'command-unknown', message: /it has: ask, ring/ })
  await t.rejects(lab.command('tills', 'two', 'ask'), { code: 'device-unknown', message: /it has: one/ })
  await t.rejects(lab.command('tills', 'constructor', 'ask'), { code: 'device-unknown' })
  await t.rejects(lab.command('tills', 'one', 'toString'), { code: 'command-unknown' })
  await t.rejects(lab.lab('fail'), { code: 'plugin-failed', message: 'out of paper' })
  await t.rejects(lab.lab('fail', { code: 'device-fault' }), { code: 'device-fault', message: 'out of paper' })
  await t.rejects(lab.lab('fail', { code: 'ENOENT' }), { code: 'plugin-failed' })
  const controller = new AbortController()
  const waiting = lab.command('lab', '-', 'wait', {}, controller.signal)
  controller.abort(Object.assign(new Error('took too long'), { code: 'command-timeout' }))
  await t.rejects(waiting, { code: 'command-timeout', message: 'took too long' })
  t.match(lab.plugins.describe('lab', '-', 'info'), { repeatable: true })
  await lab.plugins.unload('lab')
  await t.rejects(lab.lab('info'), { code: 'plugin-not-running' })
})

t.test("calls go through the daemon and need the permission for it; keys are durable and the plugin's own", async (t) => {
  const lab = await PluginLab.start({ plugins: ['lab', 'tills'], sections: { tills: { devices: { one: { port: 'a' } } } } })
  t.teardown(() => lab.stop())
  t.match(await lab.lab('call', { plugin: 'tills', device: 'one', command: 'ask', args: { code: '1' } }), {
    from: 'lab',
    result: { port: 'a', args: { code: '1' } },
  })
  await t.rejects(lab.lab('call', { plugin: 'printer', device: 'x', command: 'print', args: {} }), { code: 'permission-denied' })
  await t.rejects(lab.lab('call', { plugin: 'tills', device: 'x', command: 'ask', args: {} }), { code: 'device-unknown' })
  t.same(await lab.lab('keep', { key: 'jobs/1', value: { a: [1, null, 'x'] } }), { value: { a: [1, null, 'x'] }, keys: ['jobs/1'] })
  await lab.plugins.reload('lab')
  t.match(await lab.lab('keep', { key: 'jobs/1' }), { value: { a: [1, null, 'x'] } })
  t.same(await lab.journal.space('plugin:lab').list(), [{ key: 'jobs/1', value: { a: [1, null, 'x'] } }])
})

t.test('a chatty plugin does not fill the log, and a stubborn one with children is killed with them', async (t) => {
  const lab = await PluginLab.start({ plugins: ['lab'], sections: { lab: { stubborn: true } } })
  t.teardown(() => lab.stop())
  const child = Number(await lab.command('lab', '-', 'spawn'))
  const { pid } = (await lab.lab('info')) as { pid: number }
  await lab.lab('print', { lines: 20_000, text: 'paid with 6212345678901234567' })
  await lab.lab('info')
  await lab.until(() => lab.logs.some((line) => line.stream === 'stdout'), 'its output')
  t.ok(lab.logs.filter((line) => line.stream === 'stdout').length <= 25)
  t.notMatch(JSON.stringify(lab.logs), '6212345678901234567')
  await lab.plugins.unload('lab')
  await lab.until(() => !alive(pid) && !alive(child), 'both are gone')
  t.match(lab.logs, [{ msg: /did not stop within 2 s/ }].concat([]) && lab.logs)
  t.ok(lab.logs.some((line) => /did not stop/.test(line.msg)))
  t.match(lab.shop.device('lab', '-'), { state: 'offline', detail: 'plugin-stopped' })
})

t.test('kill -9 of the daemon: its plugins end with it, a looping one when the next daemon starts', async (t) => {
  const lab = new PluginLab({ plugins: ['lab'] })
  t.teardown(() => lab.stop())
  const script = join(lab.root, 'daemon.ts')
  const url = (path: string) => JSON.stringify(fileURLToPath(new URL(path, import.meta.url)))
  writeFileSync(
    script,
    `import { createPlugins } from ${url('./plugins.ts')}
     import { systemClock } from ${url('../clock.ts')}
     import { createLog } from ${url('../log.ts')}
     import { Shop } from ${url('../shop.ts')}
     import { MemoryJournal } from ${url('../testing/memory-journal.ts')}
     const plugins = createPlugins({ journal: new MemoryJournal(), shop: new Shop(), clock: systemClock,
       log: createLog({ level: 'error', clock: systemClock }), call: async () => null,
       gateway: () => ({ id: 'g-1', store: '', demo: false }), builtinDir: ${JSON.stringify(lab.builtinDir)},
       pluginDirs: [${JSON.stringify(lab.pluginDir)}], runner: { file: ${JSON.stringify(join(lab.root, 'plugin-runner.cjs'))} },
       stateDir: ${JSON.stringify(lab.stateDir)}, sections: {} })
     void plugins.start().then(async () => {
       const run = (command, args) => plugins.run('lab', { id: 'c', device: '-', command, args, from: 'cli' }, AbortSignal.timeout(60_000))
       const { pid } = await run('info', {})
       if (process.argv[2] === 'loop') void run('crash', { how: 'loop' }).catch(() => {})
       setTimeout(() => console.log(pid), 100)
     })`,
  )
  const once = async (mode: string): Promise<number> => {
    const daemon = spawn(process.execPath, ['--import=tsx', script, mode], { stdio: ['ignore', 'pipe', 'inherit'] })
    const pid = await new Promise<number>((resolve) => daemon.stdout.once('data', (text) => resolve(Number(text))))
    t.ok(alive(pid))
    daemon.kill('SIGKILL')
    return pid
  }
  const quiet = await once('quiet')
  await lab.until(() => !alive(quiet), 'the plugin ends')
  const looping = await once('loop')
  t.ok(alive(looping), 'a loop hears nothing')
  await lab.plugins.start()
  await lab.until(() => !alive(looping), 'the next daemon ends it')
  t.equal(lab.status('lab'), 'running')
  t.ok(readdirSync(lab.stateDir).length > 0)
})
