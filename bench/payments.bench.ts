/**
 * A pay code from a TCP scanner to "printed": the built gateway, a till on its MQTT, simulated provider and printer. Taken off is what is
 * no software of the shop's: the provider's own time, and the paper (the simulated printer confirms at once what it has been sent; one of
 * 40 lines a second would add 75 ms for these 3 lines). All disk writes on the way are synced, the till's and the simulators' work is in.
 */

import { availableParallelism, loadavg } from 'node:os'
import { until } from '../daemon/testing/until.ts'
import { PayingShop } from '../plugins/payment/gateway.testing.ts'

const ROUNDS = Number(process.env.BENCH_PAYMENTS ?? 200)
const WARM = 20
/** A printer whose paper takes no time. */
const NO_PAPER = 0

const HOPS = {
  'payment.opened': 'opened',
  'scanner.scan': 'scan',
  'payment.paid': 'paid',
  'printer.printed': 'printed',
} as const

const shop = new PayingShop()
const whole: number[] = []
const hops = { 'scan to scan event': [] as number[], 'scan event to paid event': [] as number[], 'paid event to printed': [] as number[] }
const before = loadavg()[0] ?? 0
try {
  await shop.start({}, NO_PAPER)
  for (let round = 0; round < ROUNDS + WARM; round++) {
    const order = `bench-${round}`
    const at = { opened: 0, scan: 0, paid: 0, printed: 0 }
    shop.onHeard = (heard) => {
      const hop = HOPS[heard.event as keyof typeof HOPS]
      if (hop) at[hop] = heard.at
      if (hop === 'paid') shop.print(heard.data)
    }
    await shop.command('payment', '-', 'open', { order, amount: 100, till: 'till-1' })
    // A shopper takes a while to hold up the phone.
    await until(() => at.opened > 0, `${order} to be opened`)
    const busyBefore = shop.alipay.busyMs
    const since = performance.now()
    shop.scan(`28${String(round).padStart(10, '0')}123456`)
    await until(() => at.printed > 0, `${order} to be printed`)
    if (round < WARM) continue
    const provider = shop.alipay.busyMs - busyBefore
    whole.push(at.printed - since - provider)
    hops['scan to scan event'].push(at.scan - since)
    hops['scan event to paid event'].push(at.paid - at.scan - provider)
    hops['paid event to printed'].push(at.printed - at.paid)
  }
  process.stdout.write(
    `${ROUNDS} payments, without the provider's time and the paper's; load ${before.toFixed(1)} before, ${(loadavg()[0] ?? 0).toFixed(1)} after, ${availableParallelism()} cores\n`,
  )
  report('scan to printed', whole, '   (goal p50 30 ms)')
  for (const [name, values] of Object.entries(hops)) report(`  ${name}`, values)
} finally {
  await shop.end()
}

function report(name: string, values: number[], goal = ''): void {
  const sorted = values.toSorted((a, b) => a - b)
  const at = (share: number) => (sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0).toFixed(1).padStart(6)
  process.stdout.write(`${name.padEnd(28)} p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, best ${at(0)} ms${goal}\n`)
}
