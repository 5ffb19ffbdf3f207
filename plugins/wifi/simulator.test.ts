/** `shopwire sim wifi`: a tool of its own. */
import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import simulate, { type Scene } from './simulator.ts'

const call = promisify(execFile)

t.test('a stand-in for nmcli, whose scene is a file', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'shopwire-sim-'))
  t.teardown(() => rmSync(dir, { recursive: true, force: true }))
  const lines: string[] = []
  const stop = new AbortController()
  const running = simulate(['--dir', dir, '--fault', 'wired', '--fault', 'no-autoconnect'], (line) => lines.push(line), stop.signal)
  const nmcli = (...args: string[]) => call(join(dir, 'nmcli'), args)
  t.match((await nmcli('-t', '-f', 'SSID,SIGNAL', 'device', 'wifi')).stdout, 'Shop Office:71\nShop Guest:70\n')
  t.match((await nmcli('-t', '-f', 'SSID', 'device', 'wifi', 'list')).stdout, 'Café\\: Lumière\n', 'escaped, as nmcli does')
  t.match((await nmcli('-t', 'device', 'show')).stdout, /GENERAL.DEVICE:eth0\nGENERAL.TYPE:ethernet\nGENERAL.STATE:100 \(connected\)/)
  await t.rejects(nmcli('device', 'wifi', 'dance'), { code: 2 })
  await t.rejects(nmcli('-t', '-f', 'BOGUS', 'device', 'wifi'), { code: 2, stderr: /invalid field 'BOGUS'; allowed fields: NAME,SSID/ })
  await t.rejects(nmcli('connection', 'up', 'uuid', 'x'), { code: 10 })
  const file = join(dir, 'scene.json')
  const scene = JSON.parse(readFileSync(file, 'utf8')) as Scene
  scene.faults.notRunning = true
  writeFileSync(file, JSON.stringify(scene))
  await t.rejects(nmcli('general', 'status'), { code: 8, stderr: 'Error: NetworkManager is not running.\n' })
  stop.abort()
  t.equal(await running, 0)
  t.match(lines, [/nmcli stand-in in .*PATH=/, /nmcli -t -f SSID,SIGNAL device wifi -> 0/])
  await t.rejects(nmcli('general', 'status'), { code: 1, stderr: /Could not create NMClient object/ })
})

t.test('wrong usage says what is right', async (t) => {
  for (const args of [
    [],
    ['--dir'],
    ['--dir', '/tmp/x', '--fault', 'nonsense'],
    ['--dir', '/tmp/x', '--scene', '/nonexistent'],
    ['--bogus', '1'],
  ]) {
    const lines: string[] = []
    t.equal(await simulate(args, (line) => lines.push(line), AbortSignal.abort()), 2)
    t.match(lines[0], /usage: sim wifi|there is no such scene/)
  }
})
