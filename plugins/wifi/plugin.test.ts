/** The real plugin and the real node-wifi against the stand-in for nmcli: what a shop goes through. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { hex, type Scene } from './simulator.ts'
import { OFFICE, on, SPARE, shop } from './testing.ts'

const WRONG = 'not the password'

/** Secrets appear nowhere: not in events, states, logs or the store, not in any program's arguments. */
function secretsStayed(t: { notMatch(text: string, what: string | RegExp): unknown }, all: string): void {
  for (const secret of [OFFICE.password, SPARE.password, WRONG]) t.notMatch(all, secret)
}

t.test('the network of the config comes up, and its password is seen nowhere', async (t) => {
  const { nmcli, harness, everything } = await shop(t, { networks: [OFFICE] })
  await harness.until(() => harness.state('-')?.state === 'online' && harness.events.length === 1, 'the uplink')
  t.same(harness.events[0]?.data, {
    ssid: 'Shop Office',
    bssid: 'd8:47:32:00:00:01',
    signal: -64.5,
    quality: 71,
    channel: 11,
    frequency: 2462,
    security: 'WPA2',
    interface: 'wlan0',
    change: 'connected',
  })
  t.match(nmcli.scene.profiles, [{ psk: OFFICE.password, autoconnect: true, priority: 100 }], 'NetworkManager keeps it, and may use it after a reboot')
  t.match(await harness.command('-', 'status'), { state: 'online', uplink: { ssid: 'Shop Office' }, networks: [{ active: true, proven: true, from: 'config' }] })
  secretsStayed(t, everything())
})

t.test('HQ sends a better network with a wrong password: the shop is back on its old one, and HQ is told why', async (t) => {
  const { nmcli, harness, everything, until } = await shop(t, { networks: [OFFICE] })
  await until(() => harness.state('-')?.state === 'online', 'online')
  await harness.configure({ pollSeconds: 1, graceSeconds: 0, networks: [{ ...SPARE, password: WRONG, priority: 5 }, OFFICE] })
  await until(() => harness.events.some(({ event }) => event === 'network-failed'), 'the failure')
  t.same(harness.events.find(({ event }) => event === 'network-failed')?.data, { ssid: 'Spare 4G', reason: 'wrong-password', back: 'Shop Office' })
  t.equal(on(nmcli), 'Shop Office')
  await until(() => harness.state('-')?.state === 'online', 'online again')
  t.match(nmcli.scene.profiles, [{ ssid: hex('Shop Office') }], 'nothing of the trial is left')
  const tries = nmcli.calls.filter((call) => call.includes('up')).length
  await harness.configure({ pollSeconds: 1, graceSeconds: 0, networks: [{ ...SPARE, priority: 5 }, OFFICE] })
  await until(() => on(nmcli) === 'Spare 4G', 'the right password')
  t.equal(nmcli.calls.filter((call) => call.includes('up')).length, tries + 1, 'the wrong one was not tried again meanwhile')
  secretsStayed(t, everything())
})

t.test('a network that gives no address: back within the time, whatever NetworkManager still waits for', async (t) => {
  const { nmcli, harness } = await shop(t, { networks: [OFFICE], trialSeconds: 2 }, (scene) => {
    Object.assign(scene.points[1] ?? {}, { noDhcp: true })
  })
  await harness.until(() => harness.state('-')?.state === 'online', 'online')
  const failed = harness.command('-', 'connect', { ssid: 'Shop Guest' })
  await t.rejects(failed, { code: 'device-fault', message: /"Shop Guest" did not come up: .* in time; back on "Shop Office"/ })
  t.equal(on(nmcli), 'Shop Office')
})

t.test('a network that leads nowhere does not pass where HQ must answer through it', async (t) => {
  const hq = createServer((socket) => socket.destroy())
  await new Promise<void>((listening) => hq.listen(0, '127.0.0.1', listening))
  t.teardown(() => hq.close())
  const verify = `tcp://127.0.0.1:${(hq.address() as AddressInfo).port}`
  const { nmcli, harness } = await shop(t, { networks: [OFFICE], trialSeconds: 2, verify }, (scene) => {
    // Stand-in addresses are this machine's own, so that a connection from them is a real one; 192.168.1.50 is not.
    for (const point of scene.points) if (point.ssid === hex('Spare 4G')) point.address = '127.0.0.1/8'
  })
  await harness.until(() => harness.state('-')?.state === 'online', 'the first network needs an address only')
  await t.rejects(harness.command('-', 'connect', { ssid: 'Shop Guest' }), { message: /verify.*back on "Shop Office"/ })
  t.match(await harness.command('-', 'connect', SPARE), { connected: true })
  t.equal(on(nmcli), 'Spare 4G')
})

t.test('the plugin is killed in the middle of a trial: the next one goes back to what worked', async (t) => {
  const { nmcli, harness, restart, until } = await shop(t, { networks: [OFFICE] }, (scene) => {
    Object.assign(scene.points[1] ?? {}, { noDhcp: true })
  })
  await until(() => harness.state('-')?.state === 'online', 'online')
  harness.command('-', 'connect', { ssid: 'Shop Guest' }).catch(() => {})
  await until(() => nmcli.scene.links.wlan0?.state === 70, 'the trial is under way')
  t.match(harness.store.get('uplink'), { trial: { network: hex('Shop Guest'), back: hex('Shop Office') } }, 'on disk before it began')
  const again = await restart()
  await again.until(() => on(nmcli) === 'Shop Office' && again.state('-')?.state === 'online', 'back')
  t.match(again.events[0], { event: 'network-failed', data: { ssid: 'Shop Guest', reason: 'interrupted', back: 'Shop Office' } })
  await again.until(() => nmcli.scene.profiles.length === 1, 'the profile on trial is gone')
})

t.test('a power cut in the middle of a trial: the box boots into what worked before this plugin even runs', async (t) => {
  const { nmcli, harness, until } = await shop(t, { networks: [OFFICE] }, (scene) => {
    Object.assign(scene.points[1] ?? {}, { noDhcp: true })
  })
  await until(() => harness.state('-')?.state === 'online', 'online')
  harness.command('-', 'connect', { ssid: 'Shop Guest' }).catch(() => {})
  await until(() => nmcli.scene.links.wlan0?.state === 70, 'the trial is under way')
  await harness.stop()
  nmcli.manager.reboot()
  await until(() => on(nmcli) === 'Shop Office', 'NetworkManager has connected by itself')
})

t.test('the access point of the office goes: the spare one takes over; it comes back: so does the box', async (t) => {
  let office: Scene['points'] = []
  const { nmcli, harness, until } = await shop(t, { networks: [{ ...OFFICE, priority: 9 }, SPARE] })
  await until(() => harness.state('-')?.state === 'online', 'online')
  nmcli.change((scene) => {
    office = scene.points.splice(0, 1)
  })
  await until(() => on(nmcli) === 'Spare 4G' && harness.state('-')?.state === 'online', 'the spare one')
  // It was lost, not refused: as soon as it is heard again it is preferred again.
  nmcli.change((scene) => scene.points.push(...office))
  await until(() => on(nmcli) === 'Shop Office', 'the office again')
  await until(() => harness.events.filter(({ event }) => event === 'uplink').length >= 3, 'all told')
  t.same(
    harness.events.filter(({ event }) => event === 'uplink').map(({ data }) => data.ssid),
    ['Shop Office', 'Spare 4G', 'Shop Office'],
  )
})

t.test('the office changes its password: the config of the new one finds the way in', async (t) => {
  const { nmcli, harness, until, everything } = await shop(t, { networks: [OFFICE] })
  await until(() => harness.state('-')?.state === 'online', 'online')
  await harness.configure({ pollSeconds: 1, graceSeconds: 0, networks: [{ ...OFFICE, password: SPARE.password }] })
  t.equal(on(nmcli), 'Shop Office', 'what works is left alone')
  nmcli.change((scene) => {
    Object.assign(scene.points[0] ?? {}, { password: SPARE.password })
    scene.links = {}
  })
  await until(() => on(nmcli) === 'Shop Office', 'in again')
  await until(() => nmcli.scene.profiles.length === 1, 'the old profile is gone')
  t.equal(nmcli.scene.profiles[0]?.psk, SPARE.password)
  secretsStayed(t, everything())
})

t.test('connect, prefer, forget', async (t) => {
  const { nmcli, harness, everything } = await shop(t, { networks: [OFFICE] })
  await harness.until(() => harness.state('-')?.state === 'online', 'online')
  await t.rejects(harness.command('-', 'connect', { ...SPARE, password: WRONG }), { code: 'device-fault', message: /password .* back on "Shop Office"/ })
  t.match(await harness.command('-', 'connect', SPARE), { ssid: 'Spare 4G', connected: true })
  t.match(await harness.command('-', 'status'), { networks: [{ ssid: 'Spare 4G', from: 'command', active: true }, { ssid: 'Shop Office' }] })
  t.notMatch(JSON.stringify([...harness.store]), SPARE.password)
  await t.rejects(harness.command('-', 'forget', { ssid: 'Spare 4G' }), { code: 'device-fault', message: /way out/ })
  await t.rejects(harness.command('-', 'forget', { ssid: 'Shop Office' }), { code: 'args-invalid', message: /config/ })
  await t.rejects(harness.command('-', 'forget', { ssid: 'Nobody' }), { code: 'args-invalid', message: /known are "Spare 4G", "Shop Office"/ })
  await t.rejects(harness.command('-', 'prefer', { ssids: ['Nobody'] }), { code: 'args-invalid' })
  t.same(await harness.command('-', 'prefer', { ssids: ['Shop Office'] }), { order: ['Shop Office', 'Spare 4G'] })
  await harness.until(() => on(nmcli) === 'Shop Office', 'the preferred one')
  t.match(await harness.command('-', 'forget', { ssid: 'Spare 4G' }), { forgotten: true })
  t.same(nmcli.scene.profiles.map(({ ssid }) => ssid), [hex('Shop Office')])
  await t.rejects(harness.command('-', 'connect', { ssid: '店'.repeat(11) }), { code: 'args-invalid', message: /32 bytes/ })
  await t.rejects(harness.command('-', 'connect', { ssid: 'x', password: 'short' }), { code: 'args-invalid' })
  secretsStayed(t, everything())
})

t.test('the box is on a cable: nothing is forced, and a command still works', async (t) => {
  const { nmcli, harness } = await shop(t, { networks: [OFFICE] }, (scene) => {
    scene.wired = true
  })
  await harness.until(() => harness.state('-')?.detail === 'not-in-use', 'left alone')
  await harness.until(() => nmcli.calls.length >= 2, 'two looks')
  t.ok(nmcli.calls.every((call) => call.includes('show')), 'it only looked')
  await t.rejects(harness.command('-', 'connect', { ...SPARE, password: WRONG }), { message: /none to go back to/ })
  t.match(await harness.command('-', 'connect', { ssid: 'Shop Office' }), { connected: true })
  nmcli.change((scene) => {
    scene.wired = false
  })
  t.equal(on(nmcli), 'Shop Office')
})

t.test('without any network configured it only watches', async (t) => {
  const { nmcli, harness } = await shop(t, {}, (scene) => {
    scene.profiles = [{ uuid: 'b2f0d9a4-0000-4000-8000-000000000001', id: 'preconfigured', ssid: hex('Shop Office'), iface: 'wlan0', autoconnect: true, priority: 0, hidden: false, keyMgmt: 'wpa-psk', psk: OFFICE.password, used: 1 }]
  })
  await harness.until(() => harness.events.length === 1, 'the uplink that was set up by hand')
  nmcli.change((scene) => {
    scene.faults.noAutoconnect = true
    scene.links = {}
  })
  await harness.until(() => harness.state('-')?.detail === 'not-in-use', 'gone')
  t.notOk(nmcli.calls.some((call) => call.includes('up') || call.includes('add')))
})

const TROUBLES: [string, (scene: Scene) => void, state: string][] = [
  ['no-networkmanager', ({ faults }) => void (faults.notRunning = true), 'fault'],
  ['nmcli-garbled', ({ faults }) => void (faults.garbage = true), 'fault'],
  ['not-authorized', ({ faults }) => void (faults.notAuthorized = true), 'fault'],
  ['no-radio', (scene) => void (scene.radios = []), 'offline'],
  ['radio-off', ({ radios }) => void Object.assign(radios[0] ?? {}, { on: false }), 'offline'],
  ['radio-off', ({ radios }) => void Object.assign(radios[0] ?? {}, { hardware: false }), 'offline'],
  ['unmanaged', ({ radios }) => void Object.assign(radios[0] ?? {}, { managed: false }), 'offline'],
]
for (const [detail, fault, state] of TROUBLES)
  t.test(`${detail}: one state, one line, and good again when it is mended`, async (t) => {
    const { nmcli, harness } = await shop(t, { networks: [OFFICE] }, fault)
    await harness.until(() => harness.state('-')?.detail === detail, detail)
    const warned = () => harness.logs.filter(({ level, fields }) => level === 'warn' && fields.detail === detail).length
    t.equal(harness.state('-')?.state, state)
    t.equal(warned(), 1)
    if (detail !== 'not-authorized') await t.rejects(harness.command('-', 'scan'), { code: 'device-offline', message: new RegExp(detail) })
    nmcli.change((scene) => {
      Object.assign(scene.faults, { notRunning: false, garbage: false, notAuthorized: false })
      scene.radios = [{ name: 'wlan0', hardware: true, on: true, managed: true }]
    })
    await harness.until(() => on(nmcli) === 'Shop Office', 'mended')
    t.equal(warned(), 1, 'still one')
  })

t.test('no nmcli at all: one state, one line, no crash', async (t) => {
  const path = process.env.PATH
  t.teardown(() => {
    process.env.PATH = path
  })
  const { harness, restart } = await shop(t, { networks: [OFFICE] }, ({ faults }) => {
    faults.notRunning = true
  })
  await harness.stop()
  process.env.PATH = '/nonexistent'
  const without = await restart()
  await without.until(() => without.state('-')?.detail === 'no-nmcli', 'the state')
  t.equal(without.state('-')?.state, 'fault')
  await t.rejects(without.command('-', 'connect', { ssid: 'x' }), { code: 'device-offline', message: /no-nmcli/ })
  t.equal(without.logs.length, 1)
})

t.test('names from the field: colons, quotes, blanks, emoji, dashes, 32 bytes, not UTF-8, hidden', async (t) => {
  const names = ['-a: "x" \\ ', '☕ Café:店', "--ask'; reboot #", 'x'.repeat(32)].map(hex)
  const all = [...names, '636166e91b', hex('AA:BB:CC:DD:EE:FF')]
  const { nmcli, harness } = await shop(t, {}, (scene) => {
    scene.points = all.map((ssid, index) => ({ ssid, bssid: `d8:47:32:00:01:0${index}`, channel: 1, quality: 50 + index, security: '', hidden: index === 2 }))
  })
  await harness.until(() => harness.state('-')?.detail === 'not-in-use', 'ready')
  for (const ssid of all) {
    await harness.command('-', 'connect', { ssidHex: ssid, ...(ssid === all[2] ? { hidden: true } : {}) })
    const bssid = nmcli.scene.links.wlan0?.bssid
    t.equal(nmcli.scene.points.find((point) => point.bssid === bssid)?.ssid, ssid)
    await harness.until(() => harness.events.some(({ data }) => data.bssid === bssid && (data.ssidHex ?? hex(String(data.ssid))) === ssid), 'the uplink')
  }
})

t.test('two radios: the configured one is used, the other left alone', async (t) => {
  const { nmcli, harness } = await shop(t, { interface: 'wlan1', networks: [OFFICE] }, ({ radios }) => {
    radios.push({ name: 'wlan1', hardware: true, on: true, managed: true })
  })
  await harness.until(() => harness.state('-')?.state === 'online', 'online')
  t.equal(on(nmcli, 'wlan1'), 'Shop Office')
  t.same(Object.keys(nmcli.scene.links), ['wlan1'])
  t.match(harness.events[0]?.data, { interface: 'wlan1' })
})

t.test('a password file that is not there, and then is', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'shopwire-wifi-'))
  t.teardown(() => rmSync(dir, { recursive: true }))
  const passwordFile = join(dir, 'office')
  const { nmcli, harness, everything } = await shop(t, { networks: [{ ssid: OFFICE.ssid, passwordFile }] })
  await harness.until(() => harness.events.length === 1, 'the failure is told')
  t.match(harness.events[0], { event: 'network-failed', data: { ssid: 'Shop Office', reason: 'secret-unreadable' } })
  writeFileSync(passwordFile, `${OFFICE.password}\n`)
  await harness.configure({ pollSeconds: 1, graceSeconds: 0, networks: [{ ssid: OFFICE.ssid, passwordFile, priority: 1 }] })
  await harness.until(() => on(nmcli) === 'Shop Office', 'online')
  secretsStayed(t, everything())
})
