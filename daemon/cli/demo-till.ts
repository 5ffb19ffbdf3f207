import type { CloudEvent } from '../contract/event.ts'
import type { JsonObject } from '../contract/json.ts'
import type { DaemonClient } from './client.ts'

/** When a till acts, and what it asks for. Data of the demo's scene, so that no plugin is named in code. */
export interface TillRule {
  on: string
  where: Record<string, string>
  /** Acts on each n-th such event. */
  every: number
  /** Plugin, device, command. */
  command: [string, string, string]
  args: JsonObject
}

/** The demo's till: collects scanned codes and has a receipt printed for each few of them. */
export class DemoTill {
  readonly #rule: TillRule
  readonly #client: DaemonClient
  readonly #codes: string[] = []
  #sales = 0

  constructor(rule: TillRule, client: DaemonClient) {
    this.#rule = rule
    this.#client = client
  }

  hear(event: CloudEvent): void {
    if (event.type !== this.#rule.on || Object.entries(this.#rule.where).some(([key, value]) => event.data[key] !== value)) return
    this.#codes.push(String(event.data.code))
    if (this.#codes.length < this.#rule.every) return
    const codes = this.#codes.splice(0)
    this.#sales += 1
    const prices = codes.map(priceOf)
    const words: Record<string, string> = {
      items: codes.map((code, at) => `${code} | ¥${(prices[at] ?? 0).toFixed(2)}`).join('\n'),
      total: `¥${prices.reduce((sum, price) => sum + price, 0).toFixed(2)}`,
      number: String(this.#sales),
    }
    const args = JSON.parse(JSON.stringify(this.#rule.args), (_key, value: unknown) =>
      typeof value === 'string' ? value.replace(/\{(\w+)\}/g, (all, name: string) => words[name] ?? all) : value,
    ) as JsonObject
    const [plugin, device, command] = this.#rule.command
    // A refusal is an event of its own (command.finished) and shows in the list.
    this.#client.call('POST', `/api/v1/cmd/${plugin}/${device}/${command}`, { args }, () => true).catch(() => {})
  }
}

/** The demo has no price list: a price that is always the same for a code. */
function priceOf(code: string): number {
  let sum = 0
  for (const char of code) sum = (sum * 31 + char.charCodeAt(0)) % 4_000
  return (sum + 100) / 100
}
