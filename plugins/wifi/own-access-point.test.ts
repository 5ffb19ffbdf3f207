/** A radio that serves the guests is never taken for the uplink: neither hostapd's nor a hotspot of NetworkManager's. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import t from 'tap'
import { hex } from './simulator.ts'
import { OFFICE, on, shop } from './testing.ts'

const radio = (name: string) => ({ name, hardware: true, on: true, managed: true })
const HOTSPOT = { uuid: '22222222-2222-4222-8222-222222222222', id: 'Hotspot', mode: 'ap' as const, autoconnect: false, priority: 0 }

t.test('a hotspot of NetworkManager’s own is no uplink: it stays, and the other radio goes out', async (t) => {
  const { nmcli, harness, until } = await shop(t, { networks: [OFFICE] }, (scene) => {
    scene.radios = [radio('wlan0'), radio('wlan1')]
    scene.points.push({ ssid: hex('Guests'), bssid: 'dc:a6:32:00:00:09', channel: 6, quality: 100, security: '' })
    scene.profiles.push({ ...HOTSPOT, ssid: hex('Guests'), iface: 'wlan0', hidden: false, used: 0 })
    scene.links.wlan0 = { uuid: HOTSPOT.uuid, bssid: 'dc:a6:32:00:00:09', state: 100 }
  })
  await until(() => harness.events.length > 0, 'the uplink')
  t.match(harness.events[0]?.data, { ssid: 'Shop Office', interface: 'wlan1' })
  t.equal(on(nmcli, 'wlan0'), 'Guests', 'the guests noticed nothing')
})

t.test('the only radio is a hotspot: said, and left alone', async (t) => {
  const { nmcli, harness, until } = await shop(t, { networks: [OFFICE], interface: 'wlan0' }, (scene) => {
    scene.points.push({ ssid: hex('Guests'), bssid: 'dc:a6:32:00:00:09', channel: 6, quality: 100, security: '' })
    scene.profiles.push({ ...HOTSPOT, ssid: hex('Guests'), iface: 'wlan0', hidden: false, used: 0 })
    scene.links.wlan0 = { uuid: HOTSPOT.uuid, bssid: 'dc:a6:32:00:00:09', state: 100 }
  })
  await until(() => harness.state('-') !== undefined, 'a word on it')
  t.match(harness.state('-'), { state: 'offline', detail: 'access-point' })
  t.equal(on(nmcli, 'wlan0'), 'Guests')
  t.notOk(nmcli.calls.some((call) => call.includes('up')))
})

t.test('hostapd drives the radio and nobody has told NetworkManager: its guests stay', async (t) => {
  const name = `wl-t${process.pid}`
  try {
    mkdirSync('/run/hostapd', { recursive: true })
    writeFileSync(`/run/hostapd/${name}`, '')
  } catch {
    t.comment('hostapd’s folder cannot be written here')
    t.end()
    return
  }
  t.teardown(() => rmSync(`/run/hostapd/${name}`, { force: true }))
  const { nmcli, harness, until } = await shop(t, { networks: [OFFICE] }, (scene) => {
    scene.radios = [radio(name)]
  })
  await until(() => harness.state('-') !== undefined, 'a word on it')
  t.match(harness.state('-'), { state: 'offline', detail: 'access-point' })
  t.notOk(nmcli.calls.some((call) => call.includes('up')))
})
