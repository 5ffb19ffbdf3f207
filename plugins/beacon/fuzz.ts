/** Spoils sound packets and sends them through the sieve and the real noble. */
import { beaconKey, framesOf } from './frames/frames.ts'
import { GOLDEN, OTHERS } from './golden.ts'
import { Random } from './simulator/random.ts'
import { ear } from './testing.ts'

export interface FuzzResult {
  thrown: string[]
  thrownByNoble: number
  /** Lines that noble printed. */
  printed: number
  malformed: number
  heard: number
  hearsAfter: boolean
}

const COMPLETES = [
  '040e0401030c00',
  '040e0c01011000090000090f000000',
  '040e0a010910001371da7d1a00',
  '040f0400010c20',
  '040e0701022000fb0008',
]
const FOREIGN = ['010c20020100', '01030c00', '010a200101', '0410010a', '0405040040001300', '02400007000300040001ff00']

export async function fuzz(packets: number, seed: number): Promise<FuzzResult> {
  const random = new Random(seed)
  const sound = [...GOLDEN, ...OTHERS]
    .map(({ packet }) => packet)
    .concat(COMPLETES, FOREIGN)
    .map((hex) => Buffer.from(hex, 'hex'))
  const thrown: string[] = []
  let heard = 0
  const { controller, close, counts } = await ear(undefined, ({ advertisement }) => {
    heard += 1
    beaconKey(advertisement)
    framesOf(advertisement)
  })
  const prints = muteConsole()
  try {
    for (let at = 0; at < packets; at++) {
      const packet = spoil(sound[Math.floor(random.next() * sound.length)] as Buffer, random)
      try {
        controller.send(packet)
      } catch (error) {
        if (thrown.length < 10) thrown.push(`${packet.toString('hex')}: ${String(error)}`)
      }
      // Answers to what noble sends on account of it.
      if (at % 1_000 === 0) await new Promise(setImmediate)
    }
    const before = heard
    controller.send(Buffer.from(GOLDEN[0]?.packet ?? '', 'hex'))
    return {
      thrown,
      thrownByNoble: counts.thrown,
      printed: prints.count,
      malformed: counts.malformed,
      heard: before,
      hearsAfter: heard === before + 1,
    }
  } finally {
    prints.restore()
    close()
  }
}

/** One to three of: cut, stretch, change bytes, lie about a length, double, swap two packets' halves. */
function spoil(sound: Buffer, random: Random): Buffer {
  let bytes = Buffer.from(sound)
  const below = (limit: number): number => Math.floor(random.next() * limit)
  for (let times = below(3) + 1; times > 0; times--) {
    switch (below(6)) {
      case 0:
        bytes = bytes.subarray(0, below(bytes.length + 1))
        break
      case 1:
        bytes = Buffer.concat([bytes, Buffer.from(Array.from({ length: below(20) }, () => below(256)))])
        break
      case 2:
        for (let changes = below(4) + 1; changes > 0 && bytes.length > 0; changes--) bytes[below(bytes.length)] = below(256)
        break
      case 3:
        // A length that fits the packet lets the damage through to the next layer.
        if (bytes.length > 2) bytes[2] = bytes.length - 3
        break
      case 4:
        // Lengths of AD structures are where parsers break.
        if (bytes.length > 15) bytes[14 + below(bytes.length - 14)] = below(5)
        break
      default:
        if (bytes.length > 5) bytes[4] = below(6)
    }
  }
  return bytes
}

const OLD_ADAPTER = /does not support Bluetooth Low Energy|Try to run with environment variable|NOBLE_HCI_DEVICE_ID/

function muteConsole(): { readonly count: number; restore(): void } {
  const { log, warn } = globalThis.console
  let count = 0
  const mute = (...words: unknown[]): void => {
    // A whole answer that says "Bluetooth 3" is no spoilt one: noble says in three lines what it means.
    if (!OLD_ADAPTER.test(String(words[0]))) count += 1
  }
  Object.assign(globalThis.console, { log: mute, warn: mute })
  return {
    get count() {
      return count
    },
    restore: () => Object.assign(globalThis.console, { log, warn }),
  }
}
