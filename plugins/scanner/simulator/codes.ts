/** What is scanned in a shop in a day: seeded, so that a run can be had again. */
import { checkDigit } from '../protocol/gtin.ts'

export interface SimulatedCode {
  /** What the symbol holds. */
  text: string
  /** AIM identifier the scanner would send. */
  aim: string
  kind: 'product' | 'pay' | 'member' | 'coupon' | 'pickup' | 'claim' | 'unknown'
}

/** The prefixes the simulated shop uses; put them into its config. */
export const SIMULATED_PREFIXES = { member: ['VIP'], coupon: ['CPN-'], pickup: ['PU-'], claim: ['https://claim.example/'] } as const

/** Real-looking article numbers of a convenience store (GS1 China prefixes), without check digit. */
const SHELF = [
  '690192112345',
  '692116880115',
  '695003400012',
  '693478200047',
  '690278201120',
  '694503800031',
  '697045910005',
  '692259351009',
]

export type Scene = 'day' | 'sales' | 'products' | 'pay'

/**
 * An endless stream of codes. `day`: baskets of a few products, a member card now and then, and a pay code at the end. `sales`: the
 * same with three products in each, for a till that only counts.
 */
export function* shopCodes(scene: Scene = 'day', seed = 1): Generator<SimulatedCode, never> {
  const random = generator(seed)
  const digits = (count: number): string => Array.from({ length: count }, () => Math.floor(random() * 10)).join('')
  const pick = <Item>(items: readonly Item[]): Item => items[Math.floor(random() * items.length)] as Item
  const product = (): SimulatedCode => {
    const roll = random()
    if (roll < 0.08) return { text: ean(`21${digits(5)}${digits(5)}`), aim: ']E0', kind: 'product' }
    if (roll < 0.16)
      return { text: `01${`0${ean(pick(SHELF))}`}17${pick(['271231', '280630'])}10${digits(4)}A`, aim: ']d2', kind: 'product' }
    if (roll < 0.2) return { text: `https://id.gs1.org/01/0${ean(pick(SHELF))}/21/${digits(6)}`, aim: ']Q1', kind: 'product' }
    return { text: ean(pick(SHELF)), aim: ']E0', kind: 'product' }
  }
  const pay = (): SimulatedCode => {
    const roll = random()
    if (roll < 0.5) return { text: `1${pick(['0', '1', '3', '4'])}${digits(16)}`, aim: ']C0', kind: 'pay' }
    if (roll < 0.9) return { text: `28${digits(16)}`, aim: ']Q1', kind: 'pay' }
    return { text: `62${digits(17)}`, aim: ']Q1', kind: 'pay' }
  }
  for (;;) {
    if (scene === 'products') yield product()
    else if (scene === 'pay') yield pay()
    else {
      if (random() < 0.3) yield { text: `VIP${digits(8)}`, aim: ']Q1', kind: 'member' }
      for (let left = scene === 'sales' ? 3 : 1 + Math.floor(random() * 5); left > 0; left--) yield product()
      if (random() < 0.15) yield { text: `CPN-${digits(6)}`, aim: ']C0', kind: 'coupon' }
      if (random() < 0.05) yield { text: `https://claim.example/${digits(10)}`, aim: ']Q1', kind: 'claim' }
      if (random() < 0.05) yield { text: `PU-${digits(5)}`, aim: ']C0', kind: 'pickup' }
      if (random() < 0.03) yield { text: `SF${digits(12)}`, aim: ']C0', kind: 'unknown' }
      yield pay()
    }
  }
}

/** Distinct EAN-13 article numbers, counting up: for load. */
export function articleNumber(count: number): string {
  return ean(`69${String(count % 1e10).padStart(10, '0')}`)
}

function ean(twelve: string): string {
  return `${twelve}${checkDigit(twelve)}`
}

/** mulberry32. */
function generator(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}
