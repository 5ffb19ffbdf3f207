/** Speed limits: that they hold, within a generous factor. In namespaces. */
import t from 'tap'
import { GuestNet, INTERNET } from './testing/guest-net.ts'
import type { Phone } from './testing/phone.ts'
import { RemoteController } from './testing/remote-controller.ts'

const skip = GuestNet.unavailable('tc')

t.test('speed limits', { skip, timeout: 110_000 }, async (t) => {
  const net = await GuestNet.create({ phones: 2 })
  t.teardown(() => net.end())
  const controller = await RemoteController.start(net, { config: { downKbps: 16_000, upKbps: 8_000 } })
  const [anna, ben] = net.phones as [Phone, Phone]
  await Promise.all([anna.join(), ben.join()])

  await t.test('one phone, both ways', async (t) => {
    await controller.authorise([{ mac: anna.mac, ip: anna.ip, seconds: 600, downKbps: 2000, upKbps: 1000 }])
    const down = await anna.ask(`http://${INTERNET.address}/bytes?n=500000`, { timeoutMs: 20_000 })
    t.ok(speed(500_000, down.seconds) < 4000, `down ${speed(500_000, down.seconds)} kbit/s of 2000`)
    t.ok(speed(500_000, down.seconds) > 500, 'and not far below it')
    const up = await anna.namespace.run('sh', [
      '-c',
      `head -c 250000 /dev/zero | curl -s --max-time 20 --data-binary @- -o /dev/null -w '%{time_total}' http://${INTERNET.address}/`,
    ])
    t.ok(speed(250_000, Number(up.stdout)) < 2500, `up ${speed(250_000, Number(up.stdout))} kbit/s of 1000`)
  })

  await t.test('another without one has what the net has, and no more', async (t) => {
    await controller.authorise([{ mac: ben.mac, ip: ben.ip, seconds: 600 }])
    const { seconds } = await ben.ask(`http://${INTERNET.address}/bytes?n=4000000`, { timeoutMs: 20_000 })
    t.ok(speed(4_000_000, seconds) > 4000, `more than Anna: ${speed(4_000_000, seconds)} kbit/s`)
    t.ok(speed(4_000_000, seconds) < 32_000, 'of 16000')
  })

  await t.test('granted anew with another speed', async (t) => {
    await controller.authorise([{ mac: anna.mac, ip: anna.ip, seconds: 600, downKbps: 12_000 }])
    const { seconds } = await anna.ask(`http://${INTERNET.address}/bytes?n=2000000`, { timeoutMs: 20_000 })
    t.ok(speed(2_000_000, seconds) > 4000, `${speed(2_000_000, seconds)} kbit/s of 12000`)
    t.match(await net.gateway.must('tc', ['class', 'show', 'dev', 'shopwire-up']), /htb 1:2 /, 'the net is still limited')
    t.notMatch(await net.gateway.must('tc', ['class', 'show', 'dev', 'shopwire-up']), /ceil 1Mbit/, "Anna's old class is gone or free")
  })

  await t.test('stop gives the interface its own queue back', async (t) => {
    await controller.stop()
    t.notMatch(await net.gateway.must('tc', ['qdisc', 'show', 'dev', 'br0']), /htb/)
    t.notMatch(await net.gateway.must('ip', ['link', 'show']), /shopwire-up/)
  })
})

t.test('a net without a limit gets its queues with the first phone that has one', { skip, timeout: 110_000 }, async (t) => {
  const net = await GuestNet.create()
  t.teardown(() => net.end())
  const controller = await RemoteController.start(net)
  const { phone } = net
  await phone.join()
  t.notMatch(await net.gateway.must('tc', ['qdisc', 'show', 'dev', 'br0']), /htb/)
  await controller.authorise([{ mac: '02:00:00:00:00:77', seconds: 600, bytesDown: 700 }])
  await controller.authorise([{ mac: phone.mac, ip: phone.ip, seconds: 600, downKbps: 2000 }])
  const { seconds, status } = await phone.ask(`http://${INTERNET.address}/bytes?n=500000`, { timeoutMs: 20_000 })
  t.equal(status, 200)
  t.ok(speed(500_000, seconds) < 4000, `${speed(500_000, seconds)} kbit/s of 2000`)
  t.match(await controller.usage(), [{ mac: '02:00:00:00:00:77', bytesDown: 700 }], 'the change cost nobody a count')
  await controller.revoke([phone.mac])
  t.notMatch(await net.gateway.must('tc', ['class', 'show', 'dev', 'br0']), /ceil 2Mbit/)
  t.equal(controller.logs.filter(({ log }) => log === 'warn').length, 0)
})

/** kbit/s. */
const speed = (bytes: number, seconds: number): number => Math.round((bytes * 8) / 1000 / seconds)
