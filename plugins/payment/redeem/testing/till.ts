/** Redemptions under the real context and the schemas of manifest-part.json, with a payment side that a test drives by hand. */
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { Failure } from '../../../../daemon/contract/errors.ts'
import type { Json, JsonObject } from '../../../../daemon/contract/json.ts'
import type { Clock, StartPlugin } from '../../../../daemon/contract/plugin.ts'
import { type HarnessOptions, PluginHarness } from '../../../../daemon/testing/plugin-harness.ts'
import { Screens } from '../../shown/screens.ts'
import type { OpenPayment, PaymentOutcome, Redemptions } from '../api.ts'
import { openRedemptions } from '../redeem.ts'

export const PART_URL = new URL('../manifest-part.json', import.meta.url)

/** `plugin.json` as the payment plugin will have it, as far as redemption goes. */
function manifestFolder(): URL {
  const part = JSON.parse(readFileSync(PART_URL, 'utf8')) as { config: JsonObject; [key: string]: Json }
  const folder = mkdtempSync(join(tmpdir(), 'redeem-'))
  const config = { type: 'object', additionalProperties: false, properties: part.config }
  writeFileSync(
    join(folder, 'plugin.json'),
    JSON.stringify({ ...part, name: 'payment', version: '1.0.0', api: '1', entry: 'plugin.ts', config }),
  )
  return pathToFileURL(`${folder}/`)
}

const manifestUrl = manifestFolder()
/** Dispatch never gives the same id to two commands, restarts included. */
let commands = 0

export interface TillOptions {
  redeem?: JsonObject
  store?: Map<string, Json>
  ask?: HarnessOptions['ask']
  clock?: Clock
}

export class Till {
  readonly open = new Map<string, OpenPayment>()
  readonly members: { payment: string; visitor: string }[] = []
  #harness: PluginHarness | undefined
  #redemptions: Redemptions | undefined

  static async start({ redeem = {}, store, ask, clock }: TillOptions = {}): Promise<Till> {
    const till = new Till()
    const start: StartPlugin = async (context) => {
      const screens = new Screens(context)
      await screens.open()
      const desk = {
        openAt: (name: string) => till.open.get(name),
        member: async (payment: string, visitor: string) => {
          till.members.push({ payment, visitor })
        },
      }
      const redemptions = await openRedemptions(context as unknown as Parameters<typeof openRedemptions>[0], desk, screens)
      screens.settle()
      till.#redemptions = redemptions
      context.subscribe(['shopwire.scanner.scan'], async (event) => {
        const { code, kind, till: name } = event.data
        await redemptions.scanned({ scan: event.id, till: String(name), kind: kind as 'coupon', code: String(code), at: event.time })
      })
      return {
        async handle({ command, args, id }) {
          const answer = redemptions.handle(command, args as JsonObject, id)
          if (!answer) throw new Failure('command-unknown', `no command "${command}"`)
          return answer
        },
        stop: async () => {
          await redemptions.stop()
          screens.stop()
        },
      }
    }
    till.#harness = await PluginHarness.start({
      start,
      manifestUrl,
      config: { redeem },
      ...(store ? { store } : {}),
      ...(ask ? { ask } : {}),
      ...(clock ? { clock } : {}),
    })
    return till
  }

  get harness(): PluginHarness {
    if (!this.#harness) throw new Error('not started')
    return this.#harness
  }

  get redemptions(): Redemptions {
    if (!this.#redemptions) throw new Error('not started')
    return this.#redemptions
  }

  scan(kind: string, code: string, till = 'till-1', time?: string): Promise<void> {
    return this.harness.deliver('scanner', till, 'scan', { kind, code, till }, time)
  }

  command(command: string, args: JsonObject): Promise<JsonObject> {
    return this.harness.command('-', command, args, `${command}-${++commands}`) as Promise<JsonObject>
  }

  /** The till opens a payment. */
  async opens(payment: string, till = 'till-1', amount = 1000): Promise<void> {
    const open = { payment, order: `order-${payment}`, till, amount, currency: 'CNY' }
    this.open.set(till, open)
    await this.redemptions.opened(open)
  }

  async settles(payment: string, outcome: PaymentOutcome): Promise<void> {
    for (const [till, open] of this.open) if (open.payment === payment) this.open.delete(till)
    await this.redemptions.settled(payment, outcome)
  }

  events(event: string): JsonObject[] {
    return this.harness.events.filter((one) => one.event === event).map((one) => one.data)
  }

  async heard(event: string, count = 1): Promise<JsonObject> {
    await this.harness.until(() => this.events(event).length >= count, `${count} × ${event}`)
    return this.events(event)[count - 1] ?? {}
  }

  /** What is on disk now, as a power cut would leave it. */
  disk(): Map<string, Json> {
    return structuredClone(this.harness.store)
  }

  stop(): Promise<void> {
    return this.harness.stop()
  }
}
