/** The controller with real nftables, dnsmasq and udhcpc, in namespaces. */
import t from 'tap'
import { GuestNet } from './testing/guest-net.ts'
import { PORTAL_PORT, RemoteController } from './testing/remote-controller.ts'

t.test('a phone joins, is kept at the portal, is let out, and is cut off', { skip: GuestNet.unavailable() }, async (t) => {
  const net = await GuestNet.create()
  t.teardown(() => net.end())
  const controller = await RemoteController.start(net)
  const { phone } = net
  await phone.join('Annas-Phone')
  console.log(await phone.ask('http://connectivity.example/generate_204'), PORTAL_PORT)
  console.log(await phone.ask('https://connectivity.example/'))
  console.log(await controller.stationAt(phone.ip))
  let s = performance.now()
  await controller.authorise([{ mac: phone.mac, ip: phone.ip, seconds: 60 }])
  console.log('auth', performance.now() - s)
  console.log(await phone.ask('http://connectivity.example/generate_204'))
  console.log((await phone.ask('https://connectivity.example/bytes?n=1000000')).status)
  console.log(await controller.usage())
  s = performance.now()
  await controller.revoke([phone.mac])
  console.log('revoke', performance.now() - s)
  console.log(await phone.ask('https://connectivity.example/'))
  console.log(
    controller.sightings,
    controller.healths,
    controller.logs.filter((x) => x.log !== 'debug'),
  )
  console.log(await net.gateway.must('nft', ['list', 'ruleset']))
  await controller.stop()
  console.log(await net.gateway.must('nft', ['list', 'ruleset']), await net.gateway.must('ip', ['addr', 'show', 'br0']))
})
