/** An HQ with fault switches, on whatever carries the messages. Reads the wire by itself, so that it shares no mistakes with the sink. */
import { gunzipSync } from 'node:zlib'
import type { CloudEvent } from '../contract/event.ts'
import { parseUp, hq as topics, type Up } from '../contract/topics.ts'
import type { UpEvents, UpState } from '../contract/uplink.ts'

export interface HqFaults {
  /** How acks go out; `above` claims more than was sent, `another-epoch` speaks of a journal long gone. */
  ack: 'now' | 'never' | 'twice' | 'above' | 'another-epoch'
  /** The next so many batches are lost on the way in. */
  loseBatches: number
  /** Asks for what is missing as soon as something later comes. */
  resend: boolean
}

export type Send = (topic: string, payload: string) => void

export class FakeHq {
  readonly faults: HqFaults = { ack: 'now', loseBatches: 0, resend: true }
  /** By sequence, of the one gateway and epoch a test looks at. */
  readonly events = new Map<number, CloudEvent>()
  /** Everything that came, in order. */
  readonly messages: { kind: Up; body: unknown; packed: boolean }[] = []
  /** Ids that came under a sequence that had another one. */
  readonly clashes: string[] = []
  watermark = 0
  duplicates = 0
  state: UpState | undefined
  #epoch = ''
  readonly #send: Send

  constructor(send: Send) {
    this.#send = send
  }

  receive(topic: string, payload: Buffer): void {
    const up = parseUp(topic)
    if (!up || payload.length === 0) return
    const packed = payload[0] === 0x1f
    const body = JSON.parse((packed ? gunzipSync(payload) : payload).toString('utf8')) as unknown
    this.messages.push({ kind: up.kind, body, packed })
    if (up.kind === 'state') this.state = body as UpState
    if (up.kind === 'events') this.#store(up.gateway, body as UpEvents)
    if (up.kind === 'sync') {
      this.#epoch = (body as UpEvents).epoch
      this.acknowledge(up.gateway)
    }
  }

  of<Body>(kind: Up): Body[] {
    return this.messages.filter((one) => one.kind === kind).map(({ body }) => body as Body)
  }

  acknowledge(gateway: string, sequence = this.watermark, resendFrom?: number): void {
    const { ack } = this.faults
    if (ack === 'never') return
    const topic = topics.down(gateway, 'ack')
    const body = JSON.stringify({
      epoch: ack === 'another-epoch' ? 'long-gone' : this.#epoch,
      sequence: ack === 'above' ? sequence + 1_000_000 : sequence,
      ...(resendFrom === undefined ? {} : { resendFrom }),
    })
    this.#send(topic, body)
    if (ack === 'twice') this.#send(topic, body)
  }

  /** HQ is restored from a backup of when it had everything up to `watermark`. */
  restore(watermark: number): void {
    this.watermark = watermark
    for (const sequence of [...this.events.keys()]) if (sequence > watermark) this.events.delete(sequence)
  }

  #store(gateway: string, batch: UpEvents): void {
    if (this.faults.loseBatches > 0) {
      this.faults.loseBatches -= 1
      return
    }
    this.#epoch = batch.epoch
    for (const event of batch.events) {
      const sequence = Number(event.sequence)
      const there = this.events.get(sequence)
      if (!there) this.events.set(sequence, event)
      else if (there.id === event.id) this.duplicates += 1
      else this.clashes.push(event.id)
    }
    const missing = batch.from > this.watermark + 1
    if (!missing) this.watermark = Math.max(this.watermark, batch.to)
    this.acknowledge(gateway, this.watermark, missing && this.faults.resend ? this.watermark + 1 : undefined)
  }
}
