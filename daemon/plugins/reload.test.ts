import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { HeldTimers } from '../testing/held-timers.ts'
import { PluginLab } from '../testing/plugin-lab.ts'

const version = (text: string, to: string): string => text.replaceAll('1.0.0', to)
const logged = (lab: PluginLab, what: RegExp): number => lab.logs.filter((line) => what.test(JSON.stringify(line))).length

t.test('a folder dropped in while running is loaded, its replacement reloaded, its removal noticed', async (t) => {
  const lab = await PluginLab.start()
  t.teardown(() => lab.stop())
  t.same(lab.plugins.manifests(), [])
  lab.drop('lab')
  await lab.until(() => lab.status('lab') === 'running', 'the new folder')
  lab.drop('lab', 'lab', (text) => version(text, '1.1.0'))
  await lab.until(() => lab.events('plugin.loaded').some((one) => one.data.version === '1.1.0'), 'the new version')
  t.match(await lab.lab('info'), { version: '1.1.0' })
  rmSync(join(lab.pluginDir, 'lab'), { recursive: true })
  await lab.until(() => lab.plugins.manifests().length === 0, 'it is gone')
  t.same([lab.shop.plugins(), lab.shop.devices()], [[], []])
  t.match(lab.events('plugin.unloaded'), [{ data: { plugin: 'lab', version: '1.1.0', reason: 'removed' } }])
})

t.test('a plugin folder that is created after the start is watched all the same', async (t) => {
  const lab = new PluginLab()
  rmSync(lab.pluginDir, { recursive: true })
  await lab.plugins.start()
  t.teardown(() => lab.stop())
  lab.drop('lab')
  await lab.until(() => lab.status('lab') === 'running', 'folder and plugin')
  t.pass()
})

t.test('a folder that is copied bit by bit is not loaded until it is whole', async (t) => {
  const lab = await PluginLab.start()
  t.teardown(() => lab.stop())
  const source = lab.drop('lab', '.staging')
  const dir = join(lab.pluginDir, 'slow')
  mkdirSync(dir)
  const text = readFileSync(join(source, 'plugin.mjs'), 'utf8')
  writeFileSync(join(dir, 'plugin.json'), readFileSync(join(source, 'plugin.json')))
  await lab.until(() => logged(lab, /plugin\.mjs is missing/) > 0, 'the missing entry is told')
  t.equal(lab.events('plugin.crashed').length, 0)
  writeFileSync(join(dir, 'plugin.mjs'), text)
  await lab.until(() => lab.status('lab') === 'running', 'the whole folder')
  t.equal(lab.events('plugin.crashed').length, 0, 'no half of it was ever run')
})

t.test('bad folders give one line each, whatever else happens, and disturb nobody', async (t) => {
  const lab = await PluginLab.start({ plugins: ['lab'], builtins: ['tills'], sections: { tills: { devices: {} } } })
  t.teardown(() => lab.stop())
  const { pid } = await lab.lab('info')
  lab.drop('lab', 'z-another-lab')
  lab.drop('tills', 'tills-of-another')
  // What a checkout has: the built-in one's source.
  const source = lab.drop('tills', 'tills-source', (text) => text.replace('plugin.cjs', 'plugin.ts'))
  writeFileSync(join(source, 'plugin.ts'), 'export default 1')
  lab.drop('lab', 'source-only', (text) => text.replace('"lab"', '"sourced"').replace('plugin.mjs', 'plugin.ts'))
  writeFileSync(join(lab.pluginDir, 'source-only', 'plugin.ts'), 'export default 1')
  lab.drop('lab', 'traversal', (text) => text.replace('"lab"', '"../../etc"'))
  lab.drop('lab', 'future', (text) => text.replace('"api": "1"', '"api": "9"'))
  lab.drop('lab', 'broken', (text, file) => (file === 'plugin.json' ? text.slice(0, 100) : text))
  const outside = lab.drop('lab', 'escape', (text) => text.replace('"lab"', '"escape"').replace('plugin.mjs', 'out.mjs'))
  symlinkSync(join(lab.pluginDir, 'lab', 'plugin.mjs'), join(outside, 'out.mjs'))
  mkdirSync(join(lab.pluginDir, 'no-plugin'))
  const codes = () => lab.logs.filter((line) => typeof line.code === 'string').map((line) => String(line.code))
  await lab.until(() => codes().length >= 7, 'each is told')
  lab.drop('lab', 'fine', (text) => text.replace('"lab"', '"fine"'))
  await lab.until(() => lab.status('fine') === 'running', 'a good one after them')
  t.same(codes().sort(), [
    'plugin-api-unsupported',
    'plugin-manifest-invalid',
    'plugin-manifest-invalid',
    'plugin-name-taken',
    'plugin-name-taken',
    'plugin-path-unsafe',
    'plugin-path-unsafe',
  ])
  t.match(await lab.lab('info'), { pid })
  t.equal(lab.status('tills'), 'running')
  await t.rejects(lab.plugins.load(join(lab.pluginDir, 'traversal')), { code: 'plugin-path-unsafe' })
  await t.rejects(lab.plugins.load(join(lab.pluginDir, 'future')), { code: 'plugin-api-unsupported' })
  await t.rejects(lab.plugins.load(join(lab.pluginDir, 'z-another-lab')), { code: 'plugin-name-taken' })
  await t.rejects(lab.plugins.load(join(lab.pluginDir, 'nowhere')), { code: 'plugin-manifest-invalid' })
  await t.rejects(lab.plugins.reload('nobody'), { code: 'plugin-not-found' })
  rmSync(join(lab.pluginDir, 'lab'), { recursive: true })
  await lab.until(
    () => lab.logs.some((line) => line.event === 'loaded' && lab.status('lab') === 'running') && lab.events('plugin.unloaded').length > 0,
    'the name is free',
  )
  await lab.until(() => lab.status('lab') === 'running', 'the second folder of the name takes over')
})

t.test('files overwritten by a version that does not start: the old one comes back, and stays through a crash', async (t) => {
  const startMs = 77_777
  const timers = new HeldTimers(startMs)
  const lab = await PluginLab.start({
    plugins: ['lab'],
    clock: timers.clock,
    limits: { watch: { quietMs: 600_000, pollMs: 600_000 }, supervisor: { startMs } },
  })
  t.teardown(() => lab.stop())
  const sign = join(lab.root, 'hangs')
  const hang = (text: string, how: string) =>
    `import fs from 'node:fs'\n${version(text, '2.0.0').replace(
      'const heard = []',
      `const heard = []; fs.writeFileSync(${JSON.stringify(sign)}, ''); ${how}`,
    )}`
  await lab.until(() => existsSync(join(lab.stateDir, 'plugins-good', 'lab', 'source')), 'the copy of the good version')
  await lab.lab('keep', { key: 'k', value: 1 })
  const { sequences } = await lab.lab('emit', { count: 10 })
  const bad: { edit: (text: string) => string; hangs?: true }[] = [
    { edit: (text) => `${version(text, '2.0.0')}\nsyntax error here` },
    { edit: (text) => version(text, '2.0.0').replace('const heard = []', 'throw new Error("cannot open the new database")') },
    { edit: (text) => hang(text, 'await new Promise(() => {})'), hangs: true },
    { edit: (text) => hang(text, 'for (;;);'), hangs: true },
    { edit: (text) => version(text, '2.0.0').replace('export default', 'export const wrong =') },
  ]
  for (const { edit, hangs = false } of bad) {
    lab.drop('lab', 'lab', (text, file) => (file === 'plugin.json' ? version(text, '2.0.0') : edit(text)))
    rmSync(sign, { force: true })
    let over = false
    const reloaded = lab.plugins.reload('lab').finally(() => {
      over = true
    })
    const refused = t.rejects(reloaded, { code: 'plugin-start-failed', message: /the old one is back/ })
    // The time it has to start is up for one that hangs, and for no other.
    await lab.until(() => over || existsSync(sign), 'it to fail or to hang')
    if (!over) timers.fire(startMs)
    await refused
    t.equal(existsSync(sign), hangs)
    t.match(await lab.lab('info'), { version: '1.0.0' })
    t.match(lab.shop.plugins(), [{ name: 'lab', version: '1.0.0', status: 'running', reason: /rolled back/ }])
  }
  await t.rejects(lab.lab('crash', { how: 'exit' }))
  await lab.until(() => lab.status('lab') === 'running', 'it is back after a crash')
  t.match(await lab.lab('info'), { version: '1.0.0' })
  t.match(await lab.lab('keep', { key: 'k' }), { value: 1 })
  const stored = new Set(lab.events('lab.measured').map((one) => Number(one.sequence)))
  t.ok((sequences as number[]).every((one) => stored.has(one)))
  lab.drop('lab', 'lab', (text) => version(text, '2.0.1'))
  await lab.plugins.reload('lab')
  t.match(await lab.lab('info'), { version: '2.0.1' })
  t.match(
    lab.events('plugin.loaded').map((one) => `${one.data.version} ${one.data.reason}`),
    ['1.0.0 started', ...bad.map(() => '1.0.0 rolled-back'), '1.0.0 rolled-back', '2.0.1 reloaded'].slice(0, 6),
  )
})

t.test('a bad version found at the start of the daemon gives way to the last good one', async (t) => {
  const lab = await PluginLab.start({ plugins: ['lab'] })
  t.teardown(() => lab.stop())
  await lab.until(() => existsSync(join(lab.stateDir, 'plugins-good', 'lab', 'source')), 'the copy')
  await lab.plugins.stop()
  lab.drop('lab', 'lab', (text) => version(text, '2.0.0').replace('const heard = []', 'throw new Error("bad")'))
  const next = lab.create()
  t.teardown(() => next.stop())
  await next.start()
  await lab.until(() => lab.status('lab') === 'running', 'the good version')
  t.match(lab.shop.plugins(), [{ version: '1.0.0', reason: /rolled back/ }])
})

t.test('a reload with a bad manifest or a config that no longer fits changes nothing', async (t) => {
  const lab = await PluginLab.start({
    plugins: ['lab'],
    sections: { lab: { greeting: 'hi' } },
    limits: { watch: { quietMs: 60_000, pollMs: 60_000 } },
  })
  t.teardown(() => lab.stop())
  const { pid } = await lab.lab('info')
  lab.drop('lab', 'lab', (text) => text.replace('"api": "1"', '"api": "2"'))
  await t.rejects(lab.plugins.reload('lab'), { code: 'plugin-api-unsupported' })
  lab.drop('lab', 'lab', (text) => text.replace('"greeting": { "type": "string"', '"greeting": { "type": "integer"'))
  await t.rejects(lab.plugins.reload('lab'), { code: 'config-invalid' })
  t.match(await lab.lab('info'), { pid, greeting: 'hi' })
})

t.test('unloaded by hand stays unloaded until it is loaded by hand', async (t) => {
  const lab = await PluginLab.start({ plugins: ['lab'] })
  t.teardown(() => lab.stop())
  await lab.plugins.unload('lab')
  t.equal(lab.status('lab'), 'stopped')
  lab.drop('lab', 'lab', (text) => version(text, '1.2.0'))
  t.same(await lab.plugins.configure({ lab: { greeting: 'hey' } }), { errors: [] })
  t.equal(lab.status('lab'), 'stopped')
  await lab.plugins.reload('lab')
  t.match(await lab.lab('info'), { version: '1.2.0', greeting: 'hey' })
})
