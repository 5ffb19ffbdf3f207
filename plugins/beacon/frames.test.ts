/** Golden bytes and spoilt ones, through the sieve and the real noble to frames. */

import t from 'tap'
import { HandClock } from '../../daemon/testing/hand-clock.ts'
import { fc } from '../../daemon/testing/property.ts'
import { beaconKey, eddystoneKey, type Frame, framesOf, powerOf, proximityKey, urlKey } from './frames/frames.ts'
import { ibeaconPayload, WECHAT_UUID } from './frames/payload.ts'
import { fuzz } from './fuzz.ts'
import { GOLDEN, OTHERS } from './golden.ts'
import { H4Stream } from './hci/h4.ts'
import { report } from './simulator/controller.ts'
import { ear } from './testing.ts'

t.test('golden packets come out of noble as the frames they are', async (t) => {
  const heard: { address: string; rssi: number; frames: Frame[] }[] = []
  const { controller, close, counts } = await ear(new HandClock(), ({ address, rssi, advertisement }) =>
    heard.push({ address, rssi, frames: framesOf(advertisement) }),
  )
  t.teardown(close)
  for (const { packet } of GOLDEN) controller.send(Buffer.from(packet, 'hex'))
  t.same(
    heard,
    GOLDEN.map(({ address, rssi, frames }) => ({ address, rssi, frames })),
  )
  t.same(counts, { others: 0, malformed: 0, thrown: 0 })
})

t.test('phones and wristbands are counted and never shown to noble', async (t) => {
  const heard: string[] = []
  const { controller, close, counts } = await ear(new HandClock(), ({ address }) => heard.push(address))
  t.teardown(close)
  for (const { packet } of OTHERS) controller.send(Buffer.from(packet, 'hex'))
  t.same(heard, [])
  t.equal(counts.others, OTHERS.length)
})

t.test('several reports in one event are told apart', async (t) => {
  const heard: number[] = []
  const { controller, close, counts } = await ear(new HandClock(), ({ rssi }) => heard.push(rssi))
  t.teardown(close)
  const beacon = report({ address: 'c0:ff:ee:00:00:01', payload: payloadOf(10, 7), rssi: -50 }).subarray(5)
  const phone = Buffer.from(OTHERS[0]?.packet ?? '', 'hex').subarray(5)
  const other = report({ address: 'c0:ff:ee:00:00:02', payload: payloadOf(10, 8), rssi: -70 }).subarray(5)
  const body = Buffer.concat([beacon, phone, other])
  controller.send(Buffer.concat([Buffer.from([4, 0x3e, body.length + 2, 2, 3]), body]))
  t.same(heard, [-50, -70])
  t.equal(counts.others, 1)
})

t.test('an extended report of a legacy beacon is heard as well', async (t) => {
  const heard: Frame[][] = []
  const { controller, close } = await ear(new HandClock(), ({ advertisement }) => heard.push(framesOf(advertisement)))
  t.teardown(close)
  // 7.7.65.13: event type 0x0010 (legacy, non-connectable), random address, 1M, no secondary PHY, no SID, no tx power, -60 dBm.
  const head = '043e38' + '0d01' + '1000' + '01' + '010000eeffc0' + '0100' + 'ff7f' + 'c4' + '0000' + '00' + '000000000000' + '1e'
  controller.send(Buffer.from(`${head}0201061aff4c000215fda50693a4e24fb1afcfc6eb07647825000a0007c5`, 'hex'))
  t.same(heard, [[{ kind: 'ibeacon', uuid: WECHAT_UUID.toLowerCase(), major: 10, minor: 7, power: -59 }]])
})

t.test('a beacon that sends iBeacon and Eddystone by turns is one sighting a frame', async (t) => {
  const keys: (string | undefined)[] = []
  const { controller, close } = await ear(new HandClock(), ({ advertisement }) => keys.push(beaconKey(advertisement)))
  t.teardown(close)
  const address = 'c0:ff:ee:00:00:01'
  const url = Buffer.from('0201060303aafe1616aafe10ee037275752e76692f23416a7759414d4663', 'hex')
  for (const payload of [payloadOf(10, 7), url, payloadOf(10, 7)]) controller.hear({ address, payload, rssi: -60 })
  t.same(keys, [proximityKey(WECHAT_UUID, 10, 7), urlKey('https://ruu.vi/#AjwYAMFc'), proximityKey(WECHAT_UUID, 10, 7)])
})

t.test('a connectable beacon is heard at once, not only after its scan response', async (t) => {
  const heard: number[] = []
  const { controller, close } = await ear(new HandClock(), ({ rssi }) => heard.push(rssi))
  t.teardown(close)
  controller.hear({ address: 'c0:ff:ee:00:00:01', payload: payloadOf(10, 7), rssi: -60, connectable: true })
  t.same(heard, [-60])
})

t.test('what is configured and what is heard meet in one key', (t) => {
  const uid = Buffer.from('00e7001122334455667788990a0b0c0d0e0f', 'hex')
  t.equal(beaconKey({ serviceData: [{ uuid: 'feaa', data: uid }] }), eddystoneKey('00112233445566778899', '0A0B0C0D0E0F'))
  t.equal(powerOf({ serviceData: [{ uuid: 'feaa', data: uid }] }), -66)
  t.equal(beaconKey({ serviceData: [{ uuid: 'fe9f', data: uid }] }), undefined, 'Google’s other service')
  t.equal(beaconKey({}), undefined)
  t.end()
})

t.test('cut frames are nobody', (t) => {
  for (const { packet } of GOLDEN) {
    const bytes = Buffer.from(packet, 'hex')
    for (let length = 0; length < bytes.length; length++) {
      const data = bytes.subarray(0, length)
      t.doesNotThrow(() => {
        beaconKey({ manufacturerData: data, serviceData: [{ uuid: 'feaa', data }] })
        framesOf({ manufacturerData: data, serviceData: [{ uuid: 'feaa', data }] })
      })
    }
  }
  t.equal(beaconKey({ manufacturerData: Buffer.from('4c000215fda50693', 'hex') }), undefined)
  t.same(framesOf({ serviceData: [{ uuid: 'feaa', data: Buffer.from('10ee0a61', 'hex') }] }), [], 'no such scheme')
  t.same(framesOf({ serviceData: [{ uuid: 'feaa', data: Buffer.from('10ee020e', 'hex') }] }), [], 'no such ending')
  t.end()
})

t.test('200,000 spoilt packets, made from sound ones: nothing is thrown, nothing is printed, the scan goes on', async (t) => {
  const result = await fuzz(200_000, 1)
  t.same(result.thrown, [])
  t.equal(result.thrownByNoble, 0, 'the sieve let nothing through that noble throws on')
  t.equal(result.printed, 0)
  t.ok(result.malformed > 10_000, `${result.malformed} were told to be malformed`)
  t.ok(result.heard > 10_000, `${result.heard} were still readable`)
  t.ok(result.hearsAfter, 'a sound packet is heard after them')
})

t.test('any bytes are a frame or none, and never an error', (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), fc.constantFrom('feaa', 'fe9f', ''), (bytes, uuid) => {
      const data = Buffer.from(bytes)
      const advertised = { manufacturerData: data, serviceData: [{ uuid, data }] }
      const frames = framesOf(advertised)
      return (beaconKey(advertised) === undefined) === !frames.some((one) => 'uuid' in one || 'namespace' in one || 'url' in one)
    }),
    { numRuns: 20_000 },
  )
  t.pass('20,000 runs')
  t.end()
})

t.test('a stream is cut into the packets it was made of, however it arrives', (t) => {
  const packets = GOLDEN.map(({ packet }) => Buffer.from(packet, 'hex'))
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1 }), (steps) => {
      const got: string[] = []
      const stream = new H4Stream((packet) => got.push(packet.toString('hex')))
      const bytes = Buffer.concat(packets)
      for (let at = 0, step = 0; at < bytes.length; step++) {
        const size = steps[step % steps.length] ?? 1
        if (!stream.push(bytes.subarray(at, at + size))) return false
        at += size
      }
      return got.join() === packets.map((one) => one.toString('hex')).join()
    }),
    { numRuns: 500 },
  )
  t.notOk(new H4Stream(() => {}).push(Buffer.from([0x77, 1, 2])), 'a stream that lost its step is closed')
  t.end()
})

function payloadOf(major: number, minor: number): Buffer {
  return ibeaconPayload({ uuid: WECHAT_UUID, major, minor, power: -59, intervalMs: 100 })
}
