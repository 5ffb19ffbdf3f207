/** What comes down from HQ: commands, desired config, garbage. */
import t from 'tap'
import type { CommandResult } from '../contract/command.ts'
import { hq as topics } from '../contract/topics.ts'
import type { UpLog, UpReported } from '../contract/uplink.ts'
import { TcpProxy } from '../testing/tcp-proxy.ts'
import { until } from '../testing/until.ts'
import { GATEWAY, HqLab } from './hq-link.testing.ts'

const print = (id: string) => JSON.stringify({ id, plugin: 'printer', device: 'receipt', command: 'print', args: { receipt: 'Hello' } })

t.test('a command: accepted, running, done; the same again prints nothing, and gets the first result even after a reconnect', async (t) => {
  const lab = new HqLab()
  t.teardown(() => lab.end())
  await lab.broker()
  const hq = await lab.fakeHq()
  const operator = await lab.floor.mqtt(lab.port)
  const proxy = await TcpProxy.open(lab.port)
  t.teardown(() => proxy.close())
  const link = lab.start({ port: proxy.port })
  await until(() => hq.of('sync').length > 0, 'the link')
  const results = () => hq.of<CommandResult>('result')
  operator.publish(topics.down(GATEWAY, 'command'), print('c-1'))
  await until(() => results().length === 3, 'three answers')
  t.same(
    results().map(({ status }) => status),
    ['accepted', 'running', 'done'],
  )
  // What the broker has not confirmed would be sent again after the cut.
  await until(() => link.status().resultsWaiting === 0, 'the answers to be confirmed')
  proxy.cut()
  await until(() => hq.of('sync').length > 1, 'the link to be back')
  operator.publish(topics.down(GATEWAY, 'command'), print('c-1'))
  await until(() => results().length === 4, 'the first result again')
  t.same(results().at(-1), { id: 'c-1', status: 'done', result: { printed: true } })
  t.equal(lab.ran.get('c-1'), 1)
})

t.test('a result that is ready while the line is down is sent when it is back', async (t) => {
  const lab = new HqLab()
  t.teardown(() => lab.end())
  await lab.broker()
  const hq = await lab.fakeHq()
  const operator = await lab.floor.mqtt(lab.port)
  const proxy = await TcpProxy.open(lab.port)
  t.teardown(() => proxy.close())
  let paper: () => void = () => undefined
  const loaded = new Promise<void>((resolve) => {
    paper = resolve
  })
  lab.beforeDone = loaded
  const link = lab.start({ port: proxy.port })
  await until(() => hq.of('sync').length > 0, 'the link')
  operator.publish(topics.down(GATEWAY, 'command'), print('c-2'))
  await until(() => lab.ran.get('c-2') === 1, 'the print to begin')
  await proxy.refuse()
  await until(() => link.status().state === 'waiting' || link.status().state === 'connecting', 'the link to be down')
  paper()
  await until(() => link.status().resultsWaiting === 1, 'the result to wait')
  await proxy.listen()
  await until(() => hq.of<CommandResult>('result').some(({ status }) => status === 'done'), 'the result')
  await until(() => link.status().resultsWaiting === 0, 'nothing to be left')
})

t.test('malformed, oversized and foreign messages are refused, each once, and disturb nothing', async (t) => {
  const lab = new HqLab()
  t.teardown(() => lab.end())
  await lab.broker()
  const hq = await lab.fakeHq()
  const operator = await lab.floor.mqtt(lab.port)
  const link = lab.start()
  await until(() => hq.of('sync').length > 0, 'the link')
  const send = (kind: 'ack' | 'command' | 'desired', payload: string | Buffer) => operator.publish(topics.down(GATEWAY, kind), payload)
  send('command', '{"id":"bad-1","plugin":"../etc","device":"receipt","command":"print"}')
  send('command', '{"id":"bad-2","plugin":"printer","device":"receipt","command":"print","expiresAt":"soon"}')
  send('command', 'not json')
  send('command', Buffer.from([0x7b, 0x22, 0xc3, 0x28]))
  send('command', JSON.stringify({ id: 'x'.repeat(1000), plugin: 'printer', device: 'receipt', command: 'print' }))
  send('command', `{"id":"big","plugin":"printer","device":"receipt","command":"print","args":{"raw":"${'A'.repeat(2 * 1024 * 1024)}"}}`)
  send('ack', '{"epoch":7}')
  send('ack', '[]')
  send('desired', '{"version":9}')
  send('desired', '{"version":9}')
  send('desired', '{"version":"ten","config":{}}')
  operator.publish(topics.down('shop-002', 'command'), print('foreign'))
  send('command', print('good'))
  const results = () => hq.of<CommandResult>('result')
  await until(() => results().some(({ id, status }) => id === 'good' && status === 'done'), 'the good one')
  t.same(
    results()
      .filter(({ id }) => id !== 'good')
      .map(({ id, status, error }) => [id, status, error?.code]),
    [
      ['bad-1', 'rejected', 'payload-malformed'],
      ['bad-2', 'rejected', 'payload-malformed'],
    ],
  )
  t.same([...lab.ran.keys()], ['good'])
  const rejected = hq.of<UpReported>('reported')
  t.equal(rejected.length, 1)
  t.match(rejected[0], { version: 9, status: 'rejected', errors: [{ path: 'config' }] })
  t.same(lab.received, [])
  t.equal(link.status().state, 'online')
  await lab.scan(3)
  await until(() => hq.watermark === 3, 'events to flow as before')
})

t.test('desired config goes to whoever applies it; what became of it is retained at HQ', async (t) => {
  const lab = new HqLab()
  t.teardown(() => lab.end())
  await lab.broker()
  const hq = await lab.fakeHq()
  const operator = await lab.floor.mqtt(lab.port)
  const link = lab.start()
  await until(() => hq.of<{ desiredVersion: number }>('sync').some(({ desiredVersion }) => desiredVersion === 3), 'the sync')
  operator.publish(topics.down(GATEWAY, 'desired'), '{"version":4,"config":{"log":{"level":"debug"}}}')
  await until(() => lab.received.length === 1, 'the config')
  t.same(lab.received, [{ version: 4, config: { log: { level: 'debug' } } }])
  lab.reported = { version: 4, status: 'applied', errors: [], digest: 'd' }
  link.changed('reported')
  await until(() => hq.of('reported').length === 1, 'the report')
  t.same(hq.of('reported'), [lab.reported])
})

t.test('the log goes to HQ only while asked for, and never as a flood', async (t) => {
  const lab = new HqLab()
  t.teardown(() => lab.end())
  await lab.broker()
  const hq = await lab.fakeHq()
  const link = lab.start()
  await until(() => hq.of('sync').length > 0, 'the link')
  const line = (message: string, level = 'info') => link.log({ time: '2026-11-22T08:15:30.123Z', level, message, fields: {} })
  line('before')
  link.sendLogs(60, 'info')
  line('too fine', 'debug')
  for (let at = 0; at < 5_000; at++) line(`line ${at}`)
  link.sendLogs(60, 'info')
  line('last')
  link.sendLogs(0, 'info')
  line('after')
  const lines = () => hq.of<UpLog>('log').map(({ message }) => message)
  await until(() => lines().includes('last'), 'the last line')
  await lab.scan(1)
  await until(() => hq.watermark === 1, 'what comes after it')
  t.equal(lines()[0], 'line 0')
  t.equal(lines().at(-1), 'last')
  t.ok(lines().length < 400, `${lines().length} of 5,000`)
})
