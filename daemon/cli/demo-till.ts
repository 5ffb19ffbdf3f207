import type { CloudEvent } from '../contract/event.ts'
import type { Json, JsonObject } from '../contract/json.ts'
import type { DaemonClient } from './client.ts'

/** When a till acts, and what it asks for. Data of the demo's scene, so that no plugin is named in code. */
export interface TillRule {
  on: string
  where?: Record<string, string>
  /** Gathers the codes of so many such events into a sale, and acts on the last. Without it, it acts on each. */
  basket?: number
  /** Plugin, device, command. */
  command: [string, string, string]
  /** The command's id: a repeat of the same event then does nothing twice. */
  id?: string
  /** `{items}`, `{total}`, `{amount}` (minor units) and `{number}` of the sale; `{data.…}` of the event. A value that is one word alone keeps its type. */
  args: JsonObject
}

type Words = Record<string, Json>

/** The demo's till: gathers scanned codes into sales, and does what its rules say as the events come back. */
export class DemoTill {
  readonly #rules: { rule: TillRule; codes: string[] }[]
  readonly #client: DaemonClient
  /** By number, the last ones: a payment that comes back names its order. */
  readonly #sales = new Map<string, Words>()
  #count = 0

  constructor(rules: TillRule[], client: DaemonClient) {
    this.#rules = rules.map((rule) => ({ rule, codes: [] }))
    this.#client = client
  }

  hear(event: CloudEvent): void {
    for (const { rule, codes } of this.#rules) {
      if (event.type !== rule.on || Object.entries(rule.where ?? {}).some(([key, value]) => event.data[key] !== value)) continue
      let sale = this.#sales.get(String(event.data.order))
      if (rule.basket !== undefined) {
        codes.push(String(event.data.code))
        if (codes.length < rule.basket) continue
        sale = this.#close(codes.splice(0))
      }
      this.#act(rule, { ...sale, ...Object.fromEntries(Object.entries(event.data).map(([key, value]) => [`data.${key}`, value])) })
    }
  }

  #close(codes: string[]): Words {
    this.#count += 1
    const number = `D-${String(this.#count).padStart(4, '0')}`
    const prices = codes.map(priceOf)
    const amount = prices.reduce((sum, price) => sum + price, 0)
    const items = codes.map((code, at) => `${nameOf(code)} | ¥${yuan(prices[at] ?? 0)}`).join('\n')
    const sale = { items, total: `¥${yuan(amount)}`, amount, number }
    this.#sales.set(number, sale)
    const [oldest] = this.#sales.keys()
    if (this.#sales.size > 100 && oldest !== undefined) this.#sales.delete(oldest)
    return sale
  }

  #act(rule: TillRule, words: Words): void {
    const [plugin, device, command] = rule.command
    const id = rule.id === undefined ? {} : { id: String(fill(rule.id, words)) }
    const args = JSON.parse(JSON.stringify(rule.args), (_key, value: Json) =>
      typeof value === 'string' ? fill(value, words) : value,
    ) as JsonObject
    // A refusal is an event of its own (command.finished) and shows in the list.
    this.#client.call('POST', `/api/v1/cmd/${plugin}/${device}/${command}`, { ...id, args }, () => true).catch(() => {})
  }
}

function fill(text: string, words: Words): Json {
  const alone = /^\{([\w.]+)\}$/.exec(text)?.[1]
  if (alone !== undefined && words[alone] !== undefined) return words[alone]
  return text.replace(/\{([\w.]+)\}/g, (all, name: string) => (words[name] === undefined ? all : String(words[name])))
}

const yuan = (fen: number): string => (fen / 100).toFixed(2)

const SHELF = [
  'Green tea 绿茶',
  'Rice ball 饭团',
  'Sandwich 三明治',
  'Water 矿泉水',
  'Yoghurt 酸奶',
  'Noodles 方便面',
  'Soap 香皂',
  'Batteries 电池',
]

const nameOf = (code: string): string => SHELF[priceOf(code) % SHELF.length] ?? code

/** The demo has no price list: a price in fen that is always the same for a code. */
function priceOf(code: string): number {
  let sum = 0
  for (const char of code) sum = (sum * 31 + char.charCodeAt(0)) % 4_000
  return sum + 100
}
