import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import t from 'tap'
import { systemClock } from './clock.ts'

/** The whole process stands still, as when a card tidies itself up. */
const standStill = (ms: number) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)

t.test('a process that was held up takes the answer that has arrived meanwhile', async (t) => {
  const device = createServer((socket) => socket.on('data', (bytes) => socket.write(bytes))).listen(0, '127.0.0.1')
  t.teardown(() => device.close())
  await once(device, 'listening')
  const line = connect((device.address() as { port: number }).port, '127.0.0.1')
  t.teardown(() => line.destroy())
  await once(line, 'connect')

  const what = await new Promise<string>((resolve) => {
    const cancel = systemClock.patience(200, () => resolve('silence'))
    line.once('data', () => {
      cancel()
      resolve('an answer')
    })
    line.write('are you there?')
    standStill(2_000)
  })
  t.equal(what, 'an answer')
})

t.test('where there is no answer, patience ends, once; who has cancelled hears nothing', async (t) => {
  let ended = 0
  const begun = performance.now()
  systemClock.patience(10, () => t.fail('cancelled'))()
  await new Promise<void>((resolve) => {
    systemClock.patience(40, () => {
      ended += 1
      // Whoever was cancelled, or came twice, would have come by then.
      systemClock.timer(50, resolve)
    })
  })
  t.equal(ended, 1)
  t.ok(performance.now() - begun >= 89, 'not before its time')
})
