/** What keeps the radio from being used: one state each, one line in the log, and good again when it is mended. */
import t from 'tap'
import type { Scene } from './simulator.ts'
import { hurried, OFFICE, on, shop } from './testing.ts'

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
    const { nmcli, harness } = await shop(t, { networks: [OFFICE] }, fault, hurried(4))
    await harness.until(() => harness.state('-')?.detail === detail, detail)
    const warned = () => harness.logs.filter(({ level, fields }) => level === 'warn' && fields.detail === detail).length
    t.equal(harness.state('-')?.state, state)
    t.equal(warned(), 1)
    t.match(await harness.command('-', 'self-check'), { findings: [{ state: 'fail', fact: new RegExp(`: ${detail}$`), fix: /\S/ }] })
    if (detail !== 'not-authorized') await t.rejects(harness.command('-', 'scan'), { code: 'device-offline', message: new RegExp(detail) })
    nmcli.change((scene) => {
      Object.assign(scene.faults, { notRunning: false, garbage: false, notAuthorized: false })
      scene.radios = [{ name: 'wlan0', hardware: true, on: true, managed: true }]
    })
    await harness.until(() => on(nmcli) === 'Shop Office', 'mended')
    t.equal(warned(), 1, 'still one')
    await harness.until(() => harness.state('-')?.state === 'online', 'the state to follow')
    t.match(await harness.command('-', 'self-check'), { findings: [{ state: 'ok', fact: /Shop Office/ }] })
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
