/** What is kept and printed: the connection log, the poster, tokens. */
import { randomBytes } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { commands, transform } from 'receiptline'
import t from 'tap'
import type { JsonObject } from '../../daemon/contract/json.ts'
import { testFolder } from '../../daemon/testing/folder.ts'
import { wifiText } from './poster.ts'
import { ipOf, macOf, Shop } from './testing.ts'

type Test = Pick<typeof import('tap').default, 'teardown'>

async function logged(t: Test, more: object = {}): Promise<{ one: Shop; dir: string; config: JsonObject }> {
  const home = testFolder(t)
  const dir = join(home, 'connections')
  const keyFile = join(home, 'key')
  writeFileSync(keyFile, randomBytes(32).toString('hex'))
  const config = { compliance: { enabled: true, dir, keyFile, days: 60, ...more }, session: { minutes: 5 } }
  const one = await Shop.open({ config })
  t.teardown(() => one.close())
  return { one, dir, config }
}

const lines = (file: string): string[] => readFileSync(file, 'utf8').trim().split('\n')

t.test('the connection log: off unless asked for, sealed, exported by command, removed after its time', async (t) => {
  const { one, dir } = await logged(t, { days: 7 })
  await one.tap(1)
  await one.clock.pass(6 * 60_000)
  const file = join(dir, 'connections-2026-11-25.log')
  await one.harness.until(() => existsSync(file) && lines(file).length === 2, 'start and end')
  t.notMatch(readFileSync(file, 'latin1'), new RegExp(`${macOf(1)}|${ipOf(1)}|started`))
  const exported = (await one.harness.command('-', 'connections', { from: '2026-11-01', to: '2026-11-30' })) as {
    file: string
    records: number
  }
  t.equal(exported.records, 2)
  t.match(
    lines(exported.file).map((line) => JSON.parse(line)),
    [
      { what: 'started', mac: macOf(1), ip: ipOf(1), method: 'tap' },
      { what: 'ended', mac: macOf(1), seconds: 300 },
    ],
  )
  t.match(await one.harness.command('-', 'connections', { from: '2025-01-01', to: '2025-12-31' }), { records: 0 })
  await t.rejects(one.harness.command('-', 'connections', { from: '../../etc', to: '2026-11-30' }), { code: 'args-invalid' })
  const [first = '', second = ''] = lines(file)
  writeFileSync(file, `${second}\n${first}\n`)
  t.match(await one.harness.command('-', 'connections', { from: '2026-11-01', to: '2026-11-30' }), {
    records: 0,
    damaged: [
      { day: '2026-11-25', line: 1 },
      { day: '2026-11-25', line: 2 },
    ],
  })
  // A time server gone wrong: the clock is years ahead for two days, and then right again.
  const pruned = () => (one.harness.store.get('pruned') as { at: number } | undefined)?.at ?? 0
  const nextDay = async (): Promise<void> => {
    const before = pruned()
    one.clock.jump(24 * 3_600_000)
    await one.harness.until(() => pruned() !== before, 'it was looked at')
    // In order: when it is answered, what was too old has gone.
    await one.harness.command('-', 'connections', { from: '2025-01-01', to: '2025-12-31' })
  }
  one.clock.set('2031-03-01T00:00:00Z')
  for (let day = 0; day < 2; day++) await nextDay()
  t.ok(pruned() > Date.parse('2031-03-02T00:00:00Z'))
  t.ok(existsSync(file), 'what the law wants kept is not gone for a clock that was wrong for a moment')
  one.clock.set('2026-11-28T00:00:00Z')
  for (let day = 0; day < 20 && existsSync(file); day++) await nextDay()
  t.notOk(existsSync(file), 'too old in the end')
  const off = await Shop.open()
  t.teardown(() => off.close())
  await t.rejects(off.harness.command('-', 'connections', { from: '2026-11-01', to: '2026-11-30' }), { code: 'device-unsupported' })
})

t.test('the power goes while a record is written: it is lost, and neither those before nor those after it', async (t) => {
  const { one, dir, config } = await logged(t)
  const file = join(dir, 'connections-2026-11-25.log')
  await one.tap(1)
  await one.harness.until(() => existsSync(file) && readFileSync(file, 'utf8').endsWith('\n'), 'the first')
  await one.close()
  // What ext4 may leave of a line that was on its way: a part of it.
  writeFileSync(file, `${readFileSync(file, 'utf8')}SGFsZiBhIHJl`)
  const again = await Shop.open({ config })
  t.teardown(() => again.close())
  await again.tap(2)
  await again.harness.until(() => readFileSync(file, 'utf8').split('\n').length === 3, 'two whole lines')
  t.match(await again.harness.command('-', 'connections', { from: '2026-11-01', to: '2026-11-30' }), { records: 2, damaged: [] })
})

t.test('a line that nobody can read keeps neither the others from being exported nor a visitor from being erased', async (t) => {
  const { one, dir } = await logged(t, { erase: 'delete' })
  const file = join(dir, 'connections-2026-11-25.log')
  for (const phone of [1, 2, 3]) {
    await one.tap(phone)
    await one.harness.until(() => existsSync(file) && lines(file).length === phone, `phone ${phone}`)
  }
  const [first = '', second = '', third = ''] = lines(file)
  writeFileSync(file, `${[first, `${second.slice(0, -8)}AAAAAAA=`, third].join('\n')}\n`)
  const all = { from: '2026-11-01', to: '2026-11-30' }
  const exported = (await one.harness.command('-', 'connections', all)) as { file: string }
  t.match(exported, { records: 2, damaged: [{ day: '2026-11-25', line: 2 }] })
  await one.harness.until(() => one.events('session-started').length === 3, 'all')
  const visitor = String(one.events('session-started')[0]?.visitor)
  t.match(await one.harness.command('-', 'erase', { visitor }), { log: 'deleted' })
  t.equal(one.events('erased').length, 1, 'HQ is told')
  t.notOk(existsSync(exported.file), 'an export would still hold it')
  const left = (await one.harness.command('-', 'connections', all)) as { file: string }
  t.match(left, { records: 1, damaged: [{ day: '2026-11-25', line: 2 }] }, 'its neighbours are as they were')
  t.match(readFileSync(left.file, 'utf8'), macOf(3))
  utimesSync(left.file, 0, 0)
  await one.clock.pass(25 * 3_600_000)
  await one.harness.until(() => !existsSync(left.file), 'an export does not lie about')
})

t.test('erasure and the log that the law keeps: said, and as configured', async (t) => {
  for (const erase of ['keep', 'delete'] as const) {
    const { one, dir } = await logged(t, { erase })
    await one.tap(1)
    await one.tap(2)
    await one.harness.until(() => one.events('session-started').length === 2, 'both')
    const visitor = String(one.events('session-started')[0]?.visitor)
    t.match(await one.harness.command('-', 'erase', { visitor }), { log: erase === 'keep' ? 'kept' : 'deleted' })
    const { records } = (await one.harness.command('-', 'connections', { from: '2026-11-01', to: '2026-11-30' })) as { records: number }
    t.equal(records, erase === 'keep' ? 3 : 1)
    t.equal(readdirSync(dir).filter((name) => name.endsWith('.new')).length, 0)
  }
})

t.test('a log without its key, or with a bad one, is said at the start', async (t) => {
  const dir = testFolder(t)
  writeFileSync(join(dir, 'short'), 'abcd')
  await t.rejects(Shop.open({ config: { compliance: { enabled: true } } }), { code: 'config-invalid', message: /dir and keyFile/ })
  await t.rejects(Shop.open({ config: { compliance: { enabled: true, dir, keyFile: join(dir, 'short') } } }), {
    code: 'secret-unreadable',
    message: /64 hex digits/,
  })
  await t.rejects(Shop.open({ config: { compliance: { enabled: true, dir, keyFile: join(dir, 'none') } } }), {
    code: 'secret-unreadable',
    message: /ENOENT/,
  })
})

t.test('the QR that joins the WiFi: every sign that means something is escaped', async (t) => {
  t.equal(wifiText({ ssid: 'Lotus Tea', security: 'open' }), 'WIFI:T:nopass;S:Lotus Tea;;')
  t.equal(wifiText({ ssid: 'A;B,"C":\\', security: 'wpa', password: 'p;w:1' }), 'WIFI:T:WPA;S:A\\;B\\,\\"C\\"\\:\\\\;P:p\\;w\\:1;;')
  t.equal(wifiText({ ssid: 'abcd', security: 'sae', password: 'longenough' }), 'WIFI:T:WPA;R:1;S:"abcd";P:longenough;;')
  t.equal(wifiText({ ssid: '莲花', security: 'open' }), 'WIFI:T:nopass;S:莲花;;')
})

t.test('a poster: SVG in millimetres for a browser, or on the receipt printer', async (t) => {
  const printed: unknown[] = []
  const one = await Shop.open({
    config: { wifi: { ssid: 'Lotus|{Guest}', security: 'wpa', password: 'tea;time:8' }, name: 'Lotus <Tea>' },
    call: async (...call) => {
      printed.push(call)
      return { jobId: 'j' }
    },
  })
  t.teardown(() => one.close())
  const { svg } = (await one.harness.command('-', 'poster', { size: 'A6', language: 'en' })) as { svg: string }
  t.match(svg, /width="105mm" height="148mm"/)
  t.match(svg, /Lotus &lt;Tea&gt;/)
  t.match(svg, /Password: tea;time:8/)
  t.match(await one.harness.command('-', 'poster', { printer: 'receipt' }), { printed: { jobId: 'j' } })
  const [[plugin, device, command, args]] = printed as [[string, string, string, { receipt: string }]]
  t.same([plugin, device, command], ['printer', 'receipt', 'print'])
  // What the receipt library takes the symbol to hold, through all its escapes.
  const held: string[] = []
  const printer = {
    ...commands.escpos,
    qrcode: (symbol: { data: string }) => {
      held.push(symbol.data)
      return ''
    },
  }
  transform(args.receipt, { cpl: 48, encoding: 'gb18030', command: printer } as never)
  t.same(held, ['WIFI:T:WPA;S:Lotus|{Guest};P:tea\\;time\\:8;;'])
  const bare = await Shop.open()
  t.teardown(() => bare.close())
  await t.rejects(bare.harness.command('-', 'poster'), { code: 'args-invalid', message: /ssid/ })
})
