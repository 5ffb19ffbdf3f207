/** HQ's end for the benchmarks: counts what arrives and acknowledges shopwire's batches, at next to no cost of its own. */
import type { MqttClient } from 'mqtt'
import { hq } from '../daemon/contract/topics.ts'
import { connect, unpack } from './parts.ts'

export class HqCounter {
  /** Numbers of the events that came, when `keep` is on. */
  readonly numbers = new Set<number>()
  /** stamp -> arrival, monotonic ms. */
  readonly stamps = new Map<string, number>()
  count = 0
  bytes = 0
  #keep = false
  readonly #client: MqttClient

  static async open(port: number): Promise<HqCounter> {
    const client = await connect(port)
    const counter = new HqCounter(client)
    client.on('message', (topic, payload) => counter.#take(topic, payload))
    await client.subscribeAsync(['bench/#', hq.allUp('events')], { qos: 1 })
    return counter
  }

  private constructor(client: MqttClient) {
    this.#client = client
  }

  reset(keep: boolean): void {
    this.#keep = keep
    this.count = 0
    this.bytes = 0
    this.numbers.clear()
    this.stamps.clear()
  }

  #take(topic: string, payload: Buffer): void {
    const at = performance.now()
    this.bytes += payload.length
    if (topic === 'bench/drop') {
      this.count += 1
      if (this.#keep) this.#note(payload.toString('utf8'), at)
      return
    }
    const text = unpack(payload)
    const [, epoch, to] = /"epoch":"([^"]+)".*?"to":(\d+)/.exec(text) ?? []
    this.#client.publish(topic.replace('/up/events', '/dn/ack'), JSON.stringify({ epoch, sequence: Number(to) }), { qos: 0 })
    if (this.#keep)
      for (const event of (JSON.parse(text) as { events: { type: string; data: unknown }[] }).events) this.#keepEvent(event, at)
    else this.count += occurrences(text, '"specversion"')
  }

  #keepEvent(event: { type: string; data: unknown }, at: number): void {
    if (event.type !== 'shopwire.firehose.drop' && event.type !== 'shopwire.scanner.scan') return
    this.count += 1
    this.#note(JSON.stringify(event.data), at)
  }

  #note(text: string, at: number): void {
    const n = /"n":(\d+)/.exec(text)?.[1]
    if (n !== undefined) this.numbers.add(Number(n))
    const stamp = /S-\d+/.exec(text)?.[0]
    if (stamp !== undefined) this.stamps.set(stamp, at)
  }

  async close(): Promise<void> {
    await this.#client.endAsync(true)
  }
}

function occurrences(text: string, part: string): number {
  let found = 0
  for (let at = text.indexOf(part); at >= 0; at = text.indexOf(part, at + part.length)) found += 1
  return found
}
