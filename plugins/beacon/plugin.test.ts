/** The real plugin against the simulated controller over real TCP: a shop's stories. */
import { once } from 'node:events'
import { createServer } from 'node:net'
import t from 'tap'
import type { JsonObject } from '../../daemon/contract/json.ts'
import { proximityKey } from './frames/frames.ts'
import { ibeaconPayload } from './frames/payload.ts'
import { OPCODE } from './hci/packets.ts'
import type { SimulatedController } from './simulator/controller.ts'
import { loadScene, readScene, SCENE_NAMES } from './simulator/scene.ts'
import simulate from './simulator.ts'
import { type Shop, shop, UUID } from './testing.ts'

t.jobs = 8

const BEACONS = {
  shelf: { kind: 'fixed', uuid: UUID, major: 1, minor: 1, zone: 'aisle 3' },
  badge: { kind: 'staff', uuid: UUID, major: 2, minor: 1 },
  vip: { kind: 'member', uuid: UUID, major: 3, minor: 7, member: '13800138000' },
  cart: { kind: 'cart', namespace: '00112233445566778899', instance: '0a0b0c0d0e0f' },
}
const STORE = { uuid: UUID, major: 10, minor: 7, power: -59, intervalMs: 100 }
/** As the experiments on a bare socket wrote it. */
const STORE_BYTES = '0201061aff4c000215fda50693a4e24fb1afcfc6eb07647825000a0007c5'

/** A departure is soon told, and that nothing at all is heard in these tests is no fault of the adapter's. */
const SOON = { leaveSeconds: 6, watchdogSeconds: 60 }

/** Sends like a beacon until told to stop. */
function sends(controller: SimulatedController, major: number, minor: number, rssi = -60, everyMs = 60): () => void {
  const payload = ibeaconPayload({ uuid: UUID, major, minor, power: -59, intervalMs: 100 })
  const address = `c0:ff:ee:00:${major.toString(16).padStart(2, '0')}:${minor.toString(16).padStart(2, '0')}`
  const timer = setInterval(() => controller.hear({ address, payload, rssi }), everyMs)
  timer.unref()
  return () => clearInterval(timer)
}

const online = ({ harness }: Shop): Promise<void> => harness.until(() => harness.state('-')?.state === 'online', 'the adapter to be online')
const everything = ({ harness }: Shop): string => JSON.stringify([harness.events, harness.states, harness.logs, [...harness.store]])

t.test('a staff badge comes and goes: events, and the visit they feed', async (t) => {
  const one = await shop(t, { beacons: BEACONS, ...SOON })
  await online(one)
  const leave = sends(one.controller, 2, 1)
  await one.harness.until(() => one.events('present').length === 1, 'the badge to enter')
  const [entered] = one.events('entered')
  t.match(entered, { name: 'badge', kind: 'staff', uuid: UUID.toLowerCase(), major: 2, minor: 1, rssi: -60 })
  t.ok(Number(entered?.distance) > 0.8 && Number(entered?.distance) < 1.5, `${entered?.distance} m`)
  leave()
  await one.harness.until(() => one.events('absent').length === 1, 'the badge to leave')
  t.match(one.events('left'), [{ name: 'badge', major: 2 }])
  t.match(one.events('present'), [{ by: 'beacon', role: 'staff', visitor: /^[\w-]{22}$/ }])
  t.equal(one.events('absent')[0]?.visitor, one.events('present')[0]?.visitor)
  t.ok(Date.parse(String(one.events('absent')[0]?.lastSeen)) <= Date.parse(String(one.harness.events.at(-1)?.time)))
})

t.test('a member’s number leaves as a pseudonym only, the same one as everywhere', async (t) => {
  const one = await shop(t, { beacons: BEACONS })
  await online(one)
  t.teardown(sends(one.controller, 3, 7))
  await one.harness.until(() => one.events('present').length === 1, 'the member to come')
  t.match(one.events('present'), [{ role: 'member', visitor: /^[\w-]{22}$/ }])
  t.notMatch(everything(one), '13800138000')
  t.notMatch(JSON.stringify(await one.harness.command('-', 'status')), '13800138000')
})

t.test('whoever is no registered beacon leaves no trace but a number', async (t) => {
  const one = await shop(t, { beacons: BEACONS })
  await online(one)
  for (let phone = 0; phone < 200; phone++) {
    const address = `7a:bb:cc:dd:${(phone >> 8).toString(16).padStart(2, '0')}:${(phone & 255).toString(16).padStart(2, '0')}`
    for (let again = 0; again < 4; again++)
      one.controller.hear({ address, payload: Buffer.from('02011a0aff4c001005031c5a8d21', 'hex'), rssi: -70 })
  }
  const seen = async (): Promise<number> =>
    ((await one.harness.command('-', 'status')) as { others: { addresses: number } }).others.addresses
  let counted = await seen()
  for (let looks = 0; counted < 180 && looks < 3_000; looks++) {
    await new Promise((resolve) => setTimeout(resolve, 20))
    counted = await seen()
  }
  t.ok(counted >= 180 && counted <= 220, `200 phones were taken for ${counted}`)
  t.same(one.harness.events, [])
  t.notMatch(everything(one), /7a:?bb:?cc/i)
})

t.test('unknown beacons are reported where that is asked for, and no more than can be followed', async (t) => {
  const one = await shop(t, { unknown: 'report', enter: { sightings: 2 } })
  await online(one)
  for (let minor = 0; minor < 400; minor++)
    for (let again = 0; again < 3; again++)
      one.controller.hear({ address: 'c0:ff:ee:00:00:01', payload: ibeaconPayload({ ...STORE, major: 99, minor }), rssi: -60 })
  await one.harness.until(() => one.events('entered').length >= 256, 'them to be reported')
  t.match(one.events('entered')[0], { kind: 'unknown', uuid: UUID.toLowerCase(), major: 99 })
  t.equal(one.events('entered').length, 256)
  t.same(one.events('present'), [], 'they are nobody')
})

t.test('a silent shelf beacon is told once, and once that it is back; its telemetry comes along', async (t) => {
  const beacons = {
    shelf: { kind: 'fixed', namespace: '00112233445566778899', instance: '0a0b0c0d0e0f', zone: 'aisle 3', silentSeconds: 10 },
  }
  const one = await shop(t, { beacons })
  await online(one)
  const other = sends(one.controller, 9, 9)
  const address = 'c0:ff:ee:00:00:09'
  const uid = Buffer.from('0201060303aafe1516aafe00e7001122334455667788990a0b0c0d0e0f', 'hex')
  const low = Buffer.from('0201060303aafe1116aafe2000089817000000000100000064', 'hex')
  one.controller.hear({ address, payload: uid, rssi: -60 })
  one.controller.hear({ address, payload: low, rssi: -60 })
  await one.harness.until(() => one.events('health').length === 2, 'low battery and silence')
  one.controller.hear({ address, payload: uid, rssi: -60 })
  await one.harness.until(() => one.events('health').length === 3, 'it to be back')
  other()
  t.match(one.events('health'), [
    { name: 'shelf', status: 'low-battery', batteryMv: 2200, celsius: 23 },
    { name: 'shelf', status: 'silent', zone: 'aisle 3', namespace: '00112233445566778899' },
    { name: 'shelf', status: 'back', rssi: -60 },
  ])
  t.same(one.events('entered'), [], 'furniture does not come and go')
})

t.test('the store is broadcast while the scan goes on', async (t) => {
  const one = await shop(t, { beacons: BEACONS, broadcast: { preset: 'wechat', major: 10, minor: 7 } })
  await one.harness.until(() => one.harness.state('-')?.detail === 'broadcasting', 'the broadcast')
  const { state } = one.controller
  t.equal(state.advertisingData.toString('hex'), STORE_BYTES)
  t.equal(state.advertisingParameters.toString('hex'), 'a000a0000300000000000000000700')
  t.ok(state.advertising && state.scanning)
  t.teardown(sends(one.controller, 2, 1))
  await one.harness.until(() => one.events('entered').length === 1, 'it hears all the same')
})

t.test('HQ changes the store’s numbers: the broadcast follows, the scan is not disturbed, nobody leaves', async (t) => {
  // The watchdog starts the scan again after a silence: not in this story, however slow the machine is.
  const base = { beacons: BEACONS, broadcast: { uuid: UUID, major: 10, minor: 7 }, watchdogSeconds: 3_600 }
  const one = await shop(t, base)
  await one.harness.until(() => one.harness.state('-')?.detail === 'broadcasting', 'the broadcast')
  t.teardown(sends(one.controller, 2, 1))
  await one.harness.until(() => one.events('present').length === 1, 'the badge')
  const scans = one.controller.commands.filter(({ opcode }) => opcode === OPCODE.leSetScanEnable).length
  const adapter = ((await one.harness.command('-', 'status')) as { adapter: string }).adapter
  await one.harness.configure({ ...base, adapter, leaveSeconds: 60, broadcast: { uuid: UUID, major: 500, minor: 2, intervalMs: 200 } })
  await one.harness.until(
    () => one.controller.state.advertisingData.toString('hex').includes('01f40002c5') && one.controller.state.advertising,
    'the new one',
  )
  t.equal(one.controller.state.advertisingParameters.readUInt16LE(0), 320)
  t.equal(one.controller.commands.filter(({ opcode }) => opcode === OPCODE.leSetScanEnable).length, scans)
  t.same(one.events('left'), [])
  t.equal(one.events('entered').length, 1)
})

t.test('a changed list of beacons is taken in place: who stays in it stays, who goes from it leaves', async (t) => {
  const one = await shop(t, { beacons: BEACONS })
  await online(one)
  t.teardown(sends(one.controller, 2, 1))
  t.teardown(sends(one.controller, 3, 7))
  await one.harness.until(() => one.events('present').length === 2, 'both')
  const { adapter } = (await one.harness.command('-', 'status')) as { adapter: string }
  const { vip: _, ...rest } = BEACONS
  await one.harness.configure({
    adapter,
    beacons: { ...rest, badge: { ...BEACONS.badge, p1m: -65 }, trolley: { kind: 'cart', uuid: UUID, major: 4, minor: 1 } },
  })
  t.teardown(sends(one.controller, 4, 1))
  await one.harness.until(() => one.events('entered').length === 3 && one.events('absent').length === 1, 'the trolley')
  t.match(one.events('left'), [{ name: 'vip' }])
  await t.rejects(one.harness.configure({ adapter, beacons: { a: BEACONS.badge, b: BEACONS.badge } }), {
    code: 'config-invalid',
    message: 'plugins.beacon.beacons.b is the same beacon as a',
  })
  await t.rejects(one.harness.configure({ adapter, beacons: { a: { kind: 'tag' } } }), {
    message: /must be told apart by uuid, major and minor/,
  })
  t.match(await one.harness.command('-', 'status'), { inside: ['badge', 'trolley'] }, 'a refused config changes nothing')
})

t.test('a tag is given to another member while it is here: the visit ends for whom it began, and the other’s begins', async (t) => {
  const store = new Map<string, never>()
  const one = await shop(t, { beacons: BEACONS }, { store })
  await online(one)
  t.teardown(sends(one.controller, 3, 7))
  await one.harness.until(() => one.events('present').length === 1, 'the first')
  const { adapter } = (await one.harness.command('-', 'status')) as { adapter: string }
  const beacons = { ...BEACONS, vip: { ...BEACONS.vip, member: '13900139000' } }
  await one.harness.configure({ adapter, beacons: { ...BEACONS, vip: { ...BEACONS.vip, zone: 'till' } } })
  t.same(one.events('absent'), [], 'another zone is no other visitor')
  await one.harness.configure({ adapter, beacons })
  await one.harness.until(() => one.events('present').length === 2, 'the second')
  await one.harness.configure({ adapter, beacons: { ...beacons, vip: { ...BEACONS.vip, kind: 'fixed', member: '13900139000' } } })
  await one.harness.until(() => one.events('absent').length === 2, 'a tag that is nobody’s any more')
  const visitors = (event: string) => one.events(event).map(({ visitor }) => visitor)
  t.same(visitors('absent'), visitors('present'))
  t.equal(new Set(visitors('present')).size, 2)
  t.notMatch(everything(one), /13[89]00/)
})

t.test('a tag was given to another member while the gateway was off: the visit ends for whom it began', async (t) => {
  const store = new Map<string, never>()
  const one = await shop(t, { beacons: BEACONS }, { store })
  await online(one)
  t.teardown(sends(one.controller, 3, 7))
  await one.harness.until(() => one.events('present').length === 1, 'the first')
  await one.harness.stop()
  const two = await shop(t, { beacons: { ...BEACONS, vip: { ...BEACONS.vip, member: '13900139000' } } }, { store })
  await two.harness.until(() => two.events('present').length === 1, 'the second')
  t.equal(two.events('absent')[0]?.visitor, one.events('present')[0]?.visitor)
  t.not(two.events('present')[0]?.visitor, one.events('present')[0]?.visitor)
})

t.test('an old adapter that cannot do both at once does them by turns', async (t) => {
  const one = await shop(
    t,
    { beacons: BEACONS, broadcast: { preset: 'wechat', major: 10, minor: 7 } },
    {
      prepare: ({ faults }) => {
        faults.refusesAdvertisingWhileScanning = true
      },
    },
  )
  await one.harness.until(() => one.harness.state('-')?.detail === 'time-slicing', 'turns')
  const turns: string[] = []
  const look = setInterval(() => {
    const { advertising, scanning } = one.controller.state
    const now = advertising ? 'sends' : scanning ? 'hears' : ''
    if (advertising && scanning) turns.push('both')
    else if (now !== '' && turns.at(-1) !== now) turns.push(now)
  }, 5)
  t.teardown(() => clearInterval(look))
  t.teardown(sends(one.controller, 2, 1))
  await one.harness.until(
    () => turns.filter((turn) => turn === 'sends').length >= 2 && one.events('entered').length === 1,
    'two turns and a badge',
  )
  t.notOk(turns.includes('both'))
  t.ok(turns.includes('hears'))
  await one.harness.command('-', 'broadcast', { on: false })
  await one.harness.until(() => one.controller.state.scanning && !one.controller.state.advertising, 'only hearing')
})

t.test('a broadcast that the adapter refuses is a fault that says so, and hearing goes on', async (t) => {
  const one = await shop(
    t,
    { beacons: BEACONS, broadcast: { preset: 'wechat', major: 10, minor: 7 } },
    {
      prepare: ({ faults }) => {
        faults.statuses[OPCODE.leSetAdvertisingParameters] = 0x12
      },
    },
  )
  await one.harness.until(() => one.harness.state('-')?.detail === 'broadcast-failed', 'the fault')
  t.match(await one.harness.command('-', 'status'), { broadcast: { mode: 'failed', detail: 'refused 0x12' } })
  t.teardown(sends(one.controller, 2, 1))
  await one.harness.until(() => one.events('entered').length === 1, 'the badge')
  one.controller.faults.statuses = {}
  await one.harness.until(() => one.harness.state('-')?.detail === 'broadcasting', 'it to be tried again')
})

t.test(
  'another program has used extended commands, so that ours are refused until a reset: it is reset, and the store is on the air',
  async (t) => {
    const one = await shop(
      t,
      { beacons: BEACONS, broadcast: { preset: 'wechat', major: 10, minor: 7 } },
      {
        prepare: (controller) => {
          let reset = false
          controller.behave((opcode) => {
            if (opcode === OPCODE.reset) reset = true
            return opcode === OPCODE.leSetAdvertisingParameters && !reset ? { status: 0x0c } : undefined
          })
        },
      },
    )
    await one.harness.until(() => one.harness.state('-')?.detail === 'broadcasting', 'the broadcast')
    t.ok(one.controller.state.advertising && one.controller.state.scanning)
    t.notOk(
      one.harness.states.some(({ state }) => state === 'fault'),
      'and it was no fault',
    )
  },
)

t.test('one that always refuses is reset once and then reported, not reset over and over', async (t) => {
  const one = await shop(
    t,
    { beacons: BEACONS, broadcast: { preset: 'wechat', major: 10, minor: 7 } },
    {
      prepare: ({ faults }) => {
        faults.refusesAdvertising = true
      },
    },
  )
  await one.harness.until(() => one.harness.state('-')?.detail === 'broadcast-failed', 'the fault')
  // At once: ten seconds later it is tried again, and may be reset again.
  t.equal(one.controller.commands.filter(({ opcode }) => opcode === OPCODE.reset).length, 1)
  t.match(await one.harness.command('-', 'status'), { broadcast: { mode: 'failed', detail: 'refused 0x0c' } })
  await one.harness.until(() => one.controller.state.scanning, 'hearing to go on')
})

t.test(
  'the plugin was killed while the store was on the air, and the broadcast has gone from the config: it goes off the air',
  async (t) => {
    let left = false
    const one = await shop(
      t,
      { beacons: BEACONS },
      {
        prepare: (controller) =>
          controller.behave((opcode) => {
            // The stand-in starts anew with each connection: what was on the air before is so from the first scan on.
            if (opcode === OPCODE.leSetScanEnable && !left) left = controller.state.advertising = true
            return undefined
          }),
      },
    )
    await one.harness.until(() => one.harness.state('-')?.state === 'online' && left && !one.controller.state.advertising, 'quiet')
    const offs = one.controller.commands.filter(({ opcode }) => opcode === OPCODE.leSetAdvertisingEnable)
    t.same(
      offs.map(({ parameters }) => [...parameters]),
      [[0]],
      'told once to be quiet',
    )
    t.match(await one.harness.command('-', 'status'), { broadcast: { mode: 'off' } })
    t.notOk(one.harness.states.some(({ state }) => state === 'fault'))
  },
)

t.test('the broadcast is turned off and on by command, and comes back after another program or the adapter itself ended it', async (t) => {
  const store = new Map<string, never>()
  const one = await shop(t, { broadcast: { preset: 'wechat', major: 10, minor: 7 } }, { store })
  await one.harness.until(() => one.harness.state('-')?.detail === 'broadcasting', 'the broadcast')
  one.controller.otherTurnsAdvertisingOff()
  await one.harness.until(() => one.controller.state.advertising, 'it is taken back')
  one.controller.resetItself()
  await one.harness.until(() => one.controller.state.advertising && one.controller.state.scanning, 'it survives a reset')
  await one.harness.command('-', 'broadcast', { on: false })
  await one.harness.until(() => !one.controller.state.advertising && one.harness.state('-')?.detail === undefined, 'off')
  t.match(await one.harness.command('-', 'status'), { broadcast: { mode: 'off' } })
  t.equal(store.get('broadcast-off'), true, 'a restart will not turn it on')
  await one.harness.command('-', 'broadcast', { on: true })
  await one.harness.until(() => one.controller.state.advertising, 'on')
  const quiet = await shop(t, {})
  await t.rejects(quiet.harness.command('-', 'broadcast', { on: true }), { code: 'device-unsupported' })
})

t.test('no adapter at the start is no drama; plugged in, it is used; pulled and put back, nobody has left', async (t) => {
  const one = await shop(t, { beacons: BEACONS, leaveSeconds: 10 }, { plugged: false })
  await one.harness.until(() => one.harness.state('-')?.detail === 'no-adapter', 'the state')
  t.match(one.harness.state('-'), { state: 'offline' })
  await one.simulator.plug()
  await online(one)
  t.teardown(sends(one.controller, 2, 1))
  await one.harness.until(() => one.events('present').length === 1, 'the badge')
  await one.simulator.unplug()
  await one.harness.until(() => one.harness.state('-')?.state === 'offline', 'it to be noticed')
  await one.simulator.plug()
  await online(one)
  t.same(one.events('left'), [])
  t.ok(one.harness.logs.length <= 6, JSON.stringify(one.harness.logs.map(({ message }) => message)))
})

t.test('an adapter that goes silent is reported, and well again when it reports', async (t) => {
  const one = await shop(t, { beacons: BEACONS, watchdogSeconds: 1 })
  await online(one)
  t.teardown(sends(one.controller, 2, 1))
  await one.harness.until(() => one.events('entered').length === 1, 'the badge')
  one.controller.faults.silent = true
  await one.harness.until(() => one.harness.state('-')?.detail === 'adapter-silent', 'the fault')
  t.match(one.harness.state('-'), { state: 'fault' })
  t.ok(
    one.controller.commands.some(({ opcode }) => opcode === OPCODE.reset),
    'after a reset',
  )
  one.controller.faults.silent = false
  await online(one)
  t.same(one.events('left'), [])
})

t.test('something else than a controller answers: told, and the plugin lives', async (t) => {
  const server = createServer((socket) => {
    socket.on('error', () => {})
    socket.write('SSH-2.0-OpenSSH_9.2p1\r\n')
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const { port } = server.address() as { port: number }
  const one = await shop(t, { adapter: `sim://127.0.0.1:${port}`, beacons: BEACONS })
  await one.harness.until(() => /unplugged|adapter-silent/.test(one.harness.state('-')?.detail ?? ''), 'the state')
  t.match(await one.harness.command('-', 'status'), { state: /offline|fault/ })
})

t.test('the gateway restarts: who was here is not announced again, who left meanwhile is told to have left', async (t) => {
  const store = new Map<string, never>()
  const before = await shop(t, { beacons: BEACONS }, { store })
  await online(before)
  const stops = [sends(before.controller, 2, 1), sends(before.controller, 3, 7)]
  await before.harness.until(() => before.events('present').length === 2, 'both')
  await before.harness.stop()
  for (const stop of stops) stop()
  t.same(before.events('left'), [], 'a stop is nobody’s departure')
  const after = await shop(t, { beacons: BEACONS, ...SOON, zones: [{ name: 'floor', within: 50 }] }, { store, plugged: false })
  await after.harness.until(() => after.harness.state('-')?.detail === 'no-adapter', 'the adapter to be late')
  t.teardown(sends(after.controller, 2, 1))
  await after.simulator.plug()
  await online(after)
  await after.harness.until(() => after.events('absent').length === 1, 'the member to be missed')
  t.match(after.events('left'), [{ name: 'vip' }])
  t.same(after.events('entered'), [])
})

t.test('the power was off all night: a badge that is not back in the morning left when it was last seen', async (t) => {
  const key = Buffer.from(proximityKey(UUID, 2, 1), 'latin1').toString('hex')
  const store = new Map([['inside', [{ key, seen: '2026-01-05T21:58:00.000Z' }] as never]])
  const one = await shop(t, { beacons: BEACONS, leaveSeconds: 5 }, { store })
  await online(one)
  t.teardown(sends(one.controller, 3, 7))
  await one.harness.until(() => one.events('absent').length === 1, 'it to be missed')
  t.match(one.events('absent'), [{ lastSeen: '2026-01-05T21:58:00.000Z' }])
  await one.harness.until(() => one.events('present').length === 1, 'a member')
  await one.harness.stop()
  t.match(store.get('inside'), [{ seen: /^20/ }], 'and what a stop leaves behind says when')
})

t.test('HQ names another adapter: the one before is not the store any more', async (t) => {
  const broadcast = { preset: 'wechat', major: 10, minor: 7 }
  const [one, other] = [await shop(t, { broadcast }), await shop(t)]
  await one.harness.until(() => one.controller.state.advertising, 'the broadcast')
  const { adapter } = (await other.harness.command('-', 'status')) as { adapter: string }
  await other.harness.stop()
  await one.harness.configure({ adapter, broadcast })
  await one.harness.until(() => other.controller.state.advertising, 'the broadcast on the other adapter')
  t.notOk(one.controller.state.advertising)
})

t.test('the doctor asks: the adapter, the shelf beacons, and what mends them', async (t) => {
  const one = await shop(t, { beacons: BEACONS })
  await online(one)
  t.match(await one.harness.command('-', 'self-check'), { findings: [{ state: 'ok', fact: /fixed beacons/ }] })
  await one.simulator.unplug()
  await one.harness.until(() => one.harness.state('-')?.state !== 'online', 'the loss to be seen')
  const { findings } = (await one.harness.command('-', 'self-check')) as { findings: JsonObject[] }
  t.match(findings[0], { state: 'fail', fact: /unplugged|no-adapter/, fix: /\S/ })
})

t.test('set-up: what is near, and what a beacon is at one metre', async (t) => {
  const one = await shop(t, { beacons: BEACONS })
  await t.rejects(one.harness.command('-', 'calibrate', { name: 'nobody', seconds: 3 }), {
    code: 'args-invalid',
    message: /shelf, badge, vip, cart/,
  })
  await online(one)
  t.teardown(sends(one.controller, 2, 1, -64))
  t.teardown(sends(one.controller, 8, 8, -71))
  // Ten readings in as long as a slow machine may need for them.
  const [near, level] = await Promise.all([
    one.harness.command('-', 'nearby', { seconds: 15 }),
    one.harness.command('-', 'calibrate', { name: 'badge', seconds: 15 }),
  ])
  const { beacons } = near as { beacons: JsonObject[] }
  t.match(beacons, [
    { name: 'badge', kind: 'staff', major: 2, frames: ['ibeacon'], rssi: -64 },
    { major: 8, minor: 8, rssi: -71, power: -59 },
  ])
  t.match(level, { name: 'badge', p1m: -64, spread: 0 })
  await t.rejects(one.harness.command('-', 'calibrate', { name: 'shelf', seconds: 3 }), {
    code: 'device-offline',
    message: /heard 0 times/,
  })
})

t.test('the disk is full for a while: nothing is lost, and the order stays', async (t) => {
  const one = await shop(t, { beacons: BEACONS, ...SOON })
  await online(one)
  one.harness.hold()
  const leave = sends(one.controller, 2, 1)
  await one.harness.until(() => one.controller.reports > 10, 'sightings')
  leave()
  one.harness.resume()
  await one.harness.until(() => one.events('absent').length === 1, 'all of it')
  t.same(
    one.harness.events.map(({ event }) => event),
    ['entered', 'present', 'left', 'absent'],
  )
})

t.test('every scene that ships can be played, and a wrong one is told where it is wrong', async (t) => {
  for (const name of SCENE_NAMES) t.ok(loadScene(name).beacons.length > 0, name)
  t.throws(() => readScene({ adapter: [{ fault: 'tired' }] }, 'x'), { message: /^x: adapter\[0\]\.fault: "tired" is none of / })
  t.throws(() => readScene({ beacons: [{ uuid: UUID, every: 'often' }] }, 'x'), { message: /must be a time like 500ms/ })
  t.throws(() => readScene({ beakons: [] }, 'x'), { message: /unknown key "beakons"; allowed: / })
  const lines: string[] = []
  t.equal(await simulate(['--listen', 'nowhere'], (line) => lines.push(line), new AbortController().signal), 2)
  t.match(lines.join('\n'), /HOST:PORT[\s\S]*usage: shopwire sim beacon/)
})
