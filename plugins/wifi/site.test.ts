/** The air around the shop: surveys, impostors, when to look. */
import t from 'tap'
import { newReading, type Reading, readingMachine } from './reading.machine.ts'
import { hex, type Scene } from './simulator.ts'
import { type ImpostorPolicy, impostorMachine, newImpostors, type ShopNetwork, type Sighting } from './site/impostor.machine.ts'
import { untilNext } from './site/schedule.ts'
import { type Heard, survey } from './site/survey.ts'
import { hexOf, lookOf } from './ssid.ts'
import { hurried, OFFICE, shop } from './testing.ts'

const heard = (channel: number, signal: number, bssid = `aa:aa:aa:00:00:${String(channel).padStart(2, '0')}`): Heard => ({
  ssid: hexOf('x'),
  bssid,
  channel,
  frequency: channel < 15 ? 2_407 + 5 * channel : 5_000 + 5 * channel,
  signal,
  security: 'WPA2',
})

t.test('a survey by hand: what overlaps counts by its share and its strength', async (t) => {
  // 1: one as in the same room; 3 reaches into 1 and 6; 11: a faint one.
  const made = survey([heard(1, -50), heard(3, -72.5), heard(11, -90.5)])
  const load = (channel: number) => made.channels.find((one) => one.channel === channel)
  t.match(load(1), { band: '2.4', accessPoints: 1, overlapping: 1, strongest: -50, load: 1.27 }, '1 + (1 - 10/22) * 0.5')
  t.match(load(6), { accessPoints: 0, overlapping: 1, strongest: -72.5, load: 0.16 }, '(1 - 15/22) * 0.5')
  t.match(load(11), { accessPoints: 1, overlapping: 0, load: 0.1 })
  t.same(made.suggestion, { '2.4': 11 })
  t.same([made.accessPoints, made.networks], [3, 1])
})

t.test("the shop's own access points are no load to themselves, and moving must be worth it", async (t) => {
  const own = new Set(['d8:47:32:00:00:01'])
  t.same(survey([heard(6, -40, 'd8:47:32:00:00:01'), heard(1, -80)], own).suggestion, { '2.4': 6 })
  t.same(survey([heard(6, -40, 'd8:47:32:00:00:01'), heard(6, -80)], own).suggestion, { '2.4': 6 }, 'a faint neighbour is no reason')
  const crowd = [1, 2, 3].map((one) => heard(6, -50, `aa:aa:aa:00:01:0${one}`))
  t.same(survey([heard(6, -40, 'd8:47:32:00:00:01'), ...crowd], own).suggestion, { '2.4': 1 })
  t.same(survey([heard(36, -50), heard(52, -90)]).suggestion, { '5': 40 }, 'not one that needs radar detection')
  t.same(survey([]), { accessPoints: 0, networks: 0, channels: survey([]).channels, suggestion: {} })
})

const GUEST: ShopNetwork = {
  ssid: hexOf('Shop Guest'),
  look: lookOf(hexOf('Shop Guest')),
  bssids: ['d8:47:32', '60:e3:27:00:00:21'],
  security: 'wpa2',
}
const POLICY: ImpostorPolicy = { shops: [GUEST], goneMs: 1_800_000, confirmMs: 20_000 }
const sighting = (name: string, bssid: string, security = 'WPA2'): Sighting => ({
  ssid: hexOf(name),
  look: lookOf(hexOf(name)),
  bssid,
  channel: 6,
  signal: -60,
  security,
})

t.test('an impostor: seen twice it is reported, once, and again when it comes back another day', async (t) => {
  const state = newImpostors(POLICY)
  const scan = (now: number, ...points: Sighting[]) => impostorMachine.step(state, { kind: 'scan', points, now })
  const evil = sighting('Shop Guest', '66:66:66:00:00:01')
  t.same(scan(0, evil), [{ kind: 'confirm', ms: 20_000 }])
  t.same(scan(20_000, evil), [{ kind: 'report', point: evil, reason: 'unknown-bssid' }])
  for (let now = 40_000; now < 1_000_000; now += 20_000) t.same(scan(now, ...(now % 100_000 < 50_000 ? [evil] : [])), [])
  t.same(scan(3_000_000, evil), [{ kind: 'confirm', ms: 20_000 }])
  t.same(
    scan(3_020_000, evil).map(({ kind }) => kind),
    ['report'],
  )
  impostorMachine.step(state, { kind: 'not-reported', point: evil })
  t.same(
    scan(3_040_000, evil).map(({ kind }) => kind),
    ['report'],
    'the disk was full: once more',
  )
})

t.test('the shop’s own mesh, repeaters and guests’ networks make their addresses from the access point’s: no alarm', async (t) => {
  const state = newImpostors(POLICY)
  const scan = (now: number, ...points: Sighting[]) => impostorMachine.step(state, { kind: 'scan', points, now })
  const own = ['da:47:32:00:00:01', 'de:47:32:00:00:03', 'e2:47:32:00:00:09'].map((bssid) => sighting('Shop Guest', bssid))
  for (let now = 0; now < 100_000; now += 20_000) t.same(scan(now, ...own), [])
  const foreign = [sighting('Shop Guest', 'd9:47:32:00:00:01'), sighting('Shop Guest', '62:e3:27:00:00:21')]
  scan(100_000, ...foreign)
  t.same(
    scan(120_000, ...foreign).map(({ kind }) => kind),
    ['report', 'report'],
    'another maker, and what is derived from a single address given whole, are told',
  )
})

t.test('one glimpse, or one every other scan, is no impostor', async (t) => {
  const state = newImpostors(POLICY)
  const evil = sighting('Shop Guest', '66:66:66:00:00:01')
  for (let scan = 0; scan < 20; scan++) {
    const effects = impostorMachine.step(state, { kind: 'scan', points: scan % 2 === 0 ? [evil] : [], now: scan * 20_000 })
    t.notOk(effects.some(({ kind }) => kind === 'report'))
  }
})

t.test('who imitates, and who does not', async (t) => {
  const reason = (...points: Sighting[]) => {
    const state = newImpostors(POLICY)
    impostorMachine.step(state, { kind: 'scan', points, now: 0 })
    return impostorMachine.step(state, { kind: 'scan', points, now: 1 }).flatMap((one) => (one.kind === 'report' ? [one.reason] : []))
  }
  t.same(
    reason(sighting('Shop Guest', 'd8:47:32:00:00:02'), sighting('Shop Guest', '60:e3:27:00:00:21')),
    [],
    'its own, by maker and by address',
  )
  t.same(reason(sighting('Shop Guest', '60:e3:27:00:00:22')), ['unknown-bssid'])
  t.same(reason(sighting('Shop Guest', 'd8:47:32:00:00:02', 'none')), ['weaker-security'], 'the address is copied, the key is not')
  t.same(reason(sighting('shop_guest', '66:66:66:00:00:01', 'none')), ['look-alike'])
  t.same(reason(sighting('Ｓhop Guest\u200b', '66:66:66:00:00:01')), ['look-alike'])
  t.same(reason(sighting('Shop Guests', '66:66:66:00:00:01'), sighting('', '66:66:66:00:00:02')), [], 'other names')
  const unsaid = newImpostors({ ...POLICY, shops: [{ ssid: GUEST.ssid, look: GUEST.look, bssids: GUEST.bssids }] })
  const mixed = [sighting('Shop Guest', 'd8:47:32:00:00:02', 'WPA2'), sighting('Shop Guest', 'd8:47:32:00:00:03', 'WPA2 WPA3')]
  t.same(impostorMachine.step(unsaid, { kind: 'scan', points: mixed, now: 0 }), [], 'WPA2 beside WPA3 is usual')
  const pair = [sighting('Shop Guest', 'd8:47:32:00:00:02', 'WPA2'), sighting('Shop Guest', 'd8:47:32:00:00:09', 'none')]
  impostorMachine.step(unsaid, { kind: 'scan', points: pair, now: 0 })
  t.match(impostorMachine.step(unsaid, { kind: 'scan', points: pair, now: 1 }), [
    { reason: 'weaker-security', point: { bssid: 'd8:47:32:00:00:09' } },
  ])
  t.same(
    reason(...Array.from({ length: 10_000 }, (_one, index) => sighting('Shop Guest', `66:66:${index}`))).length,
    64,
    'made-up addresses: bounded',
  )
})

t.test('when the next survey is due', async (t) => {
  const now = new Date(2026, 10, 25, 3, 30, 0)
  t.equal(untilNext({ schedule: 'off', at: '03:30' }, now), undefined)
  t.equal(untilNext({ schedule: 'daily', at: '04:00' }, now), 30 * 60_000)
  t.equal(untilNext({ schedule: 'daily', at: '03:30' }, now), 24 * 3_600_000, 'not the same minute twice')
  t.equal(untilNext({ schedule: 'hourly', at: '00:15' }, now), 45 * 60_000)
})

t.test('a signal that wobbles for a day writes next to nothing; one that really moves is told', async (t) => {
  const policy = { weakBelow: 30, moved: 15, settleMs: 60_000, restMs: 600_000 }
  const state = newReading(policy)
  const reading = (quality: number): Reading => ({
    ssid: 'aa',
    bssid: 'a',
    interface: 'wlan0',
    channel: 1,
    frequency: 2412,
    quality,
    signal: 0,
    security: 'WPA2',
  })
  const reports: string[] = []
  const feed = (now: number, quality: number) => {
    for (const effect of readingMachine.step(state, { kind: 'reading', reading: reading(quality), now }))
      reports.push(effect.kind === 'report' ? effect.change : `weak ${effect.on}`)
  }
  let now = 0
  let noise = 7
  for (; now < 86_400_000; now += 15_000) {
    noise = (noise * 1_103_515_245 + 12_345) % 2_147_483_648
    feed(now, 60 + (noise % 25) - 12)
  }
  t.same(reports, ['connected'])
  for (; now < 86_400_000 + 900_000; now += 15_000) feed(now, 20)
  t.same(reports, ['connected', 'weak true', 'signal'])
  for (let looks = 0; looks < 200; looks++, now += 15_000) feed(now, looks % 2 === 0 ? 28 : 34)
  t.same(reports.slice(3), [], 'no flapping around the limit')
})

t.test('the real plugin hears an impostor, and makes a survey', async (t) => {
  const evil: Scene['points'][number] = { ssid: hex('Shop Guest'), bssid: '66:66:66:00:00:01', channel: 1, quality: 80, security: '' }
  const { nmcli, harness, until, settled } = await shop(t, {
    networks: [OFFICE],
    watchSeconds: 1,
    shopSsids: [{ ssid: 'Shop Guest', bssids: ['D8:47:32'] }],
  })
  await settled()
  nmcli.change(({ points }) => void points.push(evil))
  await until(() => harness.events.some(({ event }) => event === 'impostor'), 'the report')
  t.match(harness.events.find(({ event }) => event === 'impostor')?.data, {
    ssid: 'Shop Guest',
    bssid: '66:66:66:00:00:01',
    signal: -60,
    channel: 1,
    security: 'none',
    reason: 'unknown-bssid',
  })
  const made = (await harness.command('-', 'survey')) as { accessPoints: number; suggestion: object }
  t.equal(made.accessPoints, nmcli.scene.points.length)
  t.match(made.suggestion, { '2.4': 11 })
  const { accessPoints } = (await harness.command('-', 'scan')) as { accessPoints: { ssid: string; signal: number }[] }
  t.match(accessPoints[0], { ssid: 'Shop Guest', bssid: '66:66:66:00:00:01', signal: -60 })
  t.equal(harness.events.filter(({ event }) => event === 'impostor').length, 1, 'once')
})

t.test('half past three at night: the survey goes to HQ, once', async (t) => {
  const clock = hurried(20)
  const evening = new Date(2026, 10, 24, 22, 0, 0).getTime() - clock.mono()
  const almost = new Date(2026, 10, 25, 3, 29, 50).getTime()
  let bedtime = false
  // The night is ten seconds before half past when the plugin first asks, however long it was in coming to that.
  let night: number | undefined
  const wall = () => {
    if (bedtime) night ??= almost - clock.mono()
    return ((night ?? evening) + clock.mono()) as ReturnType<typeof clock.wall>
  }
  const config = { pollSeconds: 60, networks: [OFFICE] }
  const { harness, until, settled } = await shop(t, config, () => {}, { ...clock, wall })
  // On its network, whose channel does not count against it.
  await settled()
  bedtime = true
  await harness.configure({ ...config, survey: { schedule: 'daily', at: '03:30' } })
  const surveys = () => harness.events.filter(({ event }) => event === 'survey')
  await until(() => surveys().length > 0, 'the survey')
  const found = surveys()[0]?.data as { suggestion: Record<string, number> }
  t.match(found, { accessPoints: 8, networks: 7, suggestion: { '2.4': 11, '5': 36 } })
  const after = clock.mono() + 60_000
  await until(() => clock.mono() > after, 'a while')
  t.equal(surveys().length, 1)
})
