/**
 * Speed limits: that they hold, and that packets go through the class of their phone. How fast a phone gets below its limit depends on the
 * machine, and is looked at nowhere here. In namespaces.
 */
import t from 'tap'
import { GuestNet, INTERNET } from './testing/guest-net.ts'
import type { Phone } from './testing/phone.ts'
import { RemoteController } from './testing/remote-controller.ts'

const skip = GuestNet.unavailable('tc')
const SLOWLY = { timeoutMs: 120_000 }

t.test('speed limits', { skip }, async (t) => {
  const net = await GuestNet.create({ phones: 2 })
  t.teardown(() => net.end())
  let controller = await RemoteController.start(net, { config: { downKbps: 16_000, upKbps: 8_000 } })
  const [anna, ben] = net.phones as [Phone, Phone]
  await Promise.all([anna.join(), ben.join()])

  /** A whole download, in kbit/s. */
  async function down(phone: Phone, bytes: number): Promise<number> {
    const { status, body, seconds } = await phone.ask(`http://${INTERNET.address}/bytes?n=${bytes}`, SLOWLY)
    t.match({ status, length: body.length }, { status: 200, length: bytes })
    return speed(bytes, seconds)
  }

  /** Bytes that have gone through the leaf classes, by what each may have at most. */
  async function sent(device: string): Promise<Record<string, number>> {
    const text = await net.gateway.must('tc', ['-s', 'class', 'show', 'dev', device])
    const leaves = text.matchAll(/class htb 1:(?!1 )\S+ .* ceil (\S+) .*\n Sent (\d+) bytes/g)
    return Object.fromEntries([...leaves].map(([, ceil = '', bytes]) => [ceil, Number(bytes)]))
  }

  await t.test('one phone, both ways', async (t) => {
    await controller.authorise([{ mac: anna.mac, ip: anna.ip, seconds: 600, downKbps: 2000, upKbps: 1000 }])
    const kbps = await down(anna, 500_000)
    t.ok(kbps < 4000, `down ${kbps} kbit/s of 2000`)
    const up = await anna.namespace.must('sh', [
      '-c',
      `head -c 250000 /dev/zero | curl -sf --max-time 120 --data-binary @- -o /dev/null -w '%{time_total}' http://${INTERNET.address}/`,
    ])
    t.ok(speed(250_000, Number(up)) < 2500, `up ${speed(250_000, Number(up))} kbit/s of 1000`)
    t.ok(((await sent('br0'))['2Mbit'] ?? 0) > 500_000, 'by her class, down')
    t.ok(((await sent('shopwire-up'))['1Mbit'] ?? 0) > 250_000, 'and up')
  })

  await t.test('another without one has what the net has, and no more', async (t) => {
    await controller.authorise([{ mac: ben.mac, ip: ben.ip, seconds: 600 }])
    const kbps = await down(ben, 2_000_000)
    t.ok(kbps < 32_000, `${kbps} kbit/s of 16000`)
    t.ok(((await sent('br0'))['16Mbit'] ?? 0) > 2_000_000, 'by the class of those who have none')
  })

  await t.test('granted anew with another speed', async (t) => {
    await controller.authorise([{ mac: anna.mac, ip: anna.ip, seconds: 600, downKbps: 12_000 }])
    const kbps = await down(anna, 1_000_000)
    t.ok(kbps < 24_000, `${kbps} kbit/s of 12000`)
    const classes = await sent('br0')
    t.ok((classes['12Mbit'] ?? 0) > 1_000_000, 'by the new class')
    t.equal(classes['2Mbit'], undefined, 'the old one is gone')
    t.same(Object.keys(await sent('shopwire-up')), ['8Mbit'], 'and she sends as the net does')
  })

  await t.test('stop gives the interface its own queue back', async (t) => {
    await controller.stop()
    t.notMatch(await net.gateway.must('tc', ['qdisc', 'show', 'dev', 'br0']), /htb/)
    t.notMatch(await net.gateway.must('ip', ['link', 'show']), /shopwire-up/)
  })

  await t.test('a net without a limit gets its queues with the first phone that has one', async (t) => {
    controller = await RemoteController.start(net)
    t.notMatch(await net.gateway.must('tc', ['qdisc', 'show', 'dev', 'br0']), /htb/)
    await controller.authorise([{ mac: '02:00:00:00:00:77', seconds: 600, bytesDown: 700 }])
    await controller.authorise([{ mac: anna.mac, ip: anna.ip, seconds: 600, downKbps: 2000 }])
    const kbps = await down(anna, 500_000)
    t.ok(kbps < 4000, `${kbps} kbit/s of 2000`)
    t.ok(((await sent('br0'))['2Mbit'] ?? 0) > 500_000)
    const usage = await controller.usage()
    t.match(
      usage.find(({ mac }) => mac === '02:00:00:00:00:77'),
      { bytesDown: 700 },
      'the change cost nobody a count',
    )
    await controller.revoke([anna.mac])
    t.equal((await sent('br0'))['2Mbit'], undefined)
    t.equal(controller.logs.filter(({ log }) => log === 'warn').length, 0)
  })
})

/** kbit/s. */
const speed = (bytes: number, seconds: number): number => Math.round((bytes * 8) / 1000 / seconds)
