import t from 'tap'
import type { JsonObject } from '../contract/json.ts'
import { PluginLab } from '../testing/plugin-lab.ts'

const tills = (devices: JsonObject, rest: JsonObject = {}) => ({ tills: { devices, ...rest } })
const ask = (lab: PluginLab, device: string) => lab.command('tills', device, 'ask') as Promise<JsonObject>

t.test('a change to one device restarts that device alone', async (t) => {
  const lab = await PluginLab.start({ builtins: ['tills'], plugins: ['lab'], sections: tills({ one: { port: 'a' }, two: { port: 'b' } }) })
  t.teardown(() => lab.stop())
  const [one, two, other] = [await ask(lab, 'one'), await ask(lab, 'two'), await lab.lab('info')]
  t.same(await lab.plugins.configure(tills({ one: { port: 'a' }, two: { port: 'c' } })), { errors: [] })
  t.same(await ask(lab, 'one'), one)
  t.match(await ask(lab, 'two'), { port: 'c', nth: 3, pid: two.pid })
  t.same(await lab.plugins.configure(tills({ one: { port: 'a', baudRate: 9600 }, two: { port: 'c' } })), { errors: [] })
  t.same(await ask(lab, 'one'), one, 'a default that is spelt out is no change')
  t.same(await lab.plugins.configure(tills({ one: { port: 'a' }, three: { port: 'd' } })), { errors: [] })
  await t.rejects(ask(lab, 'two'), { code: 'device-unknown' })
  await lab.until(() => lab.shop.device('tills', 'two') === undefined, 'its retained state goes')
  t.match(await ask(lab, 'three'), { port: 'd', pid: one.pid })
  t.same(await lab.plugins.configure(tills({ one: { port: 'a' } }, { prefix: 'U' })), { errors: [] })
  t.match(await ask(lab, 'one'), { prefix: 'U', pid: one.pid })
  t.not((await ask(lab, 'one')).nth, one.nth, 'what all share restarts them all')
  t.match(await lab.lab('info'), { pid: other.pid }, 'nobody else is touched')
  t.equal(lab.events('plugin.loaded').length, 2)
})

t.test('a device that cannot start is told by its path; the others run, and it goes on trying', async (t) => {
  const lab = await PluginLab.start({ builtins: ['tills'], sections: tills({ one: { port: 'a' } }) })
  t.teardown(() => lab.stop())
  const { errors } = await lab.plugins.configure(tills({ one: { port: 'a' }, two: { port: 'missing' } }))
  t.match(errors, [{ path: 'plugins.tills.devices.two', message: /no such port/ }])
  t.match(lab.shop.device('tills', 'two'), { state: 'fault', detail: 'start-failed' })
  t.match(await ask(lab, 'one'), { nth: 1 })
  await t.rejects(ask(lab, 'two'), { code: 'device-offline' })
  t.same(
    await lab.plugins.configure(tills({ one: { port: 'a' }, two: { port: 'missing' } })),
    { errors: [] },
    'the same config touches nothing',
  )
  t.same(await lab.plugins.configure(tills({ one: { port: 'a' }, two: { port: 'b' } })), { errors: [] })
  t.match(lab.shop.device('tills', 'two'), { state: 'online' })
})

t.test('a plugin that starts with a config says what failed, too, and is not held up by it', async (t) => {
  const lab = await PluginLab.start({ builtins: ['tills'], plugins: ['lab'] })
  t.teardown(() => lab.stop())
  t.equal(lab.status('tills'), undefined, 'a built-in plugin without a section does not run')
  const { errors } = await lab.plugins.configure({ ...tills({ one: { port: 'a' }, two: { port: 'missing' } }), lab: { greeting: 'hi' } })
  t.match(errors, [{ path: 'plugins.tills.devices.two' }])
  t.match(await lab.lab('info'), { greeting: 'hi' }, 'one that cannot take a config in place gets a new process')
  const broken = await lab.plugins.configure({ ...tills({ one: { port: 'a' } }), lab: { crashAfterMs: 0, startMs: 500 } })
  t.match(broken.errors, [{ path: 'plugins.lab', message: /crashed by config/ }])
  t.same(await lab.plugins.configure({ ...tills({ one: { port: 'a' } }), lab: {} }), { errors: [] })
  t.same(await lab.plugins.configure({}), { errors: [] })
  t.equal(lab.status('tills'), undefined)
  t.same(
    lab.shop.devices().map((one) => one.plugin),
    ['lab'],
  )
  t.match(lab.events('plugin.unloaded').at(-1)?.data, { plugin: 'tills', reason: 'not-configured' })
})

t.test('a device that will not let go is ended with its process', async (t) => {
  const sections = tills({ one: { port: 'stuck' }, two: { port: 'b' } })
  const lab = await PluginLab.start({ builtins: ['tills'], sections, limits: { process: { stopMs: 300 } } })
  t.teardown(() => lab.stop())
  const { pid } = await ask(lab, 'one')
  t.same(await lab.plugins.configure(tills({ one: { port: 'a' }, two: { port: 'b' } })), { errors: [] })
  const now = await ask(lab, 'one')
  t.match(now, { port: 'a' })
  t.not(now.pid, pid)
})

t.test('sections are checked against the manifests, one nobody knows included, without changing anything', async (t) => {
  const lab = await PluginLab.start({ builtins: ['tills'], plugins: ['lab'] })
  t.teardown(() => lab.stop())
  const section = { devices: { one: { baudRate: 'fast' } } }
  t.match(lab.plugins.check({ tills: section, lab: { greting: 'x' }, scale: {} }), [
    { path: 'plugins.tills.devices.one.port', message: 'is missing' },
    { path: 'plugins.tills.devices.one.baudRate', message: 'must be integer' },
    { path: 'plugins.lab.greting', message: /is not known here; known are greeting/ },
    { path: 'plugins.scale', message: /there is no plugin of this name; there are: lab, tills/ },
  ])
  t.same(section, { devices: { one: { baudRate: 'fast' } } })
  const { errors } = await lab.plugins.configure({ lab: { greting: 'x' }, scale: {} })
  t.same(errors.map((one) => one.path).sort(), ['plugins.lab.greting', 'plugins.scale'])
  t.match(await lab.lab('info'), { greeting: 'hello' }, 'a wrong section leaves it as it is')
})

t.test('a slow device delays neither the others nor the plugin', async (t) => {
  const lab = await PluginLab.start({ builtins: ['tills'], sections: tills({ one: { port: 'slow' }, two: { port: 'b' } }) })
  t.teardown(() => lab.stop())
  t.equal(lab.status('tills'), 'running')
  t.match(await ask(lab, 'two'), { port: 'b' })
  await t.rejects(lab.command('tills', 'one', 'ask', {}, AbortSignal.timeout(100)), { code: 'command-timeout' })
})

t.test('a config given before the start is what the start goes by', async (t) => {
  const lab = new PluginLab({ builtins: ['tills'] })
  t.teardown(() => lab.stop())
  t.same(await lab.plugins.configure(tills({ one: { port: 'a' } })), { errors: [] })
  t.equal(lab.status('tills'), undefined)
  await lab.plugins.start()
  await lab.until(() => lab.status('tills') === 'running', 'it to run')
  t.match(await ask(lab, 'one'), { port: 'a' })
})
