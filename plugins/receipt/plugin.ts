import type { PluginContext, RunningPlugin, StartPlugin } from '../../daemon/contract/plugin.ts'
import type { ReceiptConfig, TillConfig } from './config.ts'
import { Payments } from './payments.ts'
import { type ClaimBook, startTill } from './till.ts'

/** A virtual printer before each till's real one: what is printed there goes through untouched, and is read. */
const start: StartPlugin<ReceiptConfig> = async (context: PluginContext<ReceiptConfig>): Promise<RunningPlugin> => {
  const payments = new Payments(context.config.matchMinutes * 60_000, context.store, context.clock)
  const book: ClaimBook = new Map()
  await payments.open()
  context.subscribe(['shopwire.payment.*'], async (event) => {
    if (event.type === 'shopwire.payment.paid') await payments.paid(event)
  })
  context.subscribe(['shopwire.portal.claimed'], async ({ data, time }) => {
    if (typeof data.claim !== 'string') return
    for (const claims of book.values()) await claims.use(data.claim, time)
  })
  return context.devices<TillConfig>((device) => startTill(device, payments, book))
}

export default start
