/** The real plugin and the real node-wifi against the stand-in for nmcli: what a shop asks of its radio. */
import t from 'tap'
import { hex, type Scene } from './simulator.ts'
import { hurried, OFFICE, on, SPARE, secretsStayed, shop, WRONG } from './testing.ts'

t.test('the network of the config comes up, and its password is seen nowhere', async (t) => {
  const { nmcli, harness, everything, settled } = await shop(t, { networks: [OFFICE] })
  await settled()
  t.equal(harness.events.length, 1)
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
  t.match(
    nmcli.scene.profiles,
    [{ psk: OFFICE.password, autoconnect: true, priority: 100 }],
    'NetworkManager keeps it, and may use it after a reboot',
  )
  t.match(await harness.command('-', 'status'), {
    state: 'online',
    uplink: { ssid: 'Shop Office' },
    networks: [{ active: true, proven: true, from: 'config' }],
  })
  secretsStayed(t, everything())
})

t.test('a quiet night: looks that see nothing new write nothing, neither here nor at NetworkManager', async (t) => {
  const { nmcli, harness, settled, looks } = await shop(t, { networks: [OFFICE, SPARE] }, () => {}, hurried(4))
  await settled()
  await looks(1)
  const puts = JSON.stringify([...harness.store])
  const calls = nmcli.calls.length
  await looks(4)
  t.equal(JSON.stringify([...harness.store]), puts)
  t.same(
    nmcli.calls.slice(calls).filter((call) => call.includes('connection')),
    [],
  )
  t.same(
    [harness.events.length, harness.states.map(({ state, detail }) => detail ?? state)],
    [1, ['connecting', 'online']],
    'two states and one event',
  )
})

t.test('connect, prefer, forget', async (t) => {
  const { nmcli, harness, everything, until, settled } = await shop(t, { networks: [OFFICE] })
  await settled()
  await t.rejects(harness.command('-', 'connect', { ...SPARE, password: WRONG }), {
    code: 'device-fault',
    message: /password .* back on "Shop Office"/,
  })
  t.match(await harness.command('-', 'connect', SPARE), { ssid: 'Spare 4G', connected: true })
  t.match(await harness.command('-', 'status'), {
    networks: [{ ssid: 'Spare 4G', from: 'command', active: true }, { ssid: 'Shop Office' }],
  })
  t.notMatch(JSON.stringify([...harness.store]), SPARE.password)
  await t.rejects(harness.command('-', 'forget', { ssid: 'Spare 4G' }), { code: 'device-fault', message: /way out/ })
  await t.rejects(harness.command('-', 'forget', { ssid: 'Shop Office' }), { code: 'args-invalid', message: /config/ })
  await t.rejects(harness.command('-', 'forget', { ssid: 'Nobody' }), {
    code: 'args-invalid',
    message: /known are "Spare 4G", "Shop Office"/,
  })
  await t.rejects(harness.command('-', 'prefer', { ssids: ['Nobody'] }), { code: 'args-invalid' })
  t.same(await harness.command('-', 'prefer', { ssids: ['Shop Office'] }), { order: ['Shop Office', 'Spare 4G'] })
  await until(() => on(nmcli) === 'Shop Office', 'the preferred one')
  t.match(await harness.command('-', 'forget', { ssid: 'Spare 4G' }), { forgotten: true })
  t.same(
    nmcli.scene.profiles.map(({ ssid }) => ssid),
    [hex('Shop Office')],
  )
  await t.rejects(harness.command('-', 'connect', { ssid: '店'.repeat(11) }), { code: 'args-invalid', message: /32 bytes/ })
  await t.rejects(harness.command('-', 'connect', { ssid: 'x', password: 'short' }), { code: 'args-invalid' })
  secretsStayed(t, everything())
})

t.test('the box is on a cable: nothing is forced, and a command still works', async (t) => {
  const { nmcli, harness, looks, until } = await shop(t, { networks: [OFFICE], pollSeconds: 1 }, (scene) => {
    scene.wired = true
  })
  await until(() => harness.state('-')?.detail === 'not-in-use', 'left alone')
  await looks(1)
  t.ok(
    nmcli.calls.every((call) => call.includes('show')),
    'it only looked',
  )
  await t.rejects(harness.command('-', 'connect', { ...SPARE, password: WRONG }), { message: /none to go back to/ })
  t.match(await harness.command('-', 'connect', { ssid: 'Shop Office' }), { connected: true })
  nmcli.change((scene) => {
    scene.wired = false
  })
  t.equal(on(nmcli), 'Shop Office')
})

t.test('without any network configured it only watches', async (t) => {
  const { nmcli, harness, settled, until } = await shop(t, {}, (scene) => {
    scene.profiles = [
      {
        uuid: 'b2f0d9a4-0000-4000-8000-000000000001',
        id: 'preconfigured',
        ssid: hex('Shop Office'),
        iface: 'wlan0',
        autoconnect: true,
        priority: 0,
        hidden: false,
        keyMgmt: 'wpa-psk',
        psk: OFFICE.password,
        used: 1,
      },
    ]
  })
  await settled()
  nmcli.change((scene) => {
    scene.faults.noAutoconnect = true
    scene.links = {}
  })
  await until(() => harness.state('-')?.detail === 'not-in-use', 'gone')
  t.notOk(nmcli.calls.some((call) => call.includes('up') || call.includes('add')))
})

t.test('names from the field: colons, quotes, blanks, emoji, dashes, 32 bytes, not UTF-8, hidden', async (t) => {
  const names = ['-a: "x" \\ ', '☕ Café:店', "--ask'; reboot #", 'x'.repeat(32)].map(hex)
  const all = [...names, '636166e91b', hex('AA:BB:CC:DD:EE:FF')]
  const { nmcli, harness, until } = await shop(t, {}, (scene) => {
    scene.points = all.map((ssid, index) => ({
      ssid,
      bssid: `d8:47:32:00:01:0${index}`,
      channel: 1,
      quality: 50 + index,
      security: '',
      hidden: index === 2,
    }))
  })
  await until(() => harness.state('-')?.detail === 'not-in-use', 'ready')
  for (const ssid of all) {
    await harness.command('-', 'connect', { ssidHex: ssid, ...(ssid === all[2] ? { hidden: true } : {}) })
    const bssid = nmcli.scene.links.wlan0?.bssid
    t.equal(nmcli.scene.points.find((point) => point.bssid === bssid)?.ssid, ssid)
    await until(
      () => harness.events.some(({ data }) => data.bssid === bssid && (data.ssidHex ?? hex(String(data.ssid))) === ssid),
      'the uplink',
    )
  }
})

t.test('two radios: the configured one is used, the other left alone', async (t) => {
  const { nmcli, harness, settled } = await shop(t, { interface: 'wlan1', networks: [OFFICE] }, ({ radios }) => {
    radios.push({ name: 'wlan1', hardware: true, on: true, managed: true })
  })
  await settled()
  t.equal(on(nmcli, 'wlan1'), 'Shop Office')
  t.same(Object.keys(nmcli.scene.links), ['wlan1'])
  t.match(harness.events[0]?.data, { interface: 'wlan1' })
})

/** What keeps the radio from being used: one state each, one line in the log, and good again when it is mended. */
const TROUBLES: [string, (scene: Scene) => unknown, state: string][] = [
  ['no-networkmanager', ({ faults }) => Object.assign(faults, { notRunning: true }), 'fault'],
  ['nmcli-garbled', ({ faults }) => Object.assign(faults, { garbage: true }), 'fault'],
  ['not-authorized', ({ faults }) => Object.assign(faults, { notAuthorized: true }), 'fault'],
  ['no-radio', (scene) => Object.assign(scene, { radios: [] }), 'offline'],
  ['radio-off', ({ radios }) => Object.assign(radios[0] ?? {}, { on: false }), 'offline'],
  ['radio-off', ({ radios }) => Object.assign(radios[0] ?? {}, { hardware: false }), 'offline'],
  ['unmanaged', ({ radios }) => Object.assign(radios[0] ?? {}, { managed: false }), 'offline'],
]
for (const [detail, fault, state] of TROUBLES)
  t.test(`${detail}: one state, one line, and good again when it is mended`, async (t) => {
    const { nmcli, harness, until } = await shop(t, { networks: [OFFICE] }, fault, hurried(4))
    await until(() => harness.state('-')?.detail === detail, detail)
    const warned = () => harness.logs.filter(({ level, fields }) => level === 'warn' && fields.detail === detail).length
    t.equal(harness.state('-')?.state, state)
    t.equal(warned(), 1)
    t.match(await harness.command('-', 'self-check'), { findings: [{ state: 'fail', fact: new RegExp(`: ${detail}$`), fix: /\S/ }] })
    if (detail !== 'not-authorized') await t.rejects(harness.command('-', 'scan'), { code: 'device-offline', message: new RegExp(detail) })
    nmcli.change((scene) => {
      Object.assign(scene.faults, { notRunning: false, garbage: false, notAuthorized: false })
      scene.radios = [{ name: 'wlan0', hardware: true, on: true, managed: true }]
    })
    await until(() => on(nmcli) === 'Shop Office', 'mended')
    t.equal(warned(), 1, 'still one')
    await until(() => harness.state('-')?.state === 'online', 'the state to follow')
    t.match(await harness.command('-', 'self-check'), { findings: [{ state: 'ok', fact: /Shop Office/ }] })
  })

t.test('no nmcli at all: one state, one line, no crash', async (t) => {
  const path = process.env.PATH
  t.teardown(() => {
    process.env.PATH = path
  })
  const { harness, restart, until } = await shop(t, { networks: [OFFICE] }, ({ faults }) => {
    faults.notRunning = true
  })
  await harness.stop()
  process.env.PATH = '/nonexistent'
  const without = await restart()
  await until(() => without.state('-')?.detail === 'no-nmcli', 'the state')
  t.equal(without.state('-')?.state, 'fault')
  await t.rejects(without.command('-', 'connect', { ssid: 'x' }), { code: 'device-offline', message: /no-nmcli/ })
  t.equal(without.logs.length, 1)
})
