/**
 * What the sink answers to gateways: an ack only for what its store says is stored; a request to resend when something is missing
 * for longer than messages take to overtake each other. Knows every (gateway, epoch) only by what the store said of it.
 */
import type { Sequence } from '../../daemon/contract/event.ts'
import type { Machine } from '../../daemon/contract/machine.ts'
import type { DownAck } from '../../daemon/contract/uplink.ts'

export interface SinkTuning {
  /** A gap is given this long to close by itself. */
  gapMs: number
  /** Pause before the same gap is asked for again; doubles up to `gapMaxMs`. */
  gapAgainMs: number
  gapMaxMs: number
  /** After this many requests without an answer, nothing more is asked until the gateway is heard of again. */
  gapTries: number
}

export const SINK_TUNING: SinkTuning = { gapMs: 1_000, gapAgainMs: 6_000, gapMaxMs: 60_000, gapTries: 10 }

interface Gap {
  watermark: Sequence
  /** Monotonic ms. */
  at: number
  tries: number
}

export interface SinkState {
  readonly tuning: SinkTuning
  /** By `gateway/epoch`. */
  readonly gaps: Map<string, Gap>
}

export type SinkEvent = {
  now: number
} /** A batch is durable (or was so before): what the store now has of its stream. `highest`: of what it has or was told of. */ & (
  | { on: 'stored'; gateway: string; epoch: string; watermark: Sequence; highest: Sequence }
  /** A gateway asks what there is; `desiredVersion`: its own, `latest`: HQ's. */
  | { on: 'sync'; gateway: string; epoch: string; watermark: Sequence; sent: Sequence; desiredVersion: number; latest: number }
  | { on: 'tick' }
)

export type SinkEffect = { do: 'ack'; gateway: string; ack: DownAck } | { do: 'desired'; gateway: string }

export const newSink = (tuning: SinkTuning = SINK_TUNING): SinkState => ({ tuning, gaps: new Map() })

export const sinkMachine: Machine<SinkState, SinkEvent, SinkEffect> = {
  step(s, event) {
    switch (event.on) {
      case 'stored':
        note(s, event, event.highest, event.now)
        return [ack(event)]
      case 'sync': {
        note(s, event, event.sent, event.now)
        const effects: SinkEffect[] = [ack(event)]
        if (event.latest > event.desiredVersion) effects.push({ do: 'desired', gateway: event.gateway })
        return effects
      }
      case 'tick':
        return overdue(s, event.now)
    }
  },
}

export function deadline(s: SinkState): number | undefined {
  let first: number | undefined
  for (const { at } of s.gaps.values()) first = first === undefined ? at : Math.min(first, at)
  return first
}

function ack({ gateway, epoch, watermark }: { gateway: string; epoch: string; watermark: Sequence }): SinkEffect {
  return { do: 'ack', gateway, ack: { epoch, sequence: watermark } }
}

/** Remembers that `highest` was sent though only `watermark` is contiguous, or that all is well. */
function note(s: SinkState, stream: { gateway: string; epoch: string; watermark: Sequence }, highest: Sequence, now: number): void {
  const key = `${stream.gateway}/${stream.epoch}`
  if (highest <= stream.watermark) return void s.gaps.delete(key)
  const gap = s.gaps.get(key)
  if (gap?.watermark === stream.watermark) {
    // It still talks: worth asking again.
    if (gap.tries >= s.tuning.gapTries) s.gaps.set(key, { watermark: stream.watermark, at: now + s.tuning.gapMaxMs, tries: 1 })
    return
  }
  s.gaps.set(key, { watermark: stream.watermark, at: now + s.tuning.gapMs, tries: 0 })
}

function overdue(s: SinkState, now: number): SinkEffect[] {
  const effects: SinkEffect[] = []
  for (const [key, gap] of s.gaps) {
    if (now < gap.at) continue
    gap.tries += 1
    gap.at =
      gap.tries >= s.tuning.gapTries
        ? Number.POSITIVE_INFINITY
        : now + Math.min(s.tuning.gapMaxMs, s.tuning.gapAgainMs * 2 ** (gap.tries - 1))
    const slash = key.indexOf('/')
    const [gateway, epoch] = [key.slice(0, slash), key.slice(slash + 1)]
    effects.push({ do: 'ack', gateway, ack: { epoch, sequence: gap.watermark, resendFrom: gap.watermark + 1 } })
  }
  return effects
}
