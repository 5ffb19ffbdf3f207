/**
 * The link to HQ: when to connect, what to say on a connection, and (in hq-window) which events go when.
 * Time and randomness arrive in events; the shell calls `tick` no later than `deadline` says.
 */
import type { Sequence } from '../contract/event.ts'
import type { Machine } from '../contract/machine.ts'
import { BATCH_BYTES, BATCH_EVENTS, type DownAck, WINDOW_EVENTS } from '../contract/uplink.ts'
import { type Backoff, type BackoffTuning, held, newBackoff, wait } from './hq-backoff.machine.ts'
import * as window from './hq-window.machine.ts'

export interface LinkTuning extends window.WindowTuning, BackoffTuning {
  /** From the start of an attempt to a usable connection. */
  connectMs: number
  syncMinMs: number
  syncMaxMs: number
  healthMs: number
  /** Changes of `up/info` within this long go out as one. */
  infoMs: number
}

export const LINK_TUNING: LinkTuning = {
  batchEvents: BATCH_EVENTS,
  batchBytes: BATCH_BYTES,
  windowEvents: WINDOW_EVENTS,
  smallPublishes: 4,
  publishes: 8,
  progressMs: 30_000,
  helloMs: 1_000,
  // What really protects HQ when 100,000 shops come back at once is the window, which starts at one batch and grows only as HQ
  // acknowledges. The random delay spreads the first batches, and the cap keeps one shop's backlog from filling the shop's own
  // uplink (10,000 events/s are about 5 Mbit/s gzipped).
  drainAbove: BATCH_EVENTS,
  drainJitterMs: 5_000,
  drainPerSecond: 10_000,
  readRetryMs: 5_000,
  resendAgainMs: 5_000,
  backoffMinMs: 1_000,
  backoffMaxMs: 60_000,
  stableMs: 30_000,
  connectMs: 30_000,
  syncMinMs: 60_000,
  syncMaxMs: 300_000,
  healthMs: 60_000,
  infoMs: 1_000,
}

export type Protocol = 4 | 5
export type Phase = 'stopped' | 'waiting' | 'connecting' | 'online'

export interface LinkState {
  readonly tuning: LinkTuning
  phase: Phase
  readonly backoff: Backoff
  readonly window: window.Window
  /** MQTT 5 tells why it refuses; brokers that only know 3.1.1 are spoken to in that. */
  protocol: Protocol
  /** A broker said outright that it does not know MQTT 5. */
  only4: boolean
  /** Of the connection: said already, so not again. */
  readonly told: Set<string>
  retryAt: number
  connectBy: number
  syncAt: number
  healthAt: number
  infoAt: number | undefined
}

/** How a connection or an attempt ended. */
export interface Drop {
  reason: string
  /** `protocol`: the broker does not know this MQTT version. `early`: closed before it answered, which some do instead of saying so. */
  kind: 'protocol' | 'early' | 'other'
}

export type LinkEvent = { now: number; random: number } & (
  | { on: 'start' }
  | { on: 'stop' }
  | { on: 'tick' }
  /** Connected and subscribed. */
  | { on: 'online' }
  | ({ on: 'dropped' } & Drop)
  | { on: 'appended'; head: Sequence }
  | { on: 'pulled'; batch: number; to: Sequence; events: number }
  | { on: 'pull-failed'; batch: number; reason: string }
  | { on: 'puback'; batch: number; refused?: string | undefined }
  | { on: 'ack'; ack: DownAck }
  | { on: 'info-changed' }
  | { on: 'reported-changed' }
)

export type LinkEffect =
  | window.WindowEffect
  | { do: 'connect'; protocol: Protocol }
  /** `goodbye`: say online:false and disconnect in order, so that the will is not sent. */
  | { do: 'close'; goodbye: boolean }
  | { do: 'state'; phase: Phase; reason: string }
  | { do: 'birth' }
  | { do: 'info' }
  | { do: 'reported' }
  | { do: 'results' }
  | { do: 'health' }

export function newLink(
  start: { epoch: string; ack: 'hq' | 'broker'; cursor: Sequence; head: Sequence },
  tuning: LinkTuning = LINK_TUNING,
): LinkState {
  return {
    tuning,
    phase: 'stopped',
    backoff: newBackoff(),
    window: window.newWindow(start.epoch, start.ack, start.cursor, start.head),
    protocol: 5,
    only4: false,
    told: new Set(),
    retryAt: 0,
    connectBy: 0,
    syncAt: 0,
    healthAt: 0,
    infoAt: undefined,
  }
}

export const linkMachine: Machine<LinkState, LinkEvent, LinkEffect> = {
  step(s, event) {
    const effects: LinkEffect[] = []
    decide(s, event, effects)
    if (s.phase === 'online') window.pump(s.window, event.now, s.tuning, effects)
    return effects.some(isRepeatOrDrop) ? settle(s, event, effects) : effects
  },
}

/** Monotonic ms by when a `tick` is due; undefined: nothing to wait for. */
export function deadline(s: LinkState): number | undefined {
  if (s.phase === 'stopped') return undefined
  if (s.phase === 'waiting') return s.retryAt
  if (s.phase === 'connecting') return s.connectBy
  return Math.min(
    s.syncAt,
    s.healthAt,
    s.infoAt ?? Number.POSITIVE_INFINITY,
    s.window.progressAt ?? Number.POSITIVE_INFINITY,
    window.pumpAt(s.window, s.tuning) ?? Number.POSITIVE_INFINITY,
  )
}

function decide(s: LinkState, event: LinkEvent, effects: LinkEffect[]): void {
  const { now, random, on } = event
  const w = s.window
  switch (on) {
    case 'start':
      if (s.phase === 'stopped') connect(s, now, effects)
      return
    case 'stop':
      if (s.phase === 'stopped') return
      effects.push({ do: 'close', goodbye: s.phase === 'online' }, { do: 'state', phase: 'stopped', reason: 'stopped' })
      s.phase = 'stopped'
      window.closeWindow(w)
      return
    case 'tick':
      tick(s, now, random, effects)
      return
    case 'online':
      if (s.phase === 'connecting') online(s, now, random, effects)
      return
    case 'dropped':
      if (s.phase === 'connecting' || s.phase === 'online') dropped(s, event, now, random, effects)
      return
    case 'appended':
      w.head = event.head
      return
    case 'pulled':
      window.pulled(w, event, now, s.tuning, effects)
      return
    case 'pull-failed':
      window.pullFailed(w, event.batch, event.reason, now, s.tuning, effects)
      return
    case 'puback':
      if (s.phase === 'online') window.puback(w, event.batch, event.refused, now, s.tuning, effects)
      return
    case 'ack':
      if (s.phase === 'online') window.acknowledged(w, event.ack, now, s.tuning, effects)
      return
    case 'info-changed':
      if (s.phase === 'online') s.infoAt ??= now + s.tuning.infoMs
      return
    case 'reported-changed':
      if (s.phase === 'online') effects.push({ do: 'reported' })
  }
}

function tick(s: LinkState, now: number, random: number, effects: LinkEffect[]): void {
  if (s.phase === 'waiting' && now >= s.retryAt) connect(s, now, effects)
  else if (s.phase === 'connecting' && now >= s.connectBy)
    dropped(s, { reason: 'no connection in time', kind: 'other' }, now, random, effects)
  if (s.phase !== 'online') return
  window.tick(s.window, now, s.tuning, effects)
  if (now >= s.syncAt) sync(s, now, random, effects)
  if (now >= s.healthAt) {
    s.healthAt = now + s.tuning.healthMs
    effects.push({ do: 'health' })
  }
  if (s.infoAt !== undefined && now >= s.infoAt) {
    s.infoAt = undefined
    effects.push({ do: 'info' })
  }
}

function connect(s: LinkState, now: number, effects: LinkEffect[]): void {
  s.phase = 'connecting'
  s.connectBy = now + s.tuning.connectMs
  effects.push({ do: 'state', phase: 'connecting', reason: '' }, { do: 'connect', protocol: s.protocol })
}

function online(s: LinkState, now: number, random: number, effects: LinkEffect[]): void {
  s.phase = 'online'
  held(s.backoff, now)
  s.told.clear()
  s.infoAt = undefined
  // Spread over the minute: a fleet that came back together would else report together for ever.
  s.healthAt = now + s.tuning.healthMs * (0.5 + random / 2)
  window.openWindow(s.window, now, random, s.tuning)
  effects.push({ do: 'state', phase: 'online', reason: '' })
  sync(s, now, random, effects)
  effects.push({ do: 'info' }, { do: 'reported' }, { do: 'results' })
}

/**
 * The birth goes out again with every sync: a will of an earlier connection that came late, or a broker that lost
 * its retained messages, is mended within minutes. (A gateway may not read its own `up`, so it cannot look.)
 */
function sync(s: LinkState, now: number, random: number, effects: LinkEffect[]): void {
  s.syncAt = now + s.tuning.syncMinMs + random * (s.tuning.syncMaxMs - s.tuning.syncMinMs)
  effects.push({ do: 'birth' }, { do: 'sync', stored: s.window.stored, sent: s.window.sent })
}

function dropped(s: LinkState, drop: Drop, now: number, random: number, effects: LinkEffect[]): void {
  window.closeWindow(s.window)
  if (drop.kind === 'protocol' && s.protocol === 5) s.only4 = true
  // A broker that just hangs up may know only the other version: take turns.
  if (s.only4) s.protocol = 4
  else s.protocol = drop.kind === 'early' && s.backoff.attempts % 2 === 1 && s.protocol === 5 ? 4 : 5
  s.retryAt = now + wait(s.backoff, now, random, s.tuning)
  s.phase = 'waiting'
  effects.push({ do: 'close', goodbye: false }, { do: 'state', phase: 'waiting', reason: drop.reason })
}

const isRepeatOrDrop = (effect: LinkEffect): boolean => effect.do === 'tell' || effect.do === 'drop'

/** Drops asked for by the window are carried out here, and a thing is told once a connection. */
function settle(s: LinkState, event: LinkEvent, effects: LinkEffect[]): LinkEffect[] {
  const out: LinkEffect[] = []
  for (const effect of effects) {
    if (effect.do === 'drop') dropped(s, { reason: effect.reason, kind: 'other' }, event.now, event.random, out)
    else if (effect.do !== 'tell') out.push(effect)
    else if (!s.told.has(effect.what)) {
      s.told.add(effect.what)
      out.push(effect)
    }
  }
  return out
}
