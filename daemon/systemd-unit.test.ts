/** The unit as it ships, judged by systemd's own tools. */
import { spawnSync } from 'node:child_process'
import { copyFileSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import t from 'tap'
import { testFolder } from './testing/folder.ts'

const unit = resolve(import.meta.dirname, '../systemd/shopwire.service')
const text = readFileSync(unit, 'utf8')
const analyze = (...args: string[]) => {
  const run = spawnSync('systemd-analyze', args, { encoding: 'utf8', env: { ...process.env, SYSTEMD_COLORS: '0' } })
  return `${run.stdout}${run.stderr}`
}
const skip = spawnSync('systemd-analyze', ['--version']).error === undefined ? false : 'systemd-analyze (package systemd) is not installed'

t.test('what an intruder could reach from the service: at most 2.0', { skip }, async (t) => {
  const said = analyze('security', '--offline=true', '--no-pager', unit)
  const exposure = Number(/Overall exposure level for shopwire\.service: ([\d.]+)/.exec(said)?.[1])
  t.ok(exposure > 0 && exposure <= 2, `${exposure}: ${said.split('\n').at(-2)}`)
})

t.test('systemd knows every key of it', { skip }, async (t) => {
  // It also complains that Node is elsewhere on this machine, which the installer mends.
  const complaints = analyze('verify', '--man=no', unit)
    .split('\n')
    .filter((line) => /shopwire\.service/.test(line) && /Unknown|Failed to parse|ignoring|Invalid/i.test(line))
  t.same(complaints, [])
})

t.test('with guest WiFi and beacons: three capabilities more, and still at most 2.6', { skip }, async (t) => {
  const dir = testFolder(t, { 'shopwire.service.d': {} })
  copyFileSync(unit, join(dir, 'shopwire.service'))
  copyFileSync(resolve(unit, '../network.conf'), join(dir, 'shopwire.service.d/network.conf'))
  const merged = join(dir, 'shopwire.service')
  const said = analyze('security', '--offline=true', '--no-pager', merged)
  const exposure = Number(/Overall exposure level for shopwire\.service: ([\d.]+)/.exec(said)?.[1])
  t.ok(exposure > 0 && exposure <= 2.6, `${exposure}: ${said.split('\n').at(-2)}`)
  t.match(said, /✗.*CapabilityBoundingSet=~CAP_NET_ADMIN/, 'the drop-in was read')
  const complaints = analyze('verify', '--man=no', merged)
    .split('\n')
    .filter((line) => /network\.conf/.test(line))
  t.same(complaints, [])
})

t.test('what the daemon relies on', async (t) => {
  for (const line of [
    'Type=notify',
    // Without it the messages of `systemd-notify`, a child, are thrown away and the start never ends.
    'NotifyAccess=all',
    'Restart=always',
    // One plugin out of memory must not stop the shop.
    'OOMPolicy=continue',
    'KillMode=mixed',
    'User=shopwire',
    'SupplementaryGroups=dialout lp input',
    'StateDirectory=shopwire',
  ])
    t.match(text, new RegExp(`^${line}$`, 'm'))
  t.match(text, /^WatchdogSec=\d+$/m)
  t.match(text, /^MemoryMax=\d+M$/m)
  t.notMatch(text, /^(MemoryDenyWriteExecute|PrivateDevices|PrivateUsers)=(yes|true)/m, 'V8 and the device nodes need these off')
  const stop = Number(/^TimeoutStopSec=(\d+)$/m.exec(text)?.[1])
  t.ok(stop > 10, 'longer than the 10 s in which the daemon promises to stop')
  for (const group of ['char-ttyUSB', 'char-ttyACM', 'char-usb', 'char-input']) t.match(text, new RegExp(`^DeviceAllow=${group} `, 'm'))
  for (const driver of ['usbserial', 'cdc_acm', 'usblp']) t.match(text, new RegExp(`^Wants=.*modprobe@${driver}\\.service`, 'm'))
})
