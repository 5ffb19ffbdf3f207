/** A pay code from a TCP scanner to "printed": the built gateway, simulated provider and printer. The provider's own time is taken off. */

import { until } from '../daemon/testing/processes.ts'
import { PayingShop } from '../plugins/payment/gateway.testing.ts'

const ROUNDS = Number(process.env.BENCH_PAYMENTS ?? 100)
const WARM = 10

const shop = new PayingShop()
try {
  await shop.start()
  const whole: number[] = []
  const toPaid: number[] = []
  for (let round = 0; round < ROUNDS + WARM; round++) {
    const order = `bench-${round}`
    await shop.command('payment', '-', 'open', { order, amount: 100, till: 'till-1' })
    const busyBefore = shop.alipay.busyMs
    let printedAt = 0
    let paidAt = 0
    shop.onHeard = ({ event, data, at }) => {
      if (event === 'payment.paid') {
        paidAt = at
        shop.print(data)
      }
      if (event === 'printer.printed') printedAt = at
    }
    const since = performance.now()
    shop.scan(`28${String(round).padStart(10, '0')}123456`)
    await until(() => printedAt > 0, `${order} to be printed`)
    if (round < WARM) continue
    const provider = shop.alipay.busyMs - busyBefore
    whole.push(printedAt - since - provider)
    toPaid.push(paidAt - since - provider)
  }
  report('scan to printed', whole)
  report('scan to paid', toPaid)
} finally {
  await shop.end()
}

function report(name: string, values: number[]): void {
  const sorted = values.toSorted((a, b) => a - b)
  const at = (share: number) => (sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0).toFixed(1)
  process.stdout.write(`${name}, without the provider: p50 ${at(0.5)} ms, p99 ${at(0.99)} ms (${values.length} payments; goal p50 30 ms)\n`)
}
