import { Failure } from '../../daemon/contract/errors.ts'
import type { CloudEvent } from '../../daemon/contract/event.ts'
import type { Json, JsonObject } from '../../daemon/contract/json.ts'
import type { PluginContext, RunningPlugin, StartPlugin } from '../../daemon/contract/plugin.ts'
import { checkAmount } from './amount.ts'
import type { PaymentConfig } from './config.ts'
import { type CodeArgs, Desk, type OpenArgs } from './desk.ts'
import { Providers } from './providers/choose.ts'
import type { Redemptions } from './redeem/api.ts'
import { openRedemptions } from './redeem/redeem.ts'
import { Screens } from './shown/screens.ts'
import { Slips } from './shown/slips.ts'

/** Payments: opened by tills, charged by what the scanner reads or the shopper scans, until each is final or said to be unknown. */
const start: StartPlugin<PaymentConfig> = async (context: PluginContext<PaymentConfig>): Promise<RunningPlugin> => {
  const providers = new Providers(context)
  const screens = new Screens(context)
  const slips = new Slips(context)
  const desk = new Desk(context, providers, (payment) => {
    screens.look(payment)
    slips.look(payment)
  })
  await Promise.all([screens.open(), slips.open()])
  const redemptions = await openRedemptions(context, desk, screens)
  await desk.start(redemptions)
  screens.settle()
  providers.start()
  context.subscribe(['shopwire.scanner.scan'], (event) => scanned(redemptions, event))
  return {
    async handle({ command, args, id }): Promise<Json> {
      const asked = (args ?? {}) as JsonObject
      switch (command) {
        case 'open':
          checkAmount(asked.amount, 'amount')
          return desk.open(asked as unknown as OpenArgs)
        case 'code':
          return desk.code(asked as unknown as CodeArgs)
        case 'cash':
          return desk.cash(asked)
        case 'cancel':
          return desk.cancel(asked)
        case 'query':
          return desk.query(asked)
        case 'refund':
          if (asked.amount !== undefined) checkAmount(asked.amount, 'amount')
          return desk.refund(asked)
        case 'payments':
          return desk.list(asked)
        case 'status':
          return desk.status()
        case 'self-check':
          return { findings: [...(await desk.findings()), ...redemptions.findings()] }
      }
      const answer = redemptions.handle(command, asked, id)
      if (answer) return answer
      throw new Failure('command-unknown', `payment knows no command "${command}"`)
    },
    async stop() {
      providers.stop()
      slips.stop()
      await desk.stop()
      await redemptions.stop()
      screens.stop()
    },
  }
}

const KINDS = ['member', 'coupon', 'pickup', 'claim'] as const

/** Pay codes are not here: the scanner hands them to `code`, whole, and the journal has them masked. */
async function scanned(redemptions: Redemptions, { id, source, time, data }: CloudEvent): Promise<void> {
  const kind = KINDS.find((one) => one === data.kind)
  if (!kind || typeof data.code !== 'string') return
  const scanner = source.split('/').at(-1) ?? ''
  const till = (typeof data.till === 'string' ? data.till : scanner).toLowerCase()
  await redemptions.scanned({ scan: id, till, kind, code: data.code, at: time })
}

export default start
