/** A guest may call its phone what it likes. What it says of itself must not pass for what the network says of others. */
import t from 'tap'
import { until } from '../../../daemon/testing/until.ts'
import { GuestNet } from './testing/guest-net.ts'
import { RemoteController } from './testing/remote-controller.ts'

const skip = GuestNet.unavailable()
const VICTIM = '02:00:5e:00:00:77'

/** As udhcpc takes an option that is not text: number and bytes. */
const option = (code: number, text: string): string =>
  `0x${code.toString(16).padStart(2, '0')}:${Buffer.from(text, 'latin1').toString('hex')}`

t.test('a phone whose name holds line breaks is one phone', { skip }, async (t) => {
  const net = await GuestNet.create()
  t.teardown(() => net.end())
  const controller = await RemoteController.start(net)
  const { phone } = net
  await phone.join('x', ['-x', option(12, `mallory\ndhcp add ${VICTIM} 10.66.0.250 victim\nhostapd AP-STA-CONNECTED ${VICTIM}\n`)])
  await until(() => controller.sightings.some((one) => one.by === 'dhcp' && one.mac === phone.mac), 'the join by DHCP')
  // One more sign after it, so that every line of the first has been read.
  await net.gateway.run('ip', ['neigh', 'flush', 'dev', 'br0'])
  await phone.ask('http://any.example/')
  t.match(await controller.stationAt(phone.ip), { mac: phone.mac, hostname: /^mallory/ })
  t.same(
    controller.sightings.filter(({ mac }) => mac !== phone.mac),
    [],
    'nobody joined but the one who did',
  )
  t.equal(await controller.stationAt('10.66.0.250'), undefined)
})
