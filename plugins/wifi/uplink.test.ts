/** The box never locks itself out: real plugin, real processes, the stand-in for nmcli. */
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { networkInterfaces } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { testFolder } from '../../daemon/testing/folder.ts'
import { scoped } from './nmcli/proof.ts'
import { hex, type Scene } from './simulator.ts'
import { hurried, isUplink, OFFICE, on, SPARE, secretsStayed, shop, WRONG } from './testing.ts'

/** How long the seconds of nmcli's `--wait` last where a trial is to fail by time, ms: the way back has as many of our own, real ones. */
const SHORT = 25

t.test('HQ sends a better network with a wrong password: the shop is back on its old one, and HQ is told why', async (t) => {
  const { nmcli, harness, everything, until, settled } = await shop(t, { networks: [OFFICE] })
  await settled()
  await harness.configure({ pollSeconds: 1, graceSeconds: 0, networks: [{ ...SPARE, password: WRONG, priority: 5 }, OFFICE] })
  await until(() => harness.events.some(({ event }) => event === 'network-failed'), 'the failure')
  t.same(harness.events.find(({ event }) => event === 'network-failed')?.data, {
    ssid: 'Spare 4G',
    reason: 'wrong-password',
    back: 'Shop Office',
  })
  t.equal(on(nmcli), 'Shop Office')
  await settled()
  t.match(nmcli.scene.profiles, [{ ssid: hex('Shop Office') }], 'nothing of the trial is left')
  const tries = nmcli.calls.filter((call) => call.includes('up')).length
  await harness.configure({ pollSeconds: 1, graceSeconds: 0, networks: [{ ...SPARE, priority: 5 }, OFFICE] })
  await until(() => on(nmcli) === 'Spare 4G', 'the right password')
  t.equal(nmcli.calls.filter((call) => call.includes('up')).length, tries + 1, 'the wrong one was not tried again meanwhile')
  secretsStayed(t, everything())
})

t.test('a network that gives no address: back within the time, whatever NetworkManager still waits for', async (t) => {
  const withoutDhcp = (scene: Scene) => Object.assign(scene.points[1] ?? {}, { noDhcp: true })
  const { nmcli, harness, settled } = await shop(t, { networks: [OFFICE] }, withoutDhcp)
  nmcli.manager.times.waitSecondMs = SHORT
  await settled()
  const failed = harness.command('-', 'connect', { ssid: 'Shop Guest' })
  await t.rejects(failed, { code: 'device-fault', message: /"Shop Guest" did not come up: .* in time; back on "Shop Office"/ })
  t.equal(on(nmcli), 'Shop Office')
})

t.test('a network that leads nowhere does not pass where HQ must answer through it', async (t) => {
  const hq = createServer((socket) => socket.destroy())
  t.teardown(() => hq.close())
  await once(hq.listen(0, '127.0.0.1'), 'listening')
  const verify = `tcp://127.0.0.1:${(hq.address() as AddressInfo).port}`
  // Stand-in addresses are this machine's own, so that a connection from them is a real one; 192.168.1.50 is not.
  const ownAddress = (scene: Scene) => {
    for (const point of scene.points) if (point.ssid === hex('Spare 4G')) point.address = '127.0.0.1/8'
  }
  // Who is up at the first look is up, however late that is.
  const { nmcli, harness, settled } = await shop(t, { networks: [OFFICE], verify, trialSeconds: 6, pollSeconds: 60 }, ownAddress)
  // The first network needs an address only.
  await settled()
  await t.rejects(harness.command('-', 'connect', { ssid: 'Shop Guest' }), { message: /verify.*back on "Shop Office"/ })
  t.match(await harness.command('-', 'connect', SPARE), { connected: true })
  t.equal(on(nmcli), 'Spare 4G')
})

t.test('a network whose only gateway is an IPv6 router, which has a link-local address: it answers', async (t) => {
  t.same(
    [scoped('fe80::1', 'wlan0'), scoped('FEBF::1', 'wlan0'), scoped('fd00::1', 'wlan0'), scoped('fe80::1%eth0', 'wlan0')],
    ['fe80::1%wlan0', 'FEBF::1%wlan0', 'fd00::1', 'fe80::1%eth0'],
  )
  // This machine's own address on one of its links is as real a neighbour as any.
  const [link] = Object.entries(networkInterfaces())
    .flatMap(([name, all = []]) =>
      all.flatMap((one) => (one.family === 'IPv6' && one.scopeid > 0 ? [{ name, address: one.address, index: one.scopeid }] : [])),
    )
    .filter(({ address }) => address.startsWith('fe80:'))
    // The oldest: others' links come and go.
    .sort((a, b) => a.index - b.index)
  if (!link) {
    t.comment('no IPv6 on any link of this machine')
    return
  }
  const onLink = (scene: Scene) => {
    scene.radios = [{ name: link.name, hardware: true, on: true, managed: true }]
    for (const point of scene.points) Object.assign(point, { address: 'fd00::50/64', gateway: link.address })
  }
  const { nmcli, harness, settled } = await shop(t, { networks: [OFFICE], verify: 'gateway' }, onLink)
  await settled()
  t.match(await harness.command('-', 'connect', SPARE), { connected: true })
  t.equal(on(nmcli, link.name), 'Spare 4G')
})

t.test('the plugin is killed in the middle of a trial: the next one goes back to what worked', async (t) => {
  const { nmcli, harness, restart, until, settled } = await shop(t, { networks: [OFFICE] }, (scene) => {
    Object.assign(scene.points[1] ?? {}, { noDhcp: true })
  })
  await settled()
  harness.command('-', 'connect', { ssid: 'Shop Guest' }).catch(() => {})
  await until(() => nmcli.scene.links.wlan0?.state === 70, 'the trial is under way')
  t.match(harness.store.get('uplink'), { trial: { network: hex('Shop Guest'), back: hex('Shop Office') } }, 'on disk before it began')
  const again = await restart()
  await settled()
  t.equal(on(nmcli), 'Shop Office')
  const failures = () => again.events.filter(({ event }) => event === 'network-failed')
  await until(() => failures().length > 0, 'the failure')
  t.match(failures(), [{ data: { ssid: 'Shop Guest', reason: 'interrupted', back: 'Shop Office' } }])
  await until(() => nmcli.scene.profiles.length === 1, 'the profile on trial is gone')
})

t.test('a power cut in the middle of a trial: the box boots into what worked before this plugin even runs', async (t) => {
  const { nmcli, harness, until, settled } = await shop(t, { networks: [OFFICE] }, (scene) => {
    Object.assign(scene.points[1] ?? {}, { noDhcp: true })
  })
  await settled()
  harness.command('-', 'connect', { ssid: 'Shop Guest' }).catch(() => {})
  await until(() => nmcli.scene.links.wlan0?.state === 70, 'the trial is under way')
  await harness.stop()
  nmcli.manager.reboot()
  await until(() => on(nmcli) === 'Shop Office', 'NetworkManager has connected by itself')
})

t.test('the access point of the office goes: the spare one takes over; it comes back: so does the box', async (t) => {
  let office: Scene['points'] = []
  const { nmcli, harness, settled } = await shop(
    t,
    { networks: [{ ...OFFICE, priority: 9 }, SPARE], pollSeconds: 10, graceSeconds: 8 },
    () => {},
    hurried(12),
  )
  await settled()
  nmcli.change((scene) => {
    office = scene.points.splice(0, 1)
  })
  await settled('Spare 4G')
  // A minute later, on the clock of this test.
  nmcli.change((scene) => scene.points.push(...office))
  await settled()
  t.same(
    harness.events.filter(isUplink).map(({ data }) => data.ssid),
    ['Shop Office', 'Spare 4G', 'Shop Office'],
  )
})

t.test('the office changes its password: the config of the new one finds the way in', async (t) => {
  const { nmcli, harness, until, everything, settled, looks } = await shop(t, { networks: [OFFICE] })
  await settled()
  const tries = nmcli.calls.filter((call) => call.includes('up')).length
  await harness.configure({ pollSeconds: 1, graceSeconds: 0, networks: [{ ...OFFICE, password: SPARE.password }] })
  await looks(1)
  t.equal(nmcli.calls.filter((call) => call.includes('up')).length, tries, 'what works is left alone')
  nmcli.change((scene) => {
    Object.assign(scene.points[0] ?? {}, { password: SPARE.password })
    scene.links = {}
  })
  await until(() => on(nmcli) === 'Shop Office', 'in again')
  await until(() => nmcli.scene.profiles.length === 1, 'the old profile is gone')
  t.equal(nmcli.scene.profiles[0]?.psk, SPARE.password)
  secretsStayed(t, everything())
})

t.test('a password file that is not there, and then is', async (t) => {
  const passwordFile = join(testFolder(t), 'office')
  const { nmcli, harness, everything, until } = await shop(t, { networks: [{ ssid: OFFICE.ssid, passwordFile }] })
  await until(() => harness.events.length === 1, 'the failure is told')
  t.match(harness.events[0], { event: 'network-failed', data: { ssid: 'Shop Office', reason: 'secret-unreadable' } })
  writeFileSync(passwordFile, `${OFFICE.password}\n`)
  await harness.configure({ pollSeconds: 1, graceSeconds: 0, networks: [{ ssid: OFFICE.ssid, passwordFile, priority: 1 }] })
  await until(() => on(nmcli) === 'Shop Office', 'online')
  secretsStayed(t, everything())
})

t.test('a network given by command is refused once, by a weak signal that looks like a wrong password: it comes up again', async (t) => {
  const { nmcli, harness, until, settled } = await shop(t, { networks: [OFFICE], pollSeconds: 15, graceSeconds: 5 }, () => {}, hurried(10))
  await settled()
  await harness.command('-', 'connect', SPARE)
  nmcli.change((scene) => {
    scene.faults.noAutoconnect = true
    scene.points = scene.points.filter(({ ssid }) => ssid === hex('Spare 4G'))
    Object.assign(scene.points[0] ?? {}, { password: 'garbled by noise' })
    scene.links = {}
  })
  const refused = () => harness.events.some(({ event, data }) => event === 'network-failed' && data.reason === 'wrong-password')
  await until(refused, 'it was refused')
  nmcli.change((scene) => void Object.assign(scene.points[0] ?? {}, { password: SPARE.password }))
  await until(() => on(nmcli) === 'Spare 4G', 'with the password that NetworkManager has kept')
})

t.test('the stick is in another port and has another name: a network given by command moves with it', async (t) => {
  const { nmcli, harness, until } = await shop(t, { networks: [] })
  await until(() => harness.state('-')?.state === 'online', 'online')
  await harness.command('-', 'connect', SPARE)
  nmcli.change((scene) => {
    scene.radios = [{ name: 'wlan1', hardware: true, on: true, managed: true }]
    scene.links = {}
  })
  await until(() => on(nmcli, 'wlan1') === 'Spare 4G', 'on the new name')
})

t.test('NetworkManager refuses to keep what has just come up: made good as soon as it lets us', async (t) => {
  const { nmcli, harness, until } = await shop(t, { networks: [] })
  await until(() => harness.state('-')?.state === 'online', 'online')
  nmcli.onCall = (args, done) => {
    if (args.includes('up') && done.code === 0) nmcli.scene.faults.notAuthorized = true
  }
  await harness.command('-', 'connect', SPARE)
  await until(() => harness.logs.some(({ message }) => message.includes('could not be brought in order')), 'it was refused')
  t.equal(nmcli.scene.profiles[0]?.autoconnect, false)
  nmcli.onCall = () => {}
  nmcli.change(({ faults }) => void Object.assign(faults, { notAuthorized: false }))
  await until(() => nmcli.scene.profiles[0]?.autoconnect === true, 'it may connect by itself after a power cut')
})

t.test('another radio comes up in the middle of a trial: the trial, and the way back, stay on theirs', async (t) => {
  const { nmcli, harness, until, settled, looks } = await shop(t, { networks: [OFFICE], pollSeconds: 1 }, (scene) => {
    scene.radios = ['wlan0', 'wlan1'].map((name) => ({ name, hardware: true, on: true, managed: true }))
    for (const point of scene.points) if (point.ssid === hex('Shop Guest')) point.noDhcp = true
  })
  await settled()
  const failed = harness.command('-', 'connect', { ssid: 'Shop Guest' })
  failed.catch(() => {})
  await until(() => nmcli.scene.links.wlan0?.state === 70, 'the trial is under way')
  nmcli.change((scene) => {
    scene.links.wlan1 = { uuid: '33333333-3333-4333-8333-333333333333', bssid: '02:50:f3:00:00:10', state: 100 }
  })
  await looks(1)
  nmcli.change((scene) => {
    scene.points = scene.points.filter(({ ssid }) => ssid !== hex('Shop Guest'))
  })
  await t.rejects(failed, { message: /back on "Shop Office"/ })
  t.equal(on(nmcli), 'Shop Office')
})

t.test('a look that began before a network was up and ends after it: what it saw is not taken for a loss', async (t) => {
  const { nmcli, harness, until, settled, looks } = await shop(t, { networks: [OFFICE], pollSeconds: 1 })
  await settled()
  let answer = () => {}
  const answered = new Promise<void>((resolve) => {
    answer = resolve
  })
  let held = false
  nmcli.onCall = (args) => {
    if (held || !args.includes('device') || !args.includes('show') || nmcli.scene.links.wlan0) return undefined
    held = true
    return answered
  }
  nmcli.change((scene) => {
    scene.faults.noAutoconnect = true
    scene.links = {}
  })
  await until(() => held, 'a look that sees nothing, whose answer is late')
  await harness.command('-', 'connect', SPARE)
  const tries = nmcli.calls.filter((call) => call.includes('up')).length
  answer()
  await settled('Spare 4G')
  await looks(2)
  t.equal(nmcli.calls.filter((call) => call.includes('up')).length, tries, 'it is left where it is')
  t.same(
    harness.events.filter(isUplink).map(({ data }) => data.ssid),
    ['Shop Office', 'Spare 4G'],
  )
})
