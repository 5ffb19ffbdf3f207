/**
 * Which events go to HQ when: watermark, window, resend, drain. PUBACK is not storage (brokers acknowledge and drop),
 * so by default only HQ's own ack moves the watermark. One step a batch, never one an event.
 */
import type { Sequence } from '../contract/event.ts'
import type { DownAck } from '../contract/uplink.ts'

export interface WindowTuning {
  batchEvents: number
  batchBytes: number
  /** Events sent and not acknowledged by HQ, at most. */
  windowEvents: number
  /** With this many publishes not yet acknowledged by the broker, a batch that is not full waits for company. */
  smallPublishes: number
  /** Publishes not yet acknowledged by the broker, at most; below the Receive Maximum brokers announce (mosquitto: 20). */
  publishes: number
  /** Without progress for this long, everything unacknowledged is sent again. */
  progressMs: number
  /** How long the first batch of a connection waits for HQ to say what it has. */
  helloMs: number
  /** A backlog above this many events is drained with a random delay and a rate cap. */
  drainAbove: number
  drainJitterMs: number
  drainPerSecond: number
  /** Pause after the journal could not be read. */
  readRetryMs: number
  /** HQ asks again for the same missing event: heard at most this often. */
  resendAgainMs: number
}

interface InFlight {
  batch: number
  to: Sequence
  events: number
  puback: boolean
}

export interface Window {
  readonly epoch: string
  readonly ack: 'hq' | 'broker'
  head: Sequence
  /** HQ has stored everything up to here, as far as it said. Falls when HQ has lost data. */
  stored: Sequence
  /** The journal's cursor: the highest `stored` there was. */
  cursor: Sequence
  /** Sent on this connection up to here. */
  sent: Sequence
  /** Nothing above this can be at HQ: what was sent ever, or the head when this process began. */
  limit: Sequence
  inFlight: InFlight[]
  /** Events in `inFlight`. */
  unacknowledged: number
  /** Publishes of this connection that the broker has not acknowledged. */
  publishes: number
  /** The batch being read from the journal. */
  pulling: number | undefined
  batches: number
  /**
   * Events that may be unacknowledged now: one batch at first, as many more as HQ acknowledges, half when something was lost, one
   * batch after a silence (as TCP's congestion window, RFC 5681). So the fleet sends as fast as HQ stores, however many shops there are.
   */
  allowed: number
  /** Monotonic ms: not before this is anything sent. */
  sendAt: number
  /** The backlog found on connecting ends here; until then the rate is capped. */
  drainTo: Sequence
  progressAt: number | undefined
  /** An ack below `stored`: HQ was restored from a backup, or a message came late. A second one after a sync decides. */
  doubt: boolean
  restoredAt: number | undefined
  asked: { from: Sequence; at: number } | undefined
  resends: number
  open: boolean
}

export type WindowEffect =
  /** Read a batch; answer with `pulled` or `pull-failed`. */
  | { do: 'pull'; batch: number; after: Sequence; events: number; bytes: number }
  /** Publish what was read as `batch`. */
  | { do: 'publish'; batch: number }
  /** Move the journal's cursor. */
  | { do: 'advance'; to: Sequence }
  | { do: 'sync'; stored: Sequence; sent: Sequence }
  /** Say so in the log, once for each connection and kind. */
  | { do: 'tell'; what: Tell; detail: string }
  | { do: 'drop'; reason: string }

/** Where effects go: an array of them, or of more kinds. */
export interface WindowEffects {
  push(effect: WindowEffect): unknown
}

export type Tell = 'ack-of-another-epoch' | 'ack-above-sent' | 'hq-went-back' | 'no-progress' | 'publish-refused' | 'read-failed'

export function newWindow(epoch: string, ack: 'hq' | 'broker', cursor: Sequence, head: Sequence): Window {
  return {
    epoch,
    ack,
    head,
    stored: cursor,
    cursor,
    sent: cursor,
    limit: head,
    inFlight: [],
    unacknowledged: 0,
    publishes: 0,
    pulling: undefined,
    batches: 0,
    allowed: 0,
    sendAt: 0,
    drainTo: 0,
    progressAt: undefined,
    doubt: false,
    restoredAt: undefined,
    asked: undefined,
    resends: 0,
    open: false,
  }
}

/** A new connection: nothing of an earlier one is in flight any more. */
export function openWindow(w: Window, now: number, random: number, tuning: WindowTuning): void {
  w.open = true
  w.publishes = 0
  w.doubt = false
  w.asked = undefined
  w.allowed = tuning.batchEvents
  rewind(w, w.stored)
  w.progressAt = undefined
  const backlog = w.head - w.stored
  w.drainTo = backlog > tuning.drainAbove ? w.head : 0
  const jitter = w.drainTo > 0 ? random * tuning.drainJitterMs : 0
  w.sendAt = now + Math.max(jitter, w.ack === 'hq' ? tuning.helloMs : 0)
}

export function closeWindow(w: Window): void {
  w.open = false
  w.pulling = undefined
  w.progressAt = undefined
}

/** Asks for the next batch when there is something to send and room for it. */
export function pump(w: Window, now: number, tuning: WindowTuning, effects: WindowEffects): void {
  if (!readyButForTime(w, tuning) || now < w.sendAt) return
  const room = w.allowed - w.unacknowledged
  w.batches += 1
  w.pulling = w.batches
  effects.push({ do: 'pull', batch: w.batches, after: w.sent, events: Math.min(tuning.batchEvents, room), bytes: tuning.batchBytes })
}

/** When `pump` must be called though nothing has happened. */
export function pumpAt(w: Window, tuning: WindowTuning): number | undefined {
  return readyButForTime(w, tuning) ? w.sendAt : undefined
}

function readyButForTime(w: Window, tuning: WindowTuning): boolean {
  if (!w.open || w.pulling !== undefined) return false
  const waiting = w.head - w.sent
  if (waiting <= 0 || w.publishes >= tuning.publishes) return false
  const full = Math.min(tuning.batchEvents, waiting)
  // Small batches are held back while others are on their way (as RFC 896 does for TCP): at speed they fill up by themselves.
  if (full < tuning.batchEvents && w.publishes >= tuning.smallPublishes) return false
  return w.allowed - w.unacknowledged >= full
}

/** A batch was read: it holds everything from `sent`+1 to `to`. Stale ones are forgotten. */
export function pulled(
  w: Window,
  event: { batch: number; to: Sequence; events: number },
  now: number,
  tuning: WindowTuning,
  effects: WindowEffects,
): void {
  if (!w.open || event.batch !== w.pulling) return
  w.pulling = undefined
  if (event.to <= w.sent) {
    // Nothing where there should be something: ask again, but not in a circle.
    w.sendAt = now + tuning.readRetryMs
    return
  }
  w.sent = event.to
  w.limit = Math.max(w.limit, event.to)
  w.inFlight.push({ batch: event.batch, to: event.to, events: event.events, puback: false })
  w.unacknowledged += event.events
  w.publishes += 1
  w.progressAt ??= now + tuning.progressMs
  if (w.sent < w.drainTo) w.sendAt = Math.max(now, w.sendAt) + (event.events * 1000) / tuning.drainPerSecond
  effects.push({ do: 'publish', batch: event.batch })
}

export function pullFailed(w: Window, batch: number, reason: string, now: number, tuning: WindowTuning, effects: WindowEffects): void {
  if (batch !== w.pulling) return
  w.pulling = undefined
  w.sendAt = now + tuning.readRetryMs
  effects.push({ do: 'tell', what: 'read-failed', detail: reason })
}

/** The broker has taken a batch, or refused it. */
export function puback(
  w: Window,
  batch: number,
  refused: string | undefined,
  now: number,
  tuning: WindowTuning,
  effects: WindowEffects,
): void {
  w.publishes = Math.max(0, w.publishes - 1)
  if (refused !== undefined) return void effects.push({ do: 'tell', what: 'publish-refused', detail: refused })
  if (w.ack !== 'broker') return
  const found = w.inFlight.find((one) => one.batch === batch)
  if (!found) return
  found.puback = true
  let to = w.stored
  for (const one of w.inFlight) {
    if (!one.puback) break
    to = one.to
  }
  if (to > w.stored) progress(w, to, now, tuning, effects)
}

/** HQ says what it has stored. */
export function acknowledged(w: Window, ack: DownAck, now: number, tuning: WindowTuning, effects: WindowEffects): void {
  if (ack.epoch !== w.epoch) return void effects.push({ do: 'tell', what: 'ack-of-another-epoch', detail: ack.epoch })
  if (ack.sequence > w.limit)
    return void effects.push({ do: 'tell', what: 'ack-above-sent', detail: `${ack.sequence}, sent ${w.limit}, head ${w.head}` })
  if (ack.sequence < w.stored) {
    wentBack(w, ack.sequence, now, tuning, effects)
    return
  }
  w.doubt = false
  // The answer to the first sync: no need to wait for it any longer.
  if (w.drainTo === 0 && w.sent === w.stored && w.inFlight.length === 0) w.sendAt = Math.min(w.sendAt, now)
  if (ack.sequence > w.stored) progress(w, ack.sequence, now, tuning, effects)
  if (ack.resendFrom !== undefined && ack.resendFrom > w.stored && ack.resendFrom <= w.sent) {
    const again = w.asked?.from === ack.resendFrom && now - w.asked.at < tuning.resendAgainMs
    if (again) return
    w.asked = { from: ack.resendFrom, at: now }
    w.resends += 1
    w.allowed = Math.max(tuning.batchEvents, w.allowed >> 1)
    rewind(w, ack.resendFrom - 1)
  }
}

/** Without progress for too long: from `stored`+1 again (go-back-N), one batch at a time until HQ answers. */
export function tick(w: Window, now: number, tuning: WindowTuning, effects: WindowEffects): void {
  if (w.progressAt === undefined || now < w.progressAt) return
  effects.push({ do: 'tell', what: 'no-progress', detail: `stored ${w.stored}, sent ${w.sent}` })
  w.progressAt = undefined
  w.allowed = tuning.batchEvents
  w.resends += 1
  if (w.publishes >= tuning.publishes) return void effects.push({ do: 'drop', reason: 'the broker stopped acknowledging' })
  rewind(w, w.stored)
}

/**
 * One ack below the watermark may be a late one; two with a sync between them mean that HQ has lost what it had:
 * then everything after it goes again, and what the journal no longer has is told as dropped.
 */
function wentBack(w: Window, sequence: Sequence, now: number, tuning: WindowTuning, effects: WindowEffects): void {
  if (w.ack === 'broker' || (w.restoredAt !== undefined && now - w.restoredAt < tuning.progressMs)) return
  if (!w.doubt) {
    w.doubt = true
    return void effects.push({ do: 'sync', stored: w.stored, sent: w.sent })
  }
  w.doubt = false
  w.restoredAt = now
  w.resends += 1
  effects.push({ do: 'tell', what: 'hq-went-back', detail: `from ${w.stored} to ${sequence}` })
  w.stored = sequence
  w.progressAt = undefined
  rewind(w, sequence)
}

function progress(w: Window, to: Sequence, now: number, tuning: WindowTuning, effects: WindowEffects): void {
  w.stored = to
  const before = w.unacknowledged
  while (w.inFlight.length > 0 && (w.inFlight[0]?.to ?? 0) <= to) w.unacknowledged -= w.inFlight.shift()?.events ?? 0
  w.allowed = Math.min(tuning.windowEvents, w.allowed + before - w.unacknowledged)
  if (w.sent < to) {
    // HQ has more than this process knew of: an ack lost with the last connection, or with a crash before the cursor was durable.
    w.sent = to
    w.pulling = undefined
  }
  w.progressAt = w.inFlight.length > 0 ? now + tuning.progressMs : undefined
  if (to > w.cursor) {
    w.cursor = to
    effects.push({ do: 'advance', to })
  }
}

/** Everything after `to` counts as not sent. */
function rewind(w: Window, to: Sequence): void {
  w.sent = to
  w.pulling = undefined
  w.inFlight = w.inFlight.filter((one) => one.to <= to)
  w.unacknowledged = w.inFlight.reduce((sum, one) => sum + one.events, 0)
}
