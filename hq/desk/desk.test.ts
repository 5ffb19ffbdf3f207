/** HQ's desk on a real broker: shops ask, each question is answered once. */
import t, { type Test } from 'tap'
import { systemClock } from '../../daemon/clock.ts'
import { hq as topics } from '../../daemon/contract/topics.ts'
import type { DownAnswer, UpRequest } from '../../daemon/contract/uplink.ts'
import { freePort } from '../../daemon/testing/free-port.ts'
import { Shopfloor } from '../../daemon/testing/processes.ts'
import { until } from '../../daemon/testing/until.ts'
import { type Asked, Desk } from './desk.ts'

async function deskWith(t: Test, answer: (asked: Asked) => Promise<unknown>) {
  const floor = new Shopfloor()
  t.teardown(() => floor.end())
  const port = await freePort()
  await floor.mosquitto(port)
  const warnings: string[] = []
  const log = { debug: () => {}, info: () => {}, error: () => {}, warn: (_fields: object, message: string) => void warnings.push(message) }
  const desk = new Desk({ url: `mqtt://127.0.0.1:${port}`, mqtt: {}, answer: answer as never, clock: systemClock, log })
  t.teardown(() => desk.stop())
  await desk.start()
  const shop = await floor.mqtt(port)
  const answers: DownAnswer[] = []
  shop.on('message', (_topic, payload) => void answers.push(JSON.parse(payload.toString()) as DownAnswer))
  await shop.subscribeAsync(topics.down('shop-001', 'answer'))
  const ask = (request: Partial<UpRequest> | string) =>
    shop.publish(
      topics.up('shop-001', 'request'),
      typeof request === 'string'
        ? request
        : JSON.stringify({
            plugin: 'payment',
            request: 'reserve',
            args: {},
            expiresAt: new Date(Date.now() + 600_000).toISOString(),
            ...request,
          }),
      { qos: 1 },
    )
  return { answers, ask, warnings }
}

t.test('a coupon reserved twice under one id is reserved once, and both shops’ messages get the same answer', async (t) => {
  let reserved = 0
  const { answers, ask } = await deskWith(t, async () => ({ reserved: ++reserved }))
  ask({ id: 'r-1' })
  ask({ id: 'r-1' })
  ask({ id: 'r-2' })
  await until(() => answers.length === 3, 'three answers')
  t.same(answers.map(({ id, result }) => [id, result]).sort(), [
    ['r-1', { reserved: 1 }],
    ['r-1', { reserved: 1 }],
    ['r-2', { reserved: 2 }],
  ])
})

t.test('a no keeps its code; one that comes too late is not begun; a box that boots in 1970 is served all the same', async (t) => {
  let begun = 0
  const { answers, ask } = await deskWith(t, async () => {
    begun += 1
    throw Object.assign(new Error('since yesterday'), { code: 'COUPON_EXPIRED' })
  })
  ask({ id: 'late', expiresAt: new Date(Date.now() - 5_000).toISOString() })
  await until(() => answers.length === 1, 'the answer')
  t.match(answers[0], { id: 'late', error: { code: 'command-expired' } })
  t.equal(begun, 0)
  ask({ id: 'boot', expiresAt: '1970-01-01T00:10:00Z' })
  await until(() => answers.length === 2, 'the answer')
  t.same(answers[1], { id: 'boot', error: { code: 'COUPON_EXPIRED', message: 'since yesterday' } })
})

t.test(
  'HQ’s database is down for a moment: whoever asks again under the same id hears what becomes of it, not of the trouble',
  async (t) => {
    let begun = 0
    const { answers, ask } = await deskWith(t, async () => {
      begun += 1
      if (begun === 1) throw new Error('connection to the database lost')
      return 'committed'
    })
    ask({ id: 'late', expiresAt: new Date(Date.now() - 5_000).toISOString() })
    await until(() => answers.length === 1, 'too late')
    ask({ id: 'late' })
    await until(() => answers.length === 2, 'the trouble')
    ask({ id: 'late' })
    await until(() => answers.length === 3, 'the answer')
    ask({ id: 'late' })
    await until(() => answers.length === 4, 'the same again')
    t.same(
      answers.map(({ error, result }) => error?.code ?? result),
      ['command-expired', 'internal', 'committed', 'committed'],
    )
    t.equal(begun, 2)
  },
)

t.test('garbage is told of and stops nobody', async (t) => {
  const { answers, ask, warnings } = await deskWith(t, async () => 'yes')
  for (const bad of ['{', '[]', '{}', '{"id":"x","plugin":"../etc","request":"a","expiresAt":"2026-01-01T00:00:00Z"}']) ask(bad)
  ask({ id: 'x', expiresAt: 'soon' })
  ask({ id: 'good' })
  await until(() => answers.length === 1 && warnings.length === 5, 'one answer and five complaints')
  t.match(warnings[0], /a request is not JSON; ignored/)
})
