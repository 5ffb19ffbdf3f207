/**
 * What is on the air of a shop, advertisement by advertisement: beacons that hang, walk or die, phones that pass, under a radio model
 * (log-distance path loss, slow shadowing by people and shelves, fast fading, losses). Time is the caller's.
 */
import { ibeaconPayload } from '../frames/payload.ts'
import type { Advertisement } from './controller.ts'
import { Random } from './random.ts'
import type { Scene, SceneBeacon } from './scene.ts'

/** Advertising events are delayed by up to 10 ms at random (Vol 6, Part B, 4.4.2.2.1). */
const JITTER_MS = 10
/** Shadowing changes as people move. */
const SHADOW_MS = 4_000

interface Sender {
  nextAt: number
  everyMs: number
  power: number
  address: string
  /** Metres at that time; undefined: not there. */
  distance(at: number): number | undefined
  payload(at: number): Uint8Array
  rotateAt: number
  rotateMs: number
  connectable: boolean
  shadow: number
  shadowAt: number
}

export class Air {
  readonly #scene: Scene
  readonly #random: Random
  readonly #senders: Sender[] = []

  constructor(scene: Scene) {
    this.#scene = scene
    this.#random = new Random(scene.seed)
    for (const beacon of scene.beacons) this.#senders.push(this.#beacon(beacon))
    for (let phone = 0; phone < scene.phones.count; phone++) this.#senders.push(this.#phone())
  }

  /** All that is received between two times, in order; both in ms since the scene began. */
  between(from: number, to: number): { at: number; advertisement: Advertisement }[] {
    const received: { at: number; advertisement: Advertisement }[] = []
    for (const sender of this.#senders) {
      if (sender.nextAt < from) sender.nextAt = from + this.#random.next() * sender.everyMs
      for (; sender.nextAt < to; sender.nextAt += sender.everyMs + this.#random.next() * JITTER_MS) {
        const advertisement = this.#receive(sender, sender.nextAt)
        if (advertisement) received.push({ at: sender.nextAt, advertisement })
      }
    }
    return received.sort((a, b) => a.at - b.at)
  }

  #receive(sender: Sender, at: number): Advertisement | undefined {
    const { radio } = this.#scene
    const distance = sender.distance(at)
    if (sender.rotateMs > 0 && at >= sender.rotateAt) {
      sender.address = this.#random.address()
      sender.rotateAt = at + sender.rotateMs
    }
    if (distance === undefined || this.#random.next() < radio.loss) return undefined
    if (at - sender.shadowAt >= SHADOW_MS) {
      sender.shadow = this.#random.normal() * radio.shadow
      sender.shadowAt = at
    }
    const level =
      sender.power - 10 * radio.exponent * Math.log10(Math.max(distance, 0.1)) + sender.shadow + this.#random.normal() * radio.fading
    if (level < radio.floor) return undefined
    return { address: sender.address, payload: sender.payload(at), rssi: level, connectable: sender.connectable }
  }

  #beacon(beacon: SceneBeacon): Sender {
    const everyMs = beacon.everyMs
    return {
      nextAt: this.#random.next() * everyMs,
      everyMs,
      power: beacon.power,
      address: this.#random.address(),
      distance: (at) => along(beacon.path, this.#scene.loopMs > 0 ? at % this.#scene.loopMs : at),
      payload: payloads(beacon),
      rotateAt: Number.POSITIVE_INFINITY,
      rotateMs: 0,
      connectable: false,
      shadow: 0,
      shadowAt: Number.NEGATIVE_INFINITY,
    }
  }

  /** Apple's "nearby" and find-my messages, and service data of others: never a beacon. */
  #phone(): Sender {
    const { phones } = this.#scene
    const random = this.#random
    const everyMs = phones.everyMs * (0.5 + random.next())
    const base = 1 + random.next() * 20
    const payload = Buffer.from(random.next() < 0.6 ? '02011a0aff4c001005031c5a8d21' : '02011a0303f3fe0b16f3fe4a17234e4d513111', 'hex')
    return {
      nextAt: random.next() * everyMs,
      everyMs,
      power: -62,
      address: random.address(),
      distance: () => base,
      payload: () => payload,
      rotateAt: random.next() * phones.rotateMs,
      rotateMs: phones.rotateMs,
      connectable: true,
      shadow: 0,
      shadowAt: Number.NEGATIVE_INFINITY,
    }
  }
}

/** Straight between the points; before the first and after the last it is not there. One point: it stays. */
function along(path: readonly (readonly [at: number, metres: number])[], at: number): number | undefined {
  const [first] = path
  if (first && path.length === 1) return first[1]
  for (let index = 1; index < path.length; index++) {
    const [fromAt, from] = path[index - 1] as [number, number]
    const [toAt, to] = path[index] as [number, number]
    if (at >= fromAt && at <= toAt) return from + ((to - from) * (at - fromAt)) / Math.max(1, toAt - fromAt)
  }
  return undefined
}

function payloads(beacon: SceneBeacon): (at: number) => Uint8Array {
  const identity = identityPayload(beacon)
  const { battery } = beacon
  if (!battery) return () => identity
  let sent = 0
  // Eddystone beacons send telemetry between their identities.
  return (at) => (++sent % 10 === 0 ? telemetryPayload(Math.max(0, battery.mv - (battery.mvPerMinute * at) / 60_000), sent, at) : identity)
}

function identityPayload(beacon: SceneBeacon): Uint8Array {
  if (beacon.namespace !== undefined) {
    const frame = Buffer.from(`0201060303aafe1516aafe00${byte(beacon.power + 41)}${beacon.namespace}${beacon.instance ?? ''}`, 'hex')
    return frame
  }
  const { uuid = '', major = 0, minor = 0, power } = beacon
  const payload = ibeaconPayload({ uuid, major, minor, power, intervalMs: 100 })
  return beacon.altbeacon ? Buffer.from(`1bff1801beac${payload.toString('hex', 9, 30)}00`, 'hex') : payload
}

function telemetryPayload(mv: number, sent: number, at: number): Uint8Array {
  const payload = Buffer.from('0201060303aafe1116aafe20000000150000000000', 'hex')
  const frame = Buffer.alloc(25)
  payload.copy(frame)
  frame.writeUInt16BE(Math.round(mv), 13)
  frame.writeUInt16BE(0x1500, 15)
  frame.writeUInt32BE(sent, 17)
  frame.writeUInt32BE(Math.round(at / 100) >>> 0, 21)
  return frame
}

function byte(value: number): string {
  return (value & 0xff).toString(16).padStart(2, '0')
}
