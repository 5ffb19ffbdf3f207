import t from 'tap'
import { PluginLab } from '../testing/plugin-lab.ts'

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
  t.equal(info.timeZone, 'Asia/Shanghai', "its midnight is the shop's, wherever the machine thinks it is")
  const { sequences } = await lab.lab('emit', { count: 250 })
  t.same(
    sequences,
    lab.events('lab.measured').map((one) => Number(one.sequence)),
  )
  t.match(lab.events('plugin.loaded'), [{ source: '/shop-001/plugin/-', data: { plugin: 'lab', version: '1.0.0', reason: 'started' } }])
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

t.test('HQ is asked and people are made pseudonyms of only where the manifest permits it', async (t) => {
  const lab = await PluginLab.start({ plugins: ['lab'], sections: { lab: {} } })
  t.teardown(() => lab.stop())
  await lab.until(() => lab.status('lab') === 'running', 'the plugin')
  t.same(await lab.lab('ask', { n: 1 }), { plugin: 'lab', request: 'question', args: { n: 1 } })
  const told = await lab.lab('pseudonym', { kind: 'person', value: '13800000000' })
  t.match(told, /^[A-Za-z0-9_-]{22}$/)
  t.equal(await lab.lab('pseudonym', { kind: 'person', value: '13800000000' }), told)
  t.not(await lab.lab('pseudonym', { kind: 'station', value: '13800000000' }), told)

  lab.drop('lab', 'lab', (text, file) =>
    file === 'plugin.json' ? text.replace('"hq", "pseudonym", ', '').replace('1.0.0', '1.0.1') : text,
  )
  await lab.until(() => lab.events('plugin.loaded').some((one) => one.data.version === '1.0.1'), 'the new version')
  await t.rejects(lab.lab('ask', {}), { code: 'permission-denied' })
  await t.rejects(lab.lab('pseudonym', { kind: 'person', value: 'x' }), { code: 'permission-denied' })
})
