/** nmcli's formats, its errors, and what it is given: against captured output and the real node-wifi. */
import { execFile } from 'node:child_process'
import { chmodSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { testFolder } from '../../daemon/testing/folder.ts'
import { fc } from '../../daemon/testing/property.ts'
import { CAPTURED, PUBLISHED } from './golden.ts'
import { faultOf, NmcliFault } from './nmcli/fault.ts'
import { Radio } from './nmcli/radio.ts'
import { nmcli, nmcliWithBytes } from './nmcli/run.ts'
import { passwdFile, SECRET_PATH, withSecret } from './nmcli/secret-file.ts'
import { escaped, rows, sections } from './nmcli/terse.ts'
import simulate, { type Scene } from './simulator.ts'
import { hexOf, lookOf, shown } from './ssid.ts'
import { first, standIn } from './testing.ts'

/** A nmcli of the given shell lines, first in PATH. */
function scripted(t: { teardown(run: () => unknown): void }, script: string): string {
  const dir = testFolder(t)
  writeFileSync(join(dir, 'nmcli'), `#!/bin/sh\n${script}\n`)
  chmodSync(join(dir, 'nmcli'), 0o755)
  first(t, dir)
  return dir
}

const never = new AbortController().signal
const call = promisify(execFile)

t.test('captured lines come apart where their fields end', async (t) => {
  t.same(
    rows(CAPTURED.scan).map(([, ssid]) => ssid),
    ['Shop Office', 'café: a\\b', '', 'A&&B', 'AA:BB:CC:DD:EE:FF', 'café'],
  )
  t.ok([...rows(CAPTURED.scan), ...rows(PUBLISHED.scan)].every((row) => row.length === 10 && /^([0-9A-F]{2}:){5}/.test(row[2] ?? '')))
  const [wlan0, eth0] = sections(CAPTURED.devices)
  t.same([wlan0?.get('GENERAL.STATE'), wlan0?.get('GENERAL.CON-UUID'), eth0?.get('GENERAL.TYPE')], [['100 (connected)'], [], ['ethernet']])
  t.same(rows(CAPTURED.general), [['running', 'connected', 'full', 'missing', 'enabled']])
  fc.assert(
    fc.property(
      fc.array(
        fc.string().filter((text) => !text.includes('\n')),
        { minLength: 2 },
      ),
      (fields) => {
        t.strictSame(rows(`${fields.map(escaped).join(':')}\n`), [fields])
      },
    ),
    { numRuns: 200 },
  )
})

t.test('captured errors are told apart by exit code and text, and nothing of the text gets out', async (t) => {
  for (const { code, text, kind, of } of CAPTURED.errors) {
    const fault = faultOf(code, text)
    t.equal(fault.kind, kind, of)
    t.notMatch(fault.message, /11111111|BOGUS|nope/)
  }
})

t.test('node-wifi reads the captured air wrongly where names hold colons; the names here are the bytes', async (t) => {
  const nm = standIn(t, (scene) => {
    const lines = rows(CAPTURED.exact)
    scene.points = lines.map(([, , bssid = '', ssid = '', , channel, , quality, security = '']) => {
      return { ssid: ssid.toLowerCase(), bssid: bssid.toLowerCase(), channel: Number(channel), quality: Number(quality), security }
    })
  })
  const { stdout } = await call('nmcli', ['-t', '-f', 'ACTIVE,SSID,BSSID', 'device', 'wifi', 'list'])
  t.same(
    rows(stdout),
    rows(CAPTURED.scan).map((row) => row.slice(0, 3)),
    'the stand-in shows what nmcli showed',
  )
  const heard = await new Radio(never).scan('wlan0')
  t.same(
    heard.map(({ ssid, channel, quality, security }) => [shown(ssid).ssid, shown(ssid).ssidHex, channel, quality, security]),
    [
      ['Shop Office', undefined, 11, 71, 'WPA1 WPA2'],
      ['café: a\\b', undefined, 36, 40, 'none'],
      ['', undefined, 1, 33, 'WPA1 WPA2'],
      ['A&&B', undefined, 6, 33, 'WPA1 WPA3'],
      ['AA:BB:CC:DD:EE:FF', undefined, 1, 21, 'WPA1 WPA2'],
      ['caf\ufffd\ufffd', '636166e91b', 149, 12, 'WPA1 WPA2 WPA3'],
    ],
  )
  t.same(
    nm.calls.at(-2)?.slice(0, 3),
    ['--terse', '--fields', 'active,ssid,bssid,mode,chan,freq,signal,security,wpa-flags,rsn-flags'],
    'as node-wifi asks',
  )
})

t.test('any name of 1 to 32 bytes reaches nmcli as it is: no option, no command, no other byte', async (t) => {
  const dir = scripted(t, `printf '%s\\0' "$@" >"$0.args"`)
  const names = [
    '-a',
    '--ask',
    '-h',
    '--',
    "'; rm -rf /; '",
    '$(reboot)',
    '`id`',
    '%',
    '%s%n',
    'a:b\\c',
    '"',
    ' ',
    'emoji ☕',
    '店'.repeat(10),
    'x'.repeat(32),
    'line\nfeed\n',
  ]
  const given = async (bytes: Buffer) => {
    const text = bytes.toString('utf8')
    const exact = Buffer.from(text, 'utf8').equals(bytes)
    const args = ['connection', 'add', 'type', 'wifi', 'ssid', exact ? text : '%']
    await (exact ? nmcli(args, { timeoutMs: 60_000 }) : nmcliWithBytes(args, bytes, { timeoutMs: 60_000 }))
    return readFileSync(join(dir, 'nmcli.args')).subarray('connection\0add\0type\0wifi\0ssid\0'.length, -1)
  }
  for (const name of names) t.same(await given(Buffer.from(name)), Buffer.from(name), name)
  for (const bytes of ['636166e91b', 'ff0aff0a', '2d61ff', '2528ff29', 'ff25735c31', 'ffffffff27'])
    t.same(await given(Buffer.from(bytes, 'hex')), Buffer.from(bytes, 'hex'), bytes)
})

t.test('a password goes through a file that has no name, whatever is in it', async (t) => {
  const dir = scripted(t, `cat "${SECRET_PATH}" >"$0.secret"; printf '%s' "$*" >"$0.args"; ls -l /proc/self/fd/3 >"$0.link"`)
  const password = ' \\101 spaces: # and \\backslashes\\ '
  await withSecret(password, (fd) => nmcli(['connection', 'up', 'passwd-file', SECRET_PATH], { timeoutMs: 60_000, fd }))
  const file = readFileSync(join(dir, 'nmcli.secret'), 'utf8')
  t.equal(file, passwdFile(password))
  const value = file.trim().replace('802-11-wireless-security.psk:', '')
  t.match(value, /^(\\[0-7]{3})+$/, 'nothing in it that nmcli strips or reads otherwise')
  t.equal(
    value.replace(/\\(\d{3})/g, (_all, octal: string) => String.fromCharCode(Number.parseInt(octal, 8))),
    password,
  )
  t.match(readFileSync(join(dir, 'nmcli.link'), 'utf8'), /\(deleted\)/)
  t.notMatch(readFileSync(join(dir, 'nmcli.args'), 'utf8'), /spaces/)
})

t.test('a box whose language is Chinese: nmcli is asked in English, or nothing would ever count as connected', async (t) => {
  // As nmcli 1.42 does on Debian 12: LANGUAGE counts even beside LC_ALL=C.UTF-8.
  const dir = scripted(
    t,
    `case "$LANGUAGE" in zh*) yes=是 sorry=未授权 ;; *) yes=yes sorry='Not authorized' ;; esac
case "$*" in
*up*) echo "Error: $sorry" >&2; exit 4 ;;
*SSID-HEX*) echo "$yes:AA\\\\:BB\\\\:CC\\\\:DD\\\\:EE\\\\:01:53484F50:6:2437 MHz:70:WPA2" ;;
*) echo "$yes:SHOP:AA\\\\:BB\\\\:CC\\\\:DD\\\\:EE\\\\:01:Infra:6:2437 MHz:70:WPA2:(none):pair_ccmp:wlan0" ;;
esac`,
  )
  t.ok(dir)
  const before = process.env.LANGUAGE
  t.teardown(() => {
    if (before === undefined) delete process.env.LANGUAGE
    else process.env.LANGUAGE = before
  })
  process.env.LANGUAGE = 'zh_CN:zh'
  await t.rejects(nmcli(['connection', 'up'], { timeoutMs: 10_000 }), { message: /^not-authorized/ })
  t.match(await new Radio(never).current('wlan0'), { ssid: hexOf('SHOP'), bssid: 'aa:bb:cc:dd:ee:01', quality: 70 })
})

t.test('a nmcli that hangs, floods, dies or is not there', async (t) => {
  const dir = scripted(t, 'exec sleep 60')
  const script = (text: string) => writeFileSync(join(dir, 'nmcli'), `#!/bin/sh\n${text}\n`)
  const kind = (work: Promise<unknown>) =>
    work.then(
      () => 'fine',
      (error: unknown) => (error instanceof NmcliFault ? error.kind : String(error)),
    )
  t.equal(await kind(nmcli(['general'], { timeoutMs: 200 })), 'nmcli-silent')
  const stop = new AbortController()
  const stopped = kind(new Radio(stop.signal).current('wlan0'))
  stop.abort(new Error('stopping'))
  t.equal(await stopped, 'Error: stopping', "node-wifi's nmcli is ended with the plugin")
  script('exec yes xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx')
  t.equal(await kind(nmcli(['general'], { timeoutMs: 60_000 })), 'nmcli-garbled')
  script('kill -9 $$')
  t.equal(await kind(nmcli(['general'], { timeoutMs: 60_000 })), 'refused')
  const path = process.env.PATH
  process.env.PATH = join(dir, 'nowhere')
  t.equal(await kind(nmcli(['general'], { timeoutMs: 60_000 })), 'no-nmcli')
  t.equal(await kind(nmcliWithBytes(['general', '%'], Buffer.from([255]), { timeoutMs: 60_000 })), 'no-nmcli')
  t.equal(await kind(new Radio(never).scan('wlan0')), 'no-nmcli')
  process.env.PATH = path
})

t.test('names: what is shown, what looks alike', async (t) => {
  t.same(shown(hexOf('Café')), { ssid: 'Café' })
  t.same(shown('1b5b33316d'), { ssid: '\ufffd[31m', ssidHex: '1b5b33316d' }, 'no escape sequence reaches a terminal')
  t.same(shown(hexOf('\ufffd')).ssidHex, 'efbfbd')
  const shop = lookOf(hexOf('Shop Guest'))
  for (const name of ['shop-guest', 'Shop Guest ', 'ＳＨＯＰ　Guest', 'Shop\u200bGuest', 'SHOP_GUEST'])
    t.equal(lookOf(hexOf(name)), shop, name)
  t.not(lookOf(hexOf('Shop Guest 5G')), shop)
})

/** `shopwire sim wifi`: a tool of its own. */
t.test('a stand-in for nmcli, whose scene is a file', async (t) => {
  const dir = testFolder(t)
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
